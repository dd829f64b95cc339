"""Every type of the PostgreSQL and MySQL families, opened by its name: the SDK uses what the catalogue says of SQLAlchemy."""

from __future__ import annotations

import asyncio

from sqlalchemy import text

from dataflow import Dataflow
from using import first_row_async

USER = "families"
OTHERS = {
    "clickhouse": "test_over_http.py",
    "duckdb": "test_duckdb.py",
    "sqlite": "test_life_cycle.py",
    "trino": "test_over_http.py",
}
"""Types of no family that SQLAlchemy opens, and where the SDK's opening of them is tested."""


def test_every_type_of_a_family_is_opened_under_the_dialect_that_it_names(request, real):
    of_sqlalchemy = [kind for kind in real.catalogue() if kind["sqlalchemy"]]
    families = [kind for kind in of_sqlalchemy if kind["base"] in ("postgres", "mysql")]
    assert {kind["id"] for kind in of_sqlalchemy if kind not in families} == set(OTHERS)
    dataflow = Dataflow(real.url, real.token)
    opened = {}
    for kind in families:
        name, dialect = kind["id"], kind["sqlalchemy"]
        # A type that is a product of its own here is asked of that; the others of what their file extends.
        server = request.getfixturevalue(name if name == "mariadb" else kind["base"])
        server.set_password(USER, "first")
        tls = {"mode": "verify-full", "ca": server.authority.pem}
        fields = server.fields(USER, "first", host="localhost", tls=tls)
        if "extra.charset" not in {field["path"] for field in kind["fields"]}:
            fields.pop("extra", None)
        real.create(name, name, **fields)
        assert real.test(name)["status"] == "ok", name

        engine = dataflow.connection(name, "engine")
        with engine.connect() as connection:
            assert connection.execute(text("SELECT 1")).scalar() == 1, name
        url = dataflow.connection(name, "url")
        assert (engine.dialect.name, url.get_backend_name()) == (dialect, dialect), name
        assert asyncio.run(first_row_async(dataflow, name)) == [1], name
        opened[name] = f"{engine.dialect.name}+{engine.dialect.driver}"
    assert opened["cockroachdb"] == "cockroachdb+psycopg"
    assert len(opened) >= 16, opened
