//! Tests that are due, begun by one of the nodes: it takes one by moving on when the connection is tested next. So one alone runs it, and what a
//! node had begun when it died comes again at its next time.

use std::{collections::HashMap, sync::Arc};

use dataflow_model::Cause;
use dataflow_vault::random_uuid;
use tokio::{sync::mpsc::channel, task::JoinSet};

use super::schedule::Schedule;
use crate::{
    app::{App, Workspace},
    clock::SECOND,
    error::{Error, Result},
    ops::{access::Caller, checks, credentials::servable, hops, rotations::stand_in, rows::Sealed as _, settings},
    store::{self, HealthRow, HealthScheduleRow},
};

/// Tests that are under way at a time on a node, and of one lane: the connections of a workspace that failed the last time, or those that did not.
/// What is dead keeps nobody waiting but its like.
const AT_ONCE: usize = 32;
const IN_LANE: usize = 6;
/// Of those at most so many that failed the last time.
const FAILING_AT_ONCE: usize = 24;
/// A sign-in that was refused is not tried so often that the account is locked for those who have the right password: each time in twice the time of
/// before, up to this, unless somebody edits the connection.
const REFUSED_PAUSE: i64 = 3_600 * SECOND;
/// How long it is put off where tests keep every place: no fault of the connection's.
const WHERE_FULL: i64 = 10 * SECOND;
/// Within how much time those are tested that waited for the end of the same quiet hours.
const AFTER_QUIET: u64 = 60_000_000;

/// A workspace by its id, and whether the connection failed the last time.
type Lane = (String, bool);

/// What a node is at.
#[derive(Default)]
pub struct Flight {
    all: JoinSet<(Lane, bool)>,
    lanes: HashMap<Lane, usize>,
}

impl Flight {
    /// Waits until a test ends; for ever if none is under way. Gives whether it was run: where there was no room, there is none for the next one.
    pub async fn one_ended(&mut self) -> bool {
        let was_run = match self.all.join_next().await {
            None => std::future::pending().await,
            Some(Ok((lane, was_run))) => {
                self.leave(&lane);
                was_run
            }
            // Of one that panicked nobody knows the lane any more: they are counted anew as soon as nothing is under way.
            Some(Err(panicked)) => {
                tracing::error!(error.cause = panicked.to_string(), "a scheduled test broke off");
                false
            }
        };
        if self.all.is_empty() {
            self.lanes.clear();
        }
        was_run
    }

    fn leave(&mut self, lane: &Lane) {
        if let Some(count) = self.lanes.get_mut(lane) {
            *count = count.saturating_sub(1);
        }
    }

    fn room(&self, lane: &Lane) -> usize {
        let in_lane = IN_LANE.saturating_sub(self.lanes.get(lane).copied().unwrap_or_default());
        let room = in_lane.min(AT_ONCE.saturating_sub(self.all.len()));
        if !lane.1 {
            return room;
        }
        let failing: usize = self.lanes.iter().filter(|((_, is_failing), _)| *is_failing).map(|(_, count)| count).sum();
        room.min(FAILING_AT_ONCE.saturating_sub(failing))
    }
}

/// Begins what is due, as far as there is room.
pub async fn begin_due(app: &Arc<App>, flight: &mut Flight) -> Result<()> {
    if !app.tests.is_enabled() {
        return Ok(());
    }
    let now = app.clock.now();
    let mut read = app.store.read().await?;
    let lanes = store::lanes_due(&mut read, now, i64::try_from(AT_ONCE).unwrap_or(i64::MAX)).await?;
    let mut due = Vec::new();
    for lane in lanes {
        let room = flight.room(&lane);
        if room > 0 {
            let rows = store::due_in_lane(&mut read, (&lane.0, lane.1), now, i64::try_from(room).unwrap_or(i64::MAX)).await?;
            due.push((lane, rows));
        }
    }
    drop(read);
    for (lane, rows) in due {
        for row in rows {
            if flight.room(&lane) == 0 {
                break;
            }
            // Taken before the next look, which would find it due still.
            let Some(taken) = take(app, row, now).await? else { continue };
            *flight.lanes.entry(lane.clone()).or_default() += 1;
            let (app, lane) = (app.clone(), lane.clone());
            flight.all.spawn(async move {
                let was_run = run(&app, taken).await;
                (lane, was_run)
            });
        }
    }
    Ok(())
}

/// A test that nobody else runs.
struct Taken {
    row: HealthRow,
    schedule: HealthScheduleRow,
}

/// Takes a test, if it is to run now and nobody has it.
async fn take(app: &App, row: HealthRow, now: i64) -> Result<Option<Taken>> {
    let schedule = store::health_schedule(&mut app.store.read().await?, &row.workspace_id, &row.scope).await?;
    let checked = schedule.map(|row| row.checked(&app.vault)).transpose();
    let chance = chance();
    let (next_at, schedule) = match checked {
        Ok(Some(schedule)) => {
            let asked = Schedule::of(&schedule);
            match asked.quiet_until(now) {
                Some(end) => (end.saturating_add(i64::try_from(chance % AFTER_QUIET).unwrap_or_default()), None),
                None => (asked.next(now, row.streak == 0, chance), Some(schedule)),
            }
        }
        // By one that was bent nothing is tested; whoever removed one is about to remove this row, too.
        Ok(None) | Err(_) => (Schedule::default().next(now, false, chance), None),
    };
    let taken = moved(app, &row, next_at).await?;
    Ok(schedule.filter(|_| taken).map(|schedule| Taken { row: HealthRow { next_at, ..row }, schedule }))
}

/// Any number, each as likely as the others.
fn chance() -> u64 {
    // Of a UUID the last 62 bits are random.
    let (_, chance) = random_uuid().as_u64_pair();
    chance & (u64::MAX >> 2)
}

async fn moved(app: &App, row: &HealthRow, next_at: i64) -> Result<bool> {
    let mut write = app.store.write().await?;
    let moved = store::move_test(&mut write, row, next_at).await?;
    write.commit_quietly().await?;
    Ok(moved)
}

/// Whether it was run.
async fn run(app: &Arc<App>, taken: Taken) -> bool {
    let mut was_run = true;
    let came_to = match test(app, &taken).await {
        // Tests keep every place, so that this one comes a little later.
        Err(Error::TooManyRequests(_) | Error::TooFast(..)) => {
            was_run = false;
            moved(app, &taken.row, app.clock.now().saturating_add(WHERE_FULL)).await.map(drop)
        }
        // It was deleted, or its workspace was, since this was looked up.
        Err(Error::NotFound(_) | Error::Deleted(_)) => Ok(()),
        other => other,
    };
    if let Err(error) = came_to {
        let cause = error.cause().map(|cause| format!("{cause:#}")).unwrap_or_default();
        let (id, code) = (taken.row.connection_id.as_str(), error.describe().1.as_str());
        tracing::warn!(connection.id = id, error.code = code, error.cause = cause, "a scheduled test could not be run");
    }
    was_run
}

async fn test(app: &Arc<App>, Taken { row, schedule }: &Taken) -> Result<()> {
    let mut read = app.store.read().await?;
    // While its password changes, a test is of one of two, and in the way.
    if store::rotation(&mut read, &row.connection_id).await?.is_some() {
        return Ok(());
    }
    let workspace = store::workspace(&mut read, &row.workspace_id).await?.ok_or(Error::NotFound("workspace"))?;
    let connection = store::connection_by_id(&mut read, &row.connection_id).await?.ok_or(Error::NotFound("connection"))?;
    drop(read);
    let name = connection.checked(&app.vault)?.name;
    let workspace = app.workspace(&workspace.name).await?.ok_or(Error::NotFound("workspace"))?;
    let connection = servable(app, &workspace, &name).await?;
    if connection.id.to_string() != row.connection_id {
        return Err(Error::NotFound("connection"));
    }
    let fields = (connection.public.clone(), connection.open_secrets()?);
    // Each lane has places of its own.
    let lane = format!("health schedule of {}, {}", workspace.id, if row.is_failing { "failing" } else { "passing" });
    let caller = caller(schedule, &workspace);
    let fields = hops::fields(app, &caller, &workspace, fields).await?;
    let placed = app.tests.plan((&lane, workspace.id), connection.connector(), &app.clock, fields).await?;
    let planned = placed.within(settings::in_force(app).await?);
    checks::audit_use(app, &caller, &workspace, &name, connection.version).await?;
    // The report has every step.
    let (steps, _) = channel(1);
    let report = planned.run(steps).await;
    checks::keep_scheduled(app, &connection, &report).await?;
    // Some servers lock who fails to sign in too often, and so do machines on the way.
    if report.error.is_some_and(|error| matches!(error.code, Cause::CredentialsRefused | Cause::HopRefused)) {
        put_off(app, row, schedule).await?;
    }
    Ok(())
}

/// Puts the next test off, the longer the more of them were refused; not one that somebody has hastened meanwhile.
async fn put_off(app: &App, row: &HealthRow, schedule: &HealthScheduleRow) -> Result<()> {
    let Some(standing) = store::health(&mut app.store.read().await?, &row.connection_id).await? else { return Ok(()) };
    let at = app.clock.now().saturating_add(refused_pause(schedule.every_seconds, standing.streak));
    if at > row.next_at {
        moved(app, row, at).await?;
    }
    Ok(())
}

/// How long it is to the next test after so many refusals in a row.
fn refused_pause(every_seconds: i64, streak: i64) -> i64 {
    let every = every_seconds.saturating_mul(SECOND);
    let doubled = u32::try_from(streak.clamp(0, 20)).unwrap_or_default();
    every.saturating_mul(1_i64 << doubled).min(REFUSED_PAUSE).max(every)
}

/// Who tests by a schedule, as events name him. He may do nothing: that the schedule is set says that it may be done.
fn caller(row: &HealthScheduleRow, workspace: &Workspace) -> Caller {
    let (label, identity) = (format!("health schedule (set by {})", row.set_by), format!("schedule {}", row.set_by_id));
    stand_in((&label, &identity), workspace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_is_tried_ever_less_often() {
        let pauses: Vec<_> = (1..=8).map(|streak| refused_pause(30, streak) / SECOND).collect();
        assert_eq!(pauses, [60, 120, 240, 480, 960, 1_920, 3_600, 3_600]);
        assert_eq!(refused_pause(86_400, 3), 86_400 * SECOND, "what is seldom tested stays so");
        assert_eq!(refused_pause(30, i64::MAX), REFUSED_PAUSE);
    }

    #[test]
    fn lanes_leave_room_for_each_other() {
        let lane = |number: usize, is_failing| (format!("workspace {number}"), is_failing);
        let mut flight = Flight::default();
        assert_eq!(flight.room(&lane(0, true)), IN_LANE);
        flight.lanes.insert(lane(0, true), IN_LANE);
        assert_eq!((flight.room(&lane(0, true)), flight.room(&lane(0, false))), (0, IN_LANE));
        for number in 1..4 {
            flight.lanes.insert(lane(number, true), IN_LANE);
        }
        assert_eq!(flight.room(&lane(9, true)), 0, "what fails takes no more than its share");
        assert_eq!(flight.room(&lane(9, false)), IN_LANE);
    }
}
