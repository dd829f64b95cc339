"""What a running program sees of a connection's life, with the real server and a real PostgreSQL at the other ends."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

import dataflow as package
from dataflow import ConnectionDeleted, Dataflow, ServerUnavailable
from real_server import RealDataflow
from test_script import SCRIPT

USER = "life"
FRESH_FOR = 5.0


@pytest.fixture
def real(tmp_path: Path, sqlite_folder: Path) -> Iterator[RealDataflow]:
    started = RealDataflow(tmp_path, sqlite_folder)
    yield started
    started.stop()


@pytest.fixture
def program(real: RealDataflow, monkeypatch: pytest.MonkeyPatch) -> Dataflow:
    monkeypatch.setenv("DATAFLOW_URL", real.url)
    monkeypatch.setenv("DATAFLOW_TOKEN", real.token)
    monkeypatch.setenv("DATAFLOW_SQLITE_DIR", str(real.sqlite_folder))
    return Dataflow(workflow='kind=pipeline; name="nightly"')


@pytest.fixture
def sales(real: RealDataflow, postgres) -> None:
    postgres.set_password(USER, "first")
    real.create("sales", "postgres", **postgres.fields(USER, "first"))


class Loop:
    """A program that queries without a pause and keeps what it saw."""

    def __init__(self, program: Dataflow, name: str) -> None:
        self.count, self.failures, self._done = 0, [], threading.Event()
        self._thread = threading.Thread(target=self._run, args=(program, name))
        self._thread.start()

    def _run(self, program: Dataflow, name: str) -> None:
        while not self._done.is_set():
            try:
                with program.connection(name) as session:
                    assert session.execute(text("SELECT 1")).scalar() == 1
                self.count += 1
            except Exception as failure:
                self.failures.append(failure)

    def stop(self) -> None:
        self._done.set()
        self._thread.join(30)


def test_the_script_runs_as_it_stands(real, postgres):
    postgres.set_password(USER, "first")
    for name, kind, fields in [
        ("conn_id", "sqlite", {"database": "shop.db"}),
        ("conn_pg", "postgres", postgres.fields(USER, "first")),
    ]:
        real.create(name, kind, **fields)
        environment = {
            "PYTHONPATH": str(Path(package.__file__).parent.parent),
            "PATH": "/usr/bin:/bin",
            "HOME": "/nonexistent",
            "DATAFLOW_URL": real.url,
            "DATAFLOW_TOKEN": real.token,
            "DATAFLOW_SQLITE_DIR": str(real.sqlite_folder),
        }
        command = [sys.executable, "-c", SCRIPT.replace("conn_id", name)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert (done.stdout, done.returncode) == ("(1,)\n", 0), done.stderr


def test_a_description_edited_while_a_query_runs_is_not_felt(real, program, sales):
    with program.connection("sales") as session:
        before = session.execute(text("SELECT pg_backend_pid()")).scalar()
        running = threading.Thread(target=lambda: session.execute(text("SELECT pg_sleep(1)")))
        running.start()
        real.edit("sales", description="now with invoices", tags=["finance"])
        running.join(20)
        assert session.execute(text("SELECT pg_backend_pid()")).scalar() == before
    time.sleep(FRESH_FOR + 0.5)
    with program.connection("sales") as session:
        assert session.execute(text("SELECT pg_backend_pid()")).scalar() == before, "the pool kept its database session"


def test_a_password_rotated_while_a_loop_runs_reaches_no_query(real, program, sales, postgres):
    loop = Loop(program, "sales")
    time.sleep(0.5)
    postgres.set_password(USER, "second")
    real.edit("sales", password="second")
    time.sleep(FRESH_FOR + 1.5)
    after_rotation = loop.count
    time.sleep(0.5)
    loop.stop()
    assert loop.failures == []
    assert loop.count > after_rotation > 0
    report = real.test("sales")
    assert report["status"] == "ok", report


def test_new_sessions_follow_the_new_password_and_open_ones_stay(real, program, sales, postgres):
    held = program.connection("sales")
    pid = held.execute(text("SELECT pg_backend_pid()")).scalar()
    postgres.set_password(USER, "third")
    real.edit("sales", password="third")
    time.sleep(FRESH_FOR + 0.5)
    with program.connection("sales") as fresh:
        assert fresh.execute(text("SELECT pg_backend_pid()")).scalar() != pid
    assert held.execute(text("SELECT pg_backend_pid()")).scalar() == pid
    held.close()


def test_a_deletion_says_who_and_when_and_a_replacement_mends_it(real, program, sales, postgres):
    with program.connection("sales") as session:
        session.execute(text("SELECT 1"))
    real.delete("sales", "moved")
    time.sleep(FRESH_FOR + 0.5)
    with pytest.raises(ConnectionDeleted, match="sales") as refused, program.connection("sales") as session:
        session.execute(text("SELECT 1"))
    assert refused.value.deleted_by == "token editor"
    assert refused.value.deleted_at is not None
    assert "named “sales” again" in str(refused.value)
    real.create("sales", "postgres", **postgres.fields(USER, "first"))
    deadline = time.monotonic() + FRESH_FOR + 1
    while True:
        try:
            with program.connection("sales") as session:
                assert session.execute(text("SELECT 1")).scalar() == 1
            break
        except ConnectionDeleted:
            assert time.monotonic() < deadline, "the replacement did not serve in time"
            time.sleep(0.2)


def test_a_replacement_of_another_type_serves_the_name(real, program, sales):
    with program.connection("sales") as session:
        assert session.get_bind().dialect.name == "postgresql"
    real.delete("sales", "moved")
    real.create("sales", "sqlite", database="shop.db")
    time.sleep(FRESH_FOR + 0.5)
    with program.connection("sales") as session:
        assert session.execute(text("SELECT name FROM item")).scalar() == "lamp"


def test_a_server_that_is_away_is_not_felt_by_a_warm_program(real, program, sales):
    with program.connection("sales") as session:
        session.execute(text("SELECT 1"))
    real.stop()
    time.sleep(FRESH_FOR + 0.5)
    loop = Loop(program, "sales")
    time.sleep(3)
    loop.stop()
    assert loop.failures == []
    assert loop.count > 0
    began = time.monotonic()
    with pytest.raises(ServerUnavailable):
        program.connection("never_read")
    assert time.monotonic() - began < 6
    real.start()
    with program.connection("sales") as session:
        assert session.execute(text("SELECT 1")).scalar() == 1
