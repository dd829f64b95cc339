"""What PyMySQL and aiomysql share, since the one is made from the other: arguments, and what their connections refuse."""

from __future__ import annotations

from typing import Any

from dataflow import tls
from dataflow._native import Credentials
from dataflow.drivers import mysql
from dataflow.drivers.base import Machine


def arguments(credentials: Credentials, machine: Machine) -> dict[str, Any]:
    """What both take by the same names; `guarded` and `way` are for a `Guard`."""
    given = {
        **mysql.address(credentials),
        "password": mysql.wire_password(credentials),
        "charset": mysql.charset(credentials),
        "connect_timeout": mysql.connect_timeout(credentials),
        "init_command": mysql.session_statement(credentials),
        "local_infile": False,
        "guarded": not tls.is_verified(credentials),
        "way": machine.way and (machine.way.host, machine.way.port),
    }
    if mysql.refuses_keys_from_server(credentials):
        given["server_public_key"] = mysql.DEAD_KEY.encode()
    return given


class Guard:
    """Stands before a driver's `Connection`: only harmless challenges are answered, and unverified TLS gets no password."""

    def __init__(self, *positional: Any, guarded: bool, way: tuple[str, int] | None = None, **given: Any) -> None:
        self._guarded = guarded
        self._way = way
        self._is_encrypted = False
        super().__init__(*positional, **given)

    @property
    def _secure(self) -> bool:
        """What the drivers ask before they send the password as it is."""
        return self._is_encrypted and not self._guarded

    @_secure.setter
    def _secure(self, is_encrypted: bool) -> None:
        self._is_encrypted = is_encrypted

    def _refuse_harmful(self, plugin: str) -> None:
        from pymysql import err

        if self._guarded and plugin and plugin not in mysql.HARMLESS_PLUGINS:
            raise err.OperationalError(2059, mysql.refusal(plugin))
