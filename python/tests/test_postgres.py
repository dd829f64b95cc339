"""The promises of an engine that follows its name, against a real PostgreSQL."""

from __future__ import annotations

import asyncio
import gc
import threading
import time

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from dataflow import ConnectionDeleted, UnsupportedConnection
from using import POSTGRES, first_row, until

USER = "analytics"


@pytest.fixture
def sales(server, postgres):
    """The connection “sales”, as it is at the beginning of each test."""
    postgres.set_password(USER, "first")
    server.put("sales", "postgres", **postgres.fields(USER, "first"))


def test_every_mode(dataflow, sales, postgres):
    with dataflow.connection("sales") as session:
        assert session.execute(text("SELECT current_user")).scalar() == USER
    engine = dataflow.connection("sales", "engine")
    with engine.connect() as connection:
        assert connection.execute(text("SELECT 1")).scalar() == 1
    url = dataflow.connection("sales", mode="url")
    assert (url.username, url.password, url.port) == (USER, "first", postgres.port)
    assert "first" not in str(url)
    values = dataflow.connection("sales", mode="dict")
    assert list(values) == ["conn_type", "login", "password", "host", "port", "schemas", "extra"]
    assert values["schemas"] == "postgres"


def test_a_url_connects_as_the_engine_does(dataflow, sales):
    from sqlalchemy import create_engine

    engine = create_engine(dataflow.connection("sales", "url"))
    with engine.connect() as connection:
        assert connection.execute(text("SELECT 1")).scalar() == 1
    engine.dispose()


def test_one_engine_for_all_who_name_it(dataflow, sales):
    from dataflow import Dataflow

    assert Dataflow().connection("sales", "engine") is dataflow.connection("sales", "engine")


@pytest.mark.parametrize("module", POSTGRES)
def test_a_redshift_connection_opens_as_what_its_protocol_is(dataflow, server, postgres, only_driver, module):
    """With the fields that a Redshift connection has. There is no Redshift to run here."""
    postgres.set_password(USER, "first")
    extra = {"application_name": "nightly", "statement_timeout": 9000, "search_path": "sales, public", "timezone": "UTC"}
    server.put("warehouse", "redshift", **postgres.fields(USER, "first", extra=extra))
    query = "SELECT " + ", ".join(f"current_setting('{name}')" for name in ("statement_timeout", "search_path"))
    assert first_row(dataflow, "warehouse", query, only_driver(module)) == ["9s", "sales, public"]


def test_async_modes(dataflow, sales):
    async def use() -> tuple:
        engine = dataflow.connection("sales", "async_engine")
        async with engine.connect() as connection:
            one = (await connection.execute(text("SELECT current_user"))).scalar()
        async with dataflow.connection("sales", "async_session") as session:
            other = (await session.execute(text("SELECT current_setting('application_name')"))).scalar()
        assert dataflow.connection("sales", "async_engine") is engine
        await engine.dispose()
        return one, other

    for _ in range(2):  # each loop has an engine of its own
        assert asyncio.run(use()) == (USER, "dataflow")
    with pytest.raises(UnsupportedConnection, match="coroutine"):
        dataflow.connection("sales", "async_engine")


@pytest.mark.parametrize("module", POSTGRES)
def test_extra_settings_reach_the_session(dataflow, server, postgres, only_driver, module):
    postgres.set_password(USER, "first")
    extra = {
        "application_name": "nightly",
        "connect_timeout": 7,
        "statement_timeout": 12345,
        "search_path": 'public, "odd name\\x"',
        "timezone": "Europe/Vienna",
        "read_only": True,
    }
    server.put("sales", "postgres", **postgres.fields(USER, "first", extra=extra))
    names = ("application_name", "statement_timeout", "search_path", "TimeZone", "default_transaction_read_only")
    query = "SELECT " + ", ".join(f"current_setting('{name}')" for name in names)
    wanted = ["nightly", "12345ms", 'public, "odd name\\x"', "Europe/Vienna", "on"]
    assert first_row(dataflow, "sales", query, only_driver(module)) == wanted


def test_a_rotation_reaches_an_engine_in_use_and_no_failure_reaches_the_loop(dataflow, server, sales, postgres, go_stale):
    engine = dataflow.connection("sales", "engine")
    stop, failures, rounds = threading.Event(), [], [0] * 4

    def loop(number: int) -> None:
        while not stop.is_set():
            try:
                with engine.connect() as connection:
                    connection.execute(text("SELECT 1"))
                rounds[number] += 1
            except Exception as error:
                failures.append(error)

    def all_go_on() -> None:
        before = list(rounds)
        until("each thread does ten more rounds", lambda: all(now >= then + 10 for now, then in zip(rounds, before)))

    # A session for each thread: between the change of the password there and here, nobody can open one.
    for connection in [engine.connect() for _ in rounds]:
        connection.close()
    threads = [threading.Thread(target=loop, args=(number,)) for number in range(len(rounds))]
    for thread in threads:
        thread.start()
    try:
        all_go_on()
        postgres.set_password(USER, "second")
        server.put("sales", "postgres", **postgres.fields(USER, "second"))
        # A new session that meets the old password asks again at once.
        held = [engine.connect() for _ in range(8)]
        go_stale()
        postgres.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{USER}' AND state = 'idle'")
        all_go_on()
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    for connection in held:
        connection.close()
    # A session that the server ends in the middle of a statement may fail; a rotation makes none fail.
    assert [error for error in failures if "terminat" not in str(error)] == []


def test_pooled_sessions_of_an_older_fingerprint_are_replaced_and_open_ones_finish(dataflow, server, sales, postgres, go_stale):
    engine = dataflow.connection("sales", "engine")
    with engine.connect() as at_work:
        pid = at_work.execute(text("SELECT pg_backend_pid()")).scalar()
        with engine.connect() as other:
            pooled = other.execute(text("SELECT pg_backend_pid()")).scalar()
        postgres.set_password("other_user", "second")
        server.put("sales", "postgres", **postgres.fields("other_user", "second"))
        go_stale()
        with engine.connect() as fresh:
            assert fresh.execute(text("SELECT current_user")).scalar() == "other_user"
            assert fresh.execute(text("SELECT pg_backend_pid()")).scalar() != pooled
        assert at_work.execute(text("SELECT pg_backend_pid()")).scalar() == pid
        assert at_work.execute(text("SELECT current_user")).scalar() == USER
    with engine.connect() as again:
        assert again.execute(text("SELECT current_user")).scalar() == "other_user"


def test_a_new_description_is_invisible(dataflow, server, sales, postgres, go_stale):
    engine = dataflow.connection("sales", "engine")
    with engine.connect() as connection:
        pid = connection.execute(text("SELECT pg_backend_pid()")).scalar()
    server.put("sales", "postgres", description="new words", **postgres.fields(USER, "first"))
    go_stale()
    with engine.connect() as connection:
        assert connection.execute(text("SELECT pg_backend_pid()")).scalar() == pid
    assert server.requests[-1]["status"] == 304
    assert dataflow._server.client.credentials("sales", None).version == 2


def test_an_engine_follows_a_change_of_host(dataflow, server, sales, postgres, go_stale):
    engine = dataflow.connection("sales", "engine")
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    server.put("sales", "postgres", **postgres.fields(USER, "first", host="localhost", database="template1"))
    go_stale()
    with engine.connect() as connection:
        assert connection.execute(text("SELECT current_database()")).scalar() == "template1"


def test_deleted_fails_clearly_and_a_replacement_mends_the_same_engine(dataflow, server, sales, postgres, go_stale):
    engine = dataflow.connection("sales", "engine")
    session = dataflow.connection("sales")
    session.execute(text("SELECT 1"))
    server.delete("sales", by="ann@example.org", reason="moved")
    go_stale()
    assert session.execute(text("SELECT 2")).scalar() == 2  # work in flight goes on
    with pytest.raises(ConnectionDeleted) as caught, engine.connect():
        pass
    assert (caught.value.name, caught.value.deleted_by, caught.value.deleted_at) == (
        "sales", "ann@example.org", "2026-11-22T10:00:00Z",
    )  # fmt: skip
    assert "ann@example.org" in str(caught.value)
    with pytest.raises(ConnectionDeleted):
        dataflow.connection("sales")
    session.close()

    postgres.set_password("replacement", "third")
    server.put("sales", "postgres", **postgres.fields("replacement", "third"))
    with engine.connect() as connection:
        assert connection.execute(text("SELECT current_user")).scalar() == "replacement"


def test_an_engine_whose_name_became_another_dialect_says_so(dataflow, server, sales, postgres, go_stale):
    engine = dataflow.connection("sales", "engine")
    server.put("sales", "sqlite", database="shop.db")
    go_stale()
    with pytest.raises(UnsupportedConnection, match="Call connection"), engine.connect():
        pass
    with dataflow.connection("sales") as session:
        assert session.execute(text("SELECT name FROM item")).scalar() == "lamp"


def test_an_outage_of_dataflow_does_not_reach_the_work(dataflow, server, sales, go_stale):
    engine = dataflow.connection("sales", "engine")
    with engine.connect():
        pass
    server.away_with = 503
    go_stale()
    engine.dispose()
    with engine.connect() as connection:
        assert connection.execute(text("SELECT 1")).scalar() == 1


def test_a_restart_of_the_database_does_not_reach_the_next_session(dataflow, sales, postgres):
    engine = dataflow.connection("sales", "engine")
    connections = [engine.connect() for _ in range(3)]
    for connection in connections:
        connection.close()
    postgres.restart()
    for _ in range(3):
        with engine.connect() as connection:
            assert connection.execute(text("SELECT 1")).scalar() == 1


def test_200_sessions_are_kept_without_a_deadlock_and_leave_nothing_in_a_transaction(dataflow, server, postgres):
    postgres.set_password("crowd", "first")
    server.put("crowd", "postgres", **postgres.fields("crowd", "first"))
    sessions = []
    for _ in range(200):
        session = dataflow.connection("crowd")
        assert session.execute(text("SELECT 1")).fetchone() == (1,)
        sessions.append(session)
    assert postgres.sessions("crowd", "idle in transaction") == 200
    del session
    sessions.clear()
    gc.collect()
    until("all but the pool's five are closed", lambda: postgres.sessions("crowd") <= 5)
    assert postgres.sessions("crowd", "idle in transaction%") == 0
    assert postgres.sessions("crowd", "idle") == 5


def test_threads_share_one_engine_and_few_requests(dataflow, server, sales, stay_fresh):
    failures = []

    def work() -> None:
        try:
            for _ in range(20):
                with dataflow.connection("sales") as session:
                    assert session.execute(text("SELECT 1")).scalar() == 1
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(server.requests) <= 3


def test_a_refused_password_stays_sqlalchemys_error(dataflow, server, postgres):
    postgres.set_password(USER, "first")
    server.put("sales", "postgres", **postgres.fields(USER, "wrong"))
    before = len(server.requests)
    with pytest.raises(OperationalError, match="password authentication failed"):
        dataflow.connection("sales").execute(text("SELECT 1"))
    assert len(server.requests) - before == 2  # the second to see whether it has changed


def test_the_event_loop_does_not_wait_for_dataflow(dataflow, server, sales, go_stale):
    longest = 0.0

    async def beat() -> None:
        nonlocal longest
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.01)
            longest = max(longest, time.monotonic() - began)

    async def use() -> None:
        engine = dataflow.connection("sales", "async_engine")
        async with engine.connect():
            pass
        go_stale()
        server.wait = 4.0
        heart = asyncio.create_task(beat())
        async with engine.connect() as connection:
            await connection.execute(text("SELECT 1"))
        heart.cancel()
        await engine.dispose()

    asyncio.run(use())
    assert server.requests[-1]["status"] == 304
    assert longest < 3


def test_a_cancelled_connect_gives_the_session_back(dataflow, server, postgres):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        fields = {**postgres.fields(USER, "first"), "port": silent.getsockname()[1]}
        server.put("silent", "postgres", **fields)

        async def use() -> None:
            engine = dataflow.connection("silent", "async_engine")
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(engine.connect().start(), 0.3)
            await engine.dispose()

        began = time.monotonic()
        asyncio.run(use())
        assert time.monotonic() - began < 20
