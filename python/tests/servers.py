"""Real database servers on loopback and random ports, each with TLS under an authority of its own."""

from __future__ import annotations

import glob
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Callable

import psycopg
import pymysql

from certificates import Authority

ADMIN_PASSWORD = "planted-admin"
ENVIRONMENT = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "TZ": "UTC"}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def find(program: str, *folders: str) -> str:
    """The program's path. A missing server fails the tests that need it; it never skips them."""
    for pattern in folders:
        for candidate in sorted(glob.glob(f"{pattern}/{program}"), reverse=True):
            return candidate
    found = shutil.which(program)
    assert found, f"{program} is not installed. On Debian: apt-get install postgresql mariadb-server"
    return found


class Server:
    """A server process that runs as a user without rights, since databases refuse to run as root."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.authority = Authority.make("Test CA")
        self.data = folder / "data"
        self._user = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.getuid() == 0 else {}
        folder.mkdir(parents=True)
        certificate, key = self.authority.issue("localhost")
        for name, text in (("ca.pem", self.authority.pem), ("server.pem", certificate), ("server.key", key)):
            (folder / name).write_text(text)
            (folder / name).chmod(0o600)
        if os.getuid() == 0:
            for path in (folder, *folder.iterdir()):
                shutil.chown(path, "nobody", "nogroup")
        self.process: subprocess.Popen[bytes] | None = None

    def run(self, *command: str) -> None:
        subprocess.run(command, check=True, cwd=self.folder, env=ENVIRONMENT, capture_output=True, **self._user)

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command(), cwd=self.folder, env=ENVIRONMENT, stdout=log, stderr=log, **self._user
            )
        deadline = time.monotonic() + 30
        while True:
            try:
                self.answers()
                return
            except Exception:
                is_hopeless = self.process.poll() is not None or time.monotonic() > deadline
                assert not is_hopeless, (self.folder / "log").read_text()[-2000:]
                time.sleep(0.1)

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(self.stop_signal)
            self.process.wait(20)
            self.process = None

    def restart(self) -> None:
        self.stop()
        self.start()

    stop_signal = 15
    command: Callable[[], list[str]]
    answers: Callable[[], None]


class Postgres(Server):
    """PostgreSQL with SCRAM for all, and TLS for those who ask for it."""

    stop_signal = 2  # ends the sessions instead of waiting for them

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._bin = os.path.dirname(
            find("initdb", "/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin")
        )
        password = folder / "password"
        password.write_text(ADMIN_PASSWORD)
        password.chmod(0o644)
        self.run(
            f"{self._bin}/initdb", "-D", str(self.data), "-U", "admin", "-A", "scram-sha-256", f"--pwfile={password}",
            "-E", "UTF8", "--no-sync",
        )  # fmt: skip
        self.start()

    def command(self) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "ssl": "on",
            "ssl_cert_file": self.folder / "server.pem",
            "ssl_key_file": self.folder / "server.key",
            "ssl_ca_file": self.folder / "ca.pem",
            "max_connections": 300,
            "fsync": "off",
        }
        return [f"{self._bin}/postgres", "-D", str(self.data), *(f"--{name}={value}" for name, value in settings.items())]

    def answers(self) -> None:
        self.admin().close()

    def admin(self, database: str = "postgres") -> psycopg.Connection:
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user="admin", password=ADMIN_PASSWORD, dbname=database, autocommit=True
        )

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
        return {
            "host": "127.0.0.1",
            "port": self.port,
            "database": "postgres",
            "username": user,
            "password": password,
            "tls": {"mode": "disable", "ca": None, "cert": None, "key": None},
            **others,
        }


class MariaDB(Server):
    """MariaDB, whose users sign in with its native password."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.socket = f"{folder}/s"
        self.data.mkdir()
        if os.getuid() == 0:
            shutil.chown(self.data, "nobody", "nogroup")
        self.run(
            find("mariadb-install-db"), "--no-defaults", f"--datadir={self.data}", "--auth-root-authentication-method=normal",
            "--skip-test-db", "--skip-name-resolve",
        )  # fmt: skip
        self.start()

    def command(self) -> list[str]:
        return [
            find("mariadbd", "/usr/sbin"), "--no-defaults", f"--datadir={self.data}", f"--port={self.port}",
            "--bind-address=127.0.0.1", f"--socket={self.socket}", "--skip-name-resolve",
            f"--pid-file={self.folder}/pid", f"--ssl-ca={self.folder}/ca.pem", f"--ssl-cert={self.folder}/server.pem",
            f"--ssl-key={self.folder}/server.key", "--plugin-load-add=auth_ed25519", "--max-connections=300",
            "--innodb-flush-log-at-trx-commit=0",
        ]  # fmt: skip

    def answers(self) -> None:
        self.admin().close()

    def admin(self) -> pymysql.Connection:
        return pymysql.connect(unix_socket=self.socket, user="root", autocommit=True, charset="utf8mb4")

    def execute(self, statement: str, *values: object) -> tuple:
        with self.admin() as admin, admin.cursor() as cursor:
            cursor.execute(statement, values or None)
            return cursor.fetchall()

    def set_password(self, user: str, password: str) -> None:
        """Creates the user and a database of the same name if need be."""
        self.execute(f"CREATE DATABASE IF NOT EXISTS `{user}`")
        self.execute(f"CREATE USER IF NOT EXISTS `{user}`@`%`")
        self.execute(f"ALTER USER `{user}`@`%%` IDENTIFIED BY %s", password)
        self.execute(f"GRANT ALL ON `{user}`.* TO `{user}`@`%`")

    def sessions(self, user: str) -> int:
        return int(self.execute("SELECT count(*) FROM information_schema.processlist WHERE user = %s", user)[0][0])

    def fields(self, user: str, password: str, **others: object) -> dict[str, object]:
        return {
            "host": "127.0.0.1",
            "port": self.port,
            "database": user,
            "username": user,
            "password": password,
            "tls": {"mode": "disable", "ca": None, "cert": None, "key": None},
            "extra": {"charset": "utf8mb4"},
            **others,
        }
