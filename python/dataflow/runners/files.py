"""How a file is named, so that its name is the same in each run and tells one program from another."""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from typing import Any

_INSTALLED = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}", os.path.dirname(os.__file__) + os.sep)


@lru_cache(maxsize=256)
def place(path: str) -> str:
    """The whole path. Of what lies in a temporary folder, which is another one in each run, the last part."""
    path = os.path.abspath(path)
    folder, name = os.path.split(path)
    if name in ("__main__.py", "__init__.py"):  # a folder or an archive, as a whole
        path = folder
    for folder in ("/tmp", "/var/tmp", "/var/folders", os.environ.get("TMPDIR", "/tmp")):  # noqa: S108
        inside = path.removeprefix(folder.rstrip(os.sep) + os.sep)
        if inside != path:
            name = os.path.basename(path)
            if name.startswith("tmp"):
                return "a temporary script"
            return name if os.sep in inside else path
    return path


def module(loaded: Any) -> str | None:
    """A module's file, as `place` names it. Of an installed one, whose path changes with Python's version, its own name."""
    path = getattr(loaded, "__file__", None)
    if not path:
        return None
    spec = getattr(loaded, "__spec__", None)
    if spec is not None and is_installed(loaded):
        name: str = spec.name
        return name.removesuffix(".__main__")
    return place(path)


def is_installed(loaded: Any) -> bool:
    """Whether a module came with a package or with Python, and is nobody's own code."""
    path = getattr(loaded, "__file__", None)
    return path is None or any(folder in path for folder in _INSTALLED)


def main() -> str | None:
    """The file that Python was started with; `None` of an interactive one."""
    if getattr(sys, "frozen", False):  # made into one executable file, which unpacks itself somewhere
        return place(sys.executable)
    return module(sys.modules.get("__main__"))


def below_home(path: str) -> str:
    """The path from the user's own folder on, if it is in there, so that it does not begin with who he is."""
    return place(path).removeprefix(os.path.expanduser("~").rstrip(os.sep) + os.sep)
