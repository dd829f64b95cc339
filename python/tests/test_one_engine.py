"""One engine in a process for each server, workspace, name and dialect, and no more."""

from __future__ import annotations

import sqlite3

import pytest
from sqlalchemy import text

from dataflow import Dataflow
from fake_dataflow import TOKEN, FakeDataflow


@pytest.fixture
def other_server():
    other = FakeDataflow()
    yield other
    other.close()


@pytest.fixture
def places(server, other_server, sqlite_folder, monkeypatch):
    """A connection “sales” in two workspaces of each of two servers, and what opens each: no two lead to the same file."""
    monkeypatch.setenv("DATAFLOW_SQLITE_DIR", str(sqlite_folder))
    found = {}
    for number, each in enumerate((server, other_server)):
        for workspace, name in (("default", "sales"), ("lab", "lab/sales")):
            file = f"{workspace}-{number}.db"
            with sqlite3.connect(sqlite_folder / file) as database:
                database.execute("CREATE TABLE here (place TEXT)")
                database.execute("INSERT INTO here VALUES (?)", [file])
            each.put(name, "sqlite", database=file)
            found[file] = {"url": each.url, "token": TOKEN, "workspace": workspace}
    return found


def test_the_same_name_elsewhere_is_another_engine(places):
    engines = {}
    for file, place in places.items():
        engines[file] = Dataflow(**place).connection("sales", "engine")
        with Dataflow(**place).connection("sales") as session:
            assert session.execute(text("SELECT place FROM here")).scalar() == file
            assert session.get_bind() is engines[file]
    assert len({id(engine) for engine in engines.values()}) == len(places) == 4
    for file, place in places.items():
        assert Dataflow(**place).connection("sales", "engine") is engines[file]


def test_the_environment_of_the_moment_decides(places, monkeypatch):
    """The first engine must not serve whoever comes second, whichever variable is changed between them."""
    for file, place in [*places.items(), *reversed(places.items())]:
        for name, value in place.items():
            monkeypatch.setenv(f"DATAFLOW_{name.upper()}", value)
        with Dataflow().connection("sales") as session:
            assert session.execute(text("SELECT place FROM here")).scalar() == file


def test_a_name_that_changes_its_dialect_and_back_has_an_engine_of_each(dataflow, server, postgres, go_stale):
    postgres.set_password("dialects", "first")
    engines = []
    for kind in ("sqlite", "postgres", "sqlite", "postgres"):
        fields = {"database": "shop.db"} if kind == "sqlite" else postgres.fields("dialects", "first")
        server.put("sales", kind, **fields)
        go_stale()
        engines.append(dataflow.connection("sales", "engine"))
        with dataflow.connection("sales") as session:
            assert session.execute(text("SELECT 1")).scalar() == 1
    assert engines[:2] == engines[2:]
    assert engines[0] is not engines[1]
