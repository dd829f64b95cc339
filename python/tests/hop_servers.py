"""What connections go through: asyncssh, Tinyproxy and microsocks, each with a user and a password of its own."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import json
import os
import socket
import socketserver
import ssl
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

from servers import CACHE, ENVIRONMENT, READY_WITHIN, REPOSITORY, Port

USER, PASSWORD = "jumper", "pl4nted-hop-s3cret"
KINDS = ("ssh", "http_proxy", "socks_proxy")
NO_TLS = {"mode": "disable", "ca": None, "cert": None, "key": None}


class Hop:
    """One such server, and the connection to it as a client is told it."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind = kind
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._ports = {door: Port() for door in ("plain", "keys", "open", "asks", "factors")}
        self._processes: list[subprocess.Popen[bytes]] = []
        {"ssh": self._shell, "http_proxy": self._tinyproxy, "socks_proxy": self._microsocks}[kind]()

    def port(self, door: str = "plain") -> int:
        return self._ports[door].number

    def file(self, name: str) -> str:
        return (self.folder / name).read_text()

    def told(self, door: str = "plain", extra: dict[str, Any] | None = None, **changed: Any) -> dict[str, Any]:
        """The connection “bastion”, secrets and all; `changed` and `extra` are fields that are otherwise."""
        fields: dict[str, Any] = {"host": "127.0.0.1", "port": self.port(door), "username": USER, "password": PASSWORD}
        if self.kind == "ssh":
            extra = {"host_key": self.file("host.pub").strip(), **(extra or {})}
        else:
            fields["tls"] = NO_TLS
        fields = {**fields, "extra": extra or {}, **changed}
        fingerprint = hashlib.sha256(json.dumps([self.kind, fields], sort_keys=True).encode()).hexdigest()[:32]
        named = {"name": "bastion", "type": self.kind, "base": self.kind}
        return {**named, "fields": fields, "fingerprint": fingerprint, "version": 1}

    def _shell(self) -> None:
        ports = {door: port.number for door, port in self._ports.items()}
        settings = {"user": USER, "password": PASSWORD, "folder": str(self.folder), "ports": ports}
        (self.folder / "settings.json").write_text(json.dumps(settings))
        (interpreter,) = sorted(glob.glob(f"{CACHE}/asyncssh-*/bin/python"))[-1:] or [""]
        assert interpreter, f"asyncssh is not in {CACHE}; install it with `make deps`"
        self._run(
            [interpreter, str(REPOSITORY / "tests/servers/shell.py"), str(self.folder / "settings.json")], "plain", "factors"
        )

    def _tinyproxy(self) -> None:
        for door, more in (("plain", f"BasicAuth {USER} {PASSWORD}"), ("open", "ConnectPort 443")):
            file = self.folder / f"{door}.conf"
            file.write_text(f"Port {self.port(door)}\nListen 127.0.0.1\nTimeout 30\nMaxClients 50\n{more}\n")
            self._run([_unpacked("tinyproxy"), "-d", "-c", str(file)], door)

    def _microsocks(self) -> None:
        for door, sign_in in (("plain", ["-u", USER, "-P", PASSWORD]), ("open", [])):
            self._run([_unpacked("microsocks"), "-i", "127.0.0.1", "-p", str(self.port(door)), *sign_in], door)

    def _run(self, command: list[str], *doors: str) -> None:
        libraries = glob.glob(f"{os.path.dirname(os.path.dirname(os.path.dirname(command[0])))}/usr/lib/*-linux-gnu")
        environment = {**ENVIRONMENT, **({"LD_LIBRARY_PATH": libraries[0]} if libraries else {})}
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(command, cwd=self.folder, env=environment, stdout=log, stderr=log)
        self._processes.append(process)
        deadline = time.monotonic() + READY_WITHIN
        for door in doors:
            while True:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port(door)), 1):
                    break
                is_hopeless = process.poll() is not None or time.monotonic() > deadline
                assert not is_hopeless, (self.folder / "log").read_text()[-2000:]
                time.sleep(0.02)

    def end(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait(READY_WITHIN)
        for port in self._ports.values():
            port.close()


def _unpacked(program: str) -> str:
    path = CACHE / program / "usr/bin" / program
    assert path.is_file(), f"{path} is not there; install it with `make deps`"
    return str(path)


def helpers(parent: int | None = None) -> list[int]:
    """The helper processes that a process has started, this one unless another is named. One that has ended and was not waited
    for is none."""
    found = []
    for folder in glob.glob("/proc/[0-9]*"):
        with contextlib.suppress(OSError):
            words = Path(folder, "stat").read_text().rpartition(")")[2].split()
            command = Path(folder, "cmdline").read_bytes()
            if int(words[1]) == (parent or os.getpid()) and words[0] != "Z" and b"hops/helper.py" in command:
                found.append(int(folder.rpartition("/")[2]))
    return found


def has_ended(process: int) -> bool:
    """Whether a helper of this process has ended, with all of its threads; nobody else's waiting for it is taken away."""
    try:
        return os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


class Knowing:
    """A SOCKS proxy that asks for no sign-in, and alone knows a name: it leads to this machine, as does any other."""

    NAME = "db.beyond.invalid"

    def __init__(self) -> None:
        self.asked: list[str] = []

        class Handler(socketserver.BaseRequestHandler):
            def handle(handler) -> None:
                self._lead(handler.request)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def told(self) -> dict[str, Any]:
        """The connection to it."""
        fields = {"host": "127.0.0.1", "port": self._server.server_address[1], "tls": NO_TLS, "extra": {}}
        named = {"name": "knowing", "type": "socks_proxy", "base": "socks_proxy"}
        return {**named, "fields": fields, "fingerprint": "knowing", "version": 1}

    def _lead(self, near: socket.socket) -> None:
        # RFC 1928: a greeting with one method, then the request with a name.
        assert near.recv(3) == b"\5\1\0"
        near.sendall(b"\5\0")
        head = near.recv(5)
        assert head[:4] == b"\5\1\0\3", "a name is what it is asked for"
        place = near.recv(head[4] + 2)
        self.asked.append(place[:-2].decode())
        with socket.create_connection(("127.0.0.1", int.from_bytes(place[-2:], "big"))) as far:
            near.sendall(b"\5\0\0\1\0\0\0\0\0\0")
            back = threading.Thread(target=_pour, args=(far, near), daemon=True)
            back.start()
            _pour(near, far)
            back.join()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class InsideTls:
    """Stands before a port, inside TLS."""

    def __init__(self, port: int, identity: tuple[str, str], folder: Path) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        (folder / "identity.pem").write_text("".join(identity))
        context.load_cert_chain(folder / "identity.pem")

        class Handler(socketserver.BaseRequestHandler):
            def handle(handler) -> None:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)) as far:
                    near = context.wrap_socket(handler.request, server_side=True)
                    threading.Thread(target=_pour, args=(far, near), daemon=True).start()
                    _pour(near, far)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Sticking:
    """Stands before a port. What is on it when it sticks moves no further, for ever; nor does what comes until it is mended."""

    def __init__(self, port: int) -> None:
        self._stuck, self._over = threading.Event(), threading.Event()
        self._held: list[socket.socket] = []

        def pour(source: socket.socket, sink: socket.socket, stuck: threading.Event) -> None:
            with contextlib.suppress(OSError):
                while data := source.recv(65536):
                    if stuck.is_set():
                        self._over.wait()
                    sink.sendall(data)

        class Handler(socketserver.BaseRequestHandler):
            def handle(handler) -> None:
                stuck, near = self._stuck, handler.request
                self._held.append(near)
                if stuck.is_set():
                    self._over.wait()
                    return
                with socket.create_connection(("127.0.0.1", port)) as far:
                    threading.Thread(target=pour, args=(far, near, stuck), daemon=True).start()
                    pour(near, far, stuck)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stick(self) -> None:
        self._stuck.set()

    def mend(self) -> None:
        """Tells, too, that whoever was stuck has let go."""
        self._stuck = threading.Event()
        for near in self._held:
            near.settimeout(10)
            with contextlib.suppress(ConnectionError):
                while near.recv(65536):
                    pass

    def close(self) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()


class Saying:
    """Says the same to each who comes, and lets go."""

    def __init__(self, words: bytes) -> None:
        self.heard = b""

        class Handler(socketserver.BaseRequestHandler):
            def handle(handler) -> None:
                with contextlib.suppress(OSError):
                    self.heard += handler.request.recv(65536)
                    handler.request.sendall(words)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _pour(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)
        source.shutdown(socket.SHUT_RDWR)
