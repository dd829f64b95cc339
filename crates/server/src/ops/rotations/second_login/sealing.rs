//! The passwords of a second login, sealed for where they go and for whom.

use anyhow::Context;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use dataflow_model::{FieldPath, FieldValue, PublicFields, Secret, endpoint::Endpoint};
use dataflow_vault::{EndpointDigest, SealContext, WorkspaceKey};

use super::USERNAME;
use crate::{
    app::App,
    error::{Error, Result},
    ops::rows::{Sealed as _, VersionContent, uuid},
    store::{SecondLoginRow, VersionRow},
};

/// What they are sealed as: they open in the place of no version's secret, and neither in the other's.
const PASSWORD: &str = "second_login/password";
const CANDIDATE: &str = "second_login/candidate";

/// The fields of a version, signing in as somebody else.
pub(super) fn public_as(content: &VersionContent, username: &str) -> PublicFields {
    let mut public = content.public.clone();
    public.0.insert(FieldPath::new(USERNAME), FieldValue::Text(username.to_owned()));
    public
}

/// Where a secret of somebody else goes by a version.
pub(super) fn endpoint_as(version: &VersionRow, content: &VersionContent, username: &str) -> EndpointDigest {
    endpoint_by(&content.endpoint_paths, (version, content), username)
}

/// The same, as another list of fields that direct secrets tells it.
pub(super) fn endpoint_by(
    paths: &[FieldPath],
    (version, content): (&VersionRow, &VersionContent),
    username: &str,
) -> EndpointDigest {
    EndpointDigest::of(&Endpoint::of(&version.type_id, paths, &public_as(content, username)))
}

pub(super) fn in_words(endpoint: &EndpointDigest) -> String {
    hex::encode(endpoint.as_bytes())
}

fn endpoint_of(row: &SecondLoginRow) -> Result<EndpointDigest> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(&row.endpoint, &mut bytes).context("an endpoint's digest is none").map_err(Error::Internal)?;
    Ok(EndpointDigest::from_bytes(bytes))
}

fn seal(key: &WorkspaceKey, row: &SecondLoginRow, (field, secret): (&str, &Secret)) -> Result<String> {
    let place = SealContext { connection: uuid(&row.connection_id)?, version: 0, field, endpoint: &endpoint_of(row)? };
    let sealed = key.seal(&place, secret).context("seal a second login's password").map_err(Error::Internal)?;
    Ok(BASE64.encode(sealed))
}

fn open(key: &WorkspaceKey, row: &SecondLoginRow, (field, sealed): (&str, &str)) -> Result<Secret> {
    let sealed = BASE64.decode(sealed).context("a sealed password is no base64").map_err(Error::Internal)?;
    let place = SealContext { connection: uuid(&row.connection_id)?, version: 0, field, endpoint: &endpoint_of(row)? };
    key.open(&place, &sealed).context("open a second login's password").map_err(Error::SecretUnreadable)
}

fn key_of(sealed: &str) -> u32 {
    BASE64.decode(sealed).ok().and_then(|sealed| WorkspaceKey::version_of(&sealed)).unwrap_or_default()
}

/// The newest version of the workspace's key that one of them is sealed under.
pub(super) fn newest_key(row: &SecondLoginRow) -> u32 {
    row.candidate.as_deref().map_or(0, key_of).max(key_of(&row.password))
}

/// What is in force, and what may be.
pub(super) struct Passwords {
    pub kept: Secret,
    pub candidate: Option<Secret>,
}

/// Those of a row whose MAC was checked.
pub(super) fn passwords(key: &WorkspaceKey, row: &SecondLoginRow) -> Result<Passwords> {
    let candidate = row.candidate.as_deref().map(|sealed| open(key, row, (CANDIDATE, sealed))).transpose()?;
    Ok(Passwords { kept: open(key, row, (PASSWORD, &row.password))?, candidate })
}

/// The row with these passwords, and its MAC.
pub(super) fn with(app: &App, key: &WorkspaceKey, row: SecondLoginRow, passwords: &Passwords) -> Result<SecondLoginRow> {
    let password = seal(key, &row, (PASSWORD, &passwords.kept))?;
    let candidate = passwords.candidate.as_ref().map(|candidate| seal(key, &row, (CANDIDATE, candidate))).transpose()?;
    let key_version = key_of(&password).into();
    Ok(SecondLoginRow { password, candidate, key_version, ..row }.sealed(&app.vault))
}

/// The same row, its passwords under the active key.
pub(in crate::ops) fn resealed(app: &App, key: &WorkspaceKey, row: SecondLoginRow) -> Result<SecondLoginRow> {
    let row = row.checked(&app.vault)?;
    let passwords = passwords(key, &row)?;
    with(app, key, row, &passwords)
}
