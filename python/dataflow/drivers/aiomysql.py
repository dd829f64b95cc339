"""MySQL and MariaDB by aiomysql, for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import cache
from typing import Any

from dataflow import tls
from dataflow._native import Credentials
from dataflow.drivers import guard, mysql
from dataflow.drivers.base import Machine, text


class AioMySQL:
    """aiomysql, in a subclass that gives no password away where the server is not verified."""

    name = "mysql+aiomysql"
    is_async = True
    has_socket = True
    is_remote = True

    def refusal(self, credentials: Credentials) -> str | None:  # noqa: ARG002
        """See `Driver`. There is none."""
        return None

    def arguments(self, credentials: Credentials, machine: Machine) -> dict[str, Any]:
        """See `Driver`."""
        return {
            **guard.arguments(credentials, machine),
            "db": text(credentials, "database") or None,
            "ssl": tls.context(credentials, machine.material),
        }

    def connect(self, dialect: Any, positional: tuple[Any, ...], arguments: Mapping[str, Any]) -> Any:
        """See `Driver`."""
        return dialect.loaded_dbapi.connect(*positional, **{**arguments, "async_creator_fn": _open})

    def url_password(self, credentials: Credentials) -> str:
        """See `Driver`."""
        return mysql.wire_password(credentials)

    def url_query(self, credentials: Credentials, machine: Machine) -> dict[str, str]:  # noqa: ARG002
        """See `Driver`."""
        return {"charset": mysql.charset(credentials)}


async def _open(**arguments: Any) -> Any:
    from pymysql import err

    connection = _connection_class()(**arguments)
    limit = connection.connect_timeout
    try:
        # The driver's own time-out is for the socket's connect alone.
        await asyncio.wait_for(connection._connect(), limit)
    except asyncio.TimeoutError:
        connection.close()
        raise err.OperationalError(2003, f"Can't connect to MySQL server: it took longer than {limit} s") from None
    except BaseException:
        connection.close()
        raise
    return connection


@cache
def _connection_class() -> Any:
    from aiomysql.connection import Connection
    from pymysql import err
    from pymysql.constants import CLIENT

    class GuardedConnection(guard.Guard, Connection):  # type: ignore[misc]
        """The same as PyMySQL's, and never goes on without the TLS that was asked for."""

        async def _connect(self) -> None:
            place: tuple[str, int] = self.host, self.port
            self._real_host = place[0]
            try:
                if self._way is not None:
                    self._host, self._port = self._way
                await super()._connect()
            finally:
                self._host, self._port = place

        async def _request_authentication(self) -> None:
            # From here on it is the name that the certificate has to have.
            self._host = self._real_host
            if self._ssl_context and not self.server_capabilities & CLIENT.SSL:
                raise err.OperationalError(2026, "the server offers no TLS, and the connection demands it")
            if self._guarded and not self.server_capabilities & CLIENT.PLUGIN_AUTH:
                raise err.OperationalError(2059, mysql.refusal("mysql_old_password"))
            self._refuse_harmful(self._server_auth_plugin)
            await super()._request_authentication()

        async def _process_auth(self, plugin_name: bytes, auth_packet: Any) -> None:
            self._refuse_harmful(plugin_name.decode("ascii", "replace"))
            await super()._process_auth(plugin_name, auth_packet)

    return GuardedConnection


DRIVER = AioMySQL()
