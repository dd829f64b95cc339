"""One engine for each name, and what makes it follow the name.

The engine's URL holds no password. Each new database session takes the credentials of that moment; a pooled one that was opened
under an older fingerprint is replaced when it is next checked out; a name that was deleted fails there too.
"""

from __future__ import annotations

import asyncio
import select
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, Callable, TypeVar

from sqlalchemy import create_engine, event, exc
from sqlalchemy.engine import URL, Engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import QueuePool
from sqlalchemy.util import await_only

from dataflow import deadline, drivers, fork, hops
from dataflow.drivers.base import CONNECT_TIMEOUT, Abandons, Driver, Machine, ShowsItself
from dataflow.errors import DataflowError, DriverUnsafe, HopFailed, ServerUnavailable, UnsupportedConnection
from dataflow.export import address
from dataflow.scrub import forget_frames, operational_error, scrub
from dataflow.source import Source
from dataflow.tls import Material

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from dataflow._native import Credentials
    from dataflow.drivers.base import Way

_POOL = {"pool_size": 5, "max_overflow": -1, "pool_use_lifo": True, "pool_recycle": 1800}
"""200 sessions opened and kept leave 5 idle connections; SQLAlchemy's own limit blocks at the 16th."""

_FINGERPRINT = "dataflow.fingerprint"
_DESCRIPTOR = "dataflow.descriptor"
_IDLE_SINCE = "dataflow.idle_since"

_ASK_AFTER_IDLE = 30.0
"""Seconds in the pool after which a connection is asked whether it still works. Before that, its socket is looked at: a server
that ends a connection has written to it. The look costs 2 µs, the question a round trip."""

_CERTIFICATES = 12
"""Files with certificates and keys that one engine keeps: a connection has three at most, and what it was before its last changes
may still be connecting."""

# What SQLAlchemy took from the engine's URL. The name may stand for another place by now.
_PLACE = ("host", "port", "user", "password", "database", "dbname", "db", "passwd")


_Answer = TypeVar("_Answer")


class _Follower:
    """Makes one engine follow its name, by listening to what its pool does."""

    def __init__(self, source: Source, driver: Driver, credentials: Credentials) -> None:
        self._source = source
        self._driver = driver
        self._kind = drivers.kind(credentials)
        self._machine = Machine(Material(_CERTIFICATES), source.sqlite_folder, self._renew)

    def follow(self, engine: Engine) -> None:
        """Begins to listen."""
        self._sqlalchemy = engine.dialect
        event.listen(engine, "do_connect", self._do_connect)
        event.listen(engine, "checkout", self._check_out)
        if self._driver.has_socket:
            event.listen(engine, "connect", self._connected)
            event.listen(engine, "checkin", self._check_in)

    def _do_connect(self, dialect: Any, record: Any, positional: Any, arguments: dict[str, Any]) -> Any:
        connection, error = self._attempt(dialect, record, positional, arguments)
        if error is not None:
            # Here, where no frame knows the password.
            raise error
        return connection

    def _attempt(self, dialect: Any, record: Any, positional: Any, arguments: dict[str, Any]) -> tuple[Any, BaseException | None]:
        """One try, and a second if the database refuses and the name stands for something else by now.

        The error's text is not looked at: libpq gives no code for a refused password.
        """
        credentials = self._current()
        connection, error = self._open(credentials, dialect, record, positional, arguments)
        if error is None or (isinstance(error, DataflowError) and not isinstance(error, HopFailed)):
            return connection, error
        if not isinstance(error, Exception):
            return None, error  # an interrupt or a cancellation
        try:
            again = self._wait_for(self._source.refresh)
        except ServerUnavailable:
            return None, error
        except DataflowError as said:
            return None, said
        if again.fingerprint == credentials.fingerprint:
            return None, error
        return self._open(self._same_dialect(again), dialect, record, positional, arguments)

    def _open(
        self, credentials: Credentials, dialect: Any, record: Any, positional: Any, arguments: dict[str, Any]
    ) -> tuple[Any, BaseException | None]:
        kept = {name: value for name, value in arguments.items() if name not in _PLACE}
        refusal = self._driver.refusal(credentials)
        if refusal is not None:
            return None, DriverUnsafe(f"“{credentials.name}” cannot be opened. {refusal}")
        limit = credentials.integer("extra.connect_timeout") or CONNECT_TIMEOUT
        try:
            machine = self._machine._replace(way=self._lead(credentials))
        except BaseException as error:
            return None, forget_frames(error)
        try:
            given = self._driver.arguments(credentials, machine)
            connection = self._connect(dialect, positional, {**kept, **given}, limit)
        except deadline.TooSlow:
            if isinstance(self._driver, Abandons):
                self._driver.abandon(given)
            return None, operational_error(dialect.loaded_dbapi, f"connecting took longer than {limit} s")
        except BaseException as error:
            # Whatever it is, its traceback leads through frames that know the password; an interrupt's too.
            return None, scrub(error, dialect.loaded_dbapi, *hops.secrets_of(credentials))
        if record is not None:
            record.info[_FINGERPRINT] = credentials.fingerprint
        return connection, None

    def _lead(self, credentials: Credentials) -> Way | None:
        """Where the driver connects, if the connection goes through another one."""
        if credentials.hop is None or not self._driver.is_remote:
            return None
        return self._wait_for(lambda: hops.lead(self._source.key, credentials))

    def _connect(self, dialect: Any, positional: Any, arguments: dict[str, Any], limit: float) -> Any:
        if self._driver.is_async:
            # Its loop's thread goes on to other tasks meanwhile, and a child has no use for the loop.
            return self._driver.connect(dialect, positional, arguments)
        if not self._driver.is_remote:
            with fork.no_fork():
                return self._driver.connect(dialect, positional, arguments)
        return deadline.within(limit + deadline.GRACE, lambda: self._driver.connect(dialect, positional, arguments))

    def _connected(self, connection: Any, record: Any) -> None:
        record.info[_DESCRIPTOR] = fork.record_socket(getattr(connection, "driver_connection", None) or connection)

    def _check_in(self, _connection: Any, record: Any) -> None:
        record.info[_IDLE_SINCE] = time.monotonic()

    def _check_out(self, connection: Any, record: Any, _proxy: Any) -> None:
        opened_under = record.info.get(_FINGERPRINT, "")
        # What is of the same fingerprint is of the same dialect.
        if not self._source.is_current(opened_under) and self._current().fingerprint != opened_under:
            raise exc.DisconnectionError("the connection's credentials have changed")
        idle_since = record.info.get(_IDLE_SINCE)
        if idle_since is None or not _is_doubtful(record.info.get(_DESCRIPTOR), idle_since):
            return
        if not self._works(connection):
            raise exc.InvalidatePoolError("the server has ended the connection")

    def _works(self, connection: Any) -> bool:
        dialect: Any = self._sqlalchemy
        try:
            return bool(dialect.do_ping(connection))
        except dialect.loaded_dbapi.Error:
            return False

    def _current(self) -> Credentials:
        return self._same_dialect(self._source.fresh() or self._wait_for(self._source.credentials))

    def _renew(self, refused: str) -> Credentials | None:
        """For a driver whose pooled connection was refused: what the name stands for now, if it is something else."""
        try:
            again = self._wait_for(self._source.refresh)
        except DataflowError:
            return None
        again = drivers.settled(again)
        return again if again.fingerprint != refused and drivers.kind(again) == self._kind else None

    def _wait_for(self, ask: Callable[[], _Answer]) -> _Answer:
        """Asks somebody else; not on the event loop, whose other tasks would stand still meanwhile."""
        if not self._driver.is_async:
            return ask()
        answer: _Answer = await_only(asyncio.get_running_loop().run_in_executor(None, ask))
        return answer

    def _same_dialect(self, credentials: Credentials) -> Credentials:
        if drivers.kind(credentials) != self._kind:
            raise UnsupportedConnection(
                f"“{credentials.name}” is of the type {credentials.type} now, which another dialect than this engine's opens. "
                "Call connection() again."
            )
        return drivers.settled(credentials)


def _is_doubtful(descriptor: int | None, idle_since: float) -> bool:
    if descriptor is None or time.monotonic() - idle_since > _ASK_AFTER_IDLE or not hasattr(select, "poll"):
        return True
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


class NamedEngine:
    """The engine of a name, and its sessions."""

    def __init__(self, source: Source, driver: Driver, credentials: Credentials) -> None:
        # Named, since dialects of files choose another one by the look of the name.
        self.engine = create_engine(_url(driver, credentials), poolclass=QueuePool, **_POOL)
        _Follower(source, driver, credentials).follow(self.engine)

    def session(self) -> Session:
        """A new session. It takes a connection when it is first used."""
        return Session(self.engine)

    def forget_parent(self) -> None:
        """In a forked child: leaves the parent's connections untouched and begins with an empty pool."""
        _abandoned.append(self.engine.pool)
        self.engine.dispose(close=False)


class AsyncNamedEngine:
    """The same for asyncio: it belongs to one event loop, and so does not survive a fork."""

    def __init__(self, source: Source, driver: Driver, credentials: Credentials) -> None:
        from sqlalchemy.ext.asyncio import create_async_engine

        self.engine = create_async_engine(_url(driver, credentials), **_POOL)
        _Follower(source, driver, credentials).follow(self.engine.sync_engine)

    def session(self) -> AsyncSession:
        """A new session. It takes a connection when it is first used."""
        from sqlalchemy.ext.asyncio import AsyncSession

        return AsyncSession(self.engine)


def _url(driver: Driver, credentials: Credentials) -> URL:
    """Where the name leads now, for a person who prints the engine. Without the password."""
    if isinstance(driver, ShowsItself):
        shown: URL = driver.shown_url(credentials)
        return shown
    credentials = drivers.settled(credentials)
    return URL.create(driver.name, **address(credentials))


class _Registry:
    """The engines of this process: one for each client, name and dialect, and for async ones each event loop."""

    def __init__(self) -> None:
        self._sync: dict[tuple[object, ...], NamedEngine] = {}
        self._last: dict[tuple[int, str], tuple[str, NamedEngine]] = {}
        """By source: the fingerprint that an engine was last chosen for. What is of the same fingerprint has the same engine."""
        self._async: weakref.WeakKeyDictionary[Any, dict[tuple[object, ...], AsyncNamedEngine]]
        self._async = weakref.WeakKeyDictionary()
        self._lock = threading.Lock()
        fork.in_child(self._renew)

    def _renew(self) -> None:
        self._lock = threading.Lock()
        # An event loop does not survive a fork.
        self._async = weakref.WeakKeyDictionary()
        for engine in self._sync.values():
            engine.forget_parent()

    def sync(self, source: Source) -> NamedEngine:
        fingerprint, engine = self._last.get(source.key, ("", None))
        if engine is not None and source.is_told(fingerprint):
            return engine
        credentials = source.credentials()
        driver = drivers.choose(credentials, is_async=False)
        key = (*source.key, driver.name)
        engine = self._sync.get(key)
        if engine is None:
            with self._lock:
                engine = self._sync.get(key)
                if engine is None:
                    engine = self._sync[key] = NamedEngine(source, driver, credentials)
        self._last[source.key] = credentials.fingerprint, engine
        return engine

    def for_running_loop(self, source: Source) -> AsyncNamedEngine:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise UnsupportedConnection(
                "An async connection belongs to a running event loop, and none runs here. Call connection() inside a coroutine."
            ) from None
        credentials = source.credentials()
        driver = drivers.choose(credentials, is_async=True)
        key = (*source.key, driver.name)
        with self._lock:
            engines = self._async.setdefault(loop, {})
            engine = engines.get(key)
            if engine is None:
                engine = engines[key] = AsyncNamedEngine(source, driver, credentials)
        return engine


_registry = _Registry()
_abandoned: list[Any] = []
"""Pools of a parent process, kept so that none of their connections is collected and closed in the child."""


def get(source: Source) -> NamedEngine:
    """The engine of a name, made when it is first asked for."""
    return _registry.sync(source)


def get_async(source: Source) -> AsyncNamedEngine:
    """The engine of a name for the running event loop."""
    return _registry.for_running_loop(source)
