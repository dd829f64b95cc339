"""Takes the password out of an error that a driver raised while it connected.

Frames of a failed connect hold it as a local variable, where Sentry, rich and `pytest -l` show it; psycopg keeps it in
`exception.pgconn`; a `UnicodeEncodeError` quotes it whole; and a server that was told it may repeat it in its own words.
"""

from __future__ import annotations

import string
from base64 import b64encode
from collections.abc import Iterable
from json import dumps
from typing import Any
from urllib.parse import quote, quote_plus

_WRAPPED = ("orig", "driver_exception", "original_exception")

_BASE64 = frozenset(string.ascii_letters + string.digits + "+/=")
_DEEPEST = 3
_SHORTEST = 4
"""A shorter password cannot be cut out without leaving holes that tell it."""


def operational_error(dbapi: Any, words: str) -> Exception:
    """An error of the driver's own kind. Some know no kinds."""
    made: Exception = getattr(dbapi, "OperationalError", dbapi.Error)(words)
    return made


def scrub(error: BaseException, dbapi: Any, *secrets: str) -> BaseException:
    """The error to raise instead, outside of the `except` block in which it was caught."""
    clean = operational_error(dbapi, "the driver cannot send this password") if isinstance(error, UnicodeError) else error
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
        for secret in secrets:
            if len(secret) >= _SHORTEST:
                _withhold(each, secret)
    reason = next((each for each in chain if isinstance(each, OSError) and each is not clean), None)
    if reason is not None:
        # What a refused certificate or a closed port says: the system's words, which know no password.
        reason.__cause__ = reason.__context__ = None
    clean.__cause__, clean.__context__ = reason, None
    return clean


def withheld(said: str, secrets: Iterable[str]) -> str:
    """The words without the secrets."""
    for secret in secrets:
        if len(secret) >= _SHORTEST:
            said = said.replace(secret, "(withheld)")
    return said


def forget_frames(error: BaseException) -> BaseException:
    """The same error, and what is behind it, without the frames that it came through."""
    seen: set[int] = set()
    todo: list[BaseException | None] = [error]
    while todo:
        each = todo.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        each.__traceback__ = None
        todo += [each.__cause__, each.__context__]
    return error


def _withhold(error: BaseException, password: str) -> None:
    """Cuts the password out of the error's words: its arguments, and what drivers keep beside them. Some have them in a
    dictionary, or as bytes."""

    def clean(said: Any, depth: int = 0) -> Any:
        if isinstance(said, str):
            for form in written:
                said = said.replace(form, "(withheld)")
            for form in forms:
                said = _without(said, form)
        elif isinstance(said, bytes):
            said = said.replace(password.encode(errors="replace"), b"(withheld)")
        elif depth < _DEEPEST and type(said) in (list, tuple):
            said = type(said)(clean(each, depth + 1) for each in said)
        elif depth < _DEEPEST and type(said) is dict:
            said = {name: clean(each, depth + 1) for name, each in said.items()}
        return said

    forms, written = _encoded(password), _written(password)

    error.args = tuple(clean(each) for each in error.args)
    for name, said in list(getattr(error, "__dict__", {}).items()):
        cleaned = clean(said)
        if cleaned is not said and cleaned != said:
            setattr(error, name, cleaned)


def _without(said: str, form: str) -> str:
    """Without this form, and without the rest of what base64 made, which has the letters at its ends.

    It looks at each letter once: a hostile server says much.
    """
    kept, at = [], 0
    while (begin := said.find(form, at)) >= 0:
        end = begin + len(form)
        while begin > at and said[begin - 1] in _BASE64:
            begin -= 1
        while end < len(said) and said[end] in _BASE64:
            end += 1
        kept += [said[at:begin], "(withheld)"]
        at = end
    return "".join([*kept, said[at:]])


def _written(password: str) -> list[str]:
    """It, and how it stands in the text of a dictionary, in JSON and in a URL; so does each of its lines. The longest first."""
    found = set()
    for part in (password, *(line for line in password.splitlines() if len(line) >= _SHORTEST)):
        literals = {repr(part)[1:-1], ascii(part)[1:-1], dumps(part)[1:-1], dumps(part, ensure_ascii=False)[1:-1]}
        urls = {quote(part, safe, errors="replace") for safe in ("", " +")}
        found |= {part, *literals, *urls, quote_plus(part, errors="replace")}
    return sorted(found, key=len, reverse=True)


def _encoded(password: str) -> list[str]:
    """What base64 makes of it, wherever it begins: so it stands in the header that signs in over HTTP."""
    forms = [b64encode(b"x" * shift + password.encode(errors="replace")).decode()[4:-4] for shift in range(3)]
    return [form for form in forms if len(form) >= _SHORTEST]
