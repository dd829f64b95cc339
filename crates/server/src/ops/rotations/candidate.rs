//! The new password: sealed in its row, and as the next version holds it.

use std::collections::BTreeMap;

use anyhow::Context;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use dataflow_model::{
    Secret,
    settle::{SecretChange, Settled},
};
use dataflow_vault::{EndpointDigest, SealContext, WorkspaceKey, random_uuid};

use super::{LEASE, PASSWORD, Task};
use crate::{
    app::App,
    error::{Error, Result},
    ops::{
        access::Caller,
        rows::{Sealed as _, VersionContent, uuid},
        versions::{Content, SealedVersion},
    },
    store::{self, RotationRow, Write},
};

/// What the candidate is sealed as: it opens in the place of no version's secret.
const SEALED_AS: &str = "rotation/password";

/// What the next version holds, and its sealed secrets.
pub(super) fn next_version(task: &Task, new: &Secret) -> Result<(Content, SealedVersion)> {
    let secrets: BTreeMap<_, _> = task
        .content
        .secrets
        .keys()
        .map(|path| {
            let is_new = path.as_str() == PASSWORD;
            (path.clone(), if is_new { SecretChange::Set(new.duplicate_secret()) } else { SecretChange::Keep })
        })
        .collect();
    task.next_version(Settled { public: task.content.public.clone(), secrets }, Some(&task.content))
}

fn place<'p>(row: &RotationRow, endpoint: &'p EndpointDigest) -> Result<SealContext<'p>> {
    let version = u64::try_from(row.base_version).unwrap_or_default();
    Ok(SealContext { connection: uuid(&row.connection_id)?, version, field: SEALED_AS, endpoint })
}

/// The row that a rotation begins with.
pub(super) fn row(app: &App, caller: &Caller, task: &Task, new: &Secret) -> Result<RotationRow> {
    let now = app.clock.now();
    let row = RotationRow {
        connection_id: task.before.id.clone(),
        workspace_id: task.before.workspace_id.clone(),
        base_version: task.before.version,
        candidate: String::new(),
        key_version: 0,
        begun_at: now,
        begun_by: caller.label().into_owned(),
        begun_by_id: caller.identity().into_owned(),
        mac: Vec::new(),
        owner: random_uuid().to_string(),
        leased_until: now + LEASE,
        tries: 0,
        tried_at: None,
        next_at: now,
        problem: None,
        told_at: now,
        puts_back: false,
    };
    sealed(app, &task.workspace.key, row, (new, &task.content.endpoint))
}

fn sealed(app: &App, key: &WorkspaceKey, row: RotationRow, (new, endpoint): (&Secret, &EndpointDigest)) -> Result<RotationRow> {
    let sealed = key.seal(&place(&row, endpoint)?, new).context("seal a new password").map_err(Error::Internal)?;
    let key_version = WorkspaceKey::version_of(&sealed).map_or(0, i64::from);
    Ok(RotationRow { candidate: BASE64.encode(sealed), key_version, ..row }.sealed(&app.vault))
}

/// The new password of a row whose MAC was checked.
pub(in crate::ops) fn open(key: &WorkspaceKey, row: &RotationRow, endpoint: &EndpointDigest) -> Result<Secret> {
    let sealed = BASE64.decode(&row.candidate).context("a sealed password is no base64").map_err(Error::Internal)?;
    key.open(&place(row, endpoint)?, &sealed).context("open a new password").map_err(Error::SecretUnreadable)
}

/// The same row, its password under the active key.
pub(in crate::ops) async fn resealed(app: &App, write: &mut Write, key: &WorkspaceKey, row: RotationRow) -> Result<RotationRow> {
    let row = row.checked(&app.vault)?;
    let version = store::version(write, &row.connection_id, row.base_version).await?.ok_or(Error::NotFound("version"))?;
    let endpoint = VersionContent::read(&version.checked(&app.vault)?)?.endpoint;
    let new = open(key, &row, &endpoint)?;
    sealed(app, key, row, (&new, &endpoint))
}
