"""Types that a workspace has made itself, with the template of a URL for SQLAlchemy."""

from __future__ import annotations

import asyncio
import logging

import pytest
from sqlalchemy import text
from test_leaks import _deep, _everything_about

import pretend_dialect
from dataflow import Dataflow, DriverMissing, DriverUnsafe, HopFailed, UnsupportedConnection
from hop_servers import NO_TLS, Hop, helpers
from pretend_dialect import PretendServer
from using import first_row, first_row_async

AWKWARD = "p@ss:w/o?r#d%41 {host} }{ \u00e9\u6f22&=;"
URL = {
    "drivername": "pretend+wire",
    "username": "{username}",
    "password": "{password}",
    "host": "{host}",
    "port": "{port}",
    "database": "{database}",
    "query": {"ENCRYPTION": "{extra.encryption}", "note": "{{{extra.note}}}", "token": "t-{extra.token}", "fixed": "yes"},
}
POSTGRES_URL = {**URL, "drivername": "postgresql+psycopg", "query": {}}


@pytest.fixture
def beyond():
    started = PretendServer("ann", AWKWARD)
    yield started
    started.close()


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    started = Hop("ssh", tmp_path_factory.mktemp("ssh"))
    yield started
    started.end()


def fields(beyond: PretendServer, **changed: object) -> dict:
    place = {"host": "127.0.0.1", "port": beyond.port, "database": "dw", "username": "ann", "password": AWKWARD}
    return {**place, "extra": {"encryption": True, "token": "pl4nted-token"}, "tls": NO_TLS, **changed}


def test_the_url_is_filled_part_by_part(dataflow, server, beyond, caplog):
    server.put("own", "exa", url=URL, **fields(beyond))
    caplog.set_level(logging.DEBUG)
    assert first_row(dataflow, "own") == [1]
    url = pretend_dialect.seen[-1]
    assert (url.username, url.password, url.host, url.port, url.database) == ("ann", AWKWARD, "127.0.0.1", beyond.port, "dw")
    assert url.query == {"ENCRYPTION": "true", "token": "t-pl4nted-token", "fixed": "yes"}
    assert dataflow.connection("own", "url") == url

    engine = dataflow.connection("own", "engine")
    assert engine.url.render_as_string(False) == f"pretend+wire://ann@127.0.0.1:{beyond.port}/dw?fixed=yes"
    shown = _deep(engine) + caplog.text
    assert AWKWARD not in shown
    assert "pl4nted-token" not in shown
    # The second use takes what is pooled.
    before = len(pretend_dialect.seen)
    assert first_row(dataflow, "own") == [1]
    assert len(pretend_dialect.seen) == before

    server.put("noted", "exa", url=URL, **fields(beyond, extra={"note": "a&b"}, database=None))
    assert first_row(dataflow, "noted") == [1]
    url = pretend_dialect.seen[-1]
    assert (url.database, url.query) == (None, {"note": "{a&b}", "fixed": "yes"})


def test_a_changed_password_is_followed_and_a_wrong_one_is_not_told(dataflow, server, beyond, stay_fresh):
    server.put("own", "exa", url=URL, **fields(beyond))
    engine = dataflow.connection("own", "engine")
    with engine.connect() as connection:
        assert connection.execute(text("SELECT 1")).scalar() == 1
    engine.dispose()
    beyond.password = "second-pl4nted"
    with pytest.raises(Exception) as caught:
        engine.connect()
    shown = _everything_about(caught.value)
    assert "(withheld)" in shown
    assert AWKWARD not in shown
    assert "pl4nted-token" not in shown
    server.put("own", "exa", url=URL, **fields(beyond, password="second-pl4nted"))
    with engine.connect() as connection:
        assert connection.execute(text("SELECT 2")).scalar() == 2


def test_asyncio_as_far_as_the_dialect_is_for_it(dataflow, server, beyond):
    server.put("own", "exa", url={**URL, "drivername": "pretend+aio"}, **fields(beyond))
    assert asyncio.run(first_row_async(dataflow, "own")) == [1]
    with pytest.raises(UnsupportedConnection, match="is for asyncio"):
        first_row(dataflow, "own")
    slow = fields(beyond, database="slow", extra={"connect_timeout": 1})
    server.put("slow", "exa", url={**URL, "drivername": "pretend+aio"}, **slow)
    with pytest.raises(Exception, match="connecting took longer than 1 s"):
        asyncio.run(first_row_async(dataflow, "slow"))
    server.put("sync", "exa", url=URL, **fields(beyond))
    with pytest.raises(UnsupportedConnection, match="is not for asyncio"):
        asyncio.run(first_row_async(dataflow, "sync"))


@pytest.mark.parametrize("drivername", ["exa+websocket", "mssql+pymssql"])
def test_a_dialect_that_is_not_there_is_named(dataflow, server, beyond, drivername):
    server.put("own", "exa", url={**URL, "drivername": drivername}, **fields(beyond))
    with pytest.raises(DriverMissing, match=f"the dialect “{drivername.replace('+', '.')}”"):
        first_row(dataflow, "own")


def test_an_engine_follows_to_no_other_dialect(dataflow, server, beyond, go_stale):
    server.put("own", "exa", url=URL, **fields(beyond))
    engine = dataflow.connection("own", "engine")
    server.put("own", "exa", url={**URL, "drivername": "pretend+aio"}, **fields(beyond))
    go_stale()
    with pytest.raises(UnsupportedConnection, match="another dialect"):
        engine.connect()


def test_where_a_driver_here_knows_the_dialect_it_opens_it(dataflow, server, postgres, only_driver):
    postgres.set_password("own", AWKWARD)
    transport = {**NO_TLS, "mode": "verify-full", "ca": postgres.authority.pem}
    query = {"application_name": "{extra.app}", "sslmode": "{tls.mode}"}
    url = {**POSTGRES_URL, "username": "{extra.user}", "host": "{extra.cluster}host", "query": query}
    extra = {"app": "of our own", "user": "own", "cluster": "local"}
    given = {"port": postgres.port, "database": "postgres", "password": AWKWARD, "tls": transport, "extra": extra}
    server.put("own", "cluster", url=url, **given)
    asked = f"SELECT current_setting('application_name'), ({postgres.is_encrypted})"
    for module in ("psycopg", "asyncpg"):
        assert first_row(dataflow, "own", asked, only_driver(module)) == ["of our own", True], module
    made = dataflow.connection("own", "url")
    assert (made.host, made.username, made.password) == ("localhost", "own", AWKWARD)
    assert made.query["sslmode"] == "verify-full"

    server.put("weak", "cluster", url={**url, "query": {"sslmode": "disable"}}, **given)
    with pytest.raises(UnsupportedConnection, match="says “sslmode”"):
        first_row(dataflow, "weak")
    server.put("odd", "cluster", url={**url, "port": "{extra.app}"}, **given)
    with pytest.raises(UnsupportedConnection, match="its port is no number"):
        first_row(dataflow, "odd")


def test_the_driver_that_a_url_names_goes_first(dataflow, server, mariadb):
    mariadb.set_password("own", "first")
    for drivername, driver in [("mariadb+pymysql", "pymysql"), ("mysql", "mysqldb")]:
        server.put(f"own-{driver}", "shop", url={**POSTGRES_URL, "drivername": drivername}, **mariadb.fields("own", "first"))
        assert first_row(dataflow, f"own-{driver}") == [1]
        assert dataflow.connection(f"own-{driver}", "engine").driver == driver


@pytest.mark.parametrize(
    ("drivername", "instead"),
    [
        ("postgresql+pg8000", "postgresql:// or postgresql+psycopg:// or"),
        ("postgresql.pg8000", "postgresql:// or postgresql+psycopg:// or"),
        ("mariadb+mysqlconnector", "mariadb:// or mariadb+mysqldb:// or"),
        ("sqlite+pysqlcipher", "sqlite:// or"),
        ("trino+other", "trino://"),
    ],
)
def test_a_driver_that_is_not_known_does_not_pass_a_known_one_by(dataflow, server, beyond, drivername, instead):
    """It would connect without the TLS that the connection's test holds to."""
    transport = {**NO_TLS, "mode": "verify-full"}
    server.put("own", "postgres", url={**URL, "drivername": drivername}, **fields(beyond, tls=transport))
    for mode in ("session", "engine", "url"):
        with pytest.raises(UnsupportedConnection, match="is not known here") as caught:
            dataflow.connection("own", mode)
        assert instead in str(caught.value)
    with pytest.raises(UnsupportedConnection, match="is not known here"):
        asyncio.run(first_row_async(dataflow, "own"))


def test_a_url_that_is_silent_of_tls_takes_none_off(dataflow, server, beyond, go_stale):
    transport = {**NO_TLS, "mode": "verify-full"}
    server.put("own", "redshift", url=URL, **fields(beyond, tls=transport))
    for mode in ("engine", "url"):
        with pytest.raises(DriverUnsafe, match="says nothing of TLS"):
            dataflow.connection("own", mode)
    server.put("reached", "exa", url=URL, **fields(beyond, tls=transport))
    named = {**URL, "query": {"ssl": "{tls.mode}"}}
    server.put("named", "redshift", url=named, **fields(beyond, tls=transport))
    server.put("plain", "redshift", url=URL, **fields(beyond))
    for name in ("reached", "named", "plain"):
        assert first_row(dataflow, name) == [1]
    # An engine that is held is held to it, too.
    engine = dataflow.connection("plain", "engine")
    engine.dispose()
    server.put("plain", "redshift", url=URL, **fields(beyond, tls=transport))
    go_stale()
    with pytest.raises(DriverUnsafe, match="says nothing of TLS"):
        engine.connect()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("plugin", "geoalchemy", "run other code"),
        ("Plugins", "geoalchemy", "run other code"),
        ("local_infile", "1", "files of this machine"),
        ("allowLoadLocalInfile", "{extra.note}", "files of this machine"),
        ("allow_local_infile", "True", "files of this machine"),
        ("read_default_file", "/etc/my.cnf", "files of this machine"),
        ("passfile", "/etc/pass", "files of this machine"),
    ],
)
def test_a_url_runs_no_other_code_and_reads_no_file(dataflow, server, beyond, name, value, words):
    server.put("own", "exa", url={**URL, "query": {name: value}}, **fields(beyond, extra={"note": "1"}))
    for mode in ("engine", "url"):
        with pytest.raises(DriverUnsafe, match=words):
            dataflow.connection("own", mode)
    server.put("not", "exa", url={**URL, "query": {"local_infile": "0", "service": "dw"}}, **fields(beyond))
    assert first_row(dataflow, "not") == [1]


@pytest.mark.parametrize(
    "changed",
    [
        {"host": "{host}.example.com"},
        {"host": "{{{host}}}"},
        {"port": "1{port}"},
        {"port": "5432"},
        {"database": "{host}"},
        {"username": "{username}@{host}"},
        {"query": {"servers": "{host}:{port}"}},
    ],
)
def test_no_part_of_a_url_leads_past_a_hop(dataflow, server, beyond, shell, changed):
    server.put("own", "exa", url={**URL, **changed}, hop=shell.told(), **fields(beyond))
    before = set(helpers())
    for mode in ("engine", "url"):
        with pytest.raises(DriverUnsafe, match="neither of them anywhere else"):
            dataflow.connection("own", mode)
    assert set(helpers()) == before


def test_no_secret_of_a_url_is_in_an_error(dataflow, server, beyond):
    """In whichever form drivers have it: the pretended one shows its URL, a dictionary and bytes."""
    lines = "-----BEGIN pl4nted-----\npl4nted/line+one==\npl4nted two\n-----END pl4nted-----\n"
    secrets = {"pin": "pl4nted pin+&", "cert": "pl4nted'\"\\ c\u00e9rt==", "key": lines}
    query = {"a": "{extra.pin}", "b": "x{extra.cert}y", "c": "{extra.key}"}
    server.put("own", "exa", url={**URL, "query": query}, **fields(beyond, password="pl4nted %wrong", extra=secrets))
    with pytest.raises(Exception) as caught:
        first_row(dataflow, "own")
    shown = _everything_about(caught.value)
    assert "wrong: (withheld)" in shown
    assert "pl4nted" not in shown


def test_a_hop_stands_in_for_host_and_port(dataflow, server, beyond, postgres, shell):
    server.put("own", "exa", url=URL, hop=shell.told(), **fields(beyond))
    before = set(helpers())
    assert first_row(dataflow, "own") == [1]
    assert len(set(helpers()) - before) == 1
    url = pretend_dialect.seen[-1]
    assert (url.host, url.port != beyond.port) == ("127.0.0.1", True)
    assert dataflow.connection("own", "url") == url
    server.put("refused", "exa", url=URL, hop=shell.told(password="another"), **fields(beyond))
    with pytest.raises(HopFailed, match="refused the password"):
        first_row(dataflow, "refused")
    server.put("fixed", "exa", url={**URL, "host": "db.example.org"}, hop=shell.told(), **fields(beyond))
    with pytest.raises(DriverUnsafe, match=r"needs exactly \{host\} and \{port\}"):
        first_row(dataflow, "fixed")

    postgres.set_password("own", "first")
    transport = {**NO_TLS, "mode": "verify-full", "ca": postgres.authority.pem}
    given = postgres.fields("own", "first", host="localhost", tls=transport)
    server.put("ours", "cluster", url=POSTGRES_URL, hop=shell.told(), **given)
    assert first_row(dataflow, "ours", postgres.is_encrypted) == [True]


DEFINITION = """
extends = "generic"
label = "Pretend"
summary = "A database of nobody's"
category = "databases"
url = "pretend+wire://{username}:{password}@{host}:{port}/{extra.database}?MODE={extra.mode}&fixed=a%20b"

[[fields]]
path = "extra.database"
label = "Database"
kind = "text"

[[fields]]
path = "extra.mode"
label = "Mode"
kind = "text"
"""


def test_the_real_server_tells_the_url(real, beyond, monkeypatch):
    real.define_type("pretend", DEFINITION)
    given = {**fields(beyond, tls={"mode": "disable"}), "extra": {"mode": "fast", "database": "dw"}}
    del given["database"]
    real.create("own", "pretend", **given)
    for name, value in real.environment.items():
        monkeypatch.setenv(name, value)
    assert first_row(Dataflow(), "own") == [1]
    url = pretend_dialect.seen[-1]
    assert (url.username, url.password, url.port, url.database) == ("ann", AWKWARD, beyond.port, "dw")
    assert url.query == {"MODE": "fast", "fixed": "a b"}
