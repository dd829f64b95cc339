//! The keys: what opens the key ring, and their rotation. For a shell on the server's machine alone.

pub mod rotation;

use anyhow::{Context, anyhow};
use dataflow_model::FieldError;
use dataflow_vault::{KeyRing, RecoveryKey, RootVersions, VaultError};
use serde::{Deserialize, Serialize};

use super::{
    access::{Caller, Who},
    rows::{Sealed as _, uuid},
};
use crate::{
    app::App,
    audit::{self, Event},
    error::{Error, Result},
    jobs::follow_changes::BEAT_EVERY,
    keys::{KeySource, NewKey},
    store::{self, NodeRow},
};

/// The key ring as it is stored now, with its bytes. This node knows its root keys from here on.
async fn read_ring(app: &App) -> Result<(Vec<u8>, KeyRing)> {
    let mut refused = None;
    loop {
        let instance = store::instance(&mut app.store.read().await?).await?.context("the store has no key ring");
        let bytes = instance.map_err(Error::Internal)?.key_ring;
        match KeyRing::from_bytes(&bytes).and_then(|ring| app.vault.adopt(&ring).map(|()| ring)) {
            Ok(ring) => return Ok((bytes, ring)),
            // Somebody else in this process took a later one meanwhile.
            Err(VaultError::RingRefused) if refused.as_ref() != Some(&bytes) => refused = Some(bytes),
            Err(error) => {
                return Err(Error::SecretUnreadable(anyhow::Error::from(error).context("take the keys of the key ring")));
            }
        }
    }
}

/// Takes the root keys of the ring that is stored now.
pub async fn adopt(app: &App) -> Result<()> {
    read_ring(app).await.map(drop)
}

/// Puts a ring in the place of the one that it was made from, with its event, in a change that nothing else runs beside.
async fn exchange_ring(
    app: &App,
    caller: &Caller,
    (before, after): (&[u8], &KeyRing),
    (action, object, detail): (&'static str, &str, serde_json::Value),
) -> Result<()> {
    let mut write = app.store.write_alone().await?;
    if !store::exchange_key_ring(&mut write, before, &after.to_bytes()).await? {
        return Err(Error::Unavailable(anyhow!("another node changed the key ring at this moment")));
    }
    let event = Event { at: app.clock.now(), workspace_id: None, action, object, detail };
    audit::record(&mut write, &app.vault, caller, event).await?;
    write.commit().await?;
    adopt(app).await
}

fn shell_only(caller: &Caller) -> Result<()> {
    if matches!(caller.who, Who::Shell) { Ok(()) } else { Err(Error::OwnersOnly("change the keys")) }
}

/// What the vault refused, in its words: they say what to do, and hold no key.
fn told(error: VaultError) -> Error {
    match error {
        VaultError::SlotCannotRotate { .. }
        | VaultError::NoSuchSlot { .. }
        | VaultError::LastSlot
        | VaultError::RecoverySlot
        | VaultError::RingFull { .. } => Error::Invalid(vec![FieldError::new("slot", "invalid", error.to_string())]),
        other => Error::Internal(anyhow::Error::from(other).context("change the key ring")),
    }
}

/// Begins a rotation of all keys, or finds one under way; gives the version of the new root key. Servers carry it on by themselves.
pub async fn rotate(app: &App, caller: &Caller) -> Result<u32> {
    shell_only(caller)?;
    let (bytes, ring) = read_ring(app).await?;
    let versions = app.vault.root_versions();
    if versions.is_rotating() {
        return Ok(versions.newest);
    }
    let next = app.vault.begin_rotation(&ring).map_err(told)?;
    let newest = versions.newest.saturating_add(1);
    let event = ("keys.rotate", "root key", serde_json::json!({"version": newest}));
    exchange_ring(app, caller, (&bytes, &next), event).await?;
    Ok(newest)
}

/// Adds a slot that opens with this key; gives its id. A key file that is not there is made.
pub async fn add_slot(app: &App, caller: &Caller, source: &KeySource) -> Result<u8> {
    shell_only(caller)?;
    let (bytes, ring) = read_ring(app).await?;
    let key = source
        .enroll_new()
        .await
        .map_err(|error| Error::Invalid(vec![FieldError::new("slot", "invalid", format!("{error:#}"))]))?;
    let is_made = key.is_made;
    let added = add(app, caller, (&bytes, &ring), key).await;
    if is_made && added.is_err() {
        source.discard();
    }
    added
}

async fn add(app: &App, caller: &Caller, (bytes, ring): (&[u8], &KeyRing), key: NewKey) -> Result<u8> {
    let kind = key.kind.to_string();
    let next = app.vault.add_enrolled(ring, key.kind, key.enrolled).map_err(told)?;
    let is_new = |id: &u8| ring.slots().iter().all(|slot| slot.id() != *id);
    let id = next.slots().iter().map(dataflow_vault::Slot::id).find(is_new).unwrap_or_default();
    exchange_ring(app, caller, (bytes, &next), ("keys.add_slot", &kind, serde_json::json!({"slot": id}))).await?;
    Ok(id)
}

/// Removes a slot. Not one that a server was started with: it could not start again.
pub async fn remove_slot(app: &App, caller: &Caller, id: u8) -> Result<()> {
    shell_only(caller)?;
    let (bytes, ring) = read_ring(app).await?;
    if app.vault.opened_with() == Some(id) || another_lives_by(app, id).await? {
        let text =
            format!("slot {id} is the one that this server or another node was started with; start it with another key first");
        return Err(Error::Invalid(vec![FieldError::new("slot", "invalid", text)]));
    }
    let next = app.vault.remove_slot(&ring, id).map_err(told)?;
    let kind = ring.slots().iter().find(|slot| slot.id() == id).map(|slot| slot.kind().to_string()).unwrap_or_default();
    exchange_ring(app, caller, (&bytes, &next), ("keys.remove_slot", &kind, serde_json::json!({"slot": id}))).await
}

/// Whether another node that was started with a slot still lives. One that seems to is given the time to show it.
async fn another_lives_by(app: &App, slot: u8) -> Result<bool> {
    let nodes = async || -> Result<Vec<NodeRow>> {
        let nodes = store::nodes(&mut app.store.read().await?).await?;
        Ok(nodes.into_iter().filter(|node| node.slot == i64::from(slot) && node.id != app.node).collect())
    };
    let seen = nodes().await?;
    if seen.is_empty() {
        return Ok(false);
    }
    tokio::time::sleep(BEAT_EVERY * 3).await;
    let stands_still = |node: &NodeRow| seen.iter().any(|before| before.id == node.id && before.beats == node.beats);
    Ok(!nodes().await?.iter().all(stands_still))
}

/// A new recovery key, given here and never again. The old one opens nothing any more.
pub async fn renew_recovery_key(app: &App, caller: &Caller) -> Result<RecoveryKey> {
    shell_only(caller)?;
    let (bytes, ring) = read_ring(app).await?;
    let recovery = RecoveryKey::generate();
    let next = app.vault.rewrap(&ring, &recovery).map_err(told)?;
    exchange_ring(app, caller, (&bytes, &next), ("keys.recovery", "recovery key", serde_json::json!({}))).await?;
    Ok(recovery)
}

/// What `dataflow keys status` shows.
#[derive(Debug, Serialize, Deserialize)]
pub struct KeysStatus {
    pub rotating: bool,
    pub root_key: RootKeyStatus,
    pub slots: Vec<SlotStatus>,
    pub workspaces: Vec<WorkspaceStatus>,
    /// Rows whose MACs are of older root keys.
    pub rows_under_older_keys: i64,
    /// Other nodes that were seen on this store; empty where it has one server.
    pub nodes: Vec<NodeStatus>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct RootKeyStatus {
    /// The one that slots hold; pending until it is the active one.
    pub newest: u32,
    pub active: u32,
    /// The oldest whose row MACs hold. Tokens and audit events of older ones are known for ever.
    pub rows_from: u32,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct SlotStatus {
    pub id: u8,
    pub kind: String,
    /// Whether this server was started with it.
    pub in_use: bool,
    /// Whether a rotation can give it the new root key.
    pub can_rotate: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct WorkspaceStatus {
    pub name: String,
    pub active: u32,
    pub oldest: u32,
    pub newest: u32,
    /// Versions of connections with a secret under an older key than the active one.
    pub versions_under_older_keys: i64,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct NodeStatus {
    pub id: String,
    pub slot: i64,
    /// Whether it has not told yet that it knows the store as it is now. It tells at once during a rotation, else within some seconds.
    pub is_behind: bool,
}

/// Slots, versions, and what is still under old ones.
pub async fn status(app: &App, caller: &Caller) -> Result<KeysStatus> {
    shell_only(caller)?;
    let (_, ring) = read_ring(app).await?;
    let versions = app.vault.root_versions();
    let mut read = app.store.read().await?;
    let tick = store::tick(&mut read).await?;
    let mut workspaces = Vec::new();
    for row in store::workspaces(&mut read).await? {
        let row = row.checked(&app.vault)?;
        let key = app.vault.open_workspace_key(uuid(&row.id)?, &row.wrapped_key);
        let key = key.context("open a workspace's key").map_err(Error::SecretUnreadable)?;
        let versions_under_older_keys = store::count_under_older_keys(&mut read, &row.id, i64::from(key.version())).await?;
        workspaces.push(WorkspaceStatus {
            name: row.name,
            active: key.version(),
            oldest: key.oldest(),
            newest: key.newest(),
            versions_under_older_keys,
        });
    }
    let rows_under_older_keys = if versions.active == 1 { 0 } else { rotation::rows_under_others(&mut read, versions).await? };
    let slots = ring.slots().iter().map(|slot| SlotStatus {
        id: slot.id(),
        kind: slot.kind().to_string(),
        in_use: app.vault.opened_with() == Some(slot.id()),
        can_rotate: slot.can_rotate(),
    });
    let nodes = store::nodes(&mut read).await?.into_iter().filter(|node| node.id != app.node);
    let nodes = nodes.map(|node| NodeStatus { is_behind: node.tick < tick, slot: node.slot, id: node.id });
    let RootVersions { newest, active, rows_from } = versions;
    Ok(KeysStatus {
        rotating: versions.is_rotating(),
        root_key: RootKeyStatus { newest, active, rows_from },
        slots: slots.collect(),
        workspaces,
        rows_under_older_keys,
        nodes: nodes.collect(),
    })
}
