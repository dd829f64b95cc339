//! The open vault: holds the root key, makes workspace keys, and answers for every MAC.

use std::fmt;

use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{
    Kek, KekProvider, KeyRing, RecoveryKey, Slot, SlotKind, VaultError, WorkspaceKey,
    format::{FIRST_KEY_VERSION, Label},
    key::Key,
    mac::{self, MAC_LENGTH, MacKey},
    ring,
    sealed::{Content, Fresh, Sealer},
};

/// One instance's root key and what follows from it. Made once per process and shared by reference.
pub struct Vault {
    pub(crate) instance: Uuid,
    root: VersionedKey,
    ring_key: MacKey,
    row_key: MacKey,
    token_key: MacKey,
    audit_key: MacKey,
}

/// A root or workspace key with its version, which is what the plaintext of its record holds.
pub(crate) struct VersionedKey {
    pub(crate) version: u32,
    pub(crate) key: Key,
}

impl VersionedKey {
    fn first() -> Self {
        Self { version: FIRST_KEY_VERSION, key: Key::random() }
    }

    pub(crate) fn to_plain(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new([self.version.to_be_bytes().as_slice(), self.key.expose()].concat())
    }

    fn from_plain(plain: &[u8], content: Content) -> Result<Self, VaultError> {
        let wrong = || content.damaged("what it holds is no key");
        let (version, key) = plain.split_first_chunk().ok_or_else(wrong)?;
        Ok(Self { version: u32::from_be_bytes(*version), key: Key::copied(key).ok_or_else(wrong)? })
    }
}

impl Vault {
    /// A new root key, in a ring with two slots: the provider's and the recovery key's. Store the ring before anything is sealed.
    ///
    /// # Errors
    /// Those of the provider.
    pub fn create(instance: Uuid, provider: &dyn KekProvider) -> Result<(Self, KeyRing, RecoveryKey), VaultError> {
        let vault = Self::with_root(instance, VersionedKey::first());
        let recovery_key = RecoveryKey::generate();
        let ring = vault.ring_of(Vec::new());
        let ring = vault.rewrap(&ring, provider)?;
        let ring = vault.rewrap(&ring, &recovery_key)?;
        Ok((vault, ring, recovery_key))
    }

    /// Opens a stored ring with the slot of the provider's kind.
    ///
    /// # Errors
    /// `NoSlot` if the ring has no slot of that kind, `WrongKey` if the provider's key is another one, `Damaged` or `Refused`
    /// if the slot was changed, `RingRefused` if another part of the ring was.
    pub fn open(ring: &KeyRing, provider: &dyn KekProvider) -> Result<Self, VaultError> {
        let slot = ring.slot(provider.kind())?;
        let Kek(key) = provider.unlock(&slot.parameters)?;
        let sealer = Sealer { key: &key, version: 0, content: Content::RootKey };
        let plain = sealer.open(&[ring.instance.as_bytes(), &slot.place(), &slot.parameters], &slot.wrapped_root_key)?;
        let vault = Self::with_root(ring.instance, VersionedKey::from_plain(&plain, Content::RootKey)?);
        vault.check_ring(ring)?;
        Ok(vault)
    }

    pub(crate) fn with_root(instance: Uuid, root: VersionedKey) -> Self {
        let derived = |label| MacKey::derived(&root.key, label);
        Self {
            instance,
            ring_key: derived(Label::KeyRing),
            row_key: derived(Label::Row),
            token_key: derived(Label::Token),
            audit_key: derived(Label::Audit),
            root,
        }
    }

    /// The instance that this vault belongs to.
    pub fn instance(&self) -> Uuid {
        self.instance
    }

    /// The ring with a slot for this provider; it replaces the one of the same kind. The root key stays, so nothing else needs
    /// to be sealed again. The old ring, wherever a copy of it lies, keeps opening with the old key.
    ///
    /// # Errors
    /// `RingRefused` or `RingOfAnotherInstance` if the ring is not this vault's; those of the provider.
    pub fn rewrap(&self, ring: &KeyRing, provider: &dyn KekProvider) -> Result<KeyRing, VaultError> {
        let (kek, parameters) = provider.enroll()?;
        self.with_slot(ring, provider.kind(), (kek, parameters), &Fresh::random())
    }

    pub(crate) fn with_slot(
        &self,
        ring: &KeyRing,
        kind: SlotKind,
        (Kek(key), parameters): (Kek, Vec<u8>),
        fresh: &Fresh,
    ) -> Result<KeyRing, VaultError> {
        self.check_ring(ring)?;
        let mut slots = ring.slots.clone();
        let replaced = slots.iter().find(|slot| slot.kind == kind).map(|slot| slot.id);
        slots.retain(|slot| slot.kind != kind);
        let free = || (1..=u8::MAX).find(|id| slots.iter().all(|slot| slot.id != *id));
        let id = replaced.or_else(free).expect("a ring has one slot of each kind at most, far fewer than 255");
        let mut slot = Slot { id, kind, parameters, wrapped_root_key: Vec::new() };
        let sealer = Sealer { key: &key, version: 0, content: Content::RootKey };
        slot.wrapped_root_key =
            sealer.seal(&[self.instance.as_bytes(), &slot.place(), &slot.parameters], self.root.to_plain(), fresh)?;
        slots.push(slot);
        slots.sort_by_key(|slot| slot.id);
        Ok(self.ring_of(slots))
    }

    pub(crate) fn ring_of(&self, slots: Vec<Slot>) -> KeyRing {
        let mac = self.ring_key.of(&ring::authenticated(self.instance, &slots));
        KeyRing { instance: self.instance, slots, mac }
    }

    fn check_ring(&self, ring: &KeyRing) -> Result<(), VaultError> {
        if ring.instance != self.instance {
            return Err(VaultError::RingOfAnotherInstance);
        }
        let mac = self.ring_key.of(&ring::authenticated(ring.instance, &ring.slots));
        mac::equal(&mac, &ring.mac).then_some(()).ok_or(VaultError::RingRefused)
    }

    /// A new key for a workspace, sealed for storage. To destroy it is to destroy every secret of the workspace.
    ///
    /// # Errors
    /// `Library` alone.
    pub fn create_workspace_key(&self, workspace: Uuid) -> Result<Vec<u8>, VaultError> {
        self.seal_workspace_key(workspace, &VersionedKey::first(), &Fresh::random())
    }

    pub(crate) fn seal_workspace_key(&self, workspace: Uuid, key: &VersionedKey, fresh: &Fresh) -> Result<Vec<u8>, VaultError> {
        self.workspace_sealer().seal(&[self.instance.as_bytes(), workspace.as_bytes()], key.to_plain(), fresh)
    }

    /// Opens a workspace's stored key. Keep the result: it is what opens fields.
    ///
    /// # Errors
    /// `Refused` if it is another workspace's, `WrongKey` if another root key sealed it, `Damaged`, `UnknownFormat`,
    /// `OtherKeyVersion`.
    pub fn open_workspace_key(&self, workspace: Uuid, sealed: &[u8]) -> Result<WorkspaceKey, VaultError> {
        let plain = self.workspace_sealer().open(&[self.instance.as_bytes(), workspace.as_bytes()], sealed)?;
        let key = VersionedKey::from_plain(&plain, Content::WorkspaceKey)?;
        Ok(WorkspaceKey::new(self.instance, workspace, key))
    }

    fn workspace_sealer(&self) -> Sealer<'_> {
        Sealer { key: &self.root.key, version: self.root.version, content: Content::WorkspaceKey }
    }

    /// The MAC of a row that grants or directs: table and values, in an order that the caller keeps for ever.
    #[must_use]
    pub fn row_mac(&self, table: &str, parts: &[&[u8]]) -> [u8; MAC_LENGTH] {
        self.row_key.of_parts(std::iter::once(table.as_bytes()).chain(parts.iter().copied()))
    }

    /// # Errors
    /// `RowRefused` if the row is not the one that the MAC was made for.
    pub fn verify_row_mac(&self, table: &str, parts: &[&[u8]], stored: &[u8]) -> Result<(), VaultError> {
        let matches = mac::equal(&self.row_mac(table, parts), stored);
        matches.then_some(()).ok_or_else(|| VaultError::RowRefused { table: table.to_owned() })
    }

    /// What is stored of a token, and looked up. Check its shape with
    /// [`token::parse`](crate::token::parse) first: what is not a token needs no look-up.
    #[must_use]
    pub fn token_hash(&self, token: &str) -> [u8; MAC_LENGTH] {
        self.token_key.of(token.as_bytes())
    }

    /// The MAC of one audit event.
    #[must_use]
    pub fn audit_mac(&self, event: &[u8]) -> [u8; MAC_LENGTH] {
        self.audit_key.of(event)
    }

    /// Whether that is the MAC of this event.
    #[must_use]
    pub fn audit_mac_holds(&self, event: &[u8], stored: &[u8]) -> bool {
        mac::equal(&self.audit_mac(event), stored)
    }

    /// The link of a chain of events: it stands for this one and, by the link before, for all that went before.
    #[must_use]
    pub fn audit_link(&self, before: &[u8; MAC_LENGTH], event: &[u8]) -> [u8; MAC_LENGTH] {
        self.audit_key.of_parts([b"link".as_slice(), before, event])
    }

    /// Whether that is the link of this event after the link `before`.
    #[must_use]
    pub fn audit_link_holds(&self, before: &[u8; MAC_LENGTH], event: &[u8], stored: &[u8]) -> bool {
        mac::equal(&self.audit_link(before, event), stored)
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Vault").field("instance", &self.instance).finish_non_exhaustive()
    }
}
