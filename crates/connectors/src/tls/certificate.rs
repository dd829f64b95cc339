//! Reads certificates that a server presented: to show them, and for what webpki does not answer. All of it is foreign.

use std::{fmt::Write as _, net::IpAddr};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use dataflow_model::report::Certificate;
use rustls::{
    CertificateError, Error,
    pki_types::{CertificateDer, SubjectPublicKeyInfoDer, UnixTime},
};
use sha2::{Digest as _, Sha256, Sha384, Sha512};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate, X509Version};

use crate::scrub::printable;

/// Most certificates of a chain that are shown; a longer chain is no honest server's.
const SHOWN: usize = 8;
/// Most names of a certificate that are shown.
const NAMES: usize = 20;

fn parse<'a>(der: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
    X509Certificate::from_der(der.as_ref()).ok().map(|(_, certificate)| certificate)
}

/// The chain as a person reads it, leaf first.
pub(super) fn describe(chain: &[CertificateDer<'_>]) -> Vec<Certificate> {
    chain.iter().take(SHOWN).map(describe_one).collect()
}

fn describe_one(der: &CertificateDer<'_>) -> Certificate {
    let parsed = parse(der);
    let text = |read: fn(&X509Certificate<'_>) -> String| parsed.as_ref().map(read).unwrap_or_default();
    Certificate {
        subject: printable(&text(|certificate| certificate.subject().to_string())),
        issuer: printable(&text(|certificate| certificate.issuer().to_string())),
        names: parsed.as_ref().map(|certificate| names(certificate)).unwrap_or_default(),
        not_before: text(|certificate| timestamp(certificate.validity().not_before.timestamp())),
        not_after: text(|certificate| timestamp(certificate.validity().not_after.timestamp())),
        fingerprint: fingerprint(der),
        pem: pem(der),
        pinnable: is_self_signed(der).unwrap_or_default(),
    }
}

/// When it ends, as RFC 3339.
pub(super) fn end(der: &CertificateDer<'_>) -> Option<String> {
    parse(der).map(|certificate| timestamp(certificate.validity().not_after.timestamp()))
}

/// Host names and addresses: the alternative names, or the common name where there are none.
fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let listed = alternative_names(certificate);
    let all = if listed.is_empty() { common_names(certificate) } else { listed };
    all.into_iter().take(NAMES).map(|name| printable(&name)).collect()
}

fn alternative_names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else { return Vec::new() };
    extension
        .value
        .general_names
        .iter()
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            GeneralName::IPAddress(bytes) => <[u8; 4]>::try_from(*bytes)
                .map(IpAddr::from)
                .or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from))
                .ok()
                .map(|address| address.to_string()),
            _ => None,
        })
        .collect()
}

fn common_names(certificate: &X509Certificate<'_>) -> Vec<String> {
    certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok()).map(str::to_owned).collect()
}

/// Whether the certificate lists no host name or address, and its common name is `host`, or covers it as `*.example.org` does.
pub(super) fn matches_common_name(der: &CertificateDer<'_>, host: &str) -> bool {
    let Some(certificate) = parse(der) else { return false };
    alternative_names(&certificate).is_empty()
        && common_names(&certificate).iter().any(|name| {
            name.eq_ignore_ascii_case(host)
                || name.strip_prefix("*.").zip(host.split_once('.')).is_some_and(|(domain, (label, rest))| {
                    host.parse::<IpAddr>().is_err()
                        && !label.is_empty()
                        && domain.contains('.')
                        && domain.eq_ignore_ascii_case(rest)
                })
        })
}

/// Whether issuer and subject are the same, which is what OpenSSL asks of the end of a chain. `None` if it cannot be read.
pub(super) fn is_self_signed(der: &CertificateDer<'_>) -> Option<bool> {
    parse(der).map(|certificate| certificate.issuer().as_raw() == certificate.subject().as_raw())
}

/// Whether a self-signed certificate may sign others: it is a CA, or so old (version 1) that it cannot say.
pub(super) fn may_sign(der: &CertificateDer<'_>) -> bool {
    parse(der).is_some_and(|certificate| {
        let key_may = certificate.key_usage().is_ok_and(|usage| usage.is_none_or(|usage| usage.value.key_cert_sign()));
        certificate.version() == X509Version::V1 || (certificate.is_ca() && key_may)
    })
}

/// Whether `authority` signed the server's certificate `leaf` itself, and nothing that `leaf` says speaks against its use.
pub(super) fn is_signed_by(leaf: &CertificateDer<'_>, authority: &CertificateDer<'_>) -> bool {
    // With SHA-1, which can be forged; OpenSSL refuses it too.
    const FORGEABLE: [&str; 2] = ["1.2.840.113549.1.1.5", "1.3.14.3.2.29"];
    let (Some(leaf), Some(authority)) = (parse(leaf), parse(authority)) else { return false };
    let purpose = match leaf.extended_key_usage() {
        Ok(usage) => usage.is_none_or(|usage| usage.value.server_auth || usage.value.any),
        Err(_) => false,
    };
    let understood = leaf.iter_extensions().filter(|extension| extension.critical).all(|extension| {
        use x509_parser::extensions::ParsedExtension as Known;
        matches!(
            extension.parsed_extension(),
            Known::BasicConstraints(_) | Known::KeyUsage(_) | Known::ExtendedKeyUsage(_) | Known::SubjectAlternativeName(_)
        )
    });
    purpose
        && understood
        && leaf.issuer().as_raw() == authority.subject().as_raw()
        && !FORGEABLE.contains(&leaf.signature_algorithm.algorithm.to_id_string().as_str())
        && leaf.verify_signature(Some(authority.public_key())).is_ok()
}

/// The key that the certificate is for.
pub(super) fn public_key(der: &CertificateDer<'_>) -> Option<SubjectPublicKeyInfoDer<'static>> {
    parse(der).map(|certificate| SubjectPublicKeyInfoDer::from(certificate.public_key().raw.to_vec()))
}

/// For a certificate whose chain webpki does not check.
pub(super) fn check_dates(der: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let certificate = parse(der).ok_or(CertificateError::BadEncoding)?;
    let unix = |seconds: i64| UnixTime::since_unix_epoch(std::time::Duration::from_secs(u64::try_from(seconds).unwrap_or(0)));
    let not_before = unix(certificate.validity().not_before.timestamp());
    let not_after = unix(certificate.validity().not_after.timestamp());
    if now < not_before {
        return Err(CertificateError::NotValidYetContext { time: now, not_before }.into());
    }
    if now > not_after {
        return Err(CertificateError::ExpiredContext { time: now, not_after }.into());
    }
    Ok(())
}

/// The hash of RFC 5929, section 4.1: that of the certificate's signature, with MD5 and SHA-1 lifted to SHA-256.
pub(super) fn end_point_hash(der: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let certificate = parse(der)?;
    let hash = match certificate.signature_algorithm.algorithm.to_id_string().as_str() {
        // md5, sha1 and sha256 with RSA; sha1 and sha256 with ECDSA
        "1.2.840.113549.1.1.4"
        | "1.2.840.113549.1.1.5"
        | "1.2.840.113549.1.1.11"
        | "1.2.840.10045.4.1"
        | "1.2.840.10045.4.3.2" => Sha256::digest(der).to_vec(),
        "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => Sha384::digest(der).to_vec(),
        "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => Sha512::digest(der).to_vec(),
        // Ed25519 and RSA-PSS name no single hash.
        _ => return None,
    };
    Some(hash)
}

fn fingerprint(der: &CertificateDer<'_>) -> String {
    let mut out = String::with_capacity(95);
    for byte in Sha256::digest(der) {
        if !out.is_empty() {
            out.push(':');
        }
        let _ = write!(out, "{byte:02x}");
    }
    out
}

fn pem(der: &CertificateDer<'_>) -> String {
    let mut out = "-----BEGIN CERTIFICATE-----\n".to_owned();
    let mut rest = STANDARD.encode(der);
    while !rest.is_empty() {
        let tail = rest.split_off(rest.len().min(64));
        out.push_str(&rest);
        out.push('\n');
        rest = tail;
    }
    out.push_str("-----END CERTIFICATE-----\n");
    out
}

pub(super) fn timestamp(seconds: i64) -> String {
    OffsetDateTime::from_unix_timestamp(seconds).ok().and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_default()
}

/// The day of a Unix time: `2026-11-22`.
pub(super) fn date(seconds: i64) -> String {
    timestamp(seconds).split('T').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A certificate with one byte replaced, at every place: foreign bytes of the worst kind, those that nearly parse.
    #[test]
    fn a_bent_certificate_is_described_or_not_but_never_breaks_anything() {
        let key = rcgen::KeyPair::generate().expect("a key");
        let params = rcgen::CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).expect("names");
        let good = params.self_signed(&key).expect("signed").der().to_vec();
        let whole = CertificateDer::from(good.clone());
        let shown = describe_one(&whole);
        assert_eq!(shown.names, ["localhost", "127.0.0.1"]);
        assert_eq!(end_point_hash(&whole).map(|hash| hash.len()), Some(32));
        for place in 0..good.len() {
            for byte in [0x00, 0x30, 0x7f, 0x80, 0xff] {
                let mut bent = good.clone();
                bent[place] = byte;
                let bent = CertificateDer::from(bent);
                let shown = describe_one(&bent);
                assert_eq!(shown.fingerprint.len(), 95);
                let _ = (is_self_signed(&bent), may_sign(&bent), is_signed_by(&bent, &whole), public_key(&bent));
                assert!(!matches_common_name(&bent, "localhost") || shown.names != ["localhost", "127.0.0.1"]);
            }
        }
    }

    #[test]
    fn fuzz_certificates() {
        let key = rcgen::KeyPair::generate().expect("a key");
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned(), "*.example.org".to_owned()];
        let mut params = rcgen::CertificateParams::new(names).expect("names");
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Constrained(1));
        params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(rcgen::DnType::CommonName, "localhost");
        let good = params.self_signed(&key).expect("signed").der().to_vec();
        let whole = CertificateDer::from(good.clone());
        dataflow_fuzz::fuzz(&[&good], |bytes| {
            let bent = CertificateDer::from(bytes);
            assert_eq!(describe_one(&bent).fingerprint.len(), 95);
            let _ = (is_self_signed(&bent), may_sign(&bent), public_key(&bent), end_point_hash(&bent));
            let _ = (is_signed_by(&bent, &whole), matches_common_name(&bent, "localhost"));
            let _ = check_dates(&bent, UnixTime::since_unix_epoch(std::time::Duration::from_secs(1_900_000_000)));
        });
    }
}
