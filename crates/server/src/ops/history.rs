//! The versions of a connection: what each changed, an older one in force again, and one taken out for good.
//!
//! What an older version holds was in force once. Who may edit may bring it back: its secrets are sealed for its own endpoint, and go there again and
//! nowhere else. What must not come back is purged.

mod difference;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use anyhow::Context;
use dataflow_model::{
    Catalogue, Cause, ConnectionType, FieldError, FieldPath, PublicFields, Tag, TestError, TestReport, settle::Settled,
};

pub use self::difference::{Difference, FieldChange, SecretDifference, Value};
pub(super) use self::difference::{Held, differences};
use super::{
    access::{Action, Caller, authorise_name},
    connections::{Connection, Precondition, current, etag, hold_current},
    idempotency::begin,
    paging::{Page, Paging},
    rotations::{self, PASSWORD, second_login},
    rows::{Sealed as _, VersionContent, uuid},
    safe_change::{self, Candidate, Carried, Trial, Tried},
    save::{Act, Next, save},
    second_look,
    users::Allowed,
    versions::{Content, SealedVersion, Sealing, admin_fields_set, input},
    workspaces::empty_log_after,
};
use crate::{
    app::{App, Workspace},
    audit::{self, Event},
    clock::minute,
    error::{Error, Result},
    ops::own_types::{catalogue_by, catalogue_of},
    store::{self, ConnectionRow, Handle, VersionRow},
};

/// Versions of the same secret that are named at most.
const SHARING_MAX: i64 = 100;

/// A version in the list.
#[derive(Debug)]
pub struct Entry {
    pub version: i64,
    pub saved_at: i64,
    pub saved_by: String,
    pub restored_from: Option<i64>,
    /// Whether it is the one that serves.
    pub is_current: bool,
    /// The one before that is still there, which `changes` are held against; over none they are all that is set.
    pub since: Option<i64>,
    pub changes: Vec<Difference>,
    /// Whether clients connect with something else than by the one before.
    pub changes_clients: bool,
    /// Its row is not what this program wrote: nothing of it is shown, and it cannot be restored.
    pub is_altered: bool,
}

/// One version, of its secrets only which are set.
#[derive(Debug)]
pub struct Version {
    pub row: VersionRow,
    pub tags: Vec<Tag>,
    pub public: PublicFields,
    pub secrets: BTreeMap<FieldPath, bool>,
    pub is_current: bool,
    /// Other versions that hold one of its secrets, the newest hundred: they keep it when this one is purged.
    pub secrets_also_in: Vec<i64>,
}

impl Version {
    /// The connection's own as long as this version was the current one.
    #[must_use]
    pub fn etag(&self) -> String {
        etag(&self.row.connection_id, self.row.version)
    }
}

/// What changed from one version to another.
#[derive(Debug)]
pub struct Diff {
    /// `None`: from nothing, there being no version before.
    pub from: Option<i64>,
    pub to: i64,
    pub changes: Vec<Difference>,
    pub changes_clients: bool,
}

/// A page of a connection's versions, the newest first.
pub async fn list(app: &App, caller: &Caller, workspace: &str, name: &str, paging: &Paging) -> Result<Page<Entry>> {
    let workspace = authorise_name(app, caller, workspace, name, Action::SeeConnections).await?;
    let (before, _) = paging.before()?;
    let catalogue = catalogue_of(app, &workspace).await?;
    let mut read = app.store.read().await?;
    let (row, _) = current(app, &mut read, &workspace, name).await?;
    let rows = store::versions_before(&mut read, &row.id, before, paging.rows_to_read()?).await?;
    drop(read);
    let mut versions = Vec::with_capacity(rows.len());
    for version in &rows {
        let sound = version.clone().checked(&app.vault).inspect_err(|error| tell_altered(version, error)).is_ok();
        let held = if sound { Some(Held::read(version)?) } else { None };
        versions.push((version, held));
    }
    let mut entries = Vec::with_capacity(versions.len());
    for (place, (version, held)) in versions.iter().enumerate() {
        let before = versions.get(place + 1).and_then(|(_, held)| held.as_ref());
        let changes = match held {
            Some(held) => differences(&catalogue, before, held)?,
            None => Vec::new(),
        };
        entries.push(Entry {
            version: version.version,
            saved_at: version.saved_at,
            saved_by: version.saved_by.clone(),
            restored_from: version.restored_from,
            is_current: version.version == row.version,
            since: before.map(|before| before.row.version),
            changes,
            changes_clients: held.is_some() && before.is_none_or(|before| before.row.fingerprint != version.fingerprint),
            is_altered: held.is_none(),
        });
    }
    paging.page(entries, |entry| (entry.version.to_string(), String::new()))
}

/// The operator learns why; `connection_id` is no secret.
fn tell_altered(version: &VersionRow, error: &Error) {
    let cause = error.cause().map(|cause| format!("{cause:#}")).unwrap_or_default();
    let (id, number) = (version.connection_id.as_str(), version.version);
    tracing::error!(row.id = id, row.version = number, error.cause = cause, "a version was refused");
}

/// One version.
pub async fn show(app: &App, caller: &Caller, workspace: &str, name: &str, number: i64) -> Result<Version> {
    let workspace = authorise_name(app, caller, workspace, name, Action::SeeConnections).await?;
    let catalogue = catalogue_of(app, &workspace).await?;
    let mut read = app.store.read().await?;
    let (connection, _) = current(app, &mut read, &workspace, name).await?;
    let row = version_of(app, &mut read, &connection.id, number).await?;
    let content = VersionContent::read(&row)?;
    let mut sharing = BTreeSet::new();
    for (path, secret) in &content.secrets {
        let secret = (path.as_str(), secret.version);
        sharing.extend(store::versions_with_secret(&mut read, &connection.id, secret, SHARING_MAX).await?);
    }
    let newest = usize::try_from(SHARING_MAX).unwrap_or_default();
    let secrets_also_in = sharing.into_iter().rev().filter(|other| *other != number).take(newest).collect();
    let tags = serde_json::from_str(&row.tags).context("a version's tags do not parse").map_err(Error::Internal)?;
    let fields = catalogue.get(&row.type_id).map(|kind| kind.fields.as_slice()).unwrap_or_default();
    let secrets = fields.iter().filter(|field| field.secret).map(|field| field.path.clone());
    let secrets = secrets.map(|path| (path.clone(), content.secrets.contains_key(&path))).collect();
    let is_current = number == connection.version;
    Ok(Version { tags, public: content.public, secrets, is_current, secrets_also_in, row })
}

/// What changed up to a version since another one, or since the one before it. `from` may be the newer one: then it is what a restore would
/// change.
pub async fn diff(app: &App, caller: &Caller, workspace: &str, name: &str, (from, to): (Option<i64>, i64)) -> Result<Diff> {
    let workspace = authorise_name(app, caller, workspace, name, Action::SeeConnections).await?;
    let catalogue = catalogue_of(app, &workspace).await?;
    let mut read = app.store.read().await?;
    let (connection, _) = current(app, &mut read, &workspace, name).await?;
    let after = version_of(app, &mut read, &connection.id, to).await?;
    let before = if let Some(from) = from {
        Some(version_of(app, &mut read, &connection.id, from).await?)
    } else {
        let before = store::versions_before(&mut read, &connection.id, to, 1).await?.pop();
        before.map(|row| row.checked(&app.vault)).transpose()?
    };
    let held = before.as_ref().map(Held::read).transpose()?;
    let changes = differences(&catalogue, held.as_ref(), &Held::read(&after)?)?;
    let changes_clients = before.as_ref().is_none_or(|before| before.fingerprint != after.fingerprint);
    Ok(Diff { from: before.map(|before| before.version), to, changes, changes_clients })
}

async fn version_of(app: &App, handle: &mut impl Handle, connection_id: &str, number: i64) -> Result<VersionRow> {
    let row = store::version(handle, connection_id, number).await?.ok_or(Error::NotFound("version"))?;
    row.checked(&app.vault)
}

/// Which version is restored, over which one, and whether it is tested first.
#[derive(Debug, Default)]
pub struct Restore {
    pub version: i64,
    pub precondition: Precondition,
    pub trial: Trial,
}

/// Makes a new version that equals an older one: description, tags, type, fields and secrets. If it equals the current one, it makes none.
///
/// # Errors
/// Those of an edit; `Invalid` where the older one holds what its type no longer has, or what only an admin may set.
pub async fn restore(app: &App, caller: &Caller, workspace: &str, name: &str, wanted: Restore) -> Result<Connection> {
    let workspace = authorise_name(app, caller, workspace, name, Action::EditConnections).await?;
    let is_admin = caller.may(Action::SetAdminFields, workspace.id);
    let looked = second_look::given(app, caller).await?;
    let tried = match wanted.trial {
        Trial::First => Some(Box::pin(try_restore(app, caller, &workspace, name, (&wanted, is_admin, looked))).await?),
        Trial::None => None,
    };
    let mut write = begin(app, caller).await?;
    let (before, old_version) = hold_current(app, caller, &mut write, &workspace, name).await?;
    wanted.precondition.check(&before)?;
    rotations::refuse_while_under_way(app, &mut write, &before.id).await?;
    let from = version_of(app, &mut write, &before.id, wanted.version).await?;
    let old = VersionContent::read(&old_version)?;
    let Older { workspace, kind, content, sealed } =
        older(app, &mut write, &workspace, (&before, &old), (&from, is_admin, looked)).await?;
    second_login::refuse_unlooked(caller, &mut write, (&before, &old.public, &content.public), looked).await?;
    let tags = serde_json::from_str(&from.tags).context("a version's tags do not parse").map_err(Error::Internal)?;
    let settled = Settled { public: content.public, secrets: BTreeMap::new() };
    let content = Content { description: from.description.clone(), tags, settled };
    let (before, act) = ((before, old_version, old), Act::Restore { from: &from, tried });
    save(app, caller, write, Next { workspace: &workspace, kind: &kind, before, content, sealed, act }).await
}

/// What a version holds that may be put in force again.
struct Older {
    workspace: Arc<Workspace>,
    kind: Arc<ConnectionType>,
    content: VersionContent,
    sealed: SealedVersion,
}

async fn older(
    app: &App,
    handle: &mut impl Handle,
    workspace: &Arc<Workspace>,
    (before, old): (&ConnectionRow, &VersionContent),
    (from, is_admin, looked): (&VersionRow, bool, bool),
) -> Result<Older> {
    let content = VersionContent::read(from)?;
    let kind = type_of(&*catalogue_by(app, handle, workspace).await?, from, &content)?;
    // Over another type no field is as it was.
    let nothing = PublicFields::default();
    let known = if before.type_id == from.type_id { &old.public } else { &nothing };
    let for_admins: Vec<_> = admin_fields_set(&kind, known, &content.public).collect();
    if !for_admins.is_empty() && !is_admin {
        let refused = |path| FieldError::new(path, "admin_only", "is set in that version, and may be set by an admin only");
        return Err(Error::Invalid(for_admins.into_iter().map(refused).collect()));
    }
    if !for_admins.is_empty() && !looked {
        return Err(Error::SecondLook);
    }

    let newer = app.workspace_of_now(workspace, old.newest_key().max(content.newest_key())).await?;
    let workspace = newer.unwrap_or_else(|| workspace.clone());
    let sealing = Sealing { workspace: &workspace, id: uuid(&before.id)?, version: before.version + 1, kept: None };
    let sealed = sealing.keep_all(&kind, &content)?;
    Ok(Older { workspace, kind, content, sealed })
}

/// Tests what a restore would put in force now.
async fn try_restore(
    app: &App,
    caller: &Caller,
    workspace: &Arc<Workspace>,
    name: &str,
    (wanted, is_admin, looked): (&Restore, bool, bool),
) -> Result<Tried> {
    let mut read = app.store.read().await?;
    let (row, version) = current(app, &mut read, workspace, name).await?;
    wanted.precondition.check(&row)?;
    let users = Allowed::of(app, &mut read, &row).await?;
    let from = version_of(app, &mut read, &row.id, wanted.version).await?;
    let old = VersionContent::read(&version)?;
    let Older { workspace, kind, content, sealed } =
        older(app, &mut read, workspace, (&row, &old), (&from, is_admin, looked)).await?;
    second_login::refuse_unlooked(caller, &mut read, (&row, &old.public, &content.public), looked).await?;
    drop(read);
    let sealing = Sealing { workspace: &workspace, id: uuid(&row.id)?, version: row.version + 1, kept: None };
    let fields = (content.public.clone(), sealing.open_all(&content)?);
    let (connector, fingerprint) = (kind.connector.as_str(), sealed.fingerprint());
    let (serving, carried) = ((&row, &version), Carried::default());
    let candidate = Candidate { workspace: &workspace, connector, fields, fingerprint, serving, users, carried };
    match safe_change::try_first(app, caller, candidate).await {
        Err(Error::TestFailed(report)) => {
            let now = (&row, &old);
            Err(Error::TestFailed(Box::new(told_of_its_age(app, *report, now, (wanted.version, &content)).await?)))
        }
        tried => tried,
    }
}

/// A report that says why an older version is refused, where its password was replaced since.
async fn told_of_its_age(
    app: &App,
    report: TestReport,
    (row, now): (&ConnectionRow, &VersionContent),
    (version, older): (i64, &VersionContent),
) -> Result<TestReport> {
    let since = |content: &VersionContent| {
        let mut secrets = content.secrets.iter();
        secrets.find_map(|(path, secret)| (path.as_str() == PASSWORD).then_some(secret.version))
    };
    let (Some(was), Some(is)) = (since(older), since(now)) else { return Ok(report) };
    let Some(error) = report.error.as_ref().filter(|error| error.code == Cause::CredentialsRefused && was != is) else {
        return Ok(report);
    };
    let came = store::version(&mut app.store.read().await?, &row.id, is).await?;
    let when = came.map(|came| format!(" on {}", minute(came.saved_at))).unwrap_or_default();
    let hint = format!(
        "The password was replaced{when} by version {is}, and version {version} has the one of before: a restore brings the secrets of then back, too. To \
         keep the password of now, edit the connection instead: what “dataflow connections diff {} {} {version}” and its page History show is what to \
         set.",
        row.name, row.version
    );
    let error = Some(TestError { hint, ..error.clone() });
    Ok(TestReport { error, ..report })
}

/// The type of an older version, if it takes all that the version holds.
fn type_of(catalogue: &Catalogue, row: &VersionRow, content: &VersionContent) -> Result<Arc<ConnectionType>> {
    let Some(kind) = catalogue.shared(&row.type_id) else {
        let text = format!("is “{}” in that version, which there is none of any more", row.type_id);
        return Err(Error::Invalid(vec![FieldError::new("type", "not_a_choice", text)]));
    };
    let is_secret = |path: &FieldPath| kind.field(path.as_str()).map(|field| field.secret);
    let public = content.public.0.keys().filter(|path| is_secret(path) != Some(false));
    let secret = content.secrets.keys().filter(|path| is_secret(path) != Some(true));
    let gone = |path: &FieldPath| {
        let text = format!("is set in that version, and {} no longer has such a field", kind.label);
        FieldError::new(path.as_str(), "unknown_field", text)
    };
    let errors: Vec<_> = public.chain(secret).map(gone).collect();
    if !errors.is_empty() {
        return Err(Error::Invalid(errors));
    }
    let typed = content.public.0.iter().map(|(path, value)| (path.clone(), input(value))).collect();
    kind.settle(typed, None, true).map_err(Error::Invalid)?;
    Ok(kind)
}

/// Deletes an older version with its secrets, for good. What tests said of it stays, and so do secrets that other versions hold, too. For
/// admins.
///
/// # Errors
/// `NoRole` for the version that serves; `VersionConflict` if the version is another connection's by now.
pub async fn purge(
    app: &App,
    caller: &Caller,
    workspace: &str,
    name: &str,
    (number, precondition): (i64, Precondition),
) -> Result<()> {
    let workspace = authorise_name(app, caller, workspace, name, Action::PurgeVersions).await?;
    let mut write = begin(app, caller).await?;
    let (connection, _) = hold_current(app, caller, &mut write, &workspace, name).await?;
    // Whoever bent its row: it can be taken away, since that gives nobody anything.
    store::version(&mut write, &connection.id, number).await?.ok_or(Error::NotFound("version"))?;
    precondition.holds(&etag(&connection.id, number))?;
    if number == connection.version {
        return Err(Error::NoRole(
            "This is the version that serves; nothing was purged.",
            "Save another version, or restore one, and purge this one then.",
        ));
    }
    if !store::delete_version(&mut write, &connection.id, number).await? {
        return Err(Error::NotFound("version"));
    }
    let event = Event {
        at: app.clock.now(),
        workspace_id: Some(connection.workspace_id.clone()),
        action: "connection.purge_version",
        object: &connection.name,
        detail: serde_json::json!({"version": number}),
    };
    audit::record(&mut write, &app.vault, caller, event).await?;
    let emptied = empty_log_after(app, &mut write);
    write.commit().await?;
    let _ = emptied.await;
    Ok(())
}
