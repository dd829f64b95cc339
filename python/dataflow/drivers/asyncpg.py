"""PostgreSQL by asyncpg, for asyncio."""

from __future__ import annotations

import asyncio
import re
import struct
from collections.abc import Mapping
from typing import Any, Callable

from dataflow import tls
from dataflow._native import Credentials
from dataflow.drivers import libpq
from dataflow.drivers.base import CONNECT_TIMEOUT, Machine, text


class Asyncpg:
    """asyncpg. It has no setting for the kinds of sign-in, so they are filtered on the wire."""

    name = "postgresql+asyncpg"
    is_async = True
    has_socket = True
    is_remote = True

    def refusal(self, credentials: Credentials) -> str | None:  # noqa: ARG002
        """See `Driver`. There is none."""
        return None

    def arguments(self, credentials: Credentials, machine: Machine) -> dict[str, Any]:
        """See `Driver`."""
        user = text(credentials, "username")
        context = tls.context(credentials, machine.material)
        given = {
            "host": text(credentials, "host"),
            "port": credentials.integer("port") or 5432,
            "user": user,
            "password": text(credentials, "password"),
            "database": text(credentials, "database") or user,
            "passfile": tls.NOWHERE,
            "timeout": credentials.integer("extra.connect_timeout") or CONNECT_TIMEOUT,
            # `None` would mean TLS if the server offers it.
            "ssl": context or False,
            "server_settings": {
                "application_name": text(credentials, "extra.application_name") or "dataflow",
                **libpq.session_options(credentials),
            },
        }
        loop: Any = None
        if machine.way is not None:
            loop = LedLoop(asyncio.get_running_loop(), (machine.way.host, machine.way.port))
        if not tls.is_verified(credentials):
            allowed = _allowed_requests(credentials)
            loop = GuardedLoop(loop or asyncio.get_running_loop(), allowed, is_encrypted=context is not None)
        return {**given, "loop": loop} if loop else given

    def connect(self, dialect: Any, positional: tuple[Any, ...], arguments: Mapping[str, Any]) -> Any:
        """See `Driver`."""
        return dialect.loaded_dbapi.connect(*positional, **arguments)

    def url_password(self, credentials: Credentials) -> str:
        """See `Driver`."""
        return text(credentials, "password")

    def url_query(self, credentials: Credentials, machine: Machine) -> dict[str, str]:  # noqa: ARG002
        """See `Driver`."""
        return {"ssl": tls.mode(credentials)}


# https://www.postgresql.org/docs/current/protocol-message-formats.html, the messages "R"
_OK, _CLEARTEXT, _MD5, _SASL, _SASL_CONTINUE, _SASL_FINAL = 0, 3, 5, 10, 11, 12
_LONGEST = 65536

_MOST_ROUNDS = 100_000
"""Most rounds of hashing that a server may ask for, as in a test of the connection. The event loop stands still meanwhile: 20
million took 12 s."""
_ROUNDS = re.compile(rb"(?:^|,)i=0*([0-9]+)")


def _allowed_requests(credentials: Credentials) -> frozenset[int]:
    weaker = {"md5": {_MD5}, "password": {_CLEARTEXT}}
    return frozenset({_OK, _SASL, _SASL_CONTINUE, _SASL_FINAL} | weaker.get(text(credentials, "extra.insecure_auth"), set()))


class LedLoop:
    """An event loop whose connections begin elsewhere. The driver goes on with the host's name, which the certificate has to
    have."""

    def __init__(self, loop: asyncio.AbstractEventLoop, way: tuple[str, int]) -> None:
        self._loop = loop
        self._way = way

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    async def create_connection(self, factory: Callable[[], asyncio.Protocol], *_: Any, **named: Any) -> Any:
        """As the loop's, to where the way begins."""
        return await self._loop.create_connection(factory, *self._way, **named)


class GuardedLoop:
    """An event loop whose connections are filtered until they are signed in."""

    def __init__(self, loop: asyncio.AbstractEventLoop, allowed: frozenset[int], *, is_encrypted: bool) -> None:
        self._loop = loop
        self._allowed = allowed
        self._is_encrypted = is_encrypted

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    async def create_connection(self, factory: Callable[[], asyncio.Protocol], *positional: Any, **named: Any) -> Any:
        """As the loop's, with the filter in front of the protocol. What precedes TLS knows no password and passes."""
        if self._is_encrypted:
            return await self._loop.create_connection(factory, *positional, **named)
        transport, gate = await self._loop.create_connection(lambda: _Gate(factory(), self._allowed), *positional, **named)
        return transport, gate.inner

    async def start_tls(self, *positional: Any, **named: Any) -> Any:
        """As the loop's; the protocol that is then set gets the filter in front."""
        transport = await self._loop.start_tls(*positional, **named)
        return None if transport is None else _GuardedTransport(transport, self._allowed)


class _GuardedTransport:
    def __init__(self, transport: asyncio.Transport, allowed: frozenset[int]) -> None:
        self._transport = transport
        self._allowed = allowed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def set_protocol(self, protocol: asyncio.Protocol) -> None:
        self._transport.set_protocol(_Gate(protocol, self._allowed, self._transport))


class _Gate(asyncio.Protocol):
    """Ends the connection before a request that would cost the password reaches the real protocol."""

    def __init__(self, inner: asyncio.Protocol, allowed: frozenset[int], transport: Any = None) -> None:
        self.inner = inner
        self._allowed = allowed
        self._pending = b""
        self._transport = transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self.inner.connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self.inner.connection_lost(error)

    def eof_received(self) -> bool | None:
        return self.inner.eof_received()

    def pause_writing(self) -> None:
        self.inner.pause_writing()

    def resume_writing(self) -> None:
        self.inner.resume_writing()

    def data_received(self, data: bytes) -> None:
        received, checked = self._pending + data, 0
        while len(received) - checked >= 5:
            kind, length = struct.unpack_from("!ci", received, checked)
            if not 4 <= length <= _LONGEST:
                return self._break_off("it does not speak PostgreSQL's protocol")
            end = checked + 1 + length
            if len(received) < end:
                break
            if kind == b"R":
                request = struct.unpack_from("!i", received, checked + 5)[0] if length >= 8 else -1
                if request not in self._allowed:
                    return self._break_off("it asks for the password in a form that a third party could use")
                rounds = _ROUNDS.search(received[checked + 9 : end]) if request == _SASL_CONTINUE else None
                if rounds and (len(rounds[1]) > len(str(_MOST_ROUNDS)) or int(rounds[1]) > _MOST_ROUNDS):
                    return self._break_off("it asks to hash the password more often than is sensible")
                if request == _OK:
                    # Signed in: from here on the real protocol stands alone.
                    self._transport.set_protocol(self.inner)
                    return self.inner.data_received(received)
            elif kind not in (b"E", b"N", b"v", b"S"):
                return self._break_off("it skips the sign-in")
            checked = end
        self._pending = received[checked:]
        if checked:
            self.inner.data_received(received[:checked])
        return None

    def _break_off(self, reason: str) -> None:
        self._transport.abort()
        self.inner.connection_lost(ConnectionError(f"The server is not verified, and {reason}. Set TLS to verify-full."))


DRIVER = Asyncpg()
