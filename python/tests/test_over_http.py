"""ClickHouse and Trino, whose drivers sign in over HTTP with each request."""

from __future__ import annotations

import asyncio
import base64
import socket
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from test_fork import _in_child
from test_passwords import PASSWORDS

from dataflow import ConnectionDeleted, UnsupportedConnection
from fake_trino import FakeTrino
from over_http import USER, WHO, driver_connection, is_the_databases, manager_of, sockets_to
from using import first_row, until


def test_every_mode(dataflow, server, kind, service, shop):
    assert first_row(dataflow, "shop", WHO[kind]) == [USER]
    engine = dataflow.connection("shop", "engine")
    with engine.connect() as connection:
        assert connection.execute(text("SELECT :number"), {"number": 7}).scalar() == 7
    values = dataflow.connection("shop", "dict")
    assert (values["conn_type"], values["login"], values["password"]) == (kind, USER, "first")


def test_there_is_no_way_for_asyncio(dataflow, shop):
    async def ask() -> None:
        dataflow.connection("shop", "async_engine")

    with pytest.raises(UnsupportedConnection, match=r'no async driver for (clickhousedb|trino)\. Use mode="engine"'):
        asyncio.run(ask())


def test_the_tables_of_clickhouse(dataflow, server, clickhouse):
    from sqlalchemy import Column, Integer, MetaData, String, Table, select

    clickhouse.set_password(USER, "first")
    server.put("shop", "clickhouse", **clickhouse.plain_fields(USER, "first"))
    engine = dataflow.connection("shop", "engine")
    item = Table("item", MetaData(), Column("id", Integer), Column("name", String))
    with engine.begin() as connection:
        connection.execute(text("CREATE OR REPLACE TABLE item (id Int32, name String) ENGINE = Memory"))
        connection.execute(text("INSERT INTO item VALUES (1, :name)"), {"name": "lamp's % 漢"})
        assert connection.execute(select(item)).all() == [(1, "lamp's % 漢")]


@pytest.mark.parametrize("database", ["trino", "clickhouse"])
def test_a_database_that_is_not_there(request, dataflow, server, database):
    started = request.getfixturevalue(database)
    started.set_password(USER, "first")
    server.put("shop", database, **started.fields(USER, "first", database="absent"))
    if database == "trino":  # whose server looks at the catalog with the first table
        assert first_row(dataflow, "shop", "SELECT current_catalog") == ["absent"]
        return
    with pytest.raises(Exception, match="absent does not exist"):
        first_row(dataflow, "shop")


def test_catalog_and_schema(dataflow, server, trino):
    trino.set_password("ännchen", "first")
    server.put("shop", "trino", **trino.fields("ännchen", "first", extra={"schema": "wéb", "auth": "basic"}))
    assert first_row(dataflow, "shop", "SELECT current_user") == ["ännchen"]
    assert trino.requests[-1][2]["x-trino-schema"].encode("latin-1").decode() == "wéb"
    assert {"x-trino-source"} <= set(trino.requests[-1][2])


def test_a_token(dataflow, server, trino):
    trino.tokens[USER] = "eyJhbGciOi.J9.first"
    server.put("shop", "trino", **trino.fields(USER, "eyJhbGciOi.J9.first", extra={"auth": "bearer"}))
    assert first_row(dataflow, "shop") == [1]
    trino.tokens[USER] = "another"
    with pytest.raises(Exception, match="refused the sign-in"):
        dataflow.connection("shop", "engine").pool.recreate().connect()


def test_without_a_password(dataflow, server, clickhouse, tmp_path):
    everybody = FakeTrino(tmp_path, is_encrypted=False)
    server.put("open", "trino", **everybody.fields("anybody", ""))
    assert first_row(dataflow, "open", "SELECT current_user") == ["anybody"]
    everybody.close()
    clickhouse.set_password("default", "")
    server.put("own", "clickhouse", **clickhouse.plain_fields("", ""))
    assert first_row(dataflow, "own", "SELECT currentUser()") == ["default"]


def test_behind_a_path(dataflow, server, trino):
    trino.set_password(USER, "first")
    trino.prefix = "/gateway"
    server.put("shop", "trino", **trino.fields(USER, "first", extra={"path": "/gateway/"}))
    assert first_row(dataflow, "shop") == [1]


def test_a_wrong_password_is_refused(dataflow, server, kind, service):
    server.put("shop", kind, **service.fields(USER, "wrong-password"))
    with pytest.raises(Exception, match=r"(?i)authentication failed|refused the sign-in") as caught:
        dataflow.connection("shop", "engine").connect()
    assert is_the_databases(caught.value)


def test_a_rotation_is_followed(dataflow, server, kind, service, shop, go_stale):
    port = service.fields("", "")["port"]
    before = sockets_to(port)
    engine = dataflow.connection("shop", "engine")
    with engine.connect() as connection:
        old = driver_connection(connection)
        assert connection.execute(text("SELECT 1")).scalar() == 1
    assert sockets_to(port) == before + 1
    service.set_password(USER, "second")
    server.put("shop", kind, **service.fields(USER, "second"))
    go_stale()
    connections = [engine.connect() for _ in range(3)]
    for connection in connections:
        assert connection.execute(text("SELECT 1")).scalar() == 1
        assert driver_connection(connection) is not old
        connection.close()
    assert sockets_to(port) == before + 3  # nothing is left of the old one
    engine.dispose()
    assert sockets_to(port) == before


def test_a_refused_password_is_asked_for_again(dataflow, server, kind, service, shop, stay_fresh):
    """Within the freshness time: of a new connection, of one in the pool, and of one that is in use."""
    engine = dataflow.connection("shop", "engine")
    held = engine.connect()
    assert held.execute(text("SELECT 1")).scalar() == 1
    engine.connect().close()
    service.set_password(USER, "second")
    server.put("shop", kind, **service.fields(USER, "second"))
    asked = len(server.requests)
    assert held.execute(text("SELECT 2")).scalar() == 2
    service.set_password(USER, "third")
    server.put("shop", kind, **service.fields(USER, "third"))
    assert held.execute(text("SELECT 3")).scalar() == 3
    connections = [engine.connect() for _ in range(3)]
    for connection in connections:
        assert connection.execute(text("SELECT 3")).scalar() == 3
        connection.close()
    held.close()
    assert len(server.requests) > asked


def test_what_is_refused_is_not_asked_for_elsewhere(dataflow, server, kind, service, shop, stay_fresh, elsewhere):
    """A connection that is open does not take the password of another place along."""
    engine = dataflow.connection("shop", "engine")
    with engine.connect() as held:
        held.execute(text("SELECT 1"))
        service.set_password(USER, "second")
        server.put("shop", kind, **service.fields(USER, "third-password", port=elsewhere.port))
        with pytest.raises(Exception, match=r"(?i)authentication failed|refused"):
            held.execute(text("SELECT 2"))
    if kind == "trino":
        sent = {headers.get("authorization", "") for _, _, headers in service.requests}
        assert base64.b64encode(f"{USER}:third-password".encode()).decode() not in " ".join(sent)
    assert not elsewhere.was_asked()


def test_a_deleted_name_fails(dataflow, server, kind, service, shop, go_stale):
    engine = dataflow.connection("shop", "engine")
    engine.connect().close()
    server.delete("shop", by="ann@example.org")
    go_stale()
    with pytest.raises(ConnectionDeleted, match=r"ann@example.org"):
        engine.connect()
    server.put("shop", kind, **service.fields(USER, "first"))
    go_stale()
    with engine.connect() as connection:
        assert connection.execute(text("SELECT 1")).scalar() == 1


@pytest.mark.parametrize("password", PASSWORDS)
def test_every_byte_of_a_password(dataflow, server, kind, service, password):
    service.set_password(USER, PASSWORDS[password])
    server.put("odd", kind, **service.fields(USER, PASSWORDS[password]))
    assert first_row(dataflow, "odd") == [1]


@pytest.mark.parametrize("password", PASSWORDS)
def test_a_url_of_clickhouse_carries_it_too(dataflow, server, clickhouse, password):
    clickhouse.set_password(USER, PASSWORDS[password])
    clickhouse.set_password("default", PASSWORDS[password])
    for user in (USER, ""):
        server.put(f"odd-{user}", "clickhouse", **clickhouse.fields(user, PASSWORDS[password]))
        url = dataflow.connection(f"odd-{user}", "url")
        assert PASSWORDS[password] not in str(url)
        for given in (url, url.render_as_string(hide_password=False)):
            engine = create_engine(given)
            with engine.connect() as connection:
                assert connection.execute(text("SELECT 1")).scalar() == 1
            engine.dispose()
    clickhouse.set_password("default", "")


def test_a_url_of_trino_is_what_its_client_reads(dataflow, server, trino, tmp_path):
    from trino.sqlalchemy.dialect import TrinoDialect

    fields = trino.fields(USER, "a b+c%41", port=443, extra={"schema": "a b/ü", "auth": "basic"})
    server.put("shop", "trino", **fields)
    url = dataflow.connection("shop", "url")
    _, arguments = TrinoDialect().create_connect_args(url)
    assert (arguments["host"], arguments["port"]) == ("localhost", 443)
    assert (arguments["catalog"], arguments["schema"]) == ("hive", "a b/ü")
    assert (arguments["auth"]._username, arguments["auth"]._password) == (USER, "a b+c%41")
    assert Path(arguments["verify"]).read_text() == trino.authority.pem
    server.put("token", "trino", **{**fields, "password": "eyJ", "extra": {"auth": "bearer"}})
    _, arguments = TrinoDialect().create_connect_args(dataflow.connection("token", "url"))
    assert arguments["auth"].token == "eyJ"
    server.put("other", "trino", **trino.fields(USER, "first"))
    with pytest.raises(UnsupportedConnection, match=r'has no URL.*Use mode="session"'):
        dataflow.connection("other", "url")
    everybody = FakeTrino(tmp_path, is_encrypted=False)
    server.put("open", "trino", **everybody.fields("anybody", ""))
    with create_engine(dataflow.connection("open", "url")).connect() as connection:
        assert connection.execute(text("SELECT 1")).scalar() == 1
    everybody.close()


def test_a_connection_that_the_server_has_closed_opens_another_socket(dataflow, kind, service, shop):
    engine = dataflow.connection("shop", "engine")
    with engine.connect() as connection:
        driver = driver_connection(connection)
        assert connection.execute(text("SELECT 1")).scalar() == 1
        (kept,) = [each for each in manager_of(driver).connection_from_host().pool.queue if each is not None]
        kept.sock.shutdown(socket.SHUT_RDWR)
        assert connection.execute(text("SELECT 2")).scalar() == 2


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_leaves_the_sockets_of_its_parent_alone(dataflow, kind, service, shop):
    """Also where it goes on with a session that was begun before the fork: it gets a socket of its own."""
    with dataflow.connection("shop") as session:
        assert session.execute(text("SELECT 1")).scalar() == 1
        port = service.fields("", "")["port"]
        assert sockets_to(port) >= 1

        def work() -> None:
            assert sockets_to(port) == 0
            assert session.execute(text("SELECT 2")).scalar() == 2

        assert [_in_child(work) for _ in range(3)] == [0] * 3
        assert session.execute(text("SELECT 3")).scalar() == 3


def test_nothing_is_kept_of_connections_that_are_closed(dataflow, server, clickhouse):
    from clickhouse_connect.driver import httputil

    clickhouse.set_password(USER, "first")
    server.put("shop", "clickhouse", **clickhouse.plain_fields(USER, "first"))
    before = len(httputil.all_managers)
    engine = dataflow.connection("shop", "engine")
    connections = [engine.connect() for _ in range(8)]
    for connection in connections:
        connection.close()
    engine.dispose()
    until("all are forgotten", lambda: len(httputil.all_managers) == before)
