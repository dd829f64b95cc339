"""What drivers over HTTP share: connections to one server that sign in by themselves, as they write to the wire.

The driver above them never has the password, so that no object, log or traceback of it can show it. Whatever URL an answer names
(a redirect, the next page of a result) is asked of the connection's own server; no proxy of the environment is used, as in a
test of the connection. Their sockets go with the pooled connection that they belong to.
"""

from __future__ import annotations

import contextlib
import socket
import weakref
from base64 import b64encode
from typing import Any, Callable, Optional

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, NewConnectionError

from dataflow import fork, tls
from dataflow._native import Credentials
from dataflow.drivers.base import CONNECT_TIMEOUT, Machine, text
from dataflow.hops.rules import is_this_machine
from dataflow.scrub import forget_frames

Header = tuple[str, str]
SignIn = Callable[[Credentials], Optional[Header]]
"""The header that signs in with these credentials; `None` without a password."""


def refusal(credentials: Credentials, product: str) -> str | None:
    """Why no password may be sent: over HTTP every server is told it. `product` is the driver's name."""
    if not text(credentials, "password") or _may_be_told(credentials):
        return None
    return f"{product} would tell the password to a server that is not verified. Set TLS to verify-full."


def _may_be_told(credentials: Credentials) -> bool:
    is_allowed = credentials.expose_text("extra.insecure_auth") == "password"
    return is_allowed or tls.is_verified(credentials) or _is_unheard(credentials)


def _is_unheard(credentials: Credentials) -> bool:
    """Whether it goes no further than this machine; or than the SSH server that it goes through, who is known."""
    is_known = credentials.hop is None or credentials.hop.base == "ssh"
    return is_known and is_this_machine(text(credentials, "host"))


def scheme(credentials: Credentials) -> str:
    """`https`, or `http` where the connection has no TLS."""
    return "http" if tls.mode(credentials) == "disable" else "https"


def connect_timeout(credentials: Credentials) -> int:
    """Seconds."""
    return credentials.integer("extra.connect_timeout") or CONNECT_TIMEOUT


def port(credentials: Credentials, default: int) -> int:
    """The connection's, else the type's default."""
    return credentials.integer("port") or default


def host(credentials: Credentials) -> str:
    """As a URL has it."""
    bare = text(credentials, "host").strip("[]")
    return f"[{bare}]" if ":" in bare else bare


def path(credentials: Credentials) -> str:
    """What every address of the service begins with: empty, or `/gateway`."""
    prefix = text(credentials, "extra.path").strip("/")
    return f"/{prefix}" if prefix else ""


def wire(value: str) -> str:
    """For drivers that encode a header as latin-1: what puts its UTF-8 on the wire."""
    return value.encode().decode("latin-1")


def basic(username: str, password: str) -> Header:
    """The scheme Basic (RFC 7617), in UTF-8."""
    return "Authorization", f"Basic {b64encode(f'{username}:{password}'.encode()).decode()}"


class Server:
    """Where a pooled connection leads, and how it signs in there."""

    def __init__(self, credentials: Credentials, machine: Machine, default_port: int, sign_in: SignIn) -> None:
        self.address = host(credentials), port(credentials, default_port)
        self.context = tls.context(credentials, machine.material)
        # A function, so that whoever looks through attributes finds no password.
        self.header: Callable[[], Header | None] = lambda: sign_in(credentials)
        self._renewed: Callable[[], Credentials | None] = lambda: _renewed(credentials, machine)
        self._sign_in = sign_in
        self._machine = machine
        self._way = machine.way
        self._is_first = True
        self._is_abandoned = False
        self._sockets: weakref.WeakSet[Any] = weakref.WeakSet()

    def renew(self) -> bool:
        """After a refused sign-in: takes what the name stands for now, if that is the same login with another password."""
        again = self._renewed()
        if again is None:
            return False
        sign_in = self._sign_in
        self.header = lambda: sign_in(again)
        self._renewed = lambda: _renewed(again, self._machine)
        return True

    def way(self) -> tuple[str, int] | None:
        """Where the next socket begins, if not at the server. The first one's is ready. Raises `HopFailed`."""
        if self._way is None:
            return None
        is_first, self._is_first = self._is_first, False
        return (self._way.host, self._way.port) if is_first else self._way.again()

    def opening(self, connection: Any) -> None:
        """Tells of a socket that is being opened, and again when it is open."""
        self._sockets.add(connection)
        if self._is_abandoned:
            self.abandon()

    def abandon(self) -> None:
        """Breaks off what is under way: a server without an end would else hold a thread, and fill the memory."""
        self._is_abandoned = True
        for connection in self._opened():
            # As of any socket: that of one inside TLS lets go of the encryption first, while somebody may still be writing.
            with contextlib.suppress(OSError, AttributeError, TypeError):
                socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)

    def _opened(self) -> list[Any]:
        while True:
            # Another thread may be adding one.
            with contextlib.suppress(RuntimeError):
                return list(self._sockets)


def _renewed(credentials: Credentials, machine: Machine) -> Credentials | None:
    again = None if machine.renew is None else machine.renew(credentials.fingerprint)
    return again if again is not None and _place(again) == _place(credentials) else None


def _place(credentials: Credentials) -> tuple[Any, ...]:
    """All but the password that a request depends on."""
    texts = ("host", "username", "database", "extra.path", "extra.schema", "extra.auth", "extra.insecure_auth")
    transport = sorted(credentials.expose_group("tls").items())
    hop = credentials.hop and credentials.hop.fingerprint
    return credentials.type, credentials.integer("port"), hop, transport, *(text(credentials, path) for path in texts)


class _SigningIn:
    """Goes before `http.client.HTTPConnection`: adds the sign-in to each request, behind all that the driver knows of it."""

    server: Server
    # Else whoever has all of HTTP printed would have the sign-in printed.
    debuglevel = 0

    def connect(self) -> None:
        """As the driver's. A pooled connection opens its socket anew when the server has closed it."""
        with fork.no_fork():
            self.server.opening(self)
            super().connect()  # type: ignore[misc]
            fork.record_socket(self)
            self.server.opening(self)

    def _new_conn(self) -> Any:
        """As the driver's, and where the connection goes through a hop, to where that begins. Names stay, of TLS, too."""
        way = self.server.way()
        if way is None:
            return super()._new_conn()  # type: ignore[misc]
        timeout = self.timeout  # type: ignore[attr-defined]
        try:
            return socket.create_connection(way, timeout if isinstance(timeout, (int, float)) else CONNECT_TIMEOUT)
        except OSError as error:
            failure = error
        raise NewConnectionError(self, f"the way to the server begins nowhere: {failure}")

    def endheaders(self, message_body: Any = None, *, encode_chunked: bool = False) -> None:
        error = self._end_headers(message_body, encode_chunked)
        if error is not None:
            # Here, where no frame knows the password.
            raise error

    def _end_headers(self, message_body: Any, encode_chunked: bool) -> BaseException | None:
        try:
            self._put_sign_in()
            super().endheaders(message_body, encode_chunked=encode_chunked)  # type: ignore[misc]
        except BaseException as error:
            return forget_frames(error)
        return None

    def _put_sign_in(self) -> None:
        header = self.server.header()
        try:
            if header is not None:
                self.putheader(*header)  # type: ignore[attr-defined]
        except ValueError:
            # It quotes the whole header, and is not to stand behind what is raised.
            pass
        else:
            return
        raise HTTPError("this password cannot be sent over HTTP")


class _Asking:
    """Goes before `urllib3`'s pools: asks once more, with the new password, where the old one was refused meanwhile."""

    server: Server
    is_refused: Callable[[Any], bool]

    def urlopen(self, method: str, url: str, body: Any = None, headers: Any = None, *rest: Any, **named: Any) -> Any:
        answer = super().urlopen(method, url, body, headers, *rest, **named)  # type: ignore[misc]
        can_repeat = body is None or isinstance(body, (bytes, str))
        if can_repeat and type(self).is_refused(answer) and self.server.renew():
            answer.drain_conn()
            answer.release_conn()
            return super().urlopen(method, url, body, headers, *rest, **named)  # type: ignore[misc]
        return answer


class Manager(PoolManager):  # type: ignore[misc]
    """All that a driver asks goes to the one server, whichever host the URL names, and no redirect is followed."""

    def __init__(self, server: Server, is_refused: Callable[[Any], bool]) -> None:
        super().__init__()
        self._server = server
        self._is_refused = is_refused
        self._pool: HTTPConnectionPool | None = None

    def connection_from_host(self, *_: Any, **__: Any) -> HTTPConnectionPool:
        """The server's."""
        if self._pool is None:
            self._pool = _pool(self._server, self._is_refused)
        return self._pool

    def urlopen(self, method: str, url: str, redirect: bool = True, **named: Any) -> Any:  # noqa: ARG002
        """As `urllib3`'s, without redirects."""
        return super().urlopen(method, url, redirect=False, **named)

    def clear(self) -> None:
        """Closes the sockets; the next request opens another one."""
        super().clear()
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()


def _pool(server: Server, is_refused: Callable[[Any], bool]) -> HTTPConnectionPool:
    host, port = server.address
    context = server.context
    attributes = {"server": server}
    base: Any = HTTPConnection if context is None else HTTPSConnection
    connection = type(f"SigningIn{base.__name__}", (_SigningIn, base), attributes)
    kind: Any = HTTPConnectionPool if context is None else HTTPSConnectionPool
    pool = type(f"Asking{kind.__name__}", (_Asking, kind), {**attributes, "ConnectionCls": connection, "is_refused": is_refused})
    transport: dict[str, Any] = {}
    if context is not None:
        transport["ssl_context"] = context
        if not context.check_hostname:
            # Else urllib3 compares the names itself.
            transport["assert_hostname"] = False
    made: HTTPConnectionPool = pool(host, port, maxsize=2, **transport)
    return made
