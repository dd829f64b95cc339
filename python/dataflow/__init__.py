"""Use a database by its name, with no password in the code.

>>> from dataflow.dataflow import Dataflow
>>> db = Dataflow().connection("sales")  # doctest: +SKIP
"""

from dataflow.dataflow import Dataflow
from dataflow.errors import (
    AccessDenied,
    ConnectionDeleted,
    ConnectionNotFound,
    DatabaseFileMissing,
    DataflowError,
    DriverMissing,
    DriverUnsafe,
    HopFailed,
    InvalidConfiguration,
    InvalidName,
    NotSignedIn,
    ServerUnavailable,
    TokenRefused,
    UnsupportedConnection,
)

__all__ = [
    "AccessDenied",
    "ConnectionDeleted",
    "ConnectionNotFound",
    "DatabaseFileMissing",
    "Dataflow",
    "DataflowError",
    "DriverMissing",
    "DriverUnsafe",
    "HopFailed",
    "InvalidConfiguration",
    "InvalidName",
    "NotSignedIn",
    "ServerUnavailable",
    "TokenRefused",
    "UnsupportedConnection",
]
