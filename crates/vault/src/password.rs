//! The passwords of people.

use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version, password_hash::phc::PasswordHash};
use dataflow_model::Secret;

use crate::random::random_bytes;

/// 46 MiB, one pass, one lane: OWASP's first choice for Argon2id (Password Storage Cheat Sheet).
const MEMORY_KIB: u32 = 46 * 1024;
/// Most that a stored hash may ask for; what asks for more is not ours.
const MEMORY_KIB_MAX: u32 = 256 * 1024;
const PASSES_MAX: u32 = 8;
const LANES_MAX: u32 = 4;
/// No password has this hash: nobody knows an input of Argon2id that gives 32 zero bytes.
const NOBODY: &str = "$argon2id$v=19$m=47104,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// A PHC string to store. Takes 46 MiB and some 40 ms: call it off the async threads, and few at a time.
///
/// # Panics
/// Never: the parameters are constant, and no password reaches Argon2's limit of 4 GiB.
#[must_use]
pub fn hash_password(password: &Secret) -> String {
    hash_with_salt(password, &random_bytes())
}

pub(crate) fn hash_with_salt(password: &Secret, salt: &[u8; 16]) -> String {
    let parameters = Params::new(MEMORY_KIB, 1, 1, Some(32)).expect("the parameters are in Argon2's limits");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters)
        .hash_password_with_salt(password.expose_secret().as_bytes(), salt)
        .expect("a password is shorter than 4 GiB")
        .to_string()
}

/// Whether the password is the one that was hashed; compares in constant time. `false` also for a stored text that is no such
/// hash.
#[must_use]
pub fn verify_password(password: &Secret, stored: &str) -> bool {
    let Ok(hash) = PasswordHash::new(stored) else { return false };
    let Ok(parameters) = Params::try_from(&hash) else { return false };
    let affordable =
        parameters.m_cost() <= MEMORY_KIB_MAX && parameters.t_cost() <= PASSES_MAX && parameters.p_cost() <= LANES_MAX;
    affordable
        && hash.algorithm.as_str() == Algorithm::Argon2id.as_str()
        && Argon2::default().verify_password(password.expose_secret().as_bytes(), &hash).is_ok()
}

/// What to call where there is no such account: `false`, after the same work as [`verify_password`], so that the answer's time
/// does not tell who exists.
#[must_use]
pub fn verify_absent_password(password: &Secret) -> bool {
    verify_password(password, NOBODY)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A clock would show the same but for the load of the machine: the work depends on these values and on nothing else.
    #[test]
    fn an_absent_account_costs_what_a_present_one_does() {
        let password = Secret::new("correct horse".to_owned());
        let work = |stored: &str| {
            let hash = PasswordHash::new(stored).expect("a PHC string");
            let salt = hash.salt.expect("a salt");
            (hash.algorithm.to_string(), hash.version, Params::try_from(&hash).expect("parameters"), salt.len())
        };
        assert_eq!(work(NOBODY), work(&hash_password(&password)));
        assert!(!verify_absent_password(&password));
        assert!(!verify_absent_password(&Secret::new(String::new())));
    }
    #[test]
    fn a_right_password_under_a_weaker_algorithm_is_refused() {
        let password = Secret::new("correct horse".to_owned());
        let under = |algorithm| {
            let parameters = Params::new(64, 1, 1, Some(32)).expect("in the limits");
            let argon2 = Argon2::new(algorithm, Version::V0x13, parameters);
            argon2.hash_password_with_salt(password.expose_secret().as_bytes(), &[7; 16]).expect("hashed").to_string()
        };
        assert!(verify_password(&password, &under(Algorithm::Argon2id)));
        assert!(!verify_password(&password, &under(Algorithm::Argon2i)));
        assert!(!verify_password(&password, &under(Algorithm::Argon2d)));
    }
}
