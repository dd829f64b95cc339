//! The steps of a rotation. Each finds from what is stored what is to be done next and does it in transactions that leave everything
//! readable, so that whoever goes on after a crash, on whichever node, needs to know nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use anyhow::Context;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use dataflow_vault::{RootVersions, SealContext, WorkspaceKey};

use super::{Caller, read_ring};
use crate::{
    app::App,
    audit::{self, Event},
    error::{Error, Result},
    ops::{
        rotations::{candidate, second_login},
        rows::{Sealed, VersionContent, oldest_key, uuid},
        versions::json,
    },
    store::{
        self, AliasRow, ChainRow, ChannelRow, ConnectionRow, GroupRow, Handle, HealthScheduleRow, IdentityRow, LinkRow,
        LintSilenceRow, MacTable, MemberRow, OwnTypeRow, PersonRow, Read, RotationPolicyRow, RotationRow, SecondLoginRow,
        SessionRow, SettingRow, TokenRow, VersionRow, WorkspaceRow, Write,
    },
};

/// Rows that one transaction renews at most: nobody who saves waits longer than for these.
const BATCH: i64 = 200;
/// How long a node may stand still before it is taken for dead. It beats every two seconds.
const DEAD_AFTER: Duration = Duration::from_secs(6);

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// No rotation is under way.
    Done,
    /// There is more to do at once.
    More,
    /// A node does not know the new key yet.
    Waits,
}

/// One node's part in a rotation: nothing of it has to survive.
#[derive(Debug, Default)]
pub struct Rotation {
    waiting: Option<Waiting>,
    /// Workspaces whose old key stays, since something that was bent outside of this program is under it.
    left: BTreeSet<String>,
}

/// For what and whom it waits.
#[derive(Debug)]
struct Waiting {
    tick: i64,
    /// What began on this node before.
    turn: u64,
    /// The beats that a node was seen with first, and when.
    seen: BTreeMap<String, (i64, Instant)>,
}

/// A workspace with its keys.
struct Keyed {
    row: WorkspaceRow,
    key: WorkspaceKey,
}

/// Does `$act::<Row>` for each table whose rows bear MACs and adds up what it gives.
macro_rules! over_tables {
    ($act:ident($($argument:expr),*)) => {{
        let mut sum = $act::<WorkspaceRow>($($argument),*).await?;
        sum += $act::<PersonRow>($($argument),*).await?;
        sum += $act::<MemberRow>($($argument),*).await?;
        sum += $act::<IdentityRow>($($argument),*).await?;
        sum += $act::<SessionRow>($($argument),*).await?;
        sum += $act::<LinkRow>($($argument),*).await?;
        sum += $act::<GroupRow>($($argument),*).await?;
        sum += $act::<ChainRow>($($argument),*).await?;
        sum += $act::<SettingRow>($($argument),*).await?;
        sum += $act::<TokenRow>($($argument),*).await?;
        sum += $act::<ConnectionRow>($($argument),*).await?;
        sum += $act::<AliasRow>($($argument),*).await?;
        sum += $act::<RotationRow>($($argument),*).await?;
        sum += $act::<SecondLoginRow>($($argument),*).await?;
        sum += $act::<RotationPolicyRow>($($argument),*).await?;
        sum += $act::<HealthScheduleRow>($($argument),*).await?;
        sum += $act::<ChannelRow>($($argument),*).await?;
        sum += $act::<LintSilenceRow>($($argument),*).await?;
        sum += $act::<OwnTypeRow>($($argument),*).await?;
        sum += $act::<VersionRow>($($argument),*).await?;
        sum
    }};
}

/// Rows whose MACs are of other root keys than the active one.
pub(super) async fn rows_under_others(read: &mut impl Handle, versions: RootVersions) -> Result<i64> {
    let root = versions.active.to_be_bytes();
    Ok(over_tables!(count_others(read, &root)))
}

async fn count_others<T: MacTable>(read: &mut impl Handle, root: &[u8]) -> Result<i64> {
    Ok(T::count_under_others(read, root).await?)
}

impl Rotation {
    /// Runs to the end, for a shell that is the only one to do it.
    pub async fn to_the_end(app: &App) -> Result<()> {
        let mut rotation = Self::default();
        loop {
            match rotation.step(app).await? {
                Step::Done => return Ok(()),
                Step::More => {}
                Step::Waits => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }

    /// Does what is to be done next.
    pub async fn step(&mut self, app: &App) -> Result<Step> {
        let (bytes, ring) = read_ring(app).await?;
        let versions = app.vault.root_versions();
        if !versions.is_rotating() {
            *self = Self::default();
            return Ok(Step::Done);
        }
        if versions.active < versions.newest {
            if !self.all_know(app).await? {
                return Ok(Step::Waits);
            }
            let next = app.vault.activate_root(&ring).context("activate a root key").map_err(Error::Internal)?;
            let mut write = app.store.write_alone().await?;
            if store::exchange_key_ring(&mut write, &bytes, &next.to_bytes()).await? {
                write.commit().await?;
            }
            return Ok(Step::More);
        }
        if let Some(step) = self.rotate_workspaces(app, versions.active).await? {
            return Ok(step);
        }
        let root = versions.active.to_be_bytes();
        if over_tables!(renew_macs(app, &root)) > 0 {
            return Ok(Step::More);
        }
        if !self.all_know(app).await? {
            return Ok(Step::Waits);
        }
        let mut write = app.store.write_alone().await?;
        if over_tables!(count_sound(app, &mut write, &root)) > 0 {
            return Ok(Step::More);
        }
        let next = app.vault.end_older_rows(&ring).context("end older row MACs").map_err(Error::Internal)?;
        if !store::exchange_key_ring(&mut write, &bytes, &next.to_bytes()).await? {
            return Ok(Step::More);
        }
        store::end_row_macs(&mut write, i64::from(versions.active)).await?;
        let detail = serde_json::json!({"version": versions.active});
        let event = Event { at: app.clock.now(), workspace_id: None, action: "keys.end_rotation", object: "root key", detail };
        audit::record(&mut write, &app.vault, &Caller::shell(), event).await?;
        write.commit().await?;
        Ok(Step::More)
    }

    /// Gives each workspace a new key, seals its secrets under it, and retires the old one; nothing once that is done.
    async fn rotate_workspaces(&mut self, app: &App, root: u32) -> Result<Option<Step>> {
        let workspaces = keyed_workspaces(app).await?;
        let (of_before, begun): (Vec<_>, Vec<_>) = workspaces.into_iter().partition(|keyed| keyed.key.root_version() < root);
        if !of_before.is_empty() {
            for keyed in of_before {
                let has_pending = keyed.key.newest() > keyed.key.version();
                exchange(app, keyed, |key| if has_pending { key } else { key.with_pending() }).await?;
            }
            return Ok(Some(Step::More));
        }
        let (pending, active): (Vec<_>, Vec<_>) = begun.into_iter().partition(|keyed| keyed.key.newest() > keyed.key.version());
        if !pending.is_empty() {
            if !self.all_know(app).await? {
                return Ok(Some(Step::Waits));
            }
            for keyed in pending {
                exchange(app, keyed, WorkspaceKey::activated).await?;
            }
            return Ok(Some(Step::More));
        }
        let is_due = |keyed: &Keyed| keyed.key.oldest() < keyed.key.version() && !self.left.contains(&keyed.row.id);
        let due: Vec<_> = active.into_iter().filter(is_due).collect();
        if due.is_empty() {
            return Ok(None);
        }
        let (mut resealed, mut done) = (0, Vec::new());
        for keyed in due {
            match reseal_all(app, &keyed).await? {
                (0, 0) => done.push(keyed),
                (0, bent) => {
                    tracing::error!(
                        workspace.name = keyed.row.name,
                        versions.bent = bent,
                        "versions of connections cannot be sealed anew; the workspace's old key stays"
                    );
                    self.left.insert(keyed.row.id);
                }
                (count, _) => resealed += count,
            }
        }
        if resealed > 0 || done.is_empty() {
            return Ok(Some(Step::More));
        }
        // Who knows which key is active seals nothing under the old one any more.
        if !self.all_know(app).await? {
            return Ok(Some(Step::Waits));
        }
        for keyed in done {
            retire(app, keyed).await?;
        }
        Ok(Some(Step::More))
    }

    /// Whether every live node knows the store as it was when this was first asked, and what began there before it did is over.
    async fn all_know(&mut self, app: &App) -> Result<bool> {
        let mut read = app.store.read().await?;
        let tick = store::tick(&mut read).await?;
        let waiting = self.waiting.get_or_insert_with(|| Waiting { tick, turn: app.under_way.turn(), seen: BTreeMap::new() });
        let nodes = store::nodes(&mut read).await?;
        drop(read);
        let mut behind = 0;
        for node in nodes.into_iter().filter(|node| node.id != app.node && node.tick < waiting.tick) {
            let now = Instant::now();
            let (beats, since) = *waiting.seen.entry(node.id.clone()).or_insert((node.beats, now));
            if beats != node.beats {
                waiting.seen.insert(node.id, (node.beats, now));
                behind += 1;
            } else if now.duration_since(since) < DEAD_AFTER {
                behind += 1;
            } else {
                tracing::warn!(node.id = node.id, "a node has not been heard of; the rotation goes on without it");
                let mut write = app.store.write().await?;
                store::remove_node(&mut write, &node.id, Some(node.beats)).await?;
                write.commit_quietly().await?;
            }
        }
        let all_know = behind == 0 && app.under_way.is_past(waiting.turn);
        if all_know {
            self.waiting = None;
        }
        Ok(all_know)
    }
}

/// Every workspace whose row and keys are sound.
async fn keyed_workspaces(app: &App) -> Result<Vec<Keyed>> {
    let rows = store::workspaces(&mut app.store.read().await?).await?;
    let mut sound = Vec::with_capacity(rows.len());
    for row in rows {
        let id = uuid(&row.id)?;
        match row.checked(&app.vault) {
            Ok(row) => match app.vault.open_workspace_key(id, &row.wrapped_key) {
                Ok(key) => sound.push(Keyed { row, key }),
                Err(error) => tracing::error!(workspace.id = %id, error.cause = %error, "a workspace's key stays as it is"),
            },
            Err(_) => {
                tracing::error!(workspace.id = %id, "a workspace was changed outside of this program; its key stays as it is");
            }
        }
    }
    Ok(sound)
}

/// Stores a workspace's keys as `change` makes them. Another node that did so first is no error: the next step sees what it did.
async fn exchange(app: &App, keyed: Keyed, change: impl FnOnce(WorkspaceKey) -> WorkspaceKey) -> Result<()> {
    let mut write = app.store.write().await?;
    if exchange_in(app, &mut write, keyed, change).await? {
        write.commit().await?;
    }
    Ok(())
}

/// The same in a transaction; `false` if the workspace has other keys by now, or is gone.
async fn exchange_in(
    app: &App,
    write: &mut store::Write,
    keyed: Keyed,
    change: impl FnOnce(WorkspaceKey) -> WorkspaceKey,
) -> Result<bool> {
    let key = change(keyed.key);
    let wrapped_key = app.vault.seal_workspace_key(&key).context("seal a workspace's keys").map_err(Error::Internal)?;
    let before = keyed.row.wrapped_key.clone();
    let row = WorkspaceRow { wrapped_key, ..keyed.row }.sealed(&app.vault);
    let is_done = store::exchange_workspace_key(write, &row, i64::from(key.oldest()), &before).await?;
    let caches = app.caches.clone();
    write.once_committed(move || caches.forget_all());
    Ok(is_done)
}

/// Ends a workspace's old keys, unless something came to lie under one. While that is looked at no change can be committed, and one that has
/// sealed something under an old key fails after it.
async fn retire(app: &App, keyed: Keyed) -> Result<()> {
    let (id, active) = (keyed.row.id.clone(), i64::from(keyed.key.version()));
    let mut write = app.store.write().await?;
    // The row before the clock, as who deletes the workspace takes them: the other way round each would wait for the other.
    if !exchange_in(app, &mut write, keyed, WorkspaceKey::retired).await? {
        return Ok(());
    }
    write.alone().await?;
    if store::count_under_older_keys(&mut write, &id, active).await? == 0 {
        write.commit().await?;
    }
    Ok(())
}

/// Seals every secret of a workspace that is under an old key anew; how many versions that were, and how many it could not.
async fn reseal_all(app: &App, keyed: &Keyed) -> Result<(u64, u64)> {
    let under = (keyed.row.id.as_str(), i64::from(keyed.key.version()));
    let rotations = reseal_beside::<RotationRow>(app, keyed, under).await?;
    let logins = reseal_beside::<SecondLoginRow>(app, keyed, under).await?;
    let (mut resealed, mut bent, mut place) = (rotations.0 + logins.0, rotations.1 + logins.1, (String::new(), 0));
    loop {
        let rows = store::versions_under_older_keys(&mut app.store.read().await?, under, &place, BATCH).await?;
        let Some(last) = rows.last() else { return Ok((resealed, bent)) };
        place = last.place();
        let mut write = app.store.write().await?;
        for row in rows {
            let before = row.mac.clone();
            match resealed_version(app, &keyed.key, row) {
                Ok(row) => resealed += u64::from(store::reseal_version(&mut write, &row, &before).await?),
                Err(_) => bent += 1,
            }
        }
        write.commit_quietly().await?;
    }
}

/// A row beside the versions that holds sealed passwords, by its connection.
trait Beside: Sized {
    async fn under_older_keys(handle: &mut Read, under: (&str, i64), page: (&str, i64)) -> store::Result<Vec<Self>>;
    fn place(&self) -> (String, Vec<u8>);
    async fn reseal(self, app: &App, write: &mut Write, key: &WorkspaceKey) -> Result<Self>;
    /// Whether it was still the row of before.
    async fn replace(&self, write: &mut Write, before: &[u8]) -> store::Result<bool>;
}

impl Beside for RotationRow {
    async fn under_older_keys(handle: &mut Read, under: (&str, i64), page: (&str, i64)) -> store::Result<Vec<Self>> {
        store::rotations_under_older_keys(handle, under, page).await
    }

    fn place(&self) -> (String, Vec<u8>) {
        (self.connection_id.clone(), self.mac.clone())
    }

    async fn reseal(self, app: &App, write: &mut Write, key: &WorkspaceKey) -> Result<Self> {
        candidate::resealed(app, write, key, self).await
    }

    async fn replace(&self, write: &mut Write, before: &[u8]) -> store::Result<bool> {
        store::reseal_rotation(write, self, before).await
    }
}

impl Beside for SecondLoginRow {
    async fn under_older_keys(handle: &mut Read, under: (&str, i64), page: (&str, i64)) -> store::Result<Vec<Self>> {
        store::second_logins_under_older_keys(handle, under, page).await
    }

    fn place(&self) -> (String, Vec<u8>) {
        (self.connection_id.clone(), self.mac.clone())
    }

    async fn reseal(self, app: &App, _: &mut Write, key: &WorkspaceKey) -> Result<Self> {
        second_login::resealed(app, key, self)
    }

    async fn replace(&self, write: &mut Write, before: &[u8]) -> store::Result<bool> {
        store::reseal_second_login(write, self, before).await
    }
}

/// The same of what stands beside the versions.
async fn reseal_beside<T: Beside>(app: &App, keyed: &Keyed, under: (&str, i64)) -> Result<(u64, u64)> {
    let (mut resealed, mut bent, mut after) = (0, 0, String::new());
    loop {
        let rows = T::under_older_keys(&mut app.store.read().await?, under, (&after, BATCH)).await?;
        if rows.is_empty() {
            return Ok((resealed, bent));
        }
        let mut write = app.store.write().await?;
        for row in rows {
            let (place, before) = row.place();
            after = place;
            match row.reseal(app, &mut write, &keyed.key).await {
                Ok(row) => resealed += u64::from(row.replace(&mut write, &before).await?),
                Err(_) => bent += 1,
            }
        }
        write.commit_quietly().await?;
    }
}

/// The same version, its secrets under the active key. Each stays sealed for its place: the version it was typed at, the endpoint it was
/// typed for.
fn resealed_version(app: &App, key: &WorkspaceKey, row: VersionRow) -> Result<VersionRow> {
    let row = row.checked(&app.vault)?;
    let mut content = VersionContent::read(&row)?;
    let connection = uuid(&row.connection_id)?;
    for (path, secret) in &mut content.secrets {
        let sealed = BASE64.decode(&secret.sealed).context("a sealed secret is no base64").map_err(Error::Internal)?;
        if WorkspaceKey::version_of(&sealed) == Some(key.version()) {
            continue;
        }
        let version = u64::try_from(secret.version).unwrap_or_default();
        let place = SealContext { connection, version, field: path.as_str(), endpoint: &content.endpoint };
        let sealed = key.open(&place, &sealed).and_then(|clear| key.seal(&place, &clear));
        secret.sealed = BASE64.encode(sealed.context("seal a stored secret anew").map_err(Error::SecretUnreadable)?);
    }
    let (secrets, key_version) = (json(&content.secrets)?, oldest_key(&content.secrets));
    Ok(VersionRow { secrets, key_version, ..row }.sealed(&app.vault))
}

/// Gives the rows of a table MACs of the active root key; how many. A row that was bent keeps the MAC that refuses it.
async fn renew_macs<T: MacTable + Sealed>(app: &App, root: &[u8]) -> Result<u64> {
    let (mut renewed, mut place) = (0, T::Place::default());
    loop {
        let rows = T::under_others(&mut app.store.read().await?, root, &place, BATCH).await?;
        let Some(last) = rows.last() else { return Ok(renewed) };
        place = last.place();
        let mut write = app.store.write().await?;
        for row in rows {
            let before = row.mac().to_vec();
            if let Ok(row) = row.checked(&app.vault) {
                renewed += u64::from(row.sealed(&app.vault).replace_mac(&mut write, &before).await?);
            }
        }
        write.commit_quietly().await?;
    }
}

/// Rows that would be refused although nobody bent them, if the row MACs of older root keys ended now.
async fn count_sound<T: MacTable + Sealed>(app: &App, handle: &mut impl Handle, root: &[u8]) -> Result<u64> {
    let (mut sound, mut place) = (0, T::Place::default());
    loop {
        let rows = T::under_others(handle, root, &place, BATCH).await?;
        let Some(last) = rows.last() else { return Ok(sound) };
        place = last.place();
        sound += rows.into_iter().map(|row| u64::from(row.checked(&app.vault).is_ok())).sum::<u64>();
    }
}
