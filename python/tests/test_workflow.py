"""Who asks is found without importing anything, and never fails."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from dataflow import Dataflow, workflow


@pytest.fixture
def in_a_script(monkeypatch):
    """Call it in the test itself: pytest says who it is at the beginning of each phase."""

    def forget_pytest() -> None:
        monkeypatch.setattr(workflow, "_script", lambda: ("script", "/work/etl.py", None))
        monkeypatch.delenv("PYTEST_CURRENT_TEST")

    return forget_pytest


def test_hosts_that_tell_by_the_environment(monkeypatch, in_a_script):
    in_a_script()
    assert workflow.current() == ("script", "/work/etl.py", None)
    monkeypatch.setenv("PYTEST_CURRENT_TEST", "tests/test_a.py::test_b (call)")
    assert workflow.current() == ("script", "tests/test_a.py::test_b", None)
    monkeypatch.setenv("JPY_SESSION_NAME", "3f0c-uuid")
    assert workflow.current()[0] == "script"
    monkeypatch.setenv("JPY_SESSION_NAME", "/home/ann/churn.ipynb")
    assert workflow.current() == ("notebook", "churn.ipynb", None)
    monkeypatch.setenv("AIRFLOW_CTX_DAG_ID", "nightly")
    assert workflow.current() == ("pipeline", "nightly", None)
    monkeypatch.setenv("AIRFLOW_CTX_TASK_ID", "load")
    monkeypatch.setenv("AIRFLOW_CTX_DAG_RUN_ID", "manual__7")
    monkeypatch.setenv("AIRFLOW_CTX_TRY_NUMBER", "2")
    assert workflow.current() == ("pipeline", "nightly.load", "manual__7#2")


def test_hosts_that_tell_by_a_loaded_module(monkeypatch, in_a_script):
    in_a_script()
    task = SimpleNamespace(name="etl.load", request=SimpleNamespace(id="t-1"))
    context = SimpleNamespace(main_script_path="/srv/app/sales.py")
    shell = SimpleNamespace(user_ns={"__vsc_ipynb_file__": "/home/ann/churn.ipynb"})
    cases = {
        "celery._state": (SimpleNamespace(get_current_task=lambda: task), ("pipeline", "etl.load", "t-1")),
        "dbt_common.events.contextvars": (
            SimpleNamespace(get_node_info=lambda: {"unique_id": "model.shop.orders"}),
            ("pipeline", "model.shop.orders", None),
        ),
        "streamlit.runtime.scriptrunner": (
            SimpleNamespace(get_script_run_ctx=lambda suppress_warning: context),
            ("app", "sales.py", None),
        ),
        "IPython": (SimpleNamespace(get_ipython=lambda: shell), ("notebook", "churn.ipynb", None)),
    }
    for name, (module, wanted) in cases.items():
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, name, module)
            assert workflow.current() == wanted, name
            patch.setitem(sys.modules, name, SimpleNamespace())  # a version with other insides
            assert workflow.current() == ("script", "/work/etl.py", None), name


def test_the_server_is_told(dataflow, server, monkeypatch, in_a_script):
    in_a_script()
    server.put("hook", "http", host="example.org")
    told = []
    for given in (None, "nightly", 'kind=pipeline; name="naïve 漢"; run="7"'):
        other = Dataflow(workflow=given, workspace="default")
        server.put("hook", "http", host=f"{len(told)}.example.org")
        other._server.client.refresh("hook", other._workflow or workflow.current())
        told.append(server.requests[-1]["headers"]["dataflow-workflow"])
    assert told == [
        'kind=script; name="/work/etl.py"',
        'kind=script; name="nightly"',
        'kind=pipeline; name="na%C3%AFve %E6%BC%A2"; run="7"',
    ]
    monkeypatch.setenv("DATAFLOW_WORKFLOW", "from-environment")
    Dataflow().connection("hook", "dict")
    assert server.requests[-1]["headers"]["dataflow-workflow"] == 'kind=script; name="from-environment"'


def test_an_odd_workflow_is_refused_by_its_kind(dataflow):
    with pytest.raises(ValueError, match="no such kind"):
        dataflow._server.client.credentials("hook", ("alien", "x", None))
