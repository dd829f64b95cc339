//! What happened to a connection and is no event of the audit: tests with what they came to, and workflows that used it first or could not connect.

use anyhow::anyhow;
use dataflow_model::TestReport;
use serde_json::{Value, json};

use super::Entry;
use crate::{
    audit::{self, CHECKED, FAILED, FIRST_USED, HEALTHY, UNHEALTHY},
    error::{Error, Result},
    store::{self, ActivityQuery, Handle, HealthChangeRow, NamedCheckRow, SightedRow},
};

/// Those of one connection by its names that a query asks for.
pub(super) async fn list(handle: &mut impl Handle, query: &ActivityQuery<'_>, former: &[Former]) -> Result<Vec<Entry>> {
    let wants = |action: &str| query.action.is_empty() || query.action == action;
    let mut entries = Vec::new();
    // No workflow runs a test, and who used it first is not kept.
    if wants(CHECKED) && query.workflow.is_empty() {
        for row in store::list_named_checks(handle, query).await? {
            entries.push(checked(query.connection, row)?);
        }
    }
    for (action, state) in [(UNHEALTHY, "unhealthy"), (HEALTHY, "healthy")] {
        if wants(action) && query.workflow.is_empty() && query.actor.is_empty() {
            let rows = store::list_named_health_changes(handle, query, state).await?;
            entries.extend(rows.into_iter().map(|row| changed(query.connection, action, row)));
        }
    }
    for query in std::iter::once(*query).chain(former.iter().map(|former| former.query(query))) {
        if wants(FIRST_USED) && query.actor.is_empty() {
            let rows = store::list_first_uses(handle, &query).await?;
            entries.extend(rows.into_iter().map(|row| sighted(query.connection, FIRST_USED, row)));
        }
        if wants(FAILED) && query.actor.is_empty() {
            let rows = store::list_failures(handle, &query).await?;
            entries.extend(rows.into_iter().map(|row| sighted(query.connection, FAILED, row)));
        }
    }
    Ok(entries)
}

/// Names of which more than so many ago are not followed.
const FORMER: usize = 20;
/// After every id.
const LAST: &str = "\u{10ffff}";

/// A name that the connection of a query had before, and the time in which it had it.
pub(super) struct Former {
    name: String,
    since: i64,
    until: i64,
}

impl Former {
    /// The same query, of what happened under this name.
    pub fn query<'q>(&'q self, query: &ActivityQuery<'q>) -> ActivityQuery<'q> {
        let (since, before) = (query.since.max(self.since), query.before.min((self.until, LAST)));
        ActivityQuery { connection: &self.name, since, before, ..*query }
    }
}

/// What the connection of a query, if it asks for one, was called before.
pub(super) async fn former(handle: &mut impl Handle, query: &ActivityQuery<'_>) -> Result<Vec<Former>> {
    let ActivityQuery { workspace_id, connection: name, .. } = *query;
    if name.is_empty() {
        return Ok(Vec::new());
    }
    let Some(row) = store::newest_connection(handle, workspace_id, name, &name.to_ascii_lowercase()).await? else {
        return Ok(Vec::new());
    };
    // One more: when the oldest that is followed began.
    let rows = store::former_names(handle, &row.id, i64::try_from(FORMER).unwrap_or(i64::MAX).saturating_add(1)).await?;
    let begins: Vec<_> = rows.iter().skip(1).map(|row| row.until).chain([row.created_at]).collect();
    let former = rows.into_iter().zip(begins).map(|(row, since)| Former { name: row.name, since, until: row.until });
    Ok(former.take(FORMER).collect())
}

fn checked(connection: &str, row: NamedCheckRow) -> Result<Entry> {
    let report: TestReport = serde_json::from_str(&row.report)
        .map_err(|error| Error::Internal(anyhow!(error).context("a kept report does not parse")))?;
    let mut detail = json!({"result": report.status.as_str()});
    audit::note(&mut detail, "cause", report.error.map(|error| error.code.label()));
    Ok(Entry {
        actor: row.checked_by,
        version: Some(row.version),
        detail,
        ..entry((row.id, row.checked_at), connection, CHECKED)
    })
}

fn changed(connection: &str, action: &str, row: HealthChangeRow) -> Entry {
    let mut detail = serde_json::json!({});
    audit::note(&mut detail, "cause", row.cause);
    Entry { version: Some(row.version), detail, ..entry((row.id, row.at), connection, action) }
}

fn sighted(connection: &str, action: &str, row: SightedRow) -> Entry {
    let SightedRow { id, at, kind, workflow, version } = row;
    let entry = entry((id, at), connection, action);
    // Who tells no workflow stands there under his own name.
    if kind.is_empty() {
        return Entry { actor: workflow, version, ..entry };
    }
    Entry { workflow: Some((kind, workflow, None)), version, ..entry }
}

fn entry((id, at): (String, i64), connection: &str, action: &str) -> Entry {
    Entry {
        id,
        at,
        last_at: at,
        actor: String::new(),
        action: action.to_owned(),
        object: connection.to_owned(),
        workflow: None,
        version: None,
        count: 1,
        address: None,
        detail: Value::Object(serde_json::Map::new()),
        is_authentic: None,
    }
}
