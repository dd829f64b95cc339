//! Which connections have the same password: told by marks, keyed hashes that stand beside the versions, so that none is opened.
//!
//! Who may not use both connections learns nothing of it, not even how many there are: he could save guesses as connections of his own, and read here
//! which was right.

use std::{collections::HashMap, sync::Arc};

use dataflow_model::PublicFields;

use super::{
    super::{
        access::{Action, Caller},
        compare::Serving,
        rows::{Sealed as _, VersionContent, uuid},
        users::Allowed,
        versions::stored_password_mark,
    },
    rules::Sharing,
};
use crate::{
    app::{App, Workspace},
    error::Result,
    store::{self, ConnectionRow, Handle, Read, WorkspaceRow, Write},
};

/// Connections with one password, that the caller may use, that are looked at.
const PEERS_MAX: usize = 50;
/// Connections whose marks one transaction notes.
const BATCH: i64 = 200;

/// As whom, and where, somebody signs in: host or account, and username. What signs in as the same there has the same password by nature, whichever port,
/// database or bucket it is for. Nothing where a connection says neither: what it has is a token, or a key.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Login(Option<[String; 2]>);

impl Login {
    fn of(public: &PublicFields) -> Self {
        let text = |path: &str| public.text(path).unwrap_or_default();
        let place = [text("host"), text("extra.account")].into_iter().find(|place| !place.is_empty()).unwrap_or_default();
        let place = place.trim_end_matches('.').to_ascii_lowercase();
        let is_told = !place.is_empty() || !text("username").is_empty();
        Self(is_told.then(|| [place, text("username").to_owned()]))
    }

    fn differs_from(&self, other: &Self) -> bool {
        self.0.as_ref().zip(other.0.as_ref()).is_some_and(|(one, other)| one != other)
    }
}

/// A connection that the caller may use.
#[derive(Debug)]
struct Peer {
    id: String,
    name: String,
    login: Login,
}

/// Those that have a password in common, by its mark, as far as they were asked for.
#[derive(Debug, Default)]
pub(super) struct Peers(HashMap<Vec<u8>, Vec<Peer>>);

impl Peers {
    /// Which others have the password of this connection for another login.
    pub(super) async fn of(
        &mut self,
        (app, caller, workspace): (&App, &Caller, &Workspace),
        read: &mut Read,
        ((row, public), mark): ((&ConnectionRow, &PublicFields), &[u8]),
    ) -> Result<Sharing> {
        if !may_use(app, caller, workspace, read, row).await? {
            return Ok(Sharing::default());
        }
        if !self.0.contains_key(mark) {
            let peers = peers(app, caller, workspace, read, mark).await?;
            self.0.insert(mark.to_vec(), peers);
        }
        let Some(peers) = self.0.get(mark) else { return Ok(Sharing::default()) };
        let login = Login::of(public);
        let others = peers.iter().filter(|peer| peer.id != row.id && peer.login.differs_from(&login));
        let mut names: Vec<_> = others.map(|peer| peer.name.clone()).collect();
        names.sort_unstable();
        Ok(Sharing { names, is_cut: peers.len() >= PEERS_MAX })
    }
}

/// Those that have a password in common and that the caller may use. Only these are counted: whoever may create connections could tell by any other
/// number whether a guess is the password of one that he may not use.
async fn peers(app: &App, caller: &Caller, workspace: &Workspace, read: &mut Read, mark: &[u8]) -> Result<Vec<Peer>> {
    let (mut peers, mut after) = (Vec::new(), String::new());
    loop {
        let limit = i64::try_from(PEERS_MAX).unwrap_or(i64::MAX);
        let servings = store::serving_with_mark(read, &workspace.id.to_string(), (mark, &after), limit).await?;
        let is_last = servings.len() < PEERS_MAX;
        for serving in servings {
            after.clone_from(&serving.0.id);
            peers.extend(peer(app, caller, workspace, read, serving).await?);
            if peers.len() >= PEERS_MAX {
                return Ok(peers);
            }
        }
        if is_last {
            return Ok(peers);
        }
    }
}

/// What was bent is nobody's peer.
async fn peer(
    app: &App,
    caller: &Caller,
    workspace: &Workspace,
    read: &mut Read,
    (row, version): Serving,
) -> Result<Option<Peer>> {
    if !caller.may_see_name(&row.name) {
        return Ok(None);
    }
    let (Ok(row), Ok(version)) = (row.checked(&app.vault), version.checked(&app.vault)) else { return Ok(None) };
    if !may_use(app, caller, workspace, read, &row).await? {
        return Ok(None);
    }
    let login = Login::of(&VersionContent::read(&version)?.public);
    Ok(Some(Peer { id: row.id, name: row.name, login }))
}

/// Whether the caller would be given its password.
async fn may_use(
    app: &App,
    caller: &Caller,
    workspace: &Workspace,
    handle: &mut impl Handle,
    row: &ConnectionRow,
) -> Result<bool> {
    if !caller.may(Action::UseCredentials, workspace.id) || !caller.may_see_name(&row.name) {
        return Ok(false);
    }
    Ok(Allowed::of(app, handle, row).await?.is_none_or(|users| users.admit(caller, workspace).is_ok()))
}

/// Notes the mark of a stored version. One whose password does not open has none in common with anybody.
pub(in crate::ops) async fn note(
    app: &App,
    write: &mut Write,
    workspace: &Arc<Workspace>,
    row: &ConnectionRow,
    content: &VersionContent,
) -> Result<()> {
    let newer = app.workspace_of_now(workspace, content.newest_key()).await?;
    let mark = stored_password_mark(newer.as_ref().unwrap_or(workspace), uuid(&row.id)?, content).unwrap_or_else(|error| {
        let cause = error.cause().map(|cause| format!("{cause:#}")).unwrap_or_default();
        tracing::warn!(row.id = row.id, error.cause = cause, "a password could not be held against those of other connections");
        None
    });
    Ok(store::put_password_mark(write, (&row.id, row.version), mark.as_ref().map(<[u8; 16]>::as_slice)).await?)
}

/// Notes the marks of all connections whose marks are not known.
pub async fn note_all(app: &App) -> Result<()> {
    let workspaces = store::workspaces(&mut app.store.read().await?).await?;
    for row in workspaces {
        if let Err(error) = note_workspace(app, &row).await {
            let cause = error.cause().map(|cause| format!("{cause:#}")).unwrap_or_default();
            tracing::warn!(
                workspace.id = row.id,
                error.cause = cause,
                "passwords of a workspace could not be held against each other"
            );
        }
    }
    Ok(())
}

async fn note_workspace(app: &App, row: &WorkspaceRow) -> Result<()> {
    // One that was bent is not opened.
    let Ok(Some(workspace)) = app.workspace(&row.name).await else { return Ok(()) };
    let mut write = app.store.write().await?;
    store::share_workspace(&mut write, &row.id).await?;
    store::drop_marks_of_deleted(&mut write, &row.id).await?;
    write.commit_quietly().await?;
    let mut after = String::new();
    loop {
        let servings = store::serving_unmarked(&mut app.store.read().await?, &row.id, &after, BATCH).await?;
        let Some((last, _)) = servings.last() else { break };
        after.clone_from(&last.name_key);
        let mut write = app.store.write().await?;
        store::share_workspace(&mut write, &row.id).await?;
        for (row, version) in servings {
            let (Ok(row), Ok(version)) = (row.checked(&app.vault), version.checked(&app.vault)) else { continue };
            note(app, &mut write, &workspace, &row, &VersionContent::read(&version)?).await?;
        }
        write.commit_quietly().await?;
    }
    Ok(())
}
