"""The URL of a type that a workspace has made itself: parts with placeholders for fields, filled in from a connection.

Each part is filled by itself and handed to `URL.create`, so that no value can leave its place, whatever it holds.
"""

from __future__ import annotations

import re
from typing import Any, Callable, cast

from dataflow._native import Credentials
from dataflow.errors import UnsupportedConnection

_MARKS = re.compile(r"\{\{|\}\}|\{([^{}]*)\}")
_PARTED = re.compile(r"[+.]")
_PLACE = ("username", "password", "host", "port", "database")
_ADDRESS = ("host", "port")
_SHOWN = frozenset({"username", "host", "port", "database"})
"""Fields that are no secret, whatever type it is. Of the others it is not known here, so that none of them is shown."""

# What a template's query may say to a driver of ours, and the field that means the same: it only names the session, or bounds it.
HARMLESS = {
    "postgresql": {"application_name": "extra.application_name", "connect_timeout": "extra.connect_timeout"},
    "mysql": {"charset": "extra.charset", "connect_timeout": "extra.connect_timeout", "read_timeout": "extra.read_timeout"},
}
_ONLY_TLS = re.compile(r"\{tls\.[a-z_]+\}")


class Template:
    """The parts of a URL, with placeholders."""

    def __init__(self, parts: dict[str, Any]) -> None:
        self.drivername = str(parts["drivername"])
        self._parts = {name: str(parts[name]) for name in _PLACE if name in parts}
        self.query = {str(name): str(value) for name, value in (parts.get("query") or {}).items()}

    @property
    def dialect(self) -> str:
        """`exa` of `exa+websocket`, or of `exa.websocket`, which SQLAlchemy takes for the same."""
        return _PARTED.split(self.drivername)[0]

    @property
    def backend(self) -> str:
        """The same, and what is MySQL's for MariaDB, too."""
        return "mysql" if self.dialect == "mariadb" else self.dialect

    @property
    def driver(self) -> str:
        """`websocket`; empty where the dialect chooses one itself."""
        return "".join(_PARTED.split(self.drivername, maxsplit=1)[1:])

    def names_tls(self) -> bool:
        """Whether anything of it comes from what the connection says of TLS."""
        return any(path.startswith("tls.") for text in self._texts() for path in _paths(text))

    def has_bare_place(self) -> bool:
        """Whether host and port are those fields and nothing more, and stand nowhere else."""
        elsewhere = [text for name, text in self._parts.items() if name not in _ADDRESS] + [*self.query.values()]
        is_bare = all(self._parts.get(name) == f"{{{name}}}" for name in _ADDRESS)
        return is_bare and not any(path in _ADDRESS for text in elsewhere for path in _paths(text))

    def _texts(self) -> list[str]:
        return [*self._parts.values(), *self.query.values()]

    def place(self, fields: _Reader) -> dict[str, Any]:
        """Username, password, host, port and database. What has only placeholders that are unset is left out."""
        filled = {name: _fill(text, fields) for name, text in self._parts.items()}
        place: dict[str, Any] = {name: value for name, value in filled.items() if value is not None}
        if "host" in place:
            place["host"] = place["host"].strip("[]")
        if "port" in place:
            place["port"] = _number(place["port"], fields)
        return place

    def filled_query(self, fields: _Reader) -> dict[str, str]:
        """The query, likewise."""
        filled = {name: _fill(text, fields) for name, text in self.query.items()}
        return {name: value for name, value in filled.items() if value is not None}

    def shown(self, fields: _Reader) -> tuple[dict[str, Any], dict[str, str]]:
        """Place and query as far as they hold no field that may be a secret: those are in the password, or in the query."""
        place = {name: value for name, value in self.place(fields).items() if name != "password"}
        query = {name: value for name, value in self.filled_query(fields).items() if set(_paths(self.query[name])) <= _SHOWN}
        return place, query

    def secrets(self, fields: _Reader) -> list[str]:
        """What may be one: a text that stands in its password or its query. Which fields are secret is not known here, but that
        the server lets none of them stand elsewhere."""
        texts = [self._parts.get("password", ""), *self.query.values()]
        paths = {path for text in texts for path in _paths(text)} - _SHOWN
        return [value for value in map(fields.only_text, paths) if value]


class _Reader:
    """The fields of a connection as texts, with some of them replaced."""

    def __init__(self, credentials: Credentials, way: tuple[str, int] | None = None) -> None:
        self._credentials = credentials
        self._replaced: dict[str, str] = {} if way is None else {"host": way[0], "port": str(way[1])}

    @property
    def name(self) -> str:
        return self._credentials.name

    def only_text(self, path: str) -> str | None:
        """The text at a path; `None` if it is unset, or is no text."""
        return self._credentials.expose_text(path)

    def text(self, path: str) -> str | None:
        """The value at a path, in clear; `None` if it is unset."""
        if path in self._replaced:
            return self._replaced[path]
        number, truth = self._credentials.integer(path), self._credentials.boolean(path)
        if truth is not None:
            return "true" if truth else "false"
        return self._credentials.expose_text(path) if number is None else str(number)


def read(credentials: Credentials, way: tuple[str, int] | None = None) -> _Reader:
    """A connection's fields for a template; `way` stands in for host and port."""
    return _Reader(credentials, way)


def template_of(credentials: Credentials) -> Template | None:
    """The template of the connection's type, if it has one."""
    parts = credentials.url_template
    return None if parts is None else Template(parts)


class Placed:
    """Credentials whose place is where a template puts it, for a driver that knows where it looks."""

    def __init__(self, credentials: Credentials, template: Template) -> None:
        # Functions, so that whoever looks through attributes finds no value.
        self._place: Callable[[], dict[str, Any]] = lambda: template.place(_Reader(credentials))
        self._query: Callable[[], dict[str, str]] = lambda: template.filled_query(_Reader(credentials))
        self._backend = template.backend
        self._credentials = credentials
        self._harmless = {field: name for name, field in HARMLESS.get(template.backend, {}).items() if name in template.query}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._credentials, name)

    def __repr__(self) -> str:
        return repr(self._credentials)

    @property
    def dialect(self) -> str:
        """Of the driver: MySQL's for MariaDB, too."""
        return self._backend

    def expose_text(self, path: str) -> str | None:
        """The text at a path."""
        if path in _PLACE:
            found = self._place().get(path)
            return None if found is None or path == "port" else str(found)
        if path in self._harmless:
            return self._query().get(self._harmless[path])
        return self._credentials.expose_text(path)

    def integer(self, path: str) -> int | None:
        """The whole number at a path."""
        if path == "port":
            found: int | None = self._place().get("port")
            return found
        if path in self._harmless:
            said = self._query().get(self._harmless[path])
            return None if said is None else _number(said, _Reader(self._credentials), self._harmless[path])
        if path in _PLACE:
            return None
        return self._credentials.integer(path)


def placed(credentials: Credentials, template: Template) -> Credentials:
    """The credentials for a driver of ours. Raises `UnsupportedConnection` where the template asks for what that does not do."""
    for name, text in template.query.items():
        if name in HARMLESS.get(template.backend, {}) or _ONLY_TLS.fullmatch(text):
            continue
        raise UnsupportedConnection(
            f"“{credentials.name}” cannot be opened: the URL of its type says “{name}”, which the SDK's drivers for "
            f"{template.backend} take from no URL. TLS is said by the connection's own fields. Take it out of the type's URL."
        )
    return cast(Credentials, Placed(credentials, template))


def _paths(text: str) -> list[str]:
    return [found[1] for found in _MARKS.finditer(text) if found[1] is not None]


def _fill(text: str, fields: _Reader) -> str | None:
    values = {path: fields.text(path) for path in _paths(text)}
    if values and all(value is None or value == "" for value in values.values()):
        return None

    def value(found: re.Match[str]) -> str:
        return found[0][0] if found[1] is None else values[found[1]] or ""

    return _MARKS.sub(value, text)


def _number(said: str, fields: _Reader, what: str = "port") -> int:
    if said.isascii() and said.isdigit():
        return int(said)
    raise UnsupportedConnection(f"“{fields.name}” cannot be opened: its {what} is no number.")
