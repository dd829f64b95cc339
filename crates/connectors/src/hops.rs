//! What a connection may go through to reach its host: an SSH server, an HTTP proxy or a SOCKS proxy, each a connection of its own.
//!
//! The hop is dialled by the guarded dialer as any other host, and signed in to. What lies beyond it has its name looked up there, so that the rules of this
//! machine's own network say nothing about it. Addresses where clouds hand out credentials are refused there, too, and the names that they have for them;
//! of any other name it is not known here where it leads.

use dataflow_model::{StepName, TestError};
use futures_util::future::BoxFuture;

use crate::{
    DialPolicy, Dialer, Target, causes,
    dialer::Duplex,
    ssh,
    wires::{self, link::Link},
};

/// Connectors whose connections others may go through.
pub const CONNECTORS: [&str; 3] = ["http_proxy", "socks_proxy", "ssh"];

/// The connection that another one goes through.
#[derive(Debug)]
pub struct Hop {
    /// As its own people know it: it stands in what is said of it.
    pub name: String,
    pub connector: String,
    /// Goes through no other one.
    pub target: Target,
}

/// The way that a connection names.
#[derive(Debug)]
pub enum Way {
    Through(Box<Hop>),
    /// There is none, and why.
    Closed(TestError),
}

impl Way {
    /// # Errors
    /// Why there is none.
    pub fn hop(&self) -> Result<&Hop, TestError> {
        match self {
            Self::Through(hop) => Ok(hop),
            Self::Closed(error) => Err(error.clone()),
        }
    }
}

impl Hop {
    /// Whether what goes through it is read by nobody before it comes out there.
    pub(crate) fn is_sealed(&self) -> bool {
        self.connector == "ssh"
    }

    /// Signed in to, on the way to `host` at `port`. An HTTP proxy is told where to lead with the sign-in, and has led there or has not.
    pub(crate) fn enter<'a>(
        &'a self,
        dialer: &'a Dialer,
        (host, port): (&'a str, u16),
    ) -> BoxFuture<'a, Result<Gate<'a>, TestError>> {
        let (name, target) = (self.name.as_str(), &self.target);
        // Boxed: it dials, and this is what dialling may begin with.
        Box::pin(async move {
            let entered = target.connect_in_time(async {
                match self.connector.as_str() {
                    "ssh" => ssh::enter_as_hop(name, target, dialer).await.map(|client| Entered::Ssh(Box::new(client))),
                    "http_proxy" => match check_beyond(host) {
                        Ok(()) => wires::lead_by_http((name, target), dialer, (host, port)).await.map(Entered::Led),
                        Err(refused) => Ok(Entered::Led(Err(refused))),
                    },
                    "socks_proxy" => wires::enter_socks(target, dialer).await.map(Entered::Socks),
                    other => Err(causes::hop_is_none(other)),
                }
            });
            let entered = entered.await.unwrap_or_else(|_| Err(causes::timed_out(StepName::Hop)));
            entered.map(|entered| Gate { name, host, port, entered }).map_err(|error| causes::of_the_hop(name, error))
        })
    }
}

/// A hop that has been entered.
pub(crate) struct Gate<'a> {
    name: &'a str,
    host: &'a str,
    port: u16,
    entered: Entered<'a>,
}

enum Entered<'a> {
    Ssh(Box<ssh::Client>),
    Socks(Link<'a>),
    Led(Result<Box<dyn Duplex>, TestError>),
}

impl<'a> Gate<'a> {
    /// The connection beyond: what is written goes there as it is. It ends with the stream.
    pub(crate) fn lead(self) -> BoxFuture<'a, Result<Box<dyn Duplex>, TestError>> {
        Box::pin(async move {
            let Self { name, host, port, entered } = self;
            check_beyond(host)?;
            match entered {
                Entered::Ssh(client) => client.lead_to(host, port, name).await,
                Entered::Socks(link) => wires::lead_by_socks(link, host, port, name).await,
                Entered::Led(led) => led,
            }
        })
    }
}

/// Names that clouds have for the address where they hand out credentials.
const HANDS_OUT_CREDENTIALS: [&str; 3] = ["metadata", "metadata.google.internal", "instance-data"];

/// # Errors
/// No hop is asked for it.
pub(crate) fn check_beyond(host: &str) -> Result<(), TestError> {
    // Who reads other letters as these, or as digits, is not known here: names in others have a form in these, too.
    if !host.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(causes::unspeakable_in("host", "what leads there"));
    }
    if may_be_asked_for(host) { Ok(()) } else { Err(causes::address_not_allowed(host)) }
}

fn may_be_asked_for(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse() {
        return DialPolicy::permits_beyond(address);
    }
    let name = bare.strip_suffix('.').unwrap_or(bare).to_ascii_lowercase();
    // Resolvers take a number for an address, in whichever form it is.
    let last = name.rsplit('.').next().unwrap_or_default();
    let is_number = !last.is_empty() && (last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x"));
    !is_number && !HANDS_OUT_CREDENTIALS.contains(&name.as_str())
}

#[cfg(test)]
mod tests {
    use super::may_be_asked_for;

    #[test]
    fn no_spelling_leads_to_where_clouds_hand_out_credentials() {
        for host in [
            "169.254.169.254",
            "169.254.169.254.",
            "0xa9fea9fe",
            "0xA9.254.169.254",
            "2852039166",
            "169.254.43518",
            "0251.0376.0251.0376",
            "[::ffff:169.254.169.254]",
            "metadata.google.internal",
            "Metadata.Google.Internal.",
        ] {
            assert!(!may_be_asked_for(host), "{host}");
        }
        for host in ["10.0.0.5", "db.internal", "[fd00::5]", "db1.example.org.", "x0x1"] {
            assert!(may_be_asked_for(host), "{host}");
        }
    }
}
