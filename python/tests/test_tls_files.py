"""Certificates and keys on the disk, where the system has no files in memory: private while they are used, and then gone."""

from __future__ import annotations

import gc
import os

import pytest

from dataflow import tls
from fake_dataflow import TOKEN
from test_script import run

WITHOUT_MEMORY_FILES = """
import multiprocessing, os, sys, time
if hasattr(os, "memfd_create"):
    del os.memfd_create
from dataflow import Dataflow
from sqlalchemy import text

dataflow, folder = Dataflow(), os.environ["TMPDIR"]

def use(name):
    with dataflow.connection(name) as session:
        assert session.execute(text("SELECT 1")).scalar() == 1

def files():
    found = {name: os.stat(f"{folder}/{name}").st_mode & 0o777 for name in os.listdir(folder)}
    assert set(found.values()) == {0o600}, found
    return set(found)

use("secure")
of_a_url = dataflow.connection("secure", "url").query["sslrootcert"]
own = files()
assert len(own) == 2 and os.path.basename(of_a_url) in own

def child():
    use("secure")
    use("other")
    assert own < files()
"""

CHILDREN = """
process = multiprocessing.get_context("fork").Process(target=child)
process.start()
process.join()
assert process.exitcode == 0
pid = os.fork()
if pid == 0:
    child()
    sys.exit()
assert os.waitpid(pid, 0)[1] == 0
assert files() == own
use("secure")
"""

ORPHAN = """
if os.fork():
    sys.exit()
deadline = time.monotonic() + 30
while own & set(os.listdir(folder)):
    assert time.monotonic() < deadline
    time.sleep(0.01)
use("secure")
print(len(files()))
"""


@pytest.mark.parametrize("has_memory_files", [True, False])
def test_they_are_private_and_go_with_their_owner(monkeypatch, tmp_path, has_memory_files):
    monkeypatch.setattr(tls.tempfile, "tempdir", str(tmp_path))
    if not has_memory_files:
        monkeypatch.delattr(os, "memfd_create", raising=False)
    before = set(os.listdir("/proc/self/fd"))
    material = tls.Material()
    path = material.path("-----BEGIN PRIVATE KEY-----")
    assert material.path("-----BEGIN PRIVATE KEY-----") == path
    with open(path) as file:
        assert file.read() == "-----BEGIN PRIVATE KEY-----"
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == ([] if has_memory_files else [tmp_path / os.path.basename(path)])
    del material
    gc.collect()
    assert list(tmp_path.iterdir()) == []
    assert set(os.listdir("/proc/self/fd")) <= before


@pytest.mark.parametrize(("program", "said"), [(CHILDREN, ""), (ORPHAN, "1\n")], ids=["children", "orphan"])
def test_they_live_as_long_as_the_process_that_made_them(server, postgres, tmp_path, program, said):
    folder = tmp_path / "files"
    folder.mkdir()
    postgres.set_password("secure", "first")
    ca = postgres.authority.pem
    for name, text in (("secure", ca), ("other", f"{ca}\n")):
        transport = {"mode": "verify-full", "ca": text, "cert": None, "key": None}
        server.put(name, "postgres", **postgres.fields("secure", "first", host="localhost", tls=transport))
    script = WITHOUT_MEMORY_FILES + program
    assert run(script, DATAFLOW_URL=server.url, DATAFLOW_TOKEN=TOKEN, TMPDIR=str(folder)) == said
    assert list(folder.iterdir()) == []


def test_an_engine_that_outlives_its_certificates_keeps_the_last_few() -> None:
    material = tls.Material(3)
    first, second = material.path("one"), material.path("two")
    assert material.path("one") == first, "the same file as long as it is asked for"
    third, fourth = material.path("three"), material.path("four")
    assert [os.path.exists(path) for path in (first, second, third, fourth)] == [True, second == fourth, True, True]
    with open(material.path("one")) as kept, open(fourth) as newest:
        assert (kept.read(), newest.read()) == ("one", "four")
    with open(material.path("two")) as again:
        assert again.read() == "two"
