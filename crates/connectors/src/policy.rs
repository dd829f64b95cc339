//! Which addresses a test may reach. Pure: no socket, no resolver.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use serde::{Deserialize, Serialize};

/// Addresses at which clouds hand out credentials to whoever asks, beyond the link-local ones.
const METADATA: [IpAddr; 5] = [
    // Alibaba Cloud
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    // Azure's host agent
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    // Oracle Cloud
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    // Amazon
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254)),
    // Google Cloud
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x0254)),
];

/// The operator's rule for outbound connections.
///
/// Cloud metadata, link-local, unspecified, multicast and broadcast addresses are refused whatever it says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DialPolicy {
    /// If not empty, only these may be reached.
    pub allow: Vec<Cidr>,
    /// These may not be reached, even if `allow` has them.
    pub deny: Vec<Cidr>,
    /// Whether this machine's own loopback may be reached.
    pub allow_loopback: bool,
}

impl DialPolicy {
    /// Whether `address` may be dialled. An IPv6 form that carries an IPv4 address stands or falls with that one too.
    #[must_use]
    pub fn permits(&self, address: IpAddr) -> bool {
        match carried(address) {
            Some(inner) if is_mapped(address) => self.permits_one(IpAddr::V4(inner)),
            Some(inner) => self.permits_one(IpAddr::V4(inner)) && self.permits_one(address),
            None => self.permits_one(address),
        }
    }

    fn permits_one(&self, address: IpAddr) -> bool {
        let listed = |list: &[Cidr]| list.iter().any(|cidr| cidr.contains(address));
        !always_refused(address)
            && (self.allow_loopback || !address.is_loopback())
            && !listed(&self.deny)
            && (self.allow.is_empty() || listed(&self.allow))
    }
}

fn always_refused(address: IpAddr) -> bool {
    METADATA.contains(&address)
        || address.is_unspecified()
        || address.is_multicast()
        || match address {
            // All of 0.0.0.0/8 is "this host": Linux connects 0.0.0.0 to loopback.
            IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast() || v4.octets().first() == Some(&0),
            IpAddr::V6(v6) => v6.is_unicast_link_local(),
        }
}

fn is_mapped(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some())
}

/// The IPv4 address inside an IPv6 one: mapped and compatible (RFC 4291), NAT64 (RFC 6052), 6to4 (RFC 3056).
fn carried(address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(v6) = address else { return None };
    let from = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match v6.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
            Some(from(high, low))
        }
        _ => None,
    }
}

/// A range of addresses: `10.0.0.0/8`, `fd00::/8`, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cidr {
    network: IpAddr,
    prefix: u8,
}

/// A text that is no range of addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("“{0}” is not a range of addresses such as 10.0.0.0/8 or fd00::/8")]
pub struct CidrError(String);

impl Cidr {
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.network, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                same_prefix(network.to_bits().into(), address.to_bits().into(), 32, self.prefix)
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => same_prefix(network.to_bits(), address.to_bits(), 128, self.prefix),
            _ => false,
        }
    }
}

fn same_prefix(a: u128, b: u128, width: u32, prefix: u8) -> bool {
    let ignored = width.saturating_sub(u32::from(prefix));
    (a ^ b).checked_shr(ignored).unwrap_or(0) == 0
}

impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        let wrong = || CidrError(text.to_owned());
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix.parse::<u8>().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let network = address.parse::<IpAddr>().map_err(|_| wrong())?.to_canonical();
        let width = if network.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.unwrap_or(width);
        if prefix > width {
            return Err(wrong());
        }
        Ok(Self { network, prefix })
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.network, self.prefix)
    }
}

impl TryFrom<String> for Cidr {
    type Error = CidrError;
    fn try_from(text: String) -> Result<Self, CidrError> {
        text.parse()
    }
}

impl From<Cidr> for String {
    fn from(cidr: Cidr) -> Self {
        cidr.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permits(policy: &DialPolicy, address: &str) -> bool {
        policy.permits(address.parse().expect("an address"))
    }

    fn cidrs(list: &[&str]) -> Vec<Cidr> {
        list.iter().map(|text| text.parse().expect("a range")).collect()
    }

    #[test]
    fn some_addresses_are_refused_whatever_the_operator_allows() {
        let open = DialPolicy { allow: cidrs(&["0.0.0.0/0", "::/0"]), deny: vec![], allow_loopback: true };
        for address in [
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "64:ff9b::169.254.169.254",
            "2002:a9fe:a9fe::1",
            "fd00:ec2::254",
            "fd20:ce::254",
            "100.100.100.200",
            "::ffff:100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "0.0.0.0",
            "0.1.2.3",
            "::",
            "::ffff:0.0.0.0",
            "224.0.0.1",
            "ff02::1",
            "255.255.255.255",
            "fe80::1",
        ] {
            assert!(!permits(&open, address), "{address}");
        }
        for address in ["10.1.2.3", "127.0.0.1", "::1", "::ffff:127.0.0.1", "93.184.216.34", "2a00::1", "fd00::1"] {
            assert!(permits(&open, address), "{address}");
        }
    }

    #[test]
    fn loopback_in_every_spelling_needs_leave() {
        let closed = DialPolicy::default();
        for address in ["127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1"] {
            assert!(!permits(&closed, address), "{address}");
        }
        assert!(permits(&closed, "10.0.0.1"));
    }

    #[test]
    fn deny_beats_allow_and_a_list_of_allowed_is_all_that_is() {
        let policy = DialPolicy { allow: cidrs(&["10.0.0.0/8"]), deny: cidrs(&["10.9.0.0/16"]), allow_loopback: false };
        assert!(permits(&policy, "10.1.0.1"));
        assert!(permits(&policy, "::ffff:10.1.0.1"));
        assert!(!permits(&policy, "10.9.0.1"));
        assert!(!permits(&policy, "::ffff:10.9.0.1"));
        assert!(!permits(&policy, "11.0.0.1"));
        assert!(!permits(&policy, "2a00::1"));
    }

    #[test]
    fn ranges_are_read_and_written() {
        for text in ["10.0.0.0/8", "0.0.0.0/0", "::/0", "fd00::/8", "192.0.2.1/32"] {
            assert_eq!(text.parse::<Cidr>().map(|cidr| cidr.to_string()), Ok(text.to_owned()));
        }
        assert_eq!("192.0.2.1".parse::<Cidr>().map(|cidr| cidr.to_string()), Ok("192.0.2.1/32".to_owned()));
        for text in ["", "10.0.0.0/33", "::/129", "10.0.0/8", "a/8", "10.0.0.0/", "10.0.0.0/-1"] {
            assert!(text.parse::<Cidr>().is_err(), "{text}");
        }
    }
}
