//! Looks at signatures as services do, by code of its own: what signs them is what is tested.

use std::{fmt::Write as _, sync::OnceLock};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use rcgen::{KeyPair, PKCS_RSA_SHA256, PublicKeyData as _, RsaKeySize};
use rustls::{
    SignatureScheme, SupportedCipherSuite,
    crypto::{
        aws_lc_rs::{cipher_suite::TLS13_AES_128_GCM_SHA256, default_provider},
        tls13::OkmBlock,
    },
};
use serde_json::Value;

use super::Asked;

/// A pair of keys for RSA.
#[derive(Debug)]
pub struct RsaPair {
    /// The private half.
    pub pem: String,
    public: Vec<u8>,
    /// The public half as certificates have it.
    info: Vec<u8>,
}

impl RsaPair {
    fn new() -> Self {
        let pair = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).expect("a key can be made");
        Self { pem: pair.serialize_pem(), public: pair.der_bytes().to_vec(), info: pair.subject_public_key_info() }
    }

    /// The pair whose public half services know.
    pub fn known() -> &'static Self {
        static KNOWN: OnceLock<RsaPair> = OnceLock::new();
        KNOWN.get_or_init(Self::new)
    }

    /// Another one.
    pub fn other() -> &'static Self {
        static OTHER: OnceLock<RsaPair> = OnceLock::new();
        OTHER.get_or_init(Self::new)
    }

    /// `SHA256:` and the digest of the public half.
    pub fn fingerprint(&self) -> String {
        format!("SHA256:{}", STANDARD.encode(sha256(&self.info)))
    }

    /// The claims of a token that this pair has signed (RFC 7515, section 5.2).
    pub fn claims(&self, token: &str) -> Option<Value> {
        let (message, signature) = token.rsplit_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        let (header, claims) = message.split_once('.')?;
        let read = |part: &str| serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(part).ok()?).ok();
        let algorithms = default_provider().signature_verification_algorithms.mapping;
        let (_, algorithms) = algorithms.iter().find(|(scheme, _)| *scheme == SignatureScheme::RSA_PKCS1_SHA256)?;
        let is_signed = algorithms.iter().any(|all| all.verify_signature(&self.public, message.as_bytes(), &signature).is_ok());
        (is_signed && read(header)?["alg"] == "RS256").then(|| read(claims)).flatten()
    }
}

/// HMAC-SHA-256, as TLS has it.
///
/// # Panics
/// If the key is longer than 64 bytes.
pub fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let SupportedCipherSuite::Tls13(suite) = TLS13_AES_128_GCM_SHA256 else { panic!("a suite of TLS 1.3") };
    suite.hkdf_provider.hmac_sign(&OkmBlock::new(key), message).as_ref().to_vec()
}

pub fn sha256(data: &[u8]) -> Vec<u8> {
    let SupportedCipherSuite::Tls13(suite) = TLS13_AES_128_GCM_SHA256 else { panic!("a suite of TLS 1.3") };
    suite.common.hash_provider.hash(data).as_ref().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// What a header of AWS says of who signed.
#[derive(Debug)]
pub struct AwsSignature {
    pub key_id: String,
    is_right: bool,
}

impl AwsSignature {
    /// Held against the secret (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>); `None` if nobody signed.
    pub fn read(asked: &Asked, service: &str, secret: &str) -> Option<Self> {
        let own = asked.header("authorization").strip_prefix("AWS4-HMAC-SHA256 ")?;
        let part = |name: &str| own.split(", ").find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
        let (credential, names, signature) = (part("Credential")?, part("SignedHeaders")?, part("Signature")?);
        let (key_id, scope) = credential.split_once('/')?;
        let [date, region, of, end] = scope.split('/').collect::<Vec<_>>().try_into().ok()?;
        let time = asked.header("x-amz-date");
        let body = hex(&sha256(&asked.body));
        let (path, query) = asked.target.split_once('?').unwrap_or((&asked.target, ""));
        let mut pairs: Vec<_> = query.split('&').filter(|pair| !pair.is_empty()).collect();
        pairs.sort_unstable();
        let mut canonical = format!("{}\n{path}\n{}\n", asked.method, pairs.join("&"));
        for name in names.split(';') {
            let _ = writeln!(canonical, "{name}:{}", asked.header(name));
        }
        let _ = write!(canonical, "\n{names}\n{body}");
        let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex(&sha256(canonical.as_bytes())));
        let mut key = format!("AWS4{secret}").into_bytes();
        for part in [date, region, of, end] {
            key = hmac(&key, part.as_bytes());
        }
        let is_whole = names.split(';').any(|name| name == "host")
            && names.split(';').any(|name| name == "x-amz-date")
            && (service != "s3" || asked.header("x-amz-content-sha256") == body);
        let is_right = is_whole
            && (of, end) == (service, "aws4_request")
            && time.starts_with(date)
            && hex(&hmac(&key, text.as_bytes())) == signature;
        Some(Self { key_id: key_id.to_owned(), is_right })
    }

    pub fn is_right(&self) -> bool {
        self.is_right
    }
}

/// Whether a header is that of Azure's Shared Key under this key
/// (<https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key#constructing-the-signature-string>).
pub fn is_shared_key(asked: &Asked, account: &str, key: &[u8]) -> bool {
    let (path, query) = asked.target.split_once('?').unwrap_or((&asked.target, ""));
    let mut lines = vec![asked.method.clone()];
    lines.extend(["content-encoding", "content-language"].map(|name| asked.header(name).to_owned()));
    lines.push(asked.header("content-length").trim_start_matches('0').to_owned());
    let others = ["content-md5", "content-type", "date", "if-modified-since", "if-match", "if-none-match"];
    lines.extend(others.map(|name| asked.header(name).to_owned()));
    lines.extend(["if-unmodified-since", "range"].map(|name| asked.header(name).to_owned()));
    lines.extend(["x-ms-date", "x-ms-version"].map(|name| format!("{name}:{}", asked.header(name))));
    lines.push(format!("/{account}{path}"));
    let mut pairs: Vec<_> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
    pairs.sort_unstable();
    lines.extend(pairs.iter().map(|(name, value)| format!("{name}:{value}")));
    let signature = STANDARD.encode(hmac(key, lines.join("\n").as_bytes()));
    asked.header("authorization") == format!("SharedKey {account}:{signature}")
}
