"""MySQL and MariaDB by aiomysql, for asyncio."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from dataflow import tls
from dataflow._native import Credentials
from dataflow.drivers import mysql
from dataflow.drivers.base import Machine, text


class AioMySQL:
    """aiomysql, in a subclass that gives no password away where the server is not verified."""

    name = "mysql+aiomysql"
    is_async = True
    has_socket = True

    def refusal(self, credentials: Credentials) -> str | None:  # noqa: ARG002
        """See `Driver`. There is none."""
        return None

    def arguments(self, credentials: Credentials, machine: Machine) -> dict[str, Any]:
        """See `Driver`."""
        given = {
            **mysql.address(credentials),
            "password": mysql.wire_password(credentials),
            "db": text(credentials, "database") or None,
            "charset": mysql.charset(credentials),
            "connect_timeout": mysql.connect_timeout(credentials),
            "init_command": mysql.session_statement(credentials),
            "local_infile": False,
            "guarded": not tls.is_verified(credentials),
            "ssl": tls.context(credentials, machine.material),
        }
        if mysql.refuses_keys_from_server(credentials):
            given["server_public_key"] = mysql.DEAD_KEY.encode()
        return given

    def connect(self, dialect: Any, positional: tuple[Any, ...], arguments: Mapping[str, Any]) -> Any:
        """See `Driver`."""
        return dialect.loaded_dbapi.connect(*positional, **{**arguments, "async_creator_fn": _open})

    def url_query(self, credentials: Credentials, machine: Machine) -> dict[str, str]:  # noqa: ARG002
        """See `Driver`."""
        return {"charset": mysql.charset(credentials)}


async def _open(**arguments: Any) -> Any:
    connection = _connection_class()(**arguments)
    await connection._connect()
    return connection


@cache
def _connection_class() -> Any:
    from aiomysql.connection import Connection
    from pymysql import err
    from pymysql.constants import CLIENT

    class GuardedConnection(Connection):  # type: ignore[misc]
        """Answers harmless challenges only, and never goes on without the TLS that was asked for."""

        def __init__(self, *, guarded: bool, **arguments: Any) -> None:
            self._guarded = guarded
            self._is_encrypted = False
            super().__init__(**arguments)

        @property
        def _secure(self) -> bool:
            """What aiomysql asks before it sends the password as it is."""
            return self._is_encrypted and not self._guarded

        @_secure.setter
        def _secure(self, is_encrypted: bool) -> None:
            self._is_encrypted = is_encrypted

        async def _request_authentication(self) -> None:
            if self._ssl_context and not self.server_capabilities & CLIENT.SSL:
                raise err.OperationalError(2026, "the server offers no TLS, and the connection demands it")
            if self._guarded and not self.server_capabilities & CLIENT.PLUGIN_AUTH:
                raise err.OperationalError(2059, mysql.refusal("mysql_old_password"))
            self._refuse_harmful(self._server_auth_plugin)
            await super()._request_authentication()

        async def _process_auth(self, plugin_name: bytes, auth_packet: Any) -> None:
            self._refuse_harmful(plugin_name.decode("ascii", "replace"))
            await super()._process_auth(plugin_name, auth_packet)

        def _refuse_harmful(self, plugin: str) -> None:
            if self._guarded and plugin and plugin not in mysql.HARMLESS_PLUGINS:
                raise err.OperationalError(2059, mysql.refusal(plugin))

    return GuardedConnection


DRIVER = AioMySQL()
