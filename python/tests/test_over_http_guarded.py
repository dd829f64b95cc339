"""No password of ClickHouse or Trino goes where it should not, or comes to light."""

from __future__ import annotations

import base64
import contextlib
import logging
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from sqlalchemy import text
from test_certificates import MODES, ROWS, _meaning
from test_leaks import PLANTED, _deep, _everything_about

from certificates import Authority
from dataflow import DriverUnsafe
from fake_trino import FakeTrino
from over_http import USER, WHO, driver_connection, forms_of_planted, is_the_databases, manager_of, shown_of, sockets_to
from using import first_row, until

UNVERIFIED = [
    {"host": "db.example.org", "tls": {"mode": "disable"}},
    {"host": "db.example.org", "tls": {"mode": "require"}},
    {"host": "db.example.org", "tls": {"mode": "verify-ca"}},
    {"host": "127.0.0.1.example.org", "tls": {"mode": "require"}},
    {"host": "10.0.0.1", "tls": {"mode": "require"}},
]


@pytest.mark.parametrize("fields", UNVERIFIED)
def test_no_password_goes_to_a_server_that_is_not_verified(dataflow, server, kind, fields):
    server.put("shop", kind, username=USER, password=PLANTED, **fields)
    for mode in ("engine", "url"):
        with pytest.raises(DriverUnsafe, match=r"not verified. Set TLS to verify-full"):
            dataflow.connection("shop", mode)
    server.put("allowed", kind, username=USER, password=PLANTED, **fields, extra={"insecure_auth": "password"})
    assert dataflow.connection("allowed", "engine").url.password is None


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1.2.3", "[::1]", "::1"])
def test_this_machine_may_be_told(dataflow, server, kind, host):
    server.put("shop", kind, host=host, username=USER, password=PLANTED, tls={"mode": "disable"})
    assert dataflow.connection("shop", "engine").url.password is None


def test_a_username_with_a_colon(dataflow, server, kind):
    server.put("shop", kind, host="db.example.org", username="a:b", password=PLANTED)
    with pytest.raises(DriverUnsafe, match="a username has no colon"):
        dataflow.connection("shop", "engine")


def test_an_engine_that_is_held_is_refused_too(dataflow, server, kind, service, shop, go_stale):
    engine = dataflow.connection("shop", "engine")
    engine.connect().close()
    server.put("shop", kind, **service.fields(USER, PLANTED, **UNVERIFIED[1]))
    go_stale()
    with pytest.raises(DriverUnsafe):
        engine.connect()


@pytest.mark.parametrize("failure", ["refused", "closed", "untrusted", "unsendable"])
def test_a_failed_connect_shows_nothing(dataflow, server, kind, service, failure, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    changes: dict[str, object] = {"refused": {}, "closed": {"port": 1}, "untrusted": {}, "unsendable": {}}[failure]
    if failure == "untrusted":
        changes = {"tls": {"mode": "verify-full", "ca": Authority.make("Another CA").pem}}
    if failure == "unsendable" and kind == "trino":
        changes = {"password": f"{PLANTED}\nX-Header: 1", "extra": {"auth": "bearer"}}
    server.put("leaky", kind, **{**service.fields(USER, PLANTED), **changes})
    with pytest.raises(Exception) as caught:
        first_row(dataflow, "leaky")
    shown = shown_of(caught.value, caplog, capfd)
    assert [form for form in forms_of_planted() if form in shown] == []


def test_a_failed_query_shows_nothing(dataflow, server, kind, service, caplog, capfd, monkeypatch):
    """The driver signs in with each request, so that each may fail with the password at hand."""
    caplog.set_level(logging.DEBUG)
    service.set_password(USER, PLANTED)
    server.put("leaky", kind, **service.fields(USER, PLANTED))
    shown = []
    engine = dataflow.connection("leaky", "engine")
    with engine.connect() as connection:
        with pytest.raises(Exception) as caught:
            connection.execute(text("NO STATEMENT"))
        shown.append(shown_of(caught.value, caplog, capfd))
        service.set_password(USER, "another")
        with pytest.raises(Exception) as caught:
            connection.execute(text("SELECT 1"))
        shown.append(shown_of(caught.value, caplog, capfd))
        # The socket breaks while the request is written to it.
        written = []

        def broken(_self, data: bytes) -> None:
            written.append(data)
            raise ConnectionResetError

        monkeypatch.setattr("http.client.HTTPConnection.send", broken)
        with pytest.raises(Exception) as caught:
            connection.execute(text("SELECT 1"))
        monkeypatch.undo()
        assert any(base64.b64encode(f"{USER}:{PLANTED}".encode()) in each for each in written)
        shown.append(shown_of(caught.value, caplog, capfd))
    assert [form for form in forms_of_planted() for each in shown if form in each] == []


def test_objects_show_nothing(dataflow, server, kind, service, caplog):
    caplog.set_level(logging.DEBUG)
    service.set_password(USER, PLANTED)
    server.put("leaky", kind, **service.fields(USER, PLANTED))
    engine = dataflow.connection("leaky", "engine")
    engine.echo = "debug"
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
        driver = driver_connection(connection)
        shown = [repr(engine), *map(_deep, (engine, connection, driver, manager_of(driver))), caplog.text]
        pool = manager_of(driver).connection_from_host()
        shown += [_deep(pool), _deep(pool.pool.queue)]
    engine.echo = False
    assert [form for form in forms_of_planted() if form in "\n".join(shown)] == []


@pytest.fixture
def redirecting(elsewhere):
    """The port of a server that sends everybody elsewhere, and of each request whether it was sent."""
    followed: list[bool] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            followed.append(self.path.startswith("/followed"))
            self.send_response(307)
            self.send_header("Location", f"http://127.0.0.1:{elsewhere.port}/followed")
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST

        def log_message(self, *args: object) -> None:
            pass

    started = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=started.serve_forever, args=(0.005,), daemon=True).start()
    yield started.server_port, followed
    started.shutdown()
    started.server_close()


def test_nobody_is_sent_elsewhere(dataflow, server, kind, redirecting, elsewhere):
    port, followed = redirecting
    server.put("shop", kind, host="127.0.0.1", port=port, username=USER, password=PLANTED, tls={"mode": "disable"})
    with pytest.raises(Exception):  # noqa: B017
        first_row(dataflow, "shop")
    assert not elsewhere.was_asked()
    assert followed
    assert not any(followed)


def test_the_pages_of_a_result_come_from_the_server_itself(dataflow, server, trino, elsewhere):
    trino.set_password(USER, "first")
    trino.next_host = f"127.0.0.1:{elsewhere.port}"
    server.put("shop", "trino", **trino.fields(USER, "first"))
    assert first_row(dataflow, "shop") == [1]
    assert not elsewhere.was_asked()
    assert "x-trino-query-data-encoding" not in trino.requests[-1][2]


def test_the_environment_decides_nothing(dataflow, server, kind, service, shop, monkeypatch, tmp_path, elsewhere):
    proxy = f"http://127.0.0.1:{elsewhere.port}"
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy)
        monkeypatch.setenv(name.lower(), proxy)
    monkeypatch.setattr("trino.client.PROXIES", {"http": proxy, "https": proxy})
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine localhost login other password other\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nonexistent")
    assert first_row(dataflow, "shop", WHO[kind]) == [USER]
    assert not elsewhere.was_asked()


BEHAVIOURS = {
    "says nothing": (b"", b""),
    "drips its head": (b"HTTP/1.1 200 OK\r\n", b"X-More: 1\r\n"),
    "never ends its answer": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"4000\r\n" + b" " * 0x4000 + b"\r\n"),
    "never ends its refusal": (b"HTTP/1.1 400 Bad\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "is another service": (b"SSH-2.0-OpenSSH_9.2\r\n", b""),
    "asks for a digest": (b'HTTP/1.1 401 No\r\nWWW-Authenticate: Digest realm="a", nonce="b"\r\nContent-Length: 0\r\n\r\n', b""),
    "says that nothing is there": (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", b""),
}


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_a_hostile_server_is_left_in_time(dataflow, server, kind, behaviour):
    first, then = BEHAVIOURS[behaviour]
    stop = threading.Event()

    def exchange(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(first)
        while not stop.wait(0.001) and (then or connection.recv(65536)):
            connection.sendall(then)

    enemy = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=_serve, args=(enemy, exchange), daemon=True).start()
    fields = {"host": "127.0.0.1", "port": enemy.getsockname()[1], "username": USER, "password": PLANTED}
    server.put("shop", kind, **fields, tls={"mode": "disable"}, extra={"connect_timeout": 1})
    began = time.monotonic()
    try:
        with pytest.raises(Exception) as caught:
            first_row(dataflow, "shop")
        assert time.monotonic() - began < 10
        assert is_the_databases(caught.value)
        assert [form for form in forms_of_planted() if form in _everything_about(caught.value)] == []
        until("nobody is held any more", lambda: not any(each.name == "dataflow-connect" for each in threading.enumerate()))
        assert sockets_to(fields["port"]) == 0
    finally:
        stop.set()
        enemy.close()


def _serve(listener: socket.socket, exchange) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_lead, args=(connection, exchange), daemon=True).start()


def _lead(connection: socket.socket, exchange) -> None:
    with connection, contextlib.suppress(OSError):
        exchange(connection)


def test_the_verdict_on_a_certificate_is_that_of_every_driver(dataflow, server, kind, service):
    """`docs/certificates.md`, without its modes and rows of servers that have no TLS: over HTTP that is another port."""
    numbers, wrong = iter(range(1000)), []
    show = service.showing if kind == "clickhouse" else _Showing(service)
    for shape, trusted, *expected in ROWS:
        if shape == "none":
            continue
        identity = service.authority.shaped(shape)
        ca = {"the authority": service.authority.pem, "the certificate": identity[0]}[trusted]
        with show(identity):
            for mode, wanted in zip(MODES, expected):
                if mode == "disable":
                    continue
                name = f"secure-{next(numbers)}"
                server.put(name, kind, **service.fields(USER, "first", tls={"mode": mode, "ca": ca}))
                try:
                    first_row(dataflow, name)
                    found = {"works"}
                except Exception as error:
                    found = _meaning(error)
                if wanted not in found:
                    wrong.append(f"{shape}, {trusted} trusted, {mode}: {found} instead of {wanted}")
    assert wrong == [], "\n".join(wrong)


class _Showing:
    def __init__(self, fake: FakeTrino) -> None:
        self._fake = fake

    def __call__(self, identity: tuple[str, str]):
        self._identity = identity
        return self

    def __enter__(self) -> None:
        self._fake.show(self._identity)

    def __exit__(self, *_: object) -> None:
        self._fake.show(self._fake.authority.issue("localhost"))


def test_only_the_authority_of_the_connection_is_trusted(dataflow, server, kind, service, monkeypatch, tmp_path):
    """Not those of the system, nor those that `certifi` brings, beside the one that is pasted."""
    public = Authority.make("A public CA")
    (tmp_path / "bundle.pem").write_text(public.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "bundle.pem"))
    monkeypatch.setattr("certifi.where", lambda: str(tmp_path / "bundle.pem"))
    monkeypatch.setattr("requests.adapters.DEFAULT_CA_BUNDLE_PATH", str(tmp_path / "bundle.pem"))
    show = service.showing if kind == "clickhouse" else _Showing(service)
    with show(public.issue("localhost")):
        server.put("pasted", kind, **service.fields(USER, "first"))
        with pytest.raises(Exception) as caught:
            first_row(dataflow, "pasted")
        assert "certificate_untrusted" in _meaning(caught.value)
        server.put("system", kind, **service.fields(USER, "first", tls={"mode": "verify-full"}))
        assert first_row(dataflow, "system") == [1]
