"""A real PostgreSQL."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg

from servers import READY_WITHIN, Server, find

ADMIN_PASSWORD = "planted-admin"


class Postgres(Server):
    """PostgreSQL with SCRAM for all, and TLS for those who ask for it."""

    stop_signal = 2  # ends the sessions instead of waiting for them
    last_signal = 3  # without a last write, and yet with its shared memory given back
    is_encrypted = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"

    def __init__(self, folder: Path) -> None:
        programs = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin")
        self._bin = os.path.dirname(find("initdb", *programs))
        super().__init__(folder, f"postgres{self._bin.replace('/', '-')}")

    def initialise(self, data: Path) -> None:
        self._write("password", ADMIN_PASSWORD)
        self.run(
            f"{self._bin}/initdb", "-D", str(data), "-U", "admin", "-A", "scram-sha-256", f"--pwfile={self.folder}/password",
            "-E", "UTF8", "--no-sync",
        )  # fmt: skip
        _offer_tls(data, True)

    def command(self) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "ssl_cert_file": self.folder / "server.pem",
            "ssl_key_file": self.folder / "server.key",
            "ssl_ca_file": self.folder / "ca.pem",
            "max_connections": 300,
            "fsync": "off",
        }
        return [f"{self._bin}/postgres", "-D", str(self.data), *(f"--{name}={value}" for name, value in settings.items())]

    def answers(self) -> None:
        self.admin().close()

    def reload(self) -> None:
        loaded = "SELECT pg_conf_load_time()"
        with self.admin() as admin:
            before = admin.execute(loaded).fetchone()
            admin.execute("SELECT pg_reload_conf()")
        deadline = time.monotonic() + READY_WITHIN
        while True:
            # A session takes the time over from the process that accepts it, which accepts nobody while it reloads.
            with self.admin() as admin:
                if admin.execute(loaded).fetchone() != before:
                    return
            assert time.monotonic() < deadline, "PostgreSQL did not reload"
            time.sleep(0.005)

    @contextlib.contextmanager
    def plain(self) -> Iterator[None]:
        _offer_tls(self.data, False)
        self.reload()
        try:
            yield
        finally:
            _offer_tls(self.data, True)
            self.reload()

    @contextlib.contextmanager
    def demanding_a_client_certificate(self, user: str) -> Iterator[None]:
        rules = self.data / "pg_hba.conf"
        before = rules.read_text()
        rules.write_text(f"hostssl all {user} all cert\n{before}")
        self.reload()
        try:
            yield
        finally:
            rules.write_text(before)
            self.reload()

    def admin(self, database: str = "postgres") -> psycopg.Connection:
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user="admin", password=ADMIN_PASSWORD, dbname=database, autocommit=True,
            sslmode="disable",
        )  # fmt: skip

    def execute(self, statement: str, database: str = "postgres") -> None:
        with self.admin(database) as admin:
            admin.execute(statement)

    def set_password(self, user: str, password: str) -> None:
        """Creates the user if need be."""
        with self.admin() as admin:
            verb = "ALTER" if admin.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [user]).fetchone() else "CREATE"
            admin.execute(
                psycopg.sql.SQL("{} ROLE {} LOGIN PASSWORD {}").format(
                    psycopg.sql.SQL(verb), psycopg.sql.Identifier(user), psycopg.sql.Literal(password)
                )
            )

    def sessions(self, user: str, state: str = "%") -> int:
        with self.admin() as admin:
            found = admin.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE usename = %s AND state LIKE %s", [user, state]
            ).fetchone()
        assert found
        return int(found[0])

    def fields(self, user: str, password: str, **others: object) -> dict[str, object]:
        return {**self._place(user, password, "postgres"), **others}


def _offer_tls(data: Path, wanted: bool) -> None:
    """In a file, since it may change while the server runs; what stands on the command line may not."""
    (data / "postgresql.auto.conf").write_text(f"ssl = {'on' if wanted else 'off'}\n")
