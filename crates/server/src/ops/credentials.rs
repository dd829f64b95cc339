//! Resolving a name: the one way to a stored secret, for code that may use it.

use std::{borrow::Cow, sync::Arc};

use anyhow::Context;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use dataflow_model::{FieldPath, PublicFields, Secret, SecretFields, settle::THROUGH};
use dataflow_vault::{EndpointDigest, SealContext, UnlockedSecret, VaultError};
use uuid::Uuid;

use super::{
    access::{Action, Caller, Who, authorise_name},
    answer_body::{AnswerBody, Head},
    connections, hops, names,
    own_types::{catalogue_by, unreadable_type},
    rotations,
    rows::{VersionContent, uuid},
    users::Allowed,
};
use crate::{
    app::{App, Workspace},
    audit::UseEvent,
    error::{Error, Result},
    store::Handle,
    uses::Use,
};

/// A version ready to be served: all that is public already written as JSON, the secrets still sealed, each beside its record's key.
#[derive(Debug)]
pub struct Servable {
    pub id: Uuid,
    /// Its own name, by whichever it was asked for.
    pub name: String,
    pub version: i64,
    pub fingerprint: String,
    connector: String,
    pub public: PublicFields,
    endpoint: EndpointDigest,
    /// Those whom it is narrowed to.
    users: Option<Allowed>,
    secrets: Vec<(FieldPath, UnlockedSecret)>,
    body: AnswerBody,
}

impl Servable {
    /// The connector's name in the registry.
    #[must_use]
    pub fn connector(&self) -> &str {
        &self.connector
    }

    /// What its secrets are sealed for.
    pub(super) fn endpoint(&self) -> &EndpointDigest {
        &self.endpoint
    }

    /// Refuses a caller whom the connection is not for, by the name that he `asked` for.
    pub fn admit(&self, caller: &Caller, workspace: &Workspace, asked: &str) -> Result<()> {
        names::admit(caller, asked, &self.name)?;
        self.users.as_ref().map_or(Ok(()), |users| users.admit(caller, workspace))
    }

    /// Opens every secret. Hand them straight to what needs them.
    pub fn open_secrets(&self) -> Result<SecretFields> {
        let opened = self.secrets.iter().map(|(path, secret)| Ok((path.clone(), secret.open().map_err(unreadable)?)));
        opened.collect::<Result<_>>().map(SecretFields)
    }
}

fn unreadable(error: VaultError) -> Error {
    Error::SecretUnreadable(anyhow::Error::from(error).context("open a stored secret"))
}

/// What a client gets. `body` is `None` where it said that it holds this fingerprint already (304).
pub struct Resolved {
    pub fingerprint: String,
    pub version: i64,
    pub body: Option<Secret>,
}

/// Resolves a name for a caller that may use it; `holds` tells whether he has this fingerprint already. The event is appended before this
/// returns; a 304 counts as use.
pub async fn resolve(app: &App, caller: &Caller, workspace: &str, name: &str, holds: impl Fn(&str) -> bool) -> Result<Resolved> {
    resolve_after(app, caller, workspace, name, (holds, false)).await
}

/// The same for a caller who says whether he could not connect with what he holds.
pub async fn resolve_after(
    app: &App,
    caller: &Caller,
    workspace: &str,
    name: &str,
    (holds, failed): (impl Fn(&str) -> bool, bool),
) -> Result<Resolved> {
    let workspace = authorise_name(app, caller, workspace, name, Action::UseCredentials).await?;
    let mut connection = servable(app, &workspace, name).await?;
    connection.admit(caller, &workspace, name)?;
    let mut hop = hop_of(app, caller, &workspace, &connection).await?;
    if failed && holds(&fingerprint_of(&connection, hop.as_deref())) {
        // Boxed: it is rare, and its many states would be moved about with every request.
        if let Some(newer) = Box::pin(rotations::wait_for(app, &workspace, name, &connection)).await? {
            newer.admit(caller, &workspace, name)?;
            connection = newer;
            hop = hop_of(app, caller, &workspace, &connection).await?;
        }
    }
    let fingerprint = fingerprint_of(&connection, hop.as_deref());
    let is_held = holds(&fingerprint);
    let body = match &hop {
        _ if is_held => None,
        None => Some(connection.body.with(&connection.open_secrets()?, None)),
        Some(hop) => Some(connection.body.with(&connection.open_secrets()?, Some((&hop.body, &hop.open_secrets()?)))),
    };
    let at = app.clock.now();
    let (actor, identity) = (caller.label(), caller.identity());
    let through = connection.public.text(THROUGH).unwrap_or_default();
    let given = [Some((name, &connection)), hop.as_ref().map(|hop| (through, hop))];
    for (name, given) in given.into_iter().flatten() {
        app.use_log
            .append(
                &app.vault,
                &UseEvent {
                    at,
                    action: if is_held { "credentials.unchanged" } else { "credentials.read" },
                    workspace: &workspace.name,
                    workspace_id: workspace.id,
                    connection: &given.name,
                    version: given.version,
                    actor: &actor,
                    actor_id: &identity,
                    address: caller.address,
                    workflow: caller.workflow.as_ref(),
                },
            )
            .await
            .map_err(Error::Unavailable)?;
        app.uses.connection(&Use {
            workspace: workspace.id,
            name,
            connection: given.id,
            version: given.version,
            workflow: caller.workflow.as_ref(),
            used_by: &actor,
            used_by_id: &identity,
            // Of what lies on the way it is not known whether that was it.
            failed: failed && is_held && given.id == connection.id,
            at,
        });
    }
    if let Who::Token(token) = &caller.who {
        app.uses.token(token.id, at);
    }
    Ok(Resolved { fingerprint: fingerprint.into_owned(), version: connection.version, body })
}

/// What a connection goes through, for who gets it along with that.
async fn hop_of(app: &App, caller: &Caller, workspace: &Workspace, connection: &Servable) -> Result<Option<Arc<Servable>>> {
    if connection.public.text(THROUGH).is_none() {
        return Ok(None);
    }
    // Boxed: few go through another one.
    let hop = Box::pin(hops::hop(app, caller, workspace, &connection.public)).await?;
    hop.transpose().map_err(|error| Error::HopUnavailable(error.message))
}

/// Of both, if there are two: whoever holds it goes the same way to the same place.
fn fingerprint_of<'c>(connection: &'c Servable, hop: Option<&Servable>) -> Cow<'c, str> {
    match hop {
        Some(hop) => Cow::Owned(format!("{}-{}", connection.fingerprint, hop.fingerprint)),
        None => Cow::Borrowed(connection.fingerprint.as_str()),
    }
}

/// The current version of a name, from memory where it was read before. Callers authorise first.
pub(super) async fn servable(app: &App, workspace: &Workspace, name: &str) -> Result<Arc<Servable>> {
    match cached(app, workspace, name) {
        Some(found) => Ok(found),
        // Boxed: it is rare, and its many states would be moved about with every request.
        None => Box::pin(load(app, workspace, name)).await,
    }
}

fn cached(app: &App, workspace: &Workspace, name: &str) -> Option<Arc<Servable>> {
    let key = (workspace.id, name.to_owned());
    if let Some(found) = app.caches.connections.get(&key) {
        return Some(found);
    }
    let led = app.caches.aliases.get(&key)?;
    app.caches.connections.get(&(workspace.id, led.name.clone())).filter(|found| found.id == led.id)
}

/// The same where a session of the store is open already: who waits for a second one while he holds the first may wait for ever.
pub(super) async fn servable_by(app: &App, handle: &mut impl Handle, workspace: &Workspace, name: &str) -> Result<Arc<Servable>> {
    match cached(app, workspace, name) {
        Some(found) => Ok(found),
        None => load_by(app, handle, app.caches.generation(), (workspace, name)).await,
    }
}

pub(super) async fn load(app: &App, workspace: &Workspace, name: &str) -> Result<Arc<Servable>> {
    let generation = app.caches.generation();
    load_by(app, &mut app.store.read().await?, generation, (workspace, name)).await
}

async fn load_by(
    app: &App,
    handle: &mut impl Handle,
    generation: u64,
    (workspace, name): (&Workspace, &str),
) -> Result<Arc<Servable>> {
    let catalogue = catalogue_by(app, handle, workspace).await?;
    let (row, version) = connections::current(app, handle, workspace, name).await?;
    names::remember(app, generation, (workspace.id, name), &row)?;
    let users = Allowed::of(app, handle, &row).await?;
    let content = VersionContent::read(&version)?;
    let newer = app.workspace_of_now(workspace, content.newest_key()).await?;
    let workspace = newer.as_deref().unwrap_or(workspace);
    let kind = catalogue.get(&version.type_id).ok_or_else(|| unreadable_type(&catalogue, &version.type_id))?;
    let connector = kind.connector.clone();
    // A client that holds a version's credentials is to learn that its URL is built otherwise.
    let fingerprint = match kind.own {
        None => version.fingerprint,
        Some(definition) => format!("{}-t{definition}", version.fingerprint),
    };
    let id = uuid(&row.id)?;
    let mut secrets = Vec::new();
    for (path, secret) in content.secrets {
        let sealed = BASE64.decode(&secret.sealed).context("a sealed secret is no base64").map_err(Error::Internal)?;
        let sealed_at = u64::try_from(secret.version).unwrap_or_default();
        let place = SealContext { connection: id, version: sealed_at, field: path.as_str(), endpoint: &content.endpoint };
        let unlocked = workspace.key.unlock(&place, &sealed).map_err(unreadable)?;
        secrets.push((path, unlocked));
    }
    let head = Head {
        name: &row.name,
        type_id: &version.type_id,
        connector: &connector,
        dialect: kind.dialect.as_deref(),
        url: kind.url.as_ref(),
        fingerprint: &fingerprint,
        version: row.version,
    };
    let body = AnswerBody::new(&head, &content.public, secrets.iter().map(|(path, _)| path));
    let servable = Arc::new(Servable {
        id,
        name: row.name.clone(),
        version: row.version,
        fingerprint,
        connector,
        public: content.public,
        endpoint: content.endpoint,
        users,
        secrets,
        body,
    });
    app.caches.put_connection(generation, (workspace.id, row.name), servable.clone());
    Ok(servable)
}
