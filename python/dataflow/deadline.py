"""The longest that opening a database session may take, whatever its server does.

The time-outs of the C libraries bound each wait and not the whole. MariaDB's waits anew for each byte of a trickle; libpq hashed
a SCRAM challenge of 20 million rounds for 18 s; and a resolver takes its time with each of its name servers. None of them can be
interrupted, so they work in a thread of their own, which is left behind when the time is up and closes what it may still open.
"""

from __future__ import annotations

import contextlib
import threading
from typing import Any, Callable

from dataflow import fork

GRACE = 0.2
"""Seconds that a driver has beyond its own time-out, to say in its own words that it is over."""


class TooSlow(Exception):
    """The time is up."""


class _Attempt:
    def __init__(self, connect: Callable[[], Any]) -> None:
        self._connect = connect
        self._changed = threading.Lock()
        self._is_given_up = False
        self.ended = threading.Event()
        self.connection: Any = None
        self.error: BaseException | None = None

    def run(self, ends: bool = False) -> None:
        """With `ends` it is all that this thread does."""
        connection, error = None, None
        try:
            with fork.no_fork():
                try:
                    connection = self._connect()
                finally:
                    if ends:
                        fork.this_thread_ends()
        except BaseException as caught:
            error = caught
        del self._connect  # it knows the password
        with self._changed:
            if not self._is_given_up:
                self.connection, self.error = connection, error
                self.ended.set()
                return
        if connection is not None:
            with contextlib.suppress(Exception):
                connection.close()

    def give_up(self) -> None:
        with self._changed:
            self._is_given_up = True
            # It ended while the caller was losing patience, or was interrupted.
            connection, self.connection = self.connection, None
        if connection is not None:
            connection.close()


def within(seconds: float, connect: Callable[[], Any]) -> Any:
    """What `connect` opens, or `TooSlow`. No process forks meanwhile: see `fork.no_fork`."""
    attempt = _Attempt(connect)
    is_over = False
    try:
        _start(attempt)
        is_over = attempt.ended.wait(seconds)
    finally:
        if not is_over:
            attempt.give_up()
    if not is_over:
        raise TooSlow
    if attempt.error is not None:
        raise attempt.error
    return attempt.connection


def _start(attempt: _Attempt) -> None:
    try:
        threading.Thread(target=attempt.run, args=(True,), name="dataflow-connect", daemon=True).start()
    except RuntimeError:
        # The interpreter is ending, and starts no thread any more.
        attempt.run()
