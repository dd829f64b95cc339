"""TLS beside the matrix of `test_certificates.py`: the system's authorities, and client certificates."""

from __future__ import annotations

import itertools

import pytest

from using import MYSQL, POSTGRES, first_row, words_of


@pytest.fixture(params=[("postgres", module) for module in POSTGRES] + [("mariadb", module) for module in MYSQL])
def secure(request, server, only_driver, dataflow):
    """A server of each kind, with each driver in turn, and what connects to it under the given TLS fields."""
    kind, module = request.param
    database, driver = request.getfixturevalue(kind), only_driver(module)
    database.set_password("secure", "first")
    numbers = itertools.count()

    def connect(mode: str, **fields: str) -> None:
        transport = {"mode": mode, "ca": None, "cert": None, "key": None, **fields}
        name = f"secure-{next(numbers)}"
        server.put(name, kind, **database.fields("secure", "first", host="localhost", tls=transport))
        assert first_row(dataflow, name, driver=driver) == [1]

    return database, connect


def test_without_a_ca_the_systems_authorities_decide(secure):
    _, connect = secure
    with pytest.raises(Exception) as refused:
        connect("verify-full")
    assert "certificate" in words_of(refused.value)


def test_a_client_certificate_is_given_from_memory(secure):
    database, connect = secure
    certificate, key = database.authority.issue("secure")
    ca = database.authority.pem
    with database.demanding_a_client_certificate("secure"):
        connect("verify-full", ca=ca, cert=certificate, key=key)
        with pytest.raises(Exception) as refused:
            connect("verify-full", ca=ca)
    assert "certificate" in words_of(refused.value) or "access denied" in words_of(refused.value)
