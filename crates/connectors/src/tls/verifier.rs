//! Decides about the server's certificate, and remembers what it refused.
//!
//! The verdicts are those of libpq and Python's `ssl`, which the SDK's drivers use, so that a test and the work agree. Where
//! webpki differs from OpenSSL, this file follows OpenSSL:
//! - only a self-signed certificate among the pasted ones ends a chain; others merely help to build it
//!   (OpenSSL without `X509_V_FLAG_PARTIAL_CHAIN`); it must be valid today and, if it says anything about it, be a CA;
//! - a self-signed server certificate that is pasted itself is trusted, whether or not it calls itself a CA;
//! - a server certificate of X.509 version 1 (what PostgreSQL's manual makes, section 19.9.5), or one that calls itself a CA, is
//!   trusted if a pasted CA signed it directly; webpki takes neither (nor, under TLS 1.2, its key if it is of version 1);
//! - a certificate that lists no host name or address is matched by its common name (RFC 6125, section 6.4.4).

use std::sync::{Mutex, PoisonError};

use dataflow_model::TestError;
use rustls::{
    CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor, verify_server_name,
    },
    crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature_with_raw_key},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};

use super::{certificate, settings::TlsMode};
use crate::causes;

/// What ends a chain, and what helps to build one.
#[derive(Debug)]
pub(super) struct Trust {
    /// The machine's; empty if a CA was pasted.
    system: RootCertStore,
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
                trust.pinned.push(one);
            } else {
                trust.helpers.push(one);
            }
        }
        Some(trust)
    }

    pub(super) fn of_the_system(system: RootCertStore) -> Self {
        Self { system, pinned: Vec::new(), helpers: Vec::new(), is_pasted: false }
    }

    /// The pasted authorities that are valid now. If there are some and none is, the error says why.
    fn authorities(&self, now: UnixTime) -> Result<Vec<&CertificateDer<'static>>, Error> {
        let authorities: Vec<_> = self.pinned.iter().filter(|one| certificate::may_sign(one)).collect();
        let valid: Vec<_> = authorities.iter().copied().filter(|one| certificate::check_dates(one, now).is_ok()).collect();
        match authorities.first() {
            Some(first) if valid.is_empty() => certificate::check_dates(first, now).map(|()| valid),
            _ => Ok(valid),
        }
    }

    /// Checks that an authority stands at the end of the chain, and every date in it.
    fn check_chain(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
        algorithms: &WebPkiSupportedAlgorithms,
    ) -> Result<(), Error> {
        let authorities = self.authorities(now)?;
        let mut roots = self.system.clone();
        for one in &authorities {
            roots.add((*one).clone())?;
        }
        let chain: Vec<_> = intermediates.iter().chain(&self.helpers).cloned().collect();
        let judged = ParsedCertificate::try_from(leaf)
            .and_then(|parsed| verify_server_cert_signed_by_trust_anchor(&parsed, &roots, &chain, now, algorithms.all));
        match judged {
            // What webpki does not take; all other verdicts are final.
            Err(Error::InvalidCertificate(CertificateError::Other(_)))
                if authorities.iter().any(|one| certificate::is_signed_by(leaf, one)) =>
            {
                certificate::check_dates(leaf, now)
            }
            verdict => verdict,
        }
    }
}

/// The verifier of one connection.
#[derive(Debug)]
pub struct Verifier {
    mode: TlsMode,
    trust: Trust,
    algorithms: WebPkiSupportedAlgorithms,
    seen: Mutex<Seen>,
}

/// What the server presented, and why it was refused, if it was.
#[derive(Debug, Default)]
struct Seen {
    chain: Vec<CertificateDer<'static>>,
    refused: Option<CertificateError>,
}

impl Verifier {
    pub(super) fn new(mode: TlsMode, trust: Trust, algorithms: WebPkiSupportedAlgorithms) -> Self {
        Self { mode, trust, algorithms, seen: Mutex::default() }
    }

    /// The cause and the chain, if this verifier refused the server of the connection. `host` is the name it was called by.
    #[must_use]
    pub fn refusal(&self, host: &str) -> Option<TestError> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let reason = seen.refused.as_ref()?;
        let shown = certificate::describe(&seen.chain);
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

    /// Remembers why, if `verdict` is a refusal.
    fn remember<T>(&self, verdict: Result<T, Error>) -> Result<T, Error> {
        verdict.inspect_err(|error| {
            let reason = match error {
                Error::InvalidCertificate(reason) => reason.clone(),
                _ => CertificateError::BadEncoding,
            };
            self.seen.lock().unwrap_or_else(PoisonError::into_inner).refused = Some(reason);
        })
    }

    fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), Error> {
        if !self.mode.checks_chain() {
            return Ok(());
        }
        if self.trust.pinned.iter().any(|pinned| pinned == leaf) {
            certificate::check_dates(leaf, now)?;
        } else {
            self.trust.check_chain(leaf, intermediates, now, &self.algorithms)?;
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
        let chain = std::iter::once(leaf).chain(intermediates).map(|one| one.clone().into_owned()).collect();
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).chain = chain;
        self.remember(self.judge(leaf, intermediates, name, now).map(|()| ServerCertVerified::assertion()))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.remember(verify_tls12_signature(message, leaf, signature, &self.algorithms))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        // By the bare key: what the certificate around it says has been judged, and webpki reads no version 1.
        let verdict = match certificate::public_key(leaf) {
            Some(key) => verify_tls13_signature_with_raw_key(message, &key, signature, &self.algorithms),
            None => Err(CertificateError::BadEncoding.into()),
        };
        self.remember(verdict)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
