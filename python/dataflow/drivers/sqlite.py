"""SQLite by Python's own module. A file is opened where it is, and never created."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from dataflow._native import Credentials
from dataflow.drivers.base import Machine, text
from dataflow.errors import DatabaseFileMissing, InvalidConfiguration


class SQLite:
    """The `sqlite3` module."""

    name = "sqlite+pysqlite"
    is_async = False
    has_socket = False
    is_remote = False

    def refusal(self, credentials: Credentials) -> str | None:  # noqa: ARG002
        """See `Driver`. There is none."""
        return None

    def arguments(self, credentials: Credentials, machine: Machine) -> dict[str, Any]:
        """See `Driver`."""
        timeout = credentials.integer("extra.busy_timeout")
        return {
            "database": f"file:{quote(path(credentials, machine))}?mode=rw",
            "uri": True,
            "timeout": 5.0 if timeout is None else timeout / 1000,
            "foreign_keys": credentials.boolean("extra.foreign_keys"),
        }

    def connect(self, dialect: Any, positional: tuple[Any, ...], arguments: Mapping[str, Any]) -> Any:  # noqa: ARG002
        """See `Driver`. The path stands among the named arguments, not in `positional`, which may be out of date."""
        given = dict(arguments)
        foreign_keys = given.pop("foreign_keys")
        connection = dialect.loaded_dbapi.connect(**given)
        if foreign_keys is not None:
            connection.execute(self.foreign_keys_statement(foreign_keys))
        return connection

    @staticmethod
    def foreign_keys_statement(wanted: bool) -> str:
        """SQLite's default is set when it is built, so both are said."""
        return f"PRAGMA foreign_keys = {'ON' if wanted else 'OFF'}"

    def url_password(self, credentials: Credentials) -> str:  # noqa: ARG002
        """See `Driver`."""
        return ""

    def url_query(self, credentials: Credentials, machine: Machine) -> dict[str, str]:  # noqa: ARG002
        """See `Driver`."""
        return {"mode": "rw", "uri": "true"}

    def url_place(self, credentials: Credentials, machine: Machine) -> dict[str, Any]:
        """See `PlacesItself`."""
        return {"database": f"file:{path(credentials, machine)}"}


def path(credentials: Credentials, machine: Machine, product: str = "SQLite") -> str:
    """The file's whole path on this machine. The folder is one for all that keep a database in a file."""
    if machine.sqlite_folder is None:
        raise InvalidConfiguration(
            f"“{credentials.name}” is a {product} file, and this machine names no folder for such files. Set "
            "DATAFLOW_SQLITE_DIR to the folder that holds it."
        )
    folder = os.path.realpath(machine.sqlite_folder)
    found = os.path.realpath(os.path.join(folder, text(credentials, "database")))
    if os.path.commonpath([folder, found]) != folder:
        raise InvalidConfiguration(f"“{credentials.name}” names a file outside of this machine's folder for such files.")
    if not os.path.isfile(found):
        raise DatabaseFileMissing(
            f"“{credentials.name}” is the {product} file “{text(credentials, 'database')}”, and {folder} on this machine has "
            "none of that name: it lives elsewhere. Run the program where the file is, or copy it there."
        )
    return found


DRIVER = SQLite()
