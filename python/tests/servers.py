"""What the database servers under test share: a process on loopback, a random port, TLS under an authority of its own."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import os
import shutil
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

from certificates import Authority

REPOSITORY = Path(__file__).parents[2]
ENVIRONMENT = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "TZ": "UTC"}
IS_ROOT = os.getuid() == 0
UNPRIVILEGED = {"user": "nobody", "group": "nogroup", "extra_groups": []} if IS_ROOT else {}
"""Databases refuse to run as root."""


READY_WITHIN = 120
"""Seconds. What takes one takes far longer on a machine that is busy and has not yet read the server from its disk."""


class Port:
    """A port on loopback that is free, and that no other fixture is given while this object lives: in the manner of
    `tests/src/port.rs` and under the same lock files, so that both may run at the same time."""

    _FIRST, _COUNT = 20_000, 12_000
    """Below Linux's range for outgoing connections, so that no client takes a port between choice and use."""

    def __init__(self) -> None:
        for step in range(self._COUNT):
            number = self._FIRST + (os.getpid() * 7_919 + step) % self._COUNT
            try:
                held = open(f"/tmp/dataflow-test-port-{number}.lock", "ab")  # noqa: SIM115 - it is held
            except OSError:
                continue  # another user's: then the port is theirs
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                with socket.socket() as listener:
                    listener.bind(("127.0.0.1", number))
            except OSError:
                held.close()
                continue
            self.number, self._held = number, held
            return
        raise AssertionError(f"no port from {self._FIRST} on is free")

    def close(self) -> None:
        self._held.close()


def find(program: str, *folders: str) -> str:
    """The program's path. A missing server fails the tests that need it; it never skips them."""
    for pattern in folders:
        for candidate in sorted(glob.glob(f"{pattern}/{program}"), reverse=True):
            return candidate
    found = shutil.which(program)
    assert found, f"{program} is not installed. On Debian: apt-get install postgresql mariadb-server"
    return found


def _cache() -> Path:
    named = os.environ.get("DATAFLOW_TEST_CACHE")
    if named:
        return Path(named)
    is_open = all(folder.stat().st_mode & stat.S_IXOTH for folder in (REPOSITORY, *REPOSITORY.parents))
    return Path("/var/tmp/dataflow-test-cache") if IS_ROOT and not is_open else REPOSITORY / ".cache"


CACHE = _cache()
"""Where what takes long to make is kept between runs; the Rust tests keep theirs in the same folder."""


def cached(name: str, make: Callable[[Path], None]) -> Path:
    """The cached `name`, which `make` makes the first time. Who asks meanwhile waits for it."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (CACHE / name).exists():
            part = CACHE / f"{name}.part"
            shutil.rmtree(part, ignore_errors=True)
            make(part)
            part.rename(CACHE / name)
    return CACHE / name


def give_away(*paths: Path) -> None:
    """To the user that the servers run as."""
    if IS_ROOT:
        for path in paths:
            shutil.chown(path, "nobody", "nogroup")


class Server:
    """A server process that runs as a user without rights."""

    stop_signal = 15
    last_signal = 9
    is_encrypted: str
    """The query that answers whether its session is encrypted."""
    command: Callable[[], list[str]]
    answers: Callable[[], None]
    initialise: Callable[[Path], None]
    """Makes the data folder of a fresh server, which all servers of the kind are copies of."""
    reload: Callable[[], None]
    """Makes the server show the certificate that now stands in its folder to all who connect from now on."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.folder = folder
        self._port = Port()
        self.port = self._port.number
        self.authority = Authority.make("Test CA")
        self.data = folder / "data"
        self.process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True)
        give_away(folder)
        self._write("ca.pem", self.authority.pem)
        self._identity = self.authority.issue("localhost")
        self._write_identity(self._identity)
        template = cached(f"python-{kind}-data", self._make_template)
        subprocess.run(["cp", "-a", "--reflink=auto", "--", str(template), str(self.data)], check=True)
        self.start()

    def _make_template(self, part: Path) -> None:
        part.mkdir()
        part.chmod(0o700)
        give_away(part)
        self.initialise(part)

    def _write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.write_text(text)
        path.chmod(0o600)
        give_away(path)

    def _write_identity(self, identity: tuple[str, str]) -> None:
        for name, text in zip(("server.pem", "server.key"), identity):
            self._write(name, text)

    @contextlib.contextmanager
    def showing(self, identity: tuple[str, str] | None) -> Iterator[None]:
        """Shows another certificate, or offers no TLS at all."""
        if identity is None:
            with self.plain():
                yield
            return
        self._write_identity(identity)
        self.reload()
        try:
            yield
        finally:
            self._write_identity(self._identity)
            self.reload()

    plain: Callable[[], contextlib.AbstractContextManager[None]]
    """Offers no TLS for a while."""

    def run(self, *command: str) -> None:
        done = subprocess.run(
            command, check=False, cwd=self.folder, env=ENVIRONMENT, capture_output=True, text=True, **UNPRIVILEGED
        )
        assert done.returncode == 0, done.stderr[-2000:]

    def start(self, *options: str) -> None:
        command = [*self.command(), *options]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, cwd=self.folder, env=ENVIRONMENT, stdout=log, stderr=log, **UNPRIVILEGED)
        deadline = time.monotonic() + READY_WITHIN
        while True:
            try:
                self.answers()
                return
            except Exception:
                is_hopeless = self.process.poll() is not None or time.monotonic() > deadline
                assert not is_hopeless, (self.folder / "log").read_text()[-2000:]
                time.sleep(0.05)

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(self.stop_signal)
            self.process.wait(READY_WITHIN)
            self.process = None

    def end(self) -> None:
        """As `stop`, at once: nobody needs the data any more."""
        if self.process is not None:
            self.process.send_signal(self.last_signal)
            self.process.wait(READY_WITHIN)
        self._port.close()

    def restart(self, *options: str) -> None:
        self.stop()
        self.start(*options)

    def _place(self, user: str, password: str, database: str) -> dict[str, object]:
        """A connection's fields, without TLS."""
        return {
            "host": "127.0.0.1",
            "port": self.port,
            "database": database,
            "username": user,
            "password": password,
            "tls": {"mode": "disable", "ca": None, "cert": None, "key": None},
        }
