//! The answer of `GET …/credentials`, as a client reads it. The server writes the same shape.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::Secret;

/// One field with its value in clear. Numbers and booleans are public; any text may be a secret, so all are held as such.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum ClearValue {
    Boolean(bool),
    Integer(i64),
    Text(Secret),
    Group(BTreeMap<String, ClearValue>),
}

/// What a client needs to connect: fields with secrets, nested as in a connection's JSON (`tls`, `extra` are groups).
#[derive(Debug, Deserialize)]
pub struct Credentials {
    pub name: String,
    #[serde(rename = "type")]
    pub type_id: String,
    /// The connector behind the type: `postgres` for `redshift`.
    pub base: String,
    /// SQLAlchemy's dialect name, for example `postgresql`; absent where there is none.
    pub sqlalchemy: Option<String>,
    pub fields: BTreeMap<String, ClearValue>,
    pub fingerprint: String,
    pub version: u64,
}
