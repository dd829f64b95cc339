"""DuckDB: a file is opened where it is, and never created."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys

import duckdb
import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, create_engine, inspect, select, text
from test_fork import _in_child

from dataflow import ConnectionDeleted, DatabaseFileMissing, Dataflow, InvalidConfiguration, UnsupportedConnection


@pytest.fixture
def shop(server, sqlite_folder):
    with duckdb.connect(str(sqlite_folder / "shop.duckdb")) as database:
        database.execute("CREATE TABLE item (id INTEGER, name VARCHAR)")
        database.execute("INSERT INTO item VALUES (1, 'lamp')")
    server.put("shop", "duckdb", database="shop.duckdb")


def test_every_mode(dataflow, shop, sqlite_folder):
    with dataflow.connection("shop") as session:
        assert session.execute(text("SELECT name FROM item WHERE id = :id"), {"id": 1}).scalar() == "lamp"
        assert session.get_bind() is dataflow.connection("shop", "engine")
    engine = dataflow.connection("shop", "engine")
    item = Table("item", MetaData(), Column("id", Integer), Column("name", String))
    with engine.begin() as connection:
        connection.execute(item.insert(), [{"id": 2, "name": "chair"}, {"id": 3, "name": "tisch é"}])
    with engine.connect() as connection:
        assert connection.execute(select(item.c.name).order_by(item.c.id)).scalars().all() == ["lamp", "chair", "tisch é"]
    assert [column["name"] for column in inspect(engine).get_columns("item")] == ["id", "name"]
    assert dataflow.connection("shop", "dict")["schemas"] == "shop.duckdb"
    engine.dispose()
    from_url = create_engine(dataflow.connection("shop", "url"))
    with from_url.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM item")).scalar() == 3
    from_url.dispose()


def test_many_connections_share_the_file(dataflow, shop):
    engine = dataflow.connection("shop", "engine")
    connections = [engine.connect() for _ in range(8)]
    for number, connection in enumerate(connections):
        connection.execute(text(f"INSERT INTO item VALUES ({number}, 'more')"))
        connection.commit()
    assert connections[0].execute(text("SELECT count(*) FROM item")).scalar() == 9
    for connection in connections:
        connection.close()


def test_an_absent_file_lives_elsewhere_and_is_not_created(dataflow, server, sqlite_folder):
    server.put("absent", "duckdb", database="absent.duckdb")
    with pytest.raises(DatabaseFileMissing, match=r"is the DuckDB file “absent.duckdb”.*lives elsewhere"):
        dataflow.connection("absent").execute(text("SELECT 1"))
    with pytest.raises(DatabaseFileMissing):
        dataflow.connection("absent", "url")
    assert not (sqlite_folder / "absent.duckdb").exists()


@pytest.mark.parametrize("name", ["../outside.duckdb", "/etc/passwd", "link.duckdb"])
def test_a_file_outside_of_the_folder_is_refused(dataflow, server, sqlite_folder, tmp_path, name):
    duckdb.connect(str(tmp_path / "outside.duckdb")).close()
    (sqlite_folder / "link.duckdb").symlink_to(tmp_path / "outside.duckdb")
    server.put("outside", "duckdb", database=name)
    with pytest.raises(InvalidConfiguration, match="outside"):
        dataflow.connection("outside").execute(text("SELECT 1"))


@pytest.mark.parametrize("name", [":memory:", "md:shop", "motherduck:shop", "sqlite:shop.db", ":default:"])
def test_a_name_that_means_something_to_duckdb_is_a_file(dataflow, server, sqlite_folder, name):
    server.put("odd", "duckdb", database=name)
    with pytest.raises(DatabaseFileMissing):
        dataflow.connection("odd").execute(text("SELECT 1"))
    duckdb.connect(str(sqlite_folder / "made.duckdb")).close()
    (sqlite_folder / "made.duckdb").rename(sqlite_folder / name)
    with dataflow.connection("odd") as session:
        assert session.execute(text("SELECT 1")).scalar() == 1


def test_a_name_with_odd_characters_is_one_file(dataflow, server, sqlite_folder):
    odd = "a b%41&access_mode=read_only é's.duckdb"
    with duckdb.connect(str(sqlite_folder / "made.duckdb")) as database:
        database.execute("CREATE TABLE here (x INTEGER)")
    (sqlite_folder / "made.duckdb").rename(sqlite_folder / odd)
    server.put("odd", "duckdb", database=odd)
    with dataflow.connection("odd") as session:
        assert session.execute(text("SELECT table_name FROM information_schema.tables")).scalar() == "here"


def test_a_machine_without_a_folder_says_how_to_name_one(dataflow, shop, monkeypatch):
    monkeypatch.delenv("DATAFLOW_SQLITE_DIR")
    with pytest.raises(InvalidConfiguration, match=r"is a DuckDB file.*DATAFLOW_SQLITE_DIR"):
        Dataflow().connection("shop").execute(text("SELECT 1"))


def test_another_file_and_a_deleted_name_are_followed(dataflow, server, shop, sqlite_folder, go_stale):
    engine = dataflow.connection("shop", "engine")
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM item")).scalar() == 1
    with duckdb.connect(str(sqlite_folder / "other.duckdb")) as database:
        database.execute("CREATE TABLE item AS SELECT range AS id, 'x' AS name FROM range(5)")
    server.put("shop", "duckdb", database="other.duckdb")
    go_stale()
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM item")).scalar() == 5
    server.delete("shop")
    go_stale()
    with pytest.raises(ConnectionDeleted):
        engine.connect()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_does_not_write_a_file_that_its_parent_has_open(dataflow, shop):
    """It would inherit the parent's lock, and both would write."""
    engine = dataflow.connection("shop", "engine")
    with engine.connect() as held:
        held.execute(text("INSERT INTO item VALUES (2, 'chair')"))

        def work() -> None:
            for ask in (engine.connect, dataflow.connection("shop").connection):
                with pytest.raises(UnsupportedConnection, match="had open when it was forked"):
                    ask()

        assert _in_child(work) == 0
        assert _in_child(lambda: _in_child(work) == 0 or os._exit(1)) == 0  # nor a grandchild
        held.commit()
        assert held.execute(text("SELECT count(*) FROM item")).scalar() == 2


def _count() -> None:
    with Dataflow().connection("shop") as session:
        assert session.execute(text("SELECT count(*) FROM item")).scalar() == 1


def test_a_child_that_ends_as_programs_end_leaves_the_file_alone(tmp_path):
    program = """if True:
        import os, sys
        import duckdb
        from dataflow.drivers.duckdb import _open_files

        path = sys.argv[1]
        database = duckdb.connect(path)
        database.execute("CREATE TABLE item AS SELECT range AS id FROM range(1000)")
        _open_files.add(database, path)
        child = os.fork()
        if child == 0:
            sys.exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        database.execute("INSERT INTO item SELECT range FROM range(500)")
        print(status, os.path.exists(path + ".wal"), flush=True)
        os._exit(0)
    """
    path = str(tmp_path / "shop.duckdb")
    ended = subprocess.run([sys.executable, "-W", "ignore", "-c", program, path], capture_output=True, text=True, timeout=60)
    assert ended.stdout.split() == ["0", "True"], ended
    with duckdb.connect(path) as database:
        assert database.execute("SELECT count(*) FROM item").fetchone() == (1500,)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_opens_what_its_parent_has_closed(dataflow, shop):
    _count()
    dataflow.connection("shop", "engine").dispose()
    assert _in_child(_count) == 0
    _count()


def test_a_child_that_is_spawned_is_a_program_of_its_own(dataflow, shop):
    child = multiprocessing.get_context("spawn").Process(target=_count)
    child.start()
    child.join(60)
    assert child.exitcode == 0
