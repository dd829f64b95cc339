//! What can stop the listener from starting, told to a person.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error("Port {} on {} is taken by another program. Stop it, or choose another with --listen.", .0.port(), .0.ip())]
    PortTaken(SocketAddr),
    #[error(
        "Port {} on {} needs rights that this program lacks. Choose a port above 1023 with --listen, or grant it CAP_NET_BIND_SERVICE.",
        .0.port(), .0.ip()
    )]
    PortForbidden(SocketAddr),
    #[error("This machine has no address {}. Choose one that it has with --listen.", .0.ip())]
    NotOurAddress(SocketAddr),
    #[error("Port {} on {} cannot be opened: {source}.", .address.port(), .address.ip())]
    Bind { address: SocketAddr, source: io::Error },
    #[error("{} cannot be read: {source}. Name a readable PEM file with {option}.", .path.display())]
    TlsFile { option: &'static str, path: PathBuf, source: io::Error },
    #[error("{} holds no {what}. Name a PEM file that holds one with {option}.", .path.display())]
    TlsContent { option: &'static str, what: &'static str, path: PathBuf },
    #[error("{} and {} cannot be used together: {source}. Name a certificate and the private key it was issued for.",
        .certificate.display(), .key.display())]
    TlsPair { certificate: PathBuf, key: PathBuf, source: tokio_rustls::rustls::Error },
}

impl ListenError {
    pub(super) fn bind(address: SocketAddr, source: io::Error) -> Self {
        match source.kind() {
            ErrorKind::AddrInUse => Self::PortTaken(address),
            ErrorKind::PermissionDenied => Self::PortForbidden(address),
            ErrorKind::AddrNotAvailable => Self::NotOurAddress(address),
            _ => Self::Bind { address, source },
        }
    }
}
