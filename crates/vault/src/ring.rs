//! The key ring as it is stored: the root key, sealed once for each way to open it. [`Vault`](crate::Vault) makes and opens it.

use std::{collections::BTreeSet, fmt};

use uuid::Uuid;

use crate::{
    VaultError,
    format::{self, FORMAT, RING_MAGIC, Reader, SLOTS_MAX},
    key,
    mac::MAC_LENGTH,
};

const RING: &str = "the key ring";
const SUM_LENGTH: usize = 4;

// A ring has at most one slot of each kind, so all kinds must fit; a fourth needs a new format.
const _: () = assert!(SlotKind::ALL.len() <= SLOTS_MAX);

/// What opens a slot. A ring has at most one slot of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SlotKind {
    KeyFile,
    Passphrase,
    RecoveryKey,
}

impl SlotKind {
    const ALL: [Self; 3] = [Self::KeyFile, Self::Passphrase, Self::RecoveryKey];

    pub(crate) fn byte(self) -> u8 {
        match self {
            Self::KeyFile => 1,
            Self::Passphrase => 2,
            Self::RecoveryKey => 3,
        }
    }
}

impl fmt::Display for SlotKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::KeyFile => "key file",
            Self::Passphrase => "passphrase",
            Self::RecoveryKey => "recovery key",
        })
    }
}

/// One way to open the ring. Everything in it is public or sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    pub(crate) id: u8,
    pub(crate) kind: SlotKind,
    /// What the provider needs to find its key again; for a passphrase salt and cost.
    pub(crate) parameters: Vec<u8>,
    pub(crate) wrapped_root_key: Vec<u8>,
}

impl Slot {
    pub fn id(&self) -> u8 {
        self.id
    }

    pub fn kind(&self) -> SlotKind {
        self.kind
    }

    /// What ties the sealed root key to this slot.
    pub(crate) fn place(&self) -> [u8; 2] {
        [self.id, self.kind.byte()]
    }
}

/// The stored record of all slots. It holds no clear key; whoever can write it can destroy it, but not open or forge it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRing {
    pub(crate) instance: Uuid,
    pub(crate) slots: Vec<Slot>,
    pub(crate) mac: [u8; MAC_LENGTH],
}

impl KeyRing {
    /// The instance that the ring belongs to.
    pub fn instance(&self) -> Uuid {
        self.instance
    }

    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    pub(crate) fn slot(&self, kind: SlotKind) -> Result<&Slot, VaultError> {
        self.slots.iter().find(|slot| slot.kind == kind).ok_or_else(|| {
            let present: Vec<_> = self.slots.iter().map(|slot| slot.kind.to_string()).collect();
            VaultError::NoSlot { wanted: kind, present: present.join(" or ") }
        })
    }

    /// The bytes to store.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = authenticated(self.instance, &self.slots);
        bytes.extend_from_slice(&self.mac);
        let sum: [u8; SUM_LENGTH] = key::sum(&bytes);
        bytes.extend_from_slice(&sum);
        bytes
    }

    /// Reads what [`KeyRing::to_bytes`] wrote. The MAC is checked when the ring is opened; until then nothing here is proven.
    ///
    /// # Errors
    /// `Damaged` for bytes that are not whole, `UnknownFormat` for those of a newer version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, VaultError> {
        let damaged = |problem| VaultError::Damaged { what: RING, problem };
        let (content, sum) = bytes.split_last_chunk::<SUM_LENGTH>().ok_or_else(|| damaged("it is cut short"))?;
        let content = content.strip_prefix(RING_MAGIC).ok_or_else(|| damaged("it is something else"))?;
        if key::sum(&[RING_MAGIC, content].concat()) != *sum {
            return Err(damaged("its checksum does not match"));
        }
        let mut reader = Reader::new(content);
        match reader.byte() {
            Some(FORMAT) => {}
            found => return Err(VaultError::UnknownFormat { what: RING, found: found.unwrap_or_default() }),
        }
        let incomplete = || damaged("it is incomplete");
        let instance = Uuid::from_bytes(*reader.take().ok_or_else(incomplete)?);
        let count = reader.byte().ok_or_else(incomplete)?;
        let slots = (0..count).map(|_| read_slot(&mut reader)).collect::<Result<Vec<_>, _>>()?;
        let mac = *reader.take().ok_or_else(incomplete)?;
        let ring = Self { instance, slots, mac };
        let ids: BTreeSet<_> = ring.slots.iter().map(|slot| slot.id).collect();
        let kinds: BTreeSet<_> = ring.slots.iter().map(|slot| slot.kind).collect();
        let count = ring.slots.len();
        if !reader.rest().is_empty() || !(1..=SLOTS_MAX).contains(&count) || ids.len() != count || kinds.len() != count {
            return Err(damaged("its slots are not as they must be"));
        }
        Ok(ring)
    }
}

fn read_slot(reader: &mut Reader<'_>) -> Result<Slot, VaultError> {
    let incomplete = || VaultError::Damaged { what: RING, problem: "a slot is incomplete" };
    let id = reader.byte().ok_or_else(incomplete)?;
    let kind = reader.byte().ok_or_else(incomplete)?;
    let kind = SlotKind::ALL
        .into_iter()
        .find(|known| known.byte() == kind)
        .ok_or(VaultError::UnknownFormat { what: "a slot of the key ring", found: kind })?;
    let parameters = reader.part().ok_or_else(incomplete)?.to_vec();
    let wrapped_root_key = reader.part().ok_or_else(incomplete)?.to_vec();
    Ok(Slot { id, kind, parameters, wrapped_root_key })
}

/// The bytes that the ring's MAC covers.
pub(crate) fn authenticated(instance: Uuid, slots: &[Slot]) -> Vec<u8> {
    let count = u8::try_from(slots.len()).expect("a ring has at most three slots");
    let mut bytes = [RING_MAGIC.as_slice(), &[FORMAT], instance.as_bytes(), &[count]].concat();
    for slot in slots {
        bytes.extend_from_slice(&slot.place());
        bytes.extend_from_slice(&format::frame(&[&slot.parameters, &slot.wrapped_root_key]));
    }
    bytes
}
