"""The door: `Dataflow().connection("sales")`. Imports SQLAlchemy only when a connection is asked for."""

from __future__ import annotations

import sys
import threading
from functools import cache
from typing import TYPE_CHECKING, Any, Callable, Literal, NamedTuple, Union, overload

from dataflow import _native, fork, workflow
from dataflow.errors import DataflowError
from dataflow.source import Source

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import URL, Engine
    from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
    from sqlalchemy.orm import Session

    from dataflow.engines import NamedEngine
    from dataflow.from_here import Report

Mode = Literal["session", "engine", "url", "dict", "async_engine", "async_session"]
Connected = Union["Session", "Engine", "URL", dict[str, Any], "AsyncEngine", "AsyncSession"]


class _Server(NamedTuple):
    """One workspace of one server, as one token sees it, and what this machine's settings say beside."""

    client: _native.Client
    workflow: workflow.Workflow | None
    sqlite_folder: Path | None


class _Servers:
    """One native client for each server, workspace and token of this process, so that all share one cache."""

    def __init__(self) -> None:
        self._servers: dict[_native.Config, _Server] = {}
        self._lock = threading.Lock()
        fork.in_child(self._renew_lock)

    def _renew_lock(self) -> None:
        self._lock = threading.Lock()

    def get(self, config: _native.Config) -> _Server:
        server = self._servers.get(config)
        if server is None:
            with self._lock:
                server = self._servers.get(config)
                if server is None:
                    server = _Server(_native.Client(config), config.workflow, config.sqlite_folder)
                    self._servers[config] = server
        return server


_servers = _Servers()
_discovery = _native.Discovery(sys.prefix)


@cache
def _get_engine() -> Callable[[Source], NamedEngine]:
    """Imports SQLAlchemy: that takes some 150 ms, which a program that opens no database need not wait for.

    Remembered, since the import statement takes 1 µs of each use of a name.
    """
    from dataflow.engines import get

    return get


class Dataflow:
    """One workspace of one Dataflow server.

    What is not given is taken from `DATAFLOW_URL`, `DATAFLOW_TOKEN`, `DATAFLOW_WORKSPACE` and `DATAFLOW_WORKFLOW`, then from
    the file that `dataflow login` wrote. A workflow is named as `pipeline:nightly load`; without one, `dataflow.workflow` finds
    out who asks. Making one is cheap, and all of the same server share one cache and one set of engines.
    """

    __slots__ = ("_config", "_given", "_server", "_workflow")

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        workspace: str | None = None,
        workflow: str | None = None,
    ) -> None:
        self._config = _discovery.discover(url, token, workspace)
        self._server = _servers.get(self._config)
        self._given = (url, token, workspace, workflow)
        self._workflow = _native.parse_workflow(workflow) if workflow else self._server.workflow

    def __repr__(self) -> str:
        return f"Dataflow(url={self._config.url!r}, workspace={self._config.workspace!r})"

    @overload
    def connection(self, conn_id: str, mode: Literal["session"] = "session") -> Session: ...
    @overload
    def connection(self, conn_id: str, mode: Literal["engine"]) -> Engine: ...
    @overload
    def connection(self, conn_id: str, mode: Literal["url"]) -> URL: ...
    @overload
    def connection(self, conn_id: str, mode: Literal["dict"]) -> dict[str, Any]: ...
    @overload
    def connection(self, conn_id: str, mode: Literal["async_engine"]) -> AsyncEngine: ...
    @overload
    def connection(self, conn_id: str, mode: Literal["async_session"]) -> AsyncSession: ...

    def connection(self, conn_id: str, mode: Mode = "session") -> Connected:
        """The database that is named `conn_id`.

        `session`: a new SQLAlchemy `Session`; close it, or use it in a `with` statement. `engine`: the engine behind it, shared
        by all who name this connection; it takes the current password for each new database session, however long it is kept.
        `async_engine` and `async_session`: the same for asyncio. `url`: an `sqlalchemy.URL` with the password, which its `str`
        hides; unlike an engine it goes out of date. `dict`: the bare values.

        Raises a `DataflowError`: among others `ConnectionNotFound`, `ConnectionDeleted`, `AccessDenied`, `ServerUnavailable`.
        """
        source = Source(self._server.client, conn_id, self._workflow or workflow.current, self._server.sqlite_folder)
        if mode == "session":
            return _get_engine()(source).session()
        from dataflow import engines, export

        if mode == "engine":
            return engines.get(source).engine
        if mode == "async_session":
            return engines.get_async(source).session()
        if mode == "async_engine":
            return engines.get_async(source).engine
        if mode == "url":
            return export.url(source)
        if mode == "dict":
            return export.dictionary(source)
        raise DataflowError(
            f"“{mode}” is no mode of a connection. The modes are session, engine, url, dict, async_engine and async_session."
        )

    def test(self, conn_id: str) -> Report:
        """Whether `conn_id` works from this machine: the server's own connector signs in from here, reads, and changes nothing.

        The server is told what it came to, and shows it beside its own tests. Takes the program `dataflow`, in `PATH` or where
        `DATAFLOW_BIN` says. Raises a `DataflowError` where no test could be run; one that ran and failed is a report, which is
        false.
        """
        from dataflow import from_here

        return from_here.test(conn_id, self._given)
