//! What happened, kept: changes in the store with the change itself, machine reads in this node's segment files before the answer.
//!
//! Both are chains: each event has a number and a link, a MAC over the link before it and the event, so that none can be bent, taken out or
//! put in without the key. Reads are chained as they are written ([`use_log`]), changes within a second after ([`chain`]); how far each chain
//! has come stands in the store under a MAC, and in checkpoints that leave the machine ([`checkpoint`]). [`verify`] walks them, and holds the
//! rows that grant against the last event of each ([`rows`]).

pub mod chain;
pub mod checkpoint;
pub mod expiry;
mod recount;
pub mod rows;
mod segment;
pub(crate) mod segments;
mod sync;
pub mod tally;
mod use_event;
mod use_log;
pub mod verify;

use dataflow_vault::{Vault, random_uuid};

pub use self::{use_event::UseEvent, use_log::UseLog};
use crate::{
    ops::Caller,
    store::{self, AuditRow, Write},
};

/// What events are called, and the same for people. A test holds it against the rules.
pub const ACTIONS: &[(&str, &str)] = &[
    ("credentials.read", "Credentials given"),
    ("credentials.unchanged", "Credentials asked for, held already"),
    ("connection.test", "Tested with the stored secret"),
    ("connection.message", "Message sent with the stored secret"),
    ("connection.create", "Connection created"),
    ("connection.edit", "Connection edited"),
    ("connection.carry_secret", "Secret kept for another address"),
    ("connection.restore_version", "Older version restored"),
    ("connection.rotate", "Rotation of the password begun"),
    ("connection.rotated", "Password rotated"),
    ("connection.rotation_failed", "Password not rotated"),
    ("connection.second_login_set", "Second login given"),
    ("connection.second_login_removed", "Second login removed"),
    ("connection.login_retired", "Login retired"),
    ("connection.login_not_retired", "Login not retired"),
    ("connection.rotation_policy_set", "Rotation of the password planned"),
    ("connection.rotation_policy_removed", "Plan of rotations removed"),
    ("connection.health_schedule_set", "Tests by itself planned"),
    ("connection.health_schedule_removed", "Plan of tests removed"),
    ("health_schedule.set", "Tests of many connections planned"),
    ("health_schedule.removed", "Plan of tests of many connections removed"),
    ("channel.set", "Channel of messages set"),
    ("channel.remove", "Channel of messages removed"),
    ("connection.lint_silenced", "Rule of the lint silenced"),
    ("connection.lint_lifted", "Rule of the lint in force again"),
    ("lint.silenced", "Rule of the lint silenced for all connections"),
    ("lint.lifted", "Rule of the lint in force again for all connections"),
    ("type.create", "Type of the workspace’s own defined"),
    ("type.update", "Type of the workspace’s own changed"),
    ("type.remove", "Type of the workspace’s own removed"),
    ("connection.purge_version", "Older version purged"),
    ("connection.delete", "Connection deleted"),
    ("connection.restore", "Connection brought back"),
    ("connection.rename", "Connection renamed"),
    ("connection.repoint", "Name led to another connection"),
    ("alias.remove", "Alias removed"),
    ("connection.narrow", "Who may use it decided"),
    ("token.create", "Token created"),
    ("token.revoke", "Token revoked"),
    ("member.put", "Roles given"),
    ("member.claims", "Roles taken from the sign-in provider"),
    ("member.remove", "Person removed from the workspace"),
    ("group.put", "Group made or changed"),
    ("group.remove", "Group removed"),
    ("person.create", "Account created"),
    ("person.disable", "Account disabled"),
    ("person.enable", "Account enabled"),
    ("person.sign_in", "Signed in"),
    ("person.sign_in_failed", "Sign-in failed"),
    ("person.sign_out", "Signed out"),
    ("person.confirm", "Own password given again"),
    ("person.confirm_failed", "Wrong password given for the own one"),
    ("person.end_sessions", "Signed out elsewhere"),
    ("person.link", "One-time link made"),
    ("person.link_provider", "Account linked to the sign-in provider"),
    ("person.unlink_provider", "Account unlinked from the sign-in provider"),
    ("person.password", "Password chosen"),
    ("workspace.create", "Workspace created"),
    ("workspace.delete", "Workspace deleted"),
    ("scan.report", "Code scanned"),
    ("scan.forget", "Scan of code forgotten"),
    ("settings.change", "Settings changed"),
    ("audit.begin", "Record of reads begun on a node"),
    ("audit.expired", "Old events dropped"),
    ("keys.recover", "Key replaced with the recovery key"),
    ("keys.rotate", "Rotation of the keys begun"),
    ("keys.end_rotation", "Rotation of the keys ended"),
    ("keys.add_slot", "Key added that opens the store"),
    ("keys.remove_slot", "Key removed that opened the store"),
    ("keys.recovery", "Recovery key replaced"),
    ("backup.take", "Backup taken"),
    ("backup.restore", "Restored from a backup"),
];

/// What is listed of a connection beside its events, and the same for people: no event, since its row is kept elsewhere.
pub const OF_CONNECTIONS: [(&str, &str); 5] = [
    (CHECKED, "Test run"),
    (FIRST_USED, "Used for the first time"),
    (FAILED, "A workflow could not connect"),
    (UNHEALTHY, "Became unhealthy"),
    (HEALTHY, "Became healthy"),
];
pub const CHECKED: &str = "connection.checked";
pub const FIRST_USED: &str = "workflow.first_used";
pub const FAILED: &str = "workflow.failed";
pub const UNHEALTHY: &str = "connection.unhealthy";
pub const HEALTHY: &str = "connection.healthy";

/// What an action is called for people.
#[must_use]
pub fn words(action: &str) -> &str {
    ACTIONS.iter().chain(&OF_CONNECTIONS).find(|(name, _)| *name == action).map_or(action, |(_, words)| words)
}

/// Who did what nobody asked for.
const SERVER: &str = "server";

/// A link: 32 bytes.
pub type Link = [u8; 32];

/// What the first event of a chain follows.
pub const NO_LINK: Link = [0; 32];

/// One change, as it goes into the store.
#[derive(Debug)]
pub struct Event<'e> {
    pub at: i64,
    pub workspace_id: Option<String>,
    pub action: &'static str,
    pub object: &'e str,
    /// Public facts only.
    pub detail: serde_json::Value,
}

/// Adds to the detail of an event what not every one of its kind has.
pub fn note(detail: &mut serde_json::Value, name: &str, value: Option<impl Into<serde_json::Value>>) {
    if let (Some(value), Some(members)) = (value, detail.as_object_mut()) {
        members.insert(name.to_owned(), value.into());
    }
}

/// Appends `event` to the transaction of the change that it is about, after what that changes: it notes what is left of rows that grant.
pub async fn record(write: &mut Write, vault: &Vault, caller: &Caller, event: Event<'_>) -> store::Result<()> {
    record_by(write, vault, (&caller.label(), &caller.identity()), event).await
}

/// The same of what the server does by itself.
pub(crate) async fn record_own(write: &mut Write, vault: &Vault, event: Event<'_>) -> store::Result<()> {
    record_by(write, vault, (SERVER, SERVER), event).await
}

async fn record_by(write: &mut Write, vault: &Vault, (actor, actor_id): (&str, &str), mut event: Event<'_>) -> store::Result<()> {
    rows::note(&mut event.detail, &write.take_marks());
    let mut row = AuditRow {
        id: random_uuid().to_string(),
        at: event.at,
        workspace_id: event.workspace_id,
        actor: actor.to_owned(),
        actor_id: Some(actor_id.to_owned()),
        action: event.action.to_owned(),
        object: event.object.to_owned(),
        detail: event.detail.to_string(),
        mac: Vec::new(),
        seq: None,
        link: None,
    };
    row.mac = vault.audit_mac(canonical(&row).as_bytes()).to_vec();
    store::append_audit(write, &row).await
}

/// Whether an event is what this program wrote.
#[must_use]
pub fn is_authentic(vault: &Vault, row: &AuditRow) -> bool {
    vault.audit_mac_holds(canonical(row).as_bytes(), &row.mac)
}

/// What an event's MAC and link are over. Events of before have no `actor_id`, and end before it.
fn canonical(row: &AuditRow) -> String {
    let parts = match &row.actor_id {
        Some(actor_id) => {
            serde_json::json!([row.id, row.at, row.workspace_id, row.actor, row.action, row.object, row.detail, actor_id])
        }
        None => serde_json::json!([row.id, row.at, row.workspace_id, row.actor, row.action, row.object, row.detail]),
    };
    parts.to_string()
}
