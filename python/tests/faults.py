"""What can go wrong between a program and its Dataflow server: a proxy that passes everything on until it is told a fault."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
import time
from typing import Callable

Fault = Callable[[socket.socket, bytes], None]
"""Gets the client's socket and what the server has answered, or nothing where it was not asked."""


class FaultProxy:
    """Stands on a port of its own before the server at `target`. With `contexts` it speaks TLS, and shows the second of two
    certificates where the fault is `wrong_certificate`."""

    def __init__(self, target: int, contexts: tuple[ssl.SSLContext, ssl.SSLContext] | None = None) -> None:
        self.fault: Fault | None = None
        self._target, self._contexts = target, contexts
        self._crowd: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.02)
        self._is_open = True
        self.url = f"{'https' if contexts else 'http'}://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def break_with(self, fault: Fault | None) -> None:
        self.fault = fault
        if fault is not no_answer_to_a_connect:
            self._disperse()

    def close(self) -> None:
        self._is_open = False
        self._thread.join(30)
        self._disperse()
        self._listener.close()

    def _serve(self) -> None:
        while self._is_open:
            if self.fault is no_answer_to_a_connect:
                self._block()
                time.sleep(0.02)
                continue
            try:
                client, _ = self._listener.accept()
            except (TimeoutError, socket.timeout):
                continue
            threading.Thread(target=self._lead, args=(client, self.fault), daemon=True).start()

    def _block(self) -> None:
        """Fills the queue of those that wait to be accepted: Linux answers no further connect then."""
        if self._crowd:
            return
        self._listener.listen(0)
        while True:
            one = socket.socket()
            one.settimeout(0.3)
            self._crowd.append(one)
            try:
                one.connect(self._listener.getsockname())
            except (TimeoutError, socket.timeout):
                return

    def _disperse(self) -> None:
        if self._crowd:
            self._listener.listen(128)
        while self._crowd:
            self._crowd.pop().close()

    def _lead(self, client: socket.socket, fault: Fault | None) -> None:
        client.settimeout(30)
        try:
            if fault in AT_ONCE:
                fault(client, b"")
                return
            if self._contexts:
                client = self._contexts[fault is wrong_certificate].wrap_socket(client, server_side=True)
            request = _head(client)
            if fault in UNASKED:
                fault(client, b"")
            elif fault is None:
                client.sendall(self._answer(request))
            else:
                fault(client, self._answer(request))
        except (OSError, EOFError):
            pass  # the client or the server has gone
        finally:
            client.close()

    def _answer(self, request: bytes) -> bytes:
        """The server's, of which each is on a connection of its own."""
        with socket.create_connection(("127.0.0.1", self._target), 30) as server:
            server.sendall(request.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
            answer = b""
            while True:
                part = server.recv(65536)
                if not part:
                    return answer
                answer += part


def _head(client: socket.socket) -> bytes:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        part = client.recv(65536)
        if not part:
            raise EOFError
        head += part
    return head


def _reset(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _until_gone(client: socket.socket) -> None:
    while client.recv(65536):
        pass


# Each is named as it is told. Those that do not stand in one of the lists below spoil the server's own answer.


def no_answer_to_a_connect(client: socket.socket, answer: bytes) -> None:
    """Nobody is accepted: see `FaultProxy._block`."""


def closed_at_once(client: socket.socket, answer: bytes) -> None:
    pass


def reset_at_once(client: socket.socket, answer: bytes) -> None:
    _reset(client)


def reset_in_the_request(client: socket.socket, answer: bytes) -> None:
    client.recv(10)
    _reset(client)


def silence(client: socket.socket, answer: bytes) -> None:
    _until_gone(client)


def another_protocol(client: socket.socket, answer: bytes) -> None:
    client.sendall(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n")
    _until_gone(client)


def bytes_without_a_meaning(client: socket.socket, answer: bytes) -> None:
    client.sendall(bytes(range(256)) * 8)


def wrong_certificate(client: socket.socket, answer: bytes) -> None:
    """It is shown by `FaultProxy`, and no client goes on."""


def silence_after_the_request(client: socket.socket, answer: bytes) -> None:
    _until_gone(client)


def endless_head(client: socket.socket, answer: bytes) -> None:
    client.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        client.sendall(b"X-Filler: " + b"x" * 4096 + b"\r\n")
        time.sleep(0.001)


def endless_body(client: socket.socket, answer: bytes) -> None:
    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        client.sendall(b"2000\r\n" + b" " * 0x2000 + b"\r\n")
        time.sleep(0.001)


def _status(status: str, body: str = "<html>nginx</html>", more: str = "") -> Fault:
    def answered(client: socket.socket, answer: bytes) -> None:
        client.sendall(f"HTTP/1.1 {status}\r\n{more}Content-Length: {len(body)}\r\n\r\n{body}".encode())

    answered.__name__ = f"status {status}"
    return answered


def latency(client: socket.socket, answer: bytes) -> None:
    time.sleep(0.5)
    client.sendall(answer)


def trickle(client: socket.socket, answer: bytes) -> None:
    for byte in answer:
        client.sendall(bytes([byte]))
        time.sleep(0.1)


def _cut(at: float, *, is_reset: bool) -> Fault:
    def cut(client: socket.socket, answer: bytes) -> None:
        client.sendall(answer[: int(at * len(answer))])
        time.sleep(0.05)
        if is_reset:
            _reset(client)

    cut.__name__ = f"{'reset' if is_reset else 'closed'} after {at:.0%} of the answer"
    return cut


def _changed(name: str, change: Callable[[bytes], bytes]) -> Fault:
    def changed(client: socket.socket, answer: bytes) -> None:
        _, _, body = answer.partition(b"\r\n\r\n")
        wrong = change(body)
        client.sendall(
            f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(wrong)}\r\n\r\n".encode() + wrong
        )

    changed.__name__ = name
    return changed


AT_ONCE = (closed_at_once, reset_at_once, reset_in_the_request, silence, another_protocol, bytes_without_a_meaning)
_STATUSES = tuple(_status(each) for each in ("500 Broken", "502 Bad Gateway", "503 Away", "504 Too Slow", "408 Too Slow"))
_PAGES = (
    _status("429 Too Many", more="Retry-After: 3600\r\n"),
    _status("302 Found", more="Location: http://127.0.0.1:1/\r\n"),
    _status("200 OK"),
    _status("404 Not Found"),
    _status("401 Unauthorized"),
)
UNASKED = (silence_after_the_request, endless_head, endless_body, *_STATUSES, *_PAGES)
SPOILT = (
    trickle,
    *(_cut(at, is_reset=is_reset) for at in (0.0, 0.01, 0.2, 0.6, 0.99) for is_reset in (True, False)),
    _changed("an answer of another form", lambda _: b'{"items": [], "next": null}'),
    _changed("an answer that is cut and complete", lambda body: body[:-20]),
    _changed("an answer of nothing", lambda _: b""),
)
HARMFUL = (no_answer_to_a_connect, *AT_ONCE, *UNASKED, *SPOILT)
"""All after which a program that holds nothing has an error."""
WITH_TLS = (wrong_certificate, silence, reset_at_once, bytes_without_a_meaning)
"""Those that are tried over https as well."""
