"""Which driver opens which dialect. A new driver is one module and one line here."""

from __future__ import annotations

import importlib
import importlib.util
from functools import cache
from typing import NamedTuple

from dataflow.drivers.base import Driver
from dataflow.errors import DriverMissing, UnsupportedConnection


class _Choice(NamedTuple):
    package: str
    """What must be installed."""
    module: str
    extra: str | None
    """The extra of this distribution that installs it; `None` for a base dependency."""


# In the order in which they are preferred.
_SYNC: dict[str, tuple[_Choice, ...]] = {
    "postgresql": (_Choice("psycopg", "psycopg", None), _Choice("psycopg2", "psycopg2", "psycopg2")),
    "mysql": (_Choice("pymysql", "pymysql", None), _Choice("MySQLdb", "mysqlclient", "mysqlclient")),
    "sqlite": (_Choice("sqlite3", "sqlite", None),),
}
_ASYNC: dict[str, tuple[_Choice, ...]] = {
    "postgresql": (_Choice("asyncpg", "asyncpg", "asyncpg"),),
    "mysql": (_Choice("aiomysql", "aiomysql", "aiomysql"),),
    "sqlite": (_Choice("aiosqlite", "aiosqlite", "aiosqlite"),),
}


def choose(name: str, type_id: str, dialect: str | None, *, is_async: bool) -> Driver:
    """The preferred one of the installed drivers of a dialect."""
    if dialect is None:
        raise UnsupportedConnection(
            f'“{name}” is of the type {type_id}, which SQLAlchemy does not open. Use mode="dict" and the type\'s own library.'
        )
    return _installed(dialect, is_async)


@cache
def _installed(dialect: str, is_async: bool) -> Driver:
    choices = (_ASYNC if is_async else _SYNC).get(dialect, ())
    for choice in choices:
        # SQLAlchemy's asyncio stands on greenlet, and from 2.1 on does not install it by itself.
        needed = [choice.package, "greenlet"] if is_async else [choice.package]
        if all(importlib.util.find_spec(package) is not None for package in needed):
            driver: Driver = importlib.import_module(f"dataflow.drivers.{choice.module}").DRIVER
            return driver
    if not choices:
        raise UnsupportedConnection(
            f'This version of the SDK has no {"async " if is_async else ""}driver for {dialect}. Use mode="dict".'
        )
    extra = choices[0].extra
    wanted = f"dataflow-connections[{extra}]" if extra else "dataflow-connections"
    raise DriverMissing(
        f"What opens {dialect}{' asynchronously' if is_async else ''} is not installed. Run: pip install '{wanted}'"
    )
