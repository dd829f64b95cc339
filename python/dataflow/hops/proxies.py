"""Through an HTTP proxy, by `CONNECT` (RFC 9110, section 9.3.6), or a SOCKS proxy (RFC 1928 and 1929).

What is asked and what an answer means is as in `crates/connectors/src/wires/http_proxy.rs` and `socks.rs`. A name is looked up by
the proxy. A password goes to a proxy that is verified, to this machine, or where an admin allows it.
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from base64 import b64encode
from typing import Any, cast

from dataflow import tls
from dataflow._native import Credentials
from dataflow.hops.rules import Fields, Refused, bare, is_this_machine

Streams = tuple[Any, Any]
"""What comes, as an `asyncio.StreamReader`, and what goes, as an `asyncio.StreamWriter`."""

_LONGEST_LINE = 8192
_MOST_LINES = 100
_HANDSHAKE_WITHIN = 5.0
"""Seconds. Who speaks no TLS may wait for the rest of what it takes for a request."""


class Proxy:
    """One proxy. Each way through it is a connection of its own."""

    def __init__(self, hop: Fields, *, is_socks: bool) -> None:
        self._hop = hop
        self._is_socks = is_socks
        self._material = tls.Material()
        self._place = hop.text("host"), hop.integer("port") or (1080 if is_socks else 3128)

    async def enter(self, within: float) -> None:
        """Nothing: a proxy is signed in to with what it is asked for."""

    async def lead(self, host: str, port: int) -> Streams:
        """A connection to a host beyond the proxy."""
        reader, writer = await self._dial()
        try:
            if self._hop.text("password"):
                self._require_unheard()
            await (self._socks if self._is_socks else self._connect)(reader, writer, host, port)
        except (asyncio.IncompleteReadError, OSError):
            writer.close()
            raise Refused(f"“{self._place[0]}” broke the connection off.") from None
        except BaseException:
            writer.close()
            raise
        return reader, writer

    async def _dial(self) -> Streams:
        host, port = self._place
        try:
            context = tls.context(cast(Credentials, self._hop), self._material)
        except (ValueError, OSError):
            raise Refused("A certificate or key of the connection to the proxy cannot be read.") from None
        named: dict[str, Any] = {"server_hostname": bare(host), "ssl_handshake_timeout": _HANDSHAKE_WITHIN} if context else {}
        try:
            return await asyncio.open_connection(bare(host), port, limit=_LONGEST_LINE, ssl=context, **named)
        except ssl.SSLCertVerificationError as error:
            said = f"The certificate of “{host}” was refused: {error.verify_message}."
        except (ssl.SSLError, ConnectionResetError, ConnectionAbortedError):
            said = f"“{host}” does not speak TLS on port {port}, which the connection to it demands."
        except OSError as error:
            said = unreachable(host, port, error)
        raise Refused(said)

    def _require_unheard(self) -> None:
        is_verified = tls.is_verified(cast(Credentials, self._hop))
        if is_verified or is_this_machine(self._hop.text("host")) or self._hop.text("extra.insecure_auth") == "password":
            return
        raise Refused(
            "The sign-in would go over a connection that is not verified, where others could read it. Nothing was sent. Use TLS "
            "that is verified."
        )

    async def _connect(self, reader: Any, writer: Any, host: str, port: int) -> None:
        username, password = self._hop.text("username"), self._hop.text("password")
        if not all("!" <= letter <= "~" for letter in host):
            raise Refused("An HTTP proxy cannot be asked for such a host.")
        if ":" in username:
            raise Refused("To an HTTP proxy a username has no colon.")
        place = f"[{bare(host)}]:{port}" if ":" in bare(host) else f"{host}:{port}"
        request = f"CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n"
        if password:
            request += f"Proxy-Authorization: Basic {b64encode(f'{username}:{password}'.encode()).decode()}\r\n"
        writer.write(f"{request}\r\n".encode())
        await writer.drain()
        status = await self._status(reader)
        if 200 <= status < 300:
            return
        if status in (401, 407):
            raise Refused(self._refused())
        if status == 403:
            raise Refused(prohibited(self._place[0], host, port))
        if status in (500, 502, 503, 504):
            raise Refused(unreachable_beyond(self._place[0], host))
        raise Refused(answered_otherwise(self._place[0]))

    async def _status(self, reader: Any) -> int:
        """Of the answer, whose head is read to its end: what follows is the other side's."""
        first = await self._line(reader)
        code = first[9:12]
        if not first.startswith("HTTP/1.") or not (code.isascii() and code.isdigit()):
            raise Refused(not_that("an HTTP proxy", *self._place))
        for _ in range(_MOST_LINES):
            if not await self._line(reader):
                return int(code)
        raise Refused(not_that("an HTTP proxy", *self._place))

    async def _line(self, reader: Any) -> str:
        try:
            line: bytes = await reader.readuntil(b"\n")
        except asyncio.LimitOverrunError:
            raise Refused(not_that("an HTTP proxy", *self._place)) from None
        return line.rstrip(b"\r\n").decode("latin-1")

    async def _socks(self, reader: Any, writer: Any, host: str, port: int) -> None:
        username, password = self._hop.text("username").encode(), self._hop.text("password").encode()
        is_nobody = not username and not password
        writer.write(b"\x05\x01\x00" if is_nobody else b"\x05\x02\x02\x00")
        version, method = await reader.readexactly(2)
        if version != 5 or (method == 2 and is_nobody) or method not in (0, 2, 255):
            raise Refused(not_that("a SOCKS proxy", *self._place))
        if method == 255 or (method == 2 and not password):
            raise Refused(self._refused() if is_nobody or not password else f"“{self._place[0]}” takes no password.")
        if method == 2:
            writer.write(b"\x01" + _counted(username, "username") + _counted(password, "password"))
            if (await reader.readexactly(2))[1] != 0:
                raise Refused(self._refused())
        writer.write(b"\x05\x01\x00" + _socks_address(host) + port.to_bytes(2, "big"))
        version, answer, _, kind = await reader.readexactly(4)
        if version != 5 or kind not in (1, 3, 4):
            raise Refused(not_that("a SOCKS proxy", *self._place))
        # Where it connected from, which matters to nobody.
        length = {1: 4, 4: 16}.get(kind) or (await reader.readexactly(1))[0]
        await reader.readexactly(length + 2)
        if answer == 2:
            raise Refused(prohibited(self._place[0], host, port))
        if answer in (1, 3, 4, 6):
            raise Refused(unreachable_beyond(self._place[0], host))
        if answer == 5:
            raise Refused(closed_beyond(self._place[0], host, port))
        if answer != 0:
            raise Refused(answered_otherwise(self._place[0]))

    def _refused(self) -> str:
        username = self._hop.text("username")
        if not self._hop.text("password"):
            return f"“{self._place[0]}” asks for a sign-in, and its connection has no password."
        return f"“{self._place[0]}” refused the password for “{username}”."

    def close(self) -> None:
        """Nothing is kept."""


def _socks_address(host: str) -> bytes:
    """With its kind before it. A name is looked up by the proxy."""
    try:
        address = ipaddress.ip_address(bare(host))
    except ValueError:
        return b"\x03" + _counted(host.encode(), "host")
    return (b"\x01" if address.version == 4 else b"\x04") + address.packed


def _counted(text: bytes, field: str) -> bytes:
    if len(text) > 255:
        raise Refused(f"To a SOCKS proxy a {field} has 255 bytes at most.")
    return bytes([len(text)]) + text


def unreachable(host: str, port: int, error: OSError) -> str:
    """Why the hop itself is not reached."""
    if isinstance(error, ConnectionRefusedError):
        return f"“{host}” refused the connection on port {port}."
    why = getattr(error, "strerror", None)
    return f"“{host}” cannot be reached on port {port}" + (f": {why}." if why else ".")


def not_that(what: str, host: str, port: int) -> str:
    """Something else answers."""
    return f"What answers at “{host}” on port {port} is not {what}."


def prohibited(hop: str, host: str, port: int) -> str:
    """The hop has a rule against it."""
    return f"“{hop}” lets no connection to “{host}”, port {port}, through."


def unreachable_beyond(hop: str, host: str) -> str:
    """The name is looked up there, not here."""
    return f"The host “{host}” cannot be reached from “{hop}”, or is not known there."


def closed_beyond(hop: str, host: str, port: int) -> str:
    """Nobody listens there."""
    return f"“{host}” refused the connection on port {port} from “{hop}”."


def answered_otherwise(hop: str) -> str:
    """Neither yes nor why not."""
    return f"“{hop}” did not let the connection through, and did not say why in a way that is known here."
