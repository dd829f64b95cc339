"""Who asks, with the packages themselves: those that are quickly installed, and on one interpreter (see `conftest.py`)."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

import dataflow as package
from fake_dataflow import TOKEN
from using import until

BIN = Path(sys.executable).parent
USE = "from dataflow import Dataflow\n\n\ndef use():\n    Dataflow().connection('hook', 'dict')\n"


@pytest.fixture
def told(server, tmp_path):
    """Starts a program that uses a connection, and gives what the server was told of it: kind, name, run."""
    server.put("hook", "http", host="example.org")
    (tmp_path / "using_it.py").write_text(USE)
    root = Path(package.__file__).parent.parent
    environment = {
        "PATH": f"{BIN}:/usr/bin:/bin",
        "PYTHONPATH": f"{root}:{tmp_path}",
        "HOME": str(tmp_path / "home"),
        "DATAFLOW_URL": server.url,
        "DATAFLOW_TOKEN": TOKEN,
    }
    started = []

    def start(*command: str, ask: str | None = None) -> tuple[str, str, str | None]:
        with (tmp_path / "said").open("wb") as said:
            # In a session of its own: a server that reloads starts another one, which outlives it.
            process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=said, stderr=said, start_new_session=True)
        started.append(process)

        def has_used() -> bool:
            if ask is not None and not server.requests:
                with contextlib.suppress(OSError):  # it does not listen yet
                    urllib.request.urlopen(ask, timeout=5).close()
            assert server.requests or process.poll() is None, (tmp_path / "said").read_text()
            return bool(server.requests)

        until(f"{command} uses a connection", has_used)
        parts = dict(part.split("=", 1) for part in server.requests[-1]["headers"]["dataflow-workflow"].split("; "))
        assert parts["host"] == f'"{socket.gethostname()}"'
        run = parts.get("run")
        return parts["kind"], parts["name"].strip('"'), run and run.strip('"')

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def test_a_task_of_celery(told, tmp_path):
    (tmp_path / "shop_tasks.py").write_text(
        "from celery import Celery\n"
        "from using_it import use\n"
        "app = Celery('shop', broker='memory://', backend='cache+memory://')\n"
        "load = app.task(name='shop_tasks.load')(use)\n"
    )
    (tmp_path / "work.py").write_text(
        "from celery.contrib.testing.worker import start_worker\n"
        "from shop_tasks import app, load\n"
        "with start_worker(app, perform_ping_check=False, pool='solo'):\n"
        "    load.apply_async(task_id='t-1').get(timeout=30)\n"
    )
    assert told(sys.executable, "work.py") == ("pipeline", "shop_tasks.load", "t-1")


ASGI = """
import asyncio
from using_it import use

async def app(scope, receive, send):
    assert scope["type"] == "lifespan"
    await receive()
    await asyncio.get_running_loop().run_in_executor(None, use)
    await send({"type": "lifespan.startup.complete"})
    await receive()

if __name__ == "__main__":
    import uvicorn
    uvicorn.run(app, port=0)
"""


@pytest.mark.parametrize("command", ["-m uvicorn asgi:app --port 0", "-m uvicorn asgi:app --port 0 --reload", "asgi.py"])
def test_an_app_in_uvicorn(told, tmp_path, command):
    (tmp_path / "asgi.py").write_text(ASGI)
    assert told(sys.executable, *command.split()) == ("app", "asgi.py", None)


WSGI = """
from flask import Flask
from using_it import use

app = Flask(__name__)

@app.get("/")
def index():
    use()
    return ""

if __name__ == "__main__":
    import sys
    app.run(port=int(sys.argv[1]), debug="debug" in sys.argv)
"""


@pytest.mark.parametrize(
    "command",
    [
        "flask --app wsgi run -p PORT",
        "gunicorn -w 2 --threads 2 -b 127.0.0.1:PORT wsgi:app",
        "python wsgi.py PORT",
        "python wsgi.py PORT debug",
    ],
)
def test_an_app_of_flask(told, tmp_path, command):
    (tmp_path / "wsgi.py").write_text(WSGI)
    port = free_port()
    program, *arguments = command.replace("PORT", str(port)).split()
    assert told(str(BIN / program), *arguments, ask=f"http://127.0.0.1:{port}/") == ("app", "wsgi.py", None)


def test_a_notebook_that_is_executed(told, tmp_path):
    cell = {
        "cell_type": "code",
        "source": "from using_it import use; use()",
        "metadata": {},
        "outputs": [],
        "execution_count": None,
    }
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python"}}
    content = {"cells": [cell], "metadata": kernel, "nbformat": 4, "nbformat_minor": 4}
    (tmp_path / "sales.ipynb").write_text(json.dumps(content))
    assert told(str(BIN / "jupyter-execute"), "sales.ipynb") == ("notebook", "sales.ipynb", None)
