//! The server's side of SCRAM (RFC 5802, section 3), by code of its own: the client's is what is tested.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256, Sha512};

use crate::fake_services::{PASSWORD, USER};

/// What a server does that is not the one that it claims to be, or worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Twist {
    None,
    /// It asks for so many rounds.
    Rounds(u64),
    /// It does not know the password, and lets in whoever comes.
    Impostor,
    /// It leaves out its own proof.
    Silent,
    /// It answers to somebody else's number.
    AnotherNonce,
}

const ROUNDS: u64 = 4096;
const SALT: &[u8] = b"salt-of-the-fake";
const OWN_NONCE: &str = "fyko+d2lbbFgONRv9qkxdawL";

/// One exchange.
#[derive(Debug)]
pub struct Scram {
    is_512: bool,
    twist: Twist,
    client: String,
    server: String,
    nonce: String,
}

impl Scram {
    pub fn new(is_512: bool, twist: Twist) -> Self {
        Self { is_512, twist, client: String::new(), server: String::new(), nonce: String::new() }
    }

    /// The server's first message; `None` where it refuses.
    pub fn first(&mut self, message: &[u8]) -> Option<String> {
        let bare = std::str::from_utf8(message).ok()?.strip_prefix("n,,")?;
        let (name, nonce) = bare.strip_prefix("n=")?.split_once(",r=")?;
        if name != USER || nonce.len() < 16 || nonce.contains(',') {
            return None;
        }
        nonce.clone_into(&mut self.nonce);
        self.nonce.push_str(OWN_NONCE);
        bare.clone_into(&mut self.client);
        let told = if self.twist == Twist::AnotherNonce { OWN_NONCE } else { &self.nonce };
        let rounds = if let Twist::Rounds(rounds) = self.twist { rounds } else { ROUNDS };
        self.server = format!("r={told},s={},i={rounds}", STANDARD.encode(SALT));
        Some(self.server.clone())
    }

    /// The server's last message; `None` where it refuses.
    pub fn last(&mut self, message: &[u8]) -> Option<String> {
        let (own, proof) = std::str::from_utf8(message).ok()?.split_once(",p=")?;
        let proof = STANDARD.decode(proof).ok()?;
        if own != format!("c=biws,r={}", self.nonce) {
            return None;
        }
        let exchange = format!("{},{},{own}", self.client, self.server);
        match self.twist {
            Twist::Impostor => return Some(format!("v={}", STANDARD.encode([7; 32]))),
            Twist::Silent => return Some(String::new()),
            _ => {}
        }
        let signature = if self.is_512 {
            check::<Sha512>(128, true, &exchange, &proof)
        } else {
            check::<Sha256>(64, false, &exchange, &proof)
        };
        Some(format!("v={}", STANDARD.encode(signature?)))
    }
}

/// The server's signature, if the proof is one.
fn check<D: Digest>(block: usize, is_512: bool, exchange: &str, proof: &[u8]) -> Option<Vec<u8>> {
    let salted = salted::<D>(block, is_512);
    let stored = D::digest(hmac::<D>(block, &salted, b"Client Key")).to_vec();
    let signature = hmac::<D>(block, &stored, exchange.as_bytes());
    let client: Vec<_> = signature.iter().zip(proof).map(|(one, other)| one ^ other).collect();
    let is_known = proof.len() == signature.len() && D::digest(client).to_vec() == stored;
    is_known.then(|| hmac::<D>(block, &hmac::<D>(block, &salted, b"Server Key"), exchange.as_bytes()))
}

fn salted<D: Digest>(block: usize, is_512: bool) -> Vec<u8> {
    static KNOWN: Mutex<BTreeMap<bool, Vec<u8>>> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let make = || {
        let mut last = hmac::<D>(block, PASSWORD.as_bytes(), &[SALT, &[0, 0, 0, 1]].concat());
        let mut all = last.clone();
        for _ in 1..ROUNDS {
            last = hmac::<D>(block, PASSWORD.as_bytes(), &last);
            all.iter_mut().zip(&last).for_each(|(byte, other)| *byte ^= other);
        }
        all
    };
    known.entry(is_512).or_insert_with(make).clone()
}

/// RFC 2104, for keys that are no longer than a block.
fn hmac<D: Digest>(block: usize, key: &[u8], message: &[u8]) -> Vec<u8> {
    assert!(key.len() <= block, "the fake's keys are short");
    let mut padded = key.to_vec();
    padded.resize(block, 0);
    let keyed = |with: u8| padded.iter().map(|byte| byte ^ with).collect::<Vec<_>>();
    let inner = D::new().chain_update(keyed(0x36)).chain_update(message).finalize();
    D::new().chain_update(keyed(0x5c)).chain_update(inner).finalize().to_vec()
}
