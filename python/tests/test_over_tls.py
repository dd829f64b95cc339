"""A Dataflow server with a certificate of its own: programs trust it as this machine, or `SSL_CERT_FILE`, does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import dataflow as package
from certificates import Authority
from real_server import RealDataflow
from test_script import SCRIPT


@pytest.fixture
def authority() -> Authority:
    return Authority.make("Test authority")


@pytest.fixture
def real(tmp_path: Path, sqlite_folder: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Iterator[RealDataflow]:
    trusted = tmp_path / "authority.pem"
    trusted.write_text(authority.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    started = RealDataflow(tmp_path, sqlite_folder, authority.issue("127.0.0.1"))
    yield started
    started.end()


def test_the_script_runs_where_the_certificate_is_trusted(real, tmp_path):
    assert real.url.startswith("https://")
    real.create("conn_id", "sqlite", database="shop.db")
    environment = {
        "PYTHONPATH": str(Path(package.__file__).parent.parent),
        "PATH": "/usr/bin:/bin",
        "HOME": "/nonexistent",
        "DATAFLOW_URL": real.url,
        "DATAFLOW_TOKEN": real.token,
        "DATAFLOW_SQLITE_DIR": str(real.sqlite_folder),
    }

    def run(**more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", SCRIPT]
        return subprocess.run(command, env={**environment, **more}, capture_output=True, text=True, timeout=60, check=False)

    done = run(SSL_CERT_FILE=str(tmp_path / "authority.pem"))
    assert (done.stdout, done.returncode) == ("(1,)\n", 0), done.stderr

    (tmp_path / "other.pem").write_text(Authority.make("Test authority").pem)
    for elsewhere in [{"SSL_CERT_FILE": str(tmp_path / "other.pem")}, {}]:
        refused = run(**elsewhere)
        last = refused.stderr.strip().splitlines()[-1]
        assert refused.returncode != 0
        assert last.startswith(f"dataflow.errors.ServerUnavailable: The certificate of {real.url} is not accepted: "), last
        assert "SSL_CERT_FILE" in last, last
        assert real.token not in refused.stderr
