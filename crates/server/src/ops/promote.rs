//! A connection's definition copied into another workspace under its name, without its secrets.
//!
//! Whatever makes or changes a connection by hand does it here, too, with all of its rules: this only says what is written. Over a connection that is
//! there it writes nothing that says where that one's secrets go or as whom, whoever asks: an edit in its own workspace does, and asks for the secret.

use std::{collections::BTreeSet, sync::Arc};

use dataflow_model::{Catalogue, ConnectionType, Draft, FieldError, FieldInput, FieldPath, Tag};

use super::{
    access::{Action, authorise_name},
    compare::{Callers, Serving, drifts},
    connections::{self, Change, Connection, Precondition, current, etag, view},
    safe_change::Trial,
    versions::input,
};
use crate::{
    app::{App, Workspace},
    audit,
    error::{Error, Result},
    ops::own_types::catalogue_of,
    store::{Read, VersionRow},
};

/// Longest name of a field that a refusal repeats, in characters.
const REPEATED_MAX: usize = 64;

/// What to copy, and where.
#[derive(Debug)]
pub struct Order {
    /// The other workspace.
    pub to: String,
    /// `description`, `tags` and paths of fields. `None`: all of a connection that is not there yet.
    pub fields: Option<Vec<String>>,
    /// Of the connection that is there already.
    pub precondition: Precondition,
    /// Whether what is there already is tested first with what it would be. A new one has no secrets to be tested with.
    pub trial: Trial,
}

/// What came of it.
#[derive(Debug)]
pub struct Copied {
    /// The connection of the other workspace.
    pub connection: Connection,
    pub is_new: bool,
    /// The secrets that the original has and the copy lacks, by path, with what the form calls each.
    pub missing_secrets: Vec<(String, String)>,
}

/// Which version of which workspace's connection a copy was made of, for its event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    pub workspace: String,
    pub version: i64,
}

impl Origin {
    /// Adds it to the detail of an event.
    pub(super) fn note(origin: Option<&Self>, detail: &mut serde_json::Value) {
        let origin = origin.map(|Self { workspace, version }| serde_json::json!({"workspace": workspace, "version": version}));
        audit::note(detail, "copied_from", origin);
    }
}

/// Copies the definition of a connection into another workspace: creates it there, or edits the one of its name.
///
/// # Errors
/// Those of a create or an edit there; `Invalid` where a field is named that no copy takes along, or none is named although the connection is there.
pub async fn copy(app: &App, callers: &Callers, workspace: &str, name: &str, order: &Order) -> Result<Copied> {
    let (here, there) = authorise(app, callers, (workspace, &order.to), name).await?;
    let [catalogue, others] = [catalogue_of(app, &here).await?, catalogue_of(app, &there).await?];
    let mut read = app.store.read().await?;
    let (row, version) = current(app, &mut read, &here, name).await?;
    let target = target(app, &mut read, &there, name).await?;
    drop(read);
    let Some(kind) = catalogue.get(&version.type_id) else {
        let text = format!("is “{}”, which this server no longer has", version.type_id);
        return Err(Error::Invalid(vec![FieldError::new("type", "not_a_choice", text)]));
    };
    let origin = Origin { workspace: here.name.clone(), version: row.version };
    let original = view(Some(kind), row, &version)?;
    let caller = &callers.there;
    let is_new = target.is_none();
    if order.precondition == Precondition::Missing && target.as_ref().is_some_and(|(row, _)| row.name != name) {
        // Another connection has it as an alias: who has seen none of this name does not change that one.
        return Err(Error::NameTaken(name.to_owned()));
    }
    let connection = if let Some(target) = target {
        let change = over(&catalogue.with_missing_of(&others), (kind, &original, &version), (&there, target), order)?;
        let change = Change { copied_from: Some(origin), ..change };
        connections::edit(app, caller, &order.to, name, change).await?
    } else {
        if order.precondition != Precondition::Missing {
            return Err(Error::VersionConflict);
        }
        let draft = whole(kind, &original, &there, order.fields.as_deref())?;
        connections::create_copy(app, caller, &order.to, draft, origin).await?
    };
    Ok(Copied { missing_secrets: missing(kind, &original, &connection), connection, is_new })
}

/// What there is after a copy that took effect before.
pub async fn copied(app: &App, callers: &Callers, workspace: &str, name: &str, order: &Order) -> Result<Copied> {
    let connection = connections::show(app, &callers.there, &order.to, name).await?;
    let original = connections::show(app, &callers.here, workspace, name).await?;
    let (here, _) = authorise(app, callers, (workspace, &order.to), name).await?;
    let catalogue = catalogue_of(app, &here).await?;
    let kind = catalogue.get(&original.row.type_id);
    let missing_secrets = kind.map(|kind| missing(kind, &original, &connection)).unwrap_or_default();
    Ok(Copied { missing_secrets, connection, is_new: order.precondition == Precondition::Missing })
}

/// For callers who may see the name on both sides. What they may do there is for the create or edit to say.
async fn authorise(
    app: &App,
    callers: &Callers,
    (here, there): (&str, &str),
    name: &str,
) -> Result<(Arc<Workspace>, Arc<Workspace>)> {
    let here = authorise_name(app, &callers.here, here, name, Action::SeeConnections).await?;
    let there = authorise_name(app, &callers.there, there, name, Action::SeeConnections).await?;
    if here.id == there.id {
        return Err(Error::Invalid(vec![FieldError::new("to", "invalid", "is this workspace itself; name another one")]));
    }
    Ok((here, there))
}

/// The connection of this name there, if one lives.
async fn target(app: &App, read: &mut Read, there: &Workspace, name: &str) -> Result<Option<Serving>> {
    match current(app, read, there, name).await {
        Ok(found) => Ok(Some(found)),
        Err(Error::NotFound("connection") | Error::Deleted(_)) => Ok(None),
        Err(other) => Err(other),
    }
}

/// A new connection: all that is public, or what is named of it.
fn whole(kind: &ConnectionType, original: &Connection, there: &Workspace, fields: Option<&[String]>) -> Result<Draft> {
    let named = fields.map(|fields| named(kind, original, fields, there)).transpose()?;
    let is_asked = |field: &str| named.as_ref().is_none_or(|named| named.contains(field));
    let public = original.public.0.iter().filter(|(path, _)| is_asked(path.as_str()));
    Ok(Draft {
        name: Some(original.row.name.clone()),
        type_id: Some(kind.id.clone()),
        description: Some(original.row.description.clone()).filter(|_| is_asked("description")),
        tags: Some(texts(&original.tags)).filter(|_| is_asked("tags")),
        fields: public.map(|(path, value)| (path.clone(), input(value))).collect(),
        errors: Vec::new(),
    })
}

/// An edit of the named fields.
fn over(
    catalogue: &Catalogue,
    (kind, original, version): (&ConnectionType, &Connection, &VersionRow),
    (there, (row, held)): (&Workspace, Serving),
    order: &Order,
) -> Result<Change> {
    let found = drifts(catalogue, Some(&held), version)?;
    let Some(fields) = order.fields.as_deref().filter(|fields| !fields.is_empty()) else {
        let all = |copies| {
            let told = found.iter().filter(|drift| drift.copies(true) == copies).map(|drift| drift.difference.field.as_str());
            told.collect::<Vec<_>>().join(", ")
        };
        let text = match (all(true), all(false)) {
            (none, other) if none.is_empty() && other.is_empty() => "nothing of it differs".to_owned(),
            (copied, none) if none.is_empty() => format!("it differs in {copied}"),
            (none, other) if none.is_empty() => format!("it differs only in what no copy changes: {other}"),
            (copied, other) => format!("it differs in {copied}, and in what no copy changes: {other}"),
        };
        let text = format!("has to name what to copy, since “{}” is in “{}” already: {text}", row.name, there.name);
        return Err(Error::Invalid(vec![FieldError::new("fields", "required", text)]));
    };
    let named = named(kind, original, fields, there)?;
    let (mut draft, mut errors) = (Draft::default(), Vec::new());
    for field in named {
        match field.as_str() {
            "description" => draft.description = Some(original.row.description.clone()),
            "tags" => draft.tags = Some(texts(&original.tags)),
            path => {
                let differs = found.iter().find(|drift| drift.difference.field == path);
                if differs.is_some_and(|drift| drift.directs) {
                    let text = format!(
                        "says where “{}” leads, which no copy changes of one that is in “{}”: edit it there",
                        row.name, there.name
                    );
                    errors.push(FieldError::new(path, "invalid", text));
                } else if differs.is_some() {
                    let value = original.public.get(path).map_or(FieldInput::Null, input);
                    draft.fields.insert(FieldPath::new(path.to_owned()), value);
                }
            }
        }
    }
    if !errors.is_empty() {
        return Err(Error::Invalid(errors));
    }
    // What was compared, and nothing that came after.
    let precondition = match &order.precondition {
        Precondition::Any => Precondition::Tags(vec![etag(&row.id, row.version)]),
        other => other.clone(),
    };
    Ok(Change { draft, precondition, trial: order.trial, ..Change::default() })
}

/// The fields that an order names, if a copy may have each.
fn named(kind: &ConnectionType, original: &Connection, fields: &[String], there: &Workspace) -> Result<BTreeSet<String>> {
    let mut errors = Vec::new();
    for name in fields {
        let field = kind.field(name);
        let is_known = matches!(name.as_str(), "type" | "description" | "tags") || original.public.get(name).is_some();
        if field.is_some_and(|field| field.secret) {
            let text = format!("is a secret, which no copy takes along: set it in “{}”", there.name);
            errors.push(FieldError::new(name, "invalid", text));
        } else if field.is_none() && !is_known {
            let name: String = name.chars().take(REPEATED_MAX).collect();
            errors.push(FieldError::new(name, "unknown_field", format!("is no field of {}", kind.label)));
        }
    }
    if errors.is_empty() { Ok(fields.iter().cloned().collect()) } else { Err(Error::Invalid(errors)) }
}

fn texts(tags: &[Tag]) -> Vec<String> {
    tags.iter().map(ToString::to_string).collect()
}

/// The secrets of the original that the copy lacks.
fn missing(kind: &ConnectionType, original: &Connection, copy: &Connection) -> Vec<(String, String)> {
    let is_set = |connection: &Connection, path: &FieldPath| connection.secrets.get(path).copied().unwrap_or_default();
    let secrets = kind.fields.iter().filter(|field| is_set(original, &field.path) && !is_set(copy, &field.path));
    secrets.map(|field| (field.path.as_str().to_owned(), field.label.clone())).collect()
}
