"""A Trino coordinator, as its client protocol has it: <https://trino.io/docs/current/develop/client-protocol.html>.

A statement goes to `POST /v1/statement`; each answer names the next one in `nextUri`, until one names none. The user stands in
`X-Trino-User`, the catalog in `X-Trino-Catalog`. Who signs in is looked at before all else, with every request; a password is
taken over TLS alone (<https://trino.io/docs/current/security/password-file.html>, `InsecureAuthenticator` in the source).
"""

from __future__ import annotations

import base64
import re
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from json import dumps
from pathlib import Path
from typing import Any

from certificates import Authority

VERSION = "476"


class FakeTrino:
    """With TLS, whose users have a password or a token; or without, where everybody comes in by name and no password is taken."""

    def __init__(self, folder: Path, *, is_encrypted: bool = True) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.passwords: dict[str, str] = {}
        self.tokens: dict[str, str] = {}
        self.is_encrypted = is_encrypted
        self.authority = Authority.make("Test CA")
        self._folder = folder
        self.show(self.authority.issue("localhost"))
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.next_host: str | None = None
        """Where `nextUri` leads; the server itself unless it is said."""
        self.redirects_to: str | None = None
        self.prefix = ""
        """What a proxy in front of it has before every path that a client asks for first."""
        self._pages: dict[str, list[dict[str, Any]]] = {}
        self._server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"fake": self}))
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.005,), daemon=True).start()

    def show(self, identity: tuple[str, str]) -> None:
        """The certificate, to all who connect from now on."""
        path = self._folder / "trino.pem"
        path.write_text("".join(identity))
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(path)

    def set_password(self, user: str, password: str) -> None:
        self.passwords[user] = password

    def fields(self, user: str, password: str, **changes: object) -> dict[str, object]:
        return {
            "host": "localhost",
            "port": self.port,
            "database": "hive",
            "username": user,
            "password": password,
            "tls": {"mode": "verify-full", "ca": self.authority.pem} if self.is_encrypted else {"mode": "disable"},
            **changes,
        }

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _refusal(self, headers: dict[str, str]) -> str | None:
        scheme, _, value = headers.get("authorization", "").partition(" ")
        named = headers.get("x-trino-user", "").encode("latin-1").decode()
        if not self.is_encrypted:
            if scheme:
                return "Password not allowed for insecure authentication"
            return None if named else "Basic authentication or user must be sent"
        if scheme == "Basic":
            user, _, password = base64.b64decode(value).decode().partition(":")
            is_right = user in self.passwords and self.passwords[user] == password
            return None if is_right and named == user else f"Access Denied: Invalid credentials {scheme} {value}"
        if scheme == "Bearer":
            return None if self.tokens.get(named) == value else f"Access Denied: Invalid token {value}"
        return "Unauthorized"

    def _statement(self, sql: str, headers: dict[str, str]) -> dict[str, Any]:
        number = f"20261130_090000_{len(self._pages):05}_abcde"
        made = self._answer(sql, headers)
        first: dict[str, Any] = {"id": number, "infoUri": f"https://{self._host()}/ui/query.html?{number}"}
        # Queued, then the columns with the rows, then the end.
        self._pages[number] = [{}, made, {}] if "error" not in made else [{}, made]
        return self._page(number, 0, first)

    def _page(self, number: str, page: int, head: dict[str, Any] | None = None) -> dict[str, Any]:
        pages = self._pages[number]
        state = "QUEUED" if page == 0 else "RUNNING" if page < len(pages) - 1 else "FINISHED"
        stats = {"state": state, "queued": page == 0, "scheduled": page > 0, "nodes": 1, "totalSplits": 1}
        head = head or {"id": number, "infoUri": f"https://{self._host()}/ui/query.html?{number}"}
        answer = {**head, "stats": stats, "warnings": [], **pages[page]}
        if page + 1 < len(pages):
            scheme = "https" if self.is_encrypted else "http"
            answer["nextUri"] = f"{scheme}://{self._host()}/v1/statement/executing/{number}/y0/{page + 1}"
        return answer

    def _host(self) -> str:
        return self.next_host or f"localhost:{self.port}"

    def _answer(self, sql: str, headers: dict[str, str]) -> dict[str, Any]:
        immediate = re.fullmatch(r"EXECUTE IMMEDIATE '(.*?)'(?: USING (.*))?", sql)
        given = []
        if immediate:
            sql, given = immediate[1], (immediate[2] or "").split(", ")
        known: dict[str, tuple[str, Any]] = {
            "SELECT version()": ("varchar", VERSION),
            "SELECT current_user": ("varchar", headers["x-trino-user"].encode("latin-1").decode()),
            "SELECT current_catalog": ("varchar", headers.get("x-trino-catalog")),
            "SELECT current_schema": ("varchar", headers.get("x-trino-schema")),
        }
        number = re.fullmatch(r"SELECT (\d+)", sql)
        if number:
            known[sql] = "integer", int(number[1])
        if sql == "SELECT ?" and len(given) == 1:
            known[sql] = "integer", int(given[0])
        if sql not in known:
            error = {"message": f"line 1:1: mismatched input '{sql[:20]}'", "errorCode": 1, "errorName": "SYNTAX_ERROR"}
            return {"error": {**error, "errorType": "USER_ERROR", "failureInfo": {"type": "ParsingException"}}}
        kind, value = known[sql]
        length = [{"kind": "LONG", "value": 2147483647}] if kind == "varchar" else []
        column = {"name": "_col0", "type": kind, "typeSignature": {"rawType": kind, "arguments": length}}
        return {"columns": [column], "data": [[value]]}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    fake: FakeTrino

    def setup(self) -> None:
        if self.fake.is_encrypted:
            self.request = self.fake._context.wrap_socket(self.request, server_side=True)
        super().setup()

    def do_POST(self) -> None:
        sql = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        if not self._is_let_in():
            return
        if self.path != f"{self.fake.prefix}/v1/statement":
            self._send(404, "not found")
        elif not sql:
            self._send(400, "SQL statement is empty")
        else:
            self._send(200, self.fake._statement(sql, self._headers()))

    def do_GET(self) -> None:
        if not self._is_let_in():
            return
        found = re.fullmatch(r"/v1/statement/executing/([^/]+)/y0/(\d+)", self.path)
        if not found or int(found[2]) >= len(self.fake._pages.get(found[1], [])):
            self._send(404, "not found")
        else:
            self._send(200, self.fake._page(found[1], int(found[2])))

    def do_DELETE(self) -> None:
        if self._is_let_in():
            self._send(204, "")

    def _is_let_in(self) -> bool:
        if len(self.headers.get_all("Authorization", [])) > 1:
            self._send(400, "Duplicate Authorization header")
            return False
        self.fake.requests.append((self.command, self.path, self._headers()))
        if self.fake.redirects_to:
            self._send(307, "", {"Location": self.fake.redirects_to})
            return False
        refusal = self.fake._refusal(self._headers())
        if refusal is not None:
            self._send(401, refusal, {"WWW-Authenticate": 'Basic realm="Trino"'})
        return refusal is None

    def _headers(self) -> dict[str, str]:
        return {name.lower(): value for name, value in self.headers.items()}

    def _send(self, status: int, said: Any, headers: dict[str, str] | None = None) -> None:
        body = said.encode() if isinstance(said, str) else dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain" if isinstance(said, str) else "application/json")
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that goes, or does not like the certificate."""
