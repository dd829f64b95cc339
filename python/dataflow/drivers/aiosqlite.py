"""SQLite by aiosqlite, for asyncio."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dataflow.drivers.sqlite import SQLite


class AioSQLite(SQLite):
    """aiosqlite: the same arguments, on a thread of its own."""

    name = "sqlite+aiosqlite"
    is_async = True

    def connect(self, dialect: Any, positional: tuple[Any, ...], arguments: Mapping[str, Any]) -> Any:  # noqa: ARG002
        """See `Driver`."""
        given = dict(arguments)
        foreign_keys = given.pop("foreign_keys")
        connection = dialect.loaded_dbapi.connect(**given)
        if foreign_keys is not None:
            cursor = connection.cursor()
            cursor.execute(self.foreign_keys_statement(foreign_keys))
            cursor.close()
        return connection


DRIVER = AioSQLite()
