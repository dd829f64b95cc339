"""A forked child leaves its parent's sessions alone and has its own."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time
import traceback
from contextlib import contextmanager

import pytest
from sqlalchemy import text

from dataflow import export, fork
from dataflow.drivers import sqlite

CHILDREN = 8


@pytest.fixture(params=["psycopg", "psycopg2", "pymysql", "mysqlclient", "clickhouse", "trino"])
def name(request, server, only_driver):
    only_driver(request.param)
    if request.param in ("clickhouse", "trino"):
        service = request.getfixturevalue(request.param)
        service.set_password("forked", "first")
        server.put("forked", request.param, **service.fields("forked", "first"))
        return "forked"
    is_postgres = request.param.startswith("psycopg")
    database = request.getfixturevalue("postgres" if is_postgres else "mariadb")
    database.set_password("forked", "first")
    server.put("forked", "postgres" if is_postgres else "mysql", **database.fields("forked", "first"))
    return "forked"


def _in_child(work) -> int:
    """Runs `work` in a child that ends as programs end, collecting what it holds; returns its exit status. A child that is
    stuck is ended by a signal; what another one raised is in the test's output."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            signal.alarm(60)
            work()
            gc.collect()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_children_of_a_busy_parent(dataflow, name, monkeypatch):
    monkeypatch.setattr(fork, "_PATIENCE", 60)
    engine = dataflow.connection(name, "engine")
    held = engine.connect()
    assert held.execute(text("SELECT 1")).scalar() == 1
    stop, failures = threading.Event(), []

    def busy() -> None:
        while not stop.is_set():
            try:
                with dataflow.connection(name) as session:
                    assert session.execute(text("SELECT 7")).scalar() == 7
            except Exception as error:
                failures.append(error)

    def work() -> None:
        for number in range(3):
            with dataflow.connection(name) as session:
                assert session.execute(text(f"SELECT {number}")).scalar() == number
        with engine.connect() as connection:
            assert connection.execute(text("SELECT 9")).scalar() == 9
        engine.dispose()

    threads = [threading.Thread(target=busy) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        statuses = [_in_child(work) for _ in range(CHILDREN)]
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert statuses == [0] * CHILDREN
    assert failures == []
    assert held.execute(text("SELECT 2")).scalar() == 2
    held.close()


def test_children_of_a_parent_with_an_open_file(dataflow, server):
    """Without other threads: SQLite's own global locks do not survive a fork while another thread holds one."""
    server.put("shop", "sqlite", database="shop.db")
    engine = dataflow.connection("shop", "engine")
    held = engine.connect()
    held.execute(text("INSERT INTO item VALUES ('chair')"))

    def work() -> None:
        with engine.connect() as connection:
            assert connection.execute(text("SELECT count(*) FROM item")).scalar() == 1
        engine.dispose()

    assert [_in_child(work) for _ in range(CHILDREN)] == [0] * CHILDREN
    held.commit()
    assert held.execute(text("SELECT count(*) FROM item")).scalar() == 2
    held.close()


def test_a_grandchild_asks_for_itself(dataflow, server):
    server.put("hook", "http", host="example.org")
    dataflow.connection("hook", "dict")

    def work() -> None:
        dataflow.connection("hook", "dict")
        assert _in_child(lambda: dataflow.connection("hook", "dict")) == 0

    assert _in_child(work) == 0
    assert len(server.requests) == 3


def test_a_child_makes_urls_whatever_its_parents_threads_were_in(dataflow, server):
    fields = {"host": "db.example.org", "username": "ann", "tls": {"mode": "verify-full", "ca": "-----BEGIN CERTIFICATE-----"}}
    server.put("secure", "postgres", **fields)

    def work() -> None:
        signal.alarm(20)
        path = dataflow.connection("secure", "url").query["sslrootcert"]
        with open(path) as file:
            assert file.read() == "-----BEGIN CERTIFICATE-----"

    with export._material._lock:  # as if another thread were writing a file
        assert _in_child(work) == 0


def test_a_fork_waits_for_a_thread_that_ends_after_it_has_opened_a_connection():
    """What a library does then holds its locks, too, and no code of Python's runs any more that could tell."""
    opened, gone = threading.Event(), []

    def opens_and_ends() -> None:
        with fork.no_fork():
            fork.this_thread_ends()
        opened.set()
        time.sleep(0.3)
        gone.append(time.monotonic())

    thread = threading.Thread(target=opens_and_ends)
    thread.start()
    assert opened.wait(10)
    assert _in_child(lambda: None) == 0
    assert gone, "it was not waited for"
    thread.join()


@contextmanager
def _connect_that_waits(dataflow, server, monkeypatch):
    """A thread inside its driver's `connect`. Yields what it waits for, and when it left."""
    server.put("shop", "sqlite", database="shop.db")
    engine = dataflow.connection("shop", "engine")
    entered, released, left = threading.Event(), threading.Event(), []

    def connect(dialect, positional, arguments):
        entered.set()
        released.wait(60)
        left.append(time.monotonic())
        raise dialect.loaded_dbapi.OperationalError("enough")

    def quietly():
        with pytest.raises(Exception, match="enough"):
            engine.connect()

    monkeypatch.setattr(type(sqlite.DRIVER), "connect", staticmethod(connect))
    thread = threading.Thread(target=quietly)
    thread.start()
    try:
        assert entered.wait(60)
        yield released, left
    finally:
        released.set()
        thread.join()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_waits_for_a_connect(dataflow, server, monkeypatch):
    monkeypatch.setattr(fork, "_PATIENCE", 60)
    with _connect_that_waits(dataflow, server, monkeypatch) as (released, left):
        threading.Timer(1, released.set).start()
        assert _in_child(lambda: None) == 0
        assert left


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_does_not_wait_for_ever(dataflow, server, monkeypatch):
    monkeypatch.setattr(fork, "_PATIENCE", 0.2)
    with _connect_that_waits(dataflow, server, monkeypatch) as (_released, left):
        assert _in_child(lambda: dataflow.connection("shop", "dict")) == 0
        assert not left


def test_a_fork_in_the_midst_of_a_connect_of_its_own_thread(monkeypatch):
    monkeypatch.setattr(fork, "_PATIENCE", 60)

    def work() -> None:
        with fork.no_fork():
            pass

    with fork.no_fork():
        began = time.monotonic()
        assert _in_child(work) == 0
        assert time.monotonic() - began < 30
    assert _in_child(work) == 0


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_connect_waits_for_the_forks(monkeypatch):
    """Of two at the same instant, too."""
    fork._gate.close()
    fork._gate.close()
    inside = threading.Event()

    def connect() -> None:
        with fork.no_fork():
            inside.set()

    thread = threading.Thread(target=connect)
    try:
        thread.start()
        fork._gate.open()
        assert not inside.wait(0.2)
    finally:
        fork._gate.open()
    assert inside.wait(60)
    thread.join()
