"""The real `dataflow serve`, for the promises that need both ends."""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from html.parser import HTMLParser
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any

from servers import READY_WITHIN, Port

BINARY = os.environ.get("DATAFLOW_BIN", str(Path(__file__).parents[2] / "target/debug/dataflow"))
_CONNECTIONS = "workspaces/default/connections"
_ADMIN = "admin@example.org"
PASSWORD = "correct horse battery staple"


class RealDataflow:
    """A server with an embedded store, an editor's hand to change connections, and a user's token for the SDK."""

    def __init__(self, folder: Path, sqlite_folder: Path, identity: tuple[str, str] | None = None) -> None:
        """With TLS if there is an `identity`, certificate and key in PEM, that `SSL_CERT_FILE` makes trusted."""
        assert os.path.exists(BINARY), f"{BINARY} is not built. Run `make test`, or set DATAFLOW_BIN."
        self.folder = folder
        self.data = folder / "data"
        self._port = Port()
        self.url = f"{'https' if identity else 'http'}://127.0.0.1:{self._port.number}"
        self._tls: list[str] = []
        for option, text in zip(("--tls-cert", "--tls-key"), identity or ()):
            file = folder / f"{option[2:]}.pem"
            file.write_text(text)
            self._tls += [option, str(file)]
        self.sqlite_folder = sqlite_folder
        self._shell("setup", "--email", _ADMIN, "--password-stdin", stdin=PASSWORD)
        self.start()
        self.token = self._token("user")
        self._editor = self._token("editor")

    @property
    def environment(self) -> dict[str, str]:
        """What signs a program in that uses connections, and says where this machine's SQLite files are."""
        return {"DATAFLOW_URL": self.url, "DATAFLOW_TOKEN": self.token, "DATAFLOW_SQLITE_DIR": str(self.sqlite_folder)}

    def start(self) -> None:
        listen = self.url.split("//")[1]
        command = [BINARY, "serve", "--data", str(self.data), "--listen", listen, "--sqlite-folder", str(self.sqlite_folder)]
        command += self._tls
        with (self.folder / "serve.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + READY_WITHIN
        while True:
            try:
                _open(f"{self.url}/readyz", 2).close()
                return
            except OSError:
                is_hopeless = self.process.poll() is not None or time.monotonic() > deadline
                assert not is_hopeless, (self.folder / "serve.log").read_text()[-2000:]
                time.sleep(0.05)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(READY_WITHIN)

    def end(self) -> None:
        """As `stop`, for good."""
        self.stop()
        self._port.close()

    def create(self, name: str, kind: str, **fields: Any) -> None:
        self._call("POST", _CONNECTIONS, {"name": name, "type": kind, **fields})

    def edit(self, name: str, **fields: Any) -> None:
        self._call("PATCH", f"{_CONNECTIONS}/{name}", fields)

    def dependents(self, name: str) -> dict[str, Any]:
        return self._call("GET", f"{_CONNECTIONS}/{name}/dependents", None)

    def delete(self, name: str, reason: str, use_instead: str | None = None) -> None:
        """Knowing what it breaks."""
        asked = {"reason": reason, "use_instead": use_instead, "impact_token": self.dependents(name)["impact_token"]}
        query = urllib.parse.urlencode({key: value for key, value in asked.items() if value is not None})
        self._call("DELETE", f"{_CONNECTIONS}/{name}?{query}", None)

    def bring_back(self, name: str) -> None:
        self._call("POST", f"{_CONNECTIONS}/{name}/restore", None)

    def rename(self, name: str, to: str) -> None:
        self._call("POST", f"{_CONNECTIONS}/{name}/rename", {"name": to})

    def aliases(self, name: str) -> list[dict[str, Any]]:
        return self._call("GET", f"{_CONNECTIONS}/{name}/aliases", None)["items"]

    def remove_alias(self, name: str, alias: str) -> None:
        """Knowing what it breaks."""
        (token,) = [each["impact_token"] for each in self.aliases(name) if each["name"] == alias]
        query = "" if token is None else f"?impact_token={token}"
        self._call("DELETE", f"{_CONNECTIONS}/{name}/aliases/{alias}{query}", None)

    def repoint(self, name: str, to: str) -> None:
        """Knowing what it does."""
        impact = self._call("GET", f"{_CONNECTIONS}/{name}/repoint?{urllib.parse.urlencode({'to': to})}", None)
        self._call("POST", f"{_CONNECTIONS}/{name}/repoint", {"to": to, "impact_token": impact["token"]})

    def restore(self, name: str, version: int) -> None:
        self._call("POST", f"{_CONNECTIONS}/{name}/versions/{version}/restore", None)

    def rotate(self, name: str) -> dict[str, Any]:
        return self._call("POST", f"{_CONNECTIONS}/{name}/rotate", None)

    def give_second_login(self, name: str, username: str, password: str) -> None:
        self._call("PUT", f"{_CONNECTIONS}/{name}/second-login", {"username": username, "password": password})

    def second_login(self, name: str) -> dict[str, Any]:
        return self._call("GET", f"{_CONNECTIONS}/{name}/second-login", None)

    def retire(self, name: str) -> dict[str, Any]:
        """Refused while somebody lags behind."""
        return self._call("POST", f"{_CONNECTIONS}/{name}/second-login/retire", None)

    def test(self, name: str) -> dict[str, Any]:
        return self._call("POST", f"{_CONNECTIONS}/{name}/test", None)

    def checks(self, name: str) -> list[dict[str, Any]]:
        """What the tests of a connection came to, newest first."""
        return self._call("GET", f"{_CONNECTIONS}/{name}/checks", None)["items"]

    def catalogue(self) -> list[dict[str, Any]]:
        """Every connection type, as the API tells of it."""
        return self._call("GET", "types", None)["items"]

    def define_type(self, name: str, definition: str) -> None:
        """A type of the workspace's own, which its admin makes."""
        headers = {"Authorization": f"Bearer {self._token('admin')}", "Content-Type": "application/toml", "If-None-Match": "*"}
        url = f"{self.url}/api/v1/workspaces/default/types/{name}"
        _open(urllib.request.Request(url, definition.encode(), headers, method="PUT"), 60).close()

    def snippets(self, name: str) -> dict[str, str]:
        """The texts under “Use it” on the connection's page, by their ids, as the admin reads them in a browser."""
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
        form = urllib.parse.urlencode({"email": _ADMIN, "password": PASSWORD, "next": f"/w/default/connections/{name}"})
        sign_in = urllib.request.Request(f"{self.url}/sign-in", form.encode(), {"Origin": self.url})
        page = _Snippets()
        with browser.open(sign_in, timeout=20) as answer:
            page.feed(answer.read().decode())
        return page.texts

    def _call(self, method: str, path: str, body: Any) -> Any:
        headers = {"Authorization": f"Bearer {self._editor}", "Content-Type": "application/json", "If-Match": "*"}
        data = None if body is None else json.dumps(body).encode()
        url = f"{self.url}/api/v1/{path}"
        request = urllib.request.Request(url, data, headers, method=method)
        try:
            with _open(request, 60) as answer:
                text = answer.read()
        except urllib.error.HTTPError as refusal:
            raise AssertionError(refusal.read().decode()) from None
        return json.loads(text) if text else None

    def _token(self, role: str) -> str:
        return self._shell("token", "create", "--role", role, "--name", role).strip()

    def _shell(self, *command: str, stdin: str = "") -> str:
        done = subprocess.run(
            [BINARY, *command, "--data", str(self.data)], input=stdin, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


def _open(asked: str | urllib.request.Request, timeout: float) -> Any:
    """As `urlopen`, whose authorities are those of its first call in this process: since Python 3.12 its opener keeps them."""
    return urllib.request.build_opener().open(asked, timeout=timeout)


class _Snippets(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.texts: dict[str, str] = {}
        self._id: str | None = None

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self._id = dict(attributes).get("data-snippet")
        if self._id is not None:
            self.texts[self._id] = ""

    def handle_endtag(self, tag: str) -> None:
        self._id = None

    def handle_data(self, data: str) -> None:
        if self._id is not None:
            self.texts[self._id] += data
