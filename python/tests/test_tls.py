"""TLS modes, exactly: what each accepts and refuses, for each driver, against servers with a certificate for “localhost”."""

from __future__ import annotations

import asyncio
import gc
import itertools
import os

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from certificates import Authority
from dataflow import DriverUnsafe, tls

POSTGRES = ["psycopg", "psycopg2", "asyncpg"]
MYSQL = ["pymysql", "mysqlclient", "aiomysql"]


@pytest.fixture
def attempt(request, dataflow, server, only_driver):
    """Connects with one driver under the given TLS fields and returns whether the session is encrypted."""
    numbers = itertools.count()

    def connect(driver: str, host: str = "127.0.0.1", **fields: object) -> bool:
        only_driver(driver)
        is_postgres = driver in POSTGRES
        database = request.getfixturevalue("postgres" if is_postgres else "mariadb")
        database.set_password("secure", "first")
        transport = {"mode": "disable", "ca": None, "cert": None, "key": None, **fields}
        name = f"secure-{next(numbers)}"
        type_id = "postgres" if is_postgres else "mariadb"
        server.put(name, type_id, **database.fields("secure", "first", host=host, tls=transport))
        query = text(
            "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
            if is_postgres
            else "SELECT variable_value <> '' FROM information_schema.session_status WHERE variable_name = 'Ssl_cipher'"
        )
        if driver not in ("asyncpg", "aiomysql"):
            with dataflow.connection(name) as session:
                return bool(session.execute(query).scalar())

        async def use() -> bool:
            engine = dataflow.connection(name, "async_engine")
            try:
                async with engine.connect() as connection:
                    return bool((await connection.execute(query)).scalar())
            finally:
                await engine.dispose()

        return asyncio.run(use())

    return connect


@pytest.fixture
def authority(request):
    def of(driver: str) -> Authority:
        found: Authority = request.getfixturevalue("postgres" if driver in POSTGRES else "mariadb").authority
        return found

    return of


@pytest.mark.parametrize("driver", POSTGRES + MYSQL)
def test_verify_full(attempt, authority, driver):
    ca = authority(driver).pem
    assert attempt(driver, host="localhost", mode="verify-full", ca=ca)
    _refuses(attempt, driver, host="127.0.0.1", mode="verify-full", ca=ca)
    _refuses(attempt, driver, host="localhost", mode="verify-full", ca=Authority.make("Another CA").pem)
    _refuses(attempt, driver, host="localhost", mode="verify-full")  # the system's authorities do not know it


@pytest.mark.parametrize("driver", POSTGRES + MYSQL)
def test_verify_ca(attempt, authority, driver):
    ca = authority(driver).pem
    if driver == "mysqlclient":
        with pytest.raises(DriverUnsafe, match="verify-full"):
            attempt(driver, mode="verify-ca", ca=ca)
        return
    assert attempt(driver, host="127.0.0.1", mode="verify-ca", ca=ca)
    _refuses(attempt, driver, mode="verify-ca", ca=Authority.make("Another CA").pem)
    _refuses(attempt, driver, mode="verify-ca")


@pytest.mark.parametrize("driver", POSTGRES + MYSQL)
def test_require_and_disable(attempt, driver):
    assert not attempt(driver, mode="disable")
    if driver == "mysqlclient":
        with pytest.raises(DriverUnsafe, match="PyMySQL"):
            attempt(driver, mode="require")
        return
    assert attempt(driver, mode="require")


@pytest.mark.parametrize("driver", POSTGRES + MYSQL)
def test_a_client_certificate_is_given_from_memory(attempt, authority, request, driver):
    certificate, key = authority(driver).issue("secure")
    if driver in POSTGRES:
        postgres = request.getfixturevalue("postgres")
        hba = postgres.data / "pg_hba.conf"
        before = hba.read_text()
        hba.write_text("hostssl all secure all cert\n" + before)
        postgres.execute("SELECT pg_reload_conf()")
        request.addfinalizer(lambda: (hba.write_text(before), postgres.execute("SELECT pg_reload_conf()")))
    else:
        mariadb = request.getfixturevalue("mariadb")
        mariadb.set_password("secure", "first")
        mariadb.execute("ALTER USER secure@'%' REQUIRE X509")
        request.addfinalizer(lambda: mariadb.execute("ALTER USER secure@'%' REQUIRE NONE"))
    ca = authority(driver).pem
    assert attempt(driver, host="localhost", mode="verify-full", ca=ca, cert=certificate, key=key)
    _refuses(attempt, driver, host="localhost", mode="verify-full", ca=ca)


@pytest.mark.parametrize("has_memory_files", [True, False])
def test_files_of_tls_material_are_private_and_go_with_their_owner(monkeypatch, tmp_path, has_memory_files):
    monkeypatch.setattr(tls.tempfile, "tempdir", str(tmp_path))
    if not has_memory_files:
        monkeypatch.delattr(os, "memfd_create", raising=False)
    before = set(os.listdir("/proc/self/fd"))
    material = tls.Material()
    path = material.path("-----BEGIN PRIVATE KEY-----")
    assert material.path("-----BEGIN PRIVATE KEY-----") == path
    with open(path) as file:
        assert file.read() == "-----BEGIN PRIVATE KEY-----"
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == ([] if has_memory_files else [tmp_path / os.path.basename(path)])
    del material
    gc.collect()
    assert list(tmp_path.iterdir()) == []
    assert set(os.listdir("/proc/self/fd")) <= before


def _refuses(attempt, driver: str, **fields: object) -> None:
    with pytest.raises((OperationalError, OSError, Exception)) as caught:
        attempt(driver, **fields)
    said = f"{caught.value} {getattr(getattr(caught.value, 'orig', None), '__cause__', None)}".lower()
    assert any(word in said for word in ("certificate", "host", "ssl", "tls", "access denied")), said
