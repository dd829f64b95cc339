//! The proof of a password that has a verifier of 12c, on both sides: PBKDF2 with HMAC-SHA-512 (RFC 8018, RFC 2104), and AES-256 in CBC, as the
//! protocol has them. AES is here for that alone: what the vault seals is the vault's.

use aes::{
    Aes256, Block,
    cipher::{BlockCipherDecrypt as _, BlockCipherEncrypt as _, KeyInit as _},
};
use sha2::{Digest as _, Sha512};
use zeroize::Zeroizing;

use super::auth::Challenge;
use crate::tls;

const BLOCK: usize = 16;
const KEY: usize = 32;
/// What a server says under the key of the session that knows it.
const FROM_SERVER: &[u8] = b"SERVER_TO_CLIENT";

/// What the challenge is answered with, as hexadecimal digits.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) half: String,
    pub(super) speedy_key: Zeroizing<String>,
    pub(super) password: Zeroizing<String>,
    key: Zeroizing<Vec<u8>>,
}

impl Answered {
    /// Whether the server, too, has the key that only follows from the password.
    pub(super) fn is_proven_by(&self, response: &str) -> bool {
        let Ok(response) = hex::decode(response) else { return false };
        // Of what went out under the same key somebody may know the text: a whole block of padding follows a password of sixteen letters. Sent
        // back, it would open to whatever is wanted.
        let sent = [&self.speedy_key, &self.password].map(|sent| hex::decode(sent.as_bytes()).unwrap_or_default());
        let is_ours = |block: &[u8]| sent.iter().any(|sent| sent.chunks(BLOCK).any(|own| own == block));
        if response.chunks(BLOCK).any(is_ours) {
            return false;
        }
        let opened = decrypt(&self.key, &response);
        opened.and_then(|opened| Some(opened.get(BLOCK..BLOCK * 2)? == FROM_SERVER)).unwrap_or_default()
    }
}

/// `None` if there is no randomness.
pub(super) fn answer(password: &str, challenge: &Challenge) -> Option<Answered> {
    let random = Zeroizing::new(tls::random::<{ KEY + BLOCK * 2 }>().ok()?);
    answer_with(random.as_slice(), password, challenge)
}

fn answer_with(random: &[u8], password: &str, challenge: &Challenge) -> Option<Answered> {
    let (ours, random) = random.split_at_checked(KEY)?;
    let (first, second) = random.split_at_checked(BLOCK)?;
    let salt = [&challenge.salt[..], b"AUTH_PBKDF2_SPEEDY_KEY"].concat();
    let password_key = derived(password.as_bytes(), &salt, challenge.rounds);
    let hash = Sha512::new().chain_update(password_key.as_slice()).chain_update(&challenge.salt).finalize();
    let hash = Zeroizing::new(hash.get(..KEY)?.to_vec());
    let theirs = decrypt(&hash, &challenge.half)?;
    let both = Zeroizing::new(hex::encode_upper([ours, &theirs].concat()));
    let key = Zeroizing::new(derived(both.as_bytes(), &challenge.key_salt, challenge.key_rounds).get(..KEY)?.to_vec());
    let speedy = Zeroizing::new([first, password_key.as_slice()].concat());
    let padding = BLOCK - password.len() % BLOCK;
    let mut padded = Zeroizing::new([second, password.as_bytes()].concat());
    let length = padded.len() + padding;
    padded.resize(length, u8::try_from(padding).ok()?);
    Some(Answered {
        half: hex::encode_upper(encrypt(&hash, ours)?),
        speedy_key: Zeroizing::new(hex::encode_upper(encrypt(&key, &speedy)?)),
        password: Zeroizing::new(hex::encode_upper(encrypt(&key, &padded)?)),
        key,
    })
}

/// Whole blocks in CBC, from a first block of zeros on.
fn encrypt(key: &[u8], plain: &[u8]) -> Option<Vec<u8>> {
    let cipher = Aes256::new_from_slice(key).ok()?;
    let (blocks, []) = plain.as_chunks::<BLOCK>() else { return None };
    let (mut last, mut out) = ([0; BLOCK], Vec::with_capacity(plain.len()));
    for block in blocks {
        let mut mixed = Block::from(std::array::from_fn::<u8, BLOCK, _>(|at| {
            block.get(at).copied().unwrap_or_default() ^ last.get(at).copied().unwrap_or_default()
        }));
        cipher.encrypt_block(&mut mixed);
        last = mixed.into();
        out.extend_from_slice(&last);
    }
    Some(out)
}

fn decrypt(key: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let cipher = Aes256::new_from_slice(key).ok()?;
    let (blocks, []) = sealed.as_chunks::<BLOCK>() else { return None };
    let (mut last, mut out) = ([0; BLOCK], Zeroizing::new(Vec::with_capacity(sealed.len())));
    for block in blocks {
        let mut opened = Block::from(*block);
        cipher.decrypt_block(&mut opened);
        out.extend(opened.iter().zip(last).map(|(byte, before)| byte ^ before));
        last = *block;
    }
    Some(out)
}

/// PBKDF2 with HMAC-SHA-512, of the length of one digest.
fn derived(secret: &[u8], salt: &[u8], rounds: u32) -> Zeroizing<[u8; 64]> {
    let keyed = Hmac::new(secret);
    let mut last = keyed.of(&[salt, &1_u32.to_be_bytes()].concat());
    let mut all = Zeroizing::new(last);
    for _ in 1..rounds {
        last = keyed.of(&last);
        for (byte, more) in all.iter_mut().zip(last) {
            *byte ^= more;
        }
    }
    all
}

/// HMAC with a key that is used often: both of its ends are prepared.
struct Hmac {
    inner: Sha512,
    outer: Sha512,
}

impl Hmac {
    fn new(key: &[u8]) -> Self {
        const BLOCK: usize = 128;
        let hashed = Sha512::digest(key);
        let key = if key.len() > BLOCK { hashed.as_slice() } else { key };
        let padded = |with: u8| {
            let mut block = Zeroizing::new([with; BLOCK]);
            for (byte, key) in block.iter_mut().zip(key) {
                *byte ^= key;
            }
            Sha512::new().chain_update(block.as_slice())
        };
        Self { inner: padded(0x36), outer: padded(0x5c) }
    }

    fn of(&self, message: &[u8]) -> [u8; 64] {
        let inner = self.inner.clone().chain_update(message).finalize();
        self.outer.clone().chain_update(inner).finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_those_of_their_vectors() {
        // RFC 4231, case 2.
        let mac = Hmac::new(b"Jefe").of(b"what do ya want for nothing?");
        assert!(hex::encode(mac).starts_with("164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd6"));
        // NIST SP 800-38A, F.2.5, whose first vector is XORed into the first block, since there is none here.
        let key = hex::decode("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4").expect("hex");
        let plain = hex::decode("6bc0bce12a459991e134741a7f9e1925ae2d8a571e03ac9c9eb76fac45af8e51").expect("hex");
        let sealed = "f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d";
        assert_eq!(hex::encode(encrypt(&key, &plain).expect("whole blocks")), sealed);
        assert_eq!(*decrypt(&key, &hex::decode(sealed).expect("hex")).expect("whole blocks"), plain);
        assert_eq!(encrypt(&key, b"short"), None);
    }

    /// Of a password of sixteen letters the last block that goes out is padding alone, as everybody knows.
    #[test]
    fn what_went_out_proves_nothing_when_it_comes_back() {
        let challenge = Challenge { salt: vec![1; 16], rounds: 4096, half: vec![2; 32], key_salt: vec![3; 16], key_rounds: 3 };
        let answered = answer("sixteen letters!", &challenge).expect("randomness");
        let sent = hex::decode(answered.password.as_bytes()).expect("hex");
        let [.., before, last] = sent.as_chunks::<BLOCK>().0 else { panic!("blocks: {sent:?}") };
        let first: Vec<_> = before.iter().zip(FROM_SERVER).map(|(before, wanted)| before ^ wanted ^ 16).collect();
        let forged = [first, last.to_vec()].concat();
        assert_eq!(
            decrypt(&answered.key, &forged).expect("blocks").get(BLOCK..),
            Some(FROM_SERVER),
            "it opens to what is wanted"
        );
        assert!(!answered.is_proven_by(&hex::encode(forged)));
    }

    #[test]
    fn only_who_has_the_key_proves_it() {
        let challenge = Challenge { salt: vec![1; 16], rounds: 4096, half: vec![2; 32], key_salt: vec![3; 16], key_rounds: 3 };
        let answered = answer("secret", &challenge).expect("randomness");
        let proof = |words: &[u8]| hex::encode(encrypt(&answered.key, &[&[9; 16], words].concat()).expect("whole blocks"));
        assert!(answered.is_proven_by(&proof(FROM_SERVER)));
        assert!(!answered.is_proven_by(&proof(b"CLIENT_TO_SERVER")));
        assert!(!answered.is_proven_by("") && !answered.is_proven_by("zz"));
        assert_eq!((answered.half.len(), answered.speedy_key.len(), answered.password.len()), (64, 160, 64));
    }
}
