from __future__ import annotations

import importlib
import os
import sqlite3
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import dataflow as package
from dataflow import drivers
from dataflow.drivers.base import Driver
from fake_dataflow import TOKEN, FakeDataflow
from servers import MariaDB, Postgres

FRESH_FOR = 5.0
"""Seconds for which an answer is not asked for again."""


def pytest_report_header() -> str:
    import sqlalchemy

    return f"interpreter: {sys.version.split()[0]}, SQLAlchemy {sqlalchemy.__version__}"


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith(("DATAFLOW_", "PG", "AIRFLOW_", "JPY_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)


@pytest.fixture
def server() -> Iterator[FakeDataflow]:
    fake = FakeDataflow()
    yield fake
    fake.close()


@pytest.fixture
def dataflow(server: FakeDataflow, monkeypatch: pytest.MonkeyPatch, sqlite_folder: Path) -> package.Dataflow:
    """Signed in by the environment, as scripts are."""
    monkeypatch.setenv("DATAFLOW_URL", server.url)
    monkeypatch.setenv("DATAFLOW_TOKEN", TOKEN)
    monkeypatch.setenv("DATAFLOW_SQLITE_DIR", str(sqlite_folder))
    return package.Dataflow()


@pytest.fixture
def sqlite_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "sqlite"
    folder.mkdir()
    with sqlite3.connect(folder / "shop.db") as database:
        database.execute("CREATE TABLE item (name TEXT)")
        database.execute("INSERT INTO item VALUES ('lamp')")
    return folder


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    started = Postgres(_open_folder(tmp_path_factory, "postgres"))
    yield started
    started.stop()


@pytest.fixture(scope="session")
def mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDB]:
    started = MariaDB(_open_folder(tmp_path_factory, "mariadb"))
    yield started
    started.stop()


def _open_folder(factory: pytest.TempPathFactory, name: str) -> Path:
    """A folder that the server's user can reach."""
    folder = factory.mktemp(name)
    for parent in (folder, folder.parent, folder.parent.parent):
        parent.chmod(0o755)
    return folder / "server"


@pytest.fixture
def go_stale() -> Callable[[], None]:
    """Waits until answers held are asked for again."""
    return lambda: time.sleep(FRESH_FOR + 0.2)


@pytest.fixture
def only_driver(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Driver]:
    """Makes one driver the only one of its kind, as where no other is installed."""

    def choose(module: str) -> Driver:
        chosen: Driver = importlib.import_module(f"dataflow.drivers.{module}").DRIVER
        as_installed = drivers._installed

        def installed(dialect: str, is_async: bool) -> tuple[Driver, ...]:
            return (chosen,) if is_async == chosen.is_async else as_installed(dialect, is_async)

        monkeypatch.setattr(drivers, "_installed", installed)
        return chosen

    return choose
