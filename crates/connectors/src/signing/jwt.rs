//! Tokens that a client signs itself with a key of RSA (RFC 7515, RS256).

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use rustls::{
    SignatureScheme,
    crypto::aws_lc_rs::sign::any_supported_type,
    pki_types::{PrivateKeyDer, pem::PemObject as _},
    sign::{Signer, SigningKey},
};
use serde_json::Value;
use std::sync::Arc;

use super::sha256;

/// A private key of RSA.
pub(crate) struct RsaKey(Arc<dyn SigningKey>);

impl RsaKey {
    /// Of PEM, without a passphrase; `None` if it cannot be used.
    pub(crate) fn read(pem: &str) -> Option<Self> {
        let der = PrivateKeyDer::from_pem_slice(pem.as_bytes()).ok()?;
        let key = any_supported_type(&der).ok()?;
        key.choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256])?;
        Some(Self(key))
    }

    fn signer(&self) -> Option<Box<dyn Signer>> {
        self.0.choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256])
    }

    /// `header.claims.signature`; `None` if the key does not sign.
    pub(crate) fn token(&self, header: &Value, claims: &Value) -> Option<String> {
        let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let message = format!("{header}.{claims}");
        let signature = self.signer()?.sign(message.as_bytes()).ok()?;
        Some(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// `SHA256:` and the digest of the public half, as Snowflake names a key.
    pub(crate) fn fingerprint(&self) -> Option<String> {
        Some(format!("SHA256:{}", STANDARD.encode(sha256(self.0.public_key()?.as_ref()))))
    }
}

/// The same token with a signature that is none.
pub(crate) fn spoilt(token: &str, with: &str) -> String {
    let message = token.rsplit_once('.').map_or(token, |(message, _)| message);
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(with))
}

#[cfg(test)]
mod tests {
    use rcgen::{KeyPair, PKCS_RSA_SHA256, PublicKeyData as _, RsaKeySize};
    use rustls::crypto::aws_lc_rs::default_provider;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_token_is_signed_by_its_key_alone() {
        let pair = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).expect("a key");
        let key = RsaKey::read(&pair.serialize_pem()).expect("it can be used");
        let token = key.token(&json!({"alg": "RS256"}), &json!({"iss": "a"})).expect("it signs");
        let provider = default_provider();
        let algorithms = provider.signature_verification_algorithms.mapping;
        let (_, algorithms) = algorithms.iter().find(|(scheme, _)| *scheme == SignatureScheme::RSA_PKCS1_SHA256).expect("known");
        let is_signed = |token: &str| {
            let (message, signature) = token.rsplit_once('.').expect("three parts");
            let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64");
            algorithms.iter().any(|all| all.verify_signature(pair.der_bytes(), message.as_bytes(), &signature).is_ok())
        };
        assert!(is_signed(&token), "{token}");
        assert!(!is_signed(&spoilt(&token, "another")));
        assert_eq!(token.split('.').next(), Some("eyJhbGciOiJSUzI1NiJ9"));
        assert!(key.fingerprint().is_some_and(|print| print.starts_with("SHA256:") && print.len() == 51));
    }

    #[test]
    fn what_is_no_key_of_rsa_is_none() {
        let other = KeyPair::generate().expect("a key").serialize_pem();
        for pem in ["", "key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", &other] {
            assert!(RsaKey::read(pem).is_none(), "{pem}");
        }
    }
}
