"""Which driver opens a connection, by what is installed. Packages are hidden from a program of its own."""

from __future__ import annotations

import pytest

from fake_dataflow import TOKEN
from test_script import run

HIDING = '''
import asyncio, sys

class Hiding:
    """A finder of modules that does not find what is hidden."""

    def __init__(self, finder):
        self._finder = finder

    def __getattr__(self, name):
        return getattr(self._finder, name)

    def find_spec(self, name, *rest):
        return None if name.partition(".")[0] in {hidden!r} else self._finder.find_spec(name, *rest)

sys.meta_path[:] = map(Hiding, sys.meta_path)
# SQLAlchemy 2.0 imports greenlet at once, so it comes after the hiding.
from sqlalchemy import text
from dataflow import Dataflow, DriverMissing, UnsupportedConnection

async def use_async(name):
    engine = Dataflow().connection(name, "async_engine")
    async with engine.connect() as connection:
        assert (await connection.execute(text("SELECT 1"))).scalar() == 1
    await engine.dispose()
    return engine

def use(name):
    with Dataflow().connection(name) as session:
        assert session.execute(text("SELECT 1")).scalar() == 1
        return session.get_bind()

try:
    engine = asyncio.run(use_async({name!r})) if {is_async} else use({name!r})
except (DriverMissing, UnsupportedConnection) as missing:
    print(missing)
else:
    print(engine.dialect.driver)
'''


@pytest.fixture
def opened(server, sqlite_folder):
    """What opens a connection, or what is said where nothing does, while packages are hidden."""

    def open_without(hidden: set[str], is_async: bool, kind: str, **fields: object) -> str:
        server.put("sales", kind, **fields)
        script = HIDING.format(hidden=hidden, name="sales", is_async=is_async)
        return run(script, DATAFLOW_URL=server.url, DATAFLOW_TOKEN=TOKEN, DATAFLOW_SQLITE_DIR=str(sqlite_folder)).strip()

    return open_without


@pytest.mark.parametrize(
    ("kind", "hidden", "driver"),
    [
        ("postgres", set(), "psycopg"),
        ("postgres", {"psycopg"}, "psycopg2"),
        ("mariadb", {"MySQLdb"}, "pymysql"),
    ],
)
def test_the_first_that_is_installed_opens_it(request, opened, kind, hidden, driver):
    database = request.getfixturevalue(kind)
    database.set_password("drivers", "first")
    assert opened(hidden, False, kind, **database.fields("drivers", "first")) == driver


def test_what_is_for_asyncio_need_not_be_there(opened):
    assert opened({"greenlet", "aiosqlite"}, False, "sqlite", database="shop.db") == "pysqlite"


@pytest.mark.parametrize(
    ("kind", "is_async", "hidden", "dialect", "wanted"),
    [
        ("postgres", False, {"psycopg", "psycopg2"}, "postgresql", "dataflow-connections"),
        ("mariadb", False, {"MySQLdb", "pymysql"}, "mysql", "dataflow-connections"),
        ("postgres", True, {"asyncpg"}, "postgresql", "dataflow-connections[asyncpg]"),
        ("mariadb", True, {"aiomysql"}, "mysql", "dataflow-connections[aiomysql]"),
        ("sqlite", True, {"greenlet"}, "sqlite", "dataflow-connections[aiosqlite]"),
        ("clickhouse", False, {"clickhouse_connect"}, "clickhousedb", "dataflow-connections[clickhouse]"),
        ("duckdb", False, {"duckdb"}, "duckdb", "dataflow-connections[duckdb]"),
        ("duckdb", False, {"duckdb_sqlalchemy"}, "duckdb", "dataflow-connections[duckdb]"),
        ("trino", False, {"trino"}, "trino", "dataflow-connections[trino]"),
    ],
)
def test_where_none_is_installed_the_error_says_what_installs_one(opened, kind, is_async, hidden, dialect, wanted):
    how = " asynchronously" if is_async else ""
    said = opened(hidden, is_async, kind, host="db.example.org", database="shop.db", username="ann", password="first")
    assert said == f"What opens {dialect}{how} is not installed. Run: pip install '{wanted}'"


@pytest.mark.parametrize(("kind", "dialect"), [("clickhouse", "clickhousedb"), ("duckdb", "duckdb"), ("trino", "trino")])
def test_what_has_no_driver_for_asyncio_says_so(opened, kind, dialect):
    said = opened(set(), True, kind, host="db.example.org", database="shop.db", username="ann", password="first")
    assert said == f'This version of the SDK has no async driver for {dialect}. Use mode="engine".'
