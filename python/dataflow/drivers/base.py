"""What every driver module offers to the engine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Callable, NamedTuple, Optional, Protocol, runtime_checkable

from dataflow._native import Credentials
from dataflow.tls import Material

CONNECT_TIMEOUT = 10
"""Seconds to connect, unless the connection says otherwise."""


class Way(NamedTuple):
    """Where a driver connects instead of to the host, and how it finds out where the next time."""

    host: str
    port: int
    again: Callable[[], tuple[str, int]]
    """Makes a way ready once more, for a driver that opens sockets by itself. Raises `HopFailed`."""


class Machine(NamedTuple):
    """What a driver may need of this machine."""

    material: Material
    sqlite_folder: Path | None
    renew: Optional[Callable[[str], Optional[Credentials]]] = None  # noqa: UP045 - read by Python 3.9, too
    """For a driver that signs in with each request: what the name stands for now, if that is not of the fingerprint any more that
    was refused."""
    way: Optional[Way] = None  # noqa: UP045
    """Where to connect instead of to the connection's host, which keeps its name for TLS: the connection goes through a hop."""


class Driver(Protocol):
    """One Python driver of one dialect."""

    name: str
    """SQLAlchemy's `dialect+driver`."""
    is_async: bool
    has_socket: bool
    """Whether a connection is a socket, which can break while it lies in the pool. One over HTTP opens another by itself."""
    is_remote: bool
    """Whether connecting asks somebody else, who may take long."""

    def refusal(self, credentials: Credentials) -> str | None:
        """Why this driver must not open the connection; `None` if it may."""

    def arguments(self, credentials: Credentials, machine: Machine) -> dict[str, Any]:
        """The driver's own arguments for `connect`, password and all: hand them to the driver and keep none."""

    def connect(self, dialect: Any, positional: tuple[Any, ...], arguments: Mapping[str, Any]) -> Any:
        """Opens one connection: `arguments` are SQLAlchemy's own, and over them those of `arguments`."""

    def url_password(self, credentials: Credentials) -> str:
        """The password as the driver understands it in a URL; empty if there is none."""

    def url_query(self, credentials: Credentials, machine: Machine) -> dict[str, str]:
        """What a URL must say beside host, user and database so that it connects as the engine does, as far as it can."""


@runtime_checkable
class Abandons(Protocol):
    """A driver that can break off an attempt to connect that takes too long. The others leave it to itself."""

    def abandon(self, arguments: Mapping[str, Any]) -> None:
        """Ends the attempt that was given these arguments."""


@runtime_checkable
class PlacesItself(Protocol):
    """A driver whose URL names the place in another way than host, port, user and database."""

    def url_place(self, credentials: Credentials, machine: Machine) -> dict[str, Any]:
        """What of the place the URL has otherwise."""


@runtime_checkable
class ShowsItself(Protocol):
    """A driver whose engine has a URL of another form."""

    def shown_url(self, credentials: Credentials) -> Any:
        """The engine's URL, without a secret."""


@runtime_checkable
class NamesBoth(Protocol):
    """A driver whose URL names the address to dial and, beside it, the host that the certificate has to name."""

    def url_way(self, machine: Machine) -> tuple[dict[str, Any], dict[str, str]]:
        """What of place and query a URL has otherwise, where the connection goes through another one."""


def text(credentials: Credentials, path: str) -> str:
    """The text at a path, empty if it is unset."""
    return credentials.expose_text(path) or ""
