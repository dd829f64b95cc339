"""A connection as bare values, for code that brings its own engine. Unlike an engine, they go out of date."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy.engine import URL

from dataflow import drivers
from dataflow._native import Credentials
from dataflow.drivers.base import Machine, PlacesItself
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
        return _plain_url(credentials)
    driver = drivers.choose(credentials, is_async=False)
    machine = Machine(_material, source.sqlite_folder)
    place = address(credentials)
    if isinstance(driver, PlacesItself):
        place.update(driver.url_place(credentials, machine))
    password = driver.url_password(credentials) or None
    return URL.create(driver.name, query=driver.url_query(credentials, machine), **place, password=password)


def _plain_url(credentials: Credentials) -> URL:
    """The type as the scheme, as Airflow has it; an API's address as every program takes it."""
    place = address(credentials)
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
    extra = credentials.expose_group("extra")
    transport = credentials.expose_group("tls")
    if transport:
        extra["tls"] = transport
    return {
        "conn_type": credentials.type,
        "login": credentials.expose_text("username"),
        "password": credentials.expose_text("password"),
        "host": credentials.expose_text("host"),
        "port": credentials.integer("port"),
        "schemas": _database(credentials),
        "extra": json.dumps(extra) if extra else "",
    }
