"""Any dialect that SQLAlchemy finds, for types that a workspace has made itself.

The dialect makes its own arguments of a URL that is made anew for each connect. What it does about TLS, and what it answers to a
server that is not who it should be, is what the type's URL says: the SDK does not know the driver. So it opens none whose URL is
silent about a TLS that the server's test holds to.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from sqlalchemy import exc
from sqlalchemy.engine import URL
from sqlalchemy.util import await_only, greenlet_spawn

from dataflow import own_types
from dataflow._native import Credentials
from dataflow.drivers.base import CONNECT_TIMEOUT, Machine
from dataflow.errors import DriverMissing, UnsupportedConnection
from dataflow.scrub import operational_error

_PLUGINS = frozenset({"plugin", "plugins"})
"""By these SQLAlchemy loads and runs any package that is installed."""

_READS_FILES = frozenset(
    {
        "allowloadlocalinfile",
        "allowloadlocalinfileinpath",
        "allowlocalinfile",
        "allowlocalinfileinpath",
        "defaultfile",
        "localinfile",
        "optionfiles",
        "optiongroups",
        "passfile",
        "readdefaultfile",
        "readdefaultgroup",
        "servicefile",
    }
)
"""By these drivers of MySQL's and PostgreSQL's protocols, under whichever dialect, let a server fetch files of this machine, or
take host, password and TLS from a file of the user's. Without the signs between their words."""


def refusal(credentials: Credentials, template: own_types.Template) -> str | None:
    """Why a URL must not be opened, whichever driver it is for; `None` if it may."""
    for name, value in template.query.items():
        if name.lower() in _PLUGINS:
            return f"The URL of its type says “{name}”, by which SQLAlchemy would run other code. Take it out of the type's URL."
        if _reads_files(name, value, credentials.base):
            return f"The URL of its type says “{name}”, by which files of this machine are read. Take it out of the type's URL."
    mode = credentials.expose_text("tls.mode")
    if credentials.base != "generic" and mode and mode != "disable" and not template.names_tls():
        return (
            f"Its TLS is {mode}, and the URL of its type says nothing of TLS, so that {template.drivername} may connect without "
            "it. Let the URL name it, as in ?sslmode={tls.mode}, or however the driver has it."
        )
    if credentials.hop is not None and not template.has_bare_place():
        return (
            f"It goes through “{credentials.hop.name}”, for which the URL of its type needs exactly {{host}} and {{port}} as its "
            "host and its port, and neither of them anywhere else."
        )
    return None


def _reads_files(name: str, value: str, base: str) -> bool:
    plain = re.sub(r"[-_.]", "", name.lower())
    if "infile" in plain and value.lower() in ("0", "false"):
        return False
    return plain in _READS_FILES or (plain == "service" and base == "postgres")


class AnyDialect:
    """One dialect with its driver, by the name that a URL has it under."""

    has_socket = True
    """Where none is found, a pooled connection is asked whether it works."""
    is_remote = True

    def __init__(self, name: str, *, is_async: bool) -> None:
        self.name = name
        self.is_async = is_async

    def refusal(self, credentials: Credentials) -> str | None:
        """See `Driver`."""
        return refusal(credentials, _template(credentials))

    def arguments(self, credentials: Credentials, machine: Machine) -> dict[str, Any]:
        """See `Driver`. A URL, of which the dialect makes what its driver takes."""
        limit = credentials.integer("extra.connect_timeout") or CONNECT_TIMEOUT
        return {"url": whole_url(credentials, machine.way and (machine.way.host, machine.way.port)), "within": limit}

    def connect(self, dialect: Any, positional: tuple[Any, ...], arguments: Mapping[str, Any]) -> Any:  # noqa: ARG002
        """See `Driver`. What SQLAlchemy made of the engine's URL may be out of date."""
        given, named = dialect.create_connect_args(arguments["url"])
        if not self.is_async:
            return dialect.connect(*given, **named)
        within = arguments["within"]
        try:
            return await_only(asyncio.wait_for(greenlet_spawn(dialect.connect, *given, **named), within))
        except asyncio.TimeoutError:
            pass
        raise operational_error(dialect.loaded_dbapi, f"connecting took longer than {within} s")

    def url_password(self, credentials: Credentials) -> str:
        """See `Driver`."""
        return whole_url(credentials, None).password or ""

    def url_query(self, credentials: Credentials, machine: Machine) -> dict[str, str]:  # noqa: ARG002
        """See `Driver`."""
        return _template(credentials).filled_query(own_types.read(credentials))

    def shown_url(self, credentials: Credentials) -> URL:
        """For a person who prints the engine, and for the dialect to be set up by."""
        place, query = _template(credentials).shown(own_types.read(credentials))
        return URL.create(self.name, query=query, **place)


def whole_url(credentials: Credentials, way: tuple[str, int] | None) -> URL:
    """The URL with all that it says. Where the connection goes through a hop, that begins in place of host and port."""
    template = _template(credentials)
    fields = own_types.read(credentials, way)
    return URL.create(template.drivername, query=template.filled_query(fields), **template.place(fields))


def _template(credentials: Credentials) -> own_types.Template:
    template = own_types.template_of(credentials)
    if template is None:
        raise UnsupportedConnection(f"“{credentials.name}” is of a type without a URL now. Call connection() again.")
    return template


@cache
def driver(name: str, is_async: bool) -> AnyDialect:
    """Raises `DriverMissing` where nothing that is installed brings the dialect, or what it stands on."""
    try:
        dialect = URL.create(name).get_dialect(_is_async=is_async)
        if is_async and not dialect.is_async:
            raise UnsupportedConnection(f'The dialect “{name}” is not for asyncio. Use mode="engine".')
        if not is_async and dialect.is_async:
            raise UnsupportedConnection(f'The dialect “{name}” is for asyncio. Use mode="async_engine".')
        dialect.import_dbapi()
    except exc.NoSuchModuleError:
        said = f"No package that is installed brings SQLAlchemy the dialect “{name}”. Install the one that does."
    except ImportError as error:
        said = f"What the dialect “{name}” opens databases with is not installed: {error.name or error}. Install it."
    else:
        return AnyDialect(name, is_async=is_async)
    raise DriverMissing(said)
