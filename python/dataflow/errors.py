"""What can go wrong, as one tree. No text here ever holds a password."""

from __future__ import annotations


class DataflowError(RuntimeError):
    """Any error of this package. Errors of a database itself stay SQLAlchemy's."""


class NotSignedIn(DataflowError):
    """Nothing says where the server is or which token to use."""


class InvalidConfiguration(DataflowError):
    """A setting was found and cannot be used."""


class InvalidName(DataflowError):
    """No connection can have this name."""


class AccessDenied(DataflowError):
    """The token may not use this connection."""


class TokenRefused(AccessDenied):
    """The token is unknown, has expired or was revoked."""


class ConnectionNotFound(DataflowError):
    """The workspace has no connection of this name that the token may see."""

    def __init__(self, message: str, name: str = "") -> None:
        super().__init__(message)
        self.name = name


class ConnectionDeleted(ConnectionNotFound):
    """The connection was deleted. One of the same name mends the program, with no restart."""

    def __init__(
        self,
        message: str,
        name: str = "",
        deleted_by: str | None = None,
        deleted_at: str | None = None,
        reason: str | None = None,
        use_instead: str | None = None,
    ) -> None:
        super().__init__(message, name)
        self.deleted_by = deleted_by
        self.deleted_at = deleted_at
        self.reason = reason
        self.use_instead = use_instead


class ServerUnavailable(DataflowError):
    """The Dataflow server does not answer, and no answer of the last hour is held."""


class HopFailed(DataflowError):
    """The way through another connection (an SSH server, a proxy) leads nowhere: it refused the sign-in, or the host beyond."""

    def __init__(self, message: str, hop: str = "") -> None:
        super().__init__(message)
        self.hop = hop


class UnsupportedConnection(DataflowError):
    """This kind of connection cannot be opened in the way that was asked."""


class DriverMissing(UnsupportedConnection):
    """The database's Python driver is not installed."""


class DriverUnsafe(UnsupportedConnection):
    """The driver cannot protect the password from a hostile server under this connection's TLS mode."""


class DatabaseFileMissing(DataflowError):
    """The SQLite file is not on this machine."""
