//! Rows that grant or direct, with their MACs: made here, checked here. `store` only carries them.

use anyhow::{Context, anyhow};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use dataflow_model::{FieldPath, PublicFields, endpoint::Endpoint};
use dataflow_vault::{EndpointDigest, Vault, WorkspaceKey};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

use crate::{
    error::{Error, Result},
    store::{
        AliasRow, ChainRow, ChannelRow, ConnectionRow, GroupRow, HealthScheduleRow, IdentityRow, LinkRow, LintSilenceRow,
        MemberRow, OwnTypeRow, PersonRow, RotationPolicyRow, RotationRow, SecondLoginRow, SessionRow, SettingRow, StoreError,
        TokenRow, VersionRow, WorkspaceRow,
    },
};

/// What it means that the store did not take a row called `name`: where it must be unique, another one has the name.
pub fn taken(name: &str) -> impl FnOnce(StoreError) -> Error {
    move |error| match error {
        StoreError::Unique(_) => Error::NameTaken(name.to_owned()),
        other => other.into(),
    }
}

/// A row with a MAC over all that it grants or directs.
pub trait Sealed {
    const TABLE: &'static str;
    fn parts(&self) -> Vec<Vec<u8>>;
    fn mac(&self) -> &[u8];
    fn set_mac(&mut self, mac: Vec<u8>);

    /// Gives the row its MAC; call it last, before the row goes to the store.
    #[must_use]
    fn sealed(mut self, vault: &Vault) -> Self
    where
        Self: Sized,
    {
        let parts = self.parts();
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        self.set_mac(vault.row_mac(Self::TABLE, &parts));
        self
    }

    /// Takes a row that came from the store only if its MAC holds: who can write the store cannot mint rights.
    fn checked(self, vault: &Vault) -> Result<Self>
    where
        Self: Sized,
    {
        let parts = self.parts();
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        vault
            .verify_row_mac(Self::TABLE, &parts, self.mac())
            .with_context(|| format!("a row of {} was changed outside of this program", Self::TABLE))
            .map_err(Error::SecretUnreadable)?;
        Ok(self)
    }
}

/// Parts after `and where` came with a later migration: a row of before has none of them, and keeps the MAC that it got.
macro_rules! sealed_rows {
    ($($row:ty, $table:literal, |$this:ident| [$($part:expr),* $(,)?] $(and where $since:expr, [$($later:expr),*])*;)*) => {
        $(impl Sealed for $row {
            const TABLE: &'static str = $table;
            fn parts(&self) -> Vec<Vec<u8>> {
                let $this = self;
                let parts = vec![$(Part::bytes(&$part)),*];
                $(let parts = if $since { [parts, vec![$(Part::bytes(&$later)),*]].concat() } else { parts };)*
                parts
            }
            fn mac(&self) -> &[u8] {
                &self.mac
            }
            fn set_mac(&mut self, mac: Vec<u8>) {
                self.mac = mac;
            }
        })*
    };
}

sealed_rows! {
    WorkspaceRow, "workspaces", |row| [row.id, row.name, row.wrapped_key];
    PersonRow, "people", |row| [row.id, row.email, row.email_key, row.password_hash, row.is_owner, row.disabled_at];
    MemberRow, "members", |row| [row.workspace_id, row.person_id, row.roles]
        and where !row.claimed_roles.is_empty(), [row.claimed_roles];
    IdentityRow, "identities", |row| [row.issuer, row.subject, row.person_id];
    SessionRow, "sessions", |row| [row.hash, row.person_id, row.created_at, row.seen_at]
        and where row.confirmed_at.is_some(), [row.confirmed_at];
    SettingRow, "settings", |row| [row.name, row.value, row.version, row.updated_at, row.updated_by];
    LinkRow, "links", |row| [row.hash, row.kind, row.person_id, row.expires_at];
    TokenRow, "tokens", |row| [row.id, row.workspace_id, row.name, row.hash, row.roles, row.connections, row.expires_at, row.revoked_at]
        and where row.made_by.is_some(), [row.made_by, row.person_id];
    ConnectionRow, "connections", |row| [row.id, row.workspace_id, row.name, row.version, row.type_id, row.deleted_at, row.deleted_by, row.deleted_reason]
        and where row.users.is_some() || row.use_instead.is_some(), [row.users] and where row.use_instead.is_some(), [row.use_instead];
    AliasRow, "aliases", |row| [row.workspace_id, row.name, row.connection_id, row.name_key];
    GroupRow, "people_groups", |row| [row.id, row.workspace_id, row.name, row.members];
    ChainRow, "audit_chains", |row| [row.name, row.node, row.seq, row.link, row.segment, row.place, row.base_seq, row.base_link, row.at];
    RotationRow, "rotations", |row| [row.connection_id, row.workspace_id, row.base_version, row.candidate, row.begun_at, row.begun_by, row.begun_by_id];
    SecondLoginRow, "second_logins", |row| [row.connection_id, row.workspace_id, row.username, row.endpoint, row.password, row.candidate, row.set_at,
        row.set_by, row.set_by_id, row.retires_from, row.switched_at];
    RotationPolicyRow, "rotation_policies", |row| [row.connection_id, row.workspace_id, row.every_days, row.at_hour, row.length, row.symbols, row.set_at, row.set_by, row.set_by_id];
    HealthScheduleRow, "health_schedules", |row| [row.workspace_id, row.scope, row.every_seconds, row.jitter_percent, row.unhealthy_after,
        row.healthy_after, row.quiet_from, row.quiet_to, row.set_at, row.set_by, row.set_by_id];
    ChannelRow, "channels", |row| [row.id, row.workspace_id, row.name, row.name_key, row.connection, row.addresses, row.tag, row.tells,
        row.set_at, row.set_by, row.set_by_id];
    LintSilenceRow, "lint_silences", |row| [row.workspace_id, row.scope, row.rule, row.reason, row.until_at, row.set_at, row.set_by, row.set_by_id];
    OwnTypeRow, "own_types", |row| [row.workspace_id, row.id, row.base, row.definition, row.version, row.saved_at, row.saved_by, row.saved_by_id];
    VersionRow, "connection_versions", |row| [row.connection_id, row.version, row.name, row.type_id, row.fields, row.endpoint_paths, row.secrets, row.fingerprint];
}

/// What a bent row that would let somebody in comes to: nobody is let in, and the operator learns why. `id` is no secret.
pub(super) fn refused(what: &'static str, id: &str, error: &Error) -> Error {
    let cause = error.cause().map(|cause| format!("{cause:#}")).unwrap_or_default();
    tracing::error!(row.id = id, error.cause = cause, "a {what} was refused");
    Error::Unauthenticated
}

/// One column as bytes; an absent value differs from an empty one.
trait Part {
    fn bytes(&self) -> Vec<u8>;
}

impl Part for String {
    fn bytes(&self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }
}

impl Part for Vec<u8> {
    fn bytes(&self) -> Vec<u8> {
        self.clone()
    }
}

impl Part for i64 {
    fn bytes(&self) -> Vec<u8> {
        self.to_be_bytes().to_vec()
    }
}

impl Part for bool {
    fn bytes(&self) -> Vec<u8> {
        vec![u8::from(*self)]
    }
}

impl<P: Part> Part for Option<P> {
    fn bytes(&self) -> Vec<u8> {
        match self {
            None => vec![0],
            Some(value) => [vec![1], value.bytes()].concat(),
        }
    }
}

/// A sealed secret in a version row.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SealedSecret {
    /// The version that it was sealed at; part of its associated data.
    pub version: i64,
    /// Base64 of the sealed bytes.
    pub sealed: String,
}

/// The version of the workspace's key that a secret is sealed under; 0 for what is no record, which opens under none.
fn key_of(secret: &SealedSecret) -> u32 {
    BASE64.decode(&secret.sealed).ok().and_then(|sealed| WorkspaceKey::version_of(&sealed)).unwrap_or_default()
}

/// The oldest version of the workspace's key that one of a version's secrets is sealed under; without secrets later than any.
pub fn oldest_key(secrets: &BTreeMap<FieldPath, SealedSecret>) -> i64 {
    secrets.values().map(key_of).min().unwrap_or(u32::MAX).into()
}

/// The JSON columns of a version, read.
#[derive(Debug)]
pub struct VersionContent {
    pub public: PublicFields,
    pub endpoint_paths: Vec<FieldPath>,
    pub secrets: BTreeMap<FieldPath, SealedSecret>,
    pub endpoint: EndpointDigest,
}

impl VersionContent {
    /// Reads a version whose MAC was checked.
    pub fn read(row: &VersionRow) -> Result<Self> {
        let damaged = |error: serde_json::Error| Error::Internal(anyhow!(error).context("a version's JSON does not parse"));
        let public: PublicFields = serde_json::from_str(&row.fields).map_err(damaged)?;
        let endpoint_paths: Vec<FieldPath> = serde_json::from_str(&row.endpoint_paths).map_err(damaged)?;
        let secrets = serde_json::from_str(&row.secrets).map_err(damaged)?;
        let endpoint = EndpointDigest::of(&Endpoint::of(&row.type_id, &endpoint_paths, &public));
        Ok(Self { public, endpoint_paths, secrets, endpoint })
    }

    /// The newest version of the workspace's key that one of the secrets is sealed under.
    pub fn newest_key(&self) -> u32 {
        self.secrets.values().map(key_of).max().unwrap_or_default()
    }
}

/// Reads an id column.
pub fn uuid(text: &str) -> Result<Uuid> {
    Uuid::parse_str(text).context("an id column holds no id").map_err(Error::Internal)
}
