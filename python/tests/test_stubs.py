"""The stubs tell the truth about the native module, and each mode has its type under a strict checker."""

from __future__ import annotations

import subprocess
import sys

from servers import CACHE


def _run(folder, configuration: str, program: str, *arguments: str) -> None:
    (folder / "mypy.ini").write_text(configuration)
    command = [sys.executable, "-m", program, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_native_stub_matches(tmp_path):
    # SQLAlchemy, which the native module knows nothing of, would take 7 s.
    _run(
        tmp_path, "[mypy]\n[mypy-sqlalchemy.*]\nfollow_imports = skip\n",
        "mypy.stubtest", "--mypy-config-file", "mypy.ini", "dataflow._native",
    )  # fmt: skip


USE = """
from sqlalchemy import URL, Engine
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import Session
from dataflow.dataflow import Dataflow

df = Dataflow(url="https://a", token="t", workspace="w", workflow="f")
session: Session = df.connection("a")
engine: Engine = df.connection("a", "engine")
url: URL = df.connection("a", mode="url")
values: dict[str, object] = df.connection("a", mode="dict")
async_engine: AsyncEngine = df.connection("a", mode="async_engine")
async_session: AsyncSession = df.connection("a", mode="async_session")
"""


def test_each_mode_has_its_type(tmp_path):
    (tmp_path / "use.py").write_text(USE)
    _run(tmp_path, f"[mypy]\nstrict = true\ncache_dir = {CACHE}/mypy\n", "mypy", "use.py")
