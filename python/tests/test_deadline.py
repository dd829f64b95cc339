"""Opening a database session ends in time, and what is opened too late is closed."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from dataflow import deadline
from using import until


class Opened:
    is_closed = False

    def close(self) -> None:
        self.is_closed = True


def test_what_is_opened_in_time_is_handed_over():
    opened = Opened()
    assert deadline.within(60, lambda: opened) is opened
    assert not opened.is_closed


@pytest.mark.parametrize("raised", [ValueError("no"), KeyboardInterrupt()])
def test_an_error_is_the_callers(raised):
    def fails():
        raise raised

    with pytest.raises(type(raised)) as caught:
        deadline.within(60, fails)
    assert caught.value is raised


def test_what_is_opened_too_late_is_closed():
    opened, answers = Opened(), threading.Event()

    def slowly():
        answers.wait(60)
        return opened

    with pytest.raises(deadline.TooSlow):
        deadline.within(0.05, slowly)
    assert not opened.is_closed
    answers.set()
    until("it is closed", lambda: opened.is_closed)


def test_what_is_opened_after_an_interrupt_is_closed(monkeypatch):
    opened = Opened()

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Event, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        deadline.within(60, lambda: opened)
    monkeypatch.undo()
    until("it is closed", lambda: opened.is_closed)


def test_a_connection_can_be_opened_while_the_interpreter_ends():
    script = "import atexit\nfrom dataflow import deadline\natexit.register(lambda: print(deadline.within(9, lambda: 'opened')))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert (done.stdout, done.returncode) == ("opened\n", 0), done.stderr
