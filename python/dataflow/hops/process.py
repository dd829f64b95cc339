"""A helper process as the programs see it that use it: the one that started it, and the children that were forked from that.

It is told everything by its standard input, so that nothing stands in its arguments or environment. Whether it is alive is told
by the pipe of its output, which works in a forked child, too.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import os
import secrets
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import NamedTuple

import dataflow
from dataflow._native import Credentials
from dataflow.hops.serving import LOOPBACK, sign

_PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "helper.py")
_START_WITHIN = 10.0
"""Seconds. It takes some 0.1 s."""
_SPARE = 2.0
"""Seconds beyond that after which one that has not begun is given up."""
_LONGEST_ANSWER = 65536
_KEPT_VARIABLES = (
    "PATH",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "SYSTEMROOT",
)


class Failed(Exception):
    """The helper did not start, or has gone, and what there is to say of it."""


class Place(NamedTuple):
    """The host that a helper leads to."""

    host: str
    port: int


class Helper:
    """One helper process, which leads to one host through one hop.

    It is made where nothing forks, or a child might hold the helper's own ends of the pipes; then whoever made it calls `begin`.
    """

    def __init__(self) -> None:
        self._until = time.monotonic() + _START_WITHIN
        self.address = self._control = LOOPBACK, 0
        self._key = secrets.token_hex(32)
        self._owner = os.getpid()
        self._begun = threading.Event()
        self._failure = ""
        try:
            self._pid, self._input, self._output = _start()
        except OSError as error:
            raise Failed(f"The helper process does not start: {error.strerror}.") from None
        status = os.fstat(self._output)
        self._pipe = status.st_dev, status.st_ino

    def begin(self, credentials: Credentials, place: Place) -> None:
        """Tells it what it is for. It is ready after this, or of no use; whoever waits for it is told so."""
        ports = None
        try:
            self._tell(credentials, place)
            ports = self._ports(self._until)
        finally:
            if ports is None:
                self._failure = "The helper process ended before it was ready, or did not get ready in time."
                self._close()
                with contextlib.suppress(OSError):
                    os.kill(self._pid, getattr(signal, "SIGKILL", signal.SIGTERM))
            else:
                self.address = LOOPBACK, ports[0]
                self._control = LOOPBACK, ports[1]
            self._begun.set()

    def has_begun(self) -> bool:
        """Whether somebody has it ready, or has found that it is of no use."""
        return self._begun.is_set()

    def wait(self) -> None:
        """Until it is ready. Raises `Failed` if it does not become so."""
        if not self._begun.wait(self._left()):
            raise Failed("The helper process did not get ready in time.")
        if self._failure:
            raise Failed(self._failure)

    def _left(self) -> float:
        """Seconds in which it may still begin. After them whoever made it was interrupted before he could have it begin."""
        return max(0.0, self._until + _SPARE - time.monotonic())

    def __repr__(self) -> str:
        return f"<Helper {self._pid}>"

    def _tell(self, credentials: Credentials, place: Place) -> None:
        """Raises nothing, since its frame knows the secrets."""
        hop = credentials.hop
        if hop is None:
            return
        fields = {name: hop.expose_text(name) for name in ("host", "username", "password")}
        groups = {name: hop.expose_group(name) for name in ("tls", "extra")}
        told = {
            "path": [*_folders()],
            "kind": hop.base,
            "hop": {**fields, **groups, "port": hop.integer("port")},
            "host": place.host,
            "port": place.port,
            "key": self._key,
        }
        # If it has gone already, its output says so.
        with contextlib.suppress(OSError):
            rest = memoryview(json.dumps(told).encode() + b"\n")
            while rest:
                rest = rest[os.write(self._input, rest) :]

    def _ports(self, until: float) -> list[int] | None:
        line = b""
        while not line.endswith(b"\n"):
            if not _has_news(self._output, until - time.monotonic()):
                return None
            part = os.read(self._output, 256)
            if not part:
                return None
            line += part
        ports: list[int] = json.loads(line)
        return ports

    def is_alive(self) -> bool:
        """Whether its end of the pipe is open. A program that closed everything when it went into the background has none."""
        if not self._begun.is_set():
            return self._left() > 0
        return self._is_ours() and not _has_news(self._output, 0)

    def ask(self, what: str, within: float) -> str | None:
        """Asks for something; what is refused comes as words.

        Raises `Failed` if the helper has gone.
        """
        nonce = secrets.token_hex(16)
        question = json.dumps({"do": what, "within": within, "nonce": nonce}).encode()
        try:
            with socket.create_connection(self._control, within) as channel:
                channel.settimeout(within + 1)
                channel.sendall(sign(self._key, b"ask" + question) + b" " + question + b"\n")
                line = b""
                while not line.endswith(b"\n") and len(line) < _LONGEST_ANSWER:
                    part = channel.recv(4096)
                    if not part:
                        break
                    line += part
        except OSError:
            raise Failed("The helper process does not answer.") from None
        shown, _, answer = line.rstrip(b"\n").partition(b" ")
        if not hmac.compare_digest(shown, sign(self._key, b"say" + nonce.encode() + answer)):
            # It has gone, and something else is at its port.
            raise Failed("The helper process does not answer.")
        said: dict[str, str] = json.loads(answer)
        return said.get("refused")

    def is_over(self) -> bool:
        """Whether nothing is left of it. Until then its pipes stay open, with which it would end."""
        if self.is_alive():
            return False
        self._close()
        # Whose child it is not has nothing to wait for.
        if self._owner != os.getpid() or not hasattr(os, "WNOHANG"):
            return True
        try:
            return os.waitpid(self._pid, os.WNOHANG)[0] != 0
        except OSError:
            return True  # somebody else has waited for it

    def _is_ours(self) -> bool:
        """Whether the number is still that of the pipe, and not of another file."""
        try:
            status = os.fstat(self._output)
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == self._pipe

    def let_go(self) -> None:
        """In a forked child: leaves it to the parent, where somebody waits for it to become ready."""
        self._close()

    def _close(self) -> None:
        if self._is_ours():
            os.close(self._input)
            os.close(self._output)


def _start() -> tuple[int, int, int]:
    """Its process id, and this side's ends of its input and its output."""
    input_read, input_write = os.pipe()
    output_read, output_write = os.pipe()
    try:
        process = _run(input_read, output_write)
    except BaseException:
        os.close(input_write)
        os.close(output_read)
        raise
    finally:
        os.close(input_read)
        os.close(output_write)
    process.returncode = 0  # it is waited for by `is_over`
    return process.pid, input_write, output_read


def _run(standard_input: int, standard_output: int) -> subprocess.Popen[bytes]:
    environment = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    # A home without anything, so that nothing of the user's own SSH is found there.
    environment["HOME"] = os.devnull
    return subprocess.Popen(  # noqa: S603 - this interpreter, and a file of this package
        [_interpreter(), "-I", _PROGRAM],
        stdin=standard_input,
        stdout=standard_output,
        stderr=subprocess.DEVNULL,
        env=environment,
        cwd=os.path.abspath(os.sep),
        # So that an interrupt from the keyboard does not reach it.
        start_new_session=True,
    )


def _interpreter() -> str:
    """This one. A program that has Python inside it names itself as `sys.executable`."""
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    beside = [os.path.join(sys.exec_prefix, "bin", name) for name in (version, "python3")]
    for candidate in (sys.executable, *beside):
        if candidate and os.path.basename(candidate).lower().startswith(("python", "pypy")) and os.path.isfile(candidate):
            return candidate
    raise Failed("No Python interpreter is found to run the helper process.")


def _folders() -> list[str]:
    """Where this process imports from, so that the helper finds the same packages. Not the folder that a program happens to be
    in."""
    own = os.path.dirname(os.path.dirname(os.path.abspath(dataflow.__file__)))
    return [own, *(os.path.abspath(folder) for folder in sys.path if folder)]


def _has_news(descriptor: int, within: float) -> bool:
    """Whether the pipe has something to read, or an end. The helper writes one line, so that afterwards it is the end."""
    if not hasattr(select, "poll"):
        return within > 0  # a system whose pipes cannot be looked at: reading waits
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(max(0, int(within * 1000))))
