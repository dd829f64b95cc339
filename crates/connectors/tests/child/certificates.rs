//! Certificates of every shape that a server may have, made for the test.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
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
