//! Field values as they are stored and as a connector gets them.

use std::{borrow::Borrow, collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use crate::Secret;

/// Where a field stands in a connection's JSON: `host`, `tls.mode`, `extra.application_name`. At most one dot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FieldPath(String);

impl FieldPath {
    #[must_use]
    pub fn new(path: impl Into<String>) -> Self {
        Self(path.into())
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `("tls", "mode")` for `tls.mode`; `None` for a field at the top level.
    #[must_use]
    pub fn group(&self) -> Option<(&str, &str)> {
        self.0.split_once('.')
    }
}

impl Borrow<str> for FieldPath {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl From<&str> for FieldPath {
    fn from(path: &str) -> Self {
        Self(path.to_owned())
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The value of a public field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum FieldValue {
    Boolean(bool),
    Integer(i64),
    Text(String),
}

impl fmt::Display for FieldValue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(value) => write!(formatter, "{value}"),
            Self::Integer(value) => write!(formatter, "{value}"),
            Self::Text(value) => formatter.write_str(value),
        }
    }
}

/// Public fields by path. A field that is not set is absent. Serialised flat: `{"host": "…", "tls.mode": "…"}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PublicFields(pub BTreeMap<FieldPath, FieldValue>);

impl PublicFields {
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&FieldValue> {
        self.0.get(path)
    }

    /// The text at `path`; `None` if it is unset or not a text.
    #[must_use]
    pub fn text(&self, path: &str) -> Option<&str> {
        match self.0.get(path) {
            Some(FieldValue::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// The integer at `path`; `None` if it is unset or not an integer.
    #[must_use]
    pub fn integer(&self, path: &str) -> Option<i64> {
        match self.0.get(path) {
            Some(FieldValue::Integer(number)) => Some(*number),
            _ => None,
        }
    }

    /// The boolean at `path`; `None` if it is unset or not a boolean.
    #[must_use]
    pub fn boolean(&self, path: &str) -> Option<bool> {
        match self.0.get(path) {
            Some(FieldValue::Boolean(value)) => Some(*value),
            _ => None,
        }
    }
}

/// Secret fields by path, in clear, for as short a time as can be. Not serialisable and not printable.
#[derive(Debug, Default)]
pub struct SecretFields(pub BTreeMap<FieldPath, Secret>);

impl SecretFields {
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&Secret> {
        self.0.get(path)
    }
}
