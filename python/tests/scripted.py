"""Database servers that follow a script of `tests/servers/hostile.json`, of which the connectors' tests say what its words mean
(`crates/connectors/tests/child/hostile.rs`). They keep all that a client sends, decrypted."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import ssl
import struct
import threading
import time
from pathlib import Path
from typing import Any

import hostile
from certificates import Authority
from servers import REPOSITORY

_LIST = (REPOSITORY / "tests/servers/hostile.json").read_text()
# libpq hashes to the end, in a thread that was left behind: 20 million rounds keep a processor from the other tests for 10 s.
BEHAVIOURS = json.loads(_LIST if os.environ.get("DATAFLOW_SOAK") else _LIST.replace("i=20000000", "i=6000000"))

_NONCE = b"ABCDEFGHIJKLMNOPQRST"
_TLS = 1 << 11
_SSL_REQUEST = struct.pack("!i", 80877103)
_OK = b"\0\0\0\2\0\0\0"
_END = b"\xfe\0\0\2\0"
_COLUMN = b"\x03def\0\0\0\x01x\0\x0c\x3f\0\x01\0\0\0\x08\x81\0\0\0\0"


class Stage:
    """What all scripts share."""

    def __init__(self, folder: Path, secret: str) -> None:
        self.secret = secret
        self.file = folder / "asked-for"
        self.file.write_text("planted-line-of-a-file")
        self.authority = Authority.make("Test CA")
        self._contexts: dict[str, ssl.SSLContext] = {}
        for shape in ("signed by itself", "under an unknown authority", "for another host", "expired"):
            path = folder / f"{shape}.pem"
            path.write_text("".join(self.authority.shaped(shape)))
            self._contexts[shape] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._contexts[shape].load_cert_chain(path)

    def context(self, shape: str) -> ssl.SSLContext:
        return self._contexts[shape]


class ScriptedServer:
    """Leads each client through the script, at the same time. Closes by itself after `patience` seconds, if it has one."""

    def __init__(self, stage: Stage, protocol: str, script: list[Any], patience: float | None = None) -> None:
        self.heard = b""
        self._stage, self._protocol, self._script, self._patience = stage, protocol, script, patience
        self._open: list[socket.socket] = []
        self._elsewhere = socket.create_server(("127.0.0.1", 0))
        self._elsewhere.settimeout(0)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.elsewhere_port = self._elsewhere.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(connection)
            threading.Thread(target=self._lead, args=(connection,), daemon=True).start()

    def _lead(self, connection: socket.socket) -> None:
        connection.settimeout(60)
        conversation = _Conversation(self, self._stage, self._protocol, connection)
        closing = threading.Timer(self._patience or 60, _hang_up, (connection,))
        closing.start()
        try:
            conversation.play(self._script)
        except (OSError, EOFError, ValueError):
            pass  # a client that goes in the middle of it is what is hoped for
        finally:
            closing.cancel()
            conversation.socket.close()

    def has_led_elsewhere(self) -> bool:
        try:
            self._elsewhere.accept()[0].close()
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        self._listener.close()
        self._elsewhere.close()
        for each in self._open:
            _hang_up(each)


def _hang_up(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class _Conversation:
    def __init__(self, server: ScriptedServer, stage: Stage, protocol: str, connection: socket.socket) -> None:
        self._server, self._stage, self._is_postgres = server, stage, protocol == "postgres"
        self.socket = connection
        self._last = b""
        self._has_tags = False
        self._number = 0

    def play(self, script: list[Any]) -> None:
        for turn in script:
            word, *rest = turn if isinstance(turn, list) else [turn]
            if word == "close":
                return
            does = getattr(self, "do_" + word.replace(" ", "_"), None)
            if does is not None:
                does(*rest)
            else:
                self.socket.sendall(self._bytes(turn))
        self._listen()

    def _listen(self) -> None:
        while self.do_drink():
            pass

    def do_close_one_half(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)

    def do_drink(self) -> bytes:
        part = self.socket.recv(4096)
        self._server.heard += part
        return part

    def do_trap(self) -> None:
        """What a MySQL driver answers to a request for the password may be under the key that it has asked for."""
        if self._is_postgres:
            self._listen()
            return
        answer = self.do_hear()
        if answer in (b"\1", b"\2"):
            self.socket.sendall(self._packet(b"\1" + hostile.public_key()))
            answer = self.do_hear()
        self._server.heard += hostile.decrypted(answer, _NONCE)

    def do_tls(self, shape: str) -> None:
        self.socket = self._stage.context(shape).wrap_socket(self.socket, server_side=True)

    def do_sign_in(self) -> None:
        if self._is_postgres:
            self.do_hear()
            self.socket.sendall(self._postgres_authentication(0, "") + _VERSION + self._postgres_ready())
        else:
            self.socket.sendall(self._mysql_greet("caching_sha2_password"))
            self.do_hear()
            self.socket.sendall(self._mysql_ok())

    def do_forever(self, pause: int, said: Any) -> None:
        while True:
            self.socket.sendall(self._bytes(said))
            time.sleep(pause / 1000)

    def do_drip(self, pause: int, said: Any) -> None:
        for byte in self._bytes(said):
            self.socket.sendall(bytes([byte]))
            time.sleep(pause / 1000)

    def do_hear(self) -> bytes:
        """The client's next message, whole."""
        head = self._read(5 if self._has_tags else 4)
        if self._is_postgres:
            body = self._read(struct.unpack("!i", head[-4:])[0] - 4)
            self._has_tags = self._has_tags or body != _SSL_REQUEST
        else:
            self._number = head[3] + 1
            body = self._read(int.from_bytes(head[:3], "little"))
        self._last = body
        return body

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self.socket.recv(size - len(data))
            if not part:
                raise EOFError
            data += part
            self._server.heard += part
        return data

    def _bytes(self, said: Any) -> bytes:
        word, *rest = said if isinstance(said, list) else [said]
        kind = "_postgres_" if self._is_postgres else "_mysql_"
        made: bytes = getattr(self, kind + word.replace(" ", "_").lower())(*rest)
        return made

    def _filled(self, template: str) -> bytes:
        nonce = re.search(rb"r=([^,\0]*)", self._last)
        known = {
            "nonce": nonce[1] if nonce else b"",
            "secret": self._stage.secret.encode(),
            "file": str(self._stage.file).encode(),
            "key": hostile.public_key(),
            "elsewhere": str(self._server.elsewhere_port).encode(),
        }

        def fill(found: re.Match[str]) -> str:
            name, _, count = found[1].partition(":")
            return "x" * int(count) if count else known[name].decode("latin-1")

        return re.sub(r"{([^}]*)}", fill, template).encode("latin-1")

    def _postgres_say(self, said: str) -> bytes:
        return self._filled(said)

    _mysql_say = _postgres_say

    def _postgres_message(self, tag: str, body: str) -> bytes:
        return _message(tag, self._filled(body))

    def _postgres_authentication(self, code: int, body: str) -> bytes:
        return _message("R", struct.pack("!i", code) + self._filled(body))

    def _postgres_error(self, code: str, words: str) -> bytes:
        return _message("E", b"SFATAL\0VFATAL\0C" + code.encode() + b"\0M" + self._filled(words) + b"\0\0")

    def _postgres_ready(self) -> bytes:
        return _message("Z", b"I")

    def _postgres_row(self) -> bytes:
        return _message("T", b"\0\0") + _message("D", b"\0\1\0\0\0\x011") + _message("C", b"SELECT 1\0") + _message("Z", b"I")

    def _mysql_packet(self, body: str) -> bytes:
        return self._packet(self._filled(body))

    def _mysql_ok(self) -> bytes:
        return self._packet(_OK)

    def _mysql_row(self) -> bytes:
        return b"".join(map(self._packet, (b"\1", _COLUMN, _END, b"\x011", _END)))

    def _mysql_error(self, code: int, words: str) -> bytes:
        return self._packet(b"\xff" + struct.pack("<H", code) + b"#HY000" + self._filled(words))

    def _mysql_switch(self, plugin: str, data: str) -> bytes:
        return self._packet(b"\xfe" + plugin.encode() + b"\0" + self._filled(data))

    def _mysql_greet(self, plugin: str, version: str = "9.7.1", tls: int = _TLS) -> bytes:
        flags = 0x0088A281 | tls
        greeting = b"\x0a" + self._filled(version) + b"\0\x08\0\0\0" + _NONCE[:8] + b"\0" + struct.pack("<H", flags & 0xFFFF)
        greeting += (
            b"\x2d\2\0" + struct.pack("<H", flags >> 16) + b"\x15" + bytes(10) + _NONCE[8:] + b"\0" + plugin.encode() + b"\0"
        )
        self._number = 0
        return self._packet(greeting)

    def _mysql_greet_without_tls(self, plugin: str) -> bytes:
        return self._mysql_greet(plugin, tls=0)

    def _mysql_greet_as(self, version: str) -> bytes:
        return self._mysql_greet("caching_sha2_password", version)

    def _mysql_greet_and_switch(self, plugin: str) -> bytes:
        greeting = self._mysql_greet("caching_sha2_password")
        self._number = 2
        return greeting + self._mysql_switch(plugin, "")

    def _mysql_redirect(self) -> bytes:
        """MariaDB's way to send a client elsewhere: the session variable `redirect_url`, told with the sign-in's OK."""
        url = self._filled("mariadb://u@127.0.0.1:{elsewhere}/?ttl=0")
        state = b"\0" + _counted(_counted(b"redirect_url") + _counted(url))
        return self._packet(b"\0\0\0\2\x40\0\0\0" + _counted(state))

    def _packet(self, body: bytes) -> bytes:
        number, self._number = self._number % 256, self._number + 1
        return struct.pack("<I", len(body))[:3] + bytes([number]) + body


def _message(tag: str, body: bytes) -> bytes:
    return tag.encode() + struct.pack("!i", 4 + len(body)) + body


def _counted(data: bytes) -> bytes:
    return bytes([len(data)]) + data


_VERSION = _message("S", b"server_version\x0015.18\0") + _message("S", b"client_encoding\0UTF8\0")
