"""What the helper process does: it listens on loopback, and leads each connection through the hop to the one host that it is for.

It has two ports. At the one a program's drivers connect. At the other the program asks, under a key that only it and the helper
have: to make a way ready for the connection that comes next, so that what the hop refuses is told in words and not by a
connection that breaks. The process ends with its parent, whose end of its standard input closes; and when it is not used any
more.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import os
import socket
import sys
import threading
from collections import deque
from typing import Any

from dataflow import tls
from dataflow.hops.rules import Fields, Refused, is_plain, may_be_asked_for

LOOPBACK = "127.0.0.1"
_CHUNK = 65536
_READY_FOR = 10.0
"""Seconds for which a way that was made ready waits for its connection."""
_HALF_OPEN_FOR = 5.0
"""Seconds that one direction may go on once the other has ended."""
_IDLE_FOR = 600.0
"""Seconds without a connection after which the helper ends. The next connect starts another one."""
_WITHIN = 10.0
_LONGEST_QUESTION = 4096


def sign(key: str, what: bytes) -> bytes:
    """What shows that a line was written by who has the key."""
    return hmac.new(key.encode(), what, "sha256").hexdigest().encode()


def serve(told: dict[str, Any]) -> None:
    """Serves until it is not needed. `told` says to where, through what, and under which key it is asked."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_Helper(told).run())
    _leave()


def _end_with_parent() -> None:
    with contextlib.suppress(OSError, ValueError):
        while sys.stdin.buffer.read(1):
            pass
    _leave()


def _leave() -> None:
    """At once, whatever other threads do: what else removes the files with key material is passed by."""
    try:
        tls.remove_files()
    finally:
        os._exit(0)


class _Helper:
    def __init__(self, told: dict[str, Any]) -> None:
        self._kind: str = told["kind"]
        self._hop = Fields(told["hop"])
        self._host: str = told["host"]
        self._port: int = told["port"]
        self._key: str = told["key"]
        self._way: Any = None
        self._ready: deque[tuple[Any, Any]] = deque()
        self._active = 0
        # Whoever has asked under the key: a program may have become another user's since it started this.
        self._users: set[int | None] = {None, os.geteuid() if hasattr(os, "geteuid") else None}
        self._is_kept = False
        self._is_retired = False

    async def run(self) -> None:
        self._done = asyncio.Event()
        self._used = asyncio.get_running_loop().time()
        doors = [
            await asyncio.start_server(self._carry, LOOPBACK, 0),
            await asyncio.start_server(self._asked, LOOPBACK, 0, limit=_LONGEST_QUESTION),
        ]
        ports = [door.sockets[0].getsockname()[1] for door in doors]
        sys.stdout.write(json.dumps(ports) + "\n")
        sys.stdout.flush()
        idle = asyncio.ensure_future(self._watch_use())
        await self._done.wait()
        idle.cancel()
        if self._way is not None:
            self._way.close()

    async def _watch_use(self) -> None:
        while True:
            await asyncio.sleep(_IDLE_FOR / 10)
            is_idle = asyncio.get_running_loop().time() - self._used > _IDLE_FOR
            if is_idle and not self._active and not self._is_kept:
                self._done.set()

    async def _asked(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = await asyncio.wait_for(reader.readline(), _WITHIN)
            shown, _, question = line.rstrip(b"\n").partition(b" ")
            if not hmac.compare_digest(shown, sign(self._key, b"ask" + question)):
                return
            asked = json.loads(question)
            answer = json.dumps(await self._answer(asked, _user_of(writer))).encode()
            writer.write(sign(self._key, b"say" + asked["nonce"].encode() + answer) + b" " + answer + b"\n")
            await writer.drain()
        except (OSError, ValueError, asyncio.TimeoutError):
            pass
        finally:
            writer.close()
            self._leave_if_over()

    async def _answer(self, asked: dict[str, Any], user: int | None) -> dict[str, Any]:
        self._used = asyncio.get_running_loop().time()
        if asked["do"] == "retire":
            if not self._is_kept:
                self._is_retired = True
            return {}
        if user == _NOBODY:
            # Nor would it be known of the connection that follows, which then could be anybody's.
            return {"refused": "This machine does not tell in /proc/net/tcp whose the connections to the helper process are."}
        self._users.add(user)
        within = float(asked["within"])
        try:
            if asked["do"] == "keep":
                self._is_kept = True
                await asyncio.wait_for(self._enter(within), within)
            else:
                self._make_ready(await asyncio.wait_for(self._lead(within), within))
        except Refused as refusal:
            return {"refused": str(refusal)}
        except asyncio.TimeoutError:
            return {"refused": f"It took longer than {within:.0f} s."}
        except Exception as error:
            # Of what is not foreseen the kind is told, and not the words, which may be anybody's.
            return {"refused": f"It broke on the way ({type(error).__name__})."}
        return {}

    async def _enter(self, within: float) -> None:
        if not is_plain(self._host):
            raise Refused(f"Beyond it “{self._host}” is not looked up: write the name as DNS has it, in ASCII (xn--…).")
        if not may_be_asked_for(self._host):
            raise Refused(f"Nobody is led to “{self._host}”: clouds hand out credentials there.")
        if self._way is None:
            if self._kind == "ssh":
                from dataflow.hops.ssh import Shell

                self._way = Shell(self._hop)
            else:
                from dataflow.hops.proxies import Proxy

                self._way = Proxy(self._hop, is_socks=self._kind == "socks_proxy")
        await self._way.enter(within)

    async def _lead(self, within: float) -> tuple[Any, Any]:
        await self._enter(within)
        reader, writer = await self._way.lead(self._host, self._port)
        return reader, writer

    def _make_ready(self, streams: tuple[Any, Any]) -> None:
        self._ready.append(streams)
        asyncio.get_running_loop().call_later(_READY_FOR, self._let_go, streams)

    def _let_go(self, streams: tuple[Any, Any]) -> None:
        with contextlib.suppress(ValueError):
            self._ready.remove(streams)
            streams[1].close()
            self._leave_if_over()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._active += 1
        try:
            if _user_of(writer) not in self._users:
                return
            beyond = await self._next_ready()
            await _relay((reader, writer), beyond)
        except (Refused, asyncio.TimeoutError):
            pass
        finally:
            writer.close()
            self._active -= 1
            self._used = asyncio.get_running_loop().time()
            self._leave_if_over()

    async def _next_ready(self) -> tuple[Any, Any]:
        """What was made ready, or a way made now: a driver opens some connections by itself, to cancel a query for one."""
        while self._ready:
            streams = self._ready.popleft()
            if not streams[0].at_eof():
                return streams
            streams[1].close()
        return await asyncio.wait_for(self._lead(_WITHIN), _WITHIN)

    def _leave_if_over(self) -> None:
        if self._is_retired and not self._active and not self._ready:
            self._done.set()


_NOBODY = -1
_LOOKS = 2
"""The list is not written at one moment: a connection that comes or goes meanwhile may hide another."""


def _user_of(writer: asyncio.StreamWriter) -> int | None:
    """Whose the other end of a connection over loopback is; `None` where the system does not tell it, and `_NOBODY` where it does
    and has not told it of this one. See proc(5)."""
    here, there = (_written(writer.get_extra_info(name)) for name in ("sockname", "peername"))
    if not os.path.exists("/proc/net/tcp"):
        return None
    # A socket of IPv6 may connect to an address of IPv4, and stands in the other list then.
    for path, prefix in (("/proc/net/tcp", ""), ("/proc/net/tcp6", _MAPPED)) * _LOOKS:
        with contextlib.suppress(OSError):
            found = _owner(path, prefix + here, prefix + there)
            if found is not None:
                return found
    return _NOBODY


_MAPPED = "0000000000000000FFFF0000" if sys.byteorder == "little" else "00000000000000000000FFFF"
"""How the first three words of such an address are written, each in this machine's order of bytes."""


def _owner(path: str, here: str, there: str) -> int | None:
    with open(path, encoding="ascii") as connections:
        for line in connections:
            words = line.split()
            if words[1:3] == [there, here]:
                return int(words[7])
    return None


def _written(place: tuple[str, int]) -> str:
    host, port = place
    return f"{int.from_bytes(socket.inet_aton(host), sys.byteorder):08X}:{port:04X}"


async def _relay(here: tuple[Any, Any], beyond: tuple[Any, Any]) -> None:
    ways = [asyncio.ensure_future(_pour(here[0], beyond[1])), asyncio.ensure_future(_pour(beyond[0], here[1]))]
    try:
        ended, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        if all(way.result() for way in ended):
            await asyncio.wait(ways, timeout=_HALF_OPEN_FOR)
    finally:
        for way in ways:
            way.cancel()
        beyond[1].close()


async def _pour(source: Any, sink: Any) -> bool:
    """Until the source ends; whether the other direction may go on then."""
    try:
        while True:
            data = await source.read(_CHUNK)
            if not data:
                break
            sink.write(data)
            await sink.drain()
        if not sink.can_write_eof():
            return False
        sink.write_eof()
    except Exception:
        # Whatever broke, the connection is over: who uses it sees that.
        return False
    return True
