"""Who asks: the notebook, pipeline, app or script that this code runs in.

Packages are only looked up in `sys.modules`, never imported to find out. Told, not proven; nothing here may raise.
"""

from __future__ import annotations

import os
import sys
from typing import Any, Callable, Optional

Workflow = tuple[str, str, Optional[str]]
"""Kind (`pipeline`, `notebook`, `app`, `script`), name, run."""


def current() -> Workflow:
    """The workflow of the calling thread, now: a worker of Celery or Streamlit serves many, one after another."""
    for module, find in _HOSTS:
        loaded = sys.modules.get(module)
        if loaded is None:
            continue
        try:
            found = find(loaded)
        except Exception:  # noqa: S112 - a host's insides differ between its versions, and a name is not worth a failure
            continue
        if found is not None and found[1]:
            return found
    return _from_environment() or _script()


def _celery(celery_state: Any) -> Workflow | None:
    task = celery_state.get_current_task()
    return None if task is None else ("pipeline", str(task.name), _text(task.request.id))


def _dbt(contextvars: Any) -> Workflow | None:
    node = contextvars.get_node_info().get("unique_id")
    if not node:
        return None
    invocation = sys.modules.get("dbt_common.invocation")
    return "pipeline", str(node), _text(invocation.get_invocation_id()) if invocation else None


def _streamlit(scriptrunner: Any) -> Workflow | None:
    context = scriptrunner.get_script_run_ctx(suppress_warning=True)
    return None if context is None else ("app", os.path.basename(context.main_script_path), None)


def _vscode_notebook(ipython: Any) -> Workflow | None:
    shell = ipython.get_ipython()
    path = None if shell is None else shell.user_ns.get("__vsc_ipynb_file__")
    return ("notebook", os.path.basename(path), None) if path else None


_HOSTS: tuple[tuple[str, Callable[[Any], Workflow | None]], ...] = (
    ("celery._state", _celery),
    ("dbt_common.events.contextvars", _dbt),
    ("streamlit.runtime.scriptrunner", _streamlit),
    ("IPython", _vscode_notebook),
)


def _from_environment() -> Workflow | None:
    environment = os.environ
    dag = environment.get("AIRFLOW_CTX_DAG_ID")
    if dag:
        task = environment.get("AIRFLOW_CTX_TASK_ID")
        return "pipeline", f"{dag}.{task}" if task else dag, _airflow_run(environment.get("AIRFLOW_CTX_DAG_RUN_ID"))
    notebook = environment.get("JPY_SESSION_NAME", "")
    if notebook.endswith(".ipynb"):
        return "notebook", os.path.basename(notebook), None
    test = environment.get("PYTEST_CURRENT_TEST")
    return ("script", test.rsplit(" (", 1)[0], None) if test else None


def _airflow_run(run: str | None) -> str | None:
    attempt = os.environ.get("AIRFLOW_CTX_TRY_NUMBER")
    return f"{run}#{attempt}" if run and attempt else run


def _script() -> Workflow:
    if "ipykernel" in sys.modules:
        return "notebook", "notebook", None
    main = getattr(sys.modules.get("__main__"), "__file__", None)
    return "script", os.path.abspath(main) if main else "interactive", None


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
