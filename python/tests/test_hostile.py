"""No password goes to a server that is not verified and asks for it in a form that it could use."""

from __future__ import annotations

import base64
import hashlib
import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import hostile
from certificates import Authority
from scripted import BEHAVIOURS, ScriptedServer, Stage
from using import MYSQL, POSTGRES, first_row

PLANTED = "pl4nted-s3cret"

MYSQL_TRICKS = {
    "names clear text": ("mysql_clear_password", None),
    "names sha256": ("sha256_password", None),
    "switches to clear text": ("mysql_native_password", "mysql_clear_password"),
    "switches to dialog": ("mysql_native_password", "dialog"),
    "switches to sha256": ("caching_sha2_password", "sha256_password"),
    "switches to the old password": ("mysql_native_password", "mysql_old_password"),
    "asks for the whole password": ("caching_sha2_password", None),
}


@pytest.fixture
def attack(server, dataflow, only_driver, tmp_path):
    """Connects with one driver to a hostile server; returns what that has heard."""

    def connect(driver: str, type_id: str, mode: str, exchange, identity: tuple[str, str] | None = None, **extra: str) -> bytes:
        chosen = only_driver(driver)
        enemy = hostile.HostileServer(exchange, tmp_path, identity)
        fields = {"host": "127.0.0.1", "port": enemy.port, "database": "d", "username": "u", "password": PLANTED}
        server.put("enemy", type_id, **fields, tls={"mode": mode}, extra={"connect_timeout": 5, **extra})
        try:
            with pytest.raises(Exception):  # noqa: B017 - each driver has its own
                first_row(dataflow, "enemy", driver=chosen)
        finally:
            enemy.close()
        return enemy.heard

    return connect


def _md5() -> bytes:
    inner = hashlib.md5(PLANTED.encode() + b"u").hexdigest()
    return b"md5" + hashlib.md5(inner.encode() + b"salt").hexdigest().encode()


@pytest.mark.parametrize("driver", POSTGRES)
@pytest.mark.parametrize("mode", ["disable", "require"])
def test_postgres(attack, driver, mode):
    for request, password in ((3, PLANTED.encode()), (5, _md5())):
        heard = attack(driver, "postgres", mode, hostile.postgres(request))
        assert b"application_name" in heard  # it came as far as the question
        assert password not in heard


@pytest.mark.parametrize("driver", POSTGRES)
def test_postgres_where_an_admin_has_allowed_it(attack, driver):
    assert _md5() in attack(driver, "postgres", "disable", hostile.postgres(5), insecure_auth="md5")
    assert PLANTED.encode() in attack(driver, "postgres", "disable", hostile.postgres(3), insecure_auth="password")


@pytest.mark.parametrize("driver", POSTGRES)
def test_postgres_that_is_to_be_verified_hears_nothing(attack, driver):
    assert b"application_name" not in attack(driver, "postgres", "verify-full", hostile.postgres(3))


@pytest.mark.parametrize("driver", MYSQL)
@pytest.mark.parametrize("trick", MYSQL_TRICKS)
def test_mysql(attack, driver, trick):
    first, then = MYSQL_TRICKS[trick]
    for mode in ("disable", "require"):
        for offers_tls in (True, False):
            heard = attack(driver, "mysql", mode, hostile.mysql(first, then, offers_tls=offers_tls))
            assert PLANTED.encode() not in heard


@pytest.mark.parametrize("trick", ["switches to clear text", "switches to dialog", "names sha256", "asks for the whole password"])
def test_the_tricks_work_on_a_bare_driver(trick, tmp_path):
    import pymysql

    enemy = hostile.HostileServer(hostile.mysql(*MYSQL_TRICKS[trick]), tmp_path)
    with pytest.raises(Exception):  # noqa: B017
        pymysql.connect(host="127.0.0.1", port=enemy.port, user="u", password=PLANTED, connect_timeout=30, read_timeout=30)
    enemy.close()
    assert PLANTED.encode() in enemy.heard


@pytest.mark.parametrize("driver", ["pymysql", "aiomysql"])
def test_mysql_where_an_admin_has_allowed_it(attack, driver):
    exchange = hostile.mysql("caching_sha2_password")
    assert PLANTED.encode() in attack(driver, "mysql", "disable", exchange, insecure_auth="mysql_rsa")


@pytest.mark.parametrize("driver", MYSQL)
def test_mysql_that_is_to_be_verified_hears_nothing(attack, driver):
    for first in ("mysql_clear_password", "sha256_password"):
        assert PLANTED.encode() not in attack(driver, "mysql", "verify-full", hostile.mysql(first, offers_tls=False))
        assert PLANTED.encode() not in attack(driver, "mysql", "verify-full", hostile.mysql(first))


@pytest.fixture
def on_the_way(tmp_path, monkeypatch) -> tuple[str, str]:
    """What somebody on the way shows: an authority that this machine trusts gave it to him, for a name of his own."""
    public = Authority.make("A public CA")
    (tmp_path / "bundle.pem").write_text(public.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "bundle.pem"))
    return public.issue("elsewhere.example.org")


@pytest.mark.parametrize("driver", POSTGRES)
def test_postgres_with_whichever_certificate_of_a_public_authority(attack, on_the_way, driver):
    for request, password in ((3, PLANTED.encode()), (5, _md5())):
        heard = attack(driver, "postgres", "verify-ca", hostile.postgres(request), on_the_way)
        assert b"application_name" in heard  # it came as far as the question
        assert password not in heard


@pytest.mark.parametrize("driver", MYSQL)
@pytest.mark.parametrize("trick", MYSQL_TRICKS)
def test_mysql_with_whichever_certificate_of_a_public_authority(attack, on_the_way, driver, trick):
    assert PLANTED.encode() not in attack(driver, "mysql", "verify-ca", hostile.mysql(*MYSQL_TRICKS[trick]), on_the_way)


CONNECT_WITHIN = None if os.environ.get("DATAFLOW_SOAK") else 2
"""Seconds that the connections of the next test allow for connecting; `None` is the default, 10."""
LONGEST = 11.0
"""Seconds: the longest that any of them may take."""
QUERY_WITHIN = 2.0
"""Seconds after which a server closes that does not end its answer to a query: how long that may take is the program's affair."""


@pytest.mark.parametrize(
    ("driver", "protocol"), [*((each, "postgres") for each in POSTGRES), *((each, "mysql") for each in MYSQL)]
)
def test_every_hostile_server(server, dataflow, only_driver, tmp_path, driver, protocol):
    chosen = only_driver(driver)
    stage = Stage(tmp_path, PLANTED)
    secrets = [each.encode() for each in _forms(PLANTED)] + [stage.file.read_bytes()]
    cases = [(each["name"], each[protocol], each.get("is_query")) for each in BEHAVIOURS if protocol in each]

    def attacked(case) -> tuple[float, list[str]]:
        what, script, is_query = case
        name = f"enemy-{cases.index(case)}"
        enemy = ScriptedServer(stage, protocol, script["script"], QUERY_WITHIN if is_query else None)
        mode = script.get("mode", "disable")
        host = "localhost" if "verify" in mode else "127.0.0.1"
        extra = {} if CONNECT_WITHIN is None else {"connect_timeout": CONNECT_WITHIN}
        fields = {"port": enemy.port, "username": "u", "password": PLANTED, "extra": extra}
        server.put(name, protocol, host=host, tls={"mode": mode, "ca": stage.authority.pem}, **fields)
        dataflow.connection(name, "dict")  # so that the clock is the database's alone
        began, said = time.monotonic(), None
        try:
            first_row(dataflow, name, driver=chosen)
        except Exception as error:
            said = str(error)
        took = time.monotonic() - began
        wrong = [f"heard {each!r}" for each in secrets if each in enemy.heard]
        if took > LONGEST:
            wrong.append(f"took {took:.1f} s")
        if said is None and script["ends"] not in ("ok", "unproven"):
            wrong.append("it worked")
        if PLANTED in (said or ""):
            wrong.append(f"the error says the password: {said}")
        if enemy.has_led_elsewhere():
            wrong.append("it went elsewhere")
        enemy.close()
        return took, [f"{what}: {each}" for each in wrong]

    with ThreadPoolExecutor(24) as threads:
        ended = list(threads.map(attacked, sorted(cases, key=lambda case: case[1]["ends"] != "timed_out")))
    wrong = [each for _, wrong in ended for each in wrong]
    assert wrong == [], "\n".join(wrong)
    longest = max(took for took, _ in ended)
    counted = f"{len(cases)} behaviours against {driver}"
    print(f"promise: hostile servers: {counted}: 0 clear passwords, 0 file bytes, longest {longest:.1f} s")


def _forms(secret: str) -> list[str]:
    """How a password could be heard: as it is, hashed by MD5, in base64 wherever it begins, and in hexadecimal."""
    inner = hashlib.md5(secret.encode() + b"u").hexdigest()
    encoded = [base64.b64encode(b"x" * shift + secret.encode()).decode()[4:-4] for shift in range(3)]
    return [secret, hashlib.md5(inner.encode() + b"salt").hexdigest(), secret.encode().hex(), *encoded]
