"""Who asks: the notebook, pipeline, app or script that this code runs in. Told, not proven; nothing here may raise."""

from __future__ import annotations

from typing import Callable

from dataflow.runners import Workflow, notebooks, programs, schedulers

__all__ = ["Workflow", "current"]

ORDER: tuple[Callable[[], Workflow | None], ...] = (
    schedulers.airflow_task,
    schedulers.airflow_trigger,
    schedulers.airflow_child,
    schedulers.ci_job,
    schedulers.celery_task,
    schedulers.dbt_node,
    schedulers.own_process,
    programs.streamlit_session,
    notebooks.notebook,
    programs.server,
    programs.test,
    programs.script,
)
"""Who has the word where several hold.

What somebody schedules, and looks up when it fails, comes before what it runs: a notebook that a task of Airflow executes is that
task's, and so is a program that the task starts. Airflow's own executor may be Celery, and its DAGs are tried in CI. A task of
Celery or a node of dbt is more than the process that works on it, and a notebook more than the server that is tried out in it.
"""


def current() -> Workflow:
    """The workflow of the calling thread, now: a worker of Celery or Streamlit serves many, one after another."""
    for find in ORDER:
        try:
            found = find()
            if found is not None and found[1]:
                kind, name, run = found
                return kind, _sendable(name), None if run is None else _sendable(run)
        except Exception:  # noqa: S112 - a runner's insides differ between its versions, and a name is not worth a failure
            continue
    return "script", "interactive", None


def _sendable(text: str) -> str:
    """Without what UTF-8 cannot hold: half of a character, as a file's name of another encoding has it."""
    return text if text.isascii() else text.encode(errors="replace").decode()
