"""`Dataflow().test("sales")`: the server's own connector, where the program runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dataflow.dataflow import Dataflow
from dataflow.errors import DataflowError, InvalidName
from postgres_server import Postgres
from real_server import BINARY, RealDataflow

PASSWORD = "planted from here"


@pytest.fixture
def dataflow(real: RealDataflow, monkeypatch: pytest.MonkeyPatch) -> Dataflow:
    monkeypatch.setenv("DATAFLOW_BIN", BINARY)
    return Dataflow(real.url, real.token)


def test_what_works_and_what_does_not_is_told_and_kept(dataflow: Dataflow, real: RealDataflow, postgres: Postgres) -> None:
    postgres.execute(f"CREATE ROLE here LOGIN PASSWORD '{PASSWORD}'")
    real.create("right", "postgres", **postgres.fields("here", PASSWORD))
    real.create("wrong", "postgres", **postgres.fields("here", "planted and wrong"))
    right = dataflow.test("right")
    assert right.status == "ok", right
    assert right
    assert str(right.server_version).startswith("PostgreSQL"), right
    assert [step["status"] for step in right.steps].count("ok") >= 4
    assert right.error is None
    wrong = dataflow.test("wrong")
    assert wrong.cause == "credentials_refused", wrong
    assert not wrong
    assert wrong.error is not None
    assert "planted" not in repr(wrong)
    checks = real.checks("wrong")
    assert checks[0]["report"]["from"] == "client", checks


def test_who_has_no_such_connection_or_no_program_is_told_so(
    dataflow: Dataflow, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(DataflowError, match="absent"):
        dataflow.test("absent")
    with pytest.raises(InvalidName):
        dataflow.test("--help")
    monkeypatch.setenv("DATAFLOW_BIN", str(tmp_path / "nothing"))
    with pytest.raises(DataflowError, match="does not start"):
        dataflow.test("right")
    monkeypatch.delenv("DATAFLOW_BIN")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataflowError, match="not in PATH"):
        dataflow.test("right")
    program = tmp_path / "dataflow"
    program.write_text("#!/bin/sh\nexit 3\n")
    program.chmod(0o700)
    monkeypatch.setenv("PATH", os.pathsep.join([str(tmp_path), "/bin", "/usr/bin"]))
    with pytest.raises(DataflowError, match="status 3"):
        dataflow.test("right")
