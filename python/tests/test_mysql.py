"""The MySQL drivers against a real MariaDB and a real MySQL 9."""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from using import MYSQL, first_row, until

USER = "shop"


@pytest.fixture(params=["mysqlclient", "pymysql"])
def driver(request, only_driver):
    """Each driver that is not for asyncio, in turn."""
    return only_driver(request.param)


@pytest.fixture(params=MYSQL)
def any_driver(request, only_driver):
    """Each driver in turn."""
    return only_driver(request.param)


@pytest.fixture(params=["mariadb", "mysql"])
def kind(request):
    """The type of the connection, and of the server."""
    return request.param


@pytest.fixture
def database(request, kind):
    """A server on which the user has the password “first”."""
    started = request.getfixturevalue(kind)
    started.set_password(USER, "first")
    return started


@pytest.fixture
def shop(server, kind, database):
    """The connection “shop”, as it is at the beginning of each test."""
    server.put("shop", kind, **database.fields(USER, "first"))


def test_every_mode(dataflow, driver, shop):
    assert first_row(dataflow, "shop", "SELECT substring_index(current_user(), '@', 1)") == [USER]
    engine = dataflow.connection("shop", "engine")
    assert engine.dialect.driver in driver.name
    from_url = create_engine(dataflow.connection("shop", "url"))
    with from_url.connect() as connection:
        assert connection.execute(text("SELECT 1")).scalar() == 1
    from_url.dispose()


def test_the_server_is_the_one_that_is_named(dataflow, any_driver, kind, shop):
    (version,) = first_row(dataflow, "shop", "SELECT version()", any_driver)
    assert "MariaDB" in version if kind == "mariadb" else version.startswith("9.")


def test_both_drivers_are_preferred_in_their_order(dataflow, shop):
    assert dataflow.connection("shop", "engine").dialect.driver == "mysqldb"


def test_extra_settings_reach_the_session(dataflow, any_driver, server, kind, database):
    extra = {"charset": "latin1", "connect_timeout": 5, "read_timeout": 30, "sql_mode": "ANSI_QUOTES", "time_zone": "+03:00"}
    server.put("shop", kind, **database.fields(USER, "first", extra=extra))
    query = "SELECT @@character_set_connection, @@time_zone, @@sql_mode"
    assert first_row(dataflow, "shop", query, any_driver) == ["latin1", "+03:00", "ANSI_QUOTES"]


def test_a_setting_cannot_leave_its_quotes(dataflow, any_driver, server, kind, database):
    extra = {"sql_mode": "x', @@max_statement_time = 7, @a = 'y"}
    server.put("shop", kind, **database.fields(USER, "first", extra=extra))
    with pytest.raises(OperationalError):
        first_row(dataflow, "shop", driver=any_driver)


def test_a_rotation_is_followed(dataflow, driver, server, kind, shop, database, go_stale):
    engine = dataflow.connection("shop", "engine")
    with engine.connect() as connection:
        before = connection.execute(text("SELECT connection_id()")).scalar()
    database.set_password(USER, "second")
    server.put("shop", kind, **database.fields(USER, "second"))
    connections = [engine.connect() for _ in range(3)]  # the pooled one, and two that the old password does not open
    go_stale()
    for connection in connections:
        connection.close()
    with engine.connect() as connection:
        assert connection.execute(text("SELECT connection_id()")).scalar() != before


def test_a_connection_that_the_server_ended_is_replaced(dataflow, driver, shop, database):
    engine = dataflow.connection("shop", "engine")
    with engine.connect() as connection:
        victim = connection.execute(text("SELECT connection_id()")).scalar()
    database.execute(f"KILL {victim}")
    until("it is gone", lambda: not database.execute("SELECT 1 FROM information_schema.processlist WHERE id = %s", victim))
    with engine.connect() as connection:
        assert connection.execute(text("SELECT 1")).scalar() == 1


def test_ed25519_is_answered(dataflow, driver, server, mariadb):
    mariadb.execute("CREATE DATABASE IF NOT EXISTS modern")
    mariadb.execute("CREATE OR REPLACE USER modern@'%' IDENTIFIED VIA ed25519 USING PASSWORD('first')")
    mariadb.execute("GRANT ALL ON modern.* TO modern@'%'")
    server.put("modern", "mariadb", **mariadb.fields("modern", "first"))
    assert first_row(dataflow, "modern") == [1]


def test_the_whole_password_goes_only_to_a_server_that_is_verified(dataflow, any_driver, server, mysql):
    """`caching_sha2_password` asks for it until the server has seen it once; from then on a challenge is enough."""
    mysql.set_password("cold", "first")

    def attempt(name: str, **fields: object) -> list:
        server.put(name, "mysql", **mysql.fields("cold", "first", **fields))
        return first_row(dataflow, name, driver=any_driver)

    mysql.forget_passwords()
    with pytest.raises(OperationalError):
        attempt("plain")
    assert attempt("secure", host="localhost", tls={"mode": "verify-full", "ca": mysql.authority.pem}) == [1]
    assert attempt("challenged") == [1]


@pytest.mark.parametrize("module", ["pymysql", "aiomysql"])
def test_an_admin_may_allow_the_exchange_under_the_servers_own_key(dataflow, only_driver, server, mysql, module):
    driver = only_driver(module)
    mysql.set_password("cold", "first")
    mysql.forget_passwords()
    server.put("weak", "mysql", **mysql.fields("cold", "first", extra={"insecure_auth": "mysql_rsa"}))
    assert first_row(dataflow, "weak", driver=driver) == [1]
