"""A Dataflow server as far as the SDK can tell: `GET …/credentials`, with ETags, tombstones and outages."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = "dfc_user_planted"

_PATH = re.compile("/api/v1/workspaces/([^/]+)/connections/([^/]+)/credentials")

_BASES = {
    "postgres": ("postgres", "postgresql"),
    "redshift": ("postgres", "postgresql"),
    "mysql": ("mysql", "mysql"),
    "mariadb": ("mysql", "mysql"),
    "sqlite": ("sqlite", "sqlite"),
    "clickhouse": ("clickhouse", "clickhousedb"),
    "duckdb": ("duckdb", "duckdb"),
    "trino": ("trino", "trino"),
    "http": ("http", None),
    "elasticsearch": ("elasticsearch", None),
    "redis": ("redis", None),
}


class FakeDataflow:
    """Holds connections in memory and counts what it is asked."""

    def __init__(self) -> None:
        self._connections: dict[str, dict] = {}
        self._tombstones: dict[str, dict] = {}
        self._versions: dict[str, int] = {}
        self.requests: list[dict] = []
        self.away_with: int | None = None
        self.wait = 0.0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.005,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def put(self, name: str, type_id: str, *, hop: dict | None = None, url: dict | None = None, **fields: object) -> None:
        """Saves a connection; what is not about connecting does not change the fingerprint. `hop` is what it goes through,
        `url` the parts of the URL of a type that a workspace has made itself.

        A name with a slash is one of another workspace: `lab/sales`.
        """
        self._versions[name] = self._versions.get(name, 0) + 1
        self._tombstones.pop(name, None)
        fields.pop("description", None)
        fingerprint = hashlib.sha256(json.dumps([type_id, fields], sort_keys=True).encode()).hexdigest()[:32]
        base, dialect = _BASES.get(type_id, ("generic", None))
        members: dict[str, object] = {}
        if hop is not None:
            members["hop"] = hop
            fingerprint += f"-{hop['fingerprint']}"
        if url is not None:
            members["url"] = url
            dialect = url["drivername"].partition("+")[0]
            fingerprint += f"-t{hashlib.sha256(json.dumps(url, sort_keys=True).encode()).hexdigest()[:8]}"
        self._connections[name] = {
            "name": name.rpartition("/")[2],
            "type": type_id,
            "base": base,
            "sqlalchemy": dialect,
            "fields": fields,
            "fingerprint": fingerprint,
            "version": self._versions[name],
            **members,
        }

    def fields(self, name: str) -> dict:
        return dict(self._connections[name]["fields"])

    def delete(self, name: str, by: str = "ann@example.org", at: str = "2026-11-22T10:00:00Z", reason: str = "") -> None:
        del self._connections[name]
        self._tombstones[name] = {"deleted_by": by, "deleted_at": at, "reason": reason}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, path: str, headers: dict[str, str]) -> tuple[int, dict[str, str], dict | None]:
        if self.away_with is not None:
            return self.away_with, {}, {"code": "unavailable"}
        if headers.get("authorization") != f"Bearer {TOKEN}":
            return 401, {}, {"code": "unauthenticated", "detail": "The token is not known."}
        workspace, name = _PATH.fullmatch(path).groups()
        name = name if workspace == "default" else f"{workspace}/{name}"
        if name == "forbidden":
            return 403, {}, {"code": "forbidden", "detail": "This token may not use it."}
        if name in self._tombstones:
            return 410, {}, {"code": "connection_deleted", **self._tombstones[name]}
        if name not in self._connections:
            return 404, {}, {"code": "not_found"}
        found = self._connections[name]
        etag = f'"{found["fingerprint"]}"'
        said = {"ETag": etag, "Cache-Control": "no-store", "Dataflow-Connection-Version": str(found["version"])}
        if headers.get("if-none-match") == etag:
            return 304, said, None
        return 200, said, found

    def _handler(fake) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                time.sleep(fake.wait)
                status, extra, document = fake._answer(self.path, headers)
                fake.requests.append({"path": self.path, "headers": headers, "status": status})
                body = b"" if document is None else json.dumps(document).encode()
                self.send_response(status)
                for name, value in extra.items():
                    self.send_header(name, value)
                if status != 304:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        return Handler
