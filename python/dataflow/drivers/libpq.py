"""Arguments of libpq, which psycopg and psycopg2 share.

Every argument that decides where the password goes is given, also where it is empty, so that nothing of it is taken from `PG*`
variables, a service file or the user's home.
"""

from __future__ import annotations

import re
from typing import Any

from dataflow import tls
from dataflow._native import Credentials
from dataflow.drivers.base import CONNECT_TIMEOUT, Machine, text

FIRST_SAFE_VERSION = 160000
"""The first libpq that knows `require_auth`."""


def refusal(credentials: Credentials, version: int) -> str | None:
    """Why a libpq of this version must not open the connection."""
    if tls.is_verified(credentials) or version >= FIRST_SAFE_VERSION:
        return None
    return (
        f"This machine's libpq {version // 10000} cannot keep the password from a server that is not verified. Set TLS to "
        "verify-full, or install psycopg[binary]."
    )


def arguments(credentials: Credentials, machine: Machine) -> dict[str, Any]:
    """What libpq needs to connect."""
    user = text(credentials, "username")
    return {
        "host": text(credentials, "host"),
        **place(credentials, machine),
        "dbname": text(credentials, "database") or user,
        "user": user,
        "password": text(credentials, "password"),
        **settings(credentials, machine),
    }


def place(credentials: Credentials, machine: Machine) -> dict[str, Any]:
    """The address and port to dial. The certificate's name is held against the host, which stands beside."""
    if machine.way is not None:
        return {"hostaddr": machine.way.host, "port": machine.way.port}
    return {"hostaddr": "", "port": credentials.integer("port") or 5432}


def settings(credentials: Credentials, machine: Machine) -> dict[str, Any]:
    """All but where to connect and as whom."""
    given = {
        "passfile": tls.NOWHERE,
        "gssencmode": "disable",
        "connect_timeout": credentials.integer("extra.connect_timeout") or CONNECT_TIMEOUT,
        "application_name": text(credentials, "extra.application_name") or "dataflow",
        **_tls(credentials, machine),
    }
    if not tls.is_verified(credentials):
        given["require_auth"] = _harmless_methods(credentials)
    options = session_options(credentials)
    if options:
        given["options"] = " ".join(f"-c {name}={_escaped(value)}" for name, value in options.items())
    return given


def session_options(credentials: Credentials) -> dict[str, str]:
    """The typed extra settings that PostgreSQL takes for a session, by its own names."""
    options = {}
    timeout = credentials.integer("extra.statement_timeout")
    if timeout is not None:
        options["statement_timeout"] = str(timeout)
    for path, name in (("extra.search_path", "search_path"), ("extra.timezone", "TimeZone")):
        value = credentials.expose_text(path)
        if value:
            options[name] = value
    read_only = credentials.boolean("extra.read_only")
    if read_only is not None:
        options["default_transaction_read_only"] = "on" if read_only else "off"
    return options


def _tls(credentials: Credentials, machine: Machine) -> dict[str, str]:
    mode = tls.mode(credentials)
    certificate, key = credentials.expose_text("tls.cert"), credentials.expose_text("tls.key")
    authority = credentials.expose_text("tls.ca")
    root = tls.NOWHERE
    if tls.checks_chain(credentials):
        root = machine.material.path(authority) if authority else tls.system_bundle()
    return {
        "sslmode": mode,
        "sslrootcert": root,
        "sslcert": machine.material.path(certificate) if certificate else tls.NOWHERE,
        "sslkey": machine.material.path(key) if key else tls.NOWHERE,
        "ssl_min_protocol_version": "TLSv1.2",
    }


def _harmless_methods(credentials: Credentials) -> str:
    """SCRAM proves the server too. `none` sends nothing at all: a server that trusts everybody, or a client certificate."""
    allowed = credentials.expose_text("extra.insecure_auth")
    return ",".join(["scram-sha-256", *([allowed] if allowed else []), "none"])


def _escaped(value: str) -> str:
    return re.sub(r"([\\\s])", r"\\\1", value)
