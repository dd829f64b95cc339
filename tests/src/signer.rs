//! Signed tokens (JWS, RFC 7515) under keys that are made for a test.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256, PublicKeyData as _, RsaKeySize};
use rustls::{SignatureScheme, crypto::aws_lc_rs::sign::any_supported_type, pki_types::PrivateKeyDer, sign::SigningKey};
use serde_json::{Value, json};

use crate::process::{Spawn, Stop};

/// A key, with what it signs by.
#[derive(Debug, Clone)]
pub struct Signer {
    pub algorithm: &'static str,
    pub id: String,
    key: Arc<dyn SigningKey>,
    scheme: SignatureScheme,
    public: Vec<u8>,
}

pub fn encoded(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Signer {
    /// A new key for RS256, PS256, ES256 or `EdDSA`.
    ///
    /// # Panics
    /// For any other algorithm.
    pub fn new(algorithm: &'static str, id: &str) -> Self {
        let (pair, scheme) = match algorithm {
            "RS256" => (rsa(), SignatureScheme::RSA_PKCS1_SHA256),
            "PS256" => (rsa(), SignatureScheme::RSA_PSS_SHA256),
            "ES256" => (KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256), SignatureScheme::ECDSA_NISTP256_SHA256),
            "EdDSA" => (KeyPair::generate_for(&PKCS_ED25519), SignatureScheme::ED25519),
            other => panic!("“{other}” is no algorithm of this fixture"),
        };
        let pair = pair.expect("a key can be made");
        let der = PrivateKeyDer::try_from(pair.serialize_der()).expect("PKCS #8");
        let key = any_supported_type(&der).expect("a key of these kinds");
        Self { algorithm, id: id.to_owned(), key, scheme, public: pair.der_bytes().to_vec() }
    }

    /// Its public half (RFC 7517).
    pub fn jwk(&self) -> Value {
        let mut jwk = json!({"kid": self.id, "use": "sig", "alg": self.algorithm});
        let parts = match self.algorithm {
            "ES256" => json!({"kty": "EC", "crv": "P-256", "x": encoded(&self.public[1..33]), "y": encoded(&self.public[33..])}),
            "EdDSA" => json!({"kty": "OKP", "crv": "Ed25519", "x": encoded(&self.public)}),
            _ => {
                let (_, numbers) = read_der(&self.public);
                let (modulus, rest) = integer(numbers);
                json!({"kty": "RSA", "n": encoded(modulus), "e": encoded(integer(rest).0)})
            }
        };
        jwk.as_object_mut().expect("an object").extend(parts.as_object().expect("an object").clone());
        jwk
    }

    /// The header that its tokens have.
    pub fn header(&self) -> Value {
        json!({"alg": self.algorithm, "kid": self.id, "typ": "JWT"})
    }

    /// A token of these claims.
    pub fn sign(&self, claims: &Value) -> String {
        self.sign_under(&self.header(), claims)
    }

    /// A token under a header that may say anything.
    ///
    /// # Panics
    /// Never: the key signs by its own scheme.
    pub fn sign_under(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", encoded(header.to_string()), encoded(claims.to_string()));
        let signer = self.key.choose_scheme(&[self.scheme]).expect("its own scheme");
        let signature = signer.sign(message.as_bytes()).expect("it signs");
        let signature = if self.algorithm == "ES256" { fixed(&signature) } else { signature };
        format!("{message}.{}", encoded(signature))
    }

    /// A token whose MAC (HS256) has the public half as its key: what a verifier that believes the header takes for this key's own.
    ///
    /// # Panics
    /// If Python is not there.
    pub fn mac_under_public_key(&self, claims: &Value) -> String {
        let header = json!({"alg": "HS256", "kid": self.id});
        let signed = format!("{}.{}", encoded(header.to_string()), encoded(claims.to_string()));
        let script = "import base64, hashlib, hmac, sys\nkey = base64.urlsafe_b64decode(sys.argv[1] + '==')\n\
                      print(base64.urlsafe_b64encode(hmac.new(key, sys.argv[2].encode(), hashlib.sha256).digest()).rstrip(b'=').decode())";
        let key = encoded(&self.public);
        let mac = Spawn::new("python3", Stop::Kill).args(["-c", script, &key, &signed]).run();
        format!("{signed}.{}", mac.trim())
    }
}

/// A token of no signature.
pub fn unsigned(claims: &Value) -> String {
    format!("{}.{}.", encoded(json!({"alg": "none"}).to_string()), encoded(claims.to_string()))
}

fn rsa() -> Result<KeyPair, rcgen::Error> {
    KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)
}

/// The content of a value in DER, and what follows it.
fn read_der(bytes: &[u8]) -> (&[u8], &[u8]) {
    let (length, head) = match bytes[1] {
        short @ 0..0x80 => (usize::from(short), 2),
        long => {
            let digits = usize::from(long - 0x80);
            (bytes[2..2 + digits].iter().fold(0, |length, byte| length * 256 + usize::from(*byte)), 2 + digits)
        }
    };
    (&bytes[head + length..], &bytes[head..head + length])
}

/// A positive integer without its leading zero, and what follows it.
fn integer(bytes: &[u8]) -> (&[u8], &[u8]) {
    let (rest, content) = read_der(bytes);
    (content.strip_prefix(&[0]).unwrap_or(content), rest)
}

/// An ECDSA signature in DER as JOSE has it: both numbers in 32 bytes each (RFC 7518, section 3.4).
fn fixed(signature: &[u8]) -> Vec<u8> {
    let (_, numbers) = read_der(signature);
    let (r, rest) = integer(numbers);
    let (s, _) = integer(rest);
    let padded = |number: &[u8]| [vec![0; 32 - number.len()], number.to_vec()].concat();
    [padded(r), padded(s)].concat()
}
