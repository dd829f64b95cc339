//! SCRAM (RFC 5802, RFC 7677): each side proves to the other that it knows the password, and nobody is told it.
//!
//! `postgres-protocol` has one that sends no name, as PostgreSQL alone wants it.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use dataflow_model::TestError;
use sha2::{Digest, Sha256, Sha512, digest::Output};
use zeroize::Zeroizing;

use crate::{causes, tls};

/// As for PostgreSQL: a server that asks for more is after the time of whoever signs in. MongoDB begins with 15,000, Kafka with 4,096.
const MOST_ROUNDS: u64 = 100_000;
/// RFC 7677, section 4. With fewer, whoever plays the server could soon try passwords against what he was answered.
const FEWEST_ROUNDS: u64 = 4096;
/// No channel is bound, in base64.
const NO_BINDING: &str = "biws";

#[derive(Debug, Clone, Copy)]
pub(super) enum Hash {
    Sha256,
    Sha512,
}

/// One sign-in.
pub(super) struct Scram<'a> {
    hash: Hash,
    username: &'a str,
    password: &'a str,
    nonce: String,
    /// What the server has to answer last.
    signature: Vec<u8>,
}

impl<'a> Scram<'a> {
    pub(super) fn new(hash: Hash, username: &'a str, password: &'a str) -> Result<Self, TestError> {
        let nonce = STANDARD.encode(tls::random::<18>()?);
        Ok(Self { hash, username, password, nonce, signature: Vec::new() })
    }

    /// The client's first message.
    pub(super) fn first(&self) -> String {
        format!("n,,{}", self.bare())
    }

    fn bare(&self) -> String {
        format!("n={},r={}", self.username.replace('=', "=3D").replace(',', "=2C"), self.nonce)
    }

    /// The client's last message, to the server's first one.
    pub(super) fn answer(&mut self, first: &[u8]) -> Result<String, TestError> {
        let first = std::str::from_utf8(first).map_err(|_| causes::server_unproven())?;
        let mut parts = first.split(',');
        let mut part = |name: &str| parts.next().and_then(|part| part.strip_prefix(name));
        let (Some(nonce), Some(salt), Some(rounds)) = (part("r="), part("s="), part("i=")) else {
            return Err(if first.starts_with("e=") { self.refused() } else { causes::server_unproven() });
        };
        let is_ours = nonce.strip_prefix(&self.nonce).is_some_and(|own| !own.is_empty());
        let salt = STANDARD.decode(salt).ok().filter(|salt| is_ours && !salt.is_empty()).ok_or_else(causes::server_unproven)?;
        // A number that is too long counts as most.
        let rounds = rounds.parse::<u64>().unwrap_or(u64::MAX);
        if rounds > MOST_ROUNDS {
            return Err(causes::too_many_rounds(rounds, MOST_ROUNDS));
        }
        if rounds < FEWEST_ROUNDS {
            return Err(causes::too_few_rounds(rounds, FEWEST_ROUNDS));
        }
        let own = format!("c={NO_BINDING},r={nonce}");
        let exchange = format!("{},{first},{own}", self.bare());
        let (proof, signature) = match self.hash {
            Hash::Sha256 => prove::<Sha256>(64, self.password, &salt, rounds, &exchange),
            Hash::Sha512 => prove::<Sha512>(128, self.password, &salt, rounds, &exchange),
        };
        self.signature = signature;
        Ok(format!("{own},p={}", STANDARD.encode(proof)))
    }

    /// Whether the server has proven, by its last message, that it knows the password as well.
    pub(super) fn verify(&self, last: &[u8]) -> Result<(), TestError> {
        let last = std::str::from_utf8(last).unwrap_or_default();
        if last.starts_with("e=") {
            return Err(self.refused());
        }
        let signature = last.strip_prefix("v=").and_then(|rest| STANDARD.decode(rest.split(',').next()?).ok());
        let is_proven = !self.signature.is_empty() && signature.as_ref() == Some(&self.signature);
        if is_proven { Ok(()) } else { Err(causes::server_unproven()) }
    }

    fn refused(&self) -> TestError {
        causes::credentials_refused(self.username)
    }
}

/// The client's proof and the server's signature of what was said.
fn prove<D: Digest + Clone>(block: usize, password: &str, salt: &[u8], rounds: u64, exchange: &str) -> (Vec<u8>, Vec<u8>) {
    let mac = |key: &[u8], message: &str| Mac::<D>::new(key, block).of(message.as_bytes());
    let salted = Zeroizing::new(stretch(&Mac::<D>::new(password.as_bytes(), block), salt, rounds));
    let client = mac(&salted, "Client Key");
    let signature = mac(&D::digest(&client), exchange);
    let proof = client.iter().zip(&signature).map(|(one, other)| one ^ other).collect();
    (proof, mac(&mac(&salted, "Server Key"), exchange).to_vec())
}

/// `Hi` of RFC 5802: PBKDF2 with one block.
fn stretch<D: Digest + Clone>(mac: &Mac<D>, salt: &[u8], rounds: u64) -> Vec<u8> {
    let mut last = mac.of(&[salt, &1_u32.to_be_bytes()].concat());
    let mut all = last.to_vec();
    for _ in 1..rounds {
        last = mac.of(&last);
        for (byte, other) in all.iter_mut().zip(&last) {
            *byte ^= other;
        }
    }
    all
}

/// HMAC (RFC 2104) under one key, which is mixed in once.
struct Mac<D> {
    inner: D,
    outer: D,
}

impl<D: Digest + Clone> Mac<D> {
    /// `block` in bytes, as the digest has it.
    fn new(key: &[u8], block: usize) -> Self {
        let hashed = D::digest(key);
        let key = if key.len() > block { hashed.as_ref() } else { key };
        let keyed = |with: u8| {
            let mut padded = Zeroizing::new(vec![with; block]);
            for (byte, key) in padded.iter_mut().zip(key) {
                *byte ^= key;
            }
            D::new().chain_update(padded.as_slice())
        };
        Self { inner: keyed(0x36), outer: keyed(0x5c) }
    }

    fn of(&self, message: &[u8]) -> Output<D> {
        let inner = self.inner.clone().chain_update(message).finalize();
        self.outer.clone().chain_update(inner).finalize()
    }
}

#[cfg(test)]
mod tests {
    use dataflow_model::Cause;

    use super::*;

    /// The example of RFC 7677, section 3.
    fn example() -> Scram<'static> {
        let nonce = "rOprNGfwEbeRWgbNEkqO".to_owned();
        Scram { hash: Hash::Sha256, username: "user", password: "pencil", nonce, signature: Vec::new() }
    }

    const FIRST: &[u8] = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

    #[test]
    fn the_exchange_is_that_of_the_specification() {
        let mut scram = example();
        assert_eq!(scram.first(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let answer = scram.answer(FIRST).expect("sound");
        assert_eq!(
            answer,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        scram.verify(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=").expect("that server knows the password");
        let another = scram.verify(b"v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=").expect_err("another one");
        assert_eq!(another.code, Cause::InsecureAuthenticationRefused);
        assert!(scram.verify(b"").is_err() && scram.verify(b"v=").is_err());
        assert_eq!(scram.verify(b"e=invalid-proof").expect_err("refused").code, Cause::CredentialsRefused);
        assert!(example().verify(b"v=").is_err(), "nothing was signed yet");
    }

    #[test]
    fn what_a_server_may_ask_is_bounded() {
        let refused = |first: &str| example().answer(first.as_bytes()).expect_err(first).code;
        let ours = "r=rOprNGfwEbeRWgbNEkqO";
        let asks = |rounds: &str| refused(&format!("{ours}x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i={rounds}"));
        for rounds in ["100001", "99999999999999999999999", "-1", ""] {
            assert_eq!(asks(rounds), Cause::ServerError, "{rounds}");
        }
        for rounds in ["4095", "1", "0"] {
            assert_eq!(asks(rounds), Cause::InsecureAuthenticationRefused, "{rounds}");
        }
        for first in [
            "",
            "r=another,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            &format!("{ours},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"),
            &format!("{ours}x,s=,i=4096"),
            &format!("{ours}x,i=4096,s=W22ZaJ0SNY7soEsUEjb6gQ=="),
            &format!("m=more,{ours}x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"),
        ] {
            assert_eq!(refused(first), Cause::InsecureAuthenticationRefused, "{first}");
        }
    }

    #[test]
    fn a_name_is_escaped_and_no_nonce_comes_twice() {
        let [one, other] = [(), ()].map(|()| Scram::new(Hash::Sha512, "a=b,c", "secret").expect("random").first());
        assert!(one.starts_with("n,,n=a=3Db=2Cc,r=") && one != other, "{one} {other}");
    }

    /// Case 2 of RFC 4231, and the first of PBKDF2 with SHA-512 that is known by several implementations.
    #[test]
    fn both_digests_are_those_of_their_vectors() {
        let mac = Mac::<Sha512>::new(b"Jefe", 128).of(b"what do ya want for nothing?");
        assert!(hex::encode(mac).starts_with("164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554"));
        let salted = stretch(&Mac::<Sha512>::new(b"password", 128), b"salt", 4096);
        assert!(hex::encode(salted).starts_with("d197b1b33db0143e018b12f3d1d1479e6cdebdcc97c5c0f87f6902e072f457b5"));
    }
}
