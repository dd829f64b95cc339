"""PostgreSQL by psycopg 3."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dataflow._native import Credentials
from dataflow.drivers import libpq
from dataflow.drivers.base import Machine, text


class Psycopg:
    """psycopg 3, in C or in pure Python, over the libpq that it finds."""

    name = "postgresql+psycopg"
    is_async = False
    has_socket = True
    is_remote = True

    def refusal(self, credentials: Credentials) -> str | None:
        """See `Driver`."""
        return libpq.refusal(credentials, self._libpq_version())

    def arguments(self, credentials: Credentials, machine: Machine) -> dict[str, Any]:
        """See `Driver`."""
        return libpq.arguments(credentials, machine)

    def connect(self, dialect: Any, positional: tuple[Any, ...], arguments: Mapping[str, Any]) -> Any:
        """See `Driver`."""
        return dialect.loaded_dbapi.connect(*positional, **arguments)

    def url_password(self, credentials: Credentials) -> str:
        """See `Driver`."""
        return text(credentials, "password")

    def url_query(self, credentials: Credentials, machine: Machine) -> dict[str, str]:
        """See `Driver`."""
        settings = libpq.settings(credentials, machine)
        return {name: str(value) for name, value in settings.items()}

    def url_way(self, machine: Machine) -> tuple[dict[str, Any], dict[str, str]]:
        """See `NamesBoth`."""
        if machine.way is None:
            return {}, {}
        return {"port": machine.way.port}, {"hostaddr": machine.way.host}

    @staticmethod
    def _libpq_version() -> int:
        import psycopg

        return psycopg.pq.version()


DRIVER = Psycopg()
