"""The script that must run as it stands, and what a program meets first."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import dataflow as package
from dataflow import (
    AccessDenied,
    ConnectionNotFound,
    Dataflow,
    DataflowError,
    InvalidName,
    NotSignedIn,
    ServerUnavailable,
    TokenRefused,
    UnsupportedConnection,
    _native,
)
from fake_dataflow import TOKEN

SCRIPT = """
from dataflow.dataflow import Dataflow
from sqlalchemy import text

dataflow = Dataflow()
db = dataflow.connection("conn_id")
result = db.execute(text("SELECT 1"))
row = result.fetchone()
print(row)
"""


def run(script: str, **environment: str) -> str:
    """What a program of its own prints; it must succeed."""
    root = str(Path(package.__file__).parent.parent)
    environment = {"PYTHONPATH": root, "PATH": "/usr/bin:/bin", "HOME": "/nonexistent", **environment}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_script_runs_as_it_stands(server, sqlite_folder):
    server.put("conn_id", "sqlite", database="shop.db")
    said = run(SCRIPT, DATAFLOW_URL=server.url, DATAFLOW_TOKEN=TOKEN, DATAFLOW_SQLITE_DIR=str(sqlite_folder))
    assert said == "(1,)\n"
    assert server.requests[0]["headers"]["dataflow-workflow"].startswith('kind=script; name="interactive"; host="')


def test_importing_is_cheap():
    """Under 45 ms where SQLAlchemy takes 150. As a ratio, since a busy machine takes longer for both."""
    script = """
import sys, time
began = time.process_time()
from dataflow.dataflow import Dataflow
ours = time.process_time() - began
assert "sqlalchemy" not in sys.modules and "asyncio" not in sys.modules
began = time.process_time()
import sqlalchemy
print(ours / (time.process_time() - began))
"""
    assert min(float(run(script)) for _ in range(5)) < 45 / 150


def test_without_a_sign_in_the_error_names_both_ways():
    with pytest.raises(NotSignedIn) as caught:
        Dataflow()
    for way in ("DATAFLOW_URL", "DATAFLOW_TOKEN", "dataflow login --url URL"):
        assert way in str(caught.value)


def test_the_file_beside_a_virtual_environment_is_found(server, tmp_path, monkeypatch):
    monkeypatch.setattr("dataflow.dataflow._discovery", _native.Discovery(tmp_path))
    file = tmp_path / "dataflow.toml"
    file.write_text(f'url = "{server.url}"\ntoken = "{TOKEN}"\n')
    file.chmod(0o600)
    assert server.url in repr(Dataflow())


def test_what_is_given_comes_first(server, monkeypatch):
    monkeypatch.setenv("DATAFLOW_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("DATAFLOW_TOKEN", "other")
    monkeypatch.setenv("DATAFLOW_WORKSPACE", "elsewhere")
    server.put("shop", "http")
    assert Dataflow(server.url, TOKEN, "default").connection("shop", "dict")["conn_type"] == "http"


def test_every_refusal_has_its_class(dataflow, server):
    for name, kind in (("absent", ConnectionNotFound), ("forbidden", AccessDenied), ("no name", InvalidName)):
        with pytest.raises(kind) as caught:
            dataflow.connection(name)
        assert isinstance(caught.value, DataflowError)
        assert isinstance(caught.value, RuntimeError)
    with pytest.raises(TokenRefused, match="dataflow login"):
        Dataflow(token="unknown").connection("sales")
    server.away_with = 500
    with pytest.raises(ServerUnavailable, match="status 500"):
        dataflow.connection("sales")


def test_an_unknown_mode_and_a_type_without_a_dialect_say_what_to_do(dataflow, server):
    server.put("hook", "http", host="example.org", password="planted", extra={"a": 1})
    with pytest.raises(DataflowError, match="The modes are"):
        dataflow.connection("hook", mode="sesion")
    for mode in ("session", "engine"):
        with pytest.raises(UnsupportedConnection, match='Use mode="dict" and a library for HTTP'):
            dataflow.connection("hook", mode=mode)
    values = dataflow.connection("hook", mode="dict")
    assert (values["host"], values["password"], values["extra"]) == ("example.org", "planted", '{"a": 1}')


@pytest.mark.parametrize(
    ("kind", "fields", "url"),
    [
        ("http", {"host": "api.example.org", "username": "u", "extra": {"path": "/v1/"}}, "https://u:p%40%2F@api.example.org/v1"),
        ("http", {"host": "::1", "port": 8080, "tls": {"mode": "disable"}}, "http://:p%40%2F@[::1]:8080"),
        ("elasticsearch", {"host": "h", "port": 9200, "database": "orders"}, "elasticsearch://:p%40%2F@h:9200/orders"),
        ("redis", {"host": "h", "port": 6379, "database": 3}, "redis://:p%40%2F@h:6379/3"),
    ],
)
def test_what_sqlalchemy_does_not_open_comes_as_a_url(dataflow, server, kind, fields, url):
    server.put("service", kind, password="p@/", **fields)
    made = dataflow.connection("service", mode="url")
    assert made.render_as_string(hide_password=False) == url
    assert "p%40" not in str(made)
    # A number comes as text, too.
    number = fields.get("database")
    assert dataflow.connection("service", mode="dict")["schemas"] == (None if number is None else str(number))
