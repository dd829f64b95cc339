//! Certificates of every shape that a server may have, made for the test.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SigningKey as _, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// An authority that signs.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// What a server (or a client) has: its chain, leaf first, and its key.
pub struct Identity {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: KeyPair,
    /// The leaf.
    pub pem: String,
}

impl Identity {
    pub fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.serialize_der()).into()
    }
}

fn named(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = named(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    params
}

fn key() -> KeyPair {
    KeyPair::generate().expect("a key")
}

impl Authority {
    pub fn root(name: &str) -> Self {
        Self(CertifiedIssuer::self_signed(authority(name), key()).expect("a root"))
    }

    pub fn intermediate(&self, name: &str) -> Self {
        Self(CertifiedIssuer::signed_by(authority(name), key(), &self.0).expect("an intermediate"))
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    pub fn der(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    /// An authority whose certificate is over.
    pub fn expired_root(name: &str) -> Self {
        Self(CertifiedIssuer::self_signed(expired(authority(name)), key()).expect("a root"))
    }

    /// Issues in the form of X.509 version 1, which has no extensions: what `openssl x509 -req` makes by itself.
    pub fn issue_version_1(&self, params: &CertificateParams) -> Identity {
        let mut identity = self.issue(params);
        let leaf = identity.chain.remove(0);
        let body = elements(content(&leaf)).remove(0);
        // Version and extensions are the elements with the tags [0] and [3].
        let kept: Vec<_> =
            elements(content(body)).into_iter().filter(|part| !matches!(part.first(), Some(0xa0 | 0xa3))).collect();
        let body = element(0x30, &kept.concat());
        let signature = self.0.key().sign(&body).expect("signed");
        let algorithm = kept.get(1).expect("serial number, then algorithm");
        let whole = [body.as_slice(), algorithm, &element(0x03, &[&[0], signature.as_slice()].concat())].concat();
        let leaf = CertificateDer::from(element(0x30, &whole));
        identity.pem = pem(&leaf);
        Identity { chain: vec![leaf], ..identity }
    }

    pub fn issue(&self, params: &CertificateParams) -> Identity {
        let key = key();
        let leaf = params.signed_by(&key, &self.0).expect("signed");
        Identity { chain: vec![leaf.der().clone()], pem: leaf.pem(), key }
    }
}

/// A server's certificate for `names`, to be signed.
pub fn server(names: &[&str]) -> CertificateParams {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("names");
    params.distinguished_name = named("a server");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params
}

/// A certificate that names its host only as the common name.
pub fn common_name_only(name: &str) -> CertificateParams {
    let mut params = server(&[]);
    params.distinguished_name = named(name);
    params
}

pub fn expired(mut params: CertificateParams) -> CertificateParams {
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2021, 2, 3);
    params
}

pub fn not_yet_valid(mut params: CertificateParams) -> CertificateParams {
    params.not_before = date_time_ymd(2090, 1, 1);
    params.not_after = date_time_ymd(2091, 1, 1);
    params
}

pub fn for_clients(mut params: CertificateParams) -> CertificateParams {
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

/// Calls itself a CA, as `openssl req -x509` makes them.
pub fn as_authority(mut params: CertificateParams) -> CertificateParams {
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

pub fn self_signed(params: &CertificateParams) -> Identity {
    let key = key();
    let leaf = params.self_signed(&key).expect("signed");
    Identity { chain: vec![leaf.der().clone()], pem: leaf.pem(), key }
}

/// A DER element.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(content.len()).expect("short").to_be_bytes();
    // DER takes the shortest form of a length.
    let header = match (high, low) {
        (0, ..0x80) => vec![tag, low],
        (0, _) => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    [header.as_slice(), content].concat()
}

/// Lengths of the header and of the content of the DER element at the beginning.
fn measure(der: &[u8]) -> (usize, usize) {
    match *der {
        [_, 0x81, one, ..] => (3, one.into()),
        [_, 0x82, high, low, ..] => (4, u16::from_be_bytes([high, low]).into()),
        [_, short, ..] => (2, short.into()),
        _ => (0, 0),
    }
}

fn content(der: &[u8]) -> &[u8] {
    der.split_at(measure(der).0).1
}

/// The DER elements that stand one after the other.
fn elements(mut der: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    while !der.is_empty() {
        let (header, content) = measure(der);
        let (one, rest) = der.split_at(header + content);
        found.push(one);
        der = rest;
    }
    found
}

fn pem(der: &CertificateDer<'_>) -> String {
    use base64::Engine as _;
    let body = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
}
