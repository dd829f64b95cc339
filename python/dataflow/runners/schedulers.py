"""What runs code at its time or on demand, and has a page for each run: Airflow, CI, Celery, dbt."""

from __future__ import annotations

import os
import sys
from functools import cache
from typing import Any

from dataflow.runners import Workflow, programs

_AIRFLOW_CONTEXTS = ("airflow.sdk.definitions._internal.contextmanager", "airflow.models.taskinstance")
"""Where Airflow 3 and Airflow 2 keep the context of the task that runs."""


def airflow_task() -> Workflow | None:
    """A task of a DAG, in the process that runs it."""
    for module in _AIRFLOW_CONTEXTS:
        contexts = getattr(sys.modules.get(module), "_CURRENT_CONTEXT", None)
        if contexts:
            return _airflow(contexts[-1]["ti"])
    return None


def airflow_trigger() -> Workflow | None:
    """The task that a trigger waits for: a triggerer has hundreds of them in one process."""
    if "airflow.jobs.triggerer_job_runner" not in sys.modules:
        return None
    logging = sys.modules.get("airflow.utils.log.trigger_handler")
    if logging is not None and hasattr(logging, "ctx_task_instance"):  # Airflow 2
        instance = logging.ctx_task_instance.get(None)
        return None if instance is None else _airflow(instance)
    # Airflow 3.3 binds it for the log, whose variables go along into what a trigger starts, threads too.
    bound: dict[str, Any] = getattr(sys.modules.get("structlog.contextvars"), "get_contextvars", dict)()
    if bound.get("dag_id"):
        return _task(bound["dag_id"], bound.get("task_id"), bound.get("run_id"), bound.get("map_index"), bound.get("try_number"))
    running = sys.modules["asyncio"].current_task()
    # Before that it named each one “dag/run/task/map index/attempt (ID 7)”, and still does.
    place, _, _ = running.get_name().rpartition(" (ID ") if running else ("", "", "")
    if place.count("/") != 4:
        return None
    dag, run, task, index, attempt = place.split("/")
    return _task(dag, task, run, index, attempt)


def airflow_child() -> Workflow | None:
    """What a task has started, by the variables that Airflow sets for it; also a process that had its context and has no more."""
    environment = os.environ
    dag = environment.get("AIRFLOW_CTX_DAG_ID")
    if not dag:
        return None
    task, run = environment.get("AIRFLOW_CTX_TASK_ID"), environment.get("AIRFLOW_CTX_DAG_RUN_ID")
    return _task(dag, task, run, None, environment.get("AIRFLOW_CTX_TRY_NUMBER"))


def _airflow(instance: Any) -> Workflow:
    return _task(instance.dag_id, instance.task_id, instance.run_id, instance.map_index, instance.try_number)


def _task(dag: str, task: str | None, run: str | None, index: Any, attempt: Any) -> Workflow:
    name = f"{dag}.{task}" if task else dag
    if not run:
        return "pipeline", name, None
    index = f"[{index}]" if index is not None and int(index) >= 0 else ""
    return "pipeline", name, f"{run}{index}#{attempt}" if attempt else f"{run}{index}"


_CI: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("GITHUB_ACTIONS", ("GITHUB_REPOSITORY", "GITHUB_WORKFLOW", "GITHUB_JOB"), ("GITHUB_RUN_ID", "GITHUB_RUN_ATTEMPT")),
    ("GITLAB_CI", ("CI_PROJECT_PATH", "CI_JOB_NAME"), ("CI_PIPELINE_ID",)),
    ("BUILDKITE", ("BUILDKITE_ORGANIZATION_SLUG", "BUILDKITE_PIPELINE_SLUG", "BUILDKITE_LABEL"), ("BUILDKITE_BUILD_NUMBER",)),
    ("CIRCLECI", ("CIRCLE_PROJECT_USERNAME", "CIRCLE_PROJECT_REPONAME", "CIRCLE_JOB"), ("CIRCLE_BUILD_NUM",)),
    (
        "TF_BUILD",
        ("SYSTEM_TEAMPROJECT", "BUILD_DEFINITIONNAME", "SYSTEM_STAGENAME", "SYSTEM_PHASENAME"),
        ("BUILD_BUILDID",),
    ),
    ("JENKINS_URL", ("JOB_NAME",), ("BUILD_NUMBER",)),
    ("JENKINS_HOME", ("JOB_NAME",), ("BUILD_NUMBER",)),  # where Jenkins was not told its own address
)
"""Of each service of CI: the variable that it sets in every job, those that make the job's name, and those of the run. Azure
Pipelines sets `TF_BUILD`."""


@cache
def ci_job() -> Workflow | None:
    """A job of CI. Looked at once: these variables are the process's for good, and there are many."""
    environment = os.environ
    # With this a job of Jenkins keeps what it leaves running, a server say, from being ended with it: it is that job's no more.
    if "dontKillMe" in (environment.get("BUILD_ID"), environment.get("JENKINS_NODE_COOKIE")):
        return None
    for mark, job, run in _CI:
        if environment.get(mark):
            name = "/".join(filter(None, (_part(environment.get(variable, "")) for variable in job)))
            ran = "#".join(filter(None, map(environment.get, run)))
            if name:
                return "pipeline", name, ran or None
    return None


def _part(text: str) -> str:
    """Without what Azure calls a stage that has no name, and what GitLab adds to each of a job's parallel runs: “ 2/5”."""
    name, _, share = text.rpartition(" ")
    if name and share.replace("/", "", 1).isdigit() and "/" in share:
        return name
    return "" if text.startswith("__") else text


def celery_task() -> Workflow | None:
    """The task that this thread of a Celery worker works on."""
    state = sys.modules.get("celery._state")
    task = None if state is None else state.get_current_task()
    return None if task is None else ("pipeline", str(task.name), _text(task.request.id))


def dbt_node() -> Workflow | None:
    """The model, seed or test that dbt builds."""
    contextvars = sys.modules.get("dbt_common.events.contextvars")
    node = None if contextvars is None else contextvars.get_node_info().get("unique_id")
    if not node:
        return None
    invocation = sys.modules.get("dbt_common.invocation")
    return "pipeline", str(node), _text(invocation.get_invocation_id()) if invocation else None


def own_process() -> Workflow | None:
    """Airflow and dbt themselves, between their tasks: what reads a DAG's file, say, runs all that stands at its top."""
    command = programs.launcher_of(*sys.argv[:1])
    if command not in ("airflow", "dbt") or len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        return None
    return "pipeline", f"{command} {sys.argv[1]}", None


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
