//! Who may connect: a cap in total and one per remote address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::ListenConfig;

/// How often refusals are logged; a flood of them must not become a flood of log lines.
const LOG_EVERY: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The server is full.
    Total,
    /// This address has its share.
    Address,
}

/// Counts open connections.
pub(super) struct Admission {
    total: usize,
    per_address: usize,
    from_loopback: usize,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    total: usize,
    by_origin: HashMap<IpAddr, usize>,
}

impl Admission {
    /// `total` may be lower than what `config` asks for, where the system has fewer open files.
    pub(super) fn new(config: &ListenConfig, total: usize) -> Self {
        Self {
            total,
            per_address: config.connections_per_address,
            from_loopback: config.connections_from_loopback,
            open: Mutex::default(),
        }
    }

    /// Counts one more connection, until the returned guard is dropped.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr) -> Result<Admitted, Refusal> {
        let origin = origin(address);
        let cap = if origin.is_loopback() { self.from_loopback } else { self.per_address };
        let mut open = self.open();
        if open.total >= self.total {
            return Err(Refusal::Total);
        }
        let from_here = open.by_origin.get(&origin).copied().unwrap_or(0);
        if from_here >= cap {
            return Err(Refusal::Address);
        }
        open.by_origin.insert(origin, from_here + 1);
        open.total += 1;
        Ok(Admitted { admission: self.clone(), origin })
    }

    /// The counts are whole after every statement, so a panic elsewhere cannot have left them wrong.
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One counted connection.
pub(super) struct Admitted {
    admission: Arc<Admission>,
    origin: IpAddr,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut open = self.admission.open();
        open.total = open.total.saturating_sub(1);
        if let Some(count) = open.by_origin.get_mut(&self.origin) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                open.by_origin.remove(&self.origin);
            }
        }
    }
}

/// What counts as one address: an IPv4 address (however written), or a /64 of IPv6.
#[must_use]
pub fn origin(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        address => address,
    }
}

/// Refusals since the last log line.
#[derive(Default)]
pub(super) struct Refusals {
    unlogged: u64,
    logged_at: Option<Instant>,
}

impl Refusals {
    pub(super) fn log(&mut self, refusal: Refusal, peer: SocketAddr) {
        self.unlogged += 1;
        if self.logged_at.is_none_or(|at| at.elapsed() >= LOG_EVERY) {
            let why = match refusal {
                Refusal::Total => "the server has as many connections as it may",
                Refusal::Address => "this address has as many connections as one may",
            };
            tracing::warn!(peer.address = %peer.ip(), connections.refused = self.unlogged, "connections were refused: {why}");
            (self.unlogged, self.logged_at) = (0, Some(Instant::now()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(total: usize) -> Arc<Admission> {
        let config = ListenConfig { connections_per_address: 2, connections_from_loopback: 3, ..ListenConfig::default() };
        Arc::new(Admission::new(&config, total))
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn an_address_has_its_share_and_gets_it_back() {
        let admission = admission(100);
        let held: Vec<_> = (0..2).map(|_| admission.admit(address("203.0.113.7")).expect("within the cap")).collect();
        assert_eq!(admission.admit(address("203.0.113.7")).err(), Some(Refusal::Address));
        assert_eq!(admission.admit(address("::ffff:203.0.113.7")).err(), Some(Refusal::Address), "the same address");
        assert!(admission.admit(address("203.0.113.8")).is_ok(), "another address");
        drop(held);
        assert!(admission.admit(address("203.0.113.7")).is_ok());
        assert!(admission.open().by_origin.is_empty(), "addresses that left are forgotten");
    }

    #[test]
    fn an_ipv6_network_is_one_address() {
        let admission = admission(100);
        let _held = [admission.admit(address("2001:db8:1:2::1")), admission.admit(address("2001:db8:1:2:ffff::9"))];
        assert_eq!(admission.admit(address("2001:db8:1:2::3")).err(), Some(Refusal::Address));
        assert!(admission.admit(address("2001:db8:1:3::1")).is_ok());
    }

    #[test]
    fn loopback_has_a_cap_of_its_own_and_all_share_the_total() {
        let admission = admission(4);
        let _held: Vec<_> = (0..3).map(|_| admission.admit(address("127.0.0.1")).expect("within the cap")).collect();
        assert_eq!(admission.admit(address("127.0.0.1")).err(), Some(Refusal::Address));
        let _last = admission.admit(address("203.0.113.7")).expect("the fourth of four");
        assert_eq!(admission.admit(address("203.0.113.8")).err(), Some(Refusal::Total));
    }
}
