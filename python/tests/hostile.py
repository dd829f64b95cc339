"""Database servers that are after the password. They keep all that a client sends, decrypted."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from pathlib import Path
from typing import Callable

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from certificates import Authority


class HostileServer:
    """Accepts connections on loopback and leads each through `exchange`."""

    def __init__(self, exchange: Callable[[Wire], None], folder: Path, identity: tuple[str, str] | None = None) -> None:
        self.heard = b""
        certificate, key = identity or Authority.make("Nobody's CA").issue("127.0.0.1")
        (folder / "cert.pem").write_text(certificate + key)
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(folder / "cert.pem")
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._exchange = exchange
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.settimeout(30)
            wire = Wire(self, connection, self._tls)
            try:
                self._exchange(wire)
            except (OSError, struct.error):
                pass
            finally:
                wire.socket.close()

    def close(self) -> None:
        self._listener.close()


class Wire:
    """One client's connection."""

    def __init__(self, server: HostileServer, connection: socket.socket, tls: ssl.SSLContext) -> None:
        self._server = server
        self._tls = tls
        self.socket = connection

    def secure(self) -> None:
        self.socket = self._tls.wrap_socket(self.socket, server_side=True)

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self.socket.recv(size - len(data))
            if not part:
                raise ConnectionResetError
            data += part
            self._server.heard += part
        return data

    def tell(self, data: bytes) -> None:
        """What the server could work out."""
        self._server.heard += data


def postgres(request: int) -> Callable[[Wire], None]:
    """Asks for the password by the authentication request of that number: 3 in clear, 5 by MD5."""

    def exchange(wire: Wire) -> None:
        while True:
            (length,) = struct.unpack("!i", wire.read(4))
            (code,) = struct.unpack("!i", wire.read(length - 4)[:4])
            if code == 80877103:  # SSLRequest
                wire.send(b"S")
                wire.secure()
            elif code == 80877104:  # GSSENCRequest
                wire.send(b"N")
            else:
                break
        body = struct.pack("!i", request) + (b"salt" if request == 5 else b"")
        wire.send(b"R" + struct.pack("!i", 4 + len(body)) + body)
        (length,) = struct.unpack("!i", wire.read(5)[1:])
        wire.read(length - 4)

    return exchange


_KEY = rsa.generate_private_key(65537, 2048)
_NONCE = b"abcdefghijklmnopqrst"
_PLUGIN_AUTH, _SSL = 1 << 19, 1 << 11


def mysql(first: str, then: str | None = None, *, offers_tls: bool = True) -> Callable[[Wire], None]:
    """Names the sign-in `first` in its greeting, and then switches to another; its key for the full exchange is its own."""

    def exchange(wire: Wire) -> None:
        _greet(wire, first, offers_tls=offers_tls)
        number, answer = _packet(wire)
        if struct.unpack_from("<I", answer)[0] & _SSL:
            wire.secure()
            number, answer = _packet(wire)
        if then is not None:
            challenge = b"\x05Password: " if then == "dialog" else _NONCE + b"\0"
            _reply(wire, number, b"\xfe" + then.encode() + b"\0" + challenge)
            number, answer = _packet(wire)
        if "caching_sha2_password" in (first, then):
            _reply(wire, number, b"\x01\x04")  # asks for the whole password
            number, answer = _packet(wire)
            if answer == b"\x02":
                number = _send_key(wire, number)
                number, answer = _packet(wire)
            _try_to_read(wire, answer)
        elif answer == b"\x01":
            _send_key(wire, number)
            _try_to_read(wire, _packet(wire)[1])

    return exchange


def _greet(wire: Wire, plugin: str, *, offers_tls: bool) -> None:
    flags = 0xFFFFF7FF & 0x00BFF7CF | _PLUGIN_AUTH | (_SSL if offers_tls else 0)
    greeting = b"\x0a8.4.0\0" + struct.pack("<I", 7) + _NONCE[:8] + b"\0" + struct.pack("<H", flags & 0xFFFF)
    greeting += b"\x2d\x02\x00" + struct.pack("<H", flags >> 16) + bytes([len(_NONCE) + 1]) + bytes(10)
    greeting += _NONCE[8:] + b"\0" + plugin.encode() + b"\0"
    wire.send(struct.pack("<I", len(greeting))[:3] + b"\0" + greeting)


def _packet(wire: Wire) -> tuple[int, bytes]:
    head = wire.read(4)
    return head[3], wire.read(int.from_bytes(head[:3], "little"))


def _reply(wire: Wire, number: int, body: bytes) -> None:
    wire.send(struct.pack("<I", len(body))[:3] + bytes([number + 1]) + body)


def _send_key(wire: Wire, number: int) -> int:
    _reply(wire, number, b"\x01" + public_key())
    return number + 2


def public_key() -> bytes:
    """The key that a hostile server presents as its own."""
    return _KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def _try_to_read(wire: Wire, answer: bytes) -> None:
    wire.tell(decrypted(answer, _NONCE))


def decrypted(answer: bytes, nonce: bytes) -> bytes:
    """The password in an answer under `public_key`; nothing if it is none."""
    try:
        plain = _KEY.decrypt(answer, padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None))
    except ValueError:
        return b""
    return bytes(byte ^ nonce[at % len(nonce)] for at, byte in enumerate(plain))
