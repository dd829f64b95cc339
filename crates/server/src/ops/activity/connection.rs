//! What happened to a connection and is no event of the audit: tests with what they came to, and workflows that used it first or could not connect.

use anyhow::anyhow;
use dataflow_model::TestReport;
use serde_json::{Value, json};

use super::Entry;
use crate::{
    audit::{CHECKED, FAILED, FIRST_USED},
    error::{Error, Result},
    store::{self, ActivityQuery, Handle, NamedCheckRow, SightedRow},
};

/// Those of one connection by its name that a query asks for, each sort newest first.
pub(super) async fn list(handle: &mut impl Handle, query: &ActivityQuery<'_>) -> Result<Vec<Entry>> {
    let wants = |action: &str| query.action.is_empty() || query.action == action;
    let mut entries = Vec::new();
    // No workflow runs a test, and who used it first is not kept.
    if wants(CHECKED) && query.workflow.is_empty() {
        for row in store::list_named_checks(handle, query).await? {
            entries.push(checked(query.connection, row)?);
        }
    }
    if wants(FIRST_USED) && query.actor.is_empty() {
        let rows = store::list_first_uses(handle, query).await?;
        entries.extend(rows.into_iter().map(|row| sighted(query.connection, FIRST_USED, row)));
    }
    if wants(FAILED) && query.actor.is_empty() {
        let rows = store::list_failures(handle, query).await?;
        entries.extend(rows.into_iter().map(|row| sighted(query.connection, FAILED, row)));
    }
    Ok(entries)
}

fn checked(connection: &str, row: NamedCheckRow) -> Result<Entry> {
    let report: TestReport = serde_json::from_str(&row.report)
        .map_err(|error| Error::Internal(anyhow!(error).context("a kept report does not parse")))?;
    let mut detail = json!({"result": report.status.as_str()});
    if let (Some(error), Some(members)) = (report.error, detail.as_object_mut()) {
        members.insert("cause".to_owned(), error.code.label().into());
    }
    Ok(Entry {
        actor: row.checked_by,
        version: Some(row.version),
        detail,
        ..entry((row.id, row.checked_at), connection, CHECKED)
    })
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
