//! Proving who we are, without telling more than the connection deserves.
//!
//! | the server asks for | over verified TLS | otherwise |
//! |---|---|---|
//! | `mysql_native_password`, `client_ed25519`, `caching_sha2_password` from its cache | proof of a challenge | proof of a challenge |
//! | `caching_sha2_password` in full, `sha256_password` | the password | refused, or under the server's own key if an admin allowed that |
//! | `mysql_clear_password` | the password | refused |
//! | `mysql_old_password`, `dialog`, anything else | refused | refused |

use base64::{Engine as _, engine::general_purpose::STANDARD};
use mysql_common::{crypto, scramble};
use x509_parser::{
    pem::parse_x509_pem,
    prelude::{FromDer as _, SubjectPublicKeyInfo},
    public_key::PublicKey,
};
use zeroize::Zeroizing;

use super::{
    packet::{self, Greeting, NONCE},
    refusal::Failure,
    wire::Wire,
};
use crate::causes;

/// Most packets of one sign-in; an honest one takes five.
const ROUNDS: usize = 10;
/// Modulus of an RSA key that is used, in bits.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=16_384;
/// Bytes that OAEP with SHA-1 adds (RFC 8017, section 7.1.1).
const OAEP: usize = 42;

/// Who signs in, and over what.
pub struct Identity<'a> {
    pub username: &'a str,
    pub password: &'a str,
    pub tls: bool,
    /// Nobody on the way can read what is sent.
    pub verified: bool,
    /// An admin allowed the password to be sent under a key that the server itself presents.
    pub own_key_allowed: bool,
}

pub const NATIVE: &str = "mysql_native_password";
const CACHING_SHA2: &str = "caching_sha2_password";
const SHA256: &str = "sha256_password";
const ED25519: &str = "client_ed25519";
const CLEAR: &str = "mysql_clear_password";
const OLD: &str = "mysql_old_password";

impl Identity<'_> {
    /// Answers the greeting and whatever the server asks after it, until the server says yes; gives the plugin that it said it to.
    pub async fn sign_in(&self, wire: &mut Wire, greeting: &Greeting) -> Result<String, Failure> {
        let mut nonce = greeting.nonce;
        // Any plugin may be named first: the server asks for another if the user has another.
        let mut plugin = if matches!(greeting.plugin.as_str(), "" | NATIVE) { NATIVE } else { CACHING_SHA2 }.to_owned();
        let proof = self.proof(&plugin, &nonce).ok_or(Failure::Malformed)?;
        let (tls, username) = (self.tls, self.username);
        wire.write(&packet::SignIn { tls, username, plugin: &plugin, proof: &proof }.bytes()).await?;
        for _ in 0..ROUNDS {
            let answer = wire.read().await?;
            match (answer.as_slice(), plugin.as_str()) {
                ([0x00, ..], _) => return Ok(plugin),
                ([0xff, rest @ ..], _) => return Err(packet::server_error(rest).map_or(Failure::Malformed, Failure::Refused)),
                ([0xfe], _) => return Err(causes::old_password(self.username).into()),
                ([0xfe, rest @ ..], _) => {
                    let (asked, data) = packet::switch(rest).ok_or(Failure::Malformed)?;
                    self.switch(wire, &asked, data).await?;
                    if let Some(next) = data.first_chunk::<NONCE>() {
                        nonce = *next;
                    }
                    plugin = asked;
                }
                // From the server's cache: its yes follows.
                ([1, 3], CACHING_SHA2) => {}
                ([1, 4], CACHING_SHA2) => self.tell_password(wire, 2).await?,
                ([1, key @ ..], CACHING_SHA2 | SHA256) => self.tell_under_key(wire, key, &nonce).await?,
                _ => return Err(Failure::Malformed),
            }
        }
        Err(Failure::Malformed)
    }

    /// Answers the request to use another plugin.
    async fn switch(&self, wire: &mut Wire, asked: &str, data: &[u8]) -> Result<(), Failure> {
        match asked {
            SHA256 => self.tell_password(wire, 1).await,
            CLEAR if self.verified => self.tell_in_clear(wire).await,
            CLEAR => Err(causes::insecure_authentication_refused(
                "the password in clear",
                "give the user a sign-in by challenge, such as “caching_sha2_password” or “ed25519”",
                None,
            )
            .into()),
            OLD => Err(causes::old_password(self.username).into()),
            _ => match self.proof(asked, data) {
                Some(proof) => wire.write(&proof).await,
                None if matches!(asked, NATIVE | CACHING_SHA2 | ED25519) => Err(Failure::Malformed),
                None => Err(causes::authentication_unsupported(&format!("“{}”", crate::scrub::printable(asked))).into()),
            },
        }
    }

    /// The answer to a challenge; `None` for a plugin that has none, and for a challenge of the wrong length. A challenge that
    /// the server could choose freely in length would let it ask for the hash of whatever it likes.
    fn proof(&self, plugin: &str, challenge: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let password = self.password.as_bytes();
        let nonce: Option<&[u8; NONCE]> = challenge.strip_suffix(&[0]).unwrap_or(challenge).try_into().ok();
        let proof = match plugin {
            NATIVE => scramble::scramble_native(nonce?, password).map(Vec::from).unwrap_or_default(),
            CACHING_SHA2 => scramble::scramble_sha256(nonce?, password).map(Vec::from).unwrap_or_default(),
            ED25519 => {
                let message: &[u8; 32] = challenge.try_into().ok()?;
                scramble::create_response_for_ed25519(password, message).to_vec()
            }
            _ => return None,
        };
        Some(Zeroizing::new(proof))
    }

    /// Whether it can answer a server that wants the password itself, as those of the newer plugins do where they know no proof of it.
    pub fn can_tell_password(&self) -> bool {
        self.verified || self.own_key_allowed
    }

    /// The server wants the password itself. `ask_for_key` is the byte by which its plugin is asked for its key.
    async fn tell_password(&self, wire: &mut Wire, ask_for_key: u8) -> Result<(), Failure> {
        if self.verified || (self.tls && self.own_key_allowed) {
            return self.tell_in_clear(wire).await;
        }
        if self.own_key_allowed {
            return wire.write(&[ask_for_key]).await;
        }
        Err(causes::insecure_authentication_refused(
            "the password itself, which this user has not proved since the server started,",
            "let the user sign in once over verified TLS: the server then takes a proof instead, until it is restarted",
            Some("RSA exchange"),
        )
        .into())
    }

    async fn tell_in_clear(&self, wire: &mut Wire) -> Result<(), Failure> {
        wire.write(&self.with_end()).await
    }

    /// The server has sent its key, on our request alone.
    async fn tell_under_key(&self, wire: &mut Wire, pem: &[u8], nonce: &[u8; NONCE]) -> Result<(), Failure> {
        if !self.own_key_allowed || self.tls {
            return Err(Failure::Malformed);
        }
        let (key, room) = rsa_key(pem).ok_or(Failure::Malformed)?;
        let mut password = self.with_end();
        if password.len() > room {
            return Err(causes::server_error("its key is too short for this password").into());
        }
        for (byte, mask) in password.iter_mut().zip(nonce.iter().cycle()) {
            *byte ^= mask;
        }
        wire.write(&crypto::encrypt(&password, key.as_bytes())).await
    }

    fn with_end(&self) -> Zeroizing<Vec<u8>> {
        let mut password = Zeroizing::new(Vec::with_capacity(self.password.len() + 1));
        password.extend_from_slice(self.password.as_bytes());
        password.push(0);
        password
    }
}

/// The key in the one form that `mysql_common` reads without a panic, and the bytes that it can encrypt.
fn rsa_key(foreign: &[u8]) -> Option<(String, usize)> {
    let (_, pem) = parse_x509_pem(foreign).ok()?;
    let (_, info) = SubjectPublicKeyInfo::from_der(&pem.contents).ok()?;
    let Ok(PublicKey::RSA(key)) = info.parsed() else { return None };
    let bits = key.key_size();
    RSA_BITS.contains(&bits).then(|| {
        let body = STANDARD.encode(&pem.contents);
        (format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n"), bits / 8 - OAEP)
    })
}
