//! Reads what people have at hand when they fill the form: a URL of SQLAlchemy, JDBC, libpq or Airflow, or libpq's `key=value`
//! text. A pure function of foreign text: it never panics, and nothing it says repeats the text, which holds a password.
//!
//! What it gives is a draft: [`crate::ConnectionType::settle`] still checks every value.

mod conninfo;
mod parameters;
mod url;

use std::collections::BTreeMap;

use crate::{Catalogue, ConnectionType, FieldInput, FieldKind, FieldPath, Secret};

/// Longest text that is read, in bytes.
pub const PASTE_MAX: usize = 16_384;

/// What was found in a pasted text.
#[derive(Debug)]
pub struct Pasted {
    pub type_id: String,
    /// By path, as [`crate::Draft`] holds them. Only paths that the type has.
    pub fields: BTreeMap<FieldPath, FieldInput>,
    /// In the order of the text.
    pub notes: Vec<Note>,
}

/// What became of one parameter. Holds names alone, never a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The parameter's name as written; `None` where what stood there has no name that is safe to show.
    pub parameter: Option<String>,
    pub outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It fills the field with this label.
    Understood(String),
    /// It asked for TLS that does not protect the password, or only perhaps; verified TLS was chosen.
    Hardened,
    /// It names a file of another machine; its content goes into the form.
    NamesAFile,
    /// The form has a field for it, but not for this value.
    ValueNotUsable,
    /// Nothing in the form stands for it.
    LeftOut,
    /// A path of the other machine was cut to the file's name.
    PathCut,
    /// More than one host was given; the first was taken.
    OtherHosts,
    /// A socket file stood in the host's place.
    Socket,
}

impl Note {
    /// The note as a person reads it.
    #[must_use]
    pub fn text(&self) -> String {
        let name = self.parameter.as_deref().map_or_else(|| "A part without a name".to_owned(), |name| format!("“{name}”"));
        match &self.outcome {
            Outcome::Understood(label) => format!("{name} fills “{label}”."),
            Outcome::Hardened => format!("{name} would have allowed unverified TLS; the server is verified instead."),
            Outcome::NamesAFile => format!("{name} names a file; paste the file's content into the form."),
            Outcome::ValueNotUsable => format!("{name} was left out: its value is not one this field takes."),
            Outcome::LeftOut => format!("{name} was left out: the form has no such setting."),
            Outcome::PathCut => "The folder was left out: files are found in the folder of the machine that opens them.".into(),
            Outcome::OtherHosts => "Further hosts were left out: a connection has one.".into(),
            Outcome::Socket => "The socket was left out: type the host that the server listens on.".into(),
        }
    }

    /// Whether the person should look at the form because of it.
    #[must_use]
    pub fn needs_a_look(&self) -> bool {
        !matches!(self.outcome, Outcome::Understood(_))
    }
}

/// Why a text cannot be read. Never holds any of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasteError {
    #[error("There is nothing to read. Paste a connection URL, such as postgresql://user@host/database.")]
    Empty,
    #[error("The text is longer than a connection URL can be. Paste the URL alone.")]
    TooLong,
    #[error(
        "This is not a connection URL. It begins with a scheme such as postgresql:// or jdbc:mysql://, or is key=value text."
    )]
    NotAUrl,
    #[error("The URL's scheme belongs to no type here. Choose the type below and fill in its form.")]
    UnknownScheme,
    #[error("The URL names several servers to choose from. Paste the URL of one.")]
    SeveralServers,
    #[error("The port is not a number from 1 to 65535.")]
    Port,
    #[error("The host in square brackets is not closed.")]
    Brackets,
    #[error("The URL holds an “@” after the host. In the user name and password write “@” as %40, “/” as %2F and “?” as %3F.")]
    Unescaped,
    #[error("An escape such as %C3 stands for no text in UTF-8.")]
    Encoding,
    #[error("A quote is not closed, or “=” is missing after a name.")]
    Quoting,
    #[error("A database in memory cannot be shared by name. Name a file.")]
    InMemory,
}

/// Reads a pasted text.
///
/// # Errors
/// Says which rule the text breaks, without repeating any of it.
pub fn read(text: &str, catalogue: &Catalogue) -> Result<Pasted, PasteError> {
    let text = unwrap(text);
    if text.is_empty() {
        return Err(PasteError::Empty);
    }
    if text.len() > PASTE_MAX {
        return Err(PasteError::TooLong);
    }
    let parts = match scheme(text) {
        Some((dialect, rest)) => url::read(dialect, rest)?,
        None => conninfo::read(text)?,
    };
    let kind = type_of(&parts.scheme, catalogue).ok_or(PasteError::UnknownScheme)?;
    let mut filling = Filling { kind, fields: BTreeMap::new(), notes: Vec::new() };
    parameters::fill(parts, &mut filling)?;
    Ok(Pasted { type_id: kind.id.clone(), fields: filling.fields, notes: filling.notes })
}

/// Takes off what surrounds a URL where people keep it: blanks, quotes, `export NAME=`.
fn unwrap(text: &str) -> &str {
    let text = text.trim().trim_end_matches(';').trim_end();
    let text = text.strip_prefix("export ").unwrap_or(text).trim_start();
    let text = match text.split_once('=') {
        Some((name, url)) if is_variable(name) => url,
        _ => text,
    };
    for quote in ['"', '\''] {
        if let Some(inner) = text.strip_prefix(quote).and_then(|inner| inner.strip_suffix(quote)) {
            return inner.trim();
        }
    }
    text
}

fn is_variable(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}

/// How the part after `?` is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    /// libpq, SQLAlchemy, Airflow: `user:password@host`.
    Plain,
    /// `jdbc:`: user and password are parameters; Redshift also separates by `;`.
    Jdbc,
}

fn scheme(text: &str) -> Option<(Dialect, &str)> {
    if let Some(rest) = text.get(..5).filter(|head| head.eq_ignore_ascii_case("jdbc:")).and_then(|_| text.get(5..)) {
        return Some((Dialect::Jdbc, rest));
    }
    let (scheme, _) = text.split_once("://")?;
    let known = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.' | '_'));
    known.then_some((Dialect::Plain, text))
}

/// The type whose id or URL scheme it is, or which Airflow calls so; `postgresql+psycopg` counts as `postgresql`.
fn type_of<'a>(scheme: &str, catalogue: &'a Catalogue) -> Option<&'a ConnectionType> {
    let scheme = scheme.split('+').next().unwrap_or_default().to_ascii_lowercase().replace('-', "_");
    let all = catalogue.all();
    all.iter()
        .find(|kind| kind.id == scheme)
        .or_else(|| all.iter().find(|kind| kind.url_schemes.iter().any(|known| known.replace('-', "_") == scheme)))
        .copied()
        .or_else(|| catalogue.of_airflow(&scheme))
}

/// A pasted text, taken apart and decoded but not yet understood.
#[derive(Debug, Default)]
struct Parts {
    scheme: String,
    jdbc: bool,
    username: Option<Secret>,
    password: Option<Secret>,
    host: Option<Secret>,
    port: Option<Secret>,
    /// What follows the host: a database, or SQLite's file.
    database: Option<Secret>,
    other_hosts: bool,
    parameters: Vec<Parameter>,
}

/// One `name=value`. A name that may be part of an unescaped password is not kept.
#[derive(Debug)]
struct Parameter {
    name: Option<String>,
    value: Secret,
}

impl Parameter {
    fn new(name: &str, value: Secret) -> Self {
        let plain = !name.is_empty()
            && name.len() <= 64
            && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ' '));
        Self { name: plain.then(|| name.to_owned()), value }
    }
}

/// The result while it is being made.
struct Filling<'a> {
    kind: &'a ConnectionType,
    fields: BTreeMap<FieldPath, FieldInput>,
    notes: Vec<Note>,
}

impl Filling<'_> {
    fn note(&mut self, parameter: Option<&str>, outcome: Outcome) {
        self.notes.push(Note { parameter: parameter.map(ToOwned::to_owned), outcome });
    }

    /// Puts a value where the type has the field and the value is of its kind; says whether it did.
    fn put(&mut self, path: &str, value: Secret) -> Put {
        let Some(field) = self.kind.field(path) else { return Put::NoField };
        let text = value.expose_secret();
        let input = match field.kind {
            FieldKind::Port | FieldKind::Integer => text.trim().parse().ok().map(FieldInput::Integer),
            FieldKind::Boolean => boolean(text).map(FieldInput::Boolean),
            FieldKind::Choice if !field.choices.iter().any(|choice| choice.value == text) => None,
            _ => Some(FieldInput::Text(value)),
        };
        let Some(input) = input else { return Put::NotItsKind };
        self.fields.insert(field.path.clone(), input);
        Put::Done
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Put {
    Done,
    NoField,
    NotItsKind,
}

fn boolean(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "" | "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
