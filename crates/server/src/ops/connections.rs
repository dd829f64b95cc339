//! Connections: create, show, edit. Every save is a version; a save that redirects a secret must bring it again.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use anyhow::Context;
use dataflow_model::{Catalogue, ConnectionName, ConnectionType, Draft, FieldError, FieldPath, PublicFields, Secret, Tag};
use dataflow_vault::random_uuid;

use super::{
    access::{Action, Caller, authorise, authorise_name},
    dependents::{self, Failing},
    health,
    hops::{self, Pin},
    idempotency::begin,
    list::search_words,
    names,
    own_types::{self, catalogue_by, catalogue_of},
    promote::Origin,
    rotations::{
        self, UnderWay,
        policy::{self, Standing},
        second_login::{self, SecondLogin},
    },
    rows::{Sealed as _, VersionContent, taken},
    safe_change::{self, Candidate, Carried, Trial, Tried},
    save::{Act, Next, save},
    second_look,
    tombstones::tombstone,
    users::Allowed,
    versions::{
        Content, Earlier, SealedVersion, Sealing, changed_fields, json, moved_fields, note_weak, read_content, sets_admin_fields,
        version_row,
    },
};
use crate::{
    app::{App, Workspace},
    audit::{self, Event},
    error::{Error, Result, Tombstone},
    store::{self, ConnectionRow, Handle, VersionRow, Write},
};

/// A connection as those who may see it see it: no secret, only which are set.
#[derive(Debug)]
pub struct Connection {
    pub row: ConnectionRow,
    pub tags: Vec<Tag>,
    pub public: PublicFields,
    /// Every secret field of the type, and whether it is set.
    pub secrets: BTreeMap<FieldPath, bool>,
    /// Only where one connection is shown.
    pub rotation: Option<UnderWay>,
    /// How often that is done, and what new passwords are made of.
    pub rotation_policy: Option<Standing>,
    /// The same: that the version which serves fails for clients.
    pub failing: Option<Failing>,
    /// The same.
    pub second_login: Option<SecondLogin>,
}

impl Connection {
    /// Changes with every version, and differs between two connections that had the same name.
    #[must_use]
    pub fn etag(&self) -> String {
        etag(&self.row.id, self.row.version)
    }
}

/// Of a connection while this version is the current one.
pub(super) fn etag(id: &str, version: i64) -> String {
    format!("\"{id}.{version}\"")
}

/// What `If-Match` may say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Precondition {
    #[default]
    Missing,
    /// `*`: whatever is there.
    Any,
    /// One of these entity tags, quotes included.
    Tags(Vec<String>),
}

impl Precondition {
    pub(super) fn check(&self, row: &ConnectionRow) -> Result<()> {
        self.holds(&etag(&row.id, row.version))
    }

    /// Whether it holds where `etag` is what is there.
    pub(super) fn holds(&self, etag: &str) -> Result<()> {
        match self {
            Self::Missing => Err(Error::PreconditionRequired),
            Self::Any => Ok(()),
            Self::Tags(tags) if tags.iter().any(|tag| tag == etag) => Ok(()),
            Self::Tags(_) => Err(Error::VersionConflict),
        }
    }
}

/// Creates a connection. The name must be free; the first of two at the same instant wins.
pub async fn create(app: &App, caller: &Caller, workspace: &str, draft: Draft) -> Result<Connection> {
    make(app, caller, workspace, draft, None).await
}

/// The same of a draft that is a copy; the event says of what.
pub(super) async fn create_copy(app: &App, caller: &Caller, workspace: &str, draft: Draft, origin: Origin) -> Result<Connection> {
    make(app, caller, workspace, draft, Some(origin)).await
}

async fn make(app: &App, caller: &Caller, workspace: &str, draft: Draft, copied_from: Option<Origin>) -> Result<Connection> {
    let workspace = authorise(app, caller, workspace, Action::CreateConnections).await?;
    let is_admin = caller.may(Action::SetAdminFields, workspace.id);
    let looked = is_admin && second_look::given(app, caller).await?;
    let catalogue = catalogue_of(app, &workspace).await?;
    let (name, kind) = match (read_name(&draft), read_type(&catalogue, draft.type_id.as_deref())) {
        (Ok(name), Ok(kind)) => (name, kind),
        (name, Ok(kind)) => return Err(first_of_each(name.err(), read_content(draft, &kind, None, is_admin, Pin::None).err())),
        (name, Err(kind)) => return Err(first_of_each(draft.errors.into_iter().chain(name.err()).chain([kind]), None)),
    };
    if !caller.may_see_name(name.as_str()) {
        return Err(Error::Forbidden("create connections of this name"));
    }
    let pin = hops::pin(app, caller, &mut app.store.read().await?, (&workspace, &draft), None).await?;
    let content = read_content(draft, &kind, None, is_admin, pin)?;
    if !looked && sets_admin_fields(&kind, &PublicFields::default(), &content.settled.public) {
        return Err(Error::SecondLook);
    }
    let id = random_uuid();
    let now = app.clock.now();
    let by = caller.label().into_owned();
    let secrets = Sealing { workspace: &workspace, id, version: 1, kept: None }.apply(&kind, &content.settled)?;
    let row = ConnectionRow {
        id: id.to_string(),
        workspace_id: workspace.id.to_string(),
        name_key: name.key(),
        name: name.into(),
        version: 1,
        type_id: kind.id.clone(),
        address: address(&content.settled.public),
        tags: json(&content.tags)?,
        description: content.description,
        created_at: now,
        created_by: by.clone(),
        updated_at: now,
        updated_by: by,
        checked_at: None,
        check_status: None,
        check_summary: None,
        check_micros: None,
        recent_checks: "[]".to_owned(),
        deleted_at: None,
        deleted_by: None,
        deleted_reason: None,
        users: None,
        use_instead: None,
        mac: Vec::new(),
    }
    .sealed(&app.vault);
    let version = version_row(&row, &content.settled.public, &secrets)?.sealed(&app.vault);

    let mut write = begin(app, caller).await?;
    own_types::still(app, &mut write, &workspace, &kind).await?;
    store::insert_connection(&mut write, &row).await.map_err(taken(&row.name))?;
    store::insert_version(&mut write, &version).await?;
    store::put_password_mark(&mut write, (&row.id, row.version), secrets.password_mark()).await?;
    store::put_words(&mut write, &row, &search_words(Some(&kind), &row, &content.settled.public)).await?;
    health::follow_one(app, &mut write, &row).await?;
    let mut detail = serde_json::json!({"type": kind.id, "version": 1});
    Origin::note(copied_from.as_ref(), &mut detail);
    note_weak(&mut detail, &kind, &content.settled.public);
    let workspace_id = Some(row.workspace_id.clone());
    let event = Event { at: now, workspace_id, action: "connection.create", object: &row.name, detail };
    audit::record(&mut write, &app.vault, caller, event).await?;
    app.caches.forget_connection(&mut write, workspace.id, &row.name);
    write.commit().await.map_err(taken(&row.name))?;
    view(Some(&kind), row, &version)
}

/// One connection by its exact name. A deleted one is an error that says who and when.
pub async fn show(app: &App, caller: &Caller, workspace: &str, name: &str) -> Result<Connection> {
    let workspace = authorise_name(app, caller, workspace, name, Action::SeeConnections).await?;
    let catalogue = catalogue_of(app, &workspace).await?;
    // For whom it fails is among what is counted.
    app.uses.flush_to_read(&app.store).await;
    let mut read = app.store.read().await?;
    let (row, version) = current(app, &mut read, &workspace, name).await?;
    let rotation = rotations::under_way(app, &mut read, &row.id).await?;
    let rotation_policy = Some(policy::of_connection(app, &mut read, &row).await?);
    let failing = dependents::failing(app, caller, &mut read, &workspace, (&row, &version)).await?;
    let second_login = second_login::of(app, caller, &mut read, &workspace, (&row, &version)).await?;
    let kind = catalogue.get(&row.type_id);
    Ok(Connection { rotation, rotation_policy, failing, second_login, ..view(kind, row, &version)? })
}

/// Saves a change as the next version, if it is to be tested only once it has passed. Absent members stay, `null` clears, a secret left out is
/// kept. A change that leaves everything as it is makes no version and no event.
pub async fn edit(app: &App, caller: &Caller, workspace: &str, name: &str, change: Change) -> Result<Connection> {
    let workspace = authorise_name(app, caller, workspace, name, Action::EditConnections).await?;
    let is_admin = caller.may(Action::SetAdminFields, workspace.id);
    let carries = second_look::may_carry(app, caller, &workspace, change.own_password.as_ref()).await?;
    let looked = carries || second_look::given(app, caller).await?;
    let may = May { is_admin, carries, looked };
    let tried = match change.trial {
        Trial::First => Some(Box::pin(try_edit(app, caller, &workspace, name, (&change, may))).await?),
        Trial::None => None,
    };
    let mut write = begin(app, caller).await?;
    let (before, old_version) = hold_current(app, caller, &mut write, &workspace, name).await?;
    change.precondition.check(&before)?;
    rotations::refuse_while_under_way(app, &mut write, &before.id).await?;
    let old = VersionContent::read(&old_version)?;
    let Settling { workspace, kind, content, sealed, carried } =
        settle(app, (caller, &mut write), &workspace, (&before, &old), (change.draft, may)).await?;
    let (from, to) = (&old.public, &content.settled.public);
    second_login::refuse_unlooked(caller, &mut write, (&before, from, to), looked).await?;
    let act = Act::Edit { carried, copied_from: change.copied_from, tried };
    let before = (before, old_version, old);
    save(app, caller, write, Next { workspace: &workspace, kind: &kind, before, content, sealed, act }).await
}

/// What somebody may do in an edit.
#[derive(Clone, Copy)]
struct May {
    is_admin: bool,
    /// Have kept secrets sent elsewhere.
    carries: bool,
    /// He has shown lately that it is he.
    looked: bool,
}

/// What an edit comes to over a version.
struct Settling {
    workspace: Arc<Workspace>,
    kind: Arc<ConnectionType>,
    content: Content,
    sealed: SealedVersion,
    carried: Vec<FieldPath>,
}

async fn settle(
    app: &App,
    (caller, handle): (&Caller, &mut impl Handle),
    workspace: &Arc<Workspace>,
    (before, old): (&ConnectionRow, &VersionContent),
    (mut draft, may): (Draft, May),
) -> Result<Settling> {
    if draft.name.as_deref().is_some_and(|name| name != before.name) {
        draft.errors.push(FieldError::new(
            "name",
            "invalid",
            "cannot be changed here, since code finds the connection by it: rename it",
        ));
    }
    let newer = app.workspace_of_now(workspace, old.newest_key()).await?;
    let workspace = newer.unwrap_or_else(|| workspace.clone());
    let type_id = draft.type_id.take().unwrap_or_else(|| before.type_id.clone());
    let catalogue = catalogue_by(app, handle, &workspace).await?;
    let kind = read_type(&catalogue, Some(&type_id)).map_err(|error| Error::Invalid(vec![error]))?;
    let earlier = Earlier { row: before, public: &old.public };
    let pin = hops::pin(app, caller, handle, (&workspace, &draft), Some(&old.public)).await?;
    let mut content = read_content(draft, &kind, Some(&earlier), may.is_admin, pin)?;
    if !may.looked && sets_admin_fields(&kind, &old.public, &content.settled.public) {
        return Err(Error::SecondLook);
    }

    let id = super::rows::uuid(&before.id)?;
    let sealing = Sealing { workspace: &workspace, id, version: before.version + 1, kept: Some(old) };
    let carried = if may.carries { sealing.carry_over(&kind, &mut content.settled)? } else { Vec::new() };
    let sealed = sealing.apply(&kind, &content.settled)?;
    Ok(Settling { workspace, kind, content, sealed, carried })
}

/// Tests what an edit would put in force now.
async fn try_edit(
    app: &App,
    caller: &Caller,
    workspace: &Arc<Workspace>,
    name: &str,
    (change, may): (&Change, May),
) -> Result<Tried> {
    let mut read = app.store.read().await?;
    let (row, version) = current(app, &mut read, workspace, name).await?;
    let users = Allowed::of(app, &mut read, &row).await?;
    change.precondition.check(&row)?;
    let old = VersionContent::read(&version)?;
    let Settling { workspace, kind, content, sealed, carried } =
        settle(app, (caller, &mut read), workspace, (&row, &old), (change.draft.duplicate(), may)).await?;
    second_login::refuse_unlooked(caller, &mut read, (&row, &old.public, &content.settled.public), may.looked).await?;
    drop(read);
    let changed = changed_fields(&old, &version_row(&row, &content.settled.public, &sealed)?)?;
    let carried = Carried { secrets: &carried, fields: moved_fields(&changed, &kind, &old) };
    let sealing = Sealing { workspace: &workspace, id: super::rows::uuid(&row.id)?, version: row.version + 1, kept: Some(&old) };
    let fields = sealing.clear(&kind, content.settled)?;
    let (connector, fingerprint) = (kind.connector.as_str(), sealed.fingerprint());
    let candidate =
        Candidate { workspace: &workspace, connector, fields, fingerprint, serving: (&row, &version), users, carried };
    safe_change::try_first(app, caller, candidate).await
}

/// A change of a connection as it was asked for.
#[derive(Debug, Default)]
pub struct Change {
    pub draft: Draft,
    pub precondition: Precondition,
    /// The signed-in admin's own password, typed to keep the stored secrets although they will be sent elsewhere; of one who has none,
    /// empty. From anybody else it has no effect.
    pub own_password: Option<Secret>,
    pub trial: Trial,
    /// What the draft was copied of.
    pub copied_from: Option<Origin>,
}

/// The live connection of a name with its current version, both with their MACs checked.
pub(super) async fn current(
    app: &App,
    handle: &mut impl Handle,
    workspace: &Workspace,
    name: &str,
) -> Result<(ConnectionRow, VersionRow)> {
    let row = names::find(app, handle, workspace, name).await?;
    if row.deleted_at.is_some() {
        // Whatever gets the name that was asked for mends it.
        return Err(Error::Deleted(Box::new(Tombstone { name: name.to_owned(), ..tombstone(&row) })));
    }
    let version = store::version(handle, &row.id, row.version)
        .await?
        .context("a connection points to no version")
        .map_err(Error::Internal)?
        .checked(&app.vault)?;
    Ok((row, version))
}

/// The same for a change, which it is kept for: of two at the same instant, the second finds what the first left. Whoever names one and is led to
/// another that his token does not name is refused, however lately that came about.
pub(super) async fn hold_current(
    app: &App,
    caller: &Caller,
    write: &mut Write,
    workspace: &Workspace,
    name: &str,
) -> Result<(ConnectionRow, VersionRow)> {
    while !store::hold_connection(write, &workspace.id.to_string(), name, &name.to_ascii_lowercase()).await? {
        // Either there is none, and that is the answer, or one was created just now, or an alias leads to one.
        let (row, _) = current(app, write, workspace, name).await?;
        store::hold_connection_by_id(write, &row.id).await?;
        let (held, version) = current(app, write, workspace, name).await?;
        if held.id == row.id {
            names::admit(caller, name, &held.name)?;
            return Ok((held, version));
        }
    }
    current(app, write, workspace, name).await
}

/// As those see it who may; `kind` is its type, if there is one.
pub(super) fn view(kind: Option<&ConnectionType>, row: ConnectionRow, version: &VersionRow) -> Result<Connection> {
    let content = VersionContent::read(version)?;
    let tags = serde_json::from_str(&row.tags).context("a connection's tags do not parse").map_err(Error::Internal)?;
    let fields = kind.map(|kind| kind.fields.as_slice()).unwrap_or_default();
    let secrets = fields
        .iter()
        .filter(|field| field.secret)
        .map(|field| (field.path.clone(), content.secrets.contains_key(&field.path)))
        .collect();
    let public = content.public;
    Ok(Connection { row, tags, public, secrets, rotation: None, rotation_policy: None, failing: None, second_login: None })
}

/// All that is wrong with a new connection, one error for each field.
fn first_of_each(errors: impl IntoIterator<Item = FieldError>, of_content: Option<Error>) -> Error {
    let of_content = match of_content {
        Some(Error::Invalid(errors)) => errors,
        Some(other) => return other,
        None => Vec::new(),
    };
    let mut seen = BTreeSet::new();
    let all = of_content.into_iter().chain(errors);
    Error::Invalid(all.filter(|error| seen.insert(error.field.clone())).collect())
}

fn read_name(draft: &Draft) -> std::result::Result<ConnectionName, FieldError> {
    let name = draft.name.as_deref().ok_or_else(|| FieldError::new("name", "required", "is needed"))?;
    ConnectionName::new(name).map_err(|error| FieldError::new("name", "invalid", error.to_string()))
}

pub(super) fn read_type(catalogue: &Catalogue, id: Option<&str>) -> std::result::Result<Arc<ConnectionType>, FieldError> {
    let id = id.ok_or_else(|| FieldError::new("type", "required", "is needed"))?;
    if catalogue.unreadable(id).is_some() {
        let text = "is of this workspace’s own, and its definition cannot be read any more: an admin defines it again";
        return Err(FieldError::new("type", "invalid", text));
    }
    catalogue
        .shared(id)
        .ok_or_else(|| FieldError::new("type", "not_a_choice", "is not a known connection type; see GET /api/v1/types"))
}

/// Rewrites the search words of a connection, where they changed.
pub(super) async fn replace_words(
    write: &mut Write,
    row: &ConnectionRow,
    kind: &ConnectionType,
    public: &PublicFields,
) -> Result<()> {
    let before = store::words_of(write, row).await?;
    let after = search_words(Some(kind), row, public);
    for gone in before.iter().filter(|word| !after.contains(word)) {
        store::remove_word(write, row, gone).await?;
    }
    let new: Vec<_> = after.into_iter().filter(|word| !before.contains(word)).collect();
    store::put_words(write, row, &new).await?;
    Ok(())
}

/// What the list shows under “Host”: `db.example.org:5432 / sales`, or the file.
pub(super) fn address(public: &PublicFields) -> String {
    let database = public.text("database");
    match (public.text("host"), public.integer("port")) {
        (Some(host), port) => {
            let host = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() };
            let port = port.map(|port| format!(":{port}")).unwrap_or_default();
            let database = database.map(|database| format!(" / {database}")).unwrap_or_default();
            format!("{host}{port}{database}")
        }
        (None, _) => database.unwrap_or_default().to_owned(),
    }
}
