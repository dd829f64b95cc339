//! What a connection may go through to reach its host: an SSH server, an HTTP proxy or a SOCKS proxy, each a connection of its own.
//!
//! The hop is dialled by the guarded dialer as any other host, and signed in to. What lies beyond it has its name looked up there, so that the rules of this
//! machine's own network say nothing about it; but addresses where clouds hand out credentials are refused there, too.

use dataflow_model::{StepName, TestError};

use crate::{DialPolicy, Dialer, Target, causes, dialer::Duplex, ssh, wires};

/// A connection to `host` at `port` through `hop`, whose connector is called `connector`: what is written goes there as it is. It ends with the
/// stream.
///
/// # Errors
/// Those of the hop's own test, said of the hop; the hop lets nothing through to there, or cannot reach it.
pub async fn through(
    connector: &str,
    hop: &Target,
    dialer: &Dialer,
    host: &str,
    port: u16,
) -> Result<Box<dyn Duplex>, TestError> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if bare.parse().is_ok_and(|address| !DialPolicy::permits_beyond(address)) {
        return Err(causes::address_not_allowed(host));
    }
    let led = hop.connect_in_time(async {
        match connector {
            "ssh" => ssh::through(hop, dialer, host, port).await,
            "http_proxy" => wires::through_http_proxy(hop, dialer, host, port).await,
            "socks_proxy" => wires::through_socks(hop, dialer, host, port).await,
            _ => Err(causes::hop_is_none(connector)),
        }
    });
    led.await.unwrap_or_else(|_| Err(causes::of_the_hop(hop.text("host"), causes::timed_out(StepName::SignIn))))
}
