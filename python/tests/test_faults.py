"""Every fault between a program and its Dataflow server: who holds an answer goes on, who holds none is told in time."""

from __future__ import annotations

import os
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import faults
from certificates import Authority
from dataflow import Dataflow, ServerUnavailable
from faults import FaultProxy
from using import until

AWAY_FOR = 1800.0 if os.environ.get("DATAFLOW_SOAK") else 2.0
"""Seconds for which each server is away."""
WHOLE = 5.0
"""Seconds: the longest that any call may take, by SECURITY.md."""
ALLOWANCE = 0.5
"""Seconds more until a thread that is due runs, on a machine that does forty such things at a time."""


@pytest.fixture
def certificates(tmp_path, monkeypatch) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The server's certificate, and one of an authority that nobody trusts."""
    trusted, stranger = Authority.make("Test authority"), Authority.make("Test authority")
    contexts = []
    for name, authority in (("right", trusted), ("wrong", stranger)):
        path = tmp_path / f"{name}.pem"
        path.write_text("".join(authority.issue("127.0.0.1")))
        contexts.append(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        contexts[-1].load_cert_chain(path)
    (tmp_path / "authority.pem").write_text(trusted.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    return contexts[0], contexts[1]


class Program:
    """A program behind a proxy of its own, and the worst that it saw."""

    def __init__(self, real, fault: faults.Fault, contexts: tuple[ssl.SSLContext, ssl.SSLContext] | None = None) -> None:
        self.fault = fault
        self.name = f"{fault.__name__}{' over TLS' if contexts else ''}"
        self.proxy = FaultProxy(int(real.url.rpartition(":")[2]), contexts)
        self.dataflow = Dataflow(url=self.proxy.url, token=real.token)
        self.longest, self.calls, self.wrong = 0.0, 0, []

    def password(self, name: str = "sales") -> str:
        began = time.monotonic()
        try:
            return self.dataflow.connection(name, "dict")["password"]
        finally:
            self.calls += 1
            self.longest = max(self.longest, time.monotonic() - began)

    def go_through_it(self) -> None:
        self.proxy.break_with(self.fault)
        end = time.monotonic() + AWAY_FOR
        while time.monotonic() < end:
            try:
                if self.password() != "first":
                    self.wrong.append("another answer")
            except Exception as error:
                self.wrong.append(repr(error))
            time.sleep(0.02)

    def ask_for_what_is_not_held(self) -> None:
        try:
            self.password("unread")
            self.wrong.append("an answer came through")
        except ServerUnavailable as error:
            if "dfc_" in repr(error) or len(str(error)) < 40:
                self.wrong.append(f"cold: {error}")

    def gets(self, **passwords: str) -> bool:
        """Whether each name has that password by now; a busy machine may be late with its answer."""
        try:
            return all(self.password(name) == password for name, password in passwords.items())
        except ServerUnavailable:
            return False

    def warm_up(self) -> None:
        until(f"{self.name} has an answer", lambda: self.gets(sales="first"))
        self.longest, self.calls = 0.0, 0

    def be_mended(self) -> None:
        self.proxy.break_with(None)
        until(f"{self.name} is mended", lambda: self.gets(sales="second", unread="other"))


@pytest.mark.timeout(AWAY_FOR + 300)
def test_every_fault(real, certificates, monkeypatch, go_stale):
    monkeypatch.setenv("DATAFLOW_FRESH_FOR", "0.4")
    place = {"host": "db.example.org", "username": "analytics", "database": "d"}
    real.create("sales", "postgres", **place, password="first")
    real.create("unread", "postgres", **place, password="other")
    programs = [Program(real, fault) for fault in (*faults.HARMFUL, faults.latency)]
    programs += [Program(real, fault, certificates) for fault in faults.WITH_TLS]
    harmed = [each for each in programs if each.fault is not faults.latency]
    with ThreadPoolExecutor(len(programs)) as threads:
        list(threads.map(Program.warm_up, programs))
        list(threads.map(Program.go_through_it, programs))
        list(threads.map(Program.ask_for_what_is_not_held, harmed))
        real.edit("sales", password="second")
        list(threads.map(Program.be_mended, programs))
    for each in programs:
        each.proxy.close()
    wrong = [f"{each.name}: {each.wrong[:3]}" for each in programs if each.wrong]
    wrong += [f"{each.name}: a call took {each.longest:.1f} s" for each in programs if each.longest > WHOLE + ALLOWANCE]
    assert wrong == [], "\n".join(wrong)
    calls, longest = sum(each.calls for each in programs), max(each.longest for each in programs)
    print(
        f"promise: server away for {AWAY_FOR:.0f} s in {len(programs)} ways: 0 failures in {calls} calls, longest {longest:.1f} s"
    )


def test_many_threads_make_one_request_of_a_slow_server(server, dataflow):
    server.put("sales", "http", password="first")
    server.wait = 1.0
    together = threading.Barrier(40)

    def ask(_: int) -> str:
        together.wait(60)
        return dataflow.connection("sales", "dict")["password"]

    with ThreadPoolExecutor(40) as threads:
        assert set(threads.map(ask, range(40))) == {"first"}
    assert len(server.requests) == 1
