//! Forgets what is no longer needed: ended sessions, expired links and idempotency keys, checks beyond what is kept, and what an
//! owner wants kept no longer.
//!
//! A tombstone stays, with what it tells; its versions go once nobody can bring it back. How the audit loses its beginning is
//! `audit::expiry`'s.

use std::{sync::Arc, time::Duration};

use anyhow::anyhow;

use super::Stop;
use crate::{
    app::App,
    audit::expiry,
    clock::{DAY, SECOND},
    ops::{
        dependents::{HELD, settle::settle},
        idempotency::REMEMBERED,
        sessions::{SESSION_IDLE, SESSION_LONGEST},
        settings::{self, Retention},
    },
    store::{self, Batch, Result},
};

/// How often it runs, on one of the nodes.
pub const EVERY: i64 = 3_600 * SECOND;
/// How often a node asks whether it is time.
const ASK_EVERY: Duration = Duration::from_mins(1);
/// Checks that are kept of a connection.
pub const CHECKS_KEPT: i64 = 1_000;
/// The same of those that clients told of, which take none of the others' room.
pub const CLIENT_CHECKS_KEPT: i64 = 100;
/// Rows that one transaction deletes at most: nobody who saves waits longer than for these.
const BATCH: i64 = 500;
/// Connections that one run thins out at most, of each table.
const CONNECTIONS: i64 = 1_000;

pub async fn run(app: Arc<App>, mut stop: Stop) {
    let mut tidied = i64::MIN;
    loop {
        let now = app.clock.now();
        if now.saturating_sub(tidied) >= EVERY {
            tidied = now;
            if let Err(error) = tidy(&app, now).await {
                tracing::warn!(error.cause = format!("{error:#}"), "old audit segments could not be removed");
            }
        }
        if let Err(error) = run_if_due(&app).await {
            tracing::warn!(error.cause = format!("{:#}", anyhow!(error)), "old rows could not be purged");
        }
        if !stop.pause(ASK_EVERY).await {
            return;
        }
    }
}

/// What each node does by itself, and before any drops more.
pub async fn tidy(app: &App, now: i64) -> anyhow::Result<()> {
    let retention = settings::in_force::<Retention>(app).await.unwrap_or_default();
    expiry::tidy(app, now, retention.read_days.map(|days| expiry::before(now, days))).await
}

/// Purges if no node has for an hour; whether it did. Of many nodes that ask at the same instant one does.
pub async fn run_if_due(app: &App) -> Result<bool> {
    let now = app.clock.now();
    let mut write = app.store.write().await?;
    let due = store::take_turn(&mut write, "purge", now, now - EVERY).await?;
    write.commit_quietly().await?;
    if due {
        purge(app, now).await?;
    }
    Ok(due)
}

async fn purge(app: &App, now: i64) -> Result<()> {
    let (idle, begun) = (now - SESSION_IDLE, now - SESSION_LONGEST);
    for batch in [
        Batch::Sessions { idle_since: idle, begun_before: begun },
        Batch::Links { expired_before: now },
        Batch::IdempotencyKeys { noted_before: now - REMEMBERED },
        Batch::Holders { given_before: now - HELD },
    ] {
        delete_all(app, &batch).await?;
    }
    match settings::in_force(app).await {
        Ok(retention) => by_age(app, now, retention).await,
        Err(error) => {
            let cause = error.cause().map(|cause| format!("{cause:#}")).unwrap_or_default();
            tracing::error!(error.cause = cause, "how long history is kept is not known, so none of it is forgotten for its age");
            Ok(())
        }
    }
}

async fn by_age(app: &App, now: i64, retention: Retention) -> Result<()> {
    let (changes, reads) = (retention.change_days, retention.read_days);
    let (changes, reads) = (changes.map(|days| expiry::before(now, days)), reads.map(|days| expiry::before(now, days)));
    if let Err(error) = expiry::expire(app, changes, reads).await {
        tracing::error!(error.cause = format!("{error:#}"), "what is old in the audit was not dropped");
    } else if let Some(read_before) = reads {
        delete_all(app, &Batch::OldReads { read_before }).await?;
    }
    let before = |days: i64| now - days.saturating_mul(DAY);
    if let Some(checked_before) = retention.check_days.map(before) {
        delete_all(app, &Batch::OldChecks { checked_before }).await?;
        delete_all(app, &Batch::OldHealthChanges { changed_before: checked_before }).await?;
    }
    if let Some(before) = retention.restore_days.map(before) {
        delete_all(app, &Batch::SecondLogins { deleted_before: before }).await?;
        delete_all(app, &Batch::RotationPolicies { deleted_before: before }).await?;
        delete_all(app, &Batch::HealthSchedules { deleted_before: before }).await?;
        delete_all(app, &Batch::LintSilences { deleted_before: before }).await?;
        delete_all(app, &Batch::Deleted { before }).await?;
    }
    if let Some(before) = retention.workflow_days.map(before) {
        forget_workflows(app, before).await?;
    }
    let Some(before) = retention.version_days.map(before) else { return Ok(()) };
    let replaced = store::connections_with_replaced(&mut app.store.read().await?, before, CONNECTIONS).await?;
    for connection in replaced {
        delete_all(app, &Batch::Replaced { connection, before }).await?;
    }
    Ok(())
}

async fn forget_workflows(app: &App, before: i64) -> Result<()> {
    let names = store::names_seen_before(&mut app.store.read().await?, before, CONNECTIONS).await?;
    for (workspace_id, name_key) in names {
        let mut write = app.store.write().await?;
        store::share_workspace(&mut write, &workspace_id).await?;
        store::forget_before(&mut write, (&workspace_id, &name_key), before).await?;
        settle(&mut write, &workspace_id, &name_key).await?;
        write.commit_quietly().await?;
    }
    Ok(())
}

/// Deletes batch by batch, each in a transaction of its own, until one is not full.
async fn delete_all(app: &App, batch: &Batch) -> Result<()> {
    loop {
        let mut write = app.store.write().await?;
        let deleted = store::delete_batch(&mut write, batch, BATCH).await?;
        write.commit_quietly().await?;
        if deleted < BATCH.unsigned_abs() {
            return Ok(());
        }
    }
}
