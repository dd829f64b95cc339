"""A connection as bare values, for code that brings its own engine. Unlike an engine, they go out of date."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy.engine import URL

from dataflow import drivers, hops
from dataflow._native import Credentials
from dataflow.drivers.base import Machine, NamesBoth, PlacesItself, ShowsItself, Way
from dataflow.errors import UnsupportedConnection
from dataflow.source import Source
from dataflow.tls import Material, mode

_material = Material()
"""Certificates that URLs name by path. A URL may be used at any later time, so they live as long as the process."""


def url(source: Source) -> URL:
    """The connection as a URL, whose `str` hides the password.

    It is for the driver that it names: PyMySQL sends each letter of a password as one byte, so that its URL has the password's
    UTF-8 in that form. It says of TLS what a URL can say; only an engine also refuses a hostile server's weaker sign-in in every
    driver. Of what SQLAlchemy does not open it is the service's address, as its own library takes it.
    """
    credentials = source.credentials()
    if credentials.dialect is None:
        return _plain_url(credentials, source)
    driver = drivers.choose(credentials, is_async=False)
    credentials = drivers.settled(credentials)
    way = (
        _way(source, credentials, is_url=True, keeps_name=isinstance(driver, (NamesBoth, ShowsItself)))
        if driver.is_remote
        else None
    )
    if isinstance(driver, ShowsItself):
        from dataflow.drivers import any_dialect

        return any_dialect.whole_url(credentials, way and (way.host, way.port))
    machine = Machine(_material, source.sqlite_folder, way=way)
    place = address(credentials)
    query = driver.url_query(credentials, machine)
    if way is not None:
        place.update({"host": way.host, "port": way.port})
    if isinstance(driver, NamesBoth) and way is not None:
        more, beside = driver.url_way(machine)
        place.update({**more, "host": address(credentials)["host"]})
        query.update(beside)
    if isinstance(driver, PlacesItself):
        place.update(driver.url_place(credentials, machine))
    password = driver.url_password(credentials) or None
    return URL.create(driver.name, query=query, **place, password=password)


def _way(source: Source, credentials: Credentials, *, is_url: bool = False, keeps_name: bool = False) -> Way | None:
    """Where a connection that goes through another one begins, for as long as this process lives.

    Whoever connects there by himself holds the certificate's name against that address. So there is none where the name counts,
    but for drivers that take both.
    """
    if credentials.hop is None:
        return None
    has_tls = bool(credentials.expose_group("tls"))
    compares = ("verify-full", *(_ALSO_BY_URL.get(credentials.base, ()) if is_url else ()))
    if has_tls and not keeps_name and mode(credentials) in compares:
        does = f"mode={'url' if is_url else 'dict'}"
        otherwise = (
            "Set its TLS to verify-ca with the CA of its server alone, or let the library go through “{hop}” by itself."
            if credentials.dialect is None
            else 'Use mode="session" or mode="engine".'
        )
        raise UnsupportedConnection(
            f"“{credentials.name}” goes through “{credentials.hop.name}”, and its TLS demands the server's name, which the "
            f"address that {does} could give has not. {otherwise.format(hop=credentials.hop.name)}"
        )
    host, port = hops.keep(source.key, credentials)
    return Way(host, port, again=lambda: hops.keep(source.key, credentials))


_ALSO_BY_URL = {"clickhouse": ("verify-ca",), "trino": ("verify-ca", "require")}
"""By connector, in which modes a URL leads to no good either: their drivers compare the name wherever they verify the server, and
Trino's has TLS on port 443 alone."""


def _plain_url(credentials: Credentials, source: Source) -> URL:
    """The type as the scheme, as Airflow has it; an API's address as every program takes it."""
    place = address(credentials)
    way = _way(source, credentials, is_url=True)
    if way is not None:
        place.update({"host": way.host, "port": way.port})
    scheme = credentials.type
    if credentials.base == "http":
        scheme = "http" if mode(credentials) == "disable" else "https"
        place["database"] = (credentials.expose_text("extra.path") or "").strip("/") or None
    password = credentials.expose_text("password")
    if password:
        # Without a name a URL would leave the password, or token, out.
        place["username"] = place["username"] or ""
    return URL.create(scheme, **place, password=password)


def address(credentials: Credentials) -> dict[str, Any]:
    """Where a URL leads and as whom, without the password."""
    return {
        "username": credentials.expose_text("username"),
        "host": _unbracketed(credentials.expose_text("host")),
        "port": credentials.integer("port"),
        "database": _database(credentials),
    }


def _database(credentials: Credentials) -> str | None:
    """Its name, or its number where databases have no names."""
    number = credentials.integer("database")
    return credentials.expose_text("database") if number is None else str(number)


def _unbracketed(host: str | None) -> str | None:
    return host.strip("[]") if host else host


def dictionary(source: Source) -> dict[str, Any]:
    """The connection under the names that code written for `dataflow-core` reads; `extra` is JSON, or empty."""
    credentials = source.credentials()
    way = _way(source, credentials)
    extra = credentials.expose_group("extra")
    transport = credentials.expose_group("tls")
    if transport:
        extra["tls"] = transport
    return {
        "conn_type": credentials.type,
        "login": credentials.expose_text("username"),
        "password": credentials.expose_text("password"),
        "host": credentials.expose_text("host") if way is None else way.host,
        "port": credentials.integer("port") if way is None else way.port,
        "schemas": _database(credentials),
        "extra": json.dumps(extra) if extra else "",
    }
