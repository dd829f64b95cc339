//! TLS as a connection's fields ask for it: never weaker than asked, never a second try with less.
//!
//! | mode | chain | dates | host name |
//! |---|---|---|---|
//! | `verify-full` | yes | yes | yes |
//! | `verify-ca` | yes | yes | no |
//! | `require` | no | no | no |

mod certificate;
mod roots;
mod settings;
mod verifier;

use std::{io, net::IpAddr, sync::Arc};

use dataflow_model::{StepName, TestError, report::Certificate};
use rustls::{
    AlertDescription,
    pki_types::{CertificateDer, ServerName},
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsConnector, client::TlsStream};

pub use roots::SystemRoots;
pub use settings::{Demand, TlsMode, TlsSettings};
pub use verifier::Verifier;

use crate::causes;

/// Sets TLS up over `stream`, on which the protocol has just agreed to begin it.
///
/// `roots` end a chain where the settings name no authority; `product` is named if what answers is no TLS at all.
///
/// # Errors
/// Certificate refused by us, client certificate refused by the server, TLS too old, not that database, connection lost.
pub async fn secure<S>(
    settings: &TlsSettings<'_>,
    roots: &SystemRoots,
    host: &str,
    product: &str,
    stream: S,
) -> Result<TlsStream<S>, TestError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (config, verifier) = settings.client_config(roots)?;
    let name = server_name(host, settings.mode())?;
    TlsConnector::from(config).connect(name, stream).await.map_err(|error| {
        verifier
            .refusal(host)
            .or_else(|| refused_by_server(&error, settings))
            .unwrap_or_else(|| handshake_failure(&error, product))
    })
}

/// A chain as a person reads it, leaf first.
#[must_use]
pub fn describe(chain: &[CertificateDer<'_>]) -> Vec<Certificate> {
    certificate::describe(chain)
}

/// What the two ends agreed on, and when the server's certificate ends.
#[derive(Debug, Default)]
pub struct Agreed {
    /// As a step's detail: `TLS 1.3`.
    pub version: Option<String>,
    /// As RFC 3339.
    pub certificate_ends_at: Option<String>,
}

#[must_use]
pub fn agreed<S>(stream: &TlsStream<S>) -> Agreed {
    let session = stream.get_ref().1;
    let version = session.protocol_version().and_then(|version| match version {
        rustls::ProtocolVersion::TLSv1_2 => Some("TLS 1.2".to_owned()),
        rustls::ProtocolVersion::TLSv1_3 => Some("TLS 1.3".to_owned()),
        _ => None,
    });
    let leaf = session.peer_certificates().and_then(<[_]>::first);
    Agreed { version, certificate_ends_at: leaf.and_then(certificate::end) }
}

/// A second since 1970 as RFC 3339, of a server that tells when something ends.
#[must_use]
pub fn timestamp(second: i64) -> Option<String> {
    Some(certificate::timestamp(second)).filter(|text| !text.is_empty())
}

/// `tls-server-end-point` channel binding (RFC 5929) of the server's certificate; `None` where its signature names no hash.
#[must_use]
pub fn channel_binding<S>(stream: &TlsStream<S>) -> Option<Vec<u8>> {
    certificate::end_point_hash(stream.get_ref().1.peer_certificates()?.first()?)
}

/// The refusal of our client certificate (or of its absence), if that is what `error` is.
///
/// With TLS 1.3 the server says so only after the handshake, so the first reads have to be asked as well.
#[must_use]
pub fn refused_by_server(error: &io::Error, settings: &TlsSettings) -> Option<TestError> {
    let Some(rustls::Error::AlertReceived(alert)) = tls_error(error) else { return None };
    match alert {
        AlertDescription::CertificateRequired => Some(causes::client_certificate_missing()),
        AlertDescription::HandshakeFailure if !settings.has_client_certificate() => None,
        AlertDescription::HandshakeFailure
        | AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnknownCA
        | AlertDescription::AccessDenied => Some(if settings.has_client_certificate() {
            causes::client_certificate_refused()
        } else {
            causes::client_certificate_missing()
        }),
        _ => None,
    }
}

fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>())
}

fn handshake_failure(error: &io::Error, product: &str) -> TestError {
    match tls_error(error) {
        Some(
            rustls::Error::PeerIncompatible(_)
            | rustls::Error::AlertReceived(
                AlertDescription::ProtocolVersion | AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity,
            ),
        ) => causes::tls_too_old(),
        Some(_) => causes::not_that_database(product),
        None => causes::connection_lost(StepName::Secure),
    }
}

/// A host that is no possible name in a certificate cannot be verified; where the name is not verified, any will do.
fn server_name(host: &str, mode: TlsMode) -> Result<ServerName<'static>, TestError> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    match ServerName::try_from(bare.trim_end_matches('.').to_owned()) {
        Ok(name) => Ok(name),
        Err(_) if mode == TlsMode::VerifyFull => Err(causes::certificate_wrong_host(Vec::new(), host, &[])),
        Err(_) => Ok(ServerName::IpAddress(IpAddr::from([127, 0, 0, 1]).into())),
    }
}

/// Bytes that nobody can foretell.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], TestError> {
    let mut bytes = [0; N];
    provider().secure_random.fill(&mut bytes).map_err(|_| causes::test_broken("there are no random numbers"))?;
    Ok(bytes)
}

/// The one provider of cryptography.
fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}
