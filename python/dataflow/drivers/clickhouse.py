"""ClickHouse by clickhouse-connect, over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from dataflow import tls
from dataflow._native import Credentials
from dataflow.drivers import over_http
from dataflow.drivers.base import Machine, text

PORT = 8443
_DEFAULT = "default"
"""Who signs in where nobody is named, as in a test of the connection."""

_CODE = "x-clickhouse-exception-code"
_REFUSED = {"516", "192", "193", "194"}
"""AUTHENTICATION_FAILED; before version 20.4 UNKNOWN_USER, WRONG_PASSWORD, REQUIRED_PASSWORD."""


class ClickHouse:
    """clickhouse-connect. Each pooled connection has sockets and a session of its own, which end with it."""

    name = "clickhousedb+connect"
    is_async = False
    has_socket = False
    is_remote = True

    def refusal(self, credentials: Credentials) -> str | None:
        """See `Driver`."""
        if ":" in text(credentials, "username"):
            return "clickhouse-connect signs in by HTTP's Basic, in which a username has no colon."
        return over_http.refusal(credentials, "clickhouse-connect")

    def arguments(self, credentials: Credentials, machine: Machine) -> dict[str, Any]:
        """See `Driver`. The sign-in is the server's part: the driver itself has none."""
        return {
            "server": over_http.Server(credentials, machine, PORT, _sign_in),
            "interface": over_http.scheme(credentials),
            "host": over_http.host(credentials),
            "port": over_http.port(credentials, PORT),
            "username": "",
            "password": "",
            "database": text(credentials, "database") or None,
            "proxy_path": over_http.path(credentials),
            "connect_timeout": over_http.connect_timeout(credentials),
            "client_name": "dataflow",
        }

    def connect(self, dialect: Any, positional: tuple[Any, ...], arguments: Mapping[str, Any]) -> Any:  # noqa: ARG002
        """See `Driver`. The driver asks the server for its version at once, so that a wrong password is refused here."""
        given = dict(arguments)
        manager = over_http.Manager(given.pop("server"), _is_refused)
        return _connection_class()(manager, **given)

    def abandon(self, arguments: Mapping[str, Any]) -> None:
        """See `Abandons`."""
        arguments["server"].abandon()

    def url_password(self, credentials: Credentials) -> str:
        """See `Driver`."""
        return text(credentials, "password")

    def url_query(self, credentials: Credentials, machine: Machine) -> dict[str, str]:
        """See `Driver`. A URL that verifies the server compares its name, too."""
        query = {"interface": over_http.scheme(credentials), "connect_timeout": str(over_http.connect_timeout(credentials))}
        if over_http.path(credentials):
            query["proxy_path"] = over_http.path(credentials)
        if tls.mode(credentials) == "disable":
            return query
        query["verify"] = "true" if tls.checks_chain(credentials) else "false"
        if tls.checks_chain(credentials):
            authority = credentials.expose_text("tls.ca")
            query["ca_cert"] = machine.material.path(authority) if authority else tls.system_bundle()
        certificate, key = credentials.expose_text("tls.cert"), credentials.expose_text("tls.key")
        if certificate and key:
            query["client_cert"], query["client_cert_key"] = machine.material.path(certificate), machine.material.path(key)
            query["tls_mode"] = "strict"  # else the driver would sign in by the certificate alone
        return query

    def url_place(self, credentials: Credentials, machine: Machine) -> dict[str, Any]:  # noqa: ARG002
        """See `PlacesItself`. Without a name a URL would leave the password out."""
        return {"username": _user(credentials)}


def _user(credentials: Credentials) -> str:
    return text(credentials, "username") or _DEFAULT


def _sign_in(credentials: Credentials) -> over_http.Header:
    """Also without a password: without a name the server would take another user."""
    return over_http.basic(_user(credentials), text(credentials, "password"))


def _is_refused(answer: Any) -> bool:
    code = answer.headers.get(_CODE)
    return code in _REFUSED if code else answer.status in (401, 403)


@cache
def _connection_class() -> Any:
    from clickhouse_connect.dbapi.connection import Connection
    from clickhouse_connect.driver import httputil

    class OwnConnection(Connection):  # type: ignore[misc]
        """Closes its sockets, which the driver would keep for the process: it takes them for somebody else's."""

        def __init__(self, manager: over_http.Manager, **given: Any) -> None:
            self._manager = manager
            try:
                super().__init__(pool_mgr=manager, **given)
            except BaseException:
                self._forget()
                raise

        def close(self) -> None:
            super().close()
            self._forget()

        def _forget(self) -> None:
            httputil.all_managers.pop(self._manager, None)
            self._manager.clear()

    return OwnConnection


DRIVER = ClickHouse()
