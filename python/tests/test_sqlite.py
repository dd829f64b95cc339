"""SQLite: a file is opened where it is, and never created."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from dataflow import DatabaseFileMissing, Dataflow, InvalidConfiguration


@pytest.fixture
def shop(server):
    server.put("shop", "sqlite", database="shop.db", extra={"busy_timeout": 1500, "foreign_keys": True})


def test_every_mode(dataflow, shop):
    with dataflow.connection("shop") as session:
        assert session.execute(text("SELECT name FROM item")).scalar() == "lamp"
        assert session.execute(text("PRAGMA busy_timeout")).scalar() == 1500
        assert session.execute(text("PRAGMA foreign_keys")).scalar() == 1
    engine = dataflow.connection("shop", "engine")
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO item VALUES ('chair')"))
    assert dataflow.connection("shop", "dict")["schemas"] == "shop.db"


def test_a_url_opens_the_same_file_and_creates_none(dataflow, server, shop, sqlite_folder):
    from sqlalchemy import create_engine

    url = dataflow.connection("shop", "url")
    engine = create_engine(url)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT name FROM item")).scalar() == "lamp"
    engine.dispose()
    (sqlite_folder / "shop.db").unlink()
    with pytest.raises(OperationalError), create_engine(url).connect():
        pass
    assert not (sqlite_folder / "shop.db").exists()


def test_async(dataflow, shop):
    async def use() -> list:
        engine = dataflow.connection("shop", "async_engine")
        async with engine.connect() as connection:
            found = [
                (await connection.execute(text(query))).scalar()
                for query in ("SELECT name FROM item", "PRAGMA foreign_keys", "PRAGMA busy_timeout")
            ]
        await engine.dispose()
        return found

    assert asyncio.run(use()) == ["lamp", 1, 1500]


def test_an_absent_file_lives_elsewhere_and_is_not_created(dataflow, server, sqlite_folder):
    server.put("absent", "sqlite", database="absent.db")
    with pytest.raises(DatabaseFileMissing, match="lives elsewhere"):
        dataflow.connection("absent").execute(text("SELECT 1"))
    assert not (sqlite_folder / "absent.db").exists()


def test_a_name_with_odd_characters_is_one_file(dataflow, server, sqlite_folder):
    import sqlite3

    odd = "a b%41&mode=rwc é.db"
    sqlite3.connect(sqlite_folder / odd).execute("CREATE TABLE here (x)")
    server.put("odd", "sqlite", database=odd)
    with dataflow.connection("odd") as session:
        assert session.execute(text("SELECT name FROM sqlite_master")).scalar() == "here"


def test_a_file_outside_of_the_folder_is_refused(dataflow, server, sqlite_folder, tmp_path):
    import sqlite3

    sqlite3.connect(tmp_path / "outside.db").execute("CREATE TABLE secret (x)")
    (sqlite_folder / "link.db").symlink_to(tmp_path / "outside.db")
    for name in ("../outside.db", "link.db", str(tmp_path / "outside.db")):
        server.put("outside", "sqlite", database=name)
        with pytest.raises(InvalidConfiguration, match="outside"):
            Dataflow().connection("outside").execute(text("SELECT 1"))
        server.put("outside", "sqlite", database="other.db")


def test_a_machine_without_a_folder_says_how_to_name_one(dataflow, server, shop, monkeypatch):
    monkeypatch.delenv("DATAFLOW_SQLITE_DIR")
    with pytest.raises(InvalidConfiguration, match="DATAFLOW_SQLITE_DIR"):
        Dataflow().connection("shop").execute(text("SELECT 1"))


def test_the_folder_may_stand_in_the_file_that_a_sign_in_left(server, shop, sqlite_folder, tmp_path):
    from fake_dataflow import TOKEN

    config = tmp_path / ".config" / "dataflow" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(f'url = "{server.url}"\ntoken = "{TOKEN}"\nsqlite_folder = "{sqlite_folder}"\n')
    config.chmod(0o600)
    with Dataflow().connection("shop") as session:
        assert session.execute(text("SELECT name FROM item")).scalar() == "lamp"
