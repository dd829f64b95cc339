"""The helper process of a hop, by itself: how it ends, whom it lets in, and when it gives a line up."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import dataflow as package
from dataflow.hops import serving, ssh

LEAVES = """
from dataflow import tls
from dataflow.hops import serving
tls._MEMORY = "/nowhere/"
made = tls.Material()
print(made.path("key material"), flush=True)
serving._leave()
"""


def test_a_helper_that_ends_leaves_no_key_behind(tmp_path):
    environment = {"PYTHONPATH": str(Path(package.__file__).parent.parent), "TMPDIR": str(tmp_path), "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-c", LEAVES], env=environment, capture_output=True, text=True, check=True, timeout=60)
    assert Path(done.stdout.strip()).parent == tmp_path
    assert list(tmp_path.iterdir()) == []


def test_a_line_that_is_given_up_ends_with_its_last_way():
    aborted = []

    async def use() -> None:
        async def open_connection(host: str, port: int, encoding: None) -> tuple:
            if host == "slow":
                await asyncio.Event().wait()
            return None, SimpleNamespace(close=lambda: None)

        line = ssh._Line(SimpleNamespace(open_connection=open_connection, abort=lambda: aborted.append(1)))
        _, writer = await line.open("fast", 1)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(line.open("slow", 1), 0.01)
        line.give_up()
        assert aborted == []
        writer.close()

    asyncio.run(asyncio.wait_for(use(), 10))
    assert aborted == [1]


def test_whose_a_connection_is_is_looked_up_twice_and_else_nobodys(monkeypatch):
    writer = SimpleNamespace(get_extra_info=lambda _: ("127.0.0.1", 1))
    for found, user in ([None, None, 7], 7), ([None] * 4, serving._NOBODY):
        answers = iter(found)
        monkeypatch.setattr(serving, "_owner", lambda *_, answers=answers: next(answers))
        assert serving._user_of(writer) == user
    helper = serving._Helper({"kind": "ssh", "hop": {}, "host": "db.internal", "port": 1, "key": ""})
    answer = asyncio.run(helper._answer({"do": "keep", "within": 1}, serving._NOBODY))
    assert "/proc/net/tcp" in answer["refused"]
    assert serving._NOBODY not in helper._users


def test_a_helper_that_nobody_uses_ends(monkeypatch):
    monkeypatch.setattr(serving, "_IDLE_FOR", 0.2)
    told = {"kind": "ssh", "hop": {}, "host": "db.example.org", "port": 5432, "key": "key"}
    asyncio.run(asyncio.wait_for(serving._Helper(told).run(), 60))
    kept = serving._Helper(told)
    kept._is_kept = True
    with pytest.raises(asyncio.TimeoutError):
        asyncio.run(asyncio.wait_for(kept.run(), 0.6))
