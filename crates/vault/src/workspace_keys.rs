//! A workspace's keys as they are stored: one record, or all versions that there are at the moment.

use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{
    Vault, VaultError, WorkspaceKey,
    format::{self, FORMAT, Label, Reader, WORKSPACE_KEYS_MAGIC},
    key::{KEY_LENGTH, Key},
    sealed::{self, Content, Fresh},
    vault::VersionedKey,
};

const WHAT: &str = "the workspace key";

impl Vault {
    /// A new key for a workspace, sealed for storage. To destroy it is to destroy every secret of the workspace.
    ///
    /// # Errors
    /// `Library` alone.
    pub fn create_workspace_key(&self, workspace: Uuid) -> Result<Vec<u8>, VaultError> {
        self.seal_one_workspace_key(workspace, &VersionedKey::first(), &Fresh::random())
    }

    pub(crate) fn seal_one_workspace_key(
        &self,
        workspace: Uuid,
        key: &VersionedKey,
        fresh: &Fresh,
    ) -> Result<Vec<u8>, VaultError> {
        let parts = [self.instance.as_bytes().as_slice(), workspace.as_bytes()];
        self.roots().active().sealer(Content::WorkspaceKey).seal(&parts, key.to_plain(), fresh)
    }

    /// A workspace's keys for storage, all of them sealed under the active root key.
    ///
    /// # Errors
    /// `Library` alone.
    pub fn seal_workspace_key(&self, key: &WorkspaceKey) -> Result<Vec<u8>, VaultError> {
        let parts = [self.instance.as_bytes().as_slice(), key.workspace.as_bytes()];
        let roots = self.roots();
        let root = roots.active();
        let fingerprint = Zeroizing::new(key.fingerprint.expose().to_vec());
        let mut records = vec![root.sealer(Content::FingerprintKey).seal(&parts, fingerprint, &Fresh::random())?];
        for key in &key.keys {
            records.push(root.sealer(Content::WorkspaceKey).seal(&parts, key.to_plain(), &Fresh::random())?);
        }
        let records: Vec<_> = records.iter().map(Vec::as_slice).collect();
        let head = [WORKSPACE_KEYS_MAGIC.as_slice(), &[FORMAT], &key.active.to_be_bytes()];
        Ok([head.concat(), format::frame(&records)].concat())
    }

    /// Opens a workspace's stored keys. Keep the result: it is what opens fields.
    ///
    /// # Errors
    /// `Refused` if they are another workspace's, `WrongKey` if another root key sealed them, `Damaged`, `UnknownFormat`,
    /// `OtherKeyVersion`.
    pub fn open_workspace_key(&self, workspace: Uuid, stored: &[u8]) -> Result<WorkspaceKey, VaultError> {
        let Some(rest) = stored.strip_prefix(WORKSPACE_KEYS_MAGIC) else {
            let (key, sealed_under) = self.open_one(workspace, stored)?;
            return Ok(WorkspaceKey::new(self.instance, workspace, key).sealed_under(sealed_under));
        };
        let damaged = || Content::WorkspaceKey.damaged("its versions are not as they must be");
        let mut reader = Reader::new(rest);
        match reader.byte() {
            Some(FORMAT) => {}
            found => return Err(VaultError::UnknownFormat { what: WHAT, found: found.unwrap_or_default() }),
        }
        let active = reader.take().map(|bytes| u32::from_be_bytes(*bytes)).ok_or_else(damaged)?;
        let record = reader.part().ok_or_else(damaged)?;
        let parts = [self.instance.as_bytes().as_slice(), workspace.as_bytes()];
        let fingerprint =
            self.roots().that_sealed(Content::FingerprintKey, record)?.sealer(Content::FingerprintKey).open(&parts, record)?;
        let fingerprint = Key::copied(&fingerprint).ok_or_else(damaged)?;
        let (mut keys, mut sealed_under) = (Vec::new(), sealed::key_version(record).ok_or_else(damaged)?);
        while !reader.is_empty() {
            let (key, root) = self.open_one(workspace, reader.part().ok_or_else(damaged)?)?;
            keys.push(key);
            sealed_under = sealed_under.min(root);
        }
        WorkspaceKey::of_many((self.instance, workspace), keys, active, fingerprint)
            .map(|key| key.sealed_under(sealed_under))
            .ok_or_else(damaged)
    }

    fn open_one(&self, workspace: Uuid, record: &[u8]) -> Result<(VersionedKey, u32), VaultError> {
        let parts = [self.instance.as_bytes().as_slice(), workspace.as_bytes()];
        let roots = self.roots();
        let root = roots.that_sealed(Content::WorkspaceKey, record)?;
        let plain = root.sealer(Content::WorkspaceKey).open(&parts, record)?;
        Ok((VersionedKey::from_plain(&plain, Content::WorkspaceKey)?, root.version()))
    }
}

impl WorkspaceKey {
    /// With one version more, which seals nothing before it is active.
    #[must_use]
    pub fn with_pending(mut self) -> Self {
        let version = self.newest().saturating_add(1);
        self.keys.push(VersionedKey { version, key: Key::random() });
        self
    }

    /// With the newest version as the one that seals.
    #[must_use]
    pub fn activated(mut self) -> Self {
        self.active = self.newest();
        self
    }

    /// Without the versions before the active one: what is sealed under them never opens again.
    #[must_use]
    pub fn retired(mut self) -> Self {
        self.keys.retain(|key| key.version >= self.active);
        self
    }

    /// The key that fingerprints of a workspace's first key are made with.
    pub(crate) fn fingerprint_key_of(first: &Key) -> Key {
        Key::filled(|bytes| bytes.copy_from_slice(first.derive::<KEY_LENGTH>(&[], Label::Fingerprint.as_str()).as_slice()))
    }
}
