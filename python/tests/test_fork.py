"""A forked child leaves its parent's sessions alone and has its own."""

from __future__ import annotations

import gc
import os
import threading

import pytest
from sqlalchemy import text

CHILDREN = 15


@pytest.fixture(params=["psycopg", "psycopg2", "pymysql", "mysqlclient"])
def name(request, server, only_driver):
    only_driver(request.param)
    is_postgres = request.param.startswith("psycopg")
    database = request.getfixturevalue("postgres" if is_postgres else "mariadb")
    database.set_password("forked", "first")
    server.put("forked", "postgres" if is_postgres else "mysql", **database.fields("forked", "first"))
    return "forked"


def _in_child(work) -> int:
    """Runs `work` in a child that ends as programs end, collecting what it holds; returns its exit status."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            gc.collect()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_children_of_a_busy_parent(dataflow, name):
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
