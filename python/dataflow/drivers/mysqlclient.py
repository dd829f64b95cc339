"""MySQL and MariaDB by mysqlclient, over MariaDB's C library."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dataflow import tls
from dataflow._native import Credentials
from dataflow.drivers import mysql
from dataflow.drivers.base import Machine, text

# There are no arguments for these. 1 is TCP: otherwise “localhost” would mean a socket file, whatever the port.
_VERIFIED_OPTIONS = "[client]\nprotocol=1\n"
_OPTIONS = f"{_VERIFIED_OPTIONS}restricted-auth={','.join(mysql.HARMLESS_PLUGINS)}\n"


class MySQLClient:
    """mysqlclient. What it cannot do exactly is left to PyMySQL."""

    name = "mysql+mysqldb"
    is_async = False
    has_socket = True
    is_remote = True

    def refusal(self, credentials: Credentials) -> str | None:
        """See `Driver`."""
        mode = tls.mode(credentials)
        if credentials.hop is not None and mode != "disable":
            return (
                "mysqlclient holds the certificate's name against the address that it dials, which is not the host's where a "
                "connection goes through another one. Install PyMySQL."
            )
        if mode in ("verify-full", "disable") and _is_mariadb_library():
            return None
        if mode == "verify-ca":
            return "mysqlclient cannot verify a certificate without its host name. Install PyMySQL, or set TLS to verify-full."
        return (
            "mysqlclient, as it is built here, may give the password to a server that is not verified. Install PyMySQL, or set "
            "TLS to verify-full."
        )

    def arguments(self, credentials: Credentials, machine: Machine) -> dict[str, Any]:
        """See `Driver`."""
        material, is_verified = machine.material, tls.is_verified(credentials)
        given: dict[str, Any] = {
            **mysql.address(credentials),
            **({"host": machine.way.host, "port": machine.way.port} if machine.way else {}),
            "password": text(credentials, "password"),
            "database": text(credentials, "database"),
            "charset": mysql.charset(credentials),
            "connect_timeout": mysql.connect_timeout(credentials),
            "read_timeout": credentials.integer("extra.read_timeout") or 0,
            "local_infile": 0,
            "read_default_file": _options(material, is_verified),
            "ssl_mode": "VERIFY_IDENTITY" if is_verified else "DISABLED",
        }
        statement = mysql.session_statement(credentials)
        if statement:
            given["init_command"] = statement
        if is_verified:
            authority = credentials.expose_text("tls.ca")
            given["ssl"] = {"ca": material.path(authority) if authority else tls.system_bundle()}
            for name in ("cert", "key"):
                content = credentials.expose_text(f"tls.{name}")
                if content:
                    given["ssl"][name] = material.path(content)
        if mysql.refuses_keys_from_server(credentials):
            given["server_public_key_path"] = material.path(mysql.DEAD_KEY)
        return given

    def connect(self, dialect: Any, positional: tuple[Any, ...], arguments: Mapping[str, Any]) -> Any:
        """See `Driver`."""
        try:
            return dialect.loaded_dbapi.connect(*positional, **arguments)
        except dialect.loaded_dbapi.Error as error:
            failure = error
        # Outside of the block, or it would be the context of what is raised.
        raise _sound(failure)

    def url_password(self, credentials: Credentials) -> str:
        """See `Driver`."""
        return text(credentials, "password")

    def url_query(self, credentials: Credentials, machine: Machine) -> dict[str, str]:
        """See `Driver`."""
        is_verified = tls.checks_chain(credentials)
        query = {**mysql.url_query(credentials, machine), "read_default_file": _options(machine.material, is_verified)}
        if is_verified:
            # Without it the C library encrypts, but verifies nothing; what SQLAlchemy calls “check_hostname” it does not know.
            query["ssl_mode"] = "VERIFY_IDENTITY"
            del query["ssl_check_hostname"]
        return query


def _options(material: tls.Material, is_verified: bool) -> str:
    """The file of options that there are no arguments for."""
    return material.path(_VERIFIED_OPTIONS if is_verified else _OPTIONS)


def _sound(error: Exception) -> Exception:
    """The error, without the hole that mysqlclient 2.3 leaves in its arguments where the server's words are not UTF-8: who takes
    that argument out, as every error reporter does, ends with a segmentation fault. `repr` can show it."""
    if "<NULL>" not in repr(error.args):
        return error
    return type(error)(error.args[0], "the server's words are not UTF-8")


def _is_mariadb_library() -> bool:
    """Whether the C library knows `restricted-auth`: MariaDB's, whose versions are 3.x. MySQL's are 8 and above."""
    import MySQLdb

    return str(MySQLdb.get_client_info()).startswith("3.")


DRIVER = MySQLClient()
