//! What a name resolves to.

use std::{collections::BTreeMap, fmt, sync::Arc};

use dataflow_model::{
    Secret,
    credentials::{ClearValue, Credentials},
};

use crate::ClientError;

/// Credentials of one connection at one fingerprint. Its `Debug` shows name, type and version, and no field.
pub struct Resolved {
    /// As they were last sent.
    credentials: Arc<Credentials>,
    /// At least theirs: a later version may differ in description and tags alone.
    version: u64,
}

impl Resolved {
    /// Reads the body of `GET …/credentials`.
    pub(crate) fn read(url: &str, body: &[u8]) -> Result<Self, ClientError> {
        // The reason is left out: a parser may quote the text it stumbles over, and that may be the password.
        let credentials: Credentials =
            serde_json::from_slice(body).map_err(|_| ClientError::NotDataflow { url: url.to_owned() })?;
        Ok(Self { version: credentials.version, credentials: Arc::new(credentials) })
    }

    /// The same credentials at a version that changed none of them.
    pub(crate) fn at_version(&self, version: u64) -> Self {
        Self { credentials: Arc::clone(&self.credentials), version }
    }

    pub fn name(&self) -> &str {
        &self.credentials.name
    }

    /// The connection type: `redshift`.
    pub fn type_id(&self) -> &str {
        &self.credentials.type_id
    }

    /// The protocol behind the type: `postgres` for `redshift`.
    pub fn base(&self) -> &str {
        &self.credentials.base
    }

    /// SQLAlchemy's dialect, if there is one: `postgresql`.
    pub fn dialect(&self) -> Option<&str> {
        self.credentials.sqlalchemy.as_deref()
    }

    /// Changes if and only if something changes that is needed to connect.
    pub fn fingerprint(&self) -> &str {
        &self.credentials.fingerprint
    }

    /// The newest version that is known to have these credentials.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// What the connection goes through to reach its host, if it does.
    pub fn hop(&self) -> Option<Self> {
        self.credentials.hop.as_ref().map(|hop| Self { version: hop.version, credentials: Arc::clone(hop) })
    }

    /// The parts of the URL of an own type, with placeholders for fields: `drivername`, `host` and so on, and `query`, a group.
    pub fn url(&self) -> Option<&BTreeMap<String, ClearValue>> {
        self.credentials.url.as_ref()
    }

    /// The value at a path such as `host`, `tls.mode` or `extra.charset`; `None` if it is not set.
    pub fn value(&self, path: &str) -> Option<&ClearValue> {
        let mut parts = path.split('.');
        let mut value = self.credentials.fields.get(parts.next()?)?;
        for part in parts {
            let ClearValue::Group(members) = value else { return None };
            value = members.get(part)?;
        }
        Some(value)
    }

    /// The text at a path, in clear: it may be the password. Hand it straight to the driver.
    pub fn expose_text(&self, path: &str) -> Option<&str> {
        match self.value(path)? {
            ClearValue::Text(text) => Some(Secret::expose_secret(text)),
            _ => None,
        }
    }

    /// The number at a path, such as `port`.
    pub fn integer(&self, path: &str) -> Option<i64> {
        match self.value(path)? {
            ClearValue::Integer(number) => Some(*number),
            _ => None,
        }
    }

    /// All fields; groups (`tls`, `extra`) are nested.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &ClearValue)> {
        self.credentials.fields.iter().map(|(name, value)| (name.as_str(), value))
    }
}

impl fmt::Debug for Resolved {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Resolved")
            .field("name", &self.name())
            .field("type", &self.type_id())
            .field("version", &self.version())
            .finish_non_exhaustive()
    }
}
