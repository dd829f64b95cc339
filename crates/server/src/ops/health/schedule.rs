//! How often connections are tested by themselves, and when that makes them healthy or not: of one connection, of those with a tag, or of all.

use dataflow_model::FieldError;

use super::{admitted, follow_all, follow_one, read_tag};
use crate::{
    app::App,
    audit::{self, Event},
    clock::{DAY, SECOND},
    error::{Error, Result},
    ops::{
        access::{Action, Caller, authorise},
        connections::{Precondition, hold_current},
        idempotency::begin,
        paging::{Page, Paging},
        rows::Sealed as _,
    },
    store::{self, Handle, HealthScheduleRow, Write},
};

/// Fewest and most seconds between two tests of a connection: half a minute, and a week.
pub const EVERY_MIN: i64 = 30;
pub const EVERY_MAX: i64 = 604_800;
/// Most tests in a row that are waited for.
pub const AFTER_MAX: i64 = 20;
/// Most that the time between two tests is lengthened or shortened by, in percent.
pub const JITTER_MAX: i64 = 50;
/// Most schedules of a workspace, besides those that connections have of their own.
pub const SCHEDULES_MAX: i64 = 100;
const MINUTES: i64 = 24 * 60;
const ALL: &str = "all";

/// Which connections a schedule is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    All,
    /// Those with this tag, in lower case.
    Tag(String),
    Connection {
        id: String,
        name: String,
    },
}

impl Scope {
    /// As the store has it.
    pub(super) fn key(&self) -> String {
        match self {
            Self::All => ":all".to_owned(),
            Self::Tag(tag) => format!(":tag:{tag}"),
            Self::Connection { id, .. } => format!(":connection:{id}"),
        }
    }

    pub(super) fn read(key: &str) -> Self {
        if let Some(tag) = key.strip_prefix(":tag:") {
            Self::Tag(tag.to_owned())
        } else if let Some(id) = key.strip_prefix(":connection:") {
            Self::Connection { id: id.to_owned(), name: String::new() }
        } else {
            Self::All
        }
    }

    /// The same with the name of its connection, if it is of one.
    #[must_use]
    pub(super) fn named(self, name: &str) -> Self {
        match self {
            Self::Connection { id, .. } => Self::Connection { name: name.to_owned(), id },
            other => other,
        }
    }

    /// The scope of more than one connection that `text` names: `all`, or `tag:` and a tag.
    ///
    /// # Errors
    /// `Invalid` for anything else.
    pub fn of_many(text: &str) -> Result<Self> {
        let tag = text.strip_prefix("tag:").and_then(read_tag);
        match (text, tag) {
            (ALL, _) => Ok(Self::All),
            (_, Some(tag)) => Ok(Self::Tag(tag)),
            _ => Err(Error::Invalid(vec![FieldError::new("scope", "invalid", "must be `all`, or `tag:` and a tag")])),
        }
    }

    /// As it is read: `all`, `tag:finance` or `connection:sales`.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::All => ALL.to_owned(),
            Self::Tag(tag) => format!("tag:{tag}"),
            Self::Connection { name, .. } => format!("connection:{name}"),
        }
    }
}

/// A schedule as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    pub every_seconds: i64,
    /// By how much of it the time between two tests is lengthened or shortened, by chance.
    pub jitter_percent: i64,
    /// So many tests in a row that fail make it unhealthy,
    pub unhealthy_after: i64,
    /// and so many that do not make it healthy again.
    pub healthy_after: i64,
    /// From which to which minute of the day in UTC nothing is tested.
    pub quiet: Option<(i64, i64)>,
}

impl Default for Schedule {
    fn default() -> Self {
        Self { every_seconds: 300, jitter_percent: 10, unhealthy_after: 2, healthy_after: 1, quiet: None }
    }
}

impl Schedule {
    pub(super) fn of(row: &HealthScheduleRow) -> Self {
        Self {
            every_seconds: row.every_seconds,
            jitter_percent: row.jitter_percent,
            unhealthy_after: row.unhealthy_after,
            healthy_after: row.healthy_after,
            quiet: row.quiet_from.zip(row.quiet_to),
        }
    }

    fn errors(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let numbers = [
            ("every_seconds", self.every_seconds, EVERY_MIN..=EVERY_MAX),
            ("jitter_percent", self.jitter_percent, 0..=JITTER_MAX),
            ("unhealthy_after", self.unhealthy_after, 1..=AFTER_MAX),
            ("healthy_after", self.healthy_after, 1..=AFTER_MAX),
        ];
        for (field, number, range) in numbers {
            if !range.contains(&number) {
                let text = format!("must be from {} to {}", range.start(), range.end());
                errors.push(FieldError::new(field, "out_of_range", text));
            }
        }
        if let Some((from, to)) = self.quiet {
            let minutes = 0..MINUTES;
            if !minutes.contains(&from) || !minutes.contains(&to) || from == to {
                let text = "must be from one time of the day to another one, in UTC";
                errors.push(FieldError::new("quiet_hours", "invalid", text));
            }
        }
        errors
    }

    /// When the quiet hours end in which `now` is; nothing outside of them.
    #[must_use]
    pub fn quiet_until(&self, now: i64) -> Option<i64> {
        let (from, to) = self.quiet?;
        let minute = 60 * SECOND;
        let midnight = now - now.rem_euclid(DAY);
        let of_day = now.rem_euclid(DAY) / minute;
        let is_quiet = if from < to { (from..to).contains(&of_day) } else { of_day >= from || of_day < to };
        let end = midnight + to * minute;
        is_quiet.then_some(if end > now { end } else { end + DAY })
    }

    /// When a connection is tested next that is tested at `now`: `chance` is evenly spread over all numbers. The first test of many comes at nearly
    /// one time, so that the second has any within the whole time.
    #[must_use]
    pub fn next(&self, now: i64, is_first: bool, chance: u64) -> i64 {
        let every = self.every_seconds.saturating_mul(SECOND);
        let (least, width) = if is_first {
            (EVERY_MIN.saturating_mul(SECOND).min(every), every)
        } else {
            let jitter = every / 100 * self.jitter_percent;
            (every - jitter, jitter.saturating_mul(2).saturating_add(1))
        };
        let width = u64::try_from(width.max(1)).unwrap_or(1);
        let by_chance = i64::try_from(chance % width).unwrap_or_default();
        now.saturating_add(if is_first { least.max(by_chance) } else { least.saturating_add(by_chance) })
    }
}

/// A schedule as it stands.
#[derive(Debug)]
pub struct Standing {
    pub scope: Scope,
    /// The default where none is set.
    pub schedule: Schedule,
    /// When it was set, and by whom; nothing where none is.
    pub set: Option<(i64, String)>,
    /// Whether it is what somebody set. If not, nothing is tested by it until somebody sets one again.
    pub is_sound: bool,
    /// What a change of it names.
    pub etag: String,
}

/// What a change of the schedule that was set then names; of none that was at 0.
fn etag_of(scope: &Scope, set_at: i64) -> String {
    format!("\"{}.{set_at}\"", scope.key().trim_start_matches(':').replace(':', "."))
}

/// What names that a scope has no schedule.
#[must_use]
pub fn none_yet(scope: &Scope) -> Precondition {
    Precondition::Tags(vec![etag_of(scope, 0)])
}

fn stands(app: &App, scope: Scope, row: Option<HealthScheduleRow>) -> Standing {
    let set_at = row.as_ref().map_or(0, |row| row.set_at);
    let etag = etag_of(&scope, set_at);
    let Some(row) = row else { return Standing { scope, schedule: Schedule::default(), set: None, is_sound: true, etag } };
    let set = Some((row.set_at, row.set_by.clone()));
    match row.checked(&app.vault) {
        Ok(row) => Standing { scope, schedule: Schedule::of(&row), set, is_sound: true, etag },
        Err(error) => {
            let cause = error.cause().map(|cause| format!("{cause:#}")).unwrap_or_default();
            tracing::error!(health.scope = scope.key(), error.cause = cause, "a health schedule was refused");
            Standing { scope, schedule: Schedule::default(), set, is_sound: false, etag }
        }
    }
}

/// The schedule of a scope, for those who may see it. Callers authorise first.
pub(super) async fn standing(app: &App, handle: &mut impl Handle, workspace_id: &str, scope: Scope) -> Result<Standing> {
    let row = store::health_schedule(handle, workspace_id, &scope.key()).await?;
    Ok(stands(app, scope, row))
}

/// A page of the schedules of a workspace that are for more than one connection.
pub async fn list(app: &App, caller: &Caller, workspace: &str, paging: &Paging) -> Result<Page<Standing>> {
    let workspace = authorise(app, caller, workspace, Action::SeeConnections).await?;
    let (after, _) = paging.after()?.unwrap_or_default();
    let mut read = app.store.read().await?;
    let rows = store::health_schedules(&mut read, &workspace.id.to_string(), &after, paging.rows_to_read()?).await?;
    let page = paging.page(rows, |row| (row.scope.clone(), String::new()))?;
    Ok(page.map(|row| stands(app, Scope::read(&row.scope), Some(row))))
}

/// The schedule of more than one connection.
pub async fn show(app: &App, caller: &Caller, workspace: &str, scope: &str) -> Result<Standing> {
    let workspace = authorise(app, caller, workspace, Action::SeeConnections).await?;
    standing(app, &mut app.store.read().await?, &workspace.id.to_string(), Scope::of_many(scope)?).await
}

/// Has all connections, or those with a tag, be tested by a schedule. From then on it is the workspace's: it goes on whoever leaves.
///
/// # Errors
/// `Invalid` beyond [`SCHEDULES_MAX`], too.
pub async fn set(
    app: &App,
    caller: &Caller,
    workspace: &str,
    scope: &str,
    (schedule, precondition): (Schedule, &Precondition),
) -> Result<Standing> {
    let workspace = authorise(app, caller, workspace, Action::ScheduleTests).await?;
    let scope = Scope::of_many(scope)?;
    let write = begin(app, caller).await?;
    put(app, caller, write, (&workspace.id.to_string(), scope, schedule, precondition)).await
}

/// Takes the schedule of all connections, or of those with a tag, away.
///
/// # Errors
/// `NotFound` if there is none.
pub async fn remove(app: &App, caller: &Caller, workspace: &str, scope: &str, precondition: &Precondition) -> Result<()> {
    let workspace = authorise(app, caller, workspace, Action::ScheduleTests).await?;
    let scope = Scope::of_many(scope)?;
    let write = begin(app, caller).await?;
    take(app, caller, write, (&workspace.id.to_string(), scope, precondition)).await
}

/// Has one connection be tested by a schedule of its own, whatever others are for it.
pub async fn set_own(
    app: &App,
    caller: &Caller,
    workspace: &str,
    name: &str,
    (schedule, precondition): (Schedule, &Precondition),
) -> Result<Standing> {
    let workspace = admitted(app, caller, workspace, name).await?;
    let mut write = begin(app, caller).await?;
    let (connection, _) = hold_current(app, caller, &mut write, &workspace, name).await?;
    let scope = Scope::Connection { id: connection.id, name: connection.name };
    put(app, caller, write, (&connection.workspace_id, scope, schedule, precondition)).await
}

/// Takes the schedule away that a connection has of its own: then those of its tags count again, or that of all.
///
/// # Errors
/// `NotFound` if there is none.
pub async fn remove_own(app: &App, caller: &Caller, workspace: &str, name: &str, precondition: &Precondition) -> Result<()> {
    let workspace = admitted(app, caller, workspace, name).await?;
    let mut write = begin(app, caller).await?;
    let (connection, _) = hold_current(app, caller, &mut write, &workspace, name).await?;
    let scope = Scope::Connection { id: connection.id, name: connection.name };
    take(app, caller, write, (&connection.workspace_id, scope, precondition)).await
}

async fn put(
    app: &App,
    caller: &Caller,
    mut write: Write,
    (workspace_id, scope, schedule, precondition): (&str, Scope, Schedule, &Precondition),
) -> Result<Standing> {
    hold(&mut write, workspace_id, &scope).await?;
    let key = scope.key();
    let before = store::health_schedule(&mut write, workspace_id, &key).await?;
    precondition.holds(&stands(app, scope.clone(), before.clone()).etag)?;
    let errors = schedule.errors();
    if !errors.is_empty() {
        return Err(Error::Invalid(errors));
    }
    let is_own = matches!(scope, Scope::Connection { .. });
    if before.is_none() && !is_own && store::count_health_schedules(&mut write, workspace_id).await? >= SCHEDULES_MAX {
        let text = format!("would be one more than the {SCHEDULES_MAX} schedules that a workspace may have");
        return Err(Error::Invalid(vec![FieldError::new("scope", "too_many", text)]));
    }
    let before = before.and_then(|row| row.checked(&app.vault).ok());
    if let Some(before) = before.filter(|before| Schedule::of(before) == schedule) {
        write.commit_quietly().await?;
        return Ok(stands(app, scope, Some(before)));
    }
    let (quiet_from, quiet_to) = schedule.quiet.unzip();
    let row = HealthScheduleRow {
        workspace_id: workspace_id.to_owned(),
        scope: key,
        every_seconds: schedule.every_seconds,
        jitter_percent: schedule.jitter_percent,
        unhealthy_after: schedule.unhealthy_after,
        healthy_after: schedule.healthy_after,
        quiet_from,
        quiet_to,
        set_at: app.clock.now(),
        set_by: caller.label().into_owned(),
        set_by_id: caller.identity().into_owned(),
        mac: Vec::new(),
    }
    .sealed(&app.vault);
    store::put_health_schedule(&mut write, &row).await?;
    follow(app, &mut write, workspace_id, &scope).await?;
    let detail = serde_json::json!({
        "every_seconds": row.every_seconds, "jitter_percent": row.jitter_percent, "unhealthy_after": row.unhealthy_after,
        "healthy_after": row.healthy_after, "quiet_from": row.quiet_from, "quiet_to": row.quiet_to
    });
    let action = if is_own { "connection.health_schedule_set" } else { "health_schedule.set" };
    record(app, &mut write, caller, (workspace_id, &scope), (action, detail)).await?;
    write.commit_quietly().await?;
    Ok(stands(app, scope, Some(row)))
}

async fn take(
    app: &App,
    caller: &Caller,
    mut write: Write,
    (workspace_id, scope, precondition): (&str, Scope, &Precondition),
) -> Result<()> {
    hold(&mut write, workspace_id, &scope).await?;
    let before = store::health_schedule(&mut write, workspace_id, &scope.key()).await?;
    precondition.holds(&stands(app, scope.clone(), before).etag)?;
    if !store::delete_health_schedule(&mut write, workspace_id, &scope.key()).await? {
        return Err(Error::NotFound("health schedule"));
    }
    follow(app, &mut write, workspace_id, &scope).await?;
    let is_own = matches!(scope, Scope::Connection { .. });
    let action = if is_own { "connection.health_schedule_removed" } else { "health_schedule.removed" };
    record(app, &mut write, caller, (workspace_id, &scope), (action, serde_json::json!({}))).await?;
    Ok(write.commit_quietly().await?)
}

/// Keeps the workspace from everybody else where many are to be looked at; of one connection that is held already.
async fn hold(write: &mut Write, workspace_id: &str, scope: &Scope) -> Result<()> {
    match scope {
        Scope::Connection { .. } => store::share_workspace(write, workspace_id).await?,
        Scope::All | Scope::Tag(_) => store::hold_workspace(write, workspace_id).await?,
    }
    Ok(())
}

/// Has those be tested by it that it is for, or by others where it is gone.
async fn follow(app: &App, write: &mut Write, workspace_id: &str, scope: &Scope) -> Result<()> {
    let Scope::Connection { id, .. } = scope else { return follow_all(app, write, workspace_id, scope).await };
    let connection = store::connection_by_id(write, id).await?.ok_or(Error::NotFound("connection"))?;
    follow_one(app, write, &connection).await
}

async fn record(
    app: &App,
    write: &mut Write,
    caller: &Caller,
    (workspace_id, scope): (&str, &Scope),
    (action, detail): (&'static str, serde_json::Value),
) -> Result<()> {
    let object = match scope {
        Scope::Connection { name, .. } => name.clone(),
        other => other.text(),
    };
    let event = Event { at: app.clock.now(), workspace_id: Some(workspace_id.to_owned()), action, object: &object, detail };
    Ok(audit::record(write, &app.vault, caller, event).await?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::parse_rfc3339;

    fn at(time: &str) -> i64 {
        parse_rfc3339(&format!("2026-11-30T{time}Z")).expect("a time")
    }

    #[test]
    fn quiet_hours_end_where_they_say_on_this_day_or_the_next() {
        let night = Schedule { quiet: Some((22 * 60, 6 * 60)), ..Schedule::default() };
        let noon = Schedule { quiet: Some((12 * 60, 12 * 60 + 30)), ..Schedule::default() };
        for (schedule, now, until) in [
            (&night, "21:59:59", None),
            (&night, "22:00:00", Some(at("06:00:00") + DAY)),
            (&night, "05:59:59", Some(at("06:00:00"))),
            (&night, "06:00:00", None),
            (&noon, "12:00:00", Some(at("12:30:00"))),
            (&noon, "12:29:59", Some(at("12:30:00"))),
            (&noon, "12:30:00", None),
            (&Schedule::default(), "00:00:00", None),
        ] {
            assert_eq!(schedule.quiet_until(at(now)), until, "{now} of {:?}", schedule.quiet);
        }
    }

    #[test]
    fn the_next_test_comes_after_the_time_more_or_less() {
        let schedule = Schedule { every_seconds: 600, jitter_percent: 10, ..Schedule::default() };
        let chances = (0..2_000).map(|n| u64::MAX / 2_000 * n);
        let after: Vec<_> = chances.clone().map(|chance| schedule.next(0, false, chance) / SECOND).collect();
        assert!(after.iter().all(|after| (540..=660).contains(after)), "{after:?}");
        assert!(after.iter().any(|after| *after < 550) && after.iter().any(|after| *after > 650));
        let first: Vec<_> = chances.map(|chance| schedule.next(0, true, chance) / SECOND).collect();
        assert!(first.iter().all(|after| (30..=600).contains(after)) && first.iter().any(|after| *after < 120), "{first:?}");
        let exact = Schedule { jitter_percent: 0, ..schedule };
        assert_eq!(exact.next(7, false, 12_345), 7 + 600 * SECOND);
    }

    #[test]
    fn what_is_refused_is_named() {
        let fields = |schedule: Schedule| -> Vec<_> { schedule.errors().into_iter().map(|error| error.field).collect() };
        assert_eq!(fields(Schedule::default()), [""; 0]);
        let wrong = Schedule {
            every_seconds: EVERY_MIN - 1,
            jitter_percent: JITTER_MAX + 1,
            unhealthy_after: 0,
            healthy_after: AFTER_MAX + 1,
            quiet: Some((60, 60)),
        };
        assert_eq!(fields(wrong), ["every_seconds", "jitter_percent", "unhealthy_after", "healthy_after", "quiet_hours"]);
        assert_eq!(fields(Schedule { quiet: Some((0, MINUTES)), ..Schedule::default() }), ["quiet_hours"]);
    }

    #[test]
    fn a_scope_reads_as_it_is_written() {
        for text in ["all", "tag:finance"] {
            let scope = Scope::of_many(text).expect("a scope");
            assert_eq!(scope.text(), text);
            assert_eq!(Scope::read(&scope.key()), scope);
        }
        assert_eq!(Scope::of_many("tag:Finance").expect("a scope"), Scope::Tag("finance".into()));
        for text in ["", "tag:", "tag:a b", "connection:sales", "All"] {
            assert!(Scope::of_many(text).is_err(), "{text}");
        }
    }
}
