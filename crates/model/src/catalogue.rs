//! Connection types: what the form asks, which fields are secret, which protocol tests them. One TOML file each, in `catalog/`.

mod category;
mod tested;

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

pub use self::{
    category::Category,
    tested::{OwnTest, Server, Source, Tested},
};
use crate::{FieldPath, FieldValue, PublicFields, name::NAME_MAX, own_type::UrlTemplate, settle::stays_here};

const FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/catalog.rs"));

/// The name of the Rust code that speaks a type's protocol, as listed in the connectors' registry.
pub type Connector = String;

/// Why a catalogue file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    #[error("catalog/{file}.toml cannot be read")]
    Syntax {
        file: String,
        #[source]
        source: toml::de::Error,
    },
    #[error("catalog/{file}.toml: {problem}")]
    Rule { file: String, problem: String },
}

/// What a field holds. The kind decides the control of the form and the rule for the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldKind {
    /// One line of text.
    Text,
    /// A host name or an IP address.
    Host,
    /// 1 to 65535.
    Port,
    Integer,
    Boolean,
    /// One of `choices`.
    Choice,
    /// A secret in one line.
    Password,
    /// Certificates in PEM form.
    Certificate,
    /// A private key in PEM form.
    PrivateKey,
    /// A path relative to the server's folder for files of this type.
    File,
    /// The name of another connection of the workspace.
    Connection,
}

impl FieldKind {
    /// Whether a value of this kind is a secret, as every one of it is.
    #[must_use]
    pub fn is_secret(self) -> bool {
        matches!(self, Self::Password | Self::PrivateKey)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Section {
    Main,
    Security,
    Extra,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    pub value: String,
    pub label: String,
    /// Shown marked in the Studio, audited and linted: it weakens the protection of the secret.
    #[serde(default)]
    pub weak: bool,
}

/// One field of a connection type.
#[expect(clippy::struct_excessive_bools, reason = "one flag per mark of the catalogue's TOML")]
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    pub path: FieldPath,
    pub label: String,
    pub kind: FieldKind,
    pub section: Section,
    #[serde(default)]
    pub required: bool,
    /// Write-only: sealed in the store, never in an answer but `…/credentials`.
    #[serde(default)]
    pub secret: bool,
    /// Directs the secret: a change of it demands the secret again.
    #[serde(default)]
    pub endpoint: bool,
    /// Only an admin may set it.
    #[serde(default)]
    pub admin: bool,
    /// The server sets it when a connection is saved; what is written there is left aside.
    #[serde(default)]
    pub computed: bool,
    pub default: Option<FieldValue>,
    /// The default where the host is on loopback, if another.
    pub default_on_loopback: Option<FieldValue>,
    #[serde(default)]
    pub choices: Vec<Choice>,
    /// Smallest and largest integer.
    pub min: Option<i64>,
    pub max: Option<i64>,
    /// Longest text in characters; [`Field::length_limit`] knows the default of each kind.
    pub max_length: Option<usize>,
    pub unit: Option<String>,
    pub help: Option<String>,
    pub placeholder: Option<String>,
    /// Columns of the form's six that it takes.
    #[serde(default = "six")]
    pub span: u8,
}

fn six() -> u8 {
    6
}

impl Field {
    /// Longest value in characters.
    #[must_use]
    pub fn length_limit(&self) -> usize {
        self.max_length.unwrap_or(match self.kind {
            FieldKind::Certificate | FieldKind::PrivateKey => 16_384,
            FieldKind::Password => 4_096,
            FieldKind::File => 1_000,
            FieldKind::Host => 253,
            FieldKind::Connection => NAME_MAX,
            _ => 255,
        })
    }
}

/// The picture of a type where there is room for two letters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Glyph {
    pub text: String,
    /// A CSS hex colour on which white text has at least 4.5:1.
    pub color: String,
}

impl Glyph {
    /// How white text stands out on its colour, from 1 to 21; nothing where that is no colour as `#rrggbb`.
    #[must_use]
    pub fn contrast(&self) -> Option<f64> {
        Some(1.05 / (luminance(&self.color)? + 0.05))
    }
}

/// The relative luminance of a colour as CSS writes it, from 0 to 1: <https://www.w3.org/TR/WCAG22/#dfn-relative-luminance>.
fn luminance(color: &str) -> Option<f64> {
    let digits = color.strip_prefix('#').filter(|digits| digits.len() == 6 && digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
    let linear = |at: usize| {
        let value = f64::from(u8::from_str_radix(digits.get(at..at + 2)?, 16).ok()?) / 255.0;
        Some(if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) })
    };
    Some(0.2126 * linear(0)? + 0.7152 * linear(2)? + 0.0722 * linear(4)?)
}

/// One connection type.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectionType {
    /// The file's name without its ending; Airflow's `conn_type` where one exists.
    #[serde(skip)]
    pub id: String,
    /// The type that it differs from in what its file says.
    pub extends: Option<String>,
    pub label: String,
    pub summary: String,
    pub category: Category,
    /// Words that somebody types who looks for it and that stand neither in its label nor in its summary.
    #[serde(default)]
    pub tags: Vec<String>,
    pub connector: Connector,
    /// Airflow's `conn_type`, where Airflow has one; several types may share it.
    pub airflow: Option<String>,
    /// SQLAlchemy's dialect.
    pub dialect: Option<String>,
    pub docs: String,
    pub tested: Tested,
    pub glyph: Glyph,
    /// Schemes that a pasted URL of this type begins with.
    #[serde(default)]
    pub url_schemes: Vec<String>,
    /// Its connector can give the login a new password, and servers of this type keep it in a form that the connector knows.
    #[serde(default)]
    pub rotates: bool,
    /// How a URL of it is built, if a workspace's own definition says so. The dialect is that of the URL then.
    #[serde(skip)]
    pub url: Option<UrlTemplate>,
    /// The version of the definition by which it is a workspace's own; nothing for a type that is built in.
    #[serde(skip)]
    pub own: Option<i64>,
    pub fields: Vec<Field>,
}

impl ConnectionType {
    /// Settings by which a secret is less well protected on its way, with what was chosen. None is where that is the rule for a host that is
    /// this machine: nobody stands on the way there.
    pub fn weakened<'k>(&'k self, public: &'k PublicFields) -> impl Iterator<Item = (&'k Field, &'k Choice)> {
        let stays_here = stays_here(public);
        self.fields.iter().filter(|field| field.kind == FieldKind::Choice).filter_map(move |field| {
            let value = public.get(field.path.as_str())?;
            let is_rule = stays_here && field.default_on_loopback.as_ref() == Some(value);
            let chosen = field.choices.iter().find(|choice| public.text(field.path.as_str()) == Some(choice.value.as_str()))?;
            (chosen.weak && !is_rule).then_some((field, chosen))
        })
    }

    /// How honestly it is tested, in one sentence.
    #[must_use]
    pub fn tested_words(&self) -> String {
        self.tested.sentence(&self.label)
    }

    /// Whether what somebody looks for is in it: each word of `search`, in any order.
    #[must_use]
    pub fn is_found_by(&self, search: &str) -> bool {
        let airflow = self.airflow.as_deref().unwrap_or_default();
        let text = [&self.label, &self.id, &self.summary, self.category.label(), airflow, &self.tags.join(" ")].join(" ");
        let text = text.to_lowercase();
        search.to_lowercase().split_whitespace().all(|word| text.contains(word))
    }

    #[must_use]
    pub fn field(&self, path: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.path.as_str() == path)
    }

    /// Fields of one section of the form, in order.
    pub fn section(&self, section: Section) -> impl Iterator<Item = &Field> {
        self.fields.iter().filter(move |field| field.section == section && !field.computed)
    }
}

/// Connection types by id: those that are built in, or what a workspace has of them and of its own. Cheap to copy.
#[derive(Debug, Clone)]
pub struct Catalogue {
    types: BTreeMap<String, Arc<ConnectionType>>,
    /// Of a workspace: types of its own of which nobody can tell what they are.
    unreadable: BTreeMap<String, String>,
}

impl Catalogue {
    /// The catalogue that is built into the binary.
    ///
    /// # Errors
    /// Names the file and the rule it breaks; a test of this crate makes sure that no build has one.
    pub fn built_in() -> Result<Self, CatalogueError> {
        Self::read(FILES)
    }

    /// Reads `(id, TOML text)` pairs.
    ///
    /// # Errors
    /// Names the file and the rule it breaks.
    pub fn read(files: &[(&str, &str)]) -> Result<Self, CatalogueError> {
        let mut tables = BTreeMap::new();
        for (id, text) in files {
            let table: toml::Table = text.parse().map_err(|source| CatalogueError::Syntax { file: (*id).to_owned(), source })?;
            tables.insert((*id).to_owned(), table);
        }
        let mut types = BTreeMap::new();
        for (id, table) in &tables {
            let merged = inherit(id, table, &tables)?;
            let mut kind: ConnectionType =
                merged.try_into().map_err(|source| CatalogueError::Syntax { file: id.clone(), source })?;
            kind.id.clone_from(id);
            check(&kind)?;
            types.insert(id.clone(), Arc::new(kind));
        }
        Ok(Self { types, unreadable: BTreeMap::new() })
    }

    /// These types and a workspace's own. One that is called like a type that came later is what it was.
    #[must_use]
    pub fn with_own(&self, own: impl IntoIterator<Item = impl Into<Arc<ConnectionType>>>) -> Self {
        let mut all = self.clone();
        all.types.extend(own.into_iter().map(Into::into).map(|kind: Arc<ConnectionType>| (kind.id.clone(), kind)));
        all
    }

    /// These types, and those of another workspace that are not among them.
    #[must_use]
    pub fn with_missing_of(&self, other: &Self) -> Self {
        let mut all = other.clone();
        all.types.extend(self.types.iter().map(|(id, kind)| (id.clone(), kind.clone())));
        all
    }

    /// Notes that there is a type of this workspace's own, and why it cannot be read.
    pub fn note_unreadable(&mut self, id: &str, why: String) {
        self.types.remove(id);
        self.unreadable.insert(id.to_owned(), why);
    }

    /// Why a type of the workspace's own is none that can be used; nothing for any other.
    #[must_use]
    pub fn unreadable(&self, id: &str) -> Option<&str> {
        self.unreadable.get(id).map(String::as_str)
    }

    #[must_use]
    pub fn get(&self, id: &str) -> Option<&ConnectionType> {
        self.types.get(id).map(Arc::as_ref)
    }

    /// The same, to be kept.
    #[must_use]
    pub fn shared(&self, id: &str) -> Option<Arc<ConnectionType>> {
        self.types.get(id).cloned()
    }

    /// The type that Airflow calls `conn_type`: the one with that id, else the first whose `airflow` it is. Several types that share one
    /// are told apart by nothing that Airflow keeps, so that it is of the type that gave the others its protocol.
    #[must_use]
    pub fn of_airflow(&self, conn_type: &str) -> Option<&ConnectionType> {
        let is_it = |kind: &&Arc<ConnectionType>| kind.airflow.as_deref() == Some(conn_type);
        self.get(conn_type)
            .or_else(|| self.types.values().filter(is_it).min_by_key(|kind| (kind.extends.is_some(), &kind.id)).map(Arc::as_ref))
    }

    /// All types, by id.
    pub fn types(&self) -> impl Iterator<Item = &ConnectionType> {
        self.types.values().map(Arc::as_ref)
    }

    /// All types, by category, and by label within it.
    #[must_use]
    pub fn all(&self) -> Vec<&ConnectionType> {
        let mut all: Vec<_> = self.types().collect();
        all.sort_by_key(|kind| (kind.category, kind.label.to_lowercase()));
        all
    }
}

/// A file with `extends = "postgres"` holds only what differs: its keys replace, and its fields replace or remove
/// (`remove = ["database"]`) those of the same path, or are appended. Two things no file says for another: that its product was tested, and that
/// its passwords can be set anew. One that names a connector of its own takes the fields, and says everything else itself.
fn inherit(id: &str, table: &toml::Table, all: &BTreeMap<String, toml::Table>) -> Result<toml::Table, CatalogueError> {
    let rule = |problem: &str| CatalogueError::Rule { file: id.to_owned(), problem: problem.to_owned() };
    let named = |table: &toml::Table| table.get("extends").and_then(|id| Some((id.as_str()?.to_owned(), all.get(id.as_str()?)?)));
    if !table.contains_key("extends") {
        return Ok(table.clone());
    }
    let (parent_id, parent) = named(table).ok_or_else(|| rule("`extends` names no other file"))?;
    let mut merged = match named(parent) {
        None => parent.clone(),
        // A protocol of its own that took another one's form.
        Some((_, origin)) if parent.contains_key("connector") && !origin.contains_key("extends") => {
            inherit(&parent_id, parent, all)?
        }
        Some(_) => return Err(rule("`extends` names a file that extends another")),
    };
    // Of another protocol it has the form alone.
    let has_own_protocol = table.contains_key("connector");
    if has_own_protocol {
        merged.retain(|key, _| key == "fields");
    }
    let mut fields = merged.remove("fields").and_then(|f| f.as_array().cloned()).unwrap_or_default();
    merged.remove("rotates");
    if let Some(tested) = merged.get_mut("tested").and_then(toml::Value::as_table_mut)
        && let Some(server) = tested.remove("product")
    {
        tested.insert("stand_in".to_owned(), server);
    }
    for (key, value) in table {
        match key.as_str() {
            "remove" => {
                let gone: Vec<_> = value.as_array().into_iter().flatten().collect();
                fields.retain(|field| !field.get("path").is_some_and(|path| gone.contains(&path)));
            }
            "fields" => {
                for own in value.as_array().into_iter().flatten() {
                    overlay(&mut fields, own);
                }
            }
            _ => {
                merged.insert(key.clone(), value.clone());
            }
        }
    }
    if has_own_protocol {
        merged.remove("extends");
    }
    merged.insert("fields".to_owned(), toml::Value::Array(fields));
    Ok(merged)
}

fn overlay(fields: &mut Vec<toml::Value>, own: &toml::Value) {
    let same = fields.iter_mut().find(|field| field.get("path") == own.get("path"));
    match (same.and_then(toml::Value::as_table_mut), own.as_table()) {
        (Some(inherited), Some(own)) => {
            inherited.extend(own.clone());
            // What is set to nothing is gone, a help that is not true of this type say.
            inherited.retain(|_, value| value.as_str() != Some(""));
        }
        _ => fields.push(own.clone()),
    }
}

pub(crate) fn check(kind: &ConnectionType) -> Result<(), CatalogueError> {
    let rule = |problem: String| Err(CatalogueError::Rule { file: kind.id.clone(), problem });
    let mut seen = std::collections::BTreeSet::new();
    if kind.rotates && !kind.fields.iter().any(|field| field.path.as_str() == "password" && field.secret) {
        return rule("`rotates` needs a secret field `password`".to_owned());
    }
    for tag in &kind.tags {
        let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.' | '+');
        if tag.is_empty() || !tag.chars().all(is_word) {
            return rule(format!("tag `{tag}` is not one word in lower case"));
        }
    }
    for field in &kind.fields {
        let path = field.path.as_str();
        if !seen.insert(path) {
            return rule(format!("field `{path}` stands twice"));
        }
        if field.path.group().is_some_and(|(group, _)| !matches!(group, "tls" | "extra")) {
            return rule(format!("field `{path}` is in a group other than `tls` and `extra`"));
        }
        if field.kind.is_secret() != field.secret {
            return rule(format!("field `{path}`: the kinds `password` and `private_key` are secret, and no other"));
        }
        if field.computed && (field.secret || field.required || field.default.is_some() || field.admin) {
            return rule(format!("field `{path}`: what is computed is nobody's to fill in"));
        }
        if field.secret && (field.endpoint || field.default.is_some()) {
            return rule(format!("field `{path}`: a secret has no default and is no endpoint"));
        }
        if (field.kind == FieldKind::Choice) == field.choices.is_empty() {
            return rule(format!("field `{path}`: `choices` go with the kind `choice`"));
        }
        if matches!(field.kind, FieldKind::Host | FieldKind::Port | FieldKind::File | FieldKind::Connection) && !field.endpoint {
            return rule(format!("field `{path}` directs the connection and must be marked `endpoint`"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
