"""Who asks is found without importing anything, and never fails. `test_runners.py` meets some of the real packages."""

from __future__ import annotations

import itertools
import os
import shutil
import socket
import time
from types import SimpleNamespace

import pytest
from sqlalchemy import text

from dataflow import Dataflow, workflow
from dataflow.runners import files, programs, schedulers
from pretend import (
    SCRIPT,
    Place,
    airflow_child,
    airflow_task,
    airflow_trigger,
    celery_task,
    ci_job,
    dbt_node,
    forget,
    in_pytest,
    module,
    notebook,
    own_process,
    server,
    streamlit_session,
)
from test_script import run

WINS = (
    (airflow_task, ("pipeline", "nightly.load", "manual__7#2")),
    (airflow_trigger, ("pipeline", "nightly.wait", "manual__7#2")),
    (airflow_child, ("pipeline", "weekly", None)),
    (ci_job, ("pipeline", "shop/etl", None)),
    (celery_task, ("pipeline", "etl.load", "t-1")),
    (dbt_node, ("pipeline", "model.shop.orders", "0f3c")),
    (own_process, ("pipeline", "airflow dag-processor", None)),
    (streamlit_session, ("app", "/srv/app/sales.py", None)),
    (notebook, ("notebook", "/srv/reports/churn.ipynb", None)),
    (server, ("app", "/work/etl.py", None)),
    (in_pytest, ("script", "tests/test_a.py::test_b", None)),
    (lambda place: None, SCRIPT),
)
"""Each runner, and what it is told as; before all that come after it."""


def test_who_has_the_word_where_two_hold(monkeypatch):
    assert len(WINS) == len(workflow.ORDER)
    for (first, wanted), (second, _) in itertools.combinations(WINS, 2):
        with monkeypatch.context() as patch:
            place = Place(patch)
            place.begin()
            second(place)
            first(place)
            assert workflow.current() == wanted, (first.__name__, second.__name__)
    forget()


def test_a_package_with_other_insides_costs_its_name_and_nothing_else(place):
    """And one that raises whatever it likes."""

    class Hostile:
        def __getattr__(self, name: str) -> object:
            raise RuntimeError(name)

    place.begin()
    packages = (
        *schedulers._AIRFLOW_CONTEXTS,
        "airflow.jobs.triggerer_job_runner",
        "airflow.utils.log.trigger_handler",
        "celery._state",
        "dbt_common.events.contextvars",
        "streamlit.runtime.scriptrunner",
        "IPython",
        *programs._SERVERS,
    )
    for package in packages:
        for loaded in (
            SimpleNamespace(),
            Hostile(),
            None,
            SimpleNamespace(_CURRENT_CONTEXT=[{}]),
            SimpleNamespace(get_ipython=1),
        ):
            place.module(package, loaded)
            assert workflow.current() == SCRIPT, (package, loaded)
    for argv in ([], [""], ["-c"], ["/venv/bin/uvicorn"], ["airflow"], [None]):
        place.call(*argv)
        assert workflow.current()[0] in ("script", "app"), argv


def test_a_name_that_is_no_text_can_be_sent(place, dataflow, server):
    place.begin()
    place.module("__main__", module("__main__", os.fsdecode(b"/work/\xe9t\xe9\n.py")))
    assert workflow.current() == ("script", "/work/?t?\n.py", None)
    server.put("hook", "http", host="example.org")
    dataflow.connection("hook", "dict")
    assert 'name="/work/?t?%0A.py"' in server.requests[-1]["headers"]["dataflow-workflow"]


def test_a_folder_that_is_gone_costs_nothing(place, tmp_path, monkeypatch):
    place.begin()
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    shutil.rmtree(tmp_path / "gone")
    files.place.cache_clear()
    place.call("/venv/bin/gunicorn")
    assert workflow.current() == SCRIPT
    place.module("__main__", module("__main__", "etl.py"))
    assert workflow.current() == ("script", "interactive", None)


def test_nothing_is_imported_to_find_out():
    said = run(
        "import sys; from dataflow import workflow; before = set(sys.modules); told = workflow.current();"
        "print(told, set(sys.modules) - before)"
    )
    assert said == "('script', 'interactive', None) set()\n"


def test_it_costs_less_than_20_microseconds(place, monkeypatch):
    """The best of many tries: a busy machine takes longer for all."""

    def cost() -> float:
        best = 1.0
        for _ in range(200):
            began = time.perf_counter()
            for _ in range(20):
                workflow.current()
            best = min(best, (time.perf_counter() - began) / 20)
        return best * 1e6

    costs = {}
    for name, look in (
        ("script", lambda place: None),
        ("notebook", lambda place: (place.kernel(), notebook(place))),
        ("app", server),
        ("Celery", celery_task),
        ("Airflow", airflow_task),
        ("CI", ci_job),
    ):
        with monkeypatch.context() as patch:
            there = Place(patch)
            there.begin()
            look(there)
            costs[name] = cost()
    print("promise: who asks, µs:", ", ".join(f"{name} {each:.1f}" for name, each in costs.items()))
    assert max(costs.values()) < 20, costs


def test_the_server_is_told(place, dataflow, server, monkeypatch):
    place.begin()
    server.put("hook", "http", host="example.org")
    told = []
    for given in (None, "nightly", "pipeline:nightly", 'kind=pipeline; name="naïve 漢"; run="7"'):
        other = Dataflow(workflow=given, workspace="default")
        server.put("hook", "http", host=f"{len(told)}.example.org")
        other._server.client.refresh("hook", other._workflow or workflow.current())
        told.append(server.requests[-1]["headers"]["dataflow-workflow"])
    host = f'; host="{socket.gethostname()}"'
    assert told == [
        f'kind=script; name="/work/etl.py"{host}',
        f'kind=script; name="nightly"{host}',
        f'kind=pipeline; name="nightly"{host}',
        f'kind=pipeline; name="na%C3%AFve %E6%BC%A2"; run="7"{host}',
    ]
    for given, wanted in (("from-environment", "kind=script"), ("app:from-environment", "kind=app")):
        monkeypatch.setenv("DATAFLOW_WORKFLOW", given)
        server.put("hook", "http", host=f"{given}.example.org")
        Dataflow()._server.client.refresh("hook", Dataflow()._workflow)
        assert server.requests[-1]["headers"]["dataflow-workflow"] == f'{wanted}; name="from-environment"{host}'


def test_each_workflow_of_a_process_is_told(dataflow, server):
    """The second within the freshness time, too: nobody would know that it depends on the name."""
    server.put("shop", "sqlite", database="shop.db")
    for _ in range(2):
        for name in ("one", "two"):
            with Dataflow(workflow=f"app:{name}").connection("shop") as session:
                assert session.execute(text("SELECT 1")).scalar() == 1
    told = [each["headers"]["dataflow-workflow"].split(";")[1] for each in server.requests]
    assert told == [' name="one"', ' name="two"'], "each once"


def test_an_odd_workflow_is_refused_by_its_kind(dataflow):
    with pytest.raises(ValueError, match="no such kind"):
        dataflow._server.client.credentials("hook", ("alien", "x", None))
