//! The guarded dialer: the only place that opens a connection to another machine.
//!
//! A name is resolved once, every address is held against the policy, and exactly a checked address is dialled: what the name
//! would resolve to a moment later does not matter. The name itself is kept by the caller for TLS. Where a connection goes through another one,
//! that one is dialled so, and asked to lead on.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use dataflow_model::{StepName, TestError};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

use crate::{
    DialPolicy, Steps, causes,
    hops::{self, Way},
    tls::SystemRoots,
};

/// A connection, plain or inside TLS.
pub trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Duplex for S {}

/// Opens connections within a policy and a deadline, and has at hand what TLS over them is verified with.
#[derive(Debug)]
pub struct Dialer {
    policy: DialPolicy,
    deadline: Instant,
    roots: Arc<SystemRoots>,
    names: Names,
    way: Option<Arc<Way>>,
}

/// Whom the addresses of a name are asked of.
#[derive(Debug)]
enum Names {
    System,
    /// What is answered each time that is asked, last first.
    #[cfg(test)]
    Scripted(std::sync::Mutex<Vec<Vec<SocketAddr>>>),
}

impl Names {
    async fn addresses(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        match self {
            Self::System => system_addresses(host, port).await,
            #[cfg(test)]
            Self::Scripted(answers) => Ok(answers.lock().expect("not poisoned").pop().expect("one more answer")),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the guarded dialer; what is found is held against the policy")]
async fn system_addresses(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    // A name of many addresses is no reason for a long test.
    Ok(tokio::net::lookup_host((host, port)).await?.take(16).collect())
}

/// A place that passed the policy. Only [`Dialer::resolve`] makes one, so nothing else can be dialled.
#[derive(Debug)]
pub struct Checked(Found);

#[derive(Debug)]
enum Found {
    /// In the order in which they are tried; at least one.
    Addresses(Vec<SocketAddr>),
    /// The name is looked up there.
    Beyond { port: u16 },
}

impl Checked {
    /// The addresses in the order in which they are tried; none of what lies beyond a hop.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        match &self.0 {
            Found::Addresses(addresses) => addresses,
            Found::Beyond { .. } => &[],
        }
    }
}

impl Dialer {
    #[must_use]
    pub fn new(policy: DialPolicy, deadline: Instant, roots: SystemRoots) -> Self {
        Self { policy, deadline, roots: Arc::new(roots), names: Names::System, way: None }
    }

    /// The same, going the way of a connection, if it names one.
    #[must_use]
    pub fn by(self, way: Option<Arc<Way>>) -> Self {
        Self { way, ..self }
    }

    /// The same without a hop: what the hop itself is dialled with.
    fn direct(&self) -> Self {
        Self {
            policy: self.policy.clone(),
            deadline: self.deadline,
            roots: Arc::clone(&self.roots),
            names: Names::System,
            way: None,
        }
    }

    /// How long there is left until the deadline.
    pub(crate) fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// The authorities that this machine trusts.
    #[must_use]
    pub fn system_roots(&self) -> &SystemRoots {
        &self.roots
    }

    /// The steps `resolve` and `reach`, and `hop` before them where the connection goes through another one: a connected stream to `host`.
    ///
    /// # Errors
    /// Name not found, address not allowed, host unreachable, port closed, timed out; those of the hop.
    pub async fn dial(&self, host: &str, port: u16, steps: &mut Steps) -> Result<Box<dyn Duplex>, TestError> {
        self.dial_checked(host, port, steps).await.map(|(stream, _)| stream)
    }

    /// As [`Self::dial`], with what it takes to reach the same addresses again.
    pub(crate) async fn dial_checked(
        &self,
        host: &str,
        port: u16,
        steps: &mut Steps,
    ) -> Result<(Box<dyn Duplex>, Checked), TestError> {
        let Some(way) = &self.way else {
            steps.begin(StepName::Resolve);
            let checked = self.resolve(host, port).await?;
            let addresses = checked.addresses();
            steps.done(addresses.first().map(|address| address.ip().to_string()));
            steps.begin(StepName::Reach);
            let stream = self.reach_one(host, addresses).await?;
            steps.done(stream.peer_addr().ok().map(|address| address.to_string()));
            return Ok((Box::new(stream), checked));
        };
        steps.begin(StepName::Hop);
        let (hop, direct) = (way.hop()?, self.direct());
        let gate = hop.enter(&direct, (host, port)).await?;
        steps.done(hop.name.clone());
        steps.skip(StepName::Resolve, "Looked up from there".to_owned());
        steps.begin(StepName::Reach);
        let checked = self.resolve(host, port).await?;
        let stream = gate.lead().await?;
        steps.done(None);
        Ok((stream, checked))
    }

    /// Resolves `host` once and keeps the addresses that the policy permits. Beyond a hop the name is that one's to look up.
    ///
    /// # Errors
    /// The name is unknown, or every address of it is forbidden.
    pub async fn resolve(&self, host: &str, port: u16) -> Result<Checked, TestError> {
        if self.way.is_some() {
            return hops::check_beyond(host).map(|()| Checked(Found::Beyond { port }));
        }
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        let found = match bare.parse::<IpAddr>() {
            Ok(address) => vec![SocketAddr::new(address, port)],
            Err(_) => self.names.addresses(bare, port).await.map_err(|error| unresolved(&error, host))?,
        };
        if found.is_empty() {
            return Err(causes::name_not_found(host));
        }
        let checked: Vec<_> = found.into_iter().filter(|address| self.policy.permits(address.ip())).collect();
        if checked.is_empty() { Err(causes::address_not_allowed(host)) } else { Ok(Checked(Found::Addresses(checked))) }
    }

    /// Connects to the first address that answers, or once more through the hop.
    ///
    /// # Errors
    /// What the last address failed with; those of the hop.
    pub async fn reach(&self, host: &str, checked: &Checked) -> Result<Box<dyn Duplex>, TestError> {
        match (&checked.0, &self.way) {
            (Found::Addresses(addresses), _) => Ok(Box::new(self.reach_one(host, addresses).await?)),
            (Found::Beyond { port }, Some(way)) => {
                let direct = self.direct();
                way.hop()?.enter(&direct, (host, *port)).await?.lead().await
            }
            (Found::Beyond { .. }, None) => Err(causes::host_unreachable(host)),
        }
    }

    /// Each address gets an equal share of the time that is left.
    async fn reach_one(&self, host: &str, addresses: &[SocketAddr]) -> Result<TcpStream, TestError> {
        let mut last = causes::host_unreachable(host);
        for (index, address) in addresses.iter().enumerate() {
            let left = self.left();
            let share = left / u32::try_from(addresses.len() - index).unwrap_or(1);
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

/// Tells a name that nobody has from name servers that do not answer. The resolver's words (`gai_strerror(3)`) are all there is to tell by.
fn unresolved(error: &io::Error, host: &str) -> TestError {
    if error.to_string().contains("Temporary failure in name resolution") {
        causes::name_servers_silent(host)
    } else {
        causes::name_not_found(host)
    }
}

fn refusal(error: &io::Error, host: &str, port: u16) -> TestError {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => causes::port_closed(host, port),
        io::ErrorKind::TimedOut => causes::timed_out(StepName::Reach),
        _ => causes::host_unreachable(host),
    }
}

#[cfg(test)]
mod tests {
    use dataflow_model::Cause;

    use super::*;
    use crate::AddressLists;

    #[test]
    fn silent_name_servers_are_told_from_a_name_that_nobody_has() {
        let told = |words: &str| {
            let error = io::Error::other(format!("failed to lookup address information: {words}"));
            unresolved(&error, "db.internal")
        };
        let (silent, unknown) = (told("Temporary failure in name resolution"), told("Name or service not known"));
        assert_eq!((silent.code, unknown.code), (Cause::NameNotFound, Cause::NameNotFound));
        assert!(silent.message.starts_with("No name server answered"), "{}", silent.message);
        assert!(unknown.message.starts_with("No address is known"), "{}", unknown.message);
    }

    /// Errors of Linux's connect(2), by their numbers in errno(3).
    #[test]
    fn an_error_of_the_network_has_its_cause() {
        const EACCES: i32 = 13;
        const ENETUNREACH: i32 = 101;
        const ETIMEDOUT: i32 = 110;
        const ECONNREFUSED: i32 = 111;
        const EHOSTUNREACH: i32 = 113;
        for (number, cause, field) in [
            (ENETUNREACH, Cause::HostUnreachable, "host"),
            (EHOSTUNREACH, Cause::HostUnreachable, "host"),
            // A firewall that says no.
            (EACCES, Cause::HostUnreachable, "host"),
            (ECONNREFUSED, Cause::PortClosed, "port"),
            (ETIMEDOUT, Cause::TimedOut, "host"),
        ] {
            let error = refusal(&io::Error::from_raw_os_error(number), "db.example.org", 5432);
            assert_eq!((error.code, error.field.as_deref()), (cause, Some(field)), "{number}");
        }
    }

    /// Two services at one port: on an address that may be reached, and on one that may not.
    async fn two_services() -> (tokio::net::TcpListener, tokio::net::TcpListener) {
        loop {
            let allowed = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let port = allowed.local_addr().expect("bound").port();
            if let Ok(forbidden) = tokio::net::TcpListener::bind(("127.0.0.2", port)).await {
                return (allowed, forbidden);
            }
        }
    }

    #[tokio::test]
    async fn a_name_that_changes_its_mind_is_dialled_where_it_was_checked() {
        let (allowed, forbidden) = two_services().await;
        let (good, bad) = (allowed.local_addr().expect("bound"), forbidden.local_addr().expect("bound"));
        let only = AddressLists { allow: vec!["127.0.0.1/32".parse().expect("a range")], deny: Vec::new() };
        let dialer = |answers: &[&[SocketAddr]]| {
            let policy = DialPolicy { configured: only.clone(), ..DialPolicy::default() };
            let answers = answers.iter().rev().map(|answer| answer.to_vec()).collect();
            let names = Names::Scripted(std::sync::Mutex::new(answers));
            Dialer { names, ..Dialer::new(policy, Instant::now() + Duration::from_secs(5), SystemRoots::unread()) }
        };
        let dial = async |answers: &[&[SocketAddr]]| {
            let dialer = dialer(answers);
            let told = Arc::new(std::sync::Mutex::new(None));
            let sink = Arc::clone(&told);
            let mut steps = Steps::new(move |step| *sink.lock().expect("not poisoned") = step.detail);
            let dialled = dialer.dial("db", good.port(), &mut steps).await;
            let reached = told.lock().expect("not poisoned").clone();
            let Names::Scripted(left) = &dialer.names else { panic!("made here") };
            let left = left.lock().expect("not poisoned").len();
            (dialled.map(|_| reached).map_err(|error| error.code), answers.len() - left)
        };
        for answers in [[&[good][..], &[bad]], [&[bad, good], &[bad, bad]], [&[good, bad], &[bad]]] {
            assert_eq!(dial(&answers).await, (Ok(Some(good.to_string())), 1), "asked once, and dialled there: {answers:?}");
        }
        for answers in [[&[bad][..], &[good]], [&[bad, bad], &[good]]] {
            assert_eq!(dial(&answers).await, (Err(Cause::AddressNotAllowed), 1), "{answers:?}");
        }
        let knocked = tokio::time::timeout(Duration::from_millis(100), forbidden.accept()).await;
        assert!(knocked.is_err(), "somebody came to where nobody may go: {knocked:?}");
    }

    #[tokio::test]
    async fn the_next_address_is_tried_where_one_is_unreachable() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let there = listener.local_addr().expect("bound");
        // The broadcast address of loopback: the kernel itself refuses the route, on every machine.
        let nowhere = SocketAddr::new([127, 255, 255, 255].into(), there.port());
        let policy = DialPolicy { allow_loopback: true, ..DialPolicy::default() };
        let dialer = Dialer::new(policy, Instant::now() + Duration::from_secs(5), SystemRoots::unread());
        let reached = dialer.reach_one("db", &[nowhere, there]).await.map(|stream| stream.peer_addr().ok());
        assert_eq!(reached, Ok(Some(there)));
        let refused = dialer.reach_one("db", &[nowhere]).await.expect_err("no route");
        assert_eq!((refused.code, refused.message.as_str()), (Cause::HostUnreachable, "The host “db” cannot be reached."));
    }
}
