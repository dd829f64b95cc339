"""What the tests of ClickHouse and Trino share."""

from __future__ import annotations

import base64
import contextlib
import os
import socket
import stat
import sys

from test_leaks import PLANTED, _everything_about

USER = "shop"
WHO = {"clickhouse": "SELECT currentUser()", "trino": "SELECT current_user"}
"""The query that answers who is signed in."""


class Elsewhere:
    """A server that nobody has a reason to come to."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0)
        self.port = self._listener.getsockname()[1]

    def was_asked(self) -> bool:
        try:
            self._listener.accept()[0].close()
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        self._listener.close()


def is_the_databases(error: BaseException) -> bool:
    """SQLAlchemy's. The last clickhouse-connect for Python 3.9 has errors that SQLAlchemy does not know for a driver's."""
    kinds = {"sqlalchemy.exc"} if sys.version_info >= (3, 10) else {"sqlalchemy.exc", "clickhouse_connect.driver.exceptions"}
    return type(error).__module__ in kinds


def sockets_to(port: int) -> int:
    """How many of this process' sockets lead there."""
    found = 0
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                with socket.socket(fileno=os.dup(int(name))) as each:
                    found += each.getpeername()[1] == port
    return found


def manager_of(connection):
    """What leads the requests of a pooled connection."""
    session = getattr(connection, "_http_session", None)
    return session.get_adapter("https://")._manager if session else connection._manager


def driver_connection(connection):
    return connection.connection.driver_connection


def shown_of(error: BaseException, caplog, capfd) -> str:
    return _everything_about(error) + caplog.text + "".join(capfd.readouterr())


def forms_of_planted() -> list[str]:
    """The password, and what of it stands in the header."""
    inside = [base64.b64encode(b"x" * shift + PLANTED.encode()).decode()[4:-4] for shift in range(3)]
    return [PLANTED, *inside]
