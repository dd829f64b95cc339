"""The snippets of a connection's page, fetched as a browser does and run as they stand."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from sqlalchemy import create_engine, text

from real_server import BINARY, RealDataflow
from test_script import run

USER = "snippets"
FRAMES = ("pandas", "polars") if sys.version_info[:2] == (3, 11) else ()
"""On one interpreter alone: they take longer to install than all else together. `pyproject.toml` says the same."""


@pytest.fixture
def sales(real: RealDataflow, postgres) -> dict[str, str]:
    postgres.set_password(USER, "first")
    real.create("sales", "postgres", **postgres.fields(USER, "first"))
    return real.snippets("sales")


def test_python_and_frames_and_the_shell(real, sales):
    assert run(sales["python"], **real.environment) == "(1,)\n"
    for library in FRAMES:
        shown = run(f"{sales[library]}\nprint(list(frame.columns), len(frame), frame['one'][0])", **real.environment)
        assert shown == "['one'] 1 1\n", library
    search = f"{os.path.dirname(BINARY)}:/usr/bin:/bin"
    environment = {**real.environment, "PATH": search, "HOME": "/nonexistent"}
    done = subprocess.run(["sh", "-e", "-c", sales["shell"]], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "sales" in done.stdout


def test_the_url_opens_the_database_once_the_password_is_typed_in(request, real, monkeypatch):
    monkeypatch.chdir(real.sqlite_folder)
    for kind in ("postgres", "redshift", "mysql", "mariadb", "sqlite"):
        fields: dict[str, object] = {"database": "shop.db"}
        if kind != "sqlite":
            database = request.getfixturevalue("postgres" if kind == "redshift" else kind)
            database.set_password(USER, "first")
            fields = database.fields(USER, "first")
        real.create(kind, kind, **fields)
        url = real.snippets(kind)["url"]
        assert "first" not in url
        engine = create_engine(url.replace(f"{USER}@", f"{USER}:first@"))
        with engine.connect() as connection:
            assert connection.execute(text("SELECT 1")).scalar() == 1, kind
        engine.dispose()
