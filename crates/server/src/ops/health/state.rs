//! How a connection stands by its tests: one that fails now and then is not unhealthy, and one that passed once is not healthy again.

use dataflow_model::{Cause, TestReport, TestStatus};
use dataflow_vault::random_uuid;

use super::schedule::Schedule;
use crate::{
    app::App,
    error::Result,
    ops::{notices, rows::Sealed as _},
    store::{self, ConnectionRow, HealthChangeRow, HealthRow, Write},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Not tested often enough to tell.
    Unknown,
    Healthy,
    Unhealthy,
}

impl State {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }

    /// The state of this word; whatever else stands there tells nothing.
    #[must_use]
    pub fn parse(word: &str) -> Self {
        [Self::Healthy, Self::Unhealthy].into_iter().find(|state| state.as_str() == word).unwrap_or(Self::Unknown)
    }
}

/// How a connection stands after a test at `now`, that failed or did not; and whether that is another state than before.
fn after(before: &HealthRow, has_failed: bool, now: i64, schedule: &Schedule) -> (HealthRow, bool) {
    let goes_on = before.streak > 0 && before.is_failing == has_failed;
    let (streak, streak_since) = if goes_on { (before.streak.saturating_add(1), before.streak_since) } else { (1, now) };
    let was = State::parse(&before.state);
    let state = match (has_failed, was) {
        (true, _) if streak >= schedule.unhealthy_after => State::Unhealthy,
        // Of what nothing was known one test that passed is enough.
        (false, State::Unknown) => State::Healthy,
        (false, _) if streak >= schedule.healthy_after => State::Healthy,
        _ => was,
    };
    let row = HealthRow {
        state: state.as_str().to_owned(),
        since: if state == was { before.since } else { streak_since },
        is_failing: has_failed,
        streak,
        streak_since,
        passed_at: if has_failed { before.passed_at } else { Some(now) },
        ..before.clone()
    };
    (row, state != was)
}

/// Whether a report says nothing of what was tested.
fn tells_nothing(report: &TestReport) -> bool {
    report.error.as_ref().is_some_and(|error| error.code == Cause::TestBroken)
}

/// Counts a test of the version that serves for how the connection stands, in the transaction that keeps its report and holds the connection.
/// Whoever ran it: one that somebody ran by hand tells as much.
pub(in crate::ops) async fn observe(
    app: &App,
    write: &mut Write,
    connection: &ConnectionRow,
    report: &TestReport,
    now: i64,
) -> Result<()> {
    let Some(before) = store::health(write, &connection.id).await? else { return Ok(()) };
    // While its password changes, a test is of one of two.
    if tells_nothing(report) || store::rotation(write, &connection.id).await?.is_some() {
        return Ok(());
    }
    let row = store::health_schedule(write, &before.workspace_id, &before.scope).await?;
    let schedule = row.and_then(|row| row.checked(&app.vault).ok()).map(|row| Schedule::of(&row)).unwrap_or_default();
    let was = before.state.clone();
    let (row, is_other) = after(&before, report.status == TestStatus::Failed, now, &schedule);
    // Whoever sets a schedule of many holds the workspace first and these rows then.
    store::share_workspace(write, &row.workspace_id).await?;
    store::stand(write, &row).await?;
    if is_other {
        let error = report.error.as_ref();
        let change = HealthChangeRow {
            id: random_uuid().to_string(),
            connection_id: row.connection_id,
            workspace_id: row.workspace_id,
            at: now,
            state: row.state,
            version: connection.version,
            cause: error.map(|error| error.code.label().to_owned()),
            message: error.map(|error| error.message.clone()),
        };
        store::insert_health_change(write, &change).await?;
        notices::tell_change(app, write, connection, (&was, &change)).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_so_many_tests_in_a_row_to_fall_and_to_recover() {
        let schedule = Schedule { unhealthy_after: 3, healthy_after: 2, ..Schedule::default() };
        let mut row = HealthRow {
            connection_id: "c".into(),
            workspace_id: "w".into(),
            scope: ":all".into(),
            next_at: 0,
            state: "unknown".into(),
            since: 0,
            is_failing: false,
            streak: 0,
            streak_since: 0,
            passed_at: None,
        };
        // What each test came to, at its number: the state that follows, since when, and whether it changed.
        for (now, (passes, state, since, changes)) in [
            (false, "unknown", 0, false),
            (true, "healthy", 2, true),
            (false, "healthy", 2, false),
            (false, "healthy", 2, false),
            (true, "healthy", 2, false),
            (false, "healthy", 2, false),
            (false, "healthy", 2, false),
            (false, "unhealthy", 6, true),
            (true, "unhealthy", 6, false),
            (false, "unhealthy", 6, false),
            (true, "unhealthy", 6, false),
            (true, "healthy", 11, true),
        ]
        .into_iter()
        .enumerate()
        {
            let now = i64::try_from(now).expect("small") + 1;
            let (next, is_other) = after(&row, !passes, now, &schedule);
            assert_eq!((next.state.as_str(), next.since, is_other), (state, since, changes), "test {now}");
            row = next;
        }
        assert_eq!(row.passed_at, Some(12));
        // What has never passed falls, too.
        let mut dead = HealthRow { state: "unknown".into(), streak: 0, passed_at: None, ..row };
        for now in 1..=3 {
            dead = after(&dead, true, now, &schedule).0;
        }
        assert_eq!((dead.state.as_str(), dead.since, dead.passed_at), ("unhealthy", 1, None));
    }
}
