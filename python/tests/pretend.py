"""Makes this process look as if something else ran it, with objects shaped as those of the packages that are named with them."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import pytest

from dataflow.runners import notebooks, programs, schedulers

SCRIPT = ("script", "/work/etl.py", None)
"""What a place is before it looks like anything else."""


class Place:
    """Makes this process look like another: by variables, modules, arguments."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._patch = patch
        self.setenv = patch.setenv

    def begin(self) -> None:
        """Called in the test itself: pytest says who it is at the beginning of each phase."""
        self._patch.delenv("PYTEST_CURRENT_TEST", raising=False)
        self.call("/work/etl.py")
        self.module("__main__", module("__main__", "/work/etl.py"))
        forget()

    def module(self, name: str, loaded: object) -> None:
        self._patch.setitem(sys.modules, name, loaded)

    def call(self, *arguments: str) -> None:
        self._patch.setattr(sys, "argv", list(arguments))

    def serve(self) -> None:
        self._patch.setattr(programs, "_is_serving", lambda: True)

    def kernel(self, folder: str = "/srv/reports", **variables: str) -> None:
        """As ipykernel 7 with IPython 9."""
        shell = SimpleNamespace(kernel=object(), user_ns=variables, starting_dir=folder)
        self.module("IPython", SimpleNamespace(get_ipython=lambda: shell))


def forget() -> None:
    """What is the same for the life of a process, and not of a test."""
    for found in (schedulers.ci_job, programs._kind, programs._service, notebooks._executed):
        found.cache_clear()
    programs._served.clear()
    programs._no_app.clear()


def module(name: str, file: str, spec: str | None = None) -> ModuleType:
    made = ModuleType(name)
    made.__file__ = file
    made.__spec__ = SimpleNamespace(name=spec or name) if spec or name != "__main__" else None
    return made


def instance(**other: object) -> SimpleNamespace:
    """A task instance of Airflow 2 or 3."""
    found = {"dag_id": "nightly", "task_id": "load", "run_id": "manual__7", "map_index": -1, "try_number": 2, **other}
    return SimpleNamespace(**found)


def airflow_task(place) -> None:
    contexts = [{"ti": instance()}]
    place.module("airflow.sdk.definitions._internal.contextmanager", SimpleNamespace(_CURRENT_CONTEXT=contexts))


def airflow_trigger(place) -> None:
    """As Airflow 2.11."""
    waiting = SimpleNamespace(get=lambda default: instance(task_id="wait"))
    place.module("airflow.jobs.triggerer_job_runner", SimpleNamespace())
    place.module("airflow.utils.log.trigger_handler", SimpleNamespace(ctx_task_instance=waiting))


def airflow_child(place) -> None:
    place.setenv("AIRFLOW_CTX_DAG_ID", "weekly")


def ci_job(place) -> None:
    place.setenv("GITHUB_ACTIONS", "true")
    place.setenv("GITHUB_REPOSITORY", "shop/etl")


def celery_task(place) -> None:
    """As Celery 5.5."""
    task = SimpleNamespace(name="etl.load", request=SimpleNamespace(id="t-1"))
    place.module("celery._state", SimpleNamespace(get_current_task=lambda: task))


def dbt_node(place) -> None:
    """As dbt-core 1.10."""
    place.module("dbt_common.events.contextvars", SimpleNamespace(get_node_info=lambda: {"unique_id": "model.shop.orders"}))
    place.module("dbt_common.invocation", SimpleNamespace(get_invocation_id=lambda: "0f3c"))


def own_process(place) -> None:
    place.call("/venv/bin/airflow", "dag-processor")


def streamlit_session(place) -> None:
    """As Streamlit 1.50."""
    context = SimpleNamespace(main_script_path="/srv/app/sales.py")
    place.module("streamlit.runtime.scriptrunner", SimpleNamespace(get_script_run_ctx=lambda suppress_warning: context))


def notebook(place) -> None:
    place.setenv("JPY_SESSION_NAME", "/srv/reports/churn.ipynb")


def server(place) -> None:
    place.serve()


def in_pytest(place) -> None:
    place.setenv("PYTEST_CURRENT_TEST", "tests/test_a.py::test_b[a::(b)] (call)")
