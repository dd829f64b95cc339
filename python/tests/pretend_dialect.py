"""A dialect that no package brings: it signs in at a server of its own, of which a URL has all the parts, and then answers like
SQLite."""

from __future__ import annotations

import asyncio
import json
import socket
import socketserver
import threading
from typing import Any

from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.aiosqlite import SQLiteDialect_aiosqlite
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.util import await_only

seen: list[Any] = []
"""The URLs that drivers were given, in order."""


def _sign_in(dialect: Any, url: Any) -> None:
    seen.append(url)
    with socket.create_connection((url.host, url.port), 10) as channel:
        channel.sendall(f"{url.username}\0{url.password}\n".encode())
        if channel.makefile("rb").readline() != b"in\n":
            # As bad as drivers get.
            error = dialect.loaded_dbapi.OperationalError(f"wrong: {url.password} {url.query}", str(url.password).encode())
            error.url = {"whole": [url.render_as_string(hide_password=False)], "query": dict(url.query)}
            error.json, error.lines = json.dumps(dict(url.query)), " | ".join("".join(url.query.values()).splitlines())
            raise error


class Dialect(SQLiteDialect_pysqlite):
    name = "pretend"
    driver = "wire"
    supports_statement_cache = True

    def create_connect_args(self, url: Any) -> Any:
        return [], {"url": url}

    def connect(self, *_: Any, url: Any) -> Any:
        _sign_in(self, url)
        return self.loaded_dbapi.connect(":memory:", check_same_thread=False)

    def on_connect(self) -> None:
        return None


class AsyncDialect(SQLiteDialect_aiosqlite):
    name = "pretend"
    driver = "aio"
    supports_statement_cache = True

    def create_connect_args(self, url: Any) -> Any:
        return [], {"url": url}

    def connect(self, *_: Any, url: Any) -> Any:
        if url.database == "slow":
            await_only(asyncio.sleep(600))
        _sign_in(self, url)
        return self.loaded_dbapi.connect(":memory:")

    def on_connect(self) -> None:
        return None


registry.register("pretend.wire", __name__, "Dialect")
registry.register("pretend.aio", __name__, "AsyncDialect")


class PretendServer:
    """Lets in whoever has the name and the password."""

    def __init__(self, username: str, password: str) -> None:
        self.username, self.password = username, password

        class Handler(socketserver.StreamRequestHandler):
            def handle(handler) -> None:
                said = handler.rfile.readline().decode()
                handler.wfile.write(b"in\n" if said == f"{self.username}\0{self.password}\n" else b"out\n")

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
