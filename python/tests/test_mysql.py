"""The MySQL drivers against a real MariaDB."""

from __future__ import annotations

import asyncio
import time

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

USER = "shop"


@pytest.fixture(params=["mysqlclient", "pymysql"])
def driver(request, only_driver):
    """Each driver in turn."""
    return only_driver(request.param)


@pytest.fixture
def shop(server, mariadb):
    mariadb.set_password(USER, "first")
    server.put("shop", "mariadb", **mariadb.fields(USER, "first"))


async def _async_value(dataflow, query):
    engine = dataflow.connection("shop", "async_engine")
    try:
        async with engine.connect() as connection:
            return list((await connection.execute(text(query))).one())
    finally:
        await engine.dispose()


def test_every_mode(dataflow, driver, shop):
    with dataflow.connection("shop") as session:
        assert session.execute(text("SELECT substring_index(current_user(), '@', 1)")).scalar() == USER
    engine = dataflow.connection("shop", "engine")
    assert engine.dialect.driver in driver.name
    from_url = create_engine(dataflow.connection("shop", "url"))
    with from_url.connect() as connection:
        assert connection.execute(text("SELECT 1")).scalar() == 1
    from_url.dispose()


def test_both_drivers_are_preferred_in_their_order(dataflow, shop):
    assert dataflow.connection("shop", "engine").dialect.driver == "mysqldb"


def test_async(dataflow, shop):
    assert asyncio.run(_async_value(dataflow, "SELECT 1")) == [1]


QUERY = "SELECT @@character_set_connection, @@time_zone, @@sql_mode"


def test_extra_settings_reach_the_session(dataflow, driver, server, mariadb):
    mariadb.set_password(USER, "first")
    extra = {
        "charset": "latin1",
        "connect_timeout": 5,
        "read_timeout": 30,
        "sql_mode": "ANSI_QUOTES,NO_BACKSLASH_ESCAPES",
        "time_zone": "+03:00",
    }
    server.put("shop", "mariadb", **mariadb.fields(USER, "first", extra=extra))
    wanted = ["latin1", "+03:00", "ANSI_QUOTES,NO_BACKSLASH_ESCAPES"]
    with dataflow.connection("shop") as session:
        assert list(session.execute(text(QUERY)).one()) == wanted
    assert asyncio.run(_async_value(dataflow, QUERY)) == wanted


def test_a_setting_cannot_leave_its_quotes(dataflow, driver, server, mariadb):
    mariadb.set_password(USER, "first")
    extra = {"sql_mode": "x', @@max_statement_time = 7, @a = 'y"}
    server.put("shop", "mariadb", **mariadb.fields(USER, "first", extra=extra))
    with pytest.raises(OperationalError), dataflow.connection("shop") as session:
        session.execute(text("SELECT 1"))


def test_a_rotation_is_followed(dataflow, driver, server, shop, mariadb, go_stale):
    engine = dataflow.connection("shop", "engine")
    with engine.connect() as connection:
        before = connection.execute(text("SELECT connection_id()")).scalar()
    mariadb.set_password(USER, "second")
    server.put("shop", "mariadb", **mariadb.fields(USER, "second"))
    connections = [engine.connect() for _ in range(3)]  # the pooled one, and two that the old password does not open
    go_stale()
    for connection in connections:
        connection.close()
    with engine.connect() as connection:
        assert connection.execute(text("SELECT connection_id()")).scalar() != before


def test_a_connection_that_the_server_ended_is_replaced(dataflow, driver, shop, mariadb):
    engine = dataflow.connection("shop", "engine")
    with engine.connect() as connection:
        victim = connection.execute(text("SELECT connection_id()")).scalar()
    mariadb.execute(f"KILL {victim}")
    time.sleep(0.1)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT 1")).scalar() == 1


PASSWORDS = {
    "punctuation": "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~",
    "spaces": "  two  spaces ",
    "percent": "%41%00%2F",
    "quotes": "it's \"quoted\" `here` \\'",
    "unicode": "pässwörd 漢字 🔑",
    "long": "x" * 1000,
}


@pytest.mark.parametrize("kind", PASSWORDS)
def test_passwords_of_every_kind(dataflow, driver, server, mariadb, kind):
    mariadb.set_password(USER, PASSWORDS[kind])
    server.put("shop", "mariadb", **mariadb.fields(USER, PASSWORDS[kind]))
    with dataflow.connection("shop") as session:
        assert session.execute(text("SELECT 1")).scalar() == 1
    assert asyncio.run(_async_value(dataflow, "SELECT 1")) == [1]


def test_ed25519_is_answered(dataflow, driver, server, mariadb):
    mariadb.execute("CREATE DATABASE IF NOT EXISTS modern")
    mariadb.execute("CREATE OR REPLACE USER modern@'%' IDENTIFIED VIA ed25519 USING PASSWORD('first')")
    mariadb.execute("GRANT ALL ON modern.* TO modern@'%'")
    server.put("modern", "mariadb", **mariadb.fields("modern", "first"))
    with dataflow.connection("modern") as session:
        assert session.execute(text("SELECT 1")).scalar() == 1
