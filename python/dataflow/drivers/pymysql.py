"""MySQL and MariaDB by PyMySQL."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from functools import cache
from typing import Any

from dataflow import tls
from dataflow._native import Credentials
from dataflow.drivers import guard, mysql
from dataflow.drivers.base import Machine, text


class PyMySQL:
    """PyMySQL, in a subclass that gives no password away where the server is not verified."""

    name = "mysql+pymysql"
    is_async = False
    has_socket = True
    is_remote = True

    def refusal(self, credentials: Credentials) -> str | None:  # noqa: ARG002
        """See `Driver`. There is none."""
        return None

    def arguments(self, credentials: Credentials, machine: Machine) -> dict[str, Any]:
        """See `Driver`."""
        context = tls.context(credentials, machine.material)
        return {
            **guard.arguments(credentials, machine),
            "database": text(credentials, "database") or None,
            "read_timeout": credentials.integer("extra.read_timeout"),
            # PyMySQL's own default is unverified TLS if the server offers it, and none if it does not.
            **({"ssl": context} if context else {"ssl_disabled": True}),
        }

    def connect(self, dialect: Any, positional: tuple[Any, ...], arguments: Mapping[str, Any]) -> Any:  # noqa: ARG002
        """See `Driver`."""
        return _connection_class()(*positional, **arguments)

    def url_password(self, credentials: Credentials) -> str:
        """See `Driver`."""
        return mysql.wire_password(credentials)

    def url_query(self, credentials: Credentials, machine: Machine) -> dict[str, str]:
        """See `Driver`."""
        return mysql.url_query(credentials, machine)


class _InTime:
    """Stands before PyMySQL's `Connection`, whose time-out is for the socket's connect alone: the sign-in has what is left."""

    _until: float | None = None

    def connect(self: Any, sock: Any = None) -> None:
        self._until = time.monotonic() + self.connect_timeout
        try:
            if sock is None and self._way is not None:
                sock = self._through(self._way)
            super().connect(sock)  # type: ignore[misc]
        finally:
            self._until = None
        self._sock.settimeout(self._read_timeout)
        self._current_timeout = self._read_timeout

    def _through(self: Any, way: tuple[str, int]) -> Any:
        """A socket to where the way begins. The driver's host stays the real one, which the certificate has to name."""
        try:
            sock = socket.create_connection(way, self.connect_timeout)
        except OSError as error:
            raise self._cannot_connect(error) from None
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def _limit(self: Any, until: float) -> None:
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self._sock.settimeout(left)

    def _read_bytes(self: Any, count: int) -> Any:
        if self._until is None:
            return super()._read_bytes(count)  # type: ignore[misc]
        data = b""
        while len(data) < count:
            self._limit(self._until)
            part = self._rfile.read1(count - len(data))
            if not part:
                raise ConnectionResetError("the server closed the connection")
            data += part
        return data

    def _write_bytes(self: Any, data: bytes) -> None:
        super()._write_bytes(data)  # type: ignore[misc]
        if self._until is not None:
            # What may follow is TLS, which takes the socket's time-out for the whole of its handshake.
            self._limit(self._until)


@cache
def _connection_class() -> Any:
    from pymysql import err
    from pymysql.connections import Connection

    class GuardedConnection(guard.Guard, _InTime, Connection):  # type: ignore[misc]
        """Looks at each sign-in that the server names before the driver answers it."""

        def _cannot_connect(self, error: OSError) -> Exception:
            return err.OperationalError(2003, f"Can't connect to MySQL server on {self.host!r} ({error})")  # type: ignore[no-any-return]

        def _get_server_information(self) -> None:
            super()._get_server_information()
            self._refuse_harmful(self._auth_plugin_name)

        def _process_auth(self, plugin_name: bytes, *rest: Any) -> Any:
            self._refuse_harmful(plugin_name.decode("ascii", "replace"))
            return super()._process_auth(plugin_name, *rest)

    return GuardedConnection


DRIVER = PyMySQL()
