from __future__ import annotations

import importlib
import os
import sqlite3
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Callable, TypeVar

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import dataflow as package
import over_http
from clickhouse_server import ClickHouse
from dataflow import drivers
from dataflow.drivers.base import Driver
from fake_dataflow import TOKEN, FakeDataflow
from fake_trino import FakeTrino
from mysql_servers import MariaDB, MySQL
from postgres_server import Postgres
from pretend import Place, forget
from real_server import RealDataflow
from servers import Server

collect_ignore = [] if sys.version_info[:2] == (3, 11) else ["test_runners.py"]
"""What it needs is installed for one interpreter; `pyproject.toml` says the same."""

FRESH_FOR = 0.4
"""Seconds for which an answer is not asked for again, in tests that wait for it to go stale. The others have the default, 5."""


def pytest_report_header() -> str:
    import sqlalchemy

    return f"interpreter: {sys.version.split()[0]}, SQLAlchemy {sqlalchemy.__version__}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints what was tried of each promise of docs/security.md: what passes is else silent."""
    for report in terminalreporter.stats.get("passed", []):
        for line in report.capstdout.splitlines():
            if line.startswith("promise:"):
                terminalreporter.write_line(line)


_LEFT_OUT = (
    "DATAFLOW_",
    "PG",
    "AIRFLOW_",
    "JPY_",
    "CI",
    "GITHUB_",
    "GITLAB_",
    "BUILD",
    "JENKINS_",
    "TF_BUILD",
    "KUBERNETES_",
    "OTEL_",
    "HOSTNAME",
)
"""What begins with these says who runs the tests, or what they reach."""


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith(_LEFT_OUT):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)


@pytest.fixture
def server() -> Iterator[FakeDataflow]:
    fake = FakeDataflow()
    yield fake
    fake.close()


@pytest.fixture
def dataflow(server: FakeDataflow, monkeypatch: pytest.MonkeyPatch, sqlite_folder: Path, freshness: None) -> package.Dataflow:
    """Signed in by the environment, as scripts are."""
    monkeypatch.setenv("DATAFLOW_URL", server.url)
    monkeypatch.setenv("DATAFLOW_TOKEN", TOKEN)
    monkeypatch.setenv("DATAFLOW_SQLITE_DIR", str(sqlite_folder))
    return package.Dataflow()


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """For a test that looks at who asks: it begins as a script does, with `place.begin()`."""
    yield Place(monkeypatch)
    forget()


@pytest.fixture
def real(tmp_path: Path, sqlite_folder: Path) -> Iterator[RealDataflow]:
    started = RealDataflow(tmp_path, sqlite_folder)
    yield started
    started.end()


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
    yield from _running(Postgres, tmp_path_factory)


@pytest.fixture(scope="session")
def mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDB]:
    yield from _running(MariaDB, tmp_path_factory)


@pytest.fixture(scope="session")
def mysql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MySQL]:
    yield from _running(MySQL, tmp_path_factory)


@pytest.fixture(scope="session")
def clickhouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouse]:
    started = ClickHouse(tmp_path_factory.mktemp("server") / "own")
    yield started
    started.end()


@pytest.fixture
def trino(tmp_path: Path) -> Iterator[FakeTrino]:
    fake = FakeTrino(tmp_path / "trino")
    yield fake
    fake.close()


@pytest.fixture(params=["clickhouse", "trino"])
def kind(request: pytest.FixtureRequest) -> str:
    """Each type whose driver speaks HTTP."""
    return str(request.param)


@pytest.fixture
def service(request: pytest.FixtureRequest, kind: str) -> ClickHouse | FakeTrino:
    """A server of that kind, on which the user has the password “first”."""
    started: ClickHouse | FakeTrino = request.getfixturevalue(kind)
    started.set_password(over_http.USER, "first")
    return started


@pytest.fixture
def shop(server: FakeDataflow, kind: str, service: ClickHouse | FakeTrino) -> None:
    """The connection “shop” to it."""
    server.put("shop", kind, **service.fields(over_http.USER, "first"))


@pytest.fixture
def elsewhere() -> Iterator[over_http.Elsewhere]:
    started = over_http.Elsewhere()
    yield started
    started.close()


_Kind = TypeVar("_Kind", bound=Server)


def _running(kind: Callable[[Path], _Kind], factory: pytest.TempPathFactory) -> Iterator[_Kind]:
    folder = factory.mktemp("server")
    for parent in (folder, *list(folder.parents)[:3]):  # so that the server's user can reach it
        parent.chmod(parent.stat().st_mode | 0o055)
    started = kind(folder / "own")
    yield started
    started.end()


@pytest.fixture
def freshness(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, _clean_environment: None) -> None:
    """The freshness time, brief for a test that uses `go_stale` and longer than the test for one that uses `stay_fresh`."""
    if "go_stale" in request.fixturenames:
        monkeypatch.setenv("DATAFLOW_FRESH_FOR", str(FRESH_FOR))
    elif "stay_fresh" in request.fixturenames:
        monkeypatch.setenv("DATAFLOW_FRESH_FOR", "300")


@pytest.fixture
def go_stale() -> Callable[[], None]:
    """Waits until answers held are asked for again."""
    return lambda: time.sleep(FRESH_FOR + 0.1)


@pytest.fixture
def stay_fresh() -> None:
    """Answers held are fresh until the end of the test."""


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
