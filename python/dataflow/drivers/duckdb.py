"""DuckDB by its own module, under the dialect of duckdb-sqlalchemy, or of duckdb-engine where that is what is installed.

A file is opened where it is, and never created.
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Mapping
from typing import Any

from dataflow import fork
from dataflow._native import Credentials
from dataflow.drivers import sqlite
from dataflow.drivers.base import Machine
from dataflow.errors import UnsupportedConnection


class DuckDB:
    """The module `duckdb`. Within a process all connections to a file share one instance of the database."""

    name = "duckdb"
    is_async = False
    has_socket = False
    is_remote = False

    def refusal(self, credentials: Credentials) -> str | None:  # noqa: ARG002
        """See `Driver`. There is none."""
        return None

    def arguments(self, credentials: Credentials, machine: Machine) -> dict[str, Any]:
        """See `Driver`."""
        path = sqlite.path(credentials, machine, "DuckDB")
        _open_files.check(path, credentials)
        return {"database": path}

    def connect(self, dialect: Any, positional: tuple[Any, ...], arguments: Mapping[str, Any]) -> Any:  # noqa: ARG002
        """See `Driver`. The path stands among the named arguments, not in `positional`, which may be out of date."""
        connection = dialect.connect(**arguments)
        _open_files.add(connection, arguments["database"])
        return connection

    def url_password(self, credentials: Credentials) -> str:  # noqa: ARG002
        """See `Driver`."""
        return ""

    def url_query(self, credentials: Credentials, machine: Machine) -> dict[str, str]:  # noqa: ARG002
        """See `Driver`."""
        return {}

    def url_place(self, credentials: Credentials, machine: Machine) -> dict[str, Any]:
        """See `PlacesItself`."""
        return {"database": sqlite.path(credentials, machine, "DuckDB")}


class _OpenFiles:
    """Which files this process and those that it was forked from have open.

    A forked child inherits the instance of its parent, lock and all: both would write the file, and neither would know.
    """

    def __init__(self) -> None:
        self._own: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()
        self._inherited: set[str] = set()
        fork.in_child(self._forget_parent)

    def _forget_parent(self) -> None:
        # Never collected, not even as the child ends: that would write the parent's file.
        for connection in list(self._own):
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))
        self._inherited.update(self._own.values())
        self._own = weakref.WeakKeyDictionary()

    def add(self, connection: Any, path: str) -> None:
        self._own[connection] = path

    def check(self, path: str, credentials: Credentials) -> None:
        if path in self._inherited:
            raise UnsupportedConnection(
                f"“{credentials.name}” is a DuckDB file that the parent of this process had open when it was forked: both would "
                "write it at once. Start such children with “spawn”, or open the file in the children alone."
            )


_open_files = _OpenFiles()

DRIVER = DuckDB()
