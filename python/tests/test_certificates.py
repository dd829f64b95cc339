"""Every shape of server certificate under every TLS mode, for every driver: the verdicts of `docs/certificates.md`.

`tests/tests/tls_matrix.rs` holds the connectors, which test connections, to the same table.
"""

from __future__ import annotations

import itertools
import re
import sys

import pytest
from sqlalchemy import create_engine

from dataflow import DriverUnsafe, drivers
from servers import REPOSITORY
from using import MYSQL, POSTGRES, first_row, words_of

MEANINGS = (
    (r"certificate has expired", {"certificate_expired"}),
    (r"self[- ]signed certificate|unable to get local issuer", {"certificate_untrusted"}),
    (r"hostname mismatch|does not match host name|validation of ssl server certificate failed", {"certificate_wrong_host"}),
    (r"does not support (it|ssl)|doesn't support it|rejected ssl upgrade|offers no tls", {"tls_not_offered"}),
    # All that libpq says.
    (r"ssl error: certificate verify failed", {"certificate_expired", "certificate_untrusted"}),
)
"""The words of the drivers, and what they may mean. The first that is found counts."""


def _tables() -> list[tuple[list[str], list[list[str]]]]:
    """The head and the rows of each table of the page."""
    page = (REPOSITORY / "docs/certificates.md").read_text()
    tables = []
    for found in re.findall(r"(?:^\|.*\|\n)+", page, re.MULTILINE):
        head, _, *rows = ([cell.strip(" `") for cell in line.strip("|").split("|")] for line in found.splitlines())
        tables.append((head, rows))
    return tables


(HEAD, ROWS), (DRIVERS_HEAD, DRIVERS_ROWS) = _tables()
MODES = HEAD[2:]
REFUSALS = {row[0]: dict(zip(MODES, row[1:])) for row in DRIVERS_ROWS}


def test_the_page_names_every_driver_of_a_server():
    choices = [choice for kind in (drivers._SYNC, drivers._ASYNC) for name in ("postgresql", "mysql") for choice in kind[name]]
    assert DRIVERS_HEAD[1:] == MODES
    assert sorted(REFUSALS) == sorted(choice.module for choice in choices) == sorted(POSTGRES + MYSQL)
    assert {verdict for row in REFUSALS.values() for verdict in row.values()} <= {"as above", "refused"}


MATRICES = [
    ("postgres", POSTGRES),
    ("mariadb", MYSQL),
    # MySQL 9 takes seconds to start, for each certificate anew.
    pytest.param("mysql", MYSQL, marks=pytest.mark.lengthy),
]


@pytest.mark.parametrize(("kind", "modules"), MATRICES)
def test_every_driver_agrees_with_the_page(request, dataflow, server, only_driver, kind, modules):
    database = request.getfixturevalue(kind)
    database.set_password("secure", "first")
    numbers, wrong = itertools.count(), []

    def verdict(module: str, mode: str, ca: str) -> set[str]:
        name = f"secure-{next(numbers)}"
        transport = {"mode": mode, "ca": ca, "cert": None, "key": None}
        server.put(name, kind, **database.fields("secure", "first", host="localhost", tls=transport))
        try:
            (is_encrypted,) = first_row(dataflow, name, database.is_encrypted, only_driver(module))
        except Exception as error:
            return _meaning(error)
        assert bool(is_encrypted) == (mode != "disable"), f"{module} under {mode}"
        return {"works"}

    for shape, trusted, *expected in ROWS:
        identity = None if shape == "none" else database.authority.shaped(shape)
        ca = {"the authority": database.authority.pem, "the certificate": (identity or ("",))[0]}[trusted]
        with database.showing(identity):
            for module, (mode, wanted) in itertools.product(modules, zip(MODES, expected)):
                is_refused = REFUSALS[module][mode] == "refused"
                found = verdict(module, mode, ca)
                if ("refused" if is_refused else wanted) not in found:
                    wrong.append(f"{shape}, {trusted} trusted, {mode}, {module}: {found} instead of {wanted}")
    assert wrong == [], "\n".join(wrong)


@pytest.mark.parametrize(("kind", "modules"), MATRICES)
def test_a_url_opens_no_server_that_the_page_refuses(request, dataflow, server, only_driver, kind, modules):
    database = request.getfixturevalue(kind)
    database.set_password("secure", "first")
    wrong = []
    for shape, trusted, *expected in ROWS:
        identity = None if shape == "none" else database.authority.shaped(shape)
        ca = {"the authority": database.authority.pem, "the certificate": (identity or ("",))[0]}[trusted]
        verified = [(mode, wanted) for mode, wanted in zip(MODES, expected) if mode.startswith("verify")]
        with database.showing(identity):
            for module, (mode, wanted) in itertools.product(modules, verified):
                driver = only_driver(module)
                if driver.is_async or REFUSALS[module][mode] == "refused":
                    continue
                if (module, trusted) == ("pymysql", "the certificate") and sys.version_info >= (3, 13):
                    continue  # as the page says
                name = f"url-{len(wrong)}-{shape}-{trusted}-{module}-{mode}".replace(" ", "-")
                transport = {"mode": mode, "ca": ca, "cert": None, "key": None}
                server.put(name, kind, **database.fields("secure", "first", host="localhost", tls=transport))
                found = _opened_by_url(dataflow, name)
                if (found == {"works"}) != (wanted == "works"):
                    wrong.append(f"{shape}, {trusted} trusted, {mode}, {module}: {found} instead of {wanted}")
    assert wrong == [], "\n".join(wrong)


def _opened_by_url(dataflow, name: str) -> set[str]:
    engine = create_engine(dataflow.connection(name, "url"))
    try:
        with engine.connect():
            return {"works"}
    except Exception as error:
        return _meaning(error)
    finally:
        engine.dispose()


def _meaning(error: BaseException) -> set[str]:
    if isinstance(error, DriverUnsafe):
        return {"refused"}
    said = words_of(error)
    return next((causes for words, causes in MEANINGS if re.search(words, said)), {said})
