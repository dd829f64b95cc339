"""A real ClickHouse engine behind its HTTP interface: `tests/servers/clickhouse.py`."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from certificates import Authority
from servers import CACHE, ENVIRONMENT, READY_WITHIN, REPOSITORY, Port

CHDB = "26.9.0"
"""As in `tools/deps.sh`."""


class ClickHouse:
    """Over HTTP and over HTTPS, for the same users."""

    def __init__(self, folder: Path) -> None:
        environment = CACHE / f"chdb-{CHDB}"
        interpreter = environment / "bin/python"
        assert (environment / "complete").exists(), f"{environment} is not there. Run tools/deps.sh."
        folder.mkdir(parents=True)
        self._folder = folder
        self._users = {"default": ""}
        self._ports = Port(), Port()
        self.port, self.tls_port = (port.number for port in self._ports)
        self.authority = Authority.make("Test CA")
        self._write("ca.pem", self.authority.pem)
        self._identity = self.authority.issue("localhost")
        self._write_identity(self._identity)
        self._write("users.json", json.dumps(self._users))
        command = [interpreter, REPOSITORY / "tests/servers/clickhouse.py", folder, str(self.port), str(self.tls_port)]
        with (folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, cwd=folder, env=ENVIRONMENT, stdout=log, stderr=log)
        deadline = time.monotonic() + READY_WITHIN
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/ping", timeout=5).close()
                return
            except OSError:
                is_hopeless = self._process.poll() is not None or time.monotonic() > deadline
                assert not is_hopeless, (folder / "log").read_text()[-2000:]
                time.sleep(0.05)

    def end(self) -> None:
        self._process.kill()
        self._process.wait(READY_WITHIN)
        for port in self._ports:
            port.close()

    def set_password(self, user: str, password: str) -> None:
        """From the next request on."""
        self._users[user] = password
        self._write("users.json", json.dumps(self._users))

    def fields(self, user: str, password: str, **changes: object) -> dict[str, object]:
        """Over verified TLS."""
        return {
            "host": "localhost",
            "port": self.tls_port,
            "database": "default",
            "username": user,
            "password": password,
            "tls": {"mode": "verify-full", "ca": self.authority.pem},
            **changes,
        }

    def plain_fields(self, user: str, password: str, **changes: object) -> dict[str, object]:
        """Without TLS, on this machine."""
        return self.fields(user, password, **{"port": self.port, "tls": {"mode": "disable"}, **changes})

    @contextlib.contextmanager
    def showing(self, identity: tuple[str, str]) -> Iterator[None]:
        """Shows another certificate to all who connect meanwhile."""
        self._write_identity(identity)
        try:
            yield
        finally:
            self._write_identity(self._identity)

    def _write_identity(self, identity: tuple[str, str]) -> None:
        for name, text in zip(("server.pem", "server.key"), identity):
            self._write(name, text)

    def _write(self, name: str, text: str) -> None:
        part = self._folder / f"{name}.part"
        part.write_text(text)
        part.replace(self._folder / name)
