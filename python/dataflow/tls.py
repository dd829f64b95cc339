"""TLS modes and material, as the drivers take them.

A driver that takes an `ssl.SSLContext` gets one, made from memory. The others take paths only: they get files that nobody else
can open and that live as long as the engine needs them, in memory where the system has memfds, else with mode 0600. A process
that is killed leaves the latter behind.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import ssl
import sys
import tempfile
import threading
import weakref

from dataflow import fork
from dataflow._native import Credentials
from dataflow.errors import InvalidConfiguration

NOWHERE = os.devnull + "/none"
"""A path at which there can be no file, for drivers that would otherwise look in the user's home."""

_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


def mode(credentials: Credentials) -> str:
    """`verify-full`, `verify-ca`, `require` or `disable`. What is not said is verified."""
    return credentials.expose_text("tls.mode") or "verify-full"


def checks_chain(credentials: Credentials) -> bool:
    """Whether the server has to show a certificate of an authority that is trusted."""
    return mode(credentials) in ("verify-full", "verify-ca")


def is_verified(credentials: Credentials) -> bool:
    """Whether the driver proves who the server is, so that a password may be sent in any form that it asks for.

    A certificate of an authority that all the world trusts, for whichever name, everybody can have.
    """
    return mode(credentials) == "verify-full" or (mode(credentials) == "verify-ca" and bool(credentials.expose_text("tls.ca")))


def system_bundle() -> str:
    """The file of this machine's certificate authorities, for drivers that bring an OpenSSL with other defaults."""
    paths = ssl.get_default_verify_paths()
    for path in (paths.cafile, paths.openssl_cafile, *_BUNDLES):
        if path and os.path.isfile(path):
            return path
    raise InvalidConfiguration(
        "This machine has no file of certificate authorities. Install them (on Debian the package ca-certificates), or give "
        "the connection its server's CA."
    )


def context(credentials: Credentials, material: Material) -> ssl.SSLContext | None:
    """The context for a connection's mode; `None` for `disable`."""
    wanted = mode(credentials)
    if wanted == "disable":
        return None
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.check_hostname = wanted == "verify-full"
    if wanted == "require":
        made.verify_mode = ssl.CERT_NONE
    else:
        authority = credentials.expose_text("tls.ca")
        if authority:
            made.load_verify_locations(cadata=authority)
        else:
            made.load_verify_locations(cafile=system_bundle())
    certificate, key = credentials.expose_text("tls.cert"), credentials.expose_text("tls.key")
    if certificate:
        made.load_cert_chain(material.path(certificate), material.path(key) if key else None)
    return made


class Material:
    """Certificates and keys as private files. They go with the object, and at the latest with the process.

    Of more than `most` the one that was asked for longest ago goes: an engine that lives for months outlives many certificates.
    """

    def __init__(self, most: int | None = None) -> None:
        self._most = most
        self._begin({})
        _materials.add(self)

    def _begin(self, paths: dict[bytes, str]) -> None:
        self._lock = threading.Lock()
        self._paths = paths
        self._close = weakref.finalize(self, _remove, paths)

    def forget_parent(self) -> None:
        """In a forked child: begins with a lock of its own, which nobody holds, and without the files that the parent removes."""
        self._close.detach()
        self._begin({digest: path for digest, path in self._paths.items() if path.startswith(_MEMORY)})

    def end(self) -> None:
        """Removes the files, and keeps the lock: the process ends."""
        self._lock.acquire(timeout=1)
        self._close()

    def path(self, content: str) -> str:
        """The path of a file with this content, made once."""
        digest = hashlib.sha256(content.encode()).digest()
        with self._lock:
            path = self._paths.pop(digest, None)
            if path is None:
                path = _private_file(content.encode())
                self._remove_with_a_worker()
            self._paths[digest] = path  # the last in order
            if self._most is not None and len(self._paths) > self._most:
                _remove_one(self._paths.pop(next(iter(self._paths))))
            return path

    def _remove_with_a_worker(self) -> None:
        """Before Python 3.13 a forked worker of `multiprocessing` ends without `atexit`, on which `weakref.finalize` counts."""
        multiprocessing = sys.modules.get("multiprocessing.util")
        if multiprocessing is not None:
            multiprocessing.Finalize(self, _remove, (self._paths,), exitpriority=-100)


def remove_files() -> None:
    """For a process that ends now, without what else removes them. Nothing makes one after this."""
    for material in list(_materials):
        material.end()


_materials: weakref.WeakSet[Material] = weakref.WeakSet()


def _forget_parent() -> None:
    for material in list(_materials):
        material.forget_parent()


fork.in_child(_forget_parent)


_MEMORY = "/proc/self/fd/"


def _private_file(content: bytes) -> str:
    if hasattr(os, "memfd_create") and os.path.isdir(_MEMORY):
        descriptor = os.memfd_create("dataflow-tls")
        os.fchmod(descriptor, 0o600)  # libpq refuses a key that others might read
        path = f"{_MEMORY}{descriptor}"
        with open(descriptor, "wb", closefd=False) as file:
            file.write(content)
        return path
    descriptor, path = tempfile.mkstemp(prefix="dataflow-", suffix=".pem")  # mode 0600
    with open(descriptor, "wb") as file:
        file.write(content)
    return path


def _remove(paths: dict[bytes, str]) -> None:
    for path in paths.values():
        _remove_one(path)
    paths.clear()


def _remove_one(path: str) -> None:
    with contextlib.suppress(OSError):  # whoever tidies the folder of temporary files may have been here
        if path.startswith(_MEMORY):
            os.close(int(path[len(_MEMORY) :]))
        else:
            os.unlink(path)
