"""The real `dataflow serve`, for the promises that need both ends."""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from servers import free_port

BINARY = os.environ.get("DATAFLOW_BIN", str(Path(__file__).parents[2] / "target/debug/dataflow"))
PASSWORD = "correct horse battery staple"


class RealDataflow:
    """A server with an embedded store, an editor's hand to change connections, and a user's token for the SDK."""

    def __init__(self, folder: Path, sqlite_folder: Path) -> None:
        assert os.path.exists(BINARY), f"{BINARY} is not built. Run `make test`, or set DATAFLOW_BIN."
        self.folder = folder
        self.data = folder / "data"
        self.url = f"http://127.0.0.1:{free_port()}"
        self.sqlite_folder = sqlite_folder
        self._shell("setup", "--email", "admin@example.org", "--password-stdin", stdin=PASSWORD)
        self.start()
        self.token = self._token("user")
        self._editor = self._token("editor")

    def start(self) -> None:
        listen = self.url.split("//")[1]
        command = [BINARY, "serve", "--data", str(self.data), "--listen", listen, "--sqlite-folder", str(self.sqlite_folder)]
        with (self.folder / "serve.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + 20
        while True:
            try:
                urllib.request.urlopen(f"{self.url}/readyz", timeout=2).close()
                return
            except OSError:
                is_hopeless = self.process.poll() is not None or time.monotonic() > deadline
                assert not is_hopeless, (self.folder / "serve.log").read_text()[-2000:]
                time.sleep(0.05)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(20)

    def create(self, name: str, kind: str, **fields: Any) -> None:
        self._call("POST", "connections", {"name": name, "type": kind, **fields})

    def edit(self, name: str, **fields: Any) -> None:
        self._call("PATCH", f"connections/{name}", fields)

    def delete(self, name: str, reason: str) -> None:
        self._call("DELETE", f"connections/{name}?reason={reason}", None)

    def test(self, name: str) -> dict[str, Any]:
        return self._call("POST", f"connections/{name}/test", None)

    def _call(self, method: str, path: str, body: Any) -> Any:
        headers = {"Authorization": f"Bearer {self._editor}", "Content-Type": "application/json", "If-Match": "*"}
        data = None if body is None else json.dumps(body).encode()
        url = f"{self.url}/api/v1/workspaces/default/{path}"
        request = urllib.request.Request(url, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                text = answer.read()
        except urllib.error.HTTPError as refusal:
            raise AssertionError(refusal.read().decode()) from None
        return json.loads(text) if text else None

    def _token(self, role: str) -> str:
        return self._shell("token", "create", "--role", role, "--name", role).strip()

    def _shell(self, *command: str, stdin: str = "") -> str:
        done = subprocess.run(
            [BINARY, *command, "--data", str(self.data)], input=stdin, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout
