"""What is refused on the way through a hop, whoever leads there: the verdicts of `crates/connectors`."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any, Callable, Union

Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]

_REFUSED = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",
        "169.254.0.0/16",
        "224.0.0.0/4",
        "255.255.255.255/32",
        "::/128",
        "fe80::/10",
        "ff00::/8",
        "100.100.100.200/32",
        "168.63.129.16/32",
        "192.0.0.192/32",
        "fd00:c1::a9fe:a9fe/128",
        "fd00:ec2::/32",
        "fd20:ce::254/128",
    )
)
"""As in `crates/connectors/src/policy.rs`, which says whose they are."""

_HANDS_OUT_CREDENTIALS = ("metadata", "metadata.google.internal", "instance-data")
"""Names that clouds have for the address where they hand out credentials."""


class Refused(Exception):
    """There is no way, and why, for a person. Holds no secret."""


class Fields:
    """A connection's fields as they were told to the helper, read as those of `_native.Credentials`."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self._value: Callable[[], dict[str, Any]] = lambda: fields  # so that no `repr` shows them

    def __repr__(self) -> str:
        return "<Fields>"

    def _at(self, path: str) -> Any:
        value: Any = self._value()
        for part in path.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        return value

    def expose_text(self, path: str) -> str | None:
        """The text at a path, in clear."""
        found = self._at(path)
        return found if isinstance(found, str) else None

    def text(self, path: str) -> str:
        """The same, empty if it is unset."""
        return self.expose_text(path) or ""

    def integer(self, path: str) -> int | None:
        """The whole number at a path."""
        found = self._at(path)
        return found if isinstance(found, int) and not isinstance(found, bool) else None


def bare(host: str) -> str:
    """Without the brackets of an IPv6 address."""
    return host.strip("[]")


def is_this_machine(host: str) -> bool:
    """As `is_loopback` in `crates/model/src/settle.rs`."""
    if bare(host).lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(bare(host))
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def is_plain(host: str) -> bool:
    """Whether it is written as DNS has it. Of other letters resolvers make some of ASCII's: an address of full-width digits."""
    return all("!" <= letter <= "~" for letter in host)


def may_be_asked_for(host: str) -> bool:
    """Whether a hop may be asked to connect to a host for us: as `may_be_asked_for` in `crates/connectors/src/hops.rs`."""
    if not is_plain(host):
        return False
    try:
        address: Address = ipaddress.ip_address(bare(host))
    except ValueError:
        name = bare(host)
        name = (name[:-1] if name.endswith(".") else name).lower()
        # Resolvers take a number for an address, in whichever form it is.
        last = name.rpartition(".")[2]
        is_number = (last.isascii() and last.isdigit()) or last.startswith("0x")
        return not is_number and name not in _HANDS_OUT_CREDENTIALS
    address = getattr(address, "ipv4_mapped", None) or address
    return not any(_is_refused(each) for each in (address, *_carried(address)))


def _is_refused(address: Address) -> bool:
    return any(address in network for network in _REFUSED if network.version == address.version)


def _carried(address: Address) -> Iterator[Address]:
    """The IPv4 addresses inside an IPv6 one: as `carried` in `crates/connectors/src/policy.rs`."""
    octets = address.packed
    for places in _places(octets) if address.version == 6 else ():
        yield ipaddress.IPv4Address(bytes(octets[place] for place in places))
    if octets[:4] == _TEREDO:
        # Its client has every bit turned.
        yield ipaddress.IPv4Address(bytes(0xFF ^ octet for octet in octets[12:]))


_TEREDO = b"\x20\x01\0\0"
_TRANSLATED = (bytes(12), bytes(8) + b"\xff\xff\0\0", b"\0\x64\xff\x9b" + bytes(8))
_ISATAP = (b"\0\0\x5e\xfe", b"\x02\0\x5e\xfe")
_LOCAL_NAT64 = b"\0\x64\xff\x9b\0\x01"


def _places(octets: bytes) -> list[tuple[int, ...]]:
    """At which octets of an IPv6 address those of IPv4 ones stand."""
    if octets[:15] == bytes(15) and octets[15] < 2:
        return []
    if octets[:12] in _TRANSLATED:
        return [(12, 13, 14, 15)]
    if octets[:2] == b"\x20\x02":
        return [(2, 3, 4, 5)]
    if octets[8:12] in _ISATAP:
        return [(12, 13, 14, 15)]
    if octets[:4] == _TEREDO:
        return [(4, 5, 6, 7)]
    if octets[:6] == _LOCAL_NAT64:
        places = [(6, 7, 9, 10), (7, 9, 10, 11), (9, 10, 11, 12), (12, 13, 14, 15)]
        return [each for each in places if octets[each[0]] != 0]
    return []
