"""A test of a connection where the program runs: by the program `dataflow`, which has the same connectors as the server."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import Any, NamedTuple

from dataflow.errors import DataflowError, InvalidName

BINARY = "DATAFLOW_BIN"
"""The environment variable that says where the program is, if it is not in `PATH`."""
_PATIENCE = 60.0
"""Seconds. The program gives a test ten, and the server its own time to answer."""


class Report(NamedTuple):
    """What a test came to. It is true where the connection works."""

    status: str
    """`ok`, `failed`, or `unproven`: reached, but nothing there checks the password."""
    duration_ms: float
    server_version: str | None
    """`PostgreSQL 15.18`, where the server tells it."""
    error: str | None
    """What went wrong and what to do, where it failed."""
    cause: str | None
    """The same in one stable word: `credentials_refused`."""
    steps: list[dict[str, Any]]
    """Each step, what it came to and how long it took."""

    def __bool__(self) -> bool:
        return self.status == "ok"


_SETTINGS = ("DATAFLOW_URL", "DATAFLOW_TOKEN", "DATAFLOW_WORKSPACE", "DATAFLOW_WORKFLOW")


def test(conn_id: str, given: tuple[str | None, ...]) -> Report:
    """Runs `dataflow connections test CONN_ID --here` with what was `given` for each setting, else as this process has it."""
    if conn_id.startswith("-"):
        raise InvalidName(f"“{conn_id}” is no name of a connection: it begins with a letter or a digit.")
    command = [_binary(), "connections", "test", conn_id, "--here", "--output", "json"]
    environment = {**os.environ, **{name: value for name, value in zip(_SETTINGS, given) if value is not None}}
    try:
        ran = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        raise DataflowError(f"The test of “{conn_id}” did not end within {_PATIENCE:.0f} seconds.") from None
    except OSError as error:
        raise DataflowError(f"The program {command[0]} does not start: {error.strerror}.") from None
    try:
        told = json.loads(ran.stdout)
    except ValueError:
        said = ran.stderr.decode("utf-8", "replace").strip()
        raise DataflowError(said or f"The program {command[0]} ended with status {ran.returncode} and said nothing.") from None
    failure = told.get("error")
    return Report(
        status=told["status"],
        duration_ms=told["duration_ms"],
        server_version=told.get("server_version"),
        error=f"{failure['message']} {failure['hint']}" if failure else None,
        cause=failure["code"] if failure else None,
        steps=told["steps"],
    )


def _binary() -> str:
    named = os.environ.get(BINARY)
    found = named or shutil.which("dataflow")
    if found is None:
        raise DataflowError(
            "A test from here is run by the program “dataflow”, which is not in PATH. "
            f"Put it there, or say in {BINARY} where it is."
        )
    return found
