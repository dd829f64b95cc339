//! A provider's public keys: a JWK set (RFC 7517).

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use dataflow_vault::{PublicKey, SignatureAlgorithm};
use serde::Deserialize;

/// Most keys of one set: providers have two or three.
const KEYS_MAX: usize = 100;

/// One key, and what it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningKey {
    pub id: Option<String>,
    key: PublicKey,
    /// The one algorithm that the set names for it.
    algorithm: Option<SignatureAlgorithm>,
}

#[derive(Deserialize)]
struct JwkSet {
    keys: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// The keys of a set that can sign tokens. What is for something else, or of a kind that is not known, is left out (RFC 7517, section 5).
///
/// # Errors
/// If it is no set.
pub fn read(body: &[u8]) -> Result<Vec<SigningKey>, serde_json::Error> {
    let set: JwkSet = serde_json::from_slice(body)?;
    Ok(set.keys.into_iter().take(KEYS_MAX).filter_map(SigningKey::read).collect())
}

impl SigningKey {
    fn read(jwk: serde_json::Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(jwk).ok()?;
        let signs = jwk.purpose.as_deref().is_none_or(|purpose| purpose == "sig")
            && jwk.key_ops.as_ref().is_none_or(|operations| operations.iter().any(|operation| operation == "verify"));
        // An algorithm that is not taken is no algorithm at all: the key is for that one alone.
        let algorithm = jwk.alg.as_deref().map(SignatureAlgorithm::named);
        if !signs || algorithm == Some(None) {
            return None;
        }
        let number = |part: Option<String>| URL_SAFE_NO_PAD.decode(part?).ok();
        let key = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("RSA", _) => PublicKey::Rsa { modulus: number(jwk.n)?, exponent: number(jwk.e)? },
            ("EC", Some("P-256")) => PublicKey::P256 { x: number(jwk.x)?, y: number(jwk.y)? },
            ("OKP", Some("Ed25519")) => PublicKey::Ed25519(number(jwk.x)?),
            _ => return None,
        };
        Some(Self { id: jwk.kid, key, algorithm: algorithm.flatten() })
    }

    #[must_use]
    pub fn is_for(&self, algorithm: SignatureAlgorithm) -> bool {
        self.key.is_for(algorithm) && self.algorithm.is_none_or(|own| own == algorithm)
    }

    #[must_use]
    pub fn verifies(&self, algorithm: SignatureAlgorithm, message: &[u8], signature: &[u8]) -> bool {
        self.is_for(algorithm) && self.key.verifies(algorithm, message, signature)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_set_gives_the_keys_that_sign() {
        let rsa = json!({"kty": "RSA", "kid": "r", "n": "AQAB", "e": "AQAB"});
        let with = |name: &str, value: serde_json::Value| {
            let mut key = rsa.clone();
            key[name] = value;
            key
        };
        let set = json!({"keys": [
            rsa, with("use", json!("enc")), with("key_ops", json!(["encrypt"])), with("alg", json!("RSA-OAEP")), with("alg", json!("HS256")),
            with("n", json!("not base64!")), with("kty", json!("oct")), with("alg", json!("PS256")), 7, {"kty": "EC", "crv": "P-521", "x": "", "y": ""},
            {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}, {"kty": "OKP", "crv": "Ed25519", "x": "AA", "use": "sig", "key_ops": ["verify"]},
        ]});
        let keys = read(set.to_string().as_bytes()).expect("a set");
        let fits = |key: &SigningKey| {
            let all =
                [SignatureAlgorithm::Rs256, SignatureAlgorithm::Ps256, SignatureAlgorithm::Es256, SignatureAlgorithm::EdDsa];
            all.map(|algorithm| u8::from(key.is_for(algorithm)))
        };
        let fits: Vec<_> = keys.iter().map(fits).collect();
        assert_eq!(fits, [[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]);
        for no_set in ["", "{}", "[]", "{\"keys\": 1}", "<html>"] {
            assert!(read(no_set.as_bytes()).is_err(), "{no_set}");
        }
    }
}
