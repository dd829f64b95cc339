//! Which addresses a test may reach. Pure: no socket, no resolver.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use serde::{Deserialize, Serialize};

/// What is refused whatever the operator says.
const REFUSED: [Cidr; 13] = [
    // "This host" (RFC 1122): Linux connects 0.0.0.0 to loopback.
    Cidr::v4([0, 0, 0, 0], 8),
    // Link-local, where most clouds have their metadata.
    Cidr::v4([169, 254, 0, 0], 16),
    Cidr::v4([224, 0, 0, 0], 4),
    Cidr::v4([255, 255, 255, 255], 32),
    Cidr::v6([0, 0, 0, 0, 0, 0, 0, 0], 128),
    Cidr::v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10),
    Cidr::v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8),
    // Where clouds hand out credentials to whoever asks, beyond the link-local ones: Alibaba Cloud,
    Cidr::v4([100, 100, 100, 200], 32),
    // Azure's host agent,
    Cidr::v4([168, 63, 129, 16], 32),
    // Oracle Cloud,
    Cidr::v4([192, 0, 0, 192], 32),
    Cidr::v6([0xfd00, 0x00c1, 0, 0, 0, 0, 0xa9fe, 0xa9fe], 128),
    // Amazon: metadata is fd00:ec2::254, the credentials of pods fd00:ec2::23,
    Cidr::v6([0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0], 32),
    // Google Cloud.
    Cidr::v6([0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x0254], 128),
];

const LOOPBACK: [Cidr; 2] = [Cidr::v4([127, 0, 0, 0], 8), Cidr::v6([0, 0, 0, 0, 0, 0, 0, 1], 128)];

/// The rule for outbound connections: what both lists permit.
///
/// Cloud metadata, link-local, unspecified, multicast and broadcast addresses are refused whatever it says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DialPolicy {
    /// Of whoever starts the server.
    pub configured: AddressLists,
    /// Of whoever owns it: these narrow what `configured` permits and open nothing.
    pub set: AddressLists,
    /// Whether this machine's own loopback may be reached, where `configured.allow` does not name it.
    pub allow_loopback: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddressLists {
    /// If not empty, only these may be reached.
    pub allow: Vec<Cidr>,
    /// These may not be reached, even if `allow` has them.
    pub deny: Vec<Cidr>,
}

impl AddressLists {
    fn permits(&self, address: IpAddr) -> bool {
        let listed = |list: &[Cidr]| list.iter().any(|cidr| cidr.contains(address));
        !listed(&self.deny) && (self.allow.is_empty() || listed(&self.allow))
    }
}

impl DialPolicy {
    /// Whether `address` may be dialled. An IPv6 form that carries IPv4 addresses stands or falls with those too.
    #[must_use]
    pub fn permits(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.permits_one(address) && carried(address).into_iter().all(|inner| self.permits_one(IpAddr::V4(inner)))
    }

    /// Whether another machine may be asked to connect to `address` for us. What may be reached from here says nothing of that; but where clouds hand out
    /// credentials nobody is sent.
    #[must_use]
    pub fn permits_beyond(address: IpAddr) -> bool {
        let address = address.to_canonical();
        let is_refused = |address: IpAddr| REFUSED.iter().any(|cidr| cidr.contains(address));
        !is_refused(address) && !carried(address).into_iter().any(|inner| is_refused(IpAddr::V4(inner)))
    }

    fn permits_one(&self, address: IpAddr) -> bool {
        !REFUSED.iter().any(|cidr| cidr.contains(address))
            && (!address.is_loopback() || self.permits_loopback(address))
            && self.configured.permits(address)
            && self.set.permits(address)
    }

    /// A range that is nothing but loopback means it; one that has it among much else, as 0.0.0.0/0, does not.
    fn permits_loopback(&self, address: IpAddr) -> bool {
        self.allow_loopback || self.configured.allow.iter().any(|cidr| cidr.is_loopback() && cidr.contains(address))
    }
}

/// The IPv4 addresses inside an IPv6 one. Mapped ones (RFC 4291) are IPv4 by now.
fn carried(address: IpAddr) -> Vec<Ipv4Addr> {
    let IpAddr::V6(v6) = address else { return Vec::new() };
    let from = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match v6.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => Vec::new(),
        // Compatible (RFC 4291), translated (RFC 2765), NAT64 (RFC 6052), 6to4 (RFC 3056), ISATAP (RFC 5214).
        [0, 0, 0, 0, 0 | 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..]
        | [_, _, _, _, 0 | 0x0200, 0x5efe, high, low] => vec![from(high, low)],
        // Teredo (RFC 4380): its server, and its client with every bit turned.
        [0x2001, 0, high, low, _, _, client_high, client_low] => vec![from(high, low), from(!client_high, !client_low)],
        [0x64, 0xff9b, 1, ..] => local_nat64(v6),
        _ => Vec::new(),
    }
}

/// What an address of the NAT64 prefix for local use (RFC 8215) may carry: how long the prefix is that a network took from it, nobody
/// outside of it knows (RFC 6052, section 2.2). Zeros where an address would begin are the rest of a longer prefix.
fn local_nat64(address: Ipv6Addr) -> Vec<Ipv4Addr> {
    let octets = address.octets();
    let at = |places: [usize; 4]| places.map(|place| octets.get(place).copied().unwrap_or_default());
    let forms = [[6, 7, 9, 10], [7, 9, 10, 11], [9, 10, 11, 12], [12, 13, 14, 15]].map(at);
    forms.into_iter().filter(|form| form.first() != Some(&0)).map(Ipv4Addr::from).collect()
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
    const fn v4(octets: [u8; 4], prefix: u8) -> Self {
        Self { network: IpAddr::V4(Ipv4Addr::from_octets(octets)), prefix }
    }

    const fn v6(segments: [u16; 8], prefix: u8) -> Self {
        Self { network: IpAddr::V6(Ipv6Addr::from_segments(segments)), prefix }
    }

    /// Whether all of it is refused whatever a list says.
    #[must_use]
    pub fn is_always_refused(&self) -> bool {
        self.is_within(&REFUSED)
    }

    /// Whether all of it is this machine itself.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.is_within(&LOOPBACK)
    }

    fn is_within(&self, ranges: &[Self]) -> bool {
        ranges.iter().any(|range| range.prefix <= self.prefix && range.contains(self.network))
    }

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
        let all = AddressLists { allow: cidrs(&["0.0.0.0/0", "::/0"]), deny: vec![] };
        let open = DialPolicy { configured: all.clone(), set: all, allow_loopback: true };
        for address in [
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "64:ff9b::169.254.169.254",
            "2002:a9fe:a9fe::1",
            "fd00:ec2::254",
            "fd00:ec2::23",
            "fd20:ce::254",
            "fd00:c1::a9fe:a9fe",
            "::ffff:0:169.254.169.254",
            "2001:0:a9fe:a9fe::1",
            "2001:0:0808:0808:0:0:5601:5601",
            "2001:db8::5efe:169.254.169.254",
            "fe80::200:5efe:10.0.0.1",
            "64:ff9b:1::169.254.169.254",
            "64:ff9b:1:a9fe:a9:fe00::",
            "64:ff9b:1:a9:00fe:a9fe::",
            "64:ff9b:1::00a9:fea9:fe00:0",
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
        for address in ["64:ff9b:1::10.0.0.1", "64:ff9b:1:0a00:00:0100::", "2001:db8::1", "2001:0:0808:0808::f5ff:fffe"] {
            assert!(permits(&closed, address), "{address}");
        }
    }

    #[test]
    fn loopback_is_opened_by_the_configuration_that_names_it_and_by_nothing_else() {
        let lists = |allow: &[&str]| AddressLists { allow: cidrs(allow), deny: vec![] };
        let named = DialPolicy { configured: lists(&["127.0.0.1/32", "0.0.0.0/0"]), ..DialPolicy::default() };
        assert!(permits(&named, "127.0.0.1") && permits(&named, "::ffff:127.0.0.1") && permits(&named, "10.0.0.1"));
        assert!(!permits(&named, "127.0.0.2") && !permits(&named, "::1"));
        let among_all = DialPolicy { configured: lists(&["0.0.0.0/0", "::/0", "126.0.0.0/7"]), ..DialPolicy::default() };
        let set = DialPolicy { set: lists(&["127.0.0.0/8", "::1"]), ..DialPolicy::default() };
        for closed in [among_all, set] {
            assert!(!permits(&closed, "127.0.0.1") && !permits(&closed, "::1"), "{closed:?}");
        }
    }

    #[test]
    fn deny_beats_allow_and_a_list_of_allowed_is_all_that_is() {
        let lists = AddressLists { allow: cidrs(&["10.0.0.0/8"]), deny: cidrs(&["10.9.0.0/16"]) };
        for policy in [
            DialPolicy { configured: lists.clone(), ..DialPolicy::default() },
            DialPolicy { set: lists.clone(), ..DialPolicy::default() },
        ] {
            deny_beats_allow(&policy);
        }
        let both = DialPolicy {
            configured: lists,
            set: AddressLists { allow: cidrs(&["10.1.0.0/16", "11.0.0.0/8"]), deny: cidrs(&["10.1.2.0/24"]) },
            allow_loopback: false,
        };
        assert!(permits(&both, "10.1.0.1"));
        for outside in ["10.2.0.1", "10.1.2.3", "11.0.0.1"] {
            assert!(!permits(&both, outside), "{outside} is not in both");
        }
    }

    fn deny_beats_allow(policy: &DialPolicy) {
        assert!(permits(policy, "10.1.0.1"));
        assert!(permits(policy, "::ffff:10.1.0.1"));
        assert!(!permits(policy, "10.9.0.1"));
        assert!(!permits(policy, "::ffff:10.9.0.1"));
        assert!(!permits(policy, "11.0.0.1"));
        assert!(!permits(policy, "2a00::1"));
    }

    #[test]
    fn a_range_knows_what_all_of_it_is() {
        let of = |text: &str| text.parse::<Cidr>().expect("a range");
        for refused in ["169.254.0.0/16", "169.254.169.254", "0.0.0.0/8", "fe80::/64", "fd00:ec2::254", "::ffff:169.254.1.1"] {
            assert!(of(refused).is_always_refused(), "{refused}");
        }
        for other in ["0.0.0.0/0", "168.0.0.0/6", "::/0", "10.0.0.0/8", "::/96"] {
            assert!(!of(other).is_always_refused() && !of(other).is_loopback(), "{other}");
        }
        assert!(of("127.0.0.0/8").is_loopback() && of("127.1.2.3").is_loopback() && of("::1").is_loopback());
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
