"""Every byte that a password can hold, through every driver to a real server."""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine, text

from using import MYSQL, POSTGRES, first_row

PASSWORDS = {
    "punctuation": "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~",
    "spaces": "  two  spaces ",
    "percent": "%41%00%2F",
    "quotes": "it's \"quoted\" `here` \\'",
    "unicode": "pässwörd 漢字 🔑",
    "long": "x" * 1000,
}
LONGEST = {"mysql": 256}
"""Bytes that a server takes, where that is less than what a connection may hold."""


@pytest.mark.parametrize(
    ("kind", "module"),
    [("postgres", module) for module in POSTGRES]
    + [("mariadb", module) for module in MYSQL]
    + [("mysql", module) for module in MYSQL],
)
@pytest.mark.parametrize("password", PASSWORDS)
def test_a_password_opens_the_connection(request, dataflow, server, only_driver, kind, module, password):
    secret = PASSWORDS[password][: LONGEST.get(kind)]
    database, driver = request.getfixturevalue(kind), only_driver(module)
    database.set_password("odd", secret)
    server.put("odd", kind, **database.fields("odd", secret))
    assert first_row(dataflow, "odd", driver=driver) == [1]


@pytest.mark.parametrize(
    ("kind", "module"),
    [("postgres", module) for module in ("psycopg", "psycopg2")]
    + [(kind, module) for kind in ("mariadb", "mysql") for module in ("pymysql", "mysqlclient")],
)
@pytest.mark.parametrize("password", PASSWORDS)
def test_a_url_carries_it_too(request, dataflow, server, only_driver, kind, module, password):
    """As an object, and as the text that a program hands on."""
    secret = PASSWORDS[password][: LONGEST.get(kind)]
    database, _ = request.getfixturevalue(kind), only_driver(module)
    database.set_password("odd", secret)
    server.put("odd", kind, **database.fields("odd", secret))
    url = dataflow.connection("odd", "url")
    for given in (url, url.render_as_string(hide_password=False)):
        engine = create_engine(given)
        with engine.connect() as connection:
            assert connection.execute(text("SELECT 1")).scalar() == 1
        engine.dispose()
    assert dataflow.connection("odd", "dict")["password"] == secret


SYMBOLS = "-_.~,"
"""What a rotation's password may hold besides letters and digits."""


@pytest.mark.parametrize(
    ("kind", "module"),
    [("postgres", module) for module in ("psycopg", "psycopg2")]
    + [(kind, module) for kind in ("mariadb", "mysql") for module in ("pymysql", "mysqlclient")],
)
def test_what_a_rotation_makes_needs_no_escaping_in_a_url(request, dataflow, server, only_driver, kind, module):
    """Each symbol alone, and all of them, as they are in the text that a program puts together."""
    database, _ = request.getfixturevalue(kind), only_driver(module)
    for secret in [*(f"a{symbol}B1{symbol}{symbol}c9" for symbol in SYMBOLS), f"Ab1{SYMBOLS}"]:
        database.set_password("odd", secret)
        server.put("odd", kind, **database.fields("odd", secret))
        url = dataflow.connection("odd", "url")
        written = url.set(password="HERE").render_as_string(hide_password=False).replace("HERE", secret)
        engine = create_engine(written)
        with engine.connect() as connection:
            assert connection.execute(text("SELECT 1")).scalar() == 1
        engine.dispose()
