//! Rows that grant, held against the last event of each. A row's MAC says that this program made it, and not when: whoever can write the store
//! can put an older one back. So each event has the beginning of the MAC of every row that its change left, or that the row is gone.

use std::collections::HashMap;

use dataflow_vault::{Vault, row_mark};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    is_authentic,
    segments::Head,
    verify::{PAGE, follows, named},
};
use crate::{
    app::App,
    ops::rows::Sealed,
    store::{
        self, AliasRow, AuditRow, ChannelRow, ConnectionRow, GroupRow, HealthScheduleRow, IdentityRow, LinkRow, LintSilenceRow,
        MacTable, Mark, MemberRow, OwnTypeRow, PersonRow, RotationPolicyRow, SessionRow, SettingRow, Snapshot, TokenRow,
        VERSIONS,
    },
};

/// Where an event's detail has them.
const ROWS: &str = "rows";
const WORKSPACES: &str = "workspaces";
/// The action of the event that a workspace's end leaves. Its detail has the id.
pub const WORKSPACE_DELETE: &str = "workspace.delete";
/// Rows that a report names.
const NAMED: usize = 20;

/// What was found.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct RowsReport {
    /// Rows that are as their last event left them.
    pub hold: u64,
    /// Rows of which no event that is kept tells.
    pub untold: u64,
    /// Those that are not as their last event left them, the first 20 by name.
    pub problems: Vec<String>,
    pub others: u64,
}

impl RowsReport {
    /// Names a row that is not as the last event left it.
    async fn tell(&mut self, snapshot: &mut Snapshot, table: &str, key: &str, last: &Last) -> anyhow::Result<()> {
        if self.problems.len() >= NAMED {
            self.others += 1;
            return Ok(());
        }
        let event = store::event(snapshot, &last.event).await?;
        let event = event.map(|event| named(&event, event.seq.unwrap_or_default())).unwrap_or_default();
        let is = if last.mark.is_some() { "is not as it was left by" } else { "is there, and was taken out by" };
        self.problems.push(format!("the row {key} of {table} {is} {event}"));
        Ok(())
    }
}

/// Adds to an event's detail what its change left of rows. Events of before this was kept have no such member; every one since has it.
pub(super) fn note(detail: &mut Value, marks: &[Mark]) {
    let rows = marks.iter().map(|mark| (mark.table, mark.key.as_str(), mark.mac.as_deref().map(row_mark).map(hex::encode)));
    if let Value::Object(members) = detail {
        members.insert(ROWS.to_owned(), serde_json::json!(rows.collect::<Vec<_>>()));
    }
}

/// Takes out of an event's detail what says nothing to people.
pub fn without(detail: &mut Value) {
    if let Value::Object(members) = detail {
        members.remove(ROWS);
    }
}

/// The id of the workspace that an event says was deleted.
fn ended_workspace(event: &AuditRow) -> Option<String> {
    if event.action != WORKSPACE_DELETE {
        return None;
    }
    let detail: Value = serde_json::from_str(&event.detail).ok()?;
    detail.get("id").and_then(Value::as_str).map(str::to_owned)
}

#[derive(Deserialize)]
struct Noted {
    rows: Option<Vec<(String, String, Option<String>)>>,
}

/// What the events so far leave of each row, by table and key.
#[derive(Debug, Default)]
pub(super) struct Left(HashMap<(String, String), Last>);

/// What the last event of a row says of it: its mark, or that it is gone.
#[derive(Debug)]
struct Last {
    mark: Option<Vec<u8>>,
    event: String,
}

impl Left {
    /// Takes the next event of the chain, which was proven to be one.
    pub(super) fn take(&mut self, event: &AuditRow) {
        let Ok(Noted { rows: Some(rows) }) = serde_json::from_str(&event.detail) else {
            // Of a build that does not note it: what it left of which row is not known.
            self.0.clear();
            return;
        };
        for (table, key, mark) in rows {
            let mark = mark.and_then(|mark| hex::decode(mark).ok());
            self.0.insert((table, key), Last { mark, event: event.id.clone() });
        }
        if let Some(id) = ended_workspace(event) {
            self.0.insert((WORKSPACES.to_owned(), id), Last { mark: None, event: event.id.clone() });
        }
    }

    /// Holds every row against it, `head` being where the chain was walked to; nothing if the events since do not follow, which is told
    /// elsewhere.
    pub(super) async fn check(mut self, app: &App, mut head: Head) -> anyhow::Result<Option<RowsReport>> {
        // Rows and events of one moment: somebody changes them meanwhile.
        let mut snapshot = app.store.snapshot().await?;
        loop {
            let events = store::events_after(&mut snapshot, super::chain::number(head.line), PAGE).await?;
            if events.is_empty() {
                break;
            }
            for event in events {
                let Ok(next) = follows(&app.vault, &head, &event) else { return Ok(None) };
                head = next;
                self.take(&event);
            }
        }
        let waiting = store::unchained_events(&mut snapshot, PAGE).await?;
        let are_sound = waiting.iter().all(|event| is_authentic(&app.vault, event));
        if waiting.len() >= usize::try_from(PAGE).unwrap_or_default() || !are_sound {
            return Ok(None);
        }
        for event in &waiting {
            self.take(event);
        }
        let mut report = RowsReport::default();
        macro_rules! hold {
            ($($row:ty),+) => {
                $(self.hold::<$row>(&app.vault, &mut snapshot, &mut report).await?;)+
            };
        }
        hold!(PersonRow, IdentityRow, SessionRow, LinkRow, MemberRow, GroupRow, TokenRow, ConnectionRow, AliasRow, SettingRow);
        hold!(RotationPolicyRow, HealthScheduleRow, ChannelRow, LintSilenceRow, OwnTypeRow);
        // A rotation changes their rows and leaves no event for each; and what is in one that has ended grants nothing without it.
        for workspace in store::workspaces(&mut snapshot).await? {
            if let Some(last) = self.0.get(&(WORKSPACES.to_owned(), workspace.id.clone())) {
                report.tell(&mut snapshot, WORKSPACES, &workspace.id, last).await?;
            }
        }
        // Nor does a version, whose row a rotation seals anew, tell more than that it was purged.
        let mut purged: Vec<_> = self.0.iter().filter(|((table, _), last)| table == VERSIONS && last.mark.is_none()).collect();
        purged.sort_by_key(|(row, _)| *row);
        for ((table, key), last) in purged {
            let Some((connection, number)) = key.split_once(' ') else { continue };
            let Ok(number) = number.parse() else { continue };
            if store::version(&mut snapshot, connection, number).await?.is_some() {
                report.tell(&mut snapshot, table, key, last).await?;
            }
        }
        Ok(Some(report))
    }

    async fn hold<R: Sealed + MacTable>(
        &self,
        vault: &Vault,
        snapshot: &mut Snapshot,
        report: &mut RowsReport,
    ) -> anyhow::Result<()> {
        let mut place = R::Place::default();
        loop {
            let rows = R::under_others(snapshot, &[], &place, PAGE).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            place = last.place();
            for row in rows {
                let Mark { table, key, .. } = row.mark();
                match self.0.get(&(table.to_owned(), key.clone())) {
                    None => report.untold += 1,
                    Some(Last { mark: Some(mark), .. }) if holds(vault, &row, mark) => report.hold += 1,
                    Some(last) => report.tell(snapshot, table, &key, last).await?,
                }
            }
        }
    }
}

fn holds(vault: &Vault, row: &impl Sealed, mark: &[u8]) -> bool {
    let parts = row.parts();
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    vault.row_mark_holds(table(row), &parts, mark)
}

fn table<R: Sealed>(_: &R) -> &'static str {
    R::TABLE
}
