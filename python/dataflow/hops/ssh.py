"""Through an SSH server, by asyncssh: one connection, in which each way is a channel (RFC 4254, section 7.2).

A server is who its pinned host key says; without one nothing goes through it. Nothing of the user's own SSH is used: no
configuration, no `known_hosts`, no agent, no key of the home folder. What is pinned and refused is as in
`crates/connectors/src/ssh.rs`.
"""

from __future__ import annotations

import asyncio
import importlib.util
from typing import Any, Callable

import asyncssh

from dataflow.hops.proxies import Streams, answered_otherwise, not_that, prohibited, unreachable, unreachable_beyond
from dataflow.hops.rules import Fields, Refused, bare

_KINDS = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521")
_LOOKS_AFTER = 30
"""Seconds of silence after which the server is asked whether it is still there; three times, then it is not."""
_ROUNDS = 5


class Shell:
    """One SSH server, entered when it is first needed and again once it has gone."""

    def __init__(self, hop: Fields) -> None:
        self._hop = hop
        self._place = hop.text("host"), hop.integer("port") or 22
        self._entering: asyncio.Task[_Line] | None = None
        self._line: _Line | None = None

    async def enter(self, within: float) -> None:
        """Signs in, unless that is done. Who comes meanwhile waits for the same sign-in: a wrong password is tried once. It ends
        when the time of the first one is up; who has more of it begins anew."""
        while self._line is None or self._line.is_closed():
            entering = self._entering
            if is_own := entering is None or entering.done():
                entering = self._entering = asyncio.ensure_future(self._enter(within))
            try:
                self._line = await asyncio.shield(entering)
            except _TooSlow:
                if is_own:
                    raise asyncio.TimeoutError from None

    async def lead(self, host: str, port: int) -> Streams:
        """A channel to a host beyond the server."""
        line, hop = self._line, self._place[0]
        if line is None:
            raise Refused(f"“{hop}” broke the connection off.")
        try:
            return await line.open(bare(host), port)
        except asyncio.CancelledError:
            # Its time is up. Whatever is stuck, the next one is not to wait for it.
            if self._line is line:
                self._line = None
            line.give_up()
            raise
        except asyncssh.ChannelOpenError as error:
            if error.code == asyncssh.OPEN_CONNECT_FAILED:
                said = unreachable_beyond(hop, host)
            elif error.code == asyncssh.OPEN_RESOURCE_SHORTAGE:
                said = f"“{hop}” has no room for one more connection."
            else:
                said = prohibited(hop, host, port)
        except (OSError, asyncssh.Error):
            said = f"“{hop}” broke the connection off."
        raise Refused(said)

    def close(self) -> None:
        """Takes leave."""
        if self._line is not None:
            self._line.connection.close()

    async def _enter(self, within: float) -> _Line:
        pinned = _host_key(self._hop)
        key = _private_key(self._hop)
        host, port = self._place
        watch = _Watch(None if key is not None else self._hop)
        try:
            connection = await asyncssh.connect(
                bare(host),
                port,
                username=self._hop.text("username"),
                client_factory=lambda: watch,
                known_hosts=([pinned], [], []),
                server_host_key_algs=[pinned.get_algorithm()],
                x509_trusted_certs=None,
                config=None,
                client_keys=None if key is None else [key],
                preferred_auth="publickey" if key is not None else "password,keyboard-interactive",
                agent_path=None,
                agent_forwarding=False,
                gss_host=None,
                gss_auth=False,
                gss_kex=False,
                host_based_auth=False,
                keepalive_interval=_LOOKS_AFTER,
                connect_timeout=within,
                login_timeout=within,
            )
            return _Line(connection)
        except asyncio.TimeoutError:
            raise _TooSlow from None
        except asyncssh.HostKeyNotVerifiable:
            shown = f" It showed {watch.shown}." if watch.shown else ""
            said = (
                f"The host key of “{host}” is not the one that its connection has.{shown} Nothing was sent. "
                "Somebody may stand in between."
            )
        except asyncssh.KeyExchangeFailed:
            said = f"“{host}” has no host key of the kind that its connection has, or no cipher known here. Nothing was sent."
        except asyncssh.PermissionDenied:
            said = self._refused(key is not None, watch.had_to_sign_in)
        except (asyncssh.ProtocolNotSupported, asyncssh.ProtocolError):
            said = not_that("an SSH server", host, port)
        except asyncssh.Error:
            said = f"“{host}” broke the connection off."
        except OSError as error:
            said = unreachable(host, port, error)
        except Exception:
            said = answered_otherwise(host)
        raise Refused(said)

    def _refused(self, is_key: bool, was_asked: bool) -> str:
        host, username = self._place[0], self._hop.text("username")
        if is_key:
            return f"“{host}” refused the key for “{username}”."
        if not self._hop.text("password"):
            return f"“{host}” asks for a sign-in, and its connection has neither a password nor a private key."
        if not was_asked:
            return f"“{host}” takes no password from “{username}”."
        return f"“{host}” refused the password for “{username}”."


class _TooSlow(Exception):
    """The time to sign in is up."""


class _Line:
    """One connection to the server, and how many ways lead over it."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self._ways = 0
        self._is_given_up = False

    def is_closed(self) -> bool:
        """Whether it has ended."""
        return bool(self.connection.is_closed())

    async def open(self, host: str, port: int) -> Streams:
        """A channel to a host, with what is read and what is written as bytes."""
        self._ways += 1
        try:
            reader, writer = await self.connection.open_connection(host, port, encoding=None)
        except BaseException:
            self._one_ends()
            raise
        return reader, _Writer(writer, self._one_ends)

    def give_up(self) -> None:
        """Ends with the last way that leads over it."""
        self._is_given_up = True
        self._end_if_unused()

    def _one_ends(self) -> None:
        self._ways -= 1
        self._end_if_unused()

    def _end_if_unused(self) -> None:
        if self._is_given_up and not self._ways:
            # Without a farewell, for which a line that is stuck would wait.
            self.connection.abort()


class _Writer:
    """A channel's writer, which tells when it is closed. The channel itself is closed once the server has said so, too."""

    def __init__(self, writer: Any, ended: Callable[[], None]) -> None:
        self._writer = writer
        self._ended: Callable[[], None] | None = ended

    def __getattr__(self, name: str) -> Any:
        return getattr(self._writer, name)

    def close(self) -> None:
        """Whoever was led is done."""
        self._writer.close()
        ended, self._ended = self._ended, None
        if ended is not None:
            ended()


class _Watch(asyncssh.SSHClient):  # type: ignore[misc]
    """Answers what the server asks while it is signed in to."""

    def __init__(self, hop: Fields | None) -> None:
        self._hop = hop
        self._asked: str | None = None
        self._rounds = 0
        self.shown = ""
        self.had_to_sign_in = False

    def validate_host_public_key(self, host: str, addr: str, port: int, key: Any) -> bool:  # noqa: ARG002
        """Only the pinned one is good."""
        self.shown = f"{key.get_fingerprint()} ({key.get_algorithm()})"
        return False

    def password_auth_requested(self) -> str | None:
        """Once."""
        password = self._hop.text("password") if self._hop is not None else ""
        if self.had_to_sign_in or not password:
            return None
        self.had_to_sign_in = True
        return password

    def kbdint_auth_requested(self) -> str | None:
        """Where the server takes no password as such (RFC 4256)."""
        if self.had_to_sign_in or self._hop is None or not self._hop.text("password"):
            return None
        self.had_to_sign_in = True
        return ""

    def kbdint_challenge_received(self, name: str, instructions: str, lang: str, prompts: Any) -> list[str] | None:  # noqa: ARG002
        """What is asked for once and unseen is the password; nothing else is answered."""
        self._rounds += 1
        if not prompts:
            return [] if self._rounds <= _ROUNDS else None
        if len(prompts) != 1 or prompts[0][1] or self._asked is not None or self._hop is None:
            return None
        self._asked = str(prompts[0][0])
        return [self._hop.text("password")]


def _host_key(hop: Fields) -> Any:
    """A line as in `ssh_host_ed25519_key.pub`, or as `ssh-keyscan` prints it, with the host before it."""
    line = hop.text("extra.host_key").strip()
    if not line:
        raise Refused(
            "Its connection has no host key, so that nobody knows who would answer. Nothing was sent. Test that connection by "
            "itself: it shows the key that the server has, which you can compare and paste there."
        )
    words = [] if line.startswith("@") else line.split()
    # A host before it may be called as a kind of key is.
    for kind, data in zip(words, words[1:]):
        try:
            key = asyncssh.import_public_key(f"{kind} {data}")
        except (asyncssh.KeyImportError, ValueError):
            continue
        if key.get_algorithm() in _KINDS:
            return key
        raise Refused("RSA host keys are not supported. Paste the server's Ed25519 or ECDSA key.")
    raise Refused("The host key of its connection cannot be read. Paste one line as ssh-keyscan prints it.")


def _private_key(hop: Fields) -> Any:
    text, passphrase = hop.text("extra.private_key"), hop.text("extra.passphrase") or None
    if not text:
        return None
    try:
        return asyncssh.import_private_key(text, passphrase)
    except asyncssh.KeyEncryptionError:
        said = "The passphrase does not open the private key."
        if importlib.util.find_spec("bcrypt") is None:
            said = "The private key is encrypted, and the package bcrypt is not installed, which opens such keys."
    except (asyncssh.KeyImportError, ValueError):
        said = (
            "The private key is encrypted, and no passphrase is set, or it cannot be read."
            if passphrase is None
            else ("The passphrase does not open the private key, or it cannot be read.")
        )
    raise Refused(said)
