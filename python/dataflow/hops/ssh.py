"""Through an SSH server, by asyncssh: one connection, in which each way is a channel (RFC 4254, section 7.2).

A server is who its pinned host key says; without one nothing goes through it. Nothing of the user's own SSH is used: no
configuration, no `known_hosts`, no agent, no key of the home folder. What is pinned and refused is as in
`crates/connectors/src/ssh.rs`.
"""

from __future__ import annotations

import asyncio
import importlib.util
from typing import Any

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
        self._entering: asyncio.Task[Any] | None = None
        self._connection: Any = None

    async def enter(self) -> None:
        """Signs in, unless that is done. Who comes meanwhile waits for the same sign-in: a wrong password is tried once."""
        if self._connection is not None and not self._connection.is_closed():
            return
        if self._entering is None or self._entering.done():
            self._entering = asyncio.ensure_future(self._enter())
        self._connection = await asyncio.shield(self._entering)

    async def lead(self, host: str, port: int) -> Streams:
        """A channel to a host beyond the server."""
        await self.enter()
        connection, hop = self._connection, self._place[0]
        try:
            reader, writer = await connection.open_connection(bare(host), port, encoding=None)
        except asyncssh.ChannelOpenError as error:
            if error.code == asyncssh.OPEN_CONNECT_FAILED:
                said = unreachable_beyond(hop, host)
            elif error.code == asyncssh.OPEN_RESOURCE_SHORTAGE:
                said = f"“{hop}” has no room for one more connection."
            else:
                said = prohibited(hop, host, port)
        except (OSError, asyncssh.Error):
            said = f"“{hop}” broke the connection off."
        else:
            return reader, writer
        raise Refused(said)

    def close(self) -> None:
        """Takes leave."""
        if self._connection is not None:
            self._connection.close()

    async def _enter(self) -> Any:
        pinned = _host_key(self._hop)
        key = _private_key(self._hop)
        host, port = self._place
        watch = _Watch(None if key is not None else self._hop)
        try:
            return await asyncssh.connect(
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
            )
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
