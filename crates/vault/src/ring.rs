//! The key ring as it is stored: the newest root key, sealed once for each way to open it, and the older ones under it.
//! [`Vault`](crate::Vault) makes and opens it.

use std::{collections::BTreeSet, fmt};

use uuid::Uuid;

use crate::{
    VaultError,
    agreement::{self, PublicKey},
    format::{self, FORMAT, RING_FORMAT, RING_MAGIC, Reader, SLOTS_MAX, SLOTS_MAX_1},
    key,
    mac::MAC_LENGTH,
};

const RING: &str = "the key ring";
const SUM_LENGTH: usize = 4;
/// Rotated every day, a ring comes so far in 40 years; who can write the store shall not fill the memory at a start.
const OLDER_MAX: u32 = 16_384;
const FORM_KEK: u8 = 1;
const FORM_AGREEMENT: u8 = 2;

/// What opens a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SlotKind {
    KeyFile,
    Passphrase,
    RecoveryKey,
    /// A key of a key service, Vault's or OpenBao's Transit, which never leaves it.
    Transit,
}

impl SlotKind {
    const ALL: [Self; 4] = [Self::KeyFile, Self::Passphrase, Self::RecoveryKey, Self::Transit];

    pub(crate) fn byte(self) -> u8 {
        match self {
            Self::KeyFile => 1,
            Self::Passphrase => 2,
            Self::RecoveryKey => 3,
            Self::Transit => 4,
        }
    }
}

impl fmt::Display for SlotKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::KeyFile => "key file",
            Self::Passphrase => "passphrase",
            Self::RecoveryKey => "recovery key",
            Self::Transit => "Transit key",
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
    /// Absent in slots of format 1, which a rotation cannot give another root key.
    pub(crate) agreement: Option<Agreement>,
}

/// How a slot takes a root key without its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Agreement {
    pub(crate) made_for_it: PublicKey,
    pub(crate) sealed_key: Vec<u8>,
}

impl Slot {
    pub fn id(&self) -> u8 {
        self.id
    }

    pub fn kind(&self) -> SlotKind {
        self.kind
    }

    /// Whether a rotation can give it the new root key. Those that were made before there was rotation have to be made anew first.
    pub fn can_rotate(&self) -> bool {
        self.agreement.is_some()
    }

    /// What ties the sealed root key to this slot.
    pub(crate) fn place(&self) -> [u8; 2] {
        [self.id, self.kind.byte()]
    }
}

/// Which versions of the root key there are, and what they are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RootVersions {
    /// The one that the slots hold; pending until it is the active one.
    pub newest: u32,
    /// Seals, and makes MACs.
    pub active: u32,
    /// The oldest whose row MACs hold.
    pub rows_from: u32,
}

impl RootVersions {
    /// Of a key that is the only one.
    pub(crate) fn only(version: u32) -> Self {
        Self { newest: version, active: version, rows_from: version }
    }

    /// Whether a rotation was begun and has not ended.
    #[must_use]
    pub fn is_rotating(&self) -> bool {
        self.rows_from < self.newest
    }
}

/// The root keys of a ring of format 2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RingRoots {
    pub(crate) versions: RootVersions,
    pub(crate) older: Vec<Vec<u8>>,
}

/// The stored record of all slots. It holds no clear key; whoever can write it can destroy it, but not open or forge it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRing {
    pub(crate) instance: Uuid,
    /// Absent in format 1.
    pub(crate) roots: Option<RingRoots>,
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

    /// The slots of a kind; none is an error that says what there is.
    pub(crate) fn slots_of(&self, kind: SlotKind) -> Result<Vec<&Slot>, VaultError> {
        let slots: Vec<_> = self.slots.iter().filter(|slot| slot.kind == kind).collect();
        if slots.is_empty() {
            let present: BTreeSet<_> = self.slots.iter().map(|slot| slot.kind).collect();
            let present: Vec<_> = present.iter().map(ToString::to_string).collect();
            return Err(VaultError::NoSlot { wanted: kind, present: present.join(" or ") });
        }
        Ok(slots)
    }

    /// The bytes to store.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = authenticated(self.instance, self.roots.as_ref(), &self.slots);
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
        let format = match reader.byte() {
            Some(format @ (FORMAT | RING_FORMAT)) => format,
            found => return Err(VaultError::UnknownFormat { what: RING, found: found.unwrap_or_default() }),
        };
        let incomplete = || damaged("it is incomplete");
        let instance = Uuid::from_bytes(*reader.take().ok_or_else(incomplete)?);
        let roots = if format == RING_FORMAT { Some(read_roots(&mut reader)?) } else { None };
        let count = reader.byte().ok_or_else(incomplete)?;
        let slots = (0..count).map(|_| read_slot(&mut reader, format)).collect::<Result<Vec<_>, _>>()?;
        let mac = *reader.take().ok_or_else(incomplete)?;
        let ring = Self { instance, roots, slots, mac };
        if !reader.rest().is_empty() || !ring.has_its_shape() {
            return Err(damaged("its slots are not as they must be"));
        }
        Ok(ring)
    }

    fn has_its_shape(&self) -> bool {
        let count = self.slots.len();
        let ids: BTreeSet<_> = self.slots.iter().map(|slot| slot.id).collect();
        let kinds: BTreeSet<_> = self.slots.iter().map(|slot| slot.kind).collect();
        let fits = match self.roots {
            Some(_) => (1..=SLOTS_MAX).contains(&count),
            None => (1..=SLOTS_MAX_1).contains(&count) && kinds.len() == count,
        };
        fits && ids.len() == count
    }
}

fn read_roots(reader: &mut Reader<'_>) -> Result<RingRoots, VaultError> {
    let damaged = || VaultError::Damaged { what: RING, problem: "its root keys are not as they must be" };
    let mut number = || reader.take().map(|bytes| u32::from_be_bytes(*bytes)).ok_or_else(damaged);
    let versions = RootVersions { newest: number()?, active: number()?, rows_from: number()? };
    let count = number()?;
    let in_order = versions.rows_from <= versions.active && versions.active <= versions.newest;
    if !in_order || count > OLDER_MAX || versions.newest - versions.active > 1 {
        return Err(damaged());
    }
    let older = (0..count).map(|_| reader.part().map(<[u8]>::to_vec).ok_or_else(damaged)).collect::<Result<_, _>>()?;
    Ok(RingRoots { versions, older })
}

fn read_slot(reader: &mut Reader<'_>, format: u8) -> Result<Slot, VaultError> {
    let what = "a slot of the key ring";
    let incomplete = || VaultError::Damaged { what: RING, problem: "a slot is incomplete" };
    let id = reader.byte().ok_or_else(incomplete)?;
    let kind = reader.byte().ok_or_else(incomplete)?;
    let kind =
        SlotKind::ALL.into_iter().find(|known| known.byte() == kind).ok_or(VaultError::UnknownFormat { what, found: kind })?;
    let form = if format == RING_FORMAT { reader.byte().ok_or_else(incomplete)? } else { FORM_KEK };
    let parameters = reader.part().ok_or_else(incomplete)?.to_vec();
    let wrapped_root_key = reader.part().ok_or_else(incomplete)?.to_vec();
    let agreement = match form {
        FORM_KEK => None,
        FORM_AGREEMENT => Some(Agreement {
            made_for_it: agreement::read_public(reader).ok_or_else(incomplete)?,
            sealed_key: reader.part().ok_or_else(incomplete)?.to_vec(),
        }),
        found => return Err(VaultError::UnknownFormat { what, found }),
    };
    Ok(Slot { id, kind, parameters, wrapped_root_key, agreement })
}

/// The bytes that the ring's MAC covers.
pub(crate) fn authenticated(instance: Uuid, roots: Option<&RingRoots>, slots: &[Slot]) -> Vec<u8> {
    let count = u8::try_from(slots.len()).expect("a ring has at most sixteen slots");
    let format = if roots.is_some() { RING_FORMAT } else { FORMAT };
    let mut bytes = [RING_MAGIC.as_slice(), &[format], instance.as_bytes()].concat();
    if let Some(RingRoots { versions, older }) = roots {
        let count = u32::try_from(older.len()).expect("no ring was rotated so often");
        for number in [versions.newest, versions.active, versions.rows_from, count] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        for record in older {
            bytes.extend_from_slice(&format::frame(&[record]));
        }
    }
    bytes.push(count);
    for slot in slots {
        bytes.extend_from_slice(&slot.place());
        if roots.is_some() {
            bytes.push(if slot.agreement.is_some() { FORM_AGREEMENT } else { FORM_KEK });
        }
        bytes.extend_from_slice(&format::frame(&[&slot.parameters, &slot.wrapped_root_key]));
        if let Some(agreement) = &slot.agreement {
            bytes.extend_from_slice(&format::frame(&[&agreement.made_for_it, &agreement.sealed_key]));
        }
    }
    bytes
}
