"""Takes the password out of an error that a driver raised while it connected.

Frames of a failed connect hold it as a local variable, where Sentry, rich and `pytest -l` show it; psycopg keeps it in
`exception.pgconn`; a `UnicodeEncodeError` quotes it whole; and a server that was told it may repeat it in its own words.
"""

from __future__ import annotations

from typing import Any

_WRAPPED = ("orig", "driver_exception", "original_exception")

_SHORTEST = 4
"""A shorter password cannot be cut out without leaving holes that tell it."""


def scrub(error: BaseException, dbapi: Any, password: str) -> BaseException:
    """The error to raise instead, outside of the `except` block in which it was caught."""
    clean = dbapi.OperationalError("the driver cannot send this password") if isinstance(error, UnicodeError) else error
    chain: list[BaseException] = []
    todo: list[Any] = [clean, error]
    while todo:
        each = todo.pop()
        if not isinstance(each, BaseException) or any(each is other for other in chain):
            continue
        chain.append(each)
        todo += [each.__cause__, each.__context__, *(getattr(each, name, None) for name in _WRAPPED)]
        each.__traceback__ = None
        if hasattr(each, "_pgconn"):
            each._pgconn = None
        if len(password) >= _SHORTEST:
            _withhold(each, password)
    reason = next((each for each in chain if isinstance(each, OSError) and each is not clean), None)
    if reason is not None:
        # What a refused certificate or a closed port says: the system's words, which know no password.
        reason.__cause__ = reason.__context__ = None
    clean.__cause__, clean.__context__ = reason, None
    return clean


def _withhold(error: BaseException, password: str) -> None:
    """Cuts the password out of the error's words: its arguments, and what asyncpg keeps beside them."""

    def clean(said: Any) -> Any:
        return said.replace(password, "(withheld)") if isinstance(said, str) else said

    error.args = tuple(clean(each) for each in error.args)
    for name, said in list(getattr(error, "__dict__", {}).items()):
        if isinstance(said, str) and password in said:
            setattr(error, name, clean(said))
