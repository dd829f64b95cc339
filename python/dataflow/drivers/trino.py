"""Trino by its own client, over HTTP."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote_plus

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError

from dataflow import tls
from dataflow._native import Credentials
from dataflow.drivers import over_http
from dataflow.drivers.base import Machine, text
from dataflow.errors import UnsupportedConnection

PORT = 8443
_STATEMENT = "/v1/statement"
_READ_WITHIN = 30.0
"""Seconds for one answer, as the client itself has it. While a query runs the server answers every second."""
_LONGEST_REFUSAL = 65536
"""Bytes that are read of the answer to an empty statement, so that its connection can be used again."""
_SPOOLING = "X-Trino-Query-Data-Encoding"


class Trino:
    """The client `trino`. It signs in with each request, and takes its results from no other server."""

    name = "trino"
    is_async = False
    has_socket = False
    is_remote = True

    def refusal(self, credentials: Credentials) -> str | None:
        """See `Driver`."""
        if not _is_token(credentials) and text(credentials, "password") and ":" in text(credentials, "username"):
            return "Trino's client signs in by HTTP's Basic, in which a username has no colon."
        return over_http.refusal(credentials, "Trino's client")

    def arguments(self, credentials: Credentials, machine: Machine) -> dict[str, Any]:
        """See `Driver`. The sign-in is the server's part: the client itself has none."""
        timeout = over_http.connect_timeout(credentials)
        return {
            "server": over_http.Server(credentials, machine, PORT, _sign_in),
            "prefix": over_http.path(credentials),
            "host": over_http.host(credentials),
            "port": over_http.port(credentials, PORT),
            "http_scheme": over_http.scheme(credentials),
            "user": over_http.wire(text(credentials, "username")),
            "auth": None,
            "catalog": over_http.wire(text(credentials, "database")) or None,
            "schema": over_http.wire(text(credentials, "extra.schema")) or None,
            "source": "dataflow",
            "request_timeout": (timeout, _READ_WITHIN),
        }

    def connect(self, dialect: Any, positional: tuple[Any, ...], arguments: Mapping[str, Any]) -> Any:  # noqa: ARG002
        """See `Driver`. The client itself asks nothing before the first query: whether the password is right is asked here."""
        given = dict(arguments)
        session = _Session(over_http.Manager(given.pop("server"), _is_refused), given.pop("prefix"))
        dbapi = dialect.loaded_dbapi
        connection = dbapi.connect(**given, http_session=session)
        try:
            _enter(connection, dbapi)
        except BaseException:
            connection.close()
            raise
        return connection

    def abandon(self, arguments: Mapping[str, Any]) -> None:
        """See `Abandons`."""
        arguments["server"].abandon()

    def url_password(self, credentials: Credentials) -> str:
        """See `Driver`."""
        return "" if _is_token(credentials) else text(credentials, "password")

    def url_query(self, credentials: Credentials, machine: Machine) -> dict[str, str]:
        """See `Driver`."""
        is_encrypted = over_http.scheme(credentials) == "https"
        if is_encrypted != (over_http.port(credentials, PORT) == 443):
            raise UnsupportedConnection(
                f"“{credentials.name}” has no URL: to Trino's client a URL means TLS on port 443, and no TLS on any other. "
                'Use mode="session" or mode="engine".'
            )
        query = {"source": "dataflow"}
        if is_encrypted and tls.checks_chain(credentials):
            authority = credentials.expose_text("tls.ca")
            query["verify"] = json.dumps(machine.material.path(authority) if authority else tls.system_bundle())
        elif is_encrypted:
            query["verify"] = "false"
        certificate, key = credentials.expose_text("tls.cert"), credentials.expose_text("tls.key")
        if _is_token(credentials) and text(credentials, "password"):
            query["access_token"] = text(credentials, "password")
        elif certificate and key and not text(credentials, "password"):
            query["cert"], query["key"] = machine.material.path(certificate), machine.material.path(key)
        if not is_encrypted and text(credentials, "password"):
            query["allow_insecure_auth"] = "true"
        return query

    def url_place(self, credentials: Credentials, machine: Machine) -> dict[str, Any]:  # noqa: ARG002
        """See `PlacesItself`."""
        names = [text(credentials, "database") or "system", text(credentials, "extra.schema")]
        return {"database": "/".join(quote_plus(name) for name in names if name)}


def _is_token(credentials: Credentials) -> bool:
    return credentials.expose_text("extra.auth") == "bearer"


def _sign_in(credentials: Credentials) -> over_http.Header | None:
    password = text(credentials, "password")
    if not password:
        return None
    if _is_token(credentials):
        return "Authorization", f"Bearer {over_http.wire(password)}"
    return over_http.basic(text(credentials, "username"), password)


def _is_refused(answer: Any) -> bool:
    return bool(answer.status == 401)


def _enter(connection: Any, dbapi: Any) -> None:
    """Asks with an empty statement: the server looks at the sign-in first, then refuses the statement before it makes a query of
    it (`QueuedStatementResource` in its source)."""
    request = connection._create_request()
    try:
        named = {"headers": request.http_headers, "timeout": connection.request_timeout, "stream": True}
        answer = connection._http_session.post(request.statement_url, data=b"", **named)
        with answer:
            if answer.status_code == 400:
                answer.raw.read(_LONGEST_REFUSAL, decode_content=False)
    except (requests.RequestException, HTTPError) as failure:
        error: Exception = dbapi.OperationalError(f"The server cannot be reached: {failure}")
        error.__cause__ = failure
    else:
        if answer.status_code == 400:
            return
        if answer.status_code in (401, 403):
            error = dbapi.OperationalError("The server refused the sign-in.")
        else:
            error = dbapi.OperationalError(f"This is no Trino: it answered an empty statement with status {answer.status_code}.")
    raise error


class _Session(requests.Session):  # type: ignore[misc]
    """A session of the client that knows no environment: neither proxies nor `.netrc`, whose password would replace ours."""

    def __init__(self, manager: over_http.Manager, prefix: str) -> None:
        super().__init__()
        self.trust_env = False
        adapter = _Adapter(manager, prefix)
        self.mount("https://", adapter)
        self.mount("http://", adapter)

    def get_redirect_target(self, resp: Any) -> str | None:  # noqa: ARG002
        """None: nothing is followed."""
        return None


class _Adapter(HTTPAdapter):  # type: ignore[misc]
    """Hands every request to the one server, whichever host its URL names."""

    def __init__(self, manager: over_http.Manager, prefix: str) -> None:
        self._manager = manager
        self._prefix = prefix
        super().__init__()

    def init_poolmanager(self, *_: Any, **__: Any) -> None:
        """It is there."""
        self.poolmanager = self._manager

    def get_connection_with_tls_context(self, *_: Any, **__: Any) -> Any:
        """Without a look at proxies."""
        return self._manager.connection_from_host()

    def cert_verify(self, *_: Any, **__: Any) -> None:
        """By the connection's own context. This would add the authorities of `certifi` to it."""

    def request_url(self, request: requests.PreparedRequest, proxies: Any) -> str:  # noqa: ARG002
        """The path alone. A page of a result stands where the server says; a statement behind the path of the connection."""
        path = request.path_url
        return f"{self._prefix}{path}" if path == _STATEMENT else path

    def send(self, request: requests.PreparedRequest, *positional: Any, **named: Any) -> requests.Response:
        """As `requests`', without results that lie elsewhere and the words of a refusal, which may repeat the sign-in."""
        request.headers.pop(_SPOOLING, None)
        answer = super().send(request, *positional, **named)
        if answer.status_code == 401:
            answer.close()
            answer._content, answer._content_consumed = b"the sign-in was refused", True
        return answer


DRIVER = Trino()
