"""No password goes to a server that is not verified and asks for it in a form that it could use."""

from __future__ import annotations

import hashlib

import pytest

import hostile
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

    def connect(driver: str, type_id: str, mode: str, exchange, **extra: str) -> bytes:
        chosen = only_driver(driver)
        enemy = hostile.HostileServer(exchange, tmp_path)
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
