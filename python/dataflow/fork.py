"""What a forked child must do before it touches anything of its parent's.

A child inherits the parent's database sockets. Whatever closes one in the child says goodbye on it to the server, in the
middle of the parent's session; mysqlclient does so when an object is merely collected. So the child first puts `/dev/null` in
the place of each socket, and then forgets the objects without closing them.

And what a fork must wait for. A library that another thread is in at that moment may hold a lock of its own, which nobody
gives back in the child: the OpenSSL inside psycopg's wheel hung children that way, in `CRYPTO_THREAD_write_lock`. It is held
while a connection is opened, so no fork happens then; and once more while a thread ends that has opened one, after the last
of its Python code has run. Such threads are waited for until the system no longer has them.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Callable

_renewals: list[Callable[[], None]] = []
_sockets: weakref.WeakKeyDictionary[Any, tuple[int, int, int]] = weakref.WeakKeyDictionary()
"""Driver connection -> file descriptor, device and inode of its socket."""


def in_child(renew: Callable[[], None]) -> None:
    """Calls `renew` in each forked child, before any other code of the child."""
    _renewals.append(renew)


def record_socket(driver_connection: Any) -> int | None:
    """Remembers the connection's socket for as long as the connection lives. Returns its descriptor, if the driver shows it."""
    descriptor = _descriptor(driver_connection)
    if descriptor is None or descriptor <= 2:
        return None
    status = os.fstat(descriptor)
    # Of a driver that is not known here a connection may be such that it cannot be remembered.
    with suppress(TypeError):
        _sockets[driver_connection] = descriptor, status.st_dev, status.st_ino
    return descriptor


_WAYS: tuple[Callable[[Any], Any], ...] = (
    lambda connection: connection.fileno(),
    lambda connection: connection._sock.fileno(),
    lambda connection: connection.sock.fileno(),
    lambda connection: connection._transport.get_extra_info("socket").fileno(),
    lambda connection: connection._writer.get_extra_info("socket").fileno(),
)


def _descriptor(driver_connection: Any) -> int | None:
    for way in _WAYS:
        try:
            return int(way(driver_connection))
        except Exception:  # noqa: S112 - each driver has one of these ways
            continue
    return None


def _silence_sockets() -> None:
    null = os.open(os.devnull, os.O_RDWR)
    try:
        for descriptor, device, inode in list(_sockets.values()):
            try:
                status = os.fstat(descriptor)
            except OSError:
                continue
            # Still that socket, and not another file that was given its number.
            if (status.st_dev, status.st_ino) == (device, inode):
                os.dup2(null, descriptor, inheritable=False)
    finally:
        os.close(null)


class _Gate:
    """Lets any number of threads open connections, or one fork."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside: dict[int, int] = {}
        self._ending: set[int] = set()
        self._forks = 0

    @contextmanager
    def no_fork(self) -> Iterator[None]:
        me = threading.get_ident()
        with self._changed:
            # A thread that is inside already may go deeper: the fork waits for it.
            while self._forks and me not in self._inside:
                self._changed.wait()
            self._inside[me] = self._inside.get(me, 0) + 1
        try:
            yield
        finally:
            with self._changed:
                self._leave(me)

    def _leave(self, me: int) -> None:
        deeper = self._inside[me] - 1
        if deeper:
            self._inside[me] = deeper
        else:
            del self._inside[me]
            self._changed.notify_all()

    def this_thread_ends(self) -> None:
        with self._changed:
            if len(self._ending) >= _MANY:
                self._ending = {thread for thread in self._ending if _is_there(thread)}
            self._ending.add(threading.get_native_id())

    def close(self) -> None:
        me = threading.get_ident()
        with self._changed:
            self._forks += 1
            self._changed.wait_for(lambda: not (self._inside.keys() - {me}), _PATIENCE)
            ending, self._ending = self._ending, set()
        until = time.monotonic() + _ENDING
        while any(map(_is_there, ending)) and time.monotonic() < until:
            time.sleep(0.001)

    def open(self) -> None:
        with self._changed:
            self._forks -= 1
            self._changed.notify_all()

    def renew(self) -> None:
        """In the child: the one thread that lives on keeps its place, and the others' are gone with them."""
        me = threading.get_ident()
        self._changed = threading.Condition()
        self._inside = {me: self._inside[me]} if me in self._inside else {}
        self._ending = set()
        self._forks = 0


def _is_there(thread: int) -> bool:
    """Whether the system still has a thread of this process; where it does not tell, it is not waited for."""
    return os.path.exists(f"/proc/self/task/{thread}")


_MANY = 64
_ENDING = 1.0
"""Seconds that a fork waits for threads that end: they have nothing left to do but that."""
_PATIENCE = 3.0
"""Seconds that a fork waits for connections that are being opened. A host that does not answer keeps a connect waiting longer,
but in a system call and not under a lock, so the fork goes on then."""

_gate = _Gate()

no_fork = _gate.no_fork
"""A context in which this process is not forked by another thread, for as long as a fork is ready to wait."""

this_thread_ends = _gate.this_thread_ends
"""For a thread that has opened a connection, is still in `no_fork` and has nothing left to do: no fork until it is gone."""


def _after_fork() -> None:
    _gate.renew()
    _silence_sockets()
    for renew in _renewals:
        renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_gate.close, after_in_parent=_gate.open, after_in_child=_after_fork)
