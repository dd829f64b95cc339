//! The server's half of a sign-in by a verifier of 12c.

use aes::{
    Aes256, Block,
    cipher::{BlockCipherDecrypt as _, BlockCipherEncrypt as _, KeyInit as _},
};
use sha2::{Digest as _, Sha512};

/// What the server keeps of a password, with what it makes up for one sign-in.
pub struct Verifier {
    salt: [u8; 16],
    key_salt: [u8; 16],
    half: [u8; 32],
    rounds: u32,
    password: Vec<u8>,
    password_key: [u8; 64],
    hash: Vec<u8>,
}

impl Verifier {
    pub fn of(password: &str, rounds: u32) -> Self {
        let salt = [0x5a; 16];
        // Whoever asks for too much gets no answer, so that none is made.
        let made = rounds.min(4096);
        let password_key = pbkdf2(password.as_bytes(), &[&salt[..], b"AUTH_PBKDF2_SPEEDY_KEY"].concat(), made);
        let hash = Sha512::new().chain_update(password_key).chain_update(salt).finalize();
        let (hash, password) = (hash[..32].to_vec(), password.as_bytes().to_vec());
        Self { salt, key_salt: [0xc3; 16], half: [0x17; 32], rounds, password, password_key, hash }
    }

    pub fn salt(&self) -> String {
        hex(&self.salt)
    }

    pub fn key_salt(&self) -> String {
        hex(&self.key_salt)
    }

    pub fn rounds(&self) -> u32 {
        self.rounds
    }

    pub fn sealed_half(&self) -> String {
        hex(&cbc(&self.hash, &self.half))
    }

    /// The key of the session, with the client's half.
    pub fn key(&self, sealed: &str) -> Option<Vec<u8>> {
        let sealed = unhex(sealed).filter(|sealed| sealed.len() == 32)?;
        let both = [&open(&self.hash, &sealed)[..], &self.half].concat();
        Some(pbkdf2(hex(&both).as_bytes(), &self.key_salt, 3)[..32].to_vec())
    }

    /// Sixteen bytes of nothing, the password, and what fills it up (RFC 5652, section 6.3).
    pub fn is_password(&self, key: &[u8], sealed: &str) -> bool {
        let Some(opened) = unhex(sealed).filter(|sealed| sealed.len() % 16 == 0).map(|sealed| open(key, &sealed)) else {
            return false;
        };
        let filled = 16 - self.password.len() % 16;
        let filling = vec![u8::try_from(filled).expect("short"); filled];
        opened.get(16..).is_some_and(|rest| rest == [&self.password[..], &filling].concat())
    }

    pub fn is_speedy(&self, key: &[u8], sealed: &str) -> bool {
        let opened = unhex(sealed).filter(|sealed| sealed.len() == 80).map(|sealed| open(key, &sealed));
        opened.is_some_and(|opened| opened.ends_with(&self.password_key))
    }
}

/// What the server proves itself with.
pub fn proof(key: &[u8], is_wrong: bool) -> String {
    let words: &[u8] = if is_wrong { b"CLIENT_TO_SERVER" } else { b"SERVER_TO_CLIENT" };
    hex(&cbc(key, &[&[0x77; 16], words].concat()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |digits, byte| format!("{digits}{byte:02X}"))
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    text.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

fn cbc(key: &[u8], plain: &[u8]) -> Vec<u8> {
    let cipher = Aes256::new_from_slice(key).expect("32 bytes");
    let mut last = [0_u8; 16];
    let mut out = Vec::new();
    for part in plain.as_chunks::<16>().0 {
        for (byte, more) in last.iter_mut().zip(part) {
            *byte ^= more;
        }
        let mut block = Block::from(last);
        cipher.encrypt_block(&mut block);
        last = block.into();
        out.extend(last);
    }
    out
}

fn open(key: &[u8], sealed: &[u8]) -> Vec<u8> {
    let cipher = Aes256::new_from_slice(key).expect("32 bytes");
    let mut last = [0; 16];
    let mut out = Vec::new();
    for part in sealed.as_chunks::<16>().0 {
        let mut block = Block::from(*part);
        cipher.decrypt_block(&mut block);
        out.extend(block.iter().zip(last).map(|(byte, before)| byte ^ before));
        last = *part;
    }
    out
}

fn hmac(key: &[u8], message: &[u8]) -> [u8; 64] {
    let hashed = Sha512::digest(key);
    let key = if key.len() > 128 { hashed.as_slice() } else { key };
    let padded = |with: u8| {
        let mut block = [with; 128];
        block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
        block
    };
    let inner = Sha512::new().chain_update(padded(0x36)).chain_update(message).finalize();
    Sha512::new().chain_update(padded(0x5c)).chain_update(inner).finalize().into()
}

fn pbkdf2(secret: &[u8], salt: &[u8], rounds: u32) -> [u8; 64] {
    let mut last = hmac(secret, &[salt, &[0, 0, 0, 1]].concat());
    let mut all = last;
    for _ in 1..rounds {
        last = hmac(secret, &last);
        all.iter_mut().zip(last).for_each(|(byte, more)| *byte ^= more);
    }
    all
}
