"""A planted password must not come to light in anything that a program prints, logs, pickles or reports."""

from __future__ import annotations

import logging
import os
import pickle
import reprlib
import traceback

import pytest
from sqlalchemy import text

from certificates import Authority
from dataflow import Dataflow, DataflowError
from using import MYSQL, POSTGRES, first_row

PLANTED = "pl4nted-s3cret"
TOKEN_THAT_NOBODY_MADE = "dfc_user_" + "q7" * 22


def _everything_about(error: BaseException) -> str:
    """What error reporters show: texts, causes, attributes, and the locals of every frame."""
    found, todo, seen = [], [error], set()
    while todo:
        each = todo.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        found += [str(each), repr(each), repr(each.args), repr(vars(each))]
        found += traceback.format_exception(type(each), each, each.__traceback__)
        for frame, _ in traceback.walk_tb(each.__traceback__):
            if os.path.dirname(frame.f_code.co_filename) != os.path.dirname(__file__):  # these tests know it
                found += [_deep(value) for value in frame.f_locals.values()]
        pgconn = getattr(each, "pgconn", None)
        if pgconn is not None:
            found.append(repr(getattr(pgconn, "password", None)))
        todo += [other for other in (each.__cause__, each.__context__, getattr(each, "orig", None)) if other is not None]
    return "\n".join(found)


def _deep(value: object, depth: int = 0) -> str:
    """Reporters look into the attributes of locals, some levels deep."""
    try:
        shown = [repr(value)]
        if depth < 3:
            inner = value if isinstance(value, dict) else getattr(value, "__dict__", {})
            shown += [_deep(each, depth + 1) for each in list(inner.values())[:50]]
            if isinstance(value, (list, tuple, set)):
                shown += [_deep(each, depth + 1) for each in list(value)[:50]]
        return "\n".join(shown)
    except Exception:
        return ""


def _put(request, server, module: str, **changes: object) -> None:
    is_postgres = module in POSTGRES
    database = request.getfixturevalue("postgres" if is_postgres else "mariadb")
    database.set_password("leaky", "right")
    server.put("leaky", "postgres" if is_postgres else "mysql", **{**database.fields("leaky", PLANTED), **changes})


@pytest.mark.parametrize("module", POSTGRES + MYSQL)
@pytest.mark.parametrize("failure", ["refused", "closed", "unsendable"])
def test_a_failed_connect_shows_nothing(request, dataflow, server, only_driver, module, failure, caplog):
    driver = only_driver(module)
    changes: dict[str, object] = {
        "refused": {},
        "closed": {"port": 1},
        "unsendable": {"password": f"{PLANTED}-\0-\u6f22"},
    }[failure]
    _put(request, server, module, **changes)
    caplog.set_level(logging.DEBUG)
    with pytest.raises(Exception) as caught:
        first_row(dataflow, "leaky", driver=driver)
    assert PLANTED not in _everything_about(caught.value)
    assert PLANTED not in caplog.text


@pytest.mark.parametrize("module", POSTGRES + MYSQL)
def test_a_client_key_comes_to_light_in_no_failure(request, dataflow, server, only_driver, module, caplog, capfd):
    driver = only_driver(module)
    certificate, key = Authority.make("Test CA").issue("leaky")
    planted = [line for line in key.splitlines() if not line.startswith("-----")]
    for broken in (key, key.replace(planted[0], planted[0][::-1])):
        transport = {"mode": "verify-full", "ca": Authority.make("Test CA").pem, "cert": certificate, "key": broken}
        _put(request, server, module, tls=transport, host="localhost")
        caplog.set_level(logging.DEBUG)
        with pytest.raises(Exception) as caught:
            first_row(dataflow, "leaky", driver=driver)
        shown = _everything_about(caught.value) + caplog.text + "".join(capfd.readouterr())
        assert [line for line in broken.splitlines()[1:-1] if line in shown] == []


def test_a_token_comes_to_light_nowhere(server, monkeypatch, caplog, capfd):
    monkeypatch.setenv("DATAFLOW_URL", server.url)
    monkeypatch.setenv("DATAFLOW_TOKEN", TOKEN_THAT_NOBODY_MADE)
    caplog.set_level(logging.DEBUG)
    server.put("leaky", "http", password=PLANTED)
    shown = []
    for away_with in (None, 503, 302, 200):
        server.away_with = away_with
        program = Dataflow()
        with pytest.raises(DataflowError) as caught:
            program.connection("leaky", "dict")
        shown += [_everything_about(caught.value), repr(program), _deep(program), repr(program._server.client)]
    server.close()
    with pytest.raises(DataflowError) as caught:
        Dataflow().connection("leaky", "dict")
    shown += [_everything_about(caught.value), caplog.text, *capfd.readouterr()]
    assert TOKEN_THAT_NOBODY_MADE not in "".join(shown)
    assert not any(TOKEN_THAT_NOBODY_MADE in each["path"] for each in server.requests)


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_while_connecting_shows_nothing(request, dataflow, server, only_driver, monkeypatch, interruption):
    driver = only_driver("psycopg")
    _put(request, server, "psycopg")

    def interrupted(_self, _dialect, _positional, arguments):
        assert arguments["password"] == PLANTED
        raise interruption

    monkeypatch.setattr(type(driver), "connect", interrupted)
    with pytest.raises(interruption) as caught:
        dataflow.connection("leaky").execute(text("SELECT 1"))
    assert PLANTED not in _everything_about(caught.value)
    assert len(server.requests) == 1


def test_objects_show_nothing(request, dataflow, server, caplog):
    _put(request, server, "psycopg")
    request.getfixturevalue("postgres").set_password("leaky", PLANTED)
    caplog.set_level(logging.DEBUG)
    engine = dataflow.connection("leaky", "engine")
    engine.echo = "debug"
    session = dataflow.connection("leaky")
    session.execute(text("SELECT 1"))
    url = dataflow.connection("leaky", "url")
    shown = [
        repr(dataflow),
        repr(engine),
        engine.url.render_as_string(hide_password=False),
        repr(engine.dialect.create_connect_args(engine.url)),
        repr(session),
        repr(session.connection()),
        str(url),
        repr(url),
        reprlib.repr(vars(engine)),
        _deep(engine, 0),
        _deep(session, 0),
    ]
    engine.echo = False
    session.close()
    assert PLANTED not in "\n".join(shown)
    assert PLANTED not in caplog.text
    assert url.password == PLANTED


def test_nothing_with_the_password_can_be_pickled(request, dataflow, server):
    _put(request, server, "psycopg")
    source = dataflow._server.client
    credentials = source.credentials("leaky", None)
    assert PLANTED not in repr(credentials)
    assert not hasattr(credentials, "__dict__")
    for secret in (source, credentials, dataflow._config):
        with pytest.raises(TypeError):
            pickle.dumps(secret)
    assert PLANTED not in repr(pickle.dumps(dataflow.connection("leaky", "engine").url))
