"""What the MySQL drivers share: typed settings, and which sign-in is harmless where the server is not verified."""

from __future__ import annotations

from typing import Any

from dataflow import tls
from dataflow._native import Credentials
from dataflow.drivers.base import CONNECT_TIMEOUT, Machine, text

HARMLESS_PLUGINS = ("mysql_native_password", "client_ed25519", "caching_sha2_password")
"""They answer a challenge and never send the password; the last does so as long as it knows a key that is the server's."""

_KEY_BODY = """MIIBojANBgkqhkiG9w0BAQEFAAOCAY8AMIIBigKCAYEA0pYgkjoogU5PXSuZtNmA
mseGNewO2S/Jb6N2jLKNLXSeKf2eeVIhcNwbUeM8clTR25SYLv/YXHHr3wLE0b8L
hm7G1NUySOOOqIJeG3N5x+OmAZ6YR3jKHhsD3im56qrso01adCNfmxPRLM0LFVgL
FLtv+QhtQK17WxN2Wn/T/kC8kXnACu/861Csvf6yqLu35tbcNr87VTymsGUbxdAs
qxeTBhilul+w+8YKiSbQ2t+xhi9dsi6YaD5fc86MOkEtvcDPNjOq9fDCZ7ZLzG7r
qhdoSQkZNiU1A7wkJV56Dj5+O7twYOWaBPRoDu3J8Id9e1kjN/uiAtL3skjfeoa7
idKV/1QthHkQbzNLo1tQcKM7beqC6Hg9gOgsrS6JP3OnI0+PjHhOIaxs6aZxr5jX
SrSjfJGE+VSSMSIVMN6Lw1UyDR/h65P+W0xigQSZY6Twrgmd577bn2tjWmvSEv3c
krZF4ORUJ4dfQMF1LhG1/UVpE4o68tbylZQyrgZSFHdfAgMBAAE="""

DEAD_KEY = f"-----BEGIN PUBLIC KEY-----\n{_KEY_BODY}\n-----END PUBLIC KEY-----\n"
"""An RSA key whose private half was never kept. A driver that holds it encrypts the password to nobody instead of to whatever
key a server presents, so that the full exchange of `caching_sha2_password` fails (error 1045) and its fast path works."""


def address(credentials: Credentials) -> dict[str, Any]:
    """Where to connect and as whom, by the names that PyMySQL and mysqlclient share."""
    return {
        "host": text(credentials, "host"),
        "port": credentials.integer("port") or 3306,
        "user": text(credentials, "username"),
    }


def connect_timeout(credentials: Credentials) -> int:
    """Seconds."""
    return credentials.integer("extra.connect_timeout") or CONNECT_TIMEOUT


def charset(credentials: Credentials) -> str:
    """The character set of the session."""
    return credentials.expose_text("extra.charset") or "utf8mb4"


def session_statement(credentials: Credentials) -> str | None:
    """One statement that applies the session settings for which drivers have no argument."""
    assignments = []
    for path, variable in (("extra.time_zone", "time_zone"), ("extra.sql_mode", "sql_mode")):
        value = credentials.expose_text(path)
        if value:
            assignments.append(f"{variable} = {_literal(value)}")
    return f"SET SESSION {', '.join(assignments)}" if assignments else None


def _literal(value: str) -> str:
    """A string literal that no quote or backslash can leave, under any `sql_mode`: hexadecimal, with its character set."""
    return f"CONVERT(0x{value.encode().hex()} USING utf8mb4)"


def refuses_keys_from_server(credentials: Credentials) -> bool:
    """Whether the driver gets the dead key: TLS is not verified and no admin has allowed the RSA exchange."""
    return not tls.is_verified(credentials) and credentials.expose_text("extra.insecure_auth") != "mysql_rsa"


def wire_password(credentials: Credentials) -> str:
    """For drivers that encode a `str` as latin-1: what puts its UTF-8 on the wire."""
    return text(credentials, "password").encode().decode("latin-1")


def refusal(plugin: str) -> str:
    """Why a sign-in was broken off."""
    shown = "".join(letter for letter in plugin if letter.isalnum() or letter == "_")[:40]
    return (
        f"the server asks for the sign-in “{shown}”, which would give it the password, and it is not verified. "
        "Set the connection's TLS to verify-full"
    )


def url_query(credentials: Credentials, machine: Machine) -> dict[str, str]:
    """What a URL can say. It cannot keep a driver from answering a harmful sign-in of a server that is not verified."""
    query = {"charset": charset(credentials), "connect_timeout": str(connect_timeout(credentials))}
    if tls.checks_chain(credentials):
        authority = credentials.expose_text("tls.ca")
        query["ssl_ca"] = machine.material.path(authority) if authority else tls.system_bundle()
        query["ssl_check_hostname"] = "true" if tls.mode(credentials) == "verify-full" else "false"
        certificate, key = credentials.expose_text("tls.cert"), credentials.expose_text("tls.key")
        if certificate and key:
            query["ssl_cert"], query["ssl_key"] = machine.material.path(certificate), machine.material.path(key)
    return query
