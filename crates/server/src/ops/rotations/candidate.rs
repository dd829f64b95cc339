//! The new password: made, sealed in its row, and as the next version holds it.

use std::collections::BTreeMap;

use anyhow::Context;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use dataflow_model::{
    Secret,
    settle::{SecretChange, Settled},
};
use dataflow_vault::{EndpointDigest, SealContext, WorkspaceKey, random_bytes};
use zeroize::Zeroizing;

use super::{LEASE, PASSWORD, Task};
use crate::{
    app::App,
    error::{Error, Result},
    ops::{
        access::Caller,
        rows::{Sealed as _, VersionContent, uuid},
        versions::{Content, SealedVersion, Sealing},
    },
    store::{self, RotationRow, Write},
};

/// Characters of a password; six random bits each.
const LENGTH: usize = 32;
/// Nothing of it is escaped in a URL (RFC 3986, section 2.3), a shell, a `.env` file or SQL.
const CHARACTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// What the candidate is sealed as: it opens in the place of no version's secret.
const SEALED_AS: &str = "rotation/password";

/// A password of 190 random bits, with a letter first and at least one character of each kind that servers' rules ask for.
pub(super) fn make() -> Secret {
    loop {
        let bytes = Zeroizing::new(random_bytes::<LENGTH>());
        let mut text = Zeroizing::new(String::with_capacity(LENGTH));
        for byte in bytes.iter() {
            text.extend(CHARACTERS.get(usize::from(byte % 64)).copied().map(char::from));
        }
        let has = |kind: fn(char) -> bool| text.chars().any(kind);
        let has_all = has(|c| c.is_ascii_uppercase())
            && has(|c| c.is_ascii_lowercase())
            && has(|c| c.is_ascii_digit())
            && has(|c| c.is_ascii_punctuation());
        if has_all && text.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return Secret::new(std::mem::take(&mut *text));
        }
    }
}

/// What the next version holds, and its sealed secrets.
pub(super) fn next_version(task: &Task, new: &Secret) -> Result<(Content, SealedVersion)> {
    let before = &task.before;
    let secrets: BTreeMap<_, _> = task
        .content
        .secrets
        .keys()
        .map(|path| {
            let is_new = path.as_str() == PASSWORD;
            (path.clone(), if is_new { SecretChange::Set(new.duplicate_secret()) } else { SecretChange::Keep })
        })
        .collect();
    let settled = Settled { public: task.content.public.clone(), secrets };
    let sealing =
        Sealing { workspace: &task.workspace, id: uuid(&before.id)?, version: before.version + 1, kept: Some(&task.content) };
    let sealed = sealing.apply(&task.kind, &settled)?;
    let tags = serde_json::from_str(&before.tags).context("a connection's tags do not parse").map_err(Error::Internal)?;
    Ok((Content { description: before.description.clone(), tags, settled }, sealed))
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
        owner: app.node.clone(),
        leased_until: now + LEASE,
        tries: 0,
        tried_at: None,
        next_at: now,
        problem: None,
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_password_is_long_random_and_needs_no_escaping() {
        let made: Vec<_> = (0..500).map(|_| make()).collect();
        let mut characters = BTreeSet::new();
        for password in &made {
            let text = password.expose_secret();
            assert_eq!(text.len(), LENGTH);
            assert!(text.bytes().all(|byte| CHARACTERS.contains(&byte)) && text.starts_with(|c: char| c.is_ascii_alphabetic()));
            characters.extend(text.bytes());
        }
        assert_eq!(characters.len(), CHARACTERS.len(), "each character comes up");
        let different: BTreeSet<_> = made.iter().map(Secret::expose_secret).collect();
        assert_eq!(different.len(), made.len());
    }
}
