//! The open vault: holds the root keys, makes workspace keys, and answers for every MAC.

use std::{
    fmt,
    sync::{PoisonError, RwLock, RwLockReadGuard},
};

use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{
    Kek, KekProvider, KeyRing, RecoveryKey, RootVersions, SlotKind, VaultError,
    format::FIRST_KEY_VERSION,
    key::Key,
    mac::{self, MAC_LENGTH},
    ring::RingRoots,
    roots::Roots,
    sealed::Content,
};

/// One instance's root keys and what follows from them. Made once per process and shared by reference.
pub struct Vault {
    pub(crate) instance: Uuid,
    roots: RwLock<Roots>,
    /// The slot that it was opened with: it opens later rings, too.
    pub(crate) opener: Option<Opener>,
}

pub(crate) struct Opener {
    pub(crate) slot: u8,
    pub(crate) kek: Kek,
}

/// A root or workspace key with its version, which is what the plaintext of its record holds.
pub(crate) struct VersionedKey {
    pub(crate) version: u32,
    pub(crate) key: Key,
}

impl VersionedKey {
    pub(crate) fn first() -> Self {
        Self { version: FIRST_KEY_VERSION, key: Key::random() }
    }

    pub(crate) fn to_plain(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new([self.version.to_be_bytes().as_slice(), self.key.expose()].concat())
    }

    pub(crate) fn from_plain(plain: &[u8], content: Content) -> Result<Self, VaultError> {
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
        let mut vault = Self::with_root(instance, VersionedKey::first());
        let recovery_key = RecoveryKey::generate();
        let (kek, parameters) = provider.enroll()?;
        let copy = Kek(kek.0.duplicate());
        let ring = vault.with_slot(&vault.ring_of(Vec::new()), provider.kind(), (kek, parameters))?;
        let ring = vault.rewrap(&ring, &recovery_key)?;
        vault.opener = ring.slots.first().map(|slot| Opener { slot: slot.id, kek: copy });
        Ok((vault, ring, recovery_key))
    }

    /// Opens a stored ring with a slot of the provider's kind.
    ///
    /// # Errors
    /// `NoSlot` if the ring has no slot of that kind, `WrongKey` if the provider's key is another one, `Damaged` or `Refused`
    /// if the slot was changed, `RingRefused` if another part of the ring was.
    pub fn open(ring: &KeyRing, provider: &dyn KekProvider) -> Result<Self, VaultError> {
        let mut failed = None;
        for slot in ring.slots_of(provider.kind())? {
            let unlocked =
                provider.unlock(&slot.parameters).and_then(|kek| ring.open_slot(slot, &kek).map(|newest| (kek, newest)));
            match unlocked {
                Ok((kek, newest)) => {
                    let roots = ring.open_roots(newest)?;
                    check_mac(&roots, ring)?;
                    let opener = Some(Opener { slot: slot.id, kek });
                    return Ok(Self { instance: ring.instance, roots: RwLock::new(roots), opener });
                }
                // Of many, what is damaged says more than what is somebody else's.
                Err(error @ VaultError::WrongKey { .. }) => failed = failed.or(Some(error)),
                Err(error) => failed = Some(error),
            }
        }
        Err(failed.unwrap_or(VaultError::RingRefused))
    }

    pub(crate) fn with_root(instance: Uuid, root: VersionedKey) -> Self {
        Self { instance, roots: RwLock::new(Roots::only(root)), opener: None }
    }

    /// The instance that this vault belongs to.
    pub fn instance(&self) -> Uuid {
        self.instance
    }

    /// The versions of the root key that this vault knows.
    pub fn root_versions(&self) -> RootVersions {
        self.roots().versions
    }

    /// The id of the slot that it was opened with.
    pub fn opened_with(&self) -> Option<u8> {
        self.opener.as_ref().map(|opener| opener.slot)
    }

    /// Never taken twice at a time by one thread: a writer that waits between the two would wait for ever.
    pub(crate) fn roots(&self) -> RwLockReadGuard<'_, Roots> {
        self.roots.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the root keys of a ring that was stored since this vault was opened, by whichever node.
    ///
    /// # Errors
    /// `RingRefused` if the ring is older than what this vault knows, was changed, or does not continue this vault's keys; `NoSlot` if
    /// it has a new root key and no longer the slot that this vault was opened with; those of opening a slot.
    pub fn adopt(&self, ring: &KeyRing) -> Result<(), VaultError> {
        if ring.instance != self.instance {
            return Err(VaultError::RingOfAnotherInstance);
        }
        let known = self.root_versions();
        let stored = ring.roots.as_ref().map_or(known, |roots| roots.versions);
        if stored.newest == known.newest {
            self.check_ring(ring)?;
            if stored.active < known.active || stored.rows_from < known.rows_from {
                return Err(VaultError::RingRefused);
            }
            self.roots.write().unwrap_or_else(PoisonError::into_inner).take_roles(stored);
            return Ok(());
        }
        let opener = self.opener.as_ref().filter(|_| stored.newest > known.newest).ok_or(VaultError::RingRefused)?;
        let slot = ring.slots.iter().find(|slot| slot.id == opener.slot).ok_or(VaultError::SlotGone { id: opener.slot })?;
        let roots = ring.open_roots(ring.open_slot(slot, &opener.kek)?)?;
        check_mac(&roots, ring)?;
        if !self.roots().duplicate_keys().iter().all(|key| roots.holds(key)) {
            return Err(VaultError::RingRefused);
        }
        *self.roots.write().unwrap_or_else(PoisonError::into_inner) = roots;
        Ok(())
    }

    /// The ring with a slot for this provider; it replaces those of the same kind. The root key stays, so nothing else needs
    /// to be sealed again. The old ring, wherever a copy of it lies, keeps opening with the old key.
    ///
    /// # Errors
    /// `RingRefused` or `RingOfAnotherInstance` if the ring is not this vault's; those of the provider.
    pub fn rewrap(&self, ring: &KeyRing, provider: &dyn KekProvider) -> Result<KeyRing, VaultError> {
        self.with_slot(ring, provider.kind(), provider.enroll()?)
    }

    fn with_slot(&self, ring: &KeyRing, kind: SlotKind, enrolled: (Kek, Vec<u8>)) -> Result<KeyRing, VaultError> {
        self.check_ring(ring)?;
        let mut others = ring.clone();
        others.slots.retain(|slot| slot.kind != kind);
        let replaced = ring.slots.iter().find(|slot| slot.kind == kind).map(|slot| slot.id);
        self.with_new_slot(&others, (replaced, kind), enrolled)
    }

    /// A ring of this vault's one root key; a vault of more has another way.
    pub(crate) fn ring_of(&self, slots: Vec<crate::Slot>) -> KeyRing {
        let roots = RingRoots { versions: self.root_versions(), older: Vec::new() };
        self.roots().authenticate(KeyRing { instance: self.instance, roots: Some(roots), slots, mac: [0; MAC_LENGTH] })
    }

    pub(crate) fn check_ring(&self, ring: &KeyRing) -> Result<(), VaultError> {
        if ring.instance != self.instance {
            return Err(VaultError::RingOfAnotherInstance);
        }
        check_mac(&self.roots(), ring)
    }

    /// The MAC of a row that grants or directs: table and values, in an order that the caller keeps for ever.
    #[must_use]
    pub fn row_mac(&self, table: &str, parts: &[&[u8]]) -> Vec<u8> {
        let roots = self.roots();
        let root = roots.active();
        let mac = root.row_key.of_parts(row_parts(table, parts));
        if root.version() == roots.oldest().version() {
            return mac.to_vec();
        }
        [root.version().to_be_bytes().as_slice(), &mac].concat()
    }

    /// # Errors
    /// `RowRefused` if the row is not the one that the MAC was made for, or the MAC is of a root key whose row MACs no longer hold;
    /// `OtherKeyVersion` if it is of one that this vault does not know.
    pub fn verify_row_mac(&self, table: &str, parts: &[&[u8]], stored: &[u8]) -> Result<(), VaultError> {
        let refused = || VaultError::RowRefused { table: table.to_owned() };
        let roots = self.roots();
        let (version, mac) = match row_mac_version(stored) {
            Some(version) => (version, stored.get(VERSION_LENGTH..).unwrap_or_default()),
            None => (roots.oldest().version(), stored),
        };
        let root = roots.of(version).ok_or_else(|| VaultError::OtherKeyVersion {
            what: "a row",
            sealed_under: version,
            at_hand: roots.newest().version(),
        })?;
        let holds = version >= roots.versions.rows_from && mac::equal(&root.row_key.of_parts(row_parts(table, parts)), mac);
        holds.then_some(()).ok_or_else(refused)
    }

    /// Whether that is the [`row_mark`] of a row with these parts, under the root key of whichever time. One of a root key that this vault
    /// does not know yet tells nothing against the row.
    #[must_use]
    pub fn row_mark_holds(&self, table: &str, parts: &[&[u8]], mark: &[u8]) -> bool {
        let roots = self.roots();
        let (version, begin) = match mark.split_at_checked(mark.len().saturating_sub(MARK_LENGTH)) {
            Some((version, begin)) if !version.is_empty() => {
                (version.try_into().map(u32::from_be_bytes).unwrap_or_default(), begin)
            }
            _ => (roots.oldest().version(), mark),
        };
        let Some(root) = roots.of(version) else { return true };
        let mac = root.row_key.of_parts(row_parts(table, parts));
        begin.len() == MARK_LENGTH && mac.get(..MARK_LENGTH).is_some_and(|own| mac::equal(own, begin))
    }

    /// A keyed hash under which something is found again for as long as the ring lasts, whatever is rotated. It grants nothing.
    #[must_use]
    pub fn lookup_hash(&self, table: &str, parts: &[&[u8]]) -> [u8; MAC_LENGTH] {
        self.roots().oldest().row_key.of_parts(row_parts(table, parts))
    }

    /// What is stored of a new token. Check its shape with [`token::parse`](crate::token::parse) first: what is not a token needs no
    /// look-up. One of before a rotation is stored under another hash: see [`Vault::token_hashes`].
    #[must_use]
    pub fn token_hash(&self, token: &str) -> [u8; MAC_LENGTH] {
        self.roots().active().token_key.of(token.as_bytes())
    }

    /// All hashes that a token may be stored under, the likeliest first: the one of [`Vault::token_hash`].
    #[must_use]
    pub fn token_hashes(&self, token: &str) -> Vec<[u8; MAC_LENGTH]> {
        self.roots().most_likely_first().map(|root| root.token_key.of(token.as_bytes())).collect()
    }

    /// The MAC of one audit event.
    #[must_use]
    pub fn audit_mac(&self, event: &[u8]) -> [u8; MAC_LENGTH] {
        self.roots().active().audit_key.of(event)
    }

    /// Whether that is the MAC of this event, under the root key of whichever time.
    #[must_use]
    pub fn audit_mac_holds(&self, event: &[u8], stored: &[u8]) -> bool {
        self.roots().most_likely_first().any(|root| mac::equal(&root.audit_key.of(event), stored))
    }

    /// The link of a chain of events: it stands for this one and, by the link before, for all that went before.
    #[must_use]
    pub fn audit_link(&self, before: &[u8; MAC_LENGTH], event: &[u8]) -> [u8; MAC_LENGTH] {
        self.roots().active().audit_key.of_parts([b"link".as_slice(), before, event])
    }

    /// Whether that is the link of this event after the link `before`, under the root key of whichever time.
    #[must_use]
    pub fn audit_link_holds(&self, before: &[u8; MAC_LENGTH], event: &[u8], stored: &[u8]) -> bool {
        let parts = [b"link".as_slice(), before, event];
        self.roots().most_likely_first().any(|root| mac::equal(&root.audit_key.of_parts(parts), stored))
    }
}

const VERSION_LENGTH: usize = 4;
/// Bytes of a row's MAC that tell it from every other.
const MARK_LENGTH: usize = 16;

/// The beginning of a row's MAC, which an audit event keeps of the row that it left.
#[must_use]
pub fn row_mark(mac: &[u8]) -> &[u8] {
    let version = if mac.len() == VERSION_LENGTH + MAC_LENGTH { VERSION_LENGTH } else { 0 };
    mac.get(..version + MARK_LENGTH).unwrap_or(mac)
}

/// The version of the root key that a row's MAC names; `None` for the oldest one's, which name none.
#[must_use]
pub fn row_mac_version(mac: &[u8]) -> Option<u32> {
    let version = mac.first_chunk::<VERSION_LENGTH>()?;
    (mac.len() == VERSION_LENGTH + MAC_LENGTH).then(|| u32::from_be_bytes(*version))
}

fn row_parts<'p>(table: &'p str, parts: &'p [&'p [u8]]) -> impl Iterator<Item = &'p [u8]> {
    std::iter::once(table.as_bytes()).chain(parts.iter().copied())
}

/// The ring's MAC is under the newest root key.
fn check_mac(roots: &Roots, ring: &KeyRing) -> Result<(), VaultError> {
    let mac = roots.ring_mac(ring);
    mac::equal(&mac, &ring.mac).then_some(()).ok_or(VaultError::RingRefused)
}

impl fmt::Debug for Vault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Vault").field("instance", &self.instance).finish_non_exhaustive()
    }
}
