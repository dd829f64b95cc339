//! Connection types of a workspace's own: admins define them, everybody there uses them like those that are built in.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use anyhow::anyhow;
use dataflow_model::{
    Catalogue, ConnectionType, FieldError,
    own_type::{self, OwnDefinition},
};
use dataflow_vault::Vault;

use super::{
    access::{Action, Caller, authorise},
    connections::Precondition,
    idempotency::begin,
    rows::Sealed as _,
};
use crate::{
    app::{App, Kind, Kinds, Workspace},
    audit::{self, Event},
    error::{Error, Result},
    store::{self, OwnTypeRow, Write},
};

/// Most types of a workspace's own.
pub const OWN_TYPES_MAX: i64 = 100;
/// Rows of a workspace, those of removed types included: their versions go on where the type comes back.
const ROWS_MAX: i64 = 1_000;
/// Connections that a refusal names.
const NAMED: usize = 3;
/// Connections that a refusal looks at.
const LOOKED_AT: i64 = 1_000;
/// What to do about the connections of a type that is to go.
pub const TYPE_IN_USE_HINT: &str =
    "Delete them or give them another type. One that was deleted counts for as long as it can be brought back.";
const SECRECY_HINT: &str = "Give the field another name: what is kept under this one stays what it was.";
const BASE_HINT: &str = "Define another type over that base, and give the connections that one. One that was deleted counts for as long as it can be \
     brought back.";
const OLDER_HINT: &str = "Define it over the base that it had, or define another type under another id. An older version that is restored has to be what it \
     was.";

/// A type of a workspace's own, as it was defined.
#[derive(Debug)]
pub struct OwnType {
    pub id: String,
    pub label: String,
    /// TOML, as it was saved.
    pub definition: String,
    pub version: i64,
    pub saved_at: i64,
    pub saved_by: String,
    /// Live connections of it, as far as the caller sees them.
    pub connections: i64,
    /// Why it cannot be used until it is defined again.
    pub problem: Option<String>,
}

impl OwnType {
    #[must_use]
    pub fn etag(&self) -> String {
        etag(&self.id, self.version)
    }
}

fn etag(id: &str, version: i64) -> String {
    format!("\"{id}.{version}\"")
}

/// What names that there is no type of this id.
#[must_use]
pub fn none_yet(id: &str) -> Precondition {
    Precondition::Tags(vec![etag(id, 0)])
}

/// The types that are built in and a workspace's own, from memory where they were read before. Callers authorise first.
pub async fn catalogue_of(app: &App, workspace: &Workspace) -> Result<Arc<Catalogue>> {
    match app.caches.catalogues.get(&workspace.id) {
        Some(found) => Ok(found),
        // Boxed: it is rare, and its many states would be moved about with every request.
        None => Box::pin(load(app, workspace)).await,
    }
}

/// The same where a session of the store is open already: who waits for a second one while he holds the first may wait for ever.
pub(super) async fn catalogue_by(app: &App, handle: &mut impl store::Handle, workspace: &Workspace) -> Result<Arc<Catalogue>> {
    match app.caches.catalogues.get(&workspace.id) {
        Some(found) => Ok(found),
        None => load_by(app, handle, app.caches.generation(), workspace).await,
    }
}

async fn load(app: &App, workspace: &Workspace) -> Result<Arc<Catalogue>> {
    let generation = app.caches.generation();
    load_by(app, &mut app.store.read().await?, generation, workspace).await
}

async fn load_by(app: &App, handle: &mut impl store::Handle, generation: u64, workspace: &Workspace) -> Result<Arc<Catalogue>> {
    let rows = store::own_types(handle, &workspace.id.to_string()).await?;
    let catalogue = if rows.is_empty() {
        app.catalogue.clone()
    } else {
        Arc::new(of_rows(&app.vault, &app.catalogue, &app.caches.kinds, rows))
    };
    app.caches.put_catalogue(generation, workspace.id, catalogue.clone());
    Ok(catalogue)
}

/// The built-in types and those of these rows, which are of one workspace.
fn of_rows(vault: &Vault, built_in: &Catalogue, kinds: &Kinds, rows: Vec<OwnTypeRow>) -> Catalogue {
    let (mut own, mut bent) = (Vec::new(), Vec::new());
    for row in rows {
        match kind_of(vault, built_in, kinds, &row) {
            Ok(kind) => own.push(kind),
            Err(why) => {
                let (workspace, id) = (row.workspace_id.as_str(), row.id.as_str());
                tracing::error!(workspace.id = workspace, type.id = id, error.cause = why, "a type of a workspace's own was refused");
                bent.push((row.id, why));
            }
        }
    }
    let mut catalogue = built_in.with_own(own);
    for (id, why) in bent {
        catalogue.note_unreadable(&id, why);
    }
    catalogue
}

/// The type of a row, or why it is none. What was read once is not read again: a hundred types take their time, and another node's change, whatever
/// it is of, has each node ask the store anew.
fn kind_of(
    vault: &Vault,
    built_in: &Catalogue,
    kinds: &Kinds,
    row: &OwnTypeRow,
) -> std::result::Result<Arc<ConnectionType>, String> {
    let row = row.clone().checked(vault).map_err(|error| error.cause().map(|cause| format!("{cause:#}")).unwrap_or_default())?;
    let key = (row.workspace_id, row.id);
    if let Some(known) = kinds.get(&key).filter(|known| known.version == row.version && known.mac == row.mac) {
        return Ok(known.kind.clone());
    }
    let kind = own_type::compile(&key.1, &row.definition, built_in).map_err(|errors| {
        let told: Vec<_> = errors.iter().map(|error| format!("{} {}", error.field, error.message)).collect();
        format!("its definition does not fit this build: {}", told.join("; "))
    })?;
    let kind = Arc::new(ConnectionType { own: Some(row.version), ..kind });
    kinds.put(key, Arc::new(Kind { version: row.version, mac: row.mac, kind: kind.clone() }));
    Ok(kind)
}

/// The types of every workspace that has some of its own, for a store that is being filled.
pub(super) async fn all_catalogues(
    write: &mut Write,
    vault: &Vault,
    built_in: &Catalogue,
) -> anyhow::Result<HashMap<String, Catalogue>> {
    let mut rows: BTreeMap<String, Vec<OwnTypeRow>> = BTreeMap::new();
    for row in store::all_own_types(write).await? {
        rows.entry(row.workspace_id.clone()).or_default().push(row);
    }
    Ok(rows.into_iter().map(|(id, rows)| (id, of_rows(vault, built_in, &Kinds::default(), rows))).collect())
}

/// What a connection of a type comes to that is not in the catalogue.
pub(crate) fn unreadable_type(catalogue: &Catalogue, id: &str) -> Error {
    let why = catalogue.unreadable(id).unwrap_or("there is no such type");
    Error::TypeUnreadable(id.to_owned(), anyhow!("the type {id} cannot be used: {why}"))
}

/// Whether a type is still what a change was held against, in the transaction of the change: nobody defines it anew until that ends.
///
/// # Errors
/// `Invalid` of `type` if not.
pub(super) async fn still(app: &App, write: &mut Write, workspace: &Workspace, kind: &ConnectionType) -> Result<()> {
    let Some(version) = kind.own else { return Ok(()) };
    let workspace_id = workspace.id.to_string();
    store::share_workspace(write, &workspace_id).await?;
    let row = store::own_type(write, &workspace_id, &kind.id).await?;
    let row = row.map(|row| row.checked(&app.vault)).transpose().map_err(|error| match error {
        Error::SecretUnreadable(cause) => Error::TypeUnreadable(kind.id.clone(), cause),
        other => other,
    })?;
    if row.is_some_and(|row| row.version == version && !row.definition.is_empty()) {
        return Ok(());
    }
    let text = "was changed by an admin just now: look at the form again";
    Err(Error::Invalid(vec![FieldError::new("type", "invalid", text)]))
}

fn stands(app: &App, row: OwnTypeRow, connections: i64) -> OwnType {
    let problem = kind_of(&app.vault, &app.catalogue, &app.caches.kinds, &row).err();
    let label = OwnDefinition::from_toml(&row.definition).map_or_else(|_| row.id.clone(), |definition| definition.label);
    let OwnTypeRow { id, definition, version, saved_at, saved_by, .. } = row;
    OwnType { id, label, definition, version, saved_at, saved_by, connections, problem }
}

/// How many live connections are of each type, of those that the caller sees.
async fn counted(app: &App, caller: &Caller, workspace_id: &str, ids: &[&str]) -> Result<HashMap<String, i64>> {
    let mut read = app.store.read().await?;
    if caller.narrowed_to().is_none() {
        return Ok(store::count_of_own_types(&mut read, workspace_id).await?.into_iter().collect());
    }
    let mut counts = HashMap::new();
    for id in ids {
        let names = store::connections_of_type(&mut read, workspace_id, id, i64::MAX).await?;
        let seen = names.iter().filter(|(name, deleted)| deleted.is_none() && caller.may_see_name(name)).count();
        counts.insert((*id).to_owned(), i64::try_from(seen).unwrap_or(i64::MAX));
    }
    Ok(counts)
}

/// The types of a workspace's own, by id.
pub async fn list(app: &App, caller: &Caller, workspace: &str) -> Result<Vec<OwnType>> {
    let workspace = authorise(app, caller, workspace, Action::SeeConnections).await?;
    let workspace_id = workspace.id.to_string();
    let rows = store::own_types(&mut app.store.read().await?, &workspace_id).await?;
    let ids: Vec<_> = rows.iter().map(|row| row.id.as_str()).collect();
    let counts = counted(app, caller, &workspace_id, &ids).await?;
    Ok(rows
        .into_iter()
        .map(|row| (counts.get(&row.id).copied().unwrap_or_default(), row))
        .map(|(count, row)| stands(app, row, count))
        .collect())
}

/// Every type that a connection of the workspace may be of.
pub async fn all(app: &App, caller: &Caller, workspace: &str) -> Result<Arc<Catalogue>> {
    let workspace = authorise(app, caller, workspace, Action::SeeConnections).await?;
    catalogue_of(app, &workspace).await
}

pub async fn show(app: &App, caller: &Caller, workspace: &str, id: &str) -> Result<OwnType> {
    let workspace = authorise(app, caller, workspace, Action::SeeConnections).await?;
    let workspace_id = workspace.id.to_string();
    let row = found(&mut app.store.read().await?, &workspace_id, id).await?;
    let counts = counted(app, caller, &workspace_id, &[id]).await?;
    Ok(stands(app, row, counts.get(id).copied().unwrap_or_default()))
}

async fn found(handle: &mut impl store::Handle, workspace_id: &str, id: &str) -> Result<OwnTypeRow> {
    // PostgreSQL fails at a text with NUL, so what cannot be an id is not looked for.
    let row = if own_type::is_id(id) { store::own_type(handle, workspace_id, id).await? } else { None };
    row.filter(|row| !row.definition.is_empty()).ok_or(Error::NotFound("connection type"))
}

/// Defines a type, or changes it from the version that it `replaces`; without one it has to be new.
///
/// # Errors
/// Those of [`save`].
#[expect(clippy::too_many_arguments, reason = "who, where, what and over what, each of another sort")]
pub async fn put(
    app: &App,
    caller: &Caller,
    workspace: &str,
    id: &str,
    definition: &str,
    replaces: Option<i64>,
) -> Result<OwnType> {
    save(app, caller, workspace, id, (definition, &Precondition::Tags(vec![etag(id, replaces.unwrap_or_default())]))).await
}

/// Defines a type, or changes it. Its connections serve as they are; their form and the next save go by the new definition.
///
/// # Errors
/// `Invalid` with the members of the definition that are refused, and beyond [`OWN_TYPES_MAX`]; `TypeInUse` if connections are of it, older versions
/// included, and it is to have another base, or a field of theirs is to become a secret or to be none any more.
pub async fn save(
    app: &App,
    caller: &Caller,
    workspace: &str,
    id: &str,
    (definition, precondition): (&str, &Precondition),
) -> Result<OwnType> {
    let workspace = authorise(app, caller, workspace, Action::DefineTypes).await?;
    let new = own_type::read(id, definition, &app.catalogue);
    if !own_type::is_id(id) {
        return Err(Error::Invalid(new.err().unwrap_or_default()));
    }
    let workspace_id = workspace.id.to_string();
    let mut write = begin(app, caller).await?;
    store::hold_workspace(&mut write, &workspace_id).await?;
    let row = store::own_type(&mut write, &workspace_id, id).await?;
    let last = row.as_ref().map_or(0, |row| row.version);
    let before = row.as_ref().filter(|row| !row.definition.is_empty());
    precondition.holds(&etag(id, before.map_or(0, |row| row.version)))?;
    // A built-in type that came later has its id, perhaps: it is what it was.
    let kind = if before.is_some() { own_type::compile(id, definition, &app.catalogue) } else { new };
    let kind = kind.map_err(Error::Invalid)?;
    refuse_taken(&mut write, &workspace_id, &kind).await?;
    if before.is_none() {
        refuse_many(&mut write, &workspace_id, last > 0).await?;
    }
    let was = before.and_then(|row| kind_of(&app.vault, &app.catalogue, &app.caches.kinds, row).ok());
    if let Some(before) = before.filter(|row| was.is_some() && row.definition == definition) {
        let connections = store::connections_of_type(&mut write, &workspace_id, id, LOOKED_AT).await?;
        let live = connections.iter().filter(|(_, deleted)| deleted.is_none()).count();
        write.commit_quietly().await?;
        return Ok(stands(app, before.clone(), i64::try_from(live).unwrap_or_default()));
    }
    let connections = store::connections_of_type(&mut write, &workspace_id, id, LOOKED_AT).await?;
    let base = kind.extends.clone().unwrap_or_default();
    if let Some(row) = row.as_ref().filter(|row| is_over_another(&app.vault, row, (definition, &base))) {
        refuse_other_base(&mut write, row, &connections).await?;
    }
    refuse_other_secrecy(&mut write, &workspace_id, (was.as_deref(), &kind)).await?;
    let now = app.clock.now();
    let action = if before.is_some() { "type.update" } else { "type.create" };
    let row = OwnTypeRow {
        workspace_id,
        id: id.to_owned(),
        base,
        definition: definition.to_owned(),
        version: last.saturating_add(1),
        saved_at: now,
        saved_by: caller.label().into_owned(),
        saved_by_id: caller.identity().into_owned(),
        mac: Vec::new(),
    }
    .sealed(&app.vault);
    store::put_own_type(&mut write, &row).await?;
    let detail = detail(&kind, was.as_deref(), row.version);
    let event = Event { at: now, workspace_id: Some(row.workspace_id.clone()), action, object: id, detail };
    audit::record(&mut write, &app.vault, caller, event).await?;
    app.caches.forget_types(&mut write, workspace.id);
    write.commit().await?;
    let live = connections.iter().filter(|(_, deleted)| deleted.is_none()).count();
    Ok(stands(app, row, i64::try_from(live).unwrap_or_default()))
}

/// What an event says of a definition: what it is over, how its URL is built, and which fields differ.
fn detail(kind: &ConnectionType, was: Option<&ConnectionType>, version: i64) -> serde_json::Value {
    let url = kind.url.as_ref();
    let mut detail = serde_json::json!({"version": version, "extends": kind.extends});
    let is_new = was.and_then(|was| was.url.as_ref()) != url;
    audit::note(&mut detail, "url", is_new.then(|| serde_json::json!(url)));
    let of = |kind: &ConnectionType| -> BTreeMap<String, String> {
        kind.fields.iter().map(|field| (field.path.as_str().to_owned(), format!("{field:?}"))).collect()
    };
    let after = of(kind);
    if let Some(was) = was {
        let before = of(was);
        let changed = before
            .iter()
            .chain(&after)
            .filter(|(path, field)| before.get(*path) != Some(*field) || after.get(*path) != Some(*field));
        let fields: std::collections::BTreeSet<_> = changed.map(|(path, _)| path).collect();
        audit::note(&mut detail, "fields", (!fields.is_empty()).then(|| serde_json::json!(fields)));
    }
    detail
}

/// Nobody could tell two types apart that have one label.
async fn refuse_taken(write: &mut Write, workspace_id: &str, kind: &ConnectionType) -> Result<()> {
    let label = kind.label.to_lowercase();
    let is_it =
        |row: &OwnTypeRow| OwnDefinition::from_toml(&row.definition).is_ok_and(|other| other.label.to_lowercase() == label);
    let rows = store::own_types(write, workspace_id).await?;
    match rows.iter().find(|row| row.id != kind.id && is_it(row)) {
        None => Ok(()),
        Some(other) => {
            let text = format!("is that of the type “{}”; choose another one", other.id);
            Err(Error::Invalid(vec![FieldError::new("label", "name_taken", text)]))
        }
    }
}

async fn refuse_many(write: &mut Write, workspace_id: &str, comes_back: bool) -> Result<()> {
    let live = store::own_types(write, workspace_id).await?.len();
    let text = if i64::try_from(live).unwrap_or(i64::MAX) >= OWN_TYPES_MAX {
        format!("would be one more than the {OWN_TYPES_MAX} types of its own that a workspace may have")
    } else if !comes_back && store::count_own_types(write, workspace_id).await? >= ROWS_MAX {
        format!(
            "would be one more than the {ROWS_MAX} ids that a workspace may use for its own types over time: take one of a removed type"
        )
    } else {
        return Ok(());
    };
    Err(Error::Invalid(vec![FieldError::new("id", "too_many", text)]))
}

/// Whether a definition is over another base than the one that connections were made over. A row that cannot be used holds it to what it says, too, or
/// by defining it again it would become anything; only the very definition that was sealed is known to be right whatever a bent row says.
fn is_over_another(vault: &Vault, row: &OwnTypeRow, (definition, base): (&str, &str)) -> bool {
    let sealed = || OwnTypeRow { definition: definition.to_owned(), base: base.to_owned(), ..row.clone() };
    row.base != base && sealed().checked(vault).is_err()
}

/// What a connection is of stays over its base, in older versions, too: each could be restored.
async fn refuse_other_base(write: &mut Write, row: &OwnTypeRow, connections: &[(String, Option<i64>)]) -> Result<()> {
    if !connections.is_empty() {
        return Err(Error::TypeInUse(in_use(&row.id, "cannot have another base", connections), BASE_HINT));
    }
    let older = store::connections_that_hold(write, (&row.workspace_id, &row.id), (false, "%"), LOOKED_AT).await?;
    if older.is_empty() {
        return Ok(());
    }
    let older: Vec<_> = older.into_iter().map(|(name,)| (name, None)).collect();
    let text = format!(
        "The type “{}” cannot have another base than “{}”: older versions are of it, of {}.",
        row.id,
        row.base,
        told(&older)
    );
    Err(Error::TypeInUse(text, OLDER_HINT))
}

/// What is kept as a secret does not become public, nor is what everybody could read called a secret, in any version of a connection.
async fn refuse_other_secrecy(
    write: &mut Write,
    workspace_id: &str,
    (was, kind): (Option<&ConnectionType>, &ConnectionType),
) -> Result<()> {
    let known = |path: &str| was.and_then(|was| was.field(path)).map(|field| field.secret);
    for field in kind.fields.iter().filter(|field| known(field.path.as_str()) != Some(field.secret)) {
        let path = field.path.as_str();
        // Written by this program as a member of an object: `"extra.token":`.
        let pattern = format!("%\"{}\":%", path.replace('!', "!!").replace('_', "!_").replace('%', "!%"));
        let names = store::connections_that_hold(write, (workspace_id, &kind.id), (!field.secret, &pattern), LOOKED_AT).await?;
        if !names.is_empty() {
            let names: Vec<_> = names.into_iter().map(|(name,)| (name, None)).collect();
            let what = if field.secret { "become a secret: it is public" } else { "become public: it is a secret" };
            let text = format!("The field “{path}” of the type “{}” cannot {what} in {}.", kind.id, told(&names));
            return Err(Error::TypeInUse(text, SECRECY_HINT));
        }
    }
    Ok(())
}

/// Why something is not done to a type.
#[must_use]
pub fn in_use(id: &str, what: &str, connections: &[(String, Option<i64>)]) -> String {
    let are = if connections.len() == 1 { "is" } else { "are" };
    format!("The type “{id}” {what}: of it {are} {}.", told(connections))
}

/// Some connections by name, and how many there are besides.
fn told(connections: &[(String, Option<i64>)]) -> String {
    let named = connections
        .iter()
        .take(NAMED)
        .map(|(name, deleted)| if deleted.is_some() { format!("“{name}” (deleted)") } else { format!("“{name}”") });
    let named: Vec<_> = named.collect();
    match connections.len().saturating_sub(NAMED) {
        0 => match named.split_last() {
            Some((last, [])) => last.clone(),
            Some((last, others)) => format!("{} and {last}", others.join(", ")),
            None => String::new(),
        },
        more if connections.len() >= usize::try_from(LOOKED_AT).unwrap_or_default() => {
            format!("{} and {more} more at least", named.join(", "))
        }
        more => format!("{} and {more} more", named.join(", ")),
    }
}

/// Takes a type away, if nothing is of it, nor could come back.
///
/// # Errors
/// `TypeInUse` if something is.
pub async fn remove(app: &App, caller: &Caller, workspace: &str, id: &str, version: i64) -> Result<()> {
    remove_if(app, caller, workspace, id, &Precondition::Tags(vec![etag(id, version)])).await
}

/// The same on another condition.
pub async fn remove_if(app: &App, caller: &Caller, workspace: &str, id: &str, precondition: &Precondition) -> Result<()> {
    let workspace = authorise(app, caller, workspace, Action::DefineTypes).await?;
    let workspace_id = workspace.id.to_string();
    let mut write = begin(app, caller).await?;
    store::hold_workspace(&mut write, &workspace_id).await?;
    let row = found(&mut write, &workspace_id, id).await?;
    precondition.holds(&etag(id, row.version))?;
    let connections = store::connections_of_type(&mut write, &workspace_id, id, LOOKED_AT).await?;
    if !connections.is_empty() {
        return Err(Error::TypeInUse(in_use(id, "cannot be removed", &connections), TYPE_IN_USE_HINT));
    }
    let now = app.clock.now();
    let row = OwnTypeRow {
        definition: String::new(),
        version: row.version.saturating_add(1),
        saved_at: now,
        saved_by: caller.label().into_owned(),
        saved_by_id: caller.identity().into_owned(),
        ..row
    }
    .sealed(&app.vault);
    store::put_own_type(&mut write, &row).await?;
    let detail = serde_json::json!({"version": row.version});
    let event = Event { at: now, workspace_id: Some(workspace_id), action: "type.remove", object: id, detail };
    audit::record(&mut write, &app.vault, caller, event).await?;
    app.caches.forget_types(&mut write, workspace.id);
    Ok(write.commit().await?)
}
