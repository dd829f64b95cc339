//! A key from a passphrase that an operator types or a service manager hands over.

use argon2::{Algorithm, Argon2, Params, Version};
use dataflow_model::Secret;

use crate::{
    Kek, KekProvider, SlotKind, VaultError,
    format::Reader,
    key::{KEY_LENGTH, Key},
    random::random_bytes,
};

/// Fewest characters of a passphrase. It guards every secret of the store against who holds a copy of it, for years.
const CHARACTERS_MIN: usize = 12;
const SALT_LENGTH: usize = 16;

/// A passphrase, stretched with Argon2id when the ring is opened: about 0.2 s and 64 MiB once per start.
#[derive(Debug)]
pub struct Passphrase(Secret);

/// Argon2id's parameters.
#[derive(Debug, Clone, Copy)]
struct Cost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

/// The second recommended option of RFC 9106, section 4.
const COST: Cost = Cost { memory_kib: 64 * 1024, passes: 3, lanes: 4 };
/// What the ring may ask for. Whoever can write the store could otherwise ask for all memory at every start.
const COST_MAX: Cost = Cost { memory_kib: 1024 * 1024, passes: 16, lanes: 16 };

impl Passphrase {
    /// # Errors
    /// `PassphraseTooShort` below 12 characters.
    pub fn new(text: Secret) -> Result<Self, VaultError> {
        if text.expose_secret().chars().count() < CHARACTERS_MIN {
            return Err(VaultError::PassphraseTooShort { min: CHARACTERS_MIN });
        }
        Ok(Self(text))
    }

    fn stretch(&self, cost: Cost, salt: &[u8; SALT_LENGTH]) -> Result<Kek, VaultError> {
        let wrong = |_| VaultError::Damaged { what: "the key ring", problem: "the cost of the passphrase is impossible" };
        let parameters = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(KEY_LENGTH)).map_err(wrong)?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters);
        let mut stretched = Ok(());
        let key = Key::filled(|key| stretched = argon2.hash_password_into(self.0.expose_secret().as_bytes(), salt, key));
        stretched.map_err(wrong)?;
        Ok(Kek(key))
    }
}

impl KekProvider for Passphrase {
    fn kind(&self) -> SlotKind {
        SlotKind::Passphrase
    }

    fn enroll(&self) -> Result<(Kek, Vec<u8>), VaultError> {
        let salt = random_bytes();
        let numbers = [COST.memory_kib, COST.passes, COST.lanes].map(u32::to_be_bytes);
        Ok((self.stretch(COST, &salt)?, [numbers.as_flattened(), &salt].concat()))
    }

    fn unlock(&self, parameters: &[u8]) -> Result<Kek, VaultError> {
        let damaged = |problem| VaultError::Damaged { what: "the key ring", problem };
        let (cost, salt) = read(parameters).ok_or_else(|| damaged("the parameters of the passphrase are cut short"))?;
        if cost.memory_kib > COST_MAX.memory_kib || cost.passes > COST_MAX.passes || cost.lanes > COST_MAX.lanes {
            return Err(damaged("the passphrase would cost more than this program ever asks for"));
        }
        self.stretch(cost, salt)
    }
}

fn read(parameters: &[u8]) -> Option<(Cost, &[u8; SALT_LENGTH])> {
    let mut reader = Reader::new(parameters);
    let mut number = || reader.take().map(|bytes| u32::from_be_bytes(*bytes));
    let cost = Cost { memory_kib: number()?, passes: number()?, lanes: number()? };
    let salt = reader.take()?;
    reader.rest().is_empty().then_some((cost, salt))
}
