"""The way of a connection that goes through another one: an SSH server, an HTTP proxy or a SOCKS proxy.

A helper process leads there. There is one for each tree of forked processes, name, hop and host; it listens on loopback, and
drivers connect to it as if it were the database. A changed hop gets a helper of its own, and the one before stays until its
last connection is gone.
"""

from __future__ import annotations

import contextlib
import importlib.util
import threading
from typing import Any, Optional

from dataflow import fork, own_types
from dataflow._native import Credentials
from dataflow.drivers.base import CONNECT_TIMEOUT, Way
from dataflow.errors import DriverMissing, HopFailed, UnsupportedConnection
from dataflow.hops.process import Failed, Helper, Place
from dataflow.scrub import withheld

_PORTS = {"postgres": 5432, "mysql": 3306, "clickhouse": 8443, "trino": 8443}
_KINDS = ("ssh", "http_proxy", "socks_proxy")
_SECRETS = ("password", "tls.key", "extra.private_key", "extra.passphrase")
_RETIRE_WITHIN = 1.0

_Key = tuple[object, ...]


class _Ways:
    """The helpers of this process, and of those that it was forked from."""

    def __init__(self) -> None:
        self._helpers: dict[tuple[_Key, _Key], Helper] = {}
        self._current: dict[_Key, _Key] = {}
        self._kept: set[tuple[_Key, _Key]] = set()
        self._gone: list[Helper] = []
        self._lock = threading.Lock()
        """For what is above, and never while something is waited for: a helper that starts holds nobody up who needs another."""
        fork.in_child(self._renew)

    def _renew(self) -> None:
        self._lock = threading.Lock()
        self._gone = []
        # The thread that has one started is not in the child.
        for each, helper in list(self._helpers.items()):
            if not helper.has_begun():
                del self._helpers[each]
                helper.let_go()

    def ask(self, key: _Key, credentials: Credentials, what: str, within: float) -> tuple[str, int]:
        """Has the helper do it; its address. One that has gone is replaced, once.

        What is asked `again` is so for credentials that may be out of date, and retires no other helper.
        """
        hop, place = _hop(credentials), _place(credentials)
        identity: _Key = (hop.name, hop.base, hop.fingerprint, place)
        failure = ""
        for _ in range(2):
            helper = None
            try:
                helper, is_new = self._helper(key, identity)
                if is_new:
                    helper.begin(credentials, place)
                helper.wait()
                refused = helper.ask(what, within)
            except Failed as failed:
                failure = str(failed)
                if helper is not None:
                    self._forget(key, identity, helper)
                continue
            if refused is None:
                if what != "again":
                    self._retire_before(key, identity)
                if what == "keep":
                    self._kept.add((key, identity))
                return helper.address
            failure = refused
            break
        raise HopFailed(withheld(f"The way through “{hop.name}” failed: {failure}", secrets_of(credentials)), hop.name)

    def _helper(self, key: _Key, identity: _Key) -> tuple[Helper, bool]:
        """The one that leads there, and whether it was made for this caller, who then has it begin."""
        with self._lock:
            self._sweep()
            helper = self._helpers.get((key, identity))
        if helper is not None:
            return helper, False
        # In this order: who has the lock never waits for a fork, which waits for those who may wait for the lock.
        with fork.no_fork(), self._lock:
            helper = self._helpers.get((key, identity))
            if helper is not None:
                return helper, False
            helper = self._helpers[key, identity] = Helper()
            return helper, True

    def _retire_before(self, key: _Key, identity: _Key) -> None:
        """Has what led there before end with its last connection."""
        with self._lock:
            before, self._current[key] = self._current.get(key, identity), identity
            if before == identity or (key, before) in self._kept:
                return
            helper = self._helpers.get((key, before))
        if helper is None:
            return
        with contextlib.suppress(Failed):
            helper.ask("retire", _RETIRE_WITHIN)

    def _sweep(self) -> None:
        """Lets go of those that have ended."""
        self._gone = [each for each in self._gone if not each.is_over()]
        for each, helper in list(self._helpers.items()):
            if not helper.is_alive():
                self._drop(*each)

    def _forget(self, key: _Key, identity: _Key, helper: Helper) -> None:
        with self._lock:
            # Others may have found the same, and have another one started.
            if self._helpers.get((key, identity)) is helper:
                self._drop(key, identity)

    def _drop(self, key: _Key, identity: _Key) -> None:
        helper = self._helpers.pop((key, identity), None)
        self._kept.discard((key, identity))
        if helper is not None and not helper.is_over():
            self._gone.append(helper)


_ways = _Ways()


def lead(key: _Key, credentials: Credentials) -> Optional[Way]:  # noqa: UP045
    """Makes a way to the connection's host ready for a driver's next connect; `None` for a connection that goes there straight.

    Waits as long as the connection may take to connect, and before that for a helper that has to be started. Raises
    `HopFailed` with what the hop says.
    """
    if credentials.hop is None:
        return None
    require_known(credentials)
    within = float(credentials.integer("extra.connect_timeout") or CONNECT_TIMEOUT)

    host, port = _ways.ask(key, credentials, "prepare", within)
    return Way(host, port, lambda: _ways.ask(key, credentials, "again", within))


def keep(key: _Key, credentials: Credentials) -> tuple[str, int]:
    """The helper's address for code that connects by itself, for as long as this process lives."""
    require_known(credentials)
    return _ways.ask(key, credentials, "keep", float(CONNECT_TIMEOUT))


def require_known(credentials: Credentials) -> None:
    """Raises unless this version of the SDK, and what is installed, can go through the hop."""
    hop = credentials.hop
    if hop is None:
        return
    if hop.base not in _KINDS:
        raise UnsupportedConnection(
            f"“{credentials.name}” goes through “{hop.name}”, which is of the type {hop.type}. This version of the SDK "
            "does not know that way."
        )
    if hop.base == "ssh" and importlib.util.find_spec("asyncssh") is None:
        raise DriverMissing(
            f"“{credentials.name}” goes through the SSH server “{hop.name}”, and what leads there is not installed. "
            "Run: pip install 'dataflow-connections[ssh]'"
        )


def secrets_of(credentials: Credentials) -> list[str]:
    """What no error may tell: the secrets of the connection, and of its hop."""
    found: list[Any] = [each.expose_text(path) for each in (credentials, credentials.hop) if each for path in _SECRETS]
    template = own_types.template_of(credentials)
    if template is not None:
        found += template.secrets(own_types.read(credentials))
    return [each for each in found if each]


def _hop(credentials: Credentials) -> Credentials:
    if credentials.hop is None:
        raise UnsupportedConnection(f"“{credentials.name}” goes through no other connection now. Call connection() again.")
    return credentials.hop


def _place(credentials: Credentials) -> Place:
    host, port = credentials.expose_text("host"), credentials.integer("port") or _PORTS.get(credentials.base)
    if not host or not port:
        raise UnsupportedConnection(f"“{credentials.name}” goes through a hop, and names no host and port beyond it.")
    return Place(host, port)
