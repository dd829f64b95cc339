//! Whom a reverse proxy asks for.

use std::net::{IpAddr, SocketAddr};

use axum::http::HeaderMap;
use dataflow_connectors::Cidr;

const FORWARDED_FOR: &str = "x-forwarded-for";

/// The client of a request that came from `peer`: the last one in `X-Forwarded-For` that is no trusted proxy, as long as each one behind it
/// is. Whoever is not trusted could have written there what he likes.
pub(super) fn client(trusted: &[Cidr], peer: SocketAddr, headers: &HeaderMap) -> SocketAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|range| range.contains(address));
    if !is_trusted(peer.ip()) {
        return peer;
    }
    let lines: Vec<_> = headers.get_all(FORWARDED_FOR).iter().collect();
    let hops = lines.into_iter().rev().flat_map(|line| line.to_str().unwrap_or("?").rsplit(','));
    let mut last = peer;
    for hop in hops {
        // What is no address was told by nobody who knows one: the proxy that passed it on is as near as can be known.
        let Some(address) = read(hop.trim()) else { return last };
        last = SocketAddr::new(address, 0);
        if !is_trusted(address) {
            return last;
        }
    }
    last
}

/// An address, perhaps with a port: `203.0.113.7`, `203.0.113.7:1234`, `2001:db8::7`, `[2001:db8::7]:1234`.
fn read(hop: &str) -> Option<IpAddr> {
    let bare = hop.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(hop);
    bare.parse().ok().or_else(|| Some(hop.parse::<SocketAddr>().ok()?.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(trusted: &[&str], peer: &str, lines: &[&'static [u8]]) -> String {
        let trusted: Vec<_> = trusted.iter().map(|range| range.parse().expect("a range")).collect();
        let value = |line: &&'static [u8]| axum::http::HeaderValue::from_bytes(line).expect("a value");
        let headers = lines.iter().map(|line| (axum::http::HeaderName::from_static(FORWARDED_FOR), value(line))).collect();
        client(&trusted, SocketAddr::new(peer.parse().expect("an address"), 5000), &headers).ip().to_string()
    }

    #[test]
    fn only_a_trusted_proxy_says_who_asks() {
        assert_eq!(asks(&[], "10.0.0.1", &[b"203.0.113.7"]), "10.0.0.1");
        assert_eq!(asks(&["10.0.0.2"], "10.0.0.1", &[b"203.0.113.7"]), "10.0.0.1");
        assert_eq!(asks(&["10.0.0.0/8"], "10.0.0.1", &[b"203.0.113.7"]), "203.0.113.7");
        assert_eq!(asks(&["10.0.0.0/8"], "::ffff:10.0.0.1", &[b"203.0.113.7"]), "203.0.113.7");
        assert_eq!(asks(&["10.0.0.0/8"], "10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn the_last_that_is_not_trusted_counts_and_what_stands_before_it_does_not() {
        let trusted = ["10.0.0.0/8", "2001:db8:ff::/48"];
        for (lines, expected) in [
            (&[b"6.6.6.6, 203.0.113.7".as_slice()][..], "203.0.113.7"),
            (&[b"6.6.6.6, 203.0.113.7, 10.2.2.2 ,10.3.3.3"], "203.0.113.7"),
            (&[b"6.6.6.6", b"203.0.113.7", b"10.2.2.2"], "203.0.113.7"),
            (&[b"6.6.6.6,203.0.113.7:4711"], "203.0.113.7"),
            (&[b"2001:db8::7, 2001:db8:ff::1"], "2001:db8::7"),
            (&[b"[2001:db8::7]:4711, [2001:db8:ff::1]"], "2001:db8::7"),
            (&[b"10.2.2.2, 10.3.3.3"], "10.2.2.2"),
            // Where somebody did not know, the one who passed that on is as near as can be known.
            (&[b"203.0.113.7, unknown, 10.3.3.3"], "10.3.3.3"),
            (&[b"203.0.113.7, "], "10.0.0.1"),
            (&[b""], "10.0.0.1"),
            (&[b"\xff, 203.0.113.7"], "10.0.0.1"),
            (&[b"for=203.0.113.7"], "10.0.0.1"),
        ] {
            assert_eq!(asks(&trusted, "10.0.0.1", lines), expected, "{lines:?}");
        }
    }
}
