"""MySQL and MariaDB by PyMySQL."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from dataflow import tls
from dataflow._native import Credentials
from dataflow.drivers import mysql
from dataflow.drivers.base import Machine, text


class PyMySQL:
    """PyMySQL, in a subclass that gives no password away where the server is not verified."""

    name = "mysql+pymysql"
    is_async = False
    has_socket = True

    def refusal(self, credentials: Credentials) -> str | None:  # noqa: ARG002
        """See `Driver`. There is none."""
        return None

    def arguments(self, credentials: Credentials, machine: Machine) -> dict[str, Any]:
        """See `Driver`."""
        context = tls.context(credentials, machine.material)
        given = {
            **mysql.address(credentials),
            "password": mysql.wire_password(credentials),
            "database": text(credentials, "database") or None,
            "charset": mysql.charset(credentials),
            "connect_timeout": mysql.connect_timeout(credentials),
            "read_timeout": credentials.integer("extra.read_timeout"),
            "init_command": mysql.session_statement(credentials),
            "local_infile": False,
            "guarded": not tls.is_verified(credentials),
            # PyMySQL's own default is unverified TLS if the server offers it, and none if it does not.
            **({"ssl": context} if context else {"ssl_disabled": True}),
        }
        if mysql.refuses_keys_from_server(credentials):
            given["server_public_key"] = mysql.DEAD_KEY.encode()
        return given

    def connect(self, dialect: Any, positional: tuple[Any, ...], arguments: Mapping[str, Any]) -> Any:  # noqa: ARG002
        """See `Driver`."""
        return _connection_class()(*positional, **arguments)

    def url_query(self, credentials: Credentials, machine: Machine) -> dict[str, str]:
        """See `Driver`."""
        return mysql.url_query(credentials, machine)


@cache
def _connection_class() -> Any:
    from pymysql import err
    from pymysql.connections import Connection

    class GuardedConnection(Connection):  # type: ignore[misc]
        """Answers harmless challenges only, and never trusts unverified TLS with the password."""

        def __init__(self, *positional: Any, guarded: bool, **arguments: Any) -> None:
            self._guarded = guarded
            self._is_encrypted = False
            super().__init__(*positional, **arguments)

        @property
        def _secure(self) -> bool:
            """What PyMySQL asks before it sends the password as it is."""
            return self._is_encrypted and not self._guarded

        @_secure.setter
        def _secure(self, is_encrypted: bool) -> None:
            self._is_encrypted = is_encrypted

        def _get_server_information(self) -> None:
            super()._get_server_information()
            self._refuse_harmful(self._auth_plugin_name)

        def _process_auth(self, plugin_name: bytes, *rest: Any) -> Any:
            self._refuse_harmful(plugin_name.decode("ascii", "replace"))
            return super()._process_auth(plugin_name, *rest)

        def _refuse_harmful(self, plugin: str) -> None:
            if self._guarded and plugin and plugin not in mysql.HARMLESS_PLUGINS:
                raise err.OperationalError(2059, mysql.refusal(plugin))

    return GuardedConnection


DRIVER = PyMySQL()
