"""A real MariaDB and a real MySQL 9."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pymysql

from servers import CACHE, Server, find


class _MySQL(Server):
    """What both have in common. Root signs in without a password, through the socket file alone."""

    def _options(self) -> list[str]:
        return [
            f"--datadir={self.data}", f"--port={self.port}", "--bind-address=127.0.0.1", f"--socket={self.folder}/s",
            "--skip-name-resolve", f"--pid-file={self.folder}/pid", f"--ssl-ca={self.folder}/ca.pem",
            f"--ssl-cert={self.folder}/server.pem", f"--ssl-key={self.folder}/server.key", "--max-connections=300",
            "--performance-schema=OFF", "--skip-log-bin", "--innodb-buffer-pool-size=24M",
            "--innodb-flush-log-at-trx-commit=0", "--innodb-flush-method=nosync", "--innodb-doublewrite=OFF",
        ]  # fmt: skip

    def answers(self) -> None:
        self.admin().close()

    def admin(self, user: str = "root", password: str = "") -> pymysql.Connection:
        # Without TLS, which the socket file does not need and for which PyMySQL would read every authority of the system.
        return pymysql.connect(
            unix_socket=f"{self.folder}/s", user=user, password=password, autocommit=True, charset="utf8mb4", ssl_disabled=True
        )

    def execute(self, statement: str, *values: object) -> tuple:
        with self.admin() as admin, admin.cursor() as cursor:
            cursor.execute(statement, values or None)
            return cursor.fetchall()

    def set_password(self, user: str, password: str) -> None:
        """Creates the user and a database of the same name if need be."""
        with self.admin() as admin, admin.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE IF NOT EXISTS `{user}`")
            cursor.execute(f"CREATE USER IF NOT EXISTS `{user}`@`%`")
            cursor.execute(f"ALTER USER `{user}`@`%%` IDENTIFIED BY %s", [password])
            cursor.execute(f"GRANT ALL ON `{user}`.* TO `{user}`@`%`")

    def fields(self, user: str, password: str, **others: object) -> dict[str, object]:
        return {**self._place(user, password, user), "extra": {"charset": "utf8mb4"}, **others}


class MariaDB(_MySQL):
    """MariaDB, whose users sign in with its native password."""

    is_encrypted = "SELECT variable_value <> '' FROM information_schema.session_status WHERE variable_name = 'Ssl_cipher'"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "mariadb")

    def initialise(self, data: Path) -> None:
        self.run(
            find("mariadb-install-db"), "--no-defaults", f"--datadir={data}", "--auth-root-authentication-method=normal",
            "--skip-test-db", "--skip-name-resolve", "--innodb-log-file-size=4M",
        )  # fmt: skip

    def command(self) -> list[str]:
        own = ["--plugin-load-add=auth_ed25519", "--innodb-log-file-size=4M"]
        return [find("mariadbd", "/usr/sbin"), "--no-defaults", *self._options(), *own]

    def reload(self) -> None:
        self.execute("FLUSH SSL")

    @contextlib.contextmanager
    def demanding_a_client_certificate(self, user: str) -> Iterator[None]:
        self.execute(f"ALTER USER `{user}`@`%` REQUIRE X509")
        try:
            yield
        finally:
            self.execute(f"ALTER USER `{user}`@`%` REQUIRE NONE")

    @contextlib.contextmanager
    def plain(self) -> Iterator[None]:
        self.restart("--skip-ssl")
        try:
            yield
        finally:
            self.restart()


class MySQL(_MySQL):
    """MySQL 9, whose users sign in with `caching_sha2_password`, unpacked beside the system as the Rust tests do it."""

    def __init__(self, folder: Path) -> None:
        root = CACHE / "mysql-9"
        assert (root / "usr/sbin/mysqld").exists(), f"MySQL 9 is not in {root}; install it with `make deps`."
        (libraries,) = (root / "usr/lib").glob("*-linux-gnu")
        (loader,) = libraries.glob("ld-linux*")
        # Under the loader that it was unpacked with: the system's own C library may be older than it needs.
        self._mysqld = [
            str(loader), "--library-path", str(libraries), f"{root}/usr/sbin/mysqld", "--no-defaults", f"--basedir={root}/usr",
            f"--plugin-dir={root}/usr/lib/mysql/plugin", f"--lc-messages-dir={root}/usr/share/mysql",
            f"--character-sets-dir={root}/usr/share/mysql/charsets", "--secure-file-priv=NULL", "--innodb-redo-log-capacity=8M",
        ]  # fmt: skip
        self._passwords: dict[str, str] = {}
        super().__init__(folder, "mysql-9")

    is_encrypted = "SELECT variable_value <> '' FROM performance_schema.session_status WHERE variable_name = 'Ssl_cipher'"

    def initialise(self, data: Path) -> None:
        self.run(*self._mysqld, "--initialize-insecure", f"--datadir={data}")
        (data / "auto.cnf").unlink()  # its own identity, which each copy makes anew

    def command(self) -> list[str]:
        return [*self._mysqld, *self._options(), "--mysqlx=OFF"]

    def set_password(self, user: str, password: str) -> None:
        """As above. The server sees it once, through its socket file; from then on it is content with a challenge."""
        super().set_password(user, password)
        self._passwords[user] = password.encode().decode("latin-1")
        self.admin(user, self._passwords[user]).close()

    def reload(self) -> None:
        # ALTER INSTANCE RELOAD TLS takes no certificate that is not valid now.
        self._restart_knowing_passwords()

    @contextlib.contextmanager
    def plain(self) -> Iterator[None]:
        self._restart_knowing_passwords("--tls-version=")
        try:
            yield
        finally:
            self._restart_knowing_passwords()

    def _restart_knowing_passwords(self, *options: str) -> None:
        self.restart(*options)
        for user, password in self._passwords.items():
            self.admin(user, password).close()

    def forget_passwords(self) -> None:
        """After this, the next sign-in of each user is the full exchange; those that follow are challenge and response."""
        self.execute("FLUSH PRIVILEGES")
