//! Signatures of tokens that others issue (JWS, RFC 7515), and the digest of PKCE (RFC 7636): bytes in, a verdict out.

use aws_lc_rs::{
    digest,
    signature::{
        ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, RsaPublicKeyComponents,
        UnparsedPublicKey,
    },
};

/// The algorithms that are taken (RFC 7518, section 3.1; RFC 8037, section 3.1). None with a shared secret is among them: whoever knows a
/// public key could sign with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureAlgorithm {
    Rs256,
    Ps256,
    Es256,
    EdDsa,
}

impl SignatureAlgorithm {
    /// By its name in a header's `alg`; `None` for every other one, `none` too.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "RS256" => Self::Rs256,
            "PS256" => Self::Ps256,
            "ES256" => Self::Es256,
            "EdDSA" => Self::EdDsa,
            _ => return None,
        })
    }
}

/// A key of somebody else, as its parts stand in a JWK (RFC 7518, section 6; RFC 8037, section 2): big-endian numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublicKey {
    /// From 2048 to 8192 bits.
    Rsa {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
    /// A point of the curve P-256, each coordinate in 32 bytes.
    P256 {
        x: Vec<u8>,
        y: Vec<u8>,
    },
    Ed25519(Vec<u8>),
}

impl PublicKey {
    /// Whether signatures of this algorithm can be of this key.
    #[must_use]
    pub fn is_for(&self, algorithm: SignatureAlgorithm) -> bool {
        match self {
            Self::Rsa { .. } => matches!(algorithm, SignatureAlgorithm::Rs256 | SignatureAlgorithm::Ps256),
            Self::P256 { .. } => algorithm == SignatureAlgorithm::Es256,
            Self::Ed25519(_) => algorithm == SignatureAlgorithm::EdDsa,
        }
    }

    /// Whether `signature` is this key's over `message`. A key that is none verifies nothing.
    #[must_use]
    pub fn verifies(&self, algorithm: SignatureAlgorithm, message: &[u8], signature: &[u8]) -> bool {
        match (self, algorithm) {
            (Self::Rsa { modulus, exponent }, SignatureAlgorithm::Rs256 | SignatureAlgorithm::Ps256) => {
                let padding = match algorithm {
                    SignatureAlgorithm::Ps256 => &RSA_PSS_2048_8192_SHA256,
                    _ => &RSA_PKCS1_2048_8192_SHA256,
                };
                RsaPublicKeyComponents { n: modulus, e: exponent }.verify(padding, message, signature).is_ok()
            }
            (Self::P256 { x, y }, SignatureAlgorithm::Es256) if x.len() == 32 && y.len() == 32 => {
                // An uncompressed point (SEC 1, section 2.3.3).
                let point = [&[4], x.as_slice(), y.as_slice()].concat();
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature).is_ok()
            }
            (Self::Ed25519(key), SignatureAlgorithm::EdDsa) => {
                UnparsedPublicKey::new(&ED25519, key).verify(message, signature).is_ok()
            }
            _ => false,
        }
    }
}

/// SHA-256 of a text that others hash likewise: PKCE's challenge of its verifier (RFC 7636, section 4.2).
///
/// # Panics
/// Never: the digest has 32 bytes.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    digest::digest(&digest::SHA256, bytes).as_ref().try_into().expect("SHA-256 gives 32 bytes")
}
