"""CockroachDB by psycopg 3, under the dialect of its own: SQLAlchemy's for PostgreSQL stops at the version that it tells."""

from __future__ import annotations

from dataflow.drivers.psycopg import Psycopg


class CockroachDB(Psycopg):
    """The same libpq arguments."""

    name = "cockroachdb+psycopg"


DRIVER = CockroachDB()
