//! Slots and root keys of a ring: opened, added, removed, and given another root key.

use zeroize::Zeroizing;

use crate::{
    Kek, KekProvider, KeyRing, RootVersions, Slot, SlotKind, Vault, VaultError,
    agreement::{KeyPair, PublicKey},
    format::SLOTS_MAX,
    key::Key,
    mac::MAC_LENGTH,
    ring::{self, Agreement, RingRoots},
    roots::{Root, Roots},
    sealed::{Content, Fresh, Sealer},
    vault::VersionedKey,
};

impl Roots {
    pub(crate) fn ring_mac(&self, ring: &KeyRing) -> [u8; MAC_LENGTH] {
        self.newest().ring_key.of(&ring::authenticated(ring.instance, ring.roots.as_ref(), &ring.slots))
    }

    /// The ring with its MAC; call it last.
    pub(crate) fn authenticate(&self, mut ring: KeyRing) -> KeyRing {
        ring.mac = self.ring_mac(&ring);
        ring
    }
}

impl KeyRing {
    /// The newest root key, out of one slot.
    pub(crate) fn open_slot(&self, slot: &Slot, Kek(kek): &Kek) -> Result<VersionedKey, VaultError> {
        let (instance, place) = (self.instance.as_bytes().as_slice(), slot.place());
        let plain = match &slot.agreement {
            None => seals_root(kek).open(&[instance, &place, &slot.parameters], &slot.wrapped_root_key)?,
            Some(agreement) => {
                let pair = KeyPair::of(kek)?;
                let parts = [instance, &place, &slot.parameters, &agreement.made_for_it, &pair.public];
                seals_root(&pair.shared_with(&agreement.made_for_it)?).open(&parts, &slot.wrapped_root_key)?
            }
        };
        VersionedKey::from_plain(&plain, Content::RootKey)
    }

    /// All root keys, by the newest.
    pub(crate) fn open_roots(&self, newest: VersionedKey) -> Result<Roots, VaultError> {
        let Some(RingRoots { versions, older }) = &self.roots else { return Ok(Roots::only(newest)) };
        let sealer = Sealer { key: &newest.key, version: newest.version, content: Content::OlderRoot };
        let open =
            |record: &Vec<u8>| VersionedKey::from_plain(&sealer.open(&[self.instance.as_bytes()], record)?, Content::OlderRoot);
        let older = older.iter().map(open).collect::<Result<_, VaultError>>()?;
        Roots::new(*versions, newest, older).ok_or(VaultError::RingRefused)
    }

    fn with_versions(&self, versions: RootVersions) -> Self {
        let older = self.roots.as_ref().map(|roots| roots.older.clone()).unwrap_or_default();
        Self { roots: Some(RingRoots { versions, older }), ..self.clone() }
    }
}

impl Vault {
    /// The ring with one more slot. It may have several of one kind: so a key file gives way to another with no moment without.
    ///
    /// # Errors
    /// `RingFull`; `RingRefused` if the ring is not this vault's; those of the provider.
    pub fn add_slot(&self, ring: &KeyRing, provider: &dyn KekProvider) -> Result<KeyRing, VaultError> {
        self.add_enrolled(ring, provider.kind(), provider.enroll()?)
    }

    /// The same with what [`KekProvider::enroll`] gave, which may take its time.
    ///
    /// # Errors
    /// `RingFull`; `RingRefused` if the ring is not this vault's.
    pub fn add_enrolled(&self, ring: &KeyRing, kind: SlotKind, enrolled: (Kek, Vec<u8>)) -> Result<KeyRing, VaultError> {
        self.check_ring(ring)?;
        self.with_new_slot(ring, (None, kind), enrolled)
    }

    /// The ring without a slot.
    ///
    /// # Errors
    /// `NoSuchSlot`; `LastSlot` if none but a recovery key's would be left; `RecoverySlot` for the recovery key's own, which is only ever
    /// replaced; `RingRefused` if the ring is not this vault's.
    pub fn remove_slot(&self, ring: &KeyRing, id: u8) -> Result<KeyRing, VaultError> {
        self.check_ring(ring)?;
        let slot = ring.slots.iter().find(|slot| slot.id == id).ok_or(VaultError::NoSuchSlot { id })?;
        if slot.kind == SlotKind::RecoveryKey {
            return Err(VaultError::RecoverySlot);
        }
        let mut left = self.upgraded(ring)?;
        left.slots.retain(|slot| slot.id != id);
        if left.slots.iter().all(|slot| slot.kind == SlotKind::RecoveryKey) {
            return Err(VaultError::LastSlot);
        }
        Ok(self.roots().authenticate(left))
    }

    /// The ring with a new root key, which every slot holds and nothing is sealed under yet.
    ///
    /// # Errors
    /// `SlotCannotRotate` if a slot is of the time before rotation, `RingRefused` if the ring is not this vault's.
    pub fn begin_rotation(&self, ring: &KeyRing) -> Result<KeyRing, VaultError> {
        self.check_ring(ring)?;
        let ring = self.upgraded(ring)?;
        let versions = self.root_versions();
        let root = VersionedKey { version: versions.newest.saturating_add(1), key: Key::random() };
        let versions = RootVersions { newest: root.version, ..versions };
        let older = self.roots().duplicate_keys();
        let sealer = Sealer { key: &root.key, version: root.version, content: Content::OlderRoot };
        let seal = |key: &VersionedKey| sealer.seal(&[self.instance.as_bytes()], key.to_plain(), &Fresh::random());
        let older_records = older.iter().map(seal).collect::<Result<_, _>>()?;
        let slots = ring.slots.iter().map(|slot| self.with_root_in(slot, &root)).collect::<Result<_, _>>()?;
        let next = KeyRing {
            instance: self.instance,
            roots: Some(RingRoots { versions, older: older_records }),
            slots,
            mac: [0; MAC_LENGTH],
        };
        let roots = Roots::new(versions, root, older).ok_or(VaultError::RingRefused)?;
        Ok(roots.authenticate(next))
    }

    /// The ring whose newest root key is the one that seals.
    ///
    /// # Errors
    /// `RingRefused` if the ring is not this vault's.
    pub fn activate_root(&self, ring: &KeyRing) -> Result<KeyRing, VaultError> {
        self.check_ring(ring)?;
        let versions = self.root_versions();
        Ok(self.roots().authenticate(ring.with_versions(RootVersions { active: versions.newest, ..versions })))
    }

    /// The ring under which row MACs of older root keys no longer hold. Only once no row has one.
    ///
    /// # Errors
    /// `RingRefused` if the ring is not this vault's.
    pub fn end_older_rows(&self, ring: &KeyRing) -> Result<KeyRing, VaultError> {
        self.check_ring(ring)?;
        let versions = self.root_versions();
        Ok(self.roots().authenticate(ring.with_versions(RootVersions { rows_from: versions.active, ..versions })))
    }

    pub(crate) fn with_new_slot(
        &self,
        ring: &KeyRing,
        (id, kind): (Option<u8>, SlotKind),
        (Kek(kek), parameters): (Kek, Vec<u8>),
    ) -> Result<KeyRing, VaultError> {
        if ring.slots.len() >= SLOTS_MAX {
            return Err(VaultError::RingFull { most: SLOTS_MAX });
        }
        let mut ring = self.upgraded(ring)?;
        let free = || (1..=u8::MAX).find(|id| ring.slots.iter().all(|slot| slot.id != *id));
        let id = id.or_else(free).expect("a ring has at most sixteen slots, and 255 ids");
        let bare = Slot { id, kind, parameters, wrapped_root_key: Vec::new(), agreement: None };
        let slot = self.slot_holding(bare, &KeyPair::of(&kek)?.public, self.roots().newest())?;
        ring.slots.push(slot);
        ring.slots.sort_by_key(|slot| slot.id);
        Ok(self.roots().authenticate(ring))
    }

    /// A ring of format 2, in which this vault's own slot can rotate. Its MAC is not made yet.
    fn upgraded(&self, ring: &KeyRing) -> Result<KeyRing, VaultError> {
        let ring = ring.with_versions(self.root_versions());
        let Some(opener) = &self.opener else { return Ok(ring) };
        let upgrade = |slot: &Slot| {
            let is_own = slot.id == opener.slot && slot.agreement.is_none() && ring.open_slot(slot, &opener.kek).is_ok();
            if !is_own {
                return Ok(slot.clone());
            }
            self.slot_holding(slot.clone(), &KeyPair::of(&opener.kek.0)?.public, self.roots().newest())
        };
        let slots = ring.slots.iter().map(upgrade).collect::<Result<_, VaultError>>()?;
        Ok(KeyRing { slots, ..ring })
    }

    /// A slot that holds another root key than before.
    fn with_root_in(&self, slot: &Slot, root: &VersionedKey) -> Result<Slot, VaultError> {
        let cannot = || VaultError::SlotCannotRotate { id: slot.id, kind: slot.kind };
        let agreement = slot.agreement.as_ref().ok_or_else(cannot)?;
        let parts = [self.instance.as_bytes().as_slice(), &slot.place(), &slot.parameters];
        let public = self.roots().newest().sealer(Content::SlotKey).open(&parts, &agreement.sealed_key)?;
        let public: &PublicKey = public.as_slice().try_into().map_err(|_| Content::SlotKey.damaged("it is no key"))?;
        let root = Root::new(VersionedKey { version: root.version, key: root.key.duplicate() });
        self.slot_holding(slot.clone(), public, &root)
    }

    fn slot_holding(&self, slot: Slot, public: &PublicKey, root: &Root) -> Result<Slot, VaultError> {
        let (instance, place) = (self.instance.as_bytes().as_slice(), slot.place());
        let pair = KeyPair::random()?;
        let parts = [instance, &place, &slot.parameters, &pair.public, public];
        let wrapped_root_key = seals_root(&pair.shared_with(public)?).seal(&parts, root.key.to_plain(), &Fresh::random())?;
        let sealed_key = root.sealer(Content::SlotKey).seal(
            &[instance, &place, &slot.parameters],
            Zeroizing::new(public.to_vec()),
            &Fresh::random(),
        )?;
        Ok(Slot { wrapped_root_key, agreement: Some(Agreement { made_for_it: pair.public, sealed_key }), ..slot })
    }
}

/// A key in its role of sealing the root key in a slot.
fn seals_root(key: &Key) -> Sealer<'_> {
    Sealer { key, version: 0, content: Content::RootKey }
}
