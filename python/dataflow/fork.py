"""What a forked child must do before it touches anything of its parent's.

A child inherits the parent's database sockets. Whatever closes one in the child says goodbye on it to the server, in the
middle of the parent's session; mysqlclient does so when an object is merely collected. So the child first puts `/dev/null` in
the place of each socket, and then forgets the objects without closing them.
"""

from __future__ import annotations

import os
import weakref
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
    _sockets[driver_connection] = descriptor, status.st_dev, status.st_ino
    return descriptor


_WAYS: tuple[Callable[[Any], Any], ...] = (
    lambda connection: connection.fileno(),
    lambda connection: connection._sock.fileno(),
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


def _after_fork() -> None:
    _silence_sockets()
    for renew in _renewals:
        renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
