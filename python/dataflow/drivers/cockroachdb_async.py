"""CockroachDB by asyncpg, under the dialect of its own."""

from __future__ import annotations

from dataflow.drivers.asyncpg import Asyncpg


class CockroachDBAsync(Asyncpg):
    """The same arguments, and the same filter."""

    name = "cockroachdb+asyncpg"


DRIVER = CockroachDBAsync()
