//! The answer of `GET …/credentials`, as a client reads it. The server writes the same shape.

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor},
};

use crate::Secret;

/// One field with its value in clear. Numbers and booleans are public; any text may be a secret, so all are held as such.
#[derive(Debug)]
pub enum ClearValue {
    /// `null`: not set, like an absent field.
    Unset,
    Boolean(bool),
    Integer(i64),
    Text(Secret),
    Group(BTreeMap<String, ClearValue>),
}

impl<'de> Deserialize<'de> for ClearValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ClearValueVisitor)
    }
}

/// Reads a value without the buffer that an untagged enum would copy it to, and that nobody would wipe.
struct ClearValueVisitor;

impl<'de> Visitor<'de> for ClearValueVisitor {
    type Value = ClearValue;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a field's value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<ClearValue, E> {
        Ok(ClearValue::Unset)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<ClearValue, E> {
        Ok(ClearValue::Boolean(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<ClearValue, E> {
        Ok(ClearValue::Integer(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<ClearValue, E> {
        i64::try_from(value).map(ClearValue::Integer).map_err(|_| E::custom("a number out of range"))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<ClearValue, E> {
        Ok(ClearValue::Text(Secret::new(value.to_owned())))
    }

    fn visit_string<E: de::Error>(self, value: String) -> Result<ClearValue, E> {
        Ok(ClearValue::Text(Secret::new(value)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ClearValue, A::Error> {
        let mut members = BTreeMap::new();
        while let Some((name, value)) = map.next_entry()? {
            members.insert(name, value);
        }
        Ok(ClearValue::Group(members))
    }
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
    /// What the connection goes through; absent where it goes straight to its host.
    #[serde(default, deserialize_with = "shared")]
    pub hop: Option<Arc<Credentials>>,
    /// Of an own type with a URL template, its parts, whose texts hold placeholders (`{extra.schema}`).
    #[serde(default)]
    pub url: Option<BTreeMap<String, ClearValue>>,
}

fn shared<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Arc<Credentials>>, D::Error> {
    Ok(Option::<Box<Credentials>>::deserialize(deserializer)?.map(Arc::from))
}
