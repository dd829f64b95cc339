"""PostgreSQL by psycopg2, where that is what is installed."""

from __future__ import annotations

from dataflow.drivers.psycopg import Psycopg


class Psycopg2(Psycopg):
    """psycopg2: the same libpq arguments."""

    name = "postgresql+psycopg2"

    @staticmethod
    def _libpq_version() -> int:
        import psycopg2.extensions

        return int(psycopg2.extensions.libpq_version())


DRIVER = Psycopg2()
