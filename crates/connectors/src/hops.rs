//! What a connection may go through to reach its host: an SSH server, an HTTP proxy or a SOCKS proxy, each a connection of its own.
//!
//! The hop is dialled by the guarded dialer as any other host, and signed in to. What lies beyond it has its name looked up there, so that the rules of this
//! machine's own network say nothing about it. Addresses where clouds hand out credentials are refused there, too, and the names that they have for them;
//! of any other name it is not known here where it leads.

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
    if !may_be_asked_for(host) {
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

/// Names that clouds have for the address where they hand out credentials.
const HANDS_OUT_CREDENTIALS: [&str; 3] = ["metadata", "metadata.google.internal", "instance-data"];

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
