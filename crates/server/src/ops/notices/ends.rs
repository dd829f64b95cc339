//! What ends: certificates and passwords, as the last test of a connection learnt it; and when that is told: 30, 7 and 1 days before, and once it has.

use dataflow_model::{TestReport, TestStatus};

use super::{About, tell};
use crate::{
    app::App,
    clock::{DAY, parse_rfc3339},
    error::Result,
    ops::{
        access::{Action, Caller, authorise},
        checks::ENDS_SOON_DAYS,
        paging::{Page, Paging},
    },
    store::{self, ConnectionRow, EndOfRow, EndRow, NEVER_ENDS, NoticeRow, Write},
};

/// How many days before the end it is told.
const BEFORE: [i64; 4] = [30, 7, 1, 0];
/// Ends that one look tells.
const AT_ONCE: i64 = 100;

/// When an end is told next after `now`; nothing if it has been told for the last time.
fn next(ends_at: i64, now: i64) -> Option<i64> {
    BEFORE.into_iter().map(|days| ends_at.saturating_sub(days.saturating_mul(DAY))).find(|at| *at > now)
}

/// When an end is told that another one was known of before. What is near is told at once, and yet not more than once a day: of servers behind one
/// name each may have its own certificate.
fn first(ends_at: i64, now: i64, told_at: Option<i64>) -> Option<i64> {
    let is_near = ends_at.saturating_sub(now) < BEFORE[0].saturating_mul(DAY);
    if is_near { Some(told_at.map_or(now, |told| now.max(told.saturating_add(DAY)))) } else { next(ends_at, now) }
}

/// Keeps what a test of the version that serves learnt of its ends, in the transaction that keeps its report. One that failed learnt nothing.
pub(in crate::ops) async fn follow(write: &mut Write, connection: &ConnectionRow, report: &TestReport, now: i64) -> Result<()> {
    if report.status == TestStatus::Failed {
        return Ok(());
    }
    let learned = &report.learned;
    // What is learnt of a login takes time of its own, and may be cut off.
    let is_login_known = learned.is_superuser.is_some();
    let ends =
        [(About::Certificate, &learned.certificate_ends_at, true), (About::Password, &learned.password_ends_at, is_login_known)];
    for (about, at, is_known) in ends {
        let before = store::end(write, &connection.id, about.as_str()).await?;
        let told_at = before.as_ref().and_then(|before| before.told_at);
        let (ends_at, next_at) = match (at.as_deref().and_then(parse_rfc3339), &before) {
            (None, None) => continue,
            (None, Some(_)) if !is_known => continue,
            (None, Some(before)) if before.ends_at == NEVER_ENDS => continue,
            (None, Some(_)) => (NEVER_ENDS, None),
            // Of a store that was restored it is told again from here on.
            (Some(at), Some(before)) if before.ends_at == at => match (before.next_at, next(at, now)) {
                (None, Some(next)) => (at, Some(next)),
                _ => continue,
            },
            (Some(at), _) => (at, first(at, now, told_at)),
        };
        let row = EndRow {
            connection_id: connection.id.clone(),
            about: about.as_str().to_owned(),
            workspace_id: connection.workspace_id.clone(),
            ends_at,
            next_at,
            told_at,
        };
        store::put_end(write, &row).await?;
        // What is still to be told of the end of before is no longer so.
        store::forget_notices(write, &connection.id, about.as_str()).await?;
    }
    Ok(())
}

/// Has some of what ends soon be told by the channels of its workspace. Gives whether there is more of it.
pub async fn tell_due(app: &App) -> Result<bool> {
    let now = app.clock.now();
    let due = store::ends_due(&mut app.store.read().await?, now, AT_ONCE).await?;
    let is_more = i64::try_from(due.len()).is_ok_and(|count| count == AT_ONCE);
    let mut failed = 0;
    for row in due {
        if let Err(error) = tell_end(app, &row, now).await {
            let cause = error.cause().map(|cause| format!("{cause:#}")).unwrap_or_default();
            let (id, code) = (row.connection_id.as_str(), error.describe().1.as_str());
            tracing::warn!(connection.id = id, error.code = code, error.cause = cause, "an end could not be told");
            failed += 1;
        }
    }
    // Where they cannot be written, it is looked again as often as usual.
    Ok(is_more && failed == 0)
}

async fn tell_end(app: &App, row: &EndRow, now: i64) -> Result<()> {
    let mut write = app.store.write().await?;
    // Whoever keeps a check holds the connection before what it learnt.
    store::hold_connection_by_id(&mut write, &row.connection_id).await?;
    // Whoever sets or removes a channel holds the workspace.
    store::share_workspace(&mut write, &row.workspace_id).await?;
    if !store::move_end(&mut write, row, next(row.ends_at, now), now).await? {
        return Ok(());
    }
    let connection = store::connection_by_id(&mut write, &row.connection_id).await?;
    if let (Some(connection), Some(about)) = (connection.filter(|row| row.deleted_at.is_none()), About::parse(&row.about)) {
        let notice = NoticeRow {
            channel_id: String::new(),
            connection_id: row.connection_id.clone(),
            about: row.about.clone(),
            was: String::new(),
            state: "ends".to_owned(),
            at: now,
            cause: None,
            message: None,
            ends_at: Some(row.ends_at),
            taken_at: None,
            taken_state: None,
        };
        tell(app, &mut write, &connection, about, notice).await?;
    }
    Ok(write.commit_quietly().await?)
}

/// A page of what ends within [`ENDS_SOON_DAYS`] days or has ended, soonest first.
pub async fn list(app: &App, caller: &Caller, workspace: &str, paging: &Paging) -> Result<Page<EndOfRow>> {
    let workspace = authorise(app, caller, workspace, Action::SeeConnections).await?;
    let (at, key) = paging.after()?.unwrap_or_default();
    let at = at.parse().unwrap_or(i64::MIN);
    let until = app.clock.now().saturating_add(ENDS_SOON_DAYS.saturating_mul(DAY));
    let mut read = app.store.read().await?;
    let rows = store::ends_until(&mut read, (&workspace.id.to_string(), until), (at, &key), paging.rows_to_read()?).await?;
    let place = |row: &EndOfRow| (row.end.ends_at.to_string(), format!("{}{}", row.end.connection_id, row.end.about));
    let Page { mut rows, next } = paging.page(rows, place)?;
    if let Some(names) = caller.narrowed_to() {
        rows.retain(|row| names.contains(&row.name));
    }
    Ok(Page { rows, next })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_told_thirty_seven_and_one_days_before_and_once_it_is_there() {
        let ends_at = 1_000 * DAY;
        let told: Vec<_> = std::iter::successors(first(ends_at, 0, None), |at| next(ends_at, *at)).collect();
        assert_eq!(told, [970, 993, 999, 1_000].map(|day| day * DAY));
        assert_eq!(next(ends_at, ends_at), None);
    }

    #[test]
    fn what_is_near_when_it_is_learnt_is_told_at_once_and_not_twice_a_day() {
        let ends_at = 1_000 * DAY;
        for (now, told_at, at) in [
            (999 * DAY, None, 999 * DAY),
            (1_001 * DAY, None, 1_001 * DAY),
            (980 * DAY, Some(979 * DAY + 1), 980 * DAY + 1),
            (980 * DAY, Some(900 * DAY), 980 * DAY),
            (970 * DAY + 1, None, 970 * DAY + 1),
            (10 * DAY, Some(9 * DAY), 970 * DAY),
        ] {
            assert_eq!(first(ends_at, now, told_at), Some(at), "at {now}");
        }
    }
}
