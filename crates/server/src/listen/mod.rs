//! The accept loop: HTTP/1.1 on hyper, in the clear or under TLS, with a deadline for everything that a client can delay.
//!
//! Here belongs what is decided before a request exists: sockets, TLS, how many connections, how long each may keep us waiting,
//! and the orderly end. What happens to a request is the router's (panics, time of handlers) and the extractors' (size, and by `throttle` how
//! many come in a time).
//!
//! `axum::serve` is not used because it lets a client take any time over a request's head.

mod admission;
mod connection;
mod error;
mod files;
mod pace;
mod proxies;
mod tls;

#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::http::request::Parts;
use dataflow_connectors::Cidr;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

pub use admission::origin;
pub use connection::HEAD_MAX;
pub use error::ListenError;
pub use pace::Limits;
pub use tls::{Tls, TlsFiles};

use admission::Admission;
use connection::{Connection, Shared, Stage};

/// Who asks, in every request's extensions: whoever is at the other end of the socket or, where that is a reverse proxy that the operator
/// trusts, whom it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerAddress(pub SocketAddr);

impl PeerAddress {
    /// Where a request comes from; `None` where it came through no socket.
    #[must_use]
    pub fn of(parts: &Parts) -> Option<IpAddr> {
        parts.extensions.get::<Self>().map(|peer| peer.0.ip())
    }
}

/// What the accept loop allows.
#[derive(Debug)]
pub struct ListenConfig {
    /// Connections open at once; fewer where the operating system grants fewer open files. More are closed at once.
    pub connections: usize,
    /// Connections open at once from one address (of IPv6, from one /64 network, since one customer holds all of it).
    pub connections_per_address: usize,
    /// The same for loopback, where a reverse proxy brings the connections of everybody.
    pub connections_from_loopback: usize,
    pub limits: Limits,
    /// How long requests in flight may take after the shutdown signal, before they are cut off.
    pub drain: Duration,
    /// Serve TLS; `None` serves in the clear.
    pub tls: Option<Tls>,
    /// Peers whose `X-Forwarded-For` counts.
    pub trusted_proxies: Vec<Cidr>,
}

impl Default for ListenConfig {
    fn default() -> Self {
        Self {
            connections: 10_000,
            connections_per_address: 256,
            connections_from_loopback: 10_000,
            limits: Limits::default(),
            drain: Duration::from_secs(10),
            tls: None,
            trusted_proxies: Vec::new(),
        }
    }
}

/// Opens the listening socket.
///
/// # Errors
/// One sentence for a person: the port is taken, needs more rights, or the address is not this machine's.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address).await.map_err(|source| ListenError::bind(address, source))
}

/// Serves `router` on `listener` until `shutdown` ends, then closes the listener and the idle connections, lets requests in flight
/// finish for at most [`ListenConfig::drain`], and returns when the last connection is closed.
///
/// A client that is late or leaves is answered by dropping its request's future, so a handler must be safe to drop at any `await`.
pub async fn serve(listener: TcpListener, config: ListenConfig, router: axum::Router, shutdown: impl Future<Output = ()>) {
    let admission = Arc::new(Admission::new(&config, files::room_for(config.connections)));
    let reloading = config.tls.clone().map(|tls| tokio::spawn(tls.follow_files()));
    let ListenConfig { limits, drain, tls, trusted_proxies, .. } = config;
    let shared = Arc::new(Shared { limits, drain, tls, trusted_proxies, router });
    let (stage, at_stage) = watch::channel(Stage::Serving);
    let (alive, mut all_closed) = mpsc::channel::<std::convert::Infallible>(1);
    let mut refusals = admission::Refusals::default();

    tokio::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut shutdown => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => match admission.admit(peer.ip()) {
                Ok(admitted) => {
                    let connection = Connection { stream, peer, shared: shared.clone(), stage: at_stage.clone() };
                    let alive = alive.clone();
                    tokio::spawn(async move {
                        connection.run().await;
                        drop((admitted, alive));
                    });
                }
                Err(refusal) => refusals.log(refusal, peer),
            },
            Err(error) => pause_after(&error).await,
        }
    }

    drop((listener, alive));
    stage.send_replace(Stage::Draining);
    all_closed.recv().await;
    if let Some(reloading) = reloading {
        reloading.abort();
    }
}

/// A client that left before it was accepted costs nothing. Any other cause (no file descriptors, no memory) lasts a while, and
/// without a pause the loop would spin on it.
async fn pause_after(error: &std::io::Error) {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    if !matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted) {
        tracing::error!(%error, "a connection could not be accepted; trying again in 1 s");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
