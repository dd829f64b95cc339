//! Decides about the server's certificate, and remembers what it refused.
//!
//! The verdicts are those of libpq and Python's `ssl`, which the SDK's drivers use, so that a test and the work agree. Where
//! webpki differs from OpenSSL, this file follows OpenSSL:
//! - only a self-signed certificate among the pasted ones ends a chain; others merely help to build it
//!   (OpenSSL without `X509_V_FLAG_PARTIAL_CHAIN`);
//! - a self-signed server certificate that is pasted itself is trusted, whether or not it calls itself a CA;
//! - a certificate that lists no host name or address is matched by its common name (RFC 6125, section 6.4.4).

use std::sync::{Mutex, PoisonError};

use dataflow_model::TestError;
use rustls::{
    CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor, verify_server_name,
    },
    crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};

use super::{certificate, settings::TlsMode};
use crate::causes;

/// What ends a chain, and what helps to build one.
#[derive(Debug)]
pub(super) struct Trust {
    roots: RootCertStore,
    /// Self-signed certificates that were pasted: each is also trusted as the server's own.
    pinned: Vec<CertificateDer<'static>>,
    helpers: Vec<CertificateDer<'static>>,
    is_pasted: bool,
}

impl Trust {
    /// `None` if one of the certificates cannot be read.
    pub(super) fn pasted(certificates: Vec<CertificateDer<'static>>) -> Option<Self> {
        let mut trust = Self { is_pasted: true, ..Self::of_the_system(RootCertStore::empty()) };
        for one in certificates {
            if certificate::is_self_signed(&one)? {
                // webpki takes no root older than X.509 version 3; such a one can still be the server's own.
                let _ = trust.roots.add(one.clone());
                trust.pinned.push(one);
            } else {
                trust.helpers.push(one);
            }
        }
        Some(trust)
    }

    pub(super) fn of_the_system(roots: RootCertStore) -> Self {
        Self { roots, pinned: Vec::new(), helpers: Vec::new(), is_pasted: false }
    }
}

/// The verifier of one connection.
#[derive(Debug)]
pub struct Verifier {
    mode: TlsMode,
    trust: Trust,
    algorithms: WebPkiSupportedAlgorithms,
    refused: Mutex<Option<Refused>>,
}

#[derive(Debug)]
struct Refused {
    chain: Vec<CertificateDer<'static>>,
    reason: CertificateError,
}

impl Verifier {
    pub(super) fn new(mode: TlsMode, trust: Trust, algorithms: WebPkiSupportedAlgorithms) -> Self {
        Self { mode, trust, algorithms, refused: Mutex::new(None) }
    }

    /// The cause and the chain, if this verifier refused the server of the connection. `host` is the name it was called by.
    #[must_use]
    pub fn refusal(&self, host: &str) -> Option<TestError> {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let Refused { chain, reason } = refused.as_ref()?;
        let shown = certificate::describe(chain);
        let date = |at: &UnixTime| certificate::date(i64::try_from(at.as_secs()).unwrap_or(i64::MAX));
        Some(match reason {
            CertificateError::ExpiredContext { not_after, .. } => {
                causes::certificate_expired(shown, &format!("since {}", date(not_after)))
            }
            CertificateError::NotValidYetContext { not_before, .. } => {
                causes::certificate_expired(shown, &format!("before {}", date(not_before)))
            }
            CertificateError::Expired => causes::certificate_expired(shown, "at all: its dates contradict each other"),
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                let names = shown.first().map(|leaf| leaf.names.clone()).unwrap_or_default();
                causes::certificate_wrong_host(shown, host, &names)
            }
            _ => causes::certificate_untrusted(shown, self.trust.is_pasted),
        })
    }

    fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), Error> {
        if !self.mode.is_verified() {
            return Ok(());
        }
        if self.trust.pinned.iter().any(|pinned| pinned == leaf) {
            certificate::check_dates(leaf, now)?;
        } else {
            let chain: Vec<_> = intermediates.iter().chain(&self.trust.helpers).cloned().collect();
            let parsed = ParsedCertificate::try_from(leaf)?;
            verify_server_cert_signed_by_trust_anchor(&parsed, &self.trust.roots, &chain, now, self.algorithms.all)?;
        }
        if self.mode == TlsMode::VerifyFull { check_name(leaf, name) } else { Ok(()) }
    }
}

fn check_name(leaf: &CertificateDer<'_>, name: &ServerName<'_>) -> Result<(), Error> {
    if certificate::matches_common_name(leaf, &name.to_str()) {
        return Ok(());
    }
    match ParsedCertificate::try_from(leaf) {
        Ok(parsed) => verify_server_name(&parsed, name),
        Err(_) => Err(CertificateError::NotValidForName.into()),
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.judge(leaf, intermediates, name, now).map(|()| ServerCertVerified::assertion()).inspect_err(|error| {
            let reason = match error {
                Error::InvalidCertificate(reason) => reason.clone(),
                _ => CertificateError::BadEncoding,
            };
            let chain = std::iter::once(leaf).chain(intermediates).map(|one| one.clone().into_owned()).collect();
            *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(Refused { chain, reason });
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
