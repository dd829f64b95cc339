//! What one save makes: a draft held against type and earlier version, its secrets sealed, its row.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::Context;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use dataflow_model::{
    ConnectionType, Draft, FieldError, FieldInput, FieldPath, FieldValue, PublicFields, Secret, SecretFields, Tag,
    draft::{check_description, check_tags},
    endpoint::Endpoint,
    settle::{SecretChange, Settled},
};
use dataflow_vault::{EndpointDigest, SealContext};
use uuid::Uuid;

use super::{
    hops::Pin,
    rows::{SealedSecret, VersionContent, oldest_key},
};
use crate::{
    app::Workspace,
    audit,
    error::{Error, Result},
    store::{ConnectionRow, VersionRow},
};

/// The field that is held against that of other connections.
const PASSWORD: &str = "password";

/// What a draft settles to.
pub(super) struct Content {
    pub description: String,
    pub tags: Vec<Tag>,
    pub settled: Settled,
}

/// The version that a change is made over.
pub(super) struct Earlier<'e> {
    pub row: &'e ConnectionRow,
    pub public: &'e PublicFields,
}

pub(super) fn read_content(
    draft: Draft,
    kind: &ConnectionType,
    earlier: Option<&Earlier<'_>>,
    is_admin: bool,
    pin: Pin,
) -> Result<Content> {
    let mut errors = draft.errors;
    let description = draft.description.or_else(|| earlier.map(|earlier| earlier.row.description.clone())).unwrap_or_default();
    errors.extend(check_description(&description).err());
    let tags = match (&draft.tags, earlier) {
        (Some(tags), _) => check_tags(tags).unwrap_or_else(|error| {
            errors.push(error);
            Vec::new()
        }),
        (None, Some(earlier)) => {
            serde_json::from_str(&earlier.row.tags).context("a connection's tags do not parse").map_err(Error::Internal)?
        }
        (None, None) => Vec::new(),
    };
    if earlier.is_none() {
        errors.extend(draft.fields.iter().filter_map(|(path, input)| nothing_to_keep(path, input, kind)));
    }
    let settled = settle(draft.fields, kind, earlier, is_admin).map_err(|refused| {
        errors.extend(refused);
    });
    let settled = settled.and_then(|mut settled| match pin.put(kind, &mut settled.public) {
        Ok(()) => Ok(settled),
        Err(refused) => {
            errors.push(refused);
            Err(())
        }
    });
    match settled {
        Ok(settled) if errors.is_empty() => Ok(Content { description, tags, settled }),
        _ => Err(Error::Invalid(errors)),
    }
}

/// A new connection that says that a secret is set, as an answer about another one does, would be without it and nobody would notice.
fn nothing_to_keep(path: &FieldPath, input: &FieldInput, kind: &ConnectionType) -> Option<FieldError> {
    let is_secret = kind.field(path.as_str()).is_some_and(|field| field.secret);
    let says_so = is_secret && matches!(input, FieldInput::Keep { set: true });
    says_so.then(|| FieldError::new(path.as_str(), "required", "is said to be set, but is not here; send it, or null for none"))
}

/// Over another type, the values that both types know are held against the new one like typed ones.
fn settle(
    mut fields: BTreeMap<FieldPath, FieldInput>,
    kind: &ConnectionType,
    earlier: Option<&Earlier<'_>>,
    is_admin: bool,
) -> std::result::Result<Settled, Vec<FieldError>> {
    let Some(earlier) = earlier else { return kind.settle(fields, None, is_admin) };
    if earlier.row.type_id == kind.id {
        return kind.settle(fields, Some(earlier.public), is_admin);
    }
    for (path, value) in &earlier.public.0 {
        if kind.field(path.as_str()).is_some() && !fields.contains_key(path) {
            fields.insert(path.clone(), input(value));
        }
    }
    kind.settle(fields, None, is_admin)
}

/// A stored value as if it were typed.
pub(super) fn input(value: &FieldValue) -> FieldInput {
    match value {
        FieldValue::Boolean(value) => FieldInput::Boolean(*value),
        FieldValue::Integer(value) => FieldInput::Integer(*value),
        FieldValue::Text(value) => FieldInput::Text(Secret::new(value.clone())),
    }
}

/// Adds to the detail of a save's event what in it weakens the protection of its secrets: `tls.mode=require`, `extra.insecure_auth=md5`.
pub(super) fn note_weak(detail: &mut serde_json::Value, kind: &ConnectionType, public: &PublicFields) {
    let weak: Vec<_> = kind.weakened(public).map(|(field, choice)| format!("{}={}", field.path.as_str(), choice.value)).collect();
    audit::note(detail, "weak", Some(weak).filter(|weak| !weak.is_empty()));
}

/// The fields for admins that a save sets to another value than before.
pub(super) fn admin_fields_set<'k>(
    kind: &'k ConnectionType,
    before: &'k PublicFields,
    after: &'k PublicFields,
) -> impl Iterator<Item = &'k str> {
    let for_admins = kind.fields.iter().filter(|field| field.admin).map(|field| field.path.as_str());
    for_admins.filter(|path| after.get(path).is_some_and(|value| before.get(path) != Some(value)))
}

/// Whether there is one.
pub(super) fn sets_admin_fields(kind: &ConnectionType, before: &PublicFields, after: &PublicFields) -> bool {
    admin_fields_set(kind, before, after).next().is_some()
}

/// The mark of the password of a version that is stored; nothing where it has none.
pub(super) fn stored_password_mark(workspace: &Arc<Workspace>, id: Uuid, content: &VersionContent) -> Result<Option<[u8; 16]>> {
    let Some((path, kept)) = content.secrets.iter().find(|(path, _)| path.as_str() == PASSWORD) else { return Ok(None) };
    let password = Sealing { workspace, id, version: 0, kept: None }.open(path, kept, &content.endpoint)?;
    Ok(Some(workspace.key.password_mark(&password)))
}

/// Seals the secrets of one version.
pub(super) struct Sealing<'s> {
    pub workspace: &'s Arc<Workspace>,
    pub id: Uuid,
    pub version: i64,
    /// The version before, whose sealed records stay where a secret is kept.
    pub kept: Option<&'s VersionContent>,
}

/// The sealed secrets of a version, and the fingerprint over them and its public fields.
pub(super) struct SealedVersion {
    pub secrets: BTreeMap<FieldPath, SealedSecret>,
    /// Of the endpoint that they are sealed for.
    endpoint_paths: Vec<FieldPath>,
    fingerprint: String,
    /// What it has in common with others that have the same password.
    password_mark: Option<[u8; 16]>,
}

impl SealedVersion {
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    pub fn password_mark(&self) -> Option<&[u8]> {
        self.password_mark.as_ref().map(<[u8; 16]>::as_slice)
    }
}

/// The mark of a version's password; nothing where it has none.
pub(super) fn password_mark(workspace: &Workspace, clear: &SecretFields) -> Option<[u8; 16]> {
    clear.0.iter().find(|(path, _)| path.as_str() == PASSWORD).map(|(_, password)| workspace.key.password_mark(password))
}

impl Sealing<'_> {
    /// A kept secret's record is copied as it is, and only if the endpoint is the one that it was sealed for.
    pub fn apply(&self, kind: &ConnectionType, settled: &Settled) -> Result<SealedVersion> {
        let (endpoint, endpoint_paths) = self.endpoint(kind, settled);
        let (mut secrets, mut clear) = (BTreeMap::new(), SecretFields::default());
        for (path, change) in &settled.secrets {
            match (change, self.kept_secret(path)) {
                (SecretChange::Set(secret), _) => {
                    secrets.insert(path.clone(), self.seal(path, secret, &endpoint)?);
                    clear.0.insert(path.clone(), secret.duplicate_secret());
                }
                (SecretChange::Keep, Some(kept)) => {
                    secrets.insert(path.clone(), kept.clone());
                }
                (SecretChange::Keep | SecretChange::Clear, _) => {}
            }
        }
        self.open_kept(kind, settled, &endpoint, &mut clear)?;
        let fingerprint = self.workspace.key.fingerprint(&kind.id, &kind.connector, &settled.public, &clear);
        Ok(SealedVersion { secrets, endpoint_paths, fingerprint, password_mark: password_mark(self.workspace, &clear) })
    }

    /// Has every kept secret sealed anew for the endpoint that it goes to from now on; gives their paths. None where the endpoint stays.
    ///
    /// Call it for an admin after a second look alone: to whoever may call it the stored secrets can be sent anywhere.
    pub fn carry_over(&self, kind: &ConnectionType, settled: &mut Settled) -> Result<Vec<FieldPath>> {
        let (endpoint, _) = self.endpoint(kind, settled);
        let Some(before) = self.kept.filter(|before| before.endpoint != endpoint) else { return Ok(Vec::new()) };
        let mut carried = Vec::new();
        for (path, change) in &mut settled.secrets {
            if let (SecretChange::Keep, Some(kept)) = (&*change, before.secrets.get(path)) {
                *change = SecretChange::Set(self.open(path, kept, &before.endpoint)?);
                carried.push(path.clone());
            }
        }
        Ok(carried)
    }

    /// The secrets of the kept version as they are, for one that equals it: they go where they went, and nowhere else. Each is opened, so that
    /// none is put in force that would not serve.
    pub fn keep_all(&self, kind: &ConnectionType, kept: &VersionContent) -> Result<SealedVersion> {
        let clear = self.open_all(kept)?;
        let fingerprint = self.workspace.key.fingerprint(&kind.id, &kind.connector, &kept.public, &clear);
        let (secrets, endpoint_paths) = (kept.secrets.clone(), kept.endpoint_paths.clone());
        Ok(SealedVersion { secrets, endpoint_paths, fingerprint, password_mark: password_mark(self.workspace, &clear) })
    }

    /// The secrets of a version in clear, for the endpoint that they are sealed for.
    pub fn open_all(&self, kept: &VersionContent) -> Result<SecretFields> {
        let opened = kept.secrets.iter().map(|(path, secret)| Ok((path.clone(), self.open(path, secret, &kept.endpoint)?)));
        opened.collect::<Result<_>>().map(SecretFields)
    }

    /// The fields in clear, for a test of values that are not saved: typed secrets, and kept ones under the same rule.
    pub fn clear(&self, kind: &ConnectionType, settled: Settled) -> Result<(PublicFields, SecretFields)> {
        let (endpoint, _) = self.endpoint(kind, &settled);
        let mut clear = SecretFields::default();
        self.open_kept(kind, &settled, &endpoint, &mut clear)?;
        for (path, change) in settled.secrets {
            if let SecretChange::Set(secret) = change {
                clear.0.insert(path, secret);
            }
        }
        Ok((settled.public, clear))
    }

    /// The endpoint that the secrets are sealed for, and the list that makes it: today's; or that of the version before, if by that list it is the
    /// same one and nothing is set of what only today's has. So a field that a type was given since then asks nobody for a password.
    fn endpoint(&self, kind: &ConnectionType, settled: &Settled) -> (EndpointDigest, Vec<FieldPath>) {
        let of = |paths: &[FieldPath]| EndpointDigest::of(&Endpoint::of(&kind.id, paths, &settled.public));
        let today = kind.endpoint_paths();
        if let Some(before) = self.kept {
            let is_unset = |path: &FieldPath| settled.public.get(path.as_str()).is_none();
            let adds_nothing = today.iter().filter(|path| !before.endpoint_paths.contains(path)).all(is_unset);
            if adds_nothing && of(&before.endpoint_paths) == before.endpoint {
                return (before.endpoint, before.endpoint_paths.clone());
            }
        }
        (of(&today), today)
    }

    fn kept_secret(&self, path: &FieldPath) -> Option<&SealedSecret> {
        self.kept.and_then(|kept| kept.secrets.get(path))
    }

    /// Opens what is kept. If the endpoint is another one, every kept secret must be typed again.
    fn open_kept(
        &self,
        kind: &ConnectionType,
        settled: &Settled,
        endpoint: &EndpointDigest,
        clear: &mut SecretFields,
    ) -> Result<()> {
        let keeps = settled.secrets.iter().filter(|(_, change)| matches!(change, SecretChange::Keep));
        let kept: Vec<_> = keeps.filter_map(|(path, _)| self.kept_secret(path).map(|secret| (path, secret))).collect();
        // A secret that a driver takes a parameter from may say where the others go.
        let directs = |path: &FieldPath| kind.url.as_ref().is_some_and(|url| url.has_in_query(path.as_str()));
        let is_redirected = settled.secrets.iter().any(|(path, change)| matches!(change, SecretChange::Set(_)) && directs(path));
        if !kept.is_empty() && (is_redirected || self.kept.is_some_and(|before| before.endpoint != *endpoint)) {
            return Err(Error::SecretReentry(kept.iter().map(|(path, _)| path.as_str().to_owned()).collect()));
        }
        for (path, secret) in kept {
            clear.0.insert(path.clone(), self.open(path, secret, endpoint)?);
        }
        Ok(())
    }

    fn seal(&self, path: &FieldPath, secret: &Secret, endpoint: &EndpointDigest) -> Result<SealedSecret> {
        let context = SealContext { connection: self.id, version: sealed_at(self.version), field: path.as_str(), endpoint };
        let sealed = self.workspace.key.seal(&context, secret).context("seal a secret").map_err(Error::Internal)?;
        Ok(SealedSecret { version: self.version, sealed: BASE64.encode(sealed) })
    }

    fn open(&self, path: &FieldPath, kept: &SealedSecret, endpoint: &EndpointDigest) -> Result<Secret> {
        let sealed = BASE64.decode(&kept.sealed).context("a sealed secret is no base64").map_err(Error::Internal)?;
        let context = SealContext { connection: self.id, version: sealed_at(kept.version), field: path.as_str(), endpoint };
        self.workspace.key.open(&context, &sealed).context("open a stored secret").map_err(Error::SecretUnreadable)
    }
}

fn sealed_at(version: i64) -> u64 {
    u64::try_from(version).unwrap_or_default()
}

pub(super) fn version_row(row: &ConnectionRow, public: &PublicFields, sealed: &SealedVersion) -> Result<VersionRow> {
    Ok(VersionRow {
        connection_id: row.id.clone(),
        version: row.version,
        name: row.name.clone(),
        type_id: row.type_id.clone(),
        description: row.description.clone(),
        tags: row.tags.clone(),
        fields: json(public)?,
        endpoint_paths: json(&sealed.endpoint_paths)?,
        secrets: json(&sealed.secrets)?,
        fingerprint: sealed.fingerprint.clone(),
        key_version: oldest_key(&sealed.secrets),
        saved_at: row.updated_at,
        saved_by: row.updated_by.clone(),
        restored_from: None,
        mac: Vec::new(),
    })
}

/// Whether a save holds what the version before it holds. A secret that was typed is sealed anew, and so never the same. One that was kept is the
/// same under whichever key it is sealed by now: a rotation seals the records of each version by themselves.
pub(super) fn is_same(old: &VersionRow, new: &VersionRow) -> Result<bool> {
    fn content(row: &VersionRow) -> [&String; 6] {
        [&row.type_id, &row.description, &row.tags, &row.fields, &row.endpoint_paths, &row.fingerprint]
    }
    Ok(content(old) == content(new) && changed_fields(&VersionContent::read(old)?, new)?.is_empty())
}

/// Paths of the fields that differ between two versions, for the audit; of a secret only that it changed.
pub(super) fn changed_fields(old: &VersionContent, new: &VersionRow) -> Result<Vec<String>> {
    let new = VersionContent::read(new)?;
    let public = old
        .public
        .0
        .keys()
        .chain(new.public.0.keys())
        .filter(|path| old.public.get(path.as_str()) != new.public.get(path.as_str()));
    let sealed = |content: &VersionContent, path: &FieldPath| content.secrets.get(path).map(|secret| secret.version);
    let secret = old.secrets.keys().chain(new.secrets.keys()).filter(|path| sealed(old, path) != sealed(&new, path));
    let mut paths: Vec<_> = public.chain(secret).map(|path| path.as_str().to_owned()).collect();
    paths.sort();
    paths.dedup();
    Ok(paths)
}

/// Those of the changed fields that say where a secret is sent.
pub(super) fn moved_fields<'c>(changed: &'c [String], kind: &ConnectionType, old: &VersionContent) -> Vec<&'c String> {
    let endpoints = [kind.endpoint_paths(), old.endpoint_paths.clone()].concat();
    changed.iter().filter(|path| endpoints.iter().any(|endpoint| endpoint.as_str() == path.as_str())).collect()
}

pub(super) fn json(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value).context("write a column as JSON").map_err(Error::Internal)
}
