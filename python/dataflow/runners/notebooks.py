"""Notebooks: what Jupyter, VS Code, papermill and nbconvert let a kernel know of the file that it runs."""

from __future__ import annotations

import os
import sys
from functools import cache
from typing import Any

from dataflow.runners import Workflow, files

_SUFFIXES = (".ipynb", ".py", ".md", ".Rmd", ".qmd")
"""Jupytext opens the others as notebooks, and Jupyter names their sessions after them. A console's name has none of these."""

_EXECUTE = {"papermill", "nbconvert", "jupyter-nbconvert", "execute", "jupyter-execute"}


def notebook() -> Workflow | None:
    """The notebook whose kernel this is, or which has started this program."""
    shell = _kernel_shell()
    # VS Code tells it in the notebook's own variables, and Jupyter by a variable of the environment.
    path = shell.user_ns.get("__vsc_ipynb_file__") if shell else None
    path = path or os.environ.get("JPY_SESSION_NAME", "")
    if path.endswith(_SUFFIXES):
        return "notebook", files.below_home(path), None
    if shell is None:
        return None
    executed = _executed(os.environ.get("JPY_PARENT_PID", ""))
    # Colab, Databricks and others keep the file to themselves. A kernel begins in its notebook's folder.
    return "notebook", executed or f"notebook in {files.below_home(shell.starting_dir)}", None


def _kernel_shell() -> Any:
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    # A terminal's has none: what is typed there is no notebook.
    return shell if getattr(shell, "kernel", None) is not None else None


@cache
def _executed(parent: str) -> str | None:
    """The notebook that papermill, `jupyter nbconvert` or `jupyter execute` was called with: they do not tell the kernel."""
    try:
        with open(f"/proc/{int(parent)}/cmdline", "rb") as file:
            called = [os.fsdecode(part) for part in file.read().split(b"\0")]
        folder = os.readlink(f"/proc/{int(parent)}/cwd")
    except (OSError, ValueError):
        return None
    # “python -m jupyter nbconvert” at the longest.
    programs = [os.path.basename(part) for part in called[:4]]
    if _EXECUTE.isdisjoint(programs):
        return None
    notebooks = [given for before, given in zip(called, called[1:]) if given.endswith(".ipynb") and before != "--output"]
    if not notebooks or (len(notebooks) > 1 and "papermill" not in programs):
        return None
    # What papermill reads comes before what it writes, and may lie in a bucket.
    read = notebooks[0]
    return os.path.basename(read) if "://" in read else files.below_home(os.path.join(folder, read))
