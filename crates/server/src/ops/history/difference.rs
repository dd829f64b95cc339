//! What two versions of a connection hold differently, field by field. Of a secret only that it is another one.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::anyhow;
use dataflow_model::{Catalogue, ConnectionType, FieldPath, FieldValue, PublicFields, Tag};
use serde::Deserialize;

use crate::{
    error::{Error, Result},
    store::VersionRow,
};

/// One member that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// `name`, `type`, `description`, `tags`, or a field's path.
    pub field: String,
    /// What the form calls it.
    pub label: String,
    pub change: FieldChange,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldChange {
    /// `None`: not set.
    Public {
        before: Option<Value>,
        after: Option<Value>,
    },
    Secret(SecretDifference),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Field(FieldValue),
    Tags(Vec<Tag>),
}

/// What became of a secret. One that was typed again counts as changed, since nobody looks whether it is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretDifference {
    Set,
    Changed,
    Cleared,
}

impl SecretDifference {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Set => "set",
            Self::Changed => "changed",
            Self::Cleared => "cleared",
        }
    }

    fn between(before: Option<&SealedAt>, after: Option<&SealedAt>) -> Option<Self> {
        match (before, after) {
            (None, Some(_)) => Some(Self::Set),
            (Some(_), None) => Some(Self::Cleared),
            (Some(before), Some(after)) if before != after => Some(Self::Changed),
            _ => None,
        }
    }
}

/// What tells one sealed secret of a field from another: a rotation seals each copy anew, and leaves this.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(in crate::ops) struct SealedAt {
    version: i64,
}

/// A version as far as it is compared.
#[derive(Debug)]
pub(in crate::ops) struct Held<'v> {
    pub row: &'v VersionRow,
    public: PublicFields,
    secrets: BTreeMap<FieldPath, SealedAt>,
}

impl<'v> Held<'v> {
    /// Reads a version whose MAC was checked.
    pub fn read(row: &'v VersionRow) -> Result<Self> {
        let read = || Ok((serde_json::from_str(&row.fields)?, serde_json::from_str(&row.secrets)?));
        let (public, secrets) = read().map_err(damaged)?;
        Ok(Self { row, public, secrets })
    }

    /// The same of another connection's: of a secret it counts whether there is one, since two connections have never the same.
    pub fn read_beside(row: &'v VersionRow) -> Result<Self> {
        let mut held = Self::read(row)?;
        held.secrets.values_mut().for_each(|sealed| sealed.version = 0);
        Ok(held)
    }

    pub fn text(text: &str) -> Option<Value> {
        Some(Value::Field(FieldValue::Text(text.to_owned()))).filter(|_| !text.is_empty())
    }

    /// `None` where there are none.
    fn tags(&self) -> Result<Option<Value>> {
        let tags: Vec<Tag> = serde_json::from_str(&self.row.tags).map_err(damaged)?;
        Ok(Some(tags).filter(|tags| !tags.is_empty()).map(Value::Tags))
    }
}

fn damaged(error: serde_json::Error) -> Error {
    Error::Internal(anyhow!(error).context("a version's JSON does not parse"))
}

/// All that differs, in the order of the form; over no version before, all that is set.
pub(in crate::ops) fn differences(catalogue: &Catalogue, before: Option<&Held<'_>>, after: &Held<'_>) -> Result<Vec<Difference>> {
    let mut found = Vec::new();
    let mut add = |field: &str, label: &str, change| {
        found.push(Difference { field: field.to_owned(), label: label.to_owned(), change });
    };
    // A version that is restored leaves the name of now, so that of an older one is no difference.
    if let Some(before) = before.filter(|before| before.row.version < after.row.version && before.row.name != after.row.name) {
        let name = |held: &Held<'_>| Held::text(&held.row.name);
        add("name", "Connection Name", FieldChange::Public { before: name(before), after: name(after) });
    }
    let texts = |held: Option<&Held<'_>>| {
        held.map_or([None, None], |held| [&held.row.type_id, &held.row.description].map(|text| Held::text(text)))
    };
    let words = [("type", "Database Type"), ("description", "Description")];
    for ((field, label), (before, after)) in words.into_iter().zip(texts(before).into_iter().zip(texts(Some(after)))) {
        if before != after {
            add(field, label, FieldChange::Public { before, after });
        }
    }
    if before.is_none_or(|before| before.row.tags != after.row.tags) {
        let (before, after) = (before.map(Held::tags).transpose()?.flatten(), after.tags()?);
        if before != after {
            add("tags", "Tags", FieldChange::Public { before, after });
        }
    }
    let kinds = [Some(after), before].into_iter().flatten().filter_map(|held| catalogue.get(&held.row.type_id));
    let kinds: Vec<&ConnectionType> = kinds.collect();
    for path in changed_paths(&kinds, before, after) {
        let field = kinds.iter().find_map(|kind| kind.field(path.as_str()));
        let label = field.map_or(path.as_str(), |field| field.label.as_str());
        let value = |held: &Held<'_>| held.public.get(path.as_str()).cloned().map(Value::Field);
        let (old, new) = (before.and_then(value), value(after));
        if old != new {
            add(path.as_str(), label, FieldChange::Public { before: old, after: new });
        }
        let sealed = before.and_then(|held| held.secrets.get(path));
        if let Some(change) = SecretDifference::between(sealed, after.secrets.get(path)) {
            add(path.as_str(), label, FieldChange::Secret(change));
        }
    }
    Ok(found)
}

/// The paths whose values differ: in the catalogue's order, then those that it no longer has.
fn changed_paths<'h>(kinds: &[&ConnectionType], before: Option<&'h Held<'_>>, after: &'h Held<'_>) -> Vec<&'h FieldPath> {
    let both = [Some(after), before].into_iter().flatten();
    let stored: BTreeSet<_> = both.flat_map(|held| held.public.0.keys().chain(held.secrets.keys())).collect();
    let differs = |path: &&FieldPath| {
        before.and_then(|held| held.public.0.get(*path)) != after.public.0.get(*path)
            || before.and_then(|held| held.secrets.get(*path)) != after.secrets.get(*path)
    };
    let mut changed: Vec<_> = stored.into_iter().filter(differs).collect();
    let place = |path: &FieldPath| {
        kinds.iter().enumerate().find_map(|(kind, of)| Some((kind, of.fields.iter().position(|field| field.path == *path)?)))
    };
    changed.sort_by_key(|path| place(path).unwrap_or((kinds.len(), 0)));
    changed
}
