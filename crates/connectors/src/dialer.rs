//! The guarded dialer: the only place that opens a connection to another machine.
//!
//! A name is resolved once, every address is held against the policy, and exactly a checked address is dialled: what the name
//! would resolve to a moment later does not matter. The name itself is kept by the caller for TLS.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use dataflow_model::{StepName, TestError};
use tokio::net::TcpStream;

use crate::{DialPolicy, Steps, causes};

/// Opens connections within a policy and a deadline.
#[derive(Debug)]
pub struct Dialer {
    policy: DialPolicy,
    deadline: Instant,
}

/// Addresses that passed the policy. Only [`Dialer::resolve`] makes one, so nothing else can be dialled.
#[derive(Debug)]
pub struct Checked(Vec<SocketAddr>);

impl Checked {
    /// The addresses in the order in which they are tried; at least one.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.0
    }
}

impl Dialer {
    #[must_use]
    pub fn new(policy: DialPolicy, deadline: Instant) -> Self {
        Self { policy, deadline }
    }

    /// The steps `resolve` and `reach`: a connected stream to `host`.
    ///
    /// # Errors
    /// Name not found, address not allowed, host unreachable, port closed, timed out.
    pub async fn dial(&self, host: &str, port: u16, steps: &mut Steps) -> Result<TcpStream, TestError> {
        steps.begin(StepName::Resolve);
        let checked = self.resolve(host, port).await?;
        steps.done(checked.0.first().map(|address| address.ip().to_string()));
        steps.begin(StepName::Reach);
        let stream = self.reach(host, &checked).await?;
        steps.done(stream.peer_addr().ok().map(|address| address.to_string()));
        Ok(stream)
    }

    /// Resolves `host` once and keeps the addresses that the policy permits.
    ///
    /// # Errors
    /// The name is unknown, or every address of it is forbidden.
    pub async fn resolve(&self, host: &str, port: u16) -> Result<Checked, TestError> {
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        let found = match bare.parse::<IpAddr>() {
            Ok(address) => vec![SocketAddr::new(address, port)],
            // A name of many addresses is no reason for a long test.
            Err(_) => match tokio::net::lookup_host((bare, port)).await {
                Ok(found) => found.take(16).collect(),
                Err(_) => return Err(causes::name_not_found(host)),
            },
        };
        if found.is_empty() {
            return Err(causes::name_not_found(host));
        }
        let checked: Vec<_> = found.into_iter().filter(|address| self.policy.permits(address.ip())).collect();
        if checked.is_empty() { Err(causes::address_not_allowed(host)) } else { Ok(Checked(checked)) }
    }

    /// Connects to the first address that answers. Each gets an equal share of the time that is left.
    ///
    /// # Errors
    /// What the last address failed with.
    pub async fn reach(&self, host: &str, checked: &Checked) -> Result<TcpStream, TestError> {
        let mut last = causes::host_unreachable(host);
        for (index, address) in checked.0.iter().enumerate() {
            let left = self.deadline.saturating_duration_since(Instant::now());
            let share = left / u32::try_from(checked.0.len() - index).unwrap_or(1);
            match connect(*address, share).await {
                Ok(stream) => {
                    // Without it the second small write of a sign-in waits for the first one's acknowledgement.
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Err(error) => last = refusal(&error, host, address.port()),
            }
        }
        Err(last)
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the guarded dialer; the address was checked")]
async fn connect(address: SocketAddr, share: Duration) -> io::Result<TcpStream> {
    tokio::time::timeout(share, TcpStream::connect(address)).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

fn refusal(error: &io::Error, host: &str, port: u16) -> TestError {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => causes::port_closed(host, port),
        io::ErrorKind::TimedOut => causes::timed_out(StepName::Reach),
        _ => causes::host_unreachable(host),
    }
}
