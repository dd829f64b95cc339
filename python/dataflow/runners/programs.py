"""Programs by themselves: apps that a server serves, tests, scripts."""

from __future__ import annotations

import os
import sys
import threading
from functools import cache
from types import ModuleType

from dataflow.runners import Workflow, files

_LAUNCHERS = {"celery", "daphne", "fastapi", "flask", "granian", "gunicorn", "hypercorn", "uvicorn", "waitress-serve"}
"""Commands that serve an app which their arguments name."""

_BY_FILE = {"fastapi", "flask"}
"""Those that take a file. Elsewhere a file is one of settings."""

_VARIABLES = {"celery": ("CELERY_APP",), "flask": ("FLASK_APP",)}

_DEFAULTS = {
    "fastapi": ("main", "app.main", "app", "app.app", "api", "app.api"),
    "flask": ("wsgi", "app"),
}
"""The modules that a launcher looks for when it is not told any."""

_SERVERS = {"aiohttp.web", "hypercorn.run", "uvicorn.server", "waitress", "waitress.server", "werkzeug.serving"}
"""Modules in which the main thread of a program stays that serves an app of its own. Flask and Dash run in Werkzeug's."""

_FRAMEWORKS = ("dash", "fastapi", "flask", "streamlit")
"""A script that imports one of these is an app before it serves, too: what stands at its top runs then."""

_SERVICES = (
    "OTEL_SERVICE_NAME",
    "K_SERVICE",
    "CLOUD_RUN_JOB",
    "CONTAINER_APP_NAME",
    "WEBSITE_SITE_NAME",
    "AWS_LAMBDA_FUNCTION_NAME",
    "FLY_APP_NAME",
    "RENDER_SERVICE_NAME",
)
"""Where OpenTelemetry, Knative and Cloud Run, Azure, AWS Lambda, Fly and Render tell a program the name it was deployed under."""

_served: dict[tuple[str, ...], Workflow] = {}
"""What was found to be an app, by what it was started with: it stays one."""

_no_app: list[object] = []
"""The script that was looked through last, and how many names it had then: looking takes 30 µs where there are 200."""


def streamlit_session() -> Workflow | None:
    """The app of a Streamlit session; in a thread of the app's own, that of the process."""
    scriptrunner = sys.modules.get("streamlit.runtime.scriptrunner")
    if scriptrunner is None:
        return None
    context = scriptrunner.get_script_run_ctx(suppress_warning=True)
    if context is not None:
        return "app", _deployed(files.place(context.main_script_path)), None
    return ("app", _deployed(_main()), None) if sys.modules["streamlit.runtime"].exists() else None


def server() -> Workflow | None:
    """An app that this process serves: FastAPI, Flask, Dash and their like, or a worker of Celery between its tasks."""
    started = tuple(sys.argv)
    found = _served.get(started)
    if found is not None:
        return found
    launcher = launcher_of(*started[:1])
    if launcher in _LAUNCHERS:
        name = _named_by(launcher, started[1:])
        if name is None:  # not loaded yet, or named in a file of settings
            return "app", _deployed(f"{launcher} in {os.getcwd()}"), None
    elif _is_serving() or _is_app(sys.modules["__main__"]):
        name = _main()
    else:
        return None
    _served[started] = found = "app", _deployed(name), None
    return found


def test() -> Workflow | None:
    """The test that pytest runs, without its parameters, which may be anything."""
    test = os.environ.get("PYTEST_CURRENT_TEST")
    return (_kind(), test.rpartition(" (")[0].partition("[")[0], None) if test else None


def script() -> Workflow:
    """The file that was started."""
    return _kind(), _deployed(_main()), None


def _main() -> str:
    return files.main() or "interactive"


def launcher_of(program: str = "") -> str:
    """The command that was called, as “gunicorn” of `/venv/bin/gunicorn` and of `python -m gunicorn`."""
    folder, name = os.path.split(program)
    return os.path.basename(folder) if name == "__main__.py" else name.removesuffix(".exe")


def _named_by(launcher: str, given: tuple[str, ...]) -> str | None:
    """The file of the app that a launcher was called with."""
    said = [argument.partition("=")[2] if argument.startswith("--") else argument for argument in given]
    said.extend(os.environ.get(variable, "") for variable in _VARIABLES.get(launcher, ()))
    for argument in said if launcher in _BY_FILE else ():
        if argument.endswith(".py"):
            return files.place(argument)
    # “main:app” can be nothing else; what has no colon may be the value of some option, such as a worker's class.
    said.sort(key=lambda argument: ":" not in argument)
    for argument in (*said, *_DEFAULTS.get(launcher, ())):
        loaded = sys.modules.get(argument.partition(":")[0])
        if loaded is not None and (":" in argument or not files.is_installed(loaded)):
            return files.module(loaded)
    return None


def _is_serving() -> bool:
    """Whether the program's main thread is in a server. That one was imported proves nothing: many packages bring one along."""
    if not any(map(sys.modules.__contains__, _SERVERS)):
        return False
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    while frame is not None:
        if frame.f_globals.get("__name__") in _SERVERS:
            return True
        frame = frame.f_back
    return False


def _is_app(main: ModuleType) -> bool:
    """Whether the script itself imports a framework of apps; that a package which it uses brings one along proves nothing."""
    if not any(map(sys.modules.__contains__, _FRAMEWORKS)) or _no_app == [main, len(vars(main))]:
        return False
    if files.main() and any(_package_of(value) in _FRAMEWORKS for value in list(vars(main).values())):
        return True
    _no_app[:] = main, len(vars(main))
    return False


def _package_of(value: object) -> str:
    """Where something comes from, without asking itself: it may be a stand-in that imports when it is touched."""
    kind = type(value)
    if kind is ModuleType:
        name = vars(value).get("__name__")
    else:
        name = vars(value).get("__module__") if issubclass(kind, type) else kind.__module__
    return name.partition(".")[0] if isinstance(name, str) else ""


@cache
def _kind() -> str:
    """All CI sets `CI`; what is no service that `schedulers` knows is named as anywhere else."""
    return "pipeline" if os.environ.get("CI", "").lower() in ("true", "1") else "script"


def _deployed(name: str) -> str:
    """With the service's name before it: “/app/main.py” is what half of all containers run."""
    service = _service()
    return f"{service}: {name}" if service else name


@cache
def _service() -> str | None:
    environment = os.environ
    told = next(filter(None, map(environment.get, _SERVICES)), None)
    if told is not None or not environment.get("KUBERNETES_SERVICE_HOST"):
        return told
    return _owner(environment.get("HOSTNAME", ""))


_RANDOM = frozenset("bcdfghjklmnpqrstvwxz2456789")
"""The letters of which Kubernetes makes names up."""


def _owner(pod: str) -> str | None:
    """What a pod is one of: “billing” of billing-7d9f8c6b5-x2x4z (deployment), billing-x2x4z (job), billing-0 (stateful set)."""
    parts = pod.split("-")
    last = parts.pop()
    if len(last) == 5 and _RANDOM.issuperset(last):
        made_up = parts[-1] if len(parts) > 1 else ""
        # The hash of a deployment's template, or the minute of a cron job.
        if (6 <= len(made_up) <= 10 and _RANDOM.issuperset(made_up)) or (len(made_up) == 8 and made_up.isdigit()):
            parts.pop()
    elif not last.isdigit():
        return None
    return "-".join(parts) or None
