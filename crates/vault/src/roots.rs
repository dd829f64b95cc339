//! The root keys at hand, each with what is derived from it.

use crate::{
    RootVersions, VaultError,
    format::Label,
    key::Key,
    mac::{self, MacKey},
    sealed::{Content, Sealer},
    vault::VersionedKey,
};

pub(crate) struct Root {
    pub(crate) key: VersionedKey,
    pub(crate) ring_key: MacKey,
    pub(crate) row_key: MacKey,
    pub(crate) token_key: MacKey,
    pub(crate) audit_key: MacKey,
}

impl Root {
    pub(crate) fn new(key: VersionedKey) -> Self {
        let derived = |label| MacKey::derived(&key.key, label);
        Self {
            ring_key: derived(Label::KeyRing),
            row_key: derived(Label::Row),
            token_key: derived(Label::Token),
            audit_key: derived(Label::Audit),
            key,
        }
    }

    pub(crate) fn version(&self) -> u32 {
        self.key.version
    }

    pub(crate) fn sealer(&self, content: Content) -> Sealer<'_> {
        Sealer { key: &self.key.key, version: self.key.version, content }
    }
}

/// All root keys of a ring.
pub(crate) struct Roots {
    pub(crate) versions: RootVersions,
    newest: Root,
    /// In the order of their versions.
    older: Vec<Root>,
}

impl Roots {
    /// One root key and no other.
    pub(crate) fn only(key: VersionedKey) -> Self {
        Self { versions: RootVersions::only(key.version), newest: Root::new(key), older: Vec::new() }
    }

    /// `None` unless versions and keys fit together.
    pub(crate) fn new(versions: RootVersions, newest: VersionedKey, older: Vec<VersionedKey>) -> Option<Self> {
        let ascending = older.iter().zip(older.iter().skip(1)).all(|(one, next)| one.version < next.version);
        let below = older.iter().all(|key| key.version < newest.version);
        let active = versions.active == newest.version || older.iter().any(|key| key.version == versions.active);
        let fit = ascending && below && active && versions.newest == newest.version;
        fit.then(|| Self { versions, newest: Root::new(newest), older: older.into_iter().map(Root::new).collect() })
    }

    /// The same keys in other roles.
    pub(crate) fn take_roles(&mut self, versions: RootVersions) {
        self.versions = versions;
    }

    pub(crate) fn newest(&self) -> &Root {
        &self.newest
    }

    pub(crate) fn oldest(&self) -> &Root {
        self.older.first().unwrap_or(&self.newest)
    }

    pub(crate) fn active(&self) -> &Root {
        self.of(self.versions.active).unwrap_or(&self.newest)
    }

    pub(crate) fn of(&self, version: u32) -> Option<&Root> {
        self.all().find(|root| root.version() == version)
    }

    /// All of them, newest first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Root> {
        std::iter::once(&self.newest).chain(self.older.iter().rev())
    }

    /// The active one, then the others, newest first.
    pub(crate) fn most_likely_first(&self) -> impl Iterator<Item = &Root> {
        let active = self.versions.active;
        std::iter::once(self.active()).chain(self.all().filter(move |root| root.version() != active))
    }

    /// Copies of all keys, oldest first.
    pub(crate) fn duplicate_keys(&self) -> Vec<VersionedKey> {
        let copy = |root: &Root| VersionedKey { version: root.key.version, key: root.key.key.duplicate() };
        self.older.iter().map(copy).chain([copy(&self.newest)]).collect()
    }

    /// The root that sealed a record, by the version in its head.
    pub(crate) fn that_sealed(&self, content: Content, record: &[u8]) -> Result<&Root, VaultError> {
        let version = crate::sealed::key_version(record).ok_or_else(|| content.damaged("it is cut short"))?;
        let other =
            || VaultError::OtherKeyVersion { what: content.name(), sealed_under: version, at_hand: self.newest.version() };
        self.of(version).ok_or_else(other)
    }

    /// Whether this is the very key of its version.
    pub(crate) fn holds(&self, key: &VersionedKey) -> bool {
        self.of(key.version).is_some_and(|root| same(&root.key.key, &key.key))
    }
}

fn same(one: &Key, other: &Key) -> bool {
    mac::equal(one.expose(), other.expose())
}
