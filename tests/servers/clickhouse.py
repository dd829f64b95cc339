"""ClickHouse's engine (chdb) behind its HTTP interface: <https://clickhouse.com/docs/interfaces/http>.

Statements, formats and errors are ClickHouse's own. This program adds what lies between them and a client: sign-in, parameters and
headers. It reads who may sign in, and its certificate, anew for each connection: FOLDER/users.json, FOLDER/server.pem and server.key.

    clickhouse.py FOLDER HTTP_PORT HTTPS_PORT
"""

from __future__ import annotations

import base64
import json
import re
import ssl
import sys
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from chdb import session

DEFAULT = "default"
# src/Server/HTTPHandler.cpp and src/Common/ErrorCodes.cpp in ClickHouse's source
AUTHENTICATION_FAILED, NOT_IMPLEMENTED, UNKNOWN_DATABASE, UNKNOWN_TABLE, UNKNOWN_SETTING, SYNTAX_ERROR = 516, 48, 81, 60, 115, 62
STATUS = {AUTHENTICATION_FAILED: 403, NOT_IMPLEMENTED: 501, UNKNOWN_DATABASE: 404, UNKNOWN_TABLE: 404, SYNTAX_ERROR: 400}
OF_THE_INTERFACE = {
    "database", "query", "default_format", "session_id", "session_timeout", "session_check", "query_id", "wait_end_of_query",
    "client_protocol_version",
}  # fmt: skip


class Refused(Exception):
    def __init__(self, code: int, words: str) -> None:
        super().__init__(words)
        self.code = code


class Engine:
    """One engine for all, which does one thing at a time."""

    def __init__(self) -> None:
        self._session = session.Session()
        self._lock = threading.Lock()
        (version, timezone) = self.run("SELECT version(), timezone()", DEFAULT, "TabSeparated").decode().split()
        self.version, self.timezone = version, timezone
        # A setting among the parameters has to be one; here it changes nothing.
        names = self.run("SELECT name FROM system.settings", DEFAULT, "TabSeparated").decode().split()
        self.parameters = OF_THE_INTERFACE.union(names)

    def run(self, sql: str, database: str, form: str) -> bytes:
        with self._lock:
            try:
                self._session.query(f"USE {quoted(database)}")
                return self._session.query(sql, form).bytes()
            except Exception as error:
                found = re.match(r"(?s)Code: (\d+)\. (.*)", str(error).strip())
                raise Refused(int(found[1]) if found else 1001, str(error).strip()) from None


def quoted(name: str) -> str:
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    engine: Engine
    folder: Path

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            body = b"".join(iter(self._chunk, b""))
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer(body)

    def _chunk(self) -> bytes:
        size = int(self.rfile.readline().split(b";")[0], 16)
        data = self.rfile.read(size)
        self.rfile.readline()
        return data

    def _answer(self, body: bytes) -> None:
        place = urlsplit(self.path)
        if place.path == "/ping":
            return self._send(200, b"Ok.\n", {})
        headers = {
            "X-ClickHouse-Query-Id": str(uuid.uuid4()),
            "X-ClickHouse-Timezone": self.engine.timezone,
            "X-ClickHouse-Server-Display-Name": "chdb",
            "X-ClickHouse-Summary": '{"read_rows":"0","written_rows":"0"}',
        }
        try:
            told = self._run(body, dict(parse_qsl(place.query, keep_blank_values=True)))
        except Refused as error:
            status = STATUS.get(error.code, 500)
            text = f"Code: {error.code}. DB::Exception: {error}" if not str(error).startswith("Code: ") else str(error)
            return self._send(status, f"{text}\n".encode(), {**headers, "X-ClickHouse-Exception-Code": str(error.code)})
        return self._send(200, told, headers)

    def _run(self, body: bytes, parameters: dict[str, str]) -> bytes:
        user = self._signed_in()
        unknown = [name for name in parameters if name not in self.engine.parameters and not name.startswith("param_")]
        if unknown:
            raise Refused(UNKNOWN_SETTING, f"Unknown setting {unknown[0]}. (UNKNOWN_SETTING)")
        if self.headers.get("Content-Encoding") or (parameters.get("query") and body):
            raise Refused(NOT_IMPLEMENTED, "Data beside the statement. (NOT_IMPLEMENTED)")
        sql = parameters.get("query") or body.decode()
        database = self.headers.get("X-ClickHouse-Database") or parameters.get("database") or DEFAULT
        form = self.headers.get("X-ClickHouse-Format") or parameters.get("default_format") or "TabSeparated"
        return self.engine.run(sql.replace("currentUser()", "'" + user.replace("'", "\\'") + "'"), database, form)

    def _signed_in(self) -> str:
        """By HTTP's Basic or by headers, never by both."""
        if len(self.headers.get_all("Authorization", [])) > 1:
            raise Refused(AUTHENTICATION_FAILED, "Two headers sign in. (AUTHENTICATION_FAILED)")
        scheme, _, value = self.headers.get("Authorization", "").partition(" ")
        named = self.headers.get("X-ClickHouse-User")
        if scheme and named:
            raise Refused(AUTHENTICATION_FAILED, "It is not allowed to use two ways of signing in. (AUTHENTICATION_FAILED)")
        if scheme:
            if scheme.lower() != "basic":
                raise Refused(AUTHENTICATION_FAILED, f"No sign-in by {scheme} here. (AUTHENTICATION_FAILED)")
            user, _, password = base64.b64decode(value).decode().partition(":")
        else:
            user = (named or DEFAULT).encode("latin-1").decode()
            password = self.headers.get("X-ClickHouse-Key", "").encode("latin-1").decode()
        if json.loads((self.folder / "users.json").read_text()).get(user) != password:
            words = "Authentication failed: password is incorrect, or there is no user with such name."
            raise Refused(AUTHENTICATION_FAILED, f"{user}: {words} (AUTHENTICATION_FAILED)")
        return user

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class SecureHandler(Handler):
    """The handshake is the connection's own affair, so that one that stands still holds up nobody."""

    def setup(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / "server.pem", self.folder / "server.key")
        context.load_verify_locations(self.folder / "ca.pem")
        context.verify_mode = ssl.CERT_OPTIONAL
        self.request = context.wrap_socket(self.request, server_side=True)
        super().setup()


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that goes, or does not like the certificate."""


def main() -> None:
    folder, ports = Path(sys.argv[1]), [int(port) for port in sys.argv[2:4]]
    Handler.engine, Handler.folder = Engine(), folder
    servers = [Server(("127.0.0.1", port), kind) for port, kind in zip(ports, (Handler, SecureHandler))]
    threading.Thread(target=servers[0].serve_forever, daemon=True).start()
    servers[1].serve_forever()


main()
