//! A workspace's key: seals and opens secret fields, and makes fingerprints. While it is rotated there are several versions of it.

use std::fmt;

use dataflow_model::{FieldValue, PublicFields, Secret, SecretFields};
use uuid::Uuid;
use zeroize::{Zeroize as _, Zeroizing};

use crate::{
    EndpointDigest, VaultError,
    format::{self, FIELD_BLOCK, Label},
    key::Key,
    mac::MacKey,
    sealed::{self, Content, Fresh, Sealer, Unlocked},
    vault::VersionedKey,
};

/// The place that a secret is sealed for; it opens for no other.
#[derive(Debug, Clone, Copy)]
pub struct SealContext<'a> {
    pub connection: Uuid,
    /// The version at which the secret was sealed. A later version that keeps the secret keeps the record and this number.
    pub version: u64,
    /// The field's path, for example `password`.
    pub field: &'a str,
    /// Where the secret may be sent.
    pub endpoint: &'a EndpointDigest,
}

/// A secret that lies sealed in memory, beside the key of its record and of nothing else. It does not print.
pub struct UnlockedSecret(Unlocked);

impl UnlockedSecret {
    /// Opens it.
    ///
    /// # Errors
    /// `Refused` if it was changed or sealed for another place; `Damaged` for what this program did not write.
    pub fn open(&self) -> Result<Secret, VaultError> {
        let mut plain = self.0.open()?;
        let end = plain.iter().rposition(|byte| *byte != 0).filter(|end| plain.get(*end) == Some(&0x80));
        plain.truncate(end.ok_or_else(|| Content::Field.damaged("its padding is not one of this program"))?);
        String::from_utf8(std::mem::take(&mut *plain)).map(Secret::new).map_err(|error| {
            error.into_bytes().zeroize();
            Content::Field.damaged("it is not text")
        })
    }
}

impl fmt::Debug for UnlockedSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("UnlockedSecret(…)")
    }
}

/// The open key of one workspace, in all its versions. Sealing and opening take about 2 µs.
pub struct WorkspaceKey {
    instance: Uuid,
    pub(crate) workspace: Uuid,
    /// In the order of their versions; one of them has the version `active`.
    pub(crate) keys: Vec<VersionedKey>,
    pub(crate) active: u32,
    /// The oldest version of the root key that one of them is stored under.
    root: u32,
    pub(crate) fingerprint: Key,
    fingerprint_key: MacKey,
}

impl WorkspaceKey {
    pub(crate) fn new(instance: Uuid, workspace: Uuid, key: VersionedKey) -> Self {
        let (active, fingerprint) = (key.version, Self::fingerprint_key_of(&key.key));
        Self::made((instance, workspace), vec![key], active, fingerprint)
    }

    /// `None` unless the versions are in order and the active one among them.
    pub(crate) fn of_many(place: (Uuid, Uuid), keys: Vec<VersionedKey>, active: u32, fingerprint: Key) -> Option<Self> {
        let ascending = keys.iter().zip(keys.iter().skip(1)).all(|(one, next)| one.version < next.version);
        let fit = ascending && keys.iter().any(|key| key.version == active);
        fit.then(|| Self::made(place, keys, active, fingerprint))
    }

    fn made((instance, workspace): (Uuid, Uuid), keys: Vec<VersionedKey>, active: u32, fingerprint: Key) -> Self {
        let fingerprint_key = MacKey::with(&fingerprint);
        Self { instance, workspace, keys, active, root: 0, fingerprint, fingerprint_key }
    }

    pub(crate) fn sealed_under(self, root: u32) -> Self {
        Self { root, ..self }
    }

    /// The version that seals, which stands in every record that it seals.
    pub fn version(&self) -> u32 {
        self.active
    }

    /// The oldest version that opens.
    pub fn oldest(&self) -> u32 {
        self.keys.first().map_or(self.active, |key| key.version)
    }

    /// The newest version, which is pending until it is the one that seals.
    pub fn newest(&self) -> u32 {
        self.keys.last().map_or(self.active, |key| key.version)
    }

    /// The oldest version of the root key that one of the stored keys is sealed under.
    pub fn root_version(&self) -> u32 {
        self.root
    }

    /// The version that a record was sealed under, as its head says.
    #[must_use]
    pub fn version_of(sealed: &[u8]) -> Option<u32> {
        sealed::key_version(sealed)
    }

    /// Seals a secret for its place. Each call gives other bytes.
    ///
    /// # Errors
    /// `Library` alone.
    pub fn seal(&self, context: &SealContext<'_>, secret: &Secret) -> Result<Vec<u8>, VaultError> {
        self.seal_with(context, secret, &Fresh::random())
    }

    pub(crate) fn seal_with(&self, context: &SealContext<'_>, secret: &Secret, fresh: &Fresh) -> Result<Vec<u8>, VaultError> {
        self.in_place((context, self.active), |sealer, parts| sealer.seal(parts, padded(secret.expose_secret()), fresh))
    }

    /// Opens a stored secret.
    ///
    /// # Errors
    /// `WrongKey` if another key sealed it, `Refused` if it was changed or sealed for another place, `OtherKeyVersion` if
    /// another version of the workspace's key is needed, `Damaged` and `UnknownFormat` for bytes that are no record.
    pub fn open(&self, context: &SealContext<'_>, sealed: &[u8]) -> Result<Secret, VaultError> {
        self.unlock(context, sealed)?.open()
    }

    /// Does once what is the same at each opening of a secret that is opened often: derives the key of its record.
    ///
    /// # Errors
    /// Those of [`WorkspaceKey::open`] without `Refused`.
    pub fn unlock(&self, context: &SealContext<'_>, sealed: &[u8]) -> Result<UnlockedSecret, VaultError> {
        let version = sealed::key_version(sealed).ok_or_else(|| Content::Field.damaged("it is cut short"))?;
        self.in_place((context, version), |sealer, parts| sealer.unlock(parts, sealed)).map(UnlockedSecret)
    }

    fn in_place<T>(
        &self,
        (context, version): (&SealContext<'_>, u32),
        act: impl FnOnce(Sealer<'_>, &[&[u8]]) -> Result<T, VaultError>,
    ) -> Result<T, VaultError> {
        let other = VaultError::OtherKeyVersion { what: Content::Field.name(), sealed_under: version, at_hand: self.active };
        let key = self.keys.iter().find(|key| key.version == version).ok_or(other)?;
        let sealer = Sealer { key: &key.key, version, content: Content::Field };
        let parts: [&[u8]; 6] = [
            self.instance.as_bytes(),
            self.workspace.as_bytes(),
            context.connection.as_bytes(),
            &context.version.to_be_bytes(),
            context.field.as_bytes(),
            context.endpoint.as_bytes(),
        ];
        act(sealer, &parts)
    }

    /// The fingerprint of what a client needs to connect, 32 hex digits. Equal inputs give equal texts in this workspace for
    /// ever; nothing follows from it without the key.
    ///
    /// Show it only to who may read the secrets: it confirms a guess to an editor who saves guesses and compares.
    #[must_use]
    pub fn fingerprint(&self, type_id: &str, connector: &str, public: &PublicFields, secret: &SecretFields) -> String {
        let count = format::number(public.0.len());
        let values: Vec<_> = public.0.iter().map(|(path, value)| (path.as_str(), tagged(value))).collect();
        let public = values.iter().flat_map(|(path, (tag, value))| [path.as_bytes(), tag.as_slice(), value.as_slice()]);
        let secret = secret.0.iter().flat_map(|(path, secret)| [path.as_str(), secret.expose_secret()].map(str::as_bytes));
        let head = [type_id.as_bytes(), connector.as_bytes(), &count];
        let mac = self.fingerprint_key.of_parts(head.into_iter().chain(public).chain(secret));
        hex::encode(mac.split_at(16).0)
    }

    /// What two connections of this workspace have in common if, and only if, they have the same password; in another workspace it is another.
    /// Nothing else follows from it without the key. It outlives a rotation of the keys, as a fingerprint does.
    ///
    /// Tell what is equal only to who may read both secrets: it confirms a guess to an editor who saves guesses and compares.
    #[must_use]
    pub fn password_mark(&self, password: &Secret) -> [u8; 16] {
        let mac = MacKey::derived(&self.fingerprint, Label::PasswordMark).of(password.expose_secret().as_bytes());
        let mut mark = [0; 16];
        for (byte, first) in mark.iter_mut().zip(mac) {
            *byte = first;
        }
        mark
    }
}

impl fmt::Debug for WorkspaceKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("WorkspaceKey").field("workspace", &self.workspace).finish_non_exhaustive()
    }
}

fn tagged(value: &FieldValue) -> ([u8; 1], Vec<u8>) {
    match value {
        FieldValue::Text(text) => ([1], text.as_bytes().to_vec()),
        FieldValue::Integer(number) => ([2], number.to_be_bytes().to_vec()),
        FieldValue::Boolean(value) => ([3], vec![u8::from(*value)]),
    }
}

fn padded(text: &str) -> Zeroizing<Vec<u8>> {
    let length = (text.len() + 1).next_multiple_of(FIELD_BLOCK);
    let mut padded = Zeroizing::new(Vec::with_capacity(length));
    padded.extend_from_slice(text.as_bytes());
    padded.push(0x80);
    padded.resize(length, 0);
    padded
}
