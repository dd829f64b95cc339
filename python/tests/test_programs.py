"""Who asks in notebooks, apps and scripts."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from types import ModuleType, SimpleNamespace

import pytest

from dataflow import workflow
from dataflow.runners import programs
from pretend import SCRIPT, forget, module, notebook


def test_a_notebook_is_its_file(place, monkeypatch):
    place.begin()
    monkeypatch.setenv("HOME", "/home/ann")
    session = "JPY_SESSION_NAME"
    place.setenv(session, "/srv/reports/Console 1")
    assert workflow.current() == SCRIPT
    place.kernel()
    assert workflow.current() == ("notebook", "notebook in /srv/reports", None)
    for told, name in (
        ("/home/ann/shop/churn.ipynb", "shop/churn.ipynb"),
        ("/home/anna/churn.ipynb", "/home/anna/churn.ipynb"),
        ("/srv/reports/churn.md", "/srv/reports/churn.md"),  # jupytext
        ("/tmp/abc123/churn.ipynb", "churn.ipynb"),
    ):
        place.setenv(session, told)
        assert workflow.current() == ("notebook", name, None)
    # VS Code, whose kernels may have been started by Jupyter for another file.
    place.kernel(__vsc_ipynb_file__="/home/ann/shop/sales.ipynb")
    assert workflow.current() == ("notebook", "shop/sales.ipynb", None)


def test_a_kernel_without_a_file_is_told_by_its_folder_and_a_terminal_is_none(place, monkeypatch):
    place.begin()
    monkeypatch.setenv("HOME", "/home/ann")
    place.kernel("/home/ann/shop")
    assert workflow.current() == ("notebook", "notebook in shop", None)
    place.module("IPython", SimpleNamespace(get_ipython=lambda: SimpleNamespace(user_ns={})))
    assert workflow.current() == SCRIPT
    place.module("IPython", SimpleNamespace(get_ipython=lambda: None))
    assert workflow.current() == SCRIPT


@pytest.mark.parametrize(
    ("called", "name"),
    [
        (("papermill", "sales.ipynb", "out/sales.ipynb"), "sales.ipynb"),
        (("papermill", "-p", "day", "1", "s3://bucket/sales.ipynb", "out.ipynb"), "sales.ipynb"),
        (("jupyter", "nbconvert", "--execute", "sales.ipynb", "--output", "out.ipynb"), "sales.ipynb"),
        (("jupyter-execute", "sales.ipynb"), "sales.ipynb"),
        (("jupyter", "nbconvert", "--execute", "a.ipynb", "b.ipynb"), "notebook in /srv/reports"),
        (("jupyter-lab", "sales.ipynb"), "notebook in /srv/reports"),
        (("run.py",), "notebook in /srv/reports"),
    ],
)
def test_what_executes_notebooks_is_asked_for_the_file(place, tmp_path, called, name):
    """As papermill 2.6 and nbconvert 7.16 are called. They tell a kernel nothing: the command is looked at that started it."""
    place.begin()
    (tmp_path / called[0]).write_text("print(flush=True); input()")
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / called[0]), *called[1:]], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        process.stdout.readline()
        place.kernel()
        place.setenv("JPY_PARENT_PID", str(process.pid))
        assert workflow.current() == ("notebook", name, None)
    finally:
        process.communicate(b"\n")


@pytest.mark.parametrize(
    ("called", "loaded", "name"),
    [
        ("uvicorn main:app --reload", "main", "/srv/shop/main.py"),
        ("uvicorn --header Server:none main:app", "main", "/srv/shop/main.py"),
        ("gunicorn -c gunicorn.conf.py -k gthread -b :8000 shop.web:create_app(debug=True)", "shop.web", "/srv/shop/shop/web.py"),
        ("gunicorn -k gevent wsgi", "wsgi", "/srv/shop/wsgi.py"),
        ("hypercorn main:app", "main", "/srv/shop/main.py"),
        ("fastapi run app/main.py", "app.main", "/srv/shop/app/main.py"),
        ("fastapi dev", "main", "/srv/shop/main.py"),
        ("flask --app shop.web run", "shop.web", "/srv/shop/shop/web.py"),
        ("flask --app=shop.web:make run", "shop.web", "/srv/shop/shop/web.py"),
        ("flask run", "app", "/srv/shop/app.py"),
        ("celery -A shop worker", "shop", "/srv/shop/shop"),
        ("daphne shop.asgi:application", "shop.asgi", "/srv/shop/shop/asgi.py"),
        ("gunicorn", "other", "gunicorn in /srv/shop"),  # named in a file of settings
    ],
)
def test_an_app_is_the_file_that_its_server_was_called_with(place, monkeypatch, called, loaded, name):
    place.begin()
    monkeypatch.setattr(os, "getcwd", lambda: "/srv/shop")
    program, *arguments = called.split()
    path = "shop/__init__" if loaded == "shop" else loaded.replace(".", "/")
    place.module(loaded, module(loaded, f"/srv/shop/{path}.py"))
    place.module("gevent", module("gevent", "/venv/lib/python3.12/site-packages/gevent/__init__.py"))
    for argv0 in (f"/venv/bin/{program}", f"/venv/lib/python3.12/site-packages/{program}/__main__.py"):
        place.call(argv0, *arguments)
        assert workflow.current() == ("app", name, None)


def test_an_installed_app_is_its_module(place):
    place.begin()
    place.module("shop.web", module("shop.web", "/venv/lib/python3.12/site-packages/shop/web.py"))
    place.call("/venv/bin/uvicorn", "shop.web:app")
    assert workflow.current() == ("app", "shop.web", None)


def test_a_program_that_serves_is_an_app_and_one_that_brings_a_server_along_is_none(place):
    """As werkzeug 3.1, in which Flask's and Dash's `app.run()` stay."""
    place.begin()
    serving = module("werkzeug.serving", "/venv/lib/python3.12/site-packages/werkzeug/serving.py")
    exec("def run_simple(app):\n    return app()", vars(serving))
    place.module("werkzeug.serving", serving)
    assert workflow.current() == SCRIPT

    def app():
        """Answers in a thread of its own."""
        told = []
        thread = threading.Thread(target=lambda: told.append(workflow.current()))
        thread.start()
        thread.join()
        return told

    assert threading.current_thread() is threading.main_thread()
    assert serving.run_simple(app) == [("app", "/work/etl.py", None)]


def test_a_script_that_imports_a_framework_is_an_app_from_its_first_line_on(place):
    """As Dash 4.4, FastAPI 0.165, Flask 3.1 and Streamlit 1.67: what stands at the top of such a script runs before it serves."""

    class Lazy:
        def __getattribute__(self, name: str) -> object:
            raise AssertionError(f"it is touched: {name}")

    place.begin()
    main = sys.modules["__main__"]
    for framework in programs._FRAMEWORKS:
        place.module(framework, ModuleType(framework))
    vars(main).update(os=os, Lazy=Lazy, lazy=Lazy(), number=1)
    assert workflow.current() == SCRIPT
    for imported in (
        ModuleType("dash"),
        type("FastAPI", (), {"__module__": "fastapi.applications"}),
        type("Flask", (), {"__module__": "flask.app"})(),
    ):
        vars(main)["imported"] = imported
        assert workflow.current() == ("app", "/work/etl.py", None)
        forget()
        del vars(main)["imported"]
        assert workflow.current() == SCRIPT


def test_a_script_is_its_path_and_never_one_that_passes(place, monkeypatch):
    place.begin()
    for path, spec, name in (
        ("/work/etl.py", None, "/work/etl.py"),
        ("/venv/bin/etl", None, "/venv/bin/etl"),
        ("/work/shop/load.py", "shop.load", "/work/shop/load.py"),
        ("/work/shop/__main__.py", "shop.__main__", "/work/shop"),
        ("/work/etl.pyz/__main__.py", None, "/work/etl.pyz"),
        ("/venv/lib/python3.12/site-packages/shop/__main__.py", "shop.__main__", "shop"),
        ("/tmp/etl.py", None, "/tmp/etl.py"),
        ("/tmp/spark-3f0c/etl.py", None, "etl.py"),
        ("/tmp/ipykernel_1234/2921.py", None, "2921.py"),
        ("/var/folders/x7/T/tmpk3j_2a.py", None, "a temporary script"),
    ):
        place.module("__main__", module("__main__", path, spec))
        assert workflow.current() == ("script", name, None)
    place.module("__main__", ModuleType("__main__"))
    assert workflow.current() == ("script", "interactive", None)
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(sys, "executable", "/opt/etl/etl")
    assert workflow.current() == ("script", "/opt/etl/etl", None)


@pytest.mark.parametrize(
    ("variables", "name"),
    [
        ({"OTEL_SERVICE_NAME": "billing"}, "billing: /work/etl.py"),
        ({"K_SERVICE": "billing"}, "billing: /work/etl.py"),
        ({"HOSTNAME": "billing-api-7d9f8c6b5-x2x4z", "KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "billing-api: /work/etl.py"),
        ({"HOSTNAME": "load-sales-x2x4z", "KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "load-sales: /work/etl.py"),
        ({"HOSTNAME": "load-29406240-x2x4z", "KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "load: /work/etl.py"),
        ({"HOSTNAME": "billing-0", "KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "billing: /work/etl.py"),
        ({"HOSTNAME": "ann-laptop", "KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "/work/etl.py"),
        ({"HOSTNAME": "3f0c9a1b2c4d"}, "/work/etl.py"),
        ({"HOSTNAME": "billing-api-7d9f8c6b5-x2x4z"}, "/work/etl.py"),
    ],
)
def test_what_was_deployed_under_a_name_is_told_with_it(place, variables, name):
    place.begin()
    for variable, value in variables.items():
        place.setenv(variable, value)
    assert workflow.current() == ("script", name, None)
    place.serve()
    assert workflow.current() == ("app", name, None)
    notebook(place)
    assert workflow.current() == ("notebook", "/srv/reports/churn.ipynb", None)
