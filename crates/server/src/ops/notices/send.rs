//! What channels have to tell, told: one message of a channel at a time, by one node, through the guarded dialer and in a process of its own, as a
//! test is.

use std::sync::Arc;

use dataflow_connectors::{Addressing, Message};
use dataflow_model::{Cause, StepName, StepStatus, TestReport};
use tokio::{sync::mpsc::channel as steps, task::JoinSet};

use super::{
    channel::{self, Channel, addressing, sender},
    words,
};
use crate::{
    app::{App, Workspace},
    clock::{DAY, SECOND},
    error::{Error, Result},
    ops::{
        access::{Action, Caller, authorise},
        checks,
        credentials::servable,
        hops,
        own_types::catalogue_of,
        rotations::stand_in,
        rows::Sealed as _,
        settings,
    },
    store::{self, ChannelRow, NoticeOfRow},
};

/// Channels that a node serves at a time.
const AT_ONCE: usize = 4;
/// For how long nobody else tells what a node has taken: longer than telling it may take.
const LEASE: i64 = 90 * SECOND;
/// Shortest and longest pause between two messages of a channel: the longer, the more of them have followed each other within the longest.
const SHORTEST_REST: i64 = 60 * SECOND;
const LONGEST_REST: i64 = 900 * SECOND;
/// Shortest and longest pause after a try in vain.
const SHORTEST_PAUSE: i64 = 30 * SECOND;
const LONGEST_PAUSE: i64 = 1_800 * SECOND;
/// The same where the password was refused: some servers lock an account for which too many sign-ins fail.
const REFUSED_PAUSE: i64 = 3_600 * SECOND;
/// The same where the server may have the message.
const UNSURE_PAUSE: i64 = 900 * SECOND;
/// How long it is put off where tests and messages keep every place.
const WHERE_FULL: i64 = 10 * SECOND;
/// What could not be told for so long is not told any more.
const GIVEN_UP_AFTER: i64 = DAY;
const NOT_ITS_OWN: &str = "It was changed outside of this program. Set it again.";

/// What a node has taken of a channel to tell it: the first of them, and how many there are.
struct Taken {
    at: i64,
    rows: Vec<NoticeOfRow>,
    count: usize,
}

/// What a node is telling.
#[derive(Default)]
pub struct Flight(JoinSet<()>);

impl Flight {
    /// Waits until a message is handed over or has failed; for ever if none is under way.
    pub async fn one_ended(&mut self) {
        match self.0.join_next().await {
            None => std::future::pending().await,
            Some(Err(error)) => tracing::error!(error.cause = error.to_string(), "telling people broke off"),
            Some(Ok(())) => {}
        }
    }
}

/// Begins to tell what is due, as far as there is room.
pub async fn begin_due(app: &Arc<App>, flight: &mut Flight) -> Result<()> {
    let room = AT_ONCE.saturating_sub(flight.0.len());
    if room == 0 || !app.tests.is_enabled() {
        return Ok(());
    }
    let now = app.clock.now();
    let due = store::channels_due(&mut app.store.read().await?, now, i64::try_from(room).unwrap_or(1)).await?;
    for row in due {
        let mut write = app.store.write().await?;
        if !store::take_notices(&mut write, &row, now, now.saturating_add(LEASE)).await? {
            continue;
        }
        let limit = i64::try_from(words::TOLD_ONE_BY_ONE).unwrap_or(i64::MAX);
        let (rows, count) = store::taken(&mut write, &row.id, now, limit).await?;
        write.commit_quietly().await?;
        let taken = Taken { at: now, count: usize::try_from(count).unwrap_or(rows.len()), rows };
        let app = app.clone();
        flight.0.spawn(async move { serve(&app, row, taken).await });
    }
    Ok(())
}

/// What became of telling.
#[derive(Debug)]
enum CameTo {
    /// It was told; to whom it was not, if to anybody.
    Told(Option<String>),
    /// There was nothing to tell after all.
    Nothing,
    /// Whether it was told is not known: the server took all of it, and was not heard of again.
    Unsure(String),
    /// Tests and messages keep every place here: no fault of the channel's.
    NoRoom,
    Failed {
        problem: String,
        is_refused: bool,
    },
}

/// Tells all that was taken at `taken_at`, and writes how that went.
async fn serve(app: &Arc<App>, row: ChannelRow, taken: Taken) {
    let taken_at = taken.at;
    let came_to = Box::pin(tell(app, &row, taken)).await.unwrap_or_else(|error| match error {
        Error::TooManyRequests(_) | Error::TooFast(..) => CameTo::NoRoom,
        error => CameTo::Failed { problem: why(&error), is_refused: false },
    });
    if let CameTo::Failed { problem, .. } | CameTo::Unsure(problem) = &came_to {
        tracing::warn!(
            channel.name = row.name,
            workspace.id = row.workspace_id,
            problem,
            "a channel could not tell what it has to"
        );
    }
    if let Err(error) = went(app, row, taken_at, came_to).await {
        let cause = error.cause().map(|cause| format!("{cause:#}")).unwrap_or_default();
        tracing::error!(error.code = error.describe().1.as_str(), error.cause = cause, "how a channel told could not be kept");
    }
}

/// A refusal in a sentence.
fn why(error: &Error) -> String {
    match error {
        Error::Invalid(errors) => {
            errors.iter().map(|error| format!("{} {}.", error.field, error.message)).collect::<Vec<_>>().join(" ")
        }
        Error::NotFound(_) | Error::Deleted(_) => "The connection through which it tells is gone.".to_owned(),
        other => other.describe().2,
    }
}

async fn tell(app: &Arc<App>, row: &ChannelRow, Taken { rows, count, .. }: Taken) -> Result<CameTo> {
    let Ok(row) = row.clone().checked(&app.vault) else {
        return Ok(CameTo::Failed { problem: NOT_ITS_OWN.to_owned(), is_refused: false });
    };
    if rows.is_empty() {
        return Ok(CameTo::Nothing);
    }
    let missing = || Error::NotFound("workspace");
    let workspace = store::workspace(&mut app.store.read().await?, &row.workspace_id).await?.ok_or_else(missing)?;
    let workspace = app.workspace(&workspace.name).await?.filter(|found| found.id.to_string() == row.workspace_id);
    let workspace = workspace.ok_or_else(missing)?;
    let message = words::message(app, (&workspace.name, &*catalogue_of(app, &workspace).await?), (&rows, count), app.clock.now());
    let (label, identity) = (format!("channel {} (set by {})", row.name, row.set_by), format!("channel {}", row.set_by_id));
    let caller = stand_in((&label, &identity), &workspace);
    let report = hand_over(app, &caller, &workspace, (&Channel::of(&row), message)).await?;
    let step = |status| report.steps.iter().find(|step| step.step == StepName::Send && step.status == status);
    Ok(match &report.error {
        None => CameTo::Told(step(StepStatus::Ok).and_then(|step| step.detail.clone())),
        Some(error) if step(StepStatus::Failed).is_some() && matches!(error.code, Cause::TimedOut | Cause::ConnectionLost) => {
            CameTo::Unsure(error.message.clone())
        }
        Some(error) => CameTo::Failed { problem: error.message.clone(), is_refused: error.code == Cause::CredentialsRefused },
    })
}

/// Hands a message over through the connection of a channel.
async fn hand_over(
    app: &App,
    caller: &Caller,
    workspace: &Arc<Workspace>,
    (channel, message): (&Channel, Message),
) -> Result<TestReport> {
    let connection = servable(app, workspace, &channel.connection).await?;
    let to = channel.addresses.clone();
    let from = match addressing(&connection)? {
        Addressing::Mail => sender(&connection).ok_or_else(|| Error::Invalid(vec![channel::no_sender()]))?.to_owned(),
        Addressing::Chat | Addressing::Fixed => String::new(),
    };
    let fields = (connection.public.clone(), connection.open_secrets()?);
    // Messages of a workspace have places of their own beside those of its callers.
    let lane = format!("messages of {}", workspace.id);
    let fields = hops::fields(app, caller, workspace, fields).await?;
    let placed = app.tests.plan((&lane, workspace.id), connection.connector(), &app.clock, fields).await?;
    let planned = placed.within(settings::in_force(app).await?).with_message(Message { to, from, ..message });
    checks::audit_message(app, caller, workspace, (&connection.name, connection.version)).await?;
    // The report has every step.
    let (told, _) = steps(1);
    Ok(planned.run(told).await)
}

/// Writes how it went, and when the next message may go out.
async fn went(app: &App, row: ChannelRow, taken_at: i64, came_to: CameTo) -> Result<()> {
    let now = app.clock.now();
    let mut write = app.store.write().await?;
    let in_vain = |row: &ChannelRow, problem: String, shortest: i64| ChannelRow {
        next_at: now.saturating_add(pause(row.tries.saturating_add(1)).max(shortest)),
        tries: row.tries.saturating_add(1),
        failing_since: row.failing_since.or(Some(now)),
        problem: Some(problem),
        ..row.clone()
    };
    let told = |row: &ChannelRow, problem: Option<String>| {
        let in_a_row = in_a_row(row, now);
        let next_at = now.saturating_add(rest(in_a_row));
        ChannelRow { next_at, in_a_row, tries: 0, told_at: Some(now), failing_since: None, problem, ..row.clone() }
    };
    let (after, is_told) = match came_to {
        CameTo::Told(problem) => (told(&row, problem), true),
        CameTo::Nothing => (ChannelRow { next_at: now, ..row.clone() }, true),
        // It may have it, and be slow to say so: it is not sent the same every minute.
        CameTo::Unsure(problem) => (in_vain(&row, problem, UNSURE_PAUSE), false),
        CameTo::NoRoom => (ChannelRow { next_at: now.saturating_add(WHERE_FULL), ..row.clone() }, false),
        CameTo::Failed { problem, is_refused } => {
            (in_vain(&row, problem, if is_refused { REFUSED_PAUSE } else { SHORTEST_PAUSE }), false)
        }
    };
    // The channel before its notices, as whoever takes them holds it.
    store::channel_went(&mut write, &after).await?;
    if is_told {
        store::drop_told(&mut write, &row.id, taken_at).await?;
    } else {
        // It counts from the first try in vain: what waited while nobody could try is not given up.
        let has_failed_long = after.failing_since.is_some_and(|since| now.saturating_sub(since) > GIVEN_UP_AFTER);
        let before = if has_failed_long { now.saturating_sub(GIVEN_UP_AFTER) } else { i64::MIN };
        let given_up = store::give_back(&mut write, &row.id, taken_at, before).await?;
        if given_up > 0 {
            let (name, id) = (row.name, row.workspace_id);
            tracing::error!(
                channel.name = name,
                workspace.id = id,
                notices.count = given_up,
                "what a channel could not tell for a day is not told"
            );
        }
    }
    Ok(write.commit_quietly().await?)
}

/// How many messages have followed each other closely, with the one that goes out now.
fn in_a_row(row: &ChannelRow, now: i64) -> i64 {
    let is_close = row.told_at.is_some_and(|at| now.saturating_sub(at) < LONGEST_REST + SHORTEST_REST);
    if is_close { row.in_a_row.saturating_add(1) } else { 1 }
}

fn doubled(shortest: i64, times: i64, longest: i64) -> i64 {
    let times = u32::try_from(times.clamp(0, 20)).unwrap_or_default();
    shortest.saturating_mul(1_i64 << times).min(longest)
}

fn rest(in_a_row: i64) -> i64 {
    doubled(SHORTEST_REST, in_a_row.saturating_sub(1), LONGEST_REST)
}

fn pause(tries: i64) -> i64 {
    doubled(SHORTEST_PAUSE, tries.saturating_sub(1), LONGEST_PAUSE)
}

/// Sends a message through a channel, to see whether it gets there; what came of each step.
pub async fn try_out(app: &App, caller: &Caller, workspace: &str, name: &str) -> Result<TestReport> {
    let workspace = authorise(app, caller, workspace, Action::SeeChannels).await?;
    let row = channel::found(&mut app.store.read().await?, &workspace, name).await?.checked(&app.vault)?;
    let channel = Channel::of(&row);
    servable(app, &workspace, &channel.connection).await?.admit(caller, &workspace, &channel.connection)?;
    app.throttle.take(crate::throttle::Kind::Tests, &*caller.identity(), app.clock.now())?;
    let message = words::trial(app, &workspace.name, (&row.name, &caller.label()));
    hand_over(app, caller, &workspace, (&channel, message)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_that_follow_each_other_come_ever_less_often() {
        let rests: Vec<_> = (1..=6).map(|in_a_row| rest(in_a_row) / SECOND).collect();
        assert_eq!(rests, [60, 120, 240, 480, 900, 900]);
        let pauses: Vec<_> = (1..=8).map(|tries| pause(tries) / SECOND).collect();
        assert_eq!(pauses, [30, 60, 120, 240, 480, 960, 1_800, 1_800]);
        assert_eq!(rest(i64::MAX), LONGEST_REST);
    }
}
