"""Using a connection through any driver, in the way that suits it."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Callable

from sqlalchemy import text

from dataflow import Dataflow
from dataflow.drivers.base import Driver

POSTGRES = ("psycopg", "psycopg2", "asyncpg")
MYSQL = ("pymysql", "mysqlclient", "aiomysql")


def first_row(dataflow: Dataflow, name: str, query: str = "SELECT 1", driver: Driver | None = None) -> list[Any]:
    """What the query answers, asked by the driver; without one, by the one that a session takes."""
    if driver is not None and driver.is_async:
        return asyncio.run(first_row_async(dataflow, name, query))
    with dataflow.connection(name) as session:
        return list(session.execute(text(query)).one())


async def first_row_async(dataflow: Dataflow, name: str, query: str = "SELECT 1") -> list[Any]:
    engine = dataflow.connection(name, "async_engine")
    try:
        async with engine.connect() as connection:
            return list((await connection.execute(text(query))).one())
    finally:
        await engine.dispose()


def until(what: str, is_so: Callable[[], object]) -> None:
    """Waits until it is so, as long as a busy machine may need."""
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline, f"not within 60 s: {what}"
        time.sleep(0.02)


def words_of(error: BaseException) -> str:
    """What a failed connect says, with the reason behind it, in small letters."""
    return f"{error} {getattr(getattr(error, 'orig', None), '__cause__', None)}".lower()
