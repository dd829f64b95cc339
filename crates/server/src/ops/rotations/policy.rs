//! What new passwords of a connection are made of, and how often it gets one: set by who may rotate, and the workspace's from then on.

use dataflow_model::FieldError;
use uuid::Uuid;

use super::{PASSWORD, Problem, Rules, kind_that_rotates};
use crate::{
    app::{App, Workspace},
    audit::{self, Event},
    clock::{DAY, SECOND},
    error::{Error, Result},
    ops::{
        access::{Action, Caller, authorise_name},
        connections::{Precondition, current, hold_current},
        credentials::servable,
        idempotency::begin,
        own_types::catalogue_by,
        rows::{Sealed as _, VersionContent, uuid},
    },
    store::{self, ConnectionRow, Handle, RotationPolicyRow, VersionRow, Write},
};

/// Most days between two rotations: ten years.
pub const DAYS_MAX: i64 = 3_660;
const HOUR: i64 = 3_600 * SECOND;
/// After its hour each connection has a moment of its own, within this time: a workspace in which all rotate at three asks its databases one after
/// another.
const SPREAD: i64 = 600 * SECOND;

/// A policy as it is asked for. The default is what holds where none is set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// `None`: nobody but people rotate.
    pub every_days: Option<i64>,
    /// Of the day in UTC; `None`: whenever it is due.
    pub at_hour: Option<i64>,
    pub rules: Rules,
}

impl Policy {
    pub(super) fn of(row: &RotationPolicyRow) -> Self {
        let rules = Rules { length: row.length, symbols: row.symbols.clone() };
        Self { every_days: row.every_days, at_hour: row.at_hour, rules }
    }

    fn errors(&self) -> Vec<FieldError> {
        let mut errors = self.rules.errors();
        if self.every_days.is_some_and(|days| !(1..=DAYS_MAX).contains(&days)) {
            let text = format!("must be from 1 to {DAYS_MAX} days, or nothing");
            errors.push(FieldError::new("every_days", "out_of_range", text));
        }
        if self.at_hour.is_some_and(|hour| !(0..24).contains(&hour)) {
            errors.push(FieldError::new("at_hour", "out_of_range", "must be from 0 to 23, or nothing"));
        } else if self.at_hour.is_some() && self.every_days.is_none() {
            errors.push(FieldError::new("at_hour", "invalid", "goes with a number of days only"));
        }
        errors
    }

    /// When a password of `since` is to be replaced; nothing where none is by itself.
    pub(super) fn due(&self, since: i64, id: Uuid) -> Option<i64> {
        let days = self.every_days?.saturating_mul(DAY);
        Some(match self.at_hour {
            None => since.saturating_add(days),
            Some(hour) => since.saturating_sub(since.rem_euclid(DAY)).saturating_add(days).saturating_add(hour * HOUR),
        })
        .map(|at| at.saturating_add(spread(id)))
    }

    /// The same of a policy that is set at `now`: what is overdue by it waits for its hour, too.
    pub(super) fn first(&self, now: i64, since: i64, id: Uuid) -> Option<i64> {
        let due = self.due(since, id)?;
        let soonest = match self.at_hour {
            None => now.saturating_add(spread(id)),
            Some(hour) => {
                let today = now - now.rem_euclid(DAY) + hour * HOUR + spread(id);
                if today > now { today } else { today + DAY }
            }
        };
        Some(if due > now { due } else { soonest })
    }
}

/// A connection's own moment: ids are random.
fn spread(id: Uuid) -> i64 {
    let within = id.as_u128() % u128::from(SPREAD.unsigned_abs());
    i64::try_from(within).unwrap_or_default()
}

/// The policy of a connection as it stands.
#[derive(Debug)]
pub struct Standing {
    /// The default where none is set, or where it is not sound.
    pub policy: Policy,
    /// When it was set, and by whom; nothing where none is.
    pub set: Option<(i64, String)>,
    /// Whether it is what somebody set. If not, nothing is rotated by it until somebody sets one again.
    pub is_sound: bool,
    /// When the password is rotated next without anybody's asking.
    pub next_at: Option<i64>,
    /// When that was tried last in vain, and what stood in the way.
    pub failed: Option<(i64, Failure)>,
    /// What a change of it names.
    pub etag: String,
}

/// What stood in the way of a rotation, scrubbed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub message: String,
    pub hint: String,
}

fn standing(app: &App, connection: &ConnectionRow, row: Option<RotationPolicyRow>) -> Standing {
    let set_at = row.as_ref().map_or(0, |row| row.set_at);
    let etag = format!("\"{}.policy.{set_at}\"", connection.id);
    let Some(row) = row else {
        return Standing { policy: Policy::default(), set: None, is_sound: true, next_at: None, failed: None, etag };
    };
    let set = Some((row.set_at, row.set_by.clone()));
    match row.checked(&app.vault) {
        Err(error) => {
            let cause = error.cause().map(|cause| format!("{cause:#}")).unwrap_or_default();
            tracing::error!(connection.id = connection.id, error.cause = cause, "a rotation policy was refused");
            Standing { policy: Policy::default(), set, is_sound: false, next_at: None, failed: None, etag }
        }
        Ok(row) => {
            let problem = row.problem.as_deref().and_then(|problem| serde_json::from_str::<Problem>(problem).ok());
            let failed = row.tried_at.zip(problem);
            let failed = failed.map(|(at, Problem { message, hint, .. })| (at, Failure { message, hint }));
            Standing { policy: Policy::of(&row), set, is_sound: true, next_at: row.next_at, failed, etag }
        }
    }
}

/// The same, for those who have read the connection. Callers authorise first.
pub(in crate::ops) async fn of_connection(app: &App, handle: &mut impl Handle, connection: &ConnectionRow) -> Result<Standing> {
    let row = store::rotation_policy(handle, &connection.id).await?;
    Ok(standing(app, connection, row))
}

/// What a new password of a connection is made of.
///
/// # Errors
/// `SecretUnreadable` where the policy was changed outside of this program: nobody may have weaker passwords made by that.
pub(super) async fn rules(app: &App, handle: &mut impl Handle, connection_id: &str) -> Result<Rules> {
    let row = store::rotation_policy(handle, connection_id).await?;
    let row = row.map(|row| row.checked(&app.vault)).transpose()?;
    Ok(row.map(|row| Policy::of(&row).rules).unwrap_or_default())
}

/// The policy of a connection, and what came of it.
pub async fn show(app: &App, caller: &Caller, workspace: &str, name: &str) -> Result<Standing> {
    let workspace = authorise_name(app, caller, workspace, name, Action::SeeConnections).await?;
    let mut read = app.store.read().await?;
    let (row, _) = current(app, &mut read, &workspace, name).await?;
    of_connection(app, &mut read, &row).await
}

/// Decides what new passwords are made of, and how often one is. From then on that is the workspace's: it goes on whoever leaves. Whoever sets it
/// begins its turn anew, from when the password came into force.
pub async fn set(
    app: &App,
    caller: &Caller,
    workspace: &str,
    name: &str,
    (policy, precondition): (Policy, &Precondition),
) -> Result<Standing> {
    let workspace = admitted(app, caller, workspace, name).await?;
    let mut write = begin(app, caller).await?;
    let (connection, version) = hold_current(app, caller, &mut write, &workspace, name).await?;
    let before = store::rotation_policy(&mut write, &connection.id).await?;
    precondition.holds(&standing(app, &connection, before.clone()).etag)?;
    kind_that_rotates(&*catalogue_by(app, &mut write, &workspace).await?, &connection.type_id)?;
    let errors = policy.errors();
    if !errors.is_empty() {
        return Err(Error::Invalid(errors));
    }
    let before = before.and_then(|row| row.checked(&app.vault).ok());
    // One that rests since a restore begins its turns.
    let is_planned = |row: &RotationPolicyRow| row.next_at.is_some() || row.every_days.is_none();
    if let Some(before) = before.as_ref().filter(|before| Policy::of(before) == policy && is_planned(before)) {
        write.commit_quietly().await?;
        return Ok(standing(app, &connection, Some(before.clone())));
    }
    let now = app.clock.now();
    let is_same = |before: &RotationPolicyRow| (before.every_days, before.at_hour) == (policy.every_days, policy.at_hour);
    let same_times = before.filter(|before| is_same(before) && is_planned(before));
    let (next_at, tries, tried_at, problem) = if let Some(before) = same_times {
        (before.next_at, before.tries, before.tried_at, before.problem)
    } else {
        let since = in_force_since(&mut write, &connection, &version).await?.unwrap_or(now);
        (policy.first(now, since, uuid(&connection.id)?), 0, None, None)
    };
    let row = RotationPolicyRow {
        connection_id: connection.id.clone(),
        workspace_id: connection.workspace_id.clone(),
        every_days: policy.every_days,
        at_hour: policy.at_hour,
        length: policy.rules.length,
        symbols: policy.rules.symbols,
        set_at: now,
        set_by: caller.label().into_owned(),
        set_by_id: caller.identity().into_owned(),
        mac: Vec::new(),
        next_at,
        tries,
        tried_at,
        problem,
    }
    .sealed(&app.vault);
    store::put_rotation_policy(&mut write, &row).await?;
    let detail = serde_json::json!({
        "every_days": row.every_days, "at_hour": row.at_hour, "length": row.length, "symbols": row.symbols
    });
    record(app, &mut write, caller, &connection, ("connection.rotation_policy_set", detail)).await?;
    write.commit_quietly().await?;
    Ok(standing(app, &connection, Some(row)))
}

/// Takes the policy away: passwords are made as by default, and when somebody asks for one.
///
/// # Errors
/// `NotFound` if there is none.
pub async fn remove(app: &App, caller: &Caller, workspace: &str, name: &str, precondition: &Precondition) -> Result<()> {
    let workspace = admitted(app, caller, workspace, name).await?;
    let mut write = begin(app, caller).await?;
    let (connection, _) = hold_current(app, caller, &mut write, &workspace, name).await?;
    let before = store::rotation_policy(&mut write, &connection.id).await?;
    precondition.holds(&standing(app, &connection, before).etag)?;
    if !store::delete_rotation_policy(&mut write, &connection.id).await? {
        return Err(Error::NotFound("rotation policy"));
    }
    record(app, &mut write, caller, &connection, ("connection.rotation_policy_removed", serde_json::json!({}))).await?;
    Ok(write.commit_quietly().await?)
}

/// The workspace, if the caller may rotate the connection's password.
async fn admitted(app: &App, caller: &Caller, workspace: &str, name: &str) -> Result<std::sync::Arc<Workspace>> {
    let workspace = authorise_name(app, caller, workspace, name, Action::RotatePasswords).await?;
    servable(app, &workspace, name).await?.admit(caller, &workspace, name)?;
    Ok(workspace)
}

async fn record(
    app: &App,
    write: &mut Write,
    caller: &Caller,
    connection: &ConnectionRow,
    (action, detail): (&'static str, serde_json::Value),
) -> Result<()> {
    let (at, workspace_id) = (app.clock.now(), Some(connection.workspace_id.clone()));
    Ok(audit::record(write, &app.vault, caller, Event { at, workspace_id, action, object: &connection.name, detail }).await?)
}

/// When the version was saved that brought the password; nothing where there is none, or that version was purged.
async fn in_force_since(handle: &mut impl Handle, connection: &ConnectionRow, version: &VersionRow) -> Result<Option<i64>> {
    let content = VersionContent::read(version)?;
    let Some((_, secret)) = content.secrets.iter().find(|(path, _)| path.as_str() == PASSWORD) else { return Ok(None) };
    let came_with = store::version(handle, &connection.id, secret.version).await?;
    Ok(came_with.map(|version| version.saved_at))
}

/// Where a connection gets a new password as of `now`, wherever it came from, its turn begins anew, in the transaction of that.
pub(in crate::ops) async fn begin_turn(
    app: &App,
    write: &mut Write,
    (connection, changed): (&ConnectionRow, &[String]),
    now: i64,
) -> Result<()> {
    if !changed.iter().any(|field| field == PASSWORD) {
        return Ok(());
    }
    let Some(row) = store::rotation_policy(write, &connection.id).await? else { return Ok(()) };
    // By one that was bent nothing is done, and nothing of it is lost.
    let Ok(row) = row.checked(&app.vault) else { return Ok(()) };
    let next_at = Policy::of(&row).due(now, uuid(&connection.id)?);
    Ok(store::begin_rotation_turn(write, &connection.id, next_at).await?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::parse_rfc3339;

    fn at(text: &str) -> i64 {
        parse_rfc3339(text).expect("a time")
    }

    /// Of a connection whose moment is the first.
    fn policy(every_days: i64, at_hour: Option<i64>) -> Policy {
        Policy { every_days: Some(every_days), at_hour, ..Policy::default() }
    }

    #[test]
    fn a_password_is_due_at_its_hour_of_the_day_on_which_the_days_are_over() {
        for (days, hour, since, due) in [
            (30, Some(3), "2026-11-02T09:00:00Z", "2026-12-02T03:00:00Z"),
            (30, Some(3), "2026-11-02T03:04:11Z", "2026-12-02T03:00:00Z"),
            (1, Some(0), "2026-12-31T23:59:59Z", "2027-01-01T00:00:00Z"),
            (1, Some(23), "2027-02-28T23:04:00Z", "2027-03-01T23:00:00Z"),
            (7, None, "2026-11-02T09:00:00Z", "2026-11-09T09:00:00Z"),
        ] {
            assert_eq!(policy(days, hour).due(at(since), Uuid::nil()), Some(at(due)), "{days} days at {hour:?} from {since}");
        }
        assert_eq!(Policy::default().due(0, Uuid::nil()), None);
    }

    #[test]
    fn what_is_overdue_as_it_is_planned_waits_for_its_hour() {
        for (days, hour, since, now, first) in [
            (30, Some(3), "2026-11-02T09:00:00Z", "2026-11-10T12:00:00Z", "2026-12-02T03:00:00Z"),
            (30, Some(3), "2026-01-02T09:00:00Z", "2026-11-10T12:00:00Z", "2026-11-11T03:00:00Z"),
            (30, Some(13), "2026-01-02T09:00:00Z", "2026-11-10T12:00:00Z", "2026-11-10T13:00:00Z"),
            (30, None, "2026-01-02T09:00:00Z", "2026-11-10T12:00:00Z", "2026-11-10T12:00:00Z"),
        ] {
            let planned = policy(days, hour).first(at(now), at(since), Uuid::nil());
            assert_eq!(planned, Some(at(first)), "{days} days at {hour:?} from {since}, planned at {now}");
        }
    }

    #[test]
    fn connections_of_one_hour_are_spread_over_ten_minutes() {
        let moments: Vec<_> = (0..500).filter_map(|_| policy(1, Some(3)).due(0, dataflow_vault::random_uuid())).collect();
        assert!(moments.iter().all(|moment| (0..SPREAD).contains(&(moment - DAY - 3 * HOUR))));
        let of_minute =
            |minute: i64| moments.iter().filter(|moment| (*moment - DAY - 3 * HOUR) / (60 * SECOND) == minute).count();
        // Of 500 in ten, each has 50 on average; 15 or 85 comes once in some million times.
        assert!((0..10).all(|minute| (15..=85).contains(&of_minute(minute))), "{moments:?}");
    }

    #[test]
    fn what_is_refused_is_named() {
        let fields = |policy: Policy| -> Vec<_> { policy.errors().into_iter().map(|error| error.field).collect() };
        assert_eq!(fields(policy(1, Some(0))), [""; 0]);
        assert_eq!(fields(policy(DAYS_MAX, Some(23))), [""; 0]);
        assert_eq!(fields(policy(0, Some(24))), ["every_days", "at_hour"]);
        assert_eq!(fields(policy(DAYS_MAX + 1, Some(-1))), ["every_days", "at_hour"]);
        assert_eq!(fields(Policy { at_hour: Some(3), ..Policy::default() }), ["at_hour"]);
        let weak = Rules { length: 8, symbols: "@".into() };
        assert_eq!(fields(Policy { rules: weak, ..policy(0, None) }), ["length", "symbols", "every_days"]);
    }
}
