"""Which driver opens which dialect. A new driver is one module and one line here."""

from __future__ import annotations

import importlib
import importlib.util
from functools import cache
from typing import NamedTuple

from dataflow import own_types
from dataflow._native import Credentials
from dataflow.drivers.base import Driver
from dataflow.errors import DriverMissing, DriverUnsafe, UnsupportedConnection


class _Choice(NamedTuple):
    package: str
    """What must be installed, as it is imported; more than one is parted by blanks."""
    module: str
    extra: str | None
    """The extra of this distribution that installs it; `None` for a base dependency."""


# In the order in which they are preferred.
_SYNC: dict[str, tuple[_Choice, ...]] = {
    "postgresql": (_Choice("psycopg", "psycopg", None), _Choice("psycopg2", "psycopg2", "psycopg2")),
    "cockroachdb": (_Choice("sqlalchemy_cockroachdb psycopg", "cockroachdb", "cockroachdb"),),
    "mysql": (_Choice("MySQLdb", "mysqlclient", "mysqlclient"), _Choice("pymysql", "pymysql", None)),
    "sqlite": (_Choice("sqlite3", "sqlite", None),),
    "duckdb": (
        _Choice("duckdb duckdb_sqlalchemy", "duckdb", "duckdb"),
        _Choice("duckdb duckdb_engine", "duckdb", "duckdb"),
    ),
    "clickhousedb": (_Choice("clickhouse_connect", "clickhouse", "clickhouse"),),
    "trino": (_Choice("trino requests", "trino", "trino"),),
}
_ASYNC: dict[str, tuple[_Choice, ...]] = {
    "postgresql": (_Choice("asyncpg", "asyncpg", "asyncpg"),),
    "cockroachdb": (_Choice("sqlalchemy_cockroachdb asyncpg", "cockroachdb_async", "cockroachdb,asyncpg"),),
    "mysql": (_Choice("aiomysql", "aiomysql", "aiomysql"),),
    "sqlite": (_Choice("aiosqlite", "aiosqlite", "aiosqlite"),),
}

# The drivers behind a dialect's “+” that are among the above.
_OURS = {
    "postgresql": ("psycopg", "psycopg2", "asyncpg"),
    "cockroachdb": ("psycopg", "asyncpg"),
    "mysql": ("mysqldb", "pymysql", "aiomysql"),
    "sqlite": ("pysqlite", "aiosqlite"),
    "duckdb": (),
    "clickhousedb": ("connect",),
    "trino": (),
}

# By connector: what opens a type that no driver here does, or of which an older server names no dialect.
_LIBRARIES = {
    "athena": "pyathena",
    "aws": "boto3",
    "azure": "azure-identity",
    "cassandra": "cassandra-driver",
    "clickhouse": "clickhouse-connect",
    "databricks": "databricks-sql-connector",
    "druid": "pydruid",
    "elasticsearch": "elasticsearch",
    "fs": "pathlib",
    "ftp": "ftplib",
    "gcpbigquery": "google-cloud-bigquery",
    "gcs": "google-cloud-storage",
    "git": "git",
    "google_cloud_platform": "google-auth",
    "http": "a library for HTTP, such as requests",
    "http_proxy": "urllib.request",
    "imap": "imaplib",
    "influxdb": "influxdb-client",
    "kafka": "confluent-kafka",
    "kubernetes": "kubernetes",
    "ldap": "ldap3",
    "mongo": "pymongo",
    "mqtt": "paho-mqtt",
    "mssql": "pymssql or mssql-python",
    "nats": "nats-py",
    "neo4j": "neo4j",
    "opensearch": "opensearch-py",
    "oracle": "oracledb",
    "presto": "presto-python-client",
    "rabbitmq": "pika",
    "redis": "redis",
    "s3": "boto3",
    "schema_registry": "confluent-kafka",
    "sftp": "paramiko",
    "slack": "slack-sdk",
    "smtp": "smtplib",
    "snowflake": "snowflake-connector-python",
    "socks_proxy": "python-socks",
    "ssh": "paramiko",
    "trino": "trino",
    "vault": "hvac",
    "wasb": "azure-storage-blob",
}


def choose(credentials: Credentials, *, is_async: bool) -> Driver:
    """The preferred one of the installed drivers of the dialect that can open the connection safely."""
    template = own_types.template_of(credentials)
    if template is not None and not _is_ours(template):
        return _any_dialect(credentials, template, is_async)
    credentials = settled(credentials)
    dialect = credentials.dialect
    if dialect is None:
        library = _LIBRARIES.get(credentials.base, "the type's own library")
        raise UnsupportedConnection(
            f"“{credentials.name}” is of the type {credentials.type}, which SQLAlchemy does not open here. "
            f'Use mode="dict" and {library}.'
        )
    refusals = []
    for driver in _preferred(_installed(dialect, is_async), template):
        refusal = driver.refusal(credentials)
        if refusal is None:
            return driver
        refusals.append(refusal)
    raise DriverUnsafe(f"“{credentials.name}” cannot be opened. {refusals[0]}")


def _any_dialect(credentials: Credentials, template: own_types.Template, is_async: bool) -> Driver:
    """Of a driver that is not known here what a URL says of TLS is not known either: where one is known, it is not passed by."""
    if template.backend in _SYNC:
        known = [template.dialect, *(f"{template.dialect}+{driver}" for driver in _OURS[template.backend])]
        raise UnsupportedConnection(
            f"“{credentials.name}” cannot be opened: the URL of its type names the driver {template.driver}, and what that does "
            "about TLS is not known here. Let the type's URL begin with one that keeps to the connection's TLS: "
            f"{' or '.join(f'{name}://' for name in known)}."
        )
    from dataflow.drivers import any_dialect

    refusal = any_dialect.refusal(credentials, template)
    if refusal is not None:
        raise DriverUnsafe(f"“{credentials.name}” cannot be opened. {refusal}")
    return any_dialect.driver(template.drivername, is_async)


def settled(credentials: Credentials) -> Credentials:
    """As a driver takes them: of a type with a URL, and a dialect that a driver here opens, the place is where the URL has it."""
    template = own_types.template_of(credentials)
    return credentials if template is None or not _is_ours(template) else own_types.placed(credentials, template)


def kind(credentials: Credentials) -> tuple[str | None, str | None]:
    """What of credentials an engine cannot follow: the dialect, and where it is not one of those here, its driver."""
    template = own_types.template_of(credentials)
    if template is None:
        return credentials.dialect, None
    return template.backend, None if _is_ours(template) else template.drivername


def _is_ours(template: own_types.Template) -> bool:
    return template.backend in _SYNC and template.driver in ("", *_OURS[template.backend])


def _preferred(drivers: tuple[Driver, ...], template: own_types.Template | None) -> list[Driver]:
    """The one that a URL names goes first."""
    named = "" if template is None else template.driver
    return sorted(drivers, key=lambda driver: bool(named) and driver.name.partition("+")[2] != named)


@cache
def _installed(dialect: str, is_async: bool) -> tuple[Driver, ...]:
    choices = (_ASYNC if is_async else _SYNC).get(dialect, ())
    if not choices:
        otherwise = "engine" if is_async and dialect in _SYNC else "dict"
        raise UnsupportedConnection(
            f'This version of the SDK has no {"async " if is_async else ""}driver for {dialect}. Use mode="{otherwise}".'
        )
    found = tuple(_load(choice) for choice in choices if _is_installed(choice, is_async))
    if not found:
        extra = next((choice.extra for choice in choices if choice.extra is None), choices[0].extra)
        wanted = f"dataflow-connections[{extra}]" if extra else "dataflow-connections"
        how = " asynchronously" if is_async else ""
        raise DriverMissing(f"What opens {dialect}{how} is not installed. Run: pip install '{wanted}'")
    return found


def _is_installed(choice: _Choice, is_async: bool) -> bool:
    # SQLAlchemy's asyncio stands on greenlet, and from 2.1 on does not install it by itself.
    needed = [*choice.package.split(), *(["greenlet"] if is_async else [])]
    return all(importlib.util.find_spec(package) is not None for package in needed)


def _load(choice: _Choice) -> Driver:
    driver: Driver = importlib.import_module(f"dataflow.drivers.{choice.module}").DRIVER
    return driver
