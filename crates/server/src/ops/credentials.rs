//! Resolving a name: the one way to a stored secret, for code that may use it.

use std::{fmt::Write as _, sync::Arc};

use anyhow::Context;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use dataflow_model::{FieldPath, FieldValue, PublicFields, Secret, SecretFields};
use dataflow_vault::{EndpointDigest, SealContext};
use uuid::Uuid;

use super::{
    access::{Action, Caller, Who, authorise_name},
    connections::tombstone,
    rows::{Sealed as _, VersionContent, uuid},
};
use crate::{
    app::{App, Workspace},
    audit::UseEvent,
    error::{Error, Result},
    store,
    uses::Use,
};

/// A version ready to be served: all that is public already written as JSON, the secrets still sealed.
#[derive(Debug)]
pub struct Servable {
    pub id: Uuid,
    pub version: i64,
    pub fingerprint: String,
    connector: String,
    dialect: Option<String>,
    type_id: String,
    name: String,
    pub public: PublicFields,
    secrets: Vec<SealedField>,
    endpoint: EndpointDigest,
}

#[derive(Debug)]
struct SealedField {
    path: FieldPath,
    version: u64,
    sealed: Vec<u8>,
}

impl Servable {
    /// The connector's name in the registry.
    #[must_use]
    pub fn connector(&self) -> &str {
        &self.connector
    }

    #[must_use]
    pub fn type_id(&self) -> &str {
        &self.type_id
    }

    /// The paths of the secrets that are set.
    pub fn secrets_set(&self) -> impl Iterator<Item = &FieldPath> {
        self.secrets.iter().map(|secret| &secret.path)
    }

    /// Opens every secret. Hand them straight to what needs them.
    pub fn open_secrets(&self, workspace: &Workspace) -> Result<SecretFields> {
        let mut opened = SecretFields::default();
        for field in &self.secrets {
            let context =
                SealContext { connection: self.id, version: field.version, field: field.path.as_str(), endpoint: &self.endpoint };
            let secret =
                workspace.key.open(&context, &field.sealed).context("open a stored secret").map_err(Error::SecretUnreadable)?;
            opened.0.insert(field.path.clone(), secret);
        }
        Ok(opened)
    }

    /// The body of `GET …/credentials`.
    fn body(&self, secrets: &SecretFields) -> Secret {
        let mut json = String::with_capacity(512);
        json.push('{');
        member(&mut json, "name", &self.name);
        json.push(',');
        member(&mut json, "type", &self.type_id);
        json.push(',');
        member(&mut json, "base", &self.connector);
        json.push_str(",\"sqlalchemy\":");
        match &self.dialect {
            Some(dialect) => quote(&mut json, dialect),
            None => json.push_str("null"),
        }
        json.push_str(",\"fields\":");
        write_fields(&mut json, &self.public, secrets);
        json.push(',');
        member(&mut json, "fingerprint", &self.fingerprint);
        let _ = write!(json, ",\"version\":{}}}", self.version);
        Secret::new(json)
    }
}

/// What a client gets. `body` is `None` where it said that it holds this fingerprint already (304).
pub struct Resolved {
    pub fingerprint: String,
    pub body: Option<Secret>,
}

/// Resolves a name for a caller that may use it. The event is appended before this returns; a 304 counts as use.
pub async fn resolve(app: &App, caller: &Caller, workspace: &str, name: &str, known: Option<&str>) -> Result<Resolved> {
    let workspace = authorise_name(app, caller, workspace, name, Action::UseCredentials).await?;
    let connection = servable(app, &workspace, name).await?;
    let body = if known == Some(connection.fingerprint.as_str()) {
        None
    } else {
        Some(connection.body(&connection.open_secrets(&workspace)?))
    };
    let at = app.clock.now();
    let actor = caller.label();
    app.use_log
        .append(
            &app.vault,
            &UseEvent {
                at,
                action: if body.is_some() { "credentials.read" } else { "credentials.unchanged" },
                workspace: &workspace.name,
                connection: name,
                version: connection.version,
                actor: &actor,
                address: caller.address,
                workflow: caller.workflow.as_ref(),
            },
        )
        .map_err(Error::Unavailable)?;
    if let Some(workflow) = &caller.workflow {
        app.uses.connection(&Use { connection: connection.id, version: connection.version, workflow, used_by: &actor, at });
    }
    if let Who::Token(token) = &caller.who {
        app.uses.token(token.id, at);
    }
    Ok(Resolved { fingerprint: connection.fingerprint.clone(), body })
}

/// The current version of a name, from memory where it was read before. Callers authorise first.
pub(super) async fn servable(app: &App, workspace: &Workspace, name: &str) -> Result<Arc<Servable>> {
    let key = (workspace.id, name.to_owned());
    if let Some(found) = app.caches.connections.get(&key) {
        return Ok(found);
    }
    let generation = app.caches.generation();
    let mut read = app.store.read().await?;
    let row = store::newest_connection(&mut read, &workspace.id.to_string(), name, &name.to_ascii_lowercase())
        .await?
        .ok_or(Error::NotFound("connection"))?
        .checked(&app.vault)?;
    if row.deleted_at.is_some() {
        return Err(Error::Deleted(tombstone(&row)));
    }
    let version = store::version(&mut read, &row.id, row.version)
        .await?
        .context("a connection points to no version")
        .map_err(Error::Internal)?
        .checked(&app.vault)?;
    let content = VersionContent::read(&version)?;
    let kind = app.catalogue.get(&version.type_id);
    let mut secrets = Vec::new();
    for (path, secret) in content.secrets {
        let sealed = BASE64.decode(&secret.sealed).context("a sealed secret is no base64").map_err(Error::Internal)?;
        secrets.push(SealedField { path, version: u64::try_from(secret.version).unwrap_or_default(), sealed });
    }
    let servable = Arc::new(Servable {
        id: uuid(&row.id)?,
        version: row.version,
        fingerprint: version.fingerprint,
        connector: kind.map_or_else(|| version.type_id.clone(), |kind| kind.connector.clone()),
        dialect: kind.and_then(|kind| kind.dialect.clone()),
        type_id: version.type_id,
        name: row.name,
        public: content.public,
        secrets,
        endpoint: content.endpoint,
    });
    app.caches.put_connection(generation, key, servable.clone());
    Ok(servable)
}

/// Fields nested as in a connection's JSON. Written by hand into one buffer that is wiped: a `serde_json::Value` would leave copies.
fn write_fields(json: &mut String, public: &PublicFields, secrets: &SecretFields) {
    let mut groups: std::collections::BTreeMap<&str, String> = std::collections::BTreeMap::new();
    json.push('{');
    let mut first = true;
    let values = public.0.iter().map(|(path, value)| (path, Either::Public(value)));
    let hidden = secrets.0.iter().map(|(path, value)| (path, Either::Secret(value)));
    for (path, value) in values.chain(hidden) {
        let (out, key) = match path.group() {
            Some((group, key)) => (groups.entry(group).or_default(), key),
            None => (&mut *json, path.as_str()),
        };
        if path.group().is_some() && !out.is_empty() || path.group().is_none() && !std::mem::take(&mut first) {
            out.push(',');
        }
        quote(out, key);
        out.push(':');
        match value {
            Either::Public(FieldValue::Text(text)) => quote(out, text),
            Either::Public(other) => {
                let _ = write!(out, "{other}");
            }
            Either::Secret(secret) => quote(out, secret.expose_secret()),
        }
    }
    for (group, members) in groups {
        if !std::mem::take(&mut first) {
            json.push(',');
        }
        let members = Secret::new(members);
        quote(json, group);
        json.push_str(":{");
        json.push_str(members.expose_secret());
        json.push('}');
    }
    json.push('}');
}

enum Either<'v> {
    Public(&'v FieldValue),
    Secret(&'v Secret),
}

fn member(json: &mut String, key: &str, value: &str) {
    quote(json, key);
    json.push(':');
    quote(json, value);
}

/// A JSON string (RFC 8259, section 7).
fn quote(json: &mut String, text: &str) {
    json.push('"');
    for character in text.chars() {
        match character {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\n' => json.push_str("\\n"),
            '\r' => json.push_str("\\r"),
            '\t' => json.push_str("\\t"),
            control if control.is_control() => {
                let _ = write!(json, "\\u{:04x}", u32::from(control));
            }
            other => json.push(other),
        }
    }
    json.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_nested_and_every_byte_survives() {
        let mut public = PublicFields::default();
        for (path, value) in [
            ("host", FieldValue::Text("h\"\\\u{1}漢".into())),
            ("port", FieldValue::Integer(5)),
            ("tls.mode", FieldValue::Text("require".into())),
        ] {
            public.0.insert(path.into(), value);
        }
        let mut secrets = SecretFields::default();
        for (path, value) in [("password", "p'\"\\%41 \u{7f}é"), ("tls.key", "a\nb")] {
            secrets.0.insert(path.into(), Secret::new(value.to_owned()));
        }
        let mut json = String::new();
        write_fields(&mut json, &public, &secrets);
        let read: serde_json::Value = serde_json::from_str(&json).expect("valid JSON");
        let expected = serde_json::json!({
            "host": "h\"\\\u{1}漢", "port": 5, "password": "p'\"\\%41 \u{7f}é", "tls": {"mode": "require", "key": "a\nb"}
        });
        assert_eq!(read, expected);
        let mut empty = String::new();
        write_fields(&mut empty, &PublicFields::default(), &SecretFields::default());
        assert_eq!(empty, "{}");
    }
}
