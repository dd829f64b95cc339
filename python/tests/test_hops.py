"""Connections that go through another one: an SSH server, an HTTP proxy, a SOCKS proxy."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from test_drivers import HIDING
from test_fork import _in_child
from test_leaks import _everything_about

import dataflow as package
from certificates import Authority
from dataflow import DataflowError, DriverUnsafe, HopFailed, UnsupportedConnection
from dataflow import hops as ways
from dataflow.hops import process
from fake_dataflow import TOKEN
from hop_servers import KINDS, NO_TLS, PASSWORD, USER, Hop, InsideTls, Knowing, Saying, Sticking, has_ended, helpers
from real_server import BINARY
from servers import IS_ROOT, UNPRIVILEGED, Port, find
from test_script import run
from using import first_row, until, words_of

PLANTED = "pl4nted-s3cret"
OVER_TLS = {"postgres": ("psycopg", "psycopg2", "asyncpg"), "mariadb": ("pymysql", "aiomysql"), "mysql": ("pymysql", "aiomysql")}
ANOTHER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPApGIAA9gkzmRUZqvWRnjarmvkGRfzRQ1LVod0TZfv8"


@pytest.fixture(scope="module")
def hops(tmp_path_factory):
    """One of each kind, started when it is first asked for."""
    started: dict[str, Hop] = {}

    def get(kind: str) -> Hop:
        if kind not in started:
            started[kind] = Hop(kind, tmp_path_factory.mktemp(kind))
        return started[kind]

    yield get
    for hop in started.values():
        hop.end()


@pytest.fixture
def postgres_beyond(server, postgres, hops):
    """The connection “far”: PostgreSQL through an SSH server, or as a test changes that."""
    postgres.set_password("far", PLANTED)

    def put(hop: dict | None = None, name: str = "far", **fields: object) -> None:
        server.put(name, "postgres", hop=hop or hops("ssh").told(), **postgres.fields("far", PLANTED, **fields))

    return put


@pytest.fixture(autouse=True)
def _without_helpers():
    """Each test leaves none to the next, nor their memory."""
    yield
    for helper in helpers():
        os.kill(helper, signal.SIGKILL)


def refusal(dataflow, name: str = "far") -> HopFailed:
    """What a session says, which holds no secret."""
    with pytest.raises(HopFailed) as caught:
        first_row(dataflow, name)
    shown = _everything_about(caught.value)
    assert PASSWORD not in shown
    assert PLANTED not in shown
    assert str(caught.value).startswith("The way through “bastion” failed: ")
    assert caught.value.hop == "bastion"
    return caught.value


@pytest.mark.parametrize("hop", KINDS)
@pytest.mark.parametrize("kind", ["postgres", "mariadb", pytest.param("mysql", marks=pytest.mark.lengthy)])
def test_every_driver_goes_through_every_kind_of_hop(request, dataflow, server, only_driver, hops, hop, kind):
    database = request.getfixturevalue(kind)
    database.set_password("far", PLANTED)
    transport = {"mode": "verify-full", "ca": database.authority.pem, "cert": None, "key": None}
    fields = database.fields("far", PLANTED, host="localhost", tls=transport)
    server.put("far", kind, hop=hops(hop).told(), **fields)
    for module in OVER_TLS[kind]:
        assert first_row(dataflow, "far", database.is_encrypted, only_driver(module)) == [True], module


@pytest.mark.parametrize("kind", ["postgres", "mariadb"])
def test_the_hop_looks_the_host_up_and_the_certificate_is_for_that_name(request, dataflow, server, only_driver, kind):
    database = request.getfixturevalue(kind)
    database.set_password("far", PLANTED)
    transport = {"mode": "verify-full", "ca": database.authority.pem, "cert": None, "key": None}
    knowing = Knowing()
    fields = database.fields("far", PLANTED, host=Knowing.NAME, tls=transport)
    server.put("far", kind, hop=knowing.told(), **fields)
    with database.showing(database.authority.issue(Knowing.NAME)):
        for module in OVER_TLS[kind]:
            assert first_row(dataflow, "far", database.is_encrypted, only_driver(module)) == [True], module
    server.put("near", kind, hop=knowing.told(), **fields)
    # It shows the certificate of “localhost” again, where the drivers are.
    for module in OVER_TLS[kind]:
        with pytest.raises(Exception) as caught:
            first_row(dataflow, "near", driver=only_driver(module))
        said = words_of(caught.value)
        assert "hostname mismatch" in said or "does not match host name" in said, f"{module}: {said}"
    assert set(knowing.asked) == {Knowing.NAME}
    knowing.close()


@pytest.mark.parametrize("mode", ["disable", "verify-full"])
def test_mysqlclient_goes_through_only_where_no_name_counts(request, dataflow, server, hops, mariadb, mode):
    mariadb.set_password("far", PLANTED)
    transport = {**NO_TLS, "mode": mode, "ca": mariadb.authority.pem}
    server.put("far", "mariadb", hop=hops("ssh").told(), **mariadb.fields("far", PLANTED, host="localhost", tls=transport))
    assert first_row(dataflow, "far") == [1]
    assert dataflow.connection("far", "engine").driver == {"disable": "mysqldb", "verify-full": "pymysql"}[mode]


def test_a_service_over_http_lies_beyond(dataflow, server, kind, service, hops):
    fields = service.fields("shop", "first")
    service.set_password("shop", "first")
    server.put("far", kind, hop=hops("ssh").told(), **fields)
    before = set(helpers())
    engine = dataflow.connection("far", "engine")
    with engine.connect() as held:
        assert held.execute(text("SELECT 1")).scalar() == 1
        # Its sockets are opened anew, each by a way of its own.
        (helper,) = set(helpers()) - before
        os.kill(helper, signal.SIGKILL)
        until("it has ended", lambda: has_ended(helper))
    assert first_row(dataflow, "far") == [1]
    # A host that is this machine's name for itself is another one beyond the hop, and a proxy hears what goes there.
    server.put("heard", kind, hop=hops("socks_proxy").told(), **{**fields, "host": "localhost", "tls": NO_TLS})
    with pytest.raises(DriverUnsafe):
        first_row(dataflow, "heard")


def test_what_the_hop_refuses_is_told_in_words(dataflow, server, postgres_beyond, hops):
    shell = hops("ssh")
    closed = Port()
    cases = [
        (shell.told(extra={"host_key": None}), {}, "has no host key"),
        (shell.told(extra={"host_key": ANOTHER}), {}, "It showed SHA256:"),
        (shell.told(extra={"host_key": "ssh-ed25519 AAAA"}), {}, "cannot be read"),
        (shell.told(password="another"), {}, f"refused the password for “{USER}”"),
        (shell.told(password=None), {}, "neither a password nor a private key"),
        (shell.told("keys"), {}, "takes no password"),
        (shell.told("factors"), {}, "refused"),
        (shell.told("keys", extra={"private_key": shell.file("user.key")}), {}, "private key is encrypted"),
        (shell.told("keys", extra={"private_key": shell.file("user.key"), "passphrase": "another"}), {}, "passphrase"),
        (shell.told(), {"host": "prohibited.example.org"}, "lets no connection to “prohibited.example.org”"),
        (shell.told(), {"host": "dataflow-test.invalid"}, "“dataflow-test.invalid” cannot be reached from “127.0.0.1”"),
        (shell.told(), {"host": "169.254.169.254"}, "clouds hand out credentials"),
        (shell.told(), {"host": "bücher.example.org"}, "in ASCII"),
        (shell.told(port=closed.number), {}, "refused the connection"),
        (shell.told(host="dataflow-test.invalid"), {}, "cannot be reached"),
        (hops("http_proxy").told(password="another"), {}, f"refused the password for “{USER}”"),
        (hops("http_proxy").told("open", password=None, username=None), {}, "lets no connection"),
        (hops("http_proxy").told(host="127.1"), {}, "others could read it"),
        (hops("http_proxy").told(tls={**NO_TLS, "mode": "require"}), {"extra": {"connect_timeout": 1}}, "longer than 1 s"),
        (shell.told(tls={**NO_TLS, "mode": "require"}) | {"base": "http_proxy"}, {}, "does not speak TLS"),
        (hops("http_proxy").told(), {"port": closed.number}, "cannot be reached from"),
        (hops("socks_proxy").told(password="another"), {}, f"refused the password for “{USER}”"),
        (hops("socks_proxy").told(password=None, username=None), {}, "has no password"),
        (hops("socks_proxy").told(host="127.1"), {}, "others could read it"),
        (hops("socks_proxy").told(), {"port": closed.number}, "refused the connection on port"),
        (
            {**shell.told(), "base": "http_proxy", "fields": {**hops("http_proxy").told()["fields"], "port": shell.port()}},
            {},
            "not an HTTP proxy",
        ),
        ({**shell.told(tls=NO_TLS), "base": "socks_proxy"}, {}, "not a SOCKS proxy"),
    ]
    for number, (told, fields, words) in enumerate(cases):
        postgres_beyond(told, f"far-{number}", **fields)
        said = str(refusal(dataflow, f"far-{number}"))
        assert words in said, f"{said}, and not “{words}”"
    closed.close()


@pytest.mark.lengthy
def test_of_a_proxy_inside_tls_the_certificate_counts(dataflow, postgres_beyond, hops, tmp_path):
    authority = Authority.make("Test CA")
    transport = {"mode": "verify-full", "ca": authority.pem, "cert": None, "key": None}
    for kind in ("http_proxy", "socks_proxy"):
        inside = InsideTls(hops(kind).port(), authority.issue("localhost"), tmp_path)
        for name, changed, words in [
            ("right", {"host": "localhost"}, ""),
            # Where nobody is verified the password goes no further than this machine.
            ("unverified", {"host": "127.1", "tls": {**transport, "mode": "require"}}, "others could read it"),
            ("another", {"host": "127.0.0.1"}, "was refused: "),
            ("untrusted", {"host": "localhost", "tls": {**transport, "ca": Authority.make("Test CA").pem}}, "was refused: "),
        ]:
            postgres_beyond(hops(kind).told(**{"port": inside.port, "tls": transport, **changed}), f"{kind}-{name}")
            if words:
                assert words in str(refusal(dataflow, f"{kind}-{name}"))
            else:
                assert first_row(dataflow, f"{kind}-{name}") == [1]
        inside.close()


@pytest.mark.lengthy
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_hop_is_told_and_holds_nobody(dataflow, postgres_beyond, hops, kind):
    endless = b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 10_000
    said = [
        b"",
        b"\0" * 70_000,
        b"220 mail.example.org ESMTP\r\n",
        b"HTTP/1.1 200 OK\r\n",
        endless,
        b"\5\0\5\0",
        b"SSH-1.5-old\r\n",
    ]
    for number, words in enumerate(said):
        saying = Saying(words)
        postgres_beyond(hops(kind).told(port=saying.port), f"far-{number}")
        shown = str(refusal(dataflow, f"far-{number}"))
        assert "broke on the way" not in shown
        assert "took longer" not in shown
        # A proxy is told it at once, on this machine; an SSH server only once it is known.
        assert kind != "ssh" or PASSWORD.encode() not in saying.heard
        saying.close()


@pytest.mark.lengthy
def test_keys_and_questions_open_the_way(dataflow, postgres_beyond, hops):
    shell = hops("ssh")
    key = {"private_key": shell.file("user.key"), "passphrase": PASSWORD}
    allowed = {"insecure_auth": "password"}
    ways = [
        shell.told("keys", extra=key, password=None),
        shell.told("asks"),
        shell.told(extra={"host_key": f"[127.0.0.1]:22 {shell.file('host.pub').strip()} of the bastion"}),
        hops("http_proxy").told(host="127.1", extra=allowed),
        hops("socks_proxy").told(host="127.1", extra=allowed),
        hops("socks_proxy").told("open", username=None, password=None),
    ]
    for number, told in enumerate(ways):
        postgres_beyond(told, f"far-{number}")
        assert first_row(dataflow, f"far-{number}") == [1]


def test_a_refused_hop_asks_the_server_once_more(dataflow, server, postgres_beyond, hops, stay_fresh):
    postgres_beyond(hops("ssh").told(password="another"))
    refusal(dataflow)
    asked = len(server.requests)
    assert asked == 2
    postgres_beyond(hops("ssh").told())
    # What is held is fresh, and wrong.
    assert first_row(dataflow, "far") == [1]
    assert len(server.requests) == asked + 1


@pytest.mark.lengthy
def test_a_hop_that_changes_does_not_interrupt(dataflow, server, postgres, postgres_beyond, hops, go_stale):
    postgres_beyond()
    engine = dataflow.connection("far", "engine")
    before = set(helpers())
    held = engine.connect()
    (old,) = set(helpers()) - before
    postgres_beyond(hops("socks_proxy").told())
    go_stale()
    with engine.connect() as new:
        assert new.execute(text("SELECT 1")).scalar() == 1
        assert len(set(helpers()) - before) == 2
        assert held.execute(text("SELECT 2")).scalar() == 2
        assert old in helpers()
    # What the old one's drivers open by themselves still goes through, to cancel a query for one.
    with socket.create_connection(("127.0.0.1", held.connection.driver_connection.info.port), 10) as another:
        another.sendall(b"\0\0\0\x08\x04\xd2\x16\x2f")
        assert another.recv(1) in (b"S", b"N")
    held.invalidate()
    held.close()
    until("the helper of the old hop has ended", lambda: has_ended(old))
    engine.dispose()
    assert first_row(dataflow, "far") == [1]
    assert not Path(f"/proc/{old}").exists(), "it was not waited for"
    engine.dispose()


@pytest.mark.lengthy
def test_a_helper_that_is_killed_is_replaced(dataflow, postgres_beyond):
    postgres_beyond()
    engine = dataflow.connection("far", "engine")
    with engine.connect() as connection:
        assert connection.execute(text("SELECT 1")).scalar() == 1
    before = helpers()
    for helper in before:
        os.kill(helper, signal.SIGKILL)
    until("they have ended", lambda: all(map(has_ended, before)))
    with engine.connect() as connection:
        assert connection.execute(text("SELECT 2")).scalar() == 2
    assert set(helpers()).isdisjoint(before)
    engine.dispose()


@pytest.mark.lengthy
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_what_ends_a_whole_group_ends_no_session(dataflow, postgres_beyond, name):
    postgres_beyond()
    with dataflow.connection("far", "engine").connect() as held:
        assert held.execute(text("SELECT 1")).scalar() == 1
        (helper,) = helpers()
        os.kill(helper, getattr(signal, name))
        assert held.execute(text("SELECT 2")).scalar() == 2
        assert helpers() == [helper]
        held.invalidate()


@pytest.mark.lengthy
def test_a_line_that_is_stuck_is_given_up(dataflow, postgres, postgres_beyond, hops, go_stale):
    line = Sticking(hops("ssh").port())
    told = hops("ssh").told(port=line.port)
    postgres_beyond(told)
    assert first_row(dataflow, "far") == [1]
    before = helpers()
    dataflow.connection("far", "engine").dispose()
    until("nothing is on the line", lambda: postgres.sessions("far") == 0)
    line.stick()
    postgres_beyond(told, extra={"connect_timeout": 1})
    go_stale()
    # The channel of the line that there is, and then the sign-in on the next.
    for _ in range(2):
        assert "took longer than 1 s" in str(refusal(dataflow))
    line.mend()
    assert first_row(dataflow, "far") == [1]
    assert helpers() == before
    dataflow.connection("far", "engine").dispose()
    line.close()


@pytest.fixture
def slow_to_begin(monkeypatch):
    """The first helper that is begun from now on is begun when it is allowed to; whether somebody waits for that, and that."""
    begin, waits, may = process.Helper.begin, threading.Event(), threading.Event()

    def slowly(helper: process.Helper, *given: object) -> None:
        if not waits.is_set():
            waits.set()
            may.wait(60)
        begin(helper, *given)

    monkeypatch.setattr(process.Helper, "begin", slowly)
    yield waits, may
    may.set()


@pytest.mark.lengthy
def test_a_helper_that_is_slow_to_start_holds_nobody_else_up(dataflow, postgres_beyond, hops, slow_to_begin):
    waits, may = slow_to_begin
    postgres_beyond(name="slow")
    postgres_beyond(hops("socks_proxy").told(), name="quick")
    said = []
    threads = [threading.Thread(target=lambda: said.append(first_row(dataflow, "slow"))) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert waits.wait(60)
    quick = threading.Thread(target=first_row, args=(dataflow, "quick"))
    quick.start()
    quick.join(20)
    is_held_up = quick.is_alive()
    assert said == []
    may.set()
    for thread in (*threads, quick):
        thread.join()
    assert not is_held_up
    assert said == [[1], [1]]
    assert len(helpers()) == 2
    for name in ("slow", "quick"):
        dataflow.connection(name, "engine").dispose()


@pytest.mark.lengthy
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_does_not_wait_for_whom_its_parent_starts(dataflow, postgres_beyond, slow_to_begin):
    waits, may = slow_to_begin
    postgres_beyond()
    dataflow.connection("far", "engine")
    thread = threading.Thread(target=first_row, args=(dataflow, "far"))
    thread.start()
    assert waits.wait(60)

    def work() -> None:
        assert all(helper.has_begun() for helper in ways._ways._helpers.values())
        assert first_row(dataflow, "far") == [1]
        assert len(helpers()) == 1

    assert _in_child(work) == 0
    may.set()
    thread.join()
    assert first_row(dataflow, "far") == [1]
    dataflow.connection("far", "engine").dispose()


@pytest.mark.lengthy
def test_no_other_user_of_the_machine_gets_through(dataflow, postgres_beyond):
    """As root it is seen; others cannot become somebody else."""
    postgres_beyond()
    port = dataflow.connection("far", "url").port
    script = f"""
import socket, sys
with socket.create_connection((sys.argv[1], {port}), 10) as channel:
    channel.sendall(b"\\0\\0\\0\\x08\\x04\\xd2\\x16\\x2f")
    try:
        print(channel.recv(1))
    except ConnectionError:
        print(b"")
"""

    def said(host: str, **who: object) -> str:
        command = [find("python3", "/usr/bin"), "-c", script, host]
        return subprocess.run(command, capture_output=True, text=True, check=True, cwd="/", **who).stdout

    for host in ("127.0.0.1", "::ffff:127.0.0.1"):
        assert said(host) == "b'S'\n"
        assert said(host, **UNPRIVILEGED) == ("b''\n" if IS_ROOT else "b'S'\n")


@pytest.mark.lengthy
def test_many_at_once_share_one_helper(dataflow, postgres_beyond):
    postgres_beyond()
    before, failures = set(helpers()), []

    def use() -> None:
        try:
            assert first_row(dataflow, "far", "SELECT pg_sleep(0.05) IS NULL") == [False]
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=use) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(set(helpers()) - before) == 1
    dataflow.connection("far", "engine").dispose()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_goes_by_the_helper_of_its_parent(dataflow, postgres_beyond):
    postgres_beyond()
    engine = dataflow.connection("far", "engine")
    held = engine.connect()
    before = helpers()

    def work() -> None:
        with engine.connect() as connection:
            assert connection.execute(text("SELECT 3")).scalar() == 3
        assert helpers() == []
        engine.dispose()

    def work_without() -> None:
        for helper in before:
            os.kill(helper, signal.SIGKILL)
        with engine.connect() as connection:
            assert connection.execute(text("SELECT 4")).scalar() == 4
        assert len(helpers()) == 1
        engine.dispose()

    assert [_in_child(work) for _ in range(3)] == [0] * 3
    assert held.execute(text("SELECT 5")).scalar() == 5
    assert _in_child(work_without) == 0
    held.invalidate()
    held.close()
    with engine.connect() as connection:
        assert connection.execute(text("SELECT 6")).scalar() == 6
    engine.dispose()


SCRIPT = """
import os, signal, sys
sys.path.insert(0, {tests!r})
from dataflow import Dataflow
from hop_servers import helpers
from sqlalchemy import text
session = Dataflow().connection("far")
assert session.execute(text("SELECT 1")).scalar() == 1
(helper,) = helpers()
print(helper, flush=True)
for part in ("cmdline", "environ"):
    print(repr(open(f"/proc/{{helper}}/{{part}}").read()), flush=True)
if {is_killed}:
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("is_killed", [False, True])
def test_a_program_that_ends_leaves_no_process_and_shows_no_secret(server, postgres_beyond, is_killed):
    postgres_beyond()
    environment = {
        "PYTHONPATH": str(Path(package.__file__).parent.parent),
        "PATH": "/usr/bin:/bin",
        "HOME": "/nonexistent",
        "DATAFLOW_URL": server.url,
        "DATAFLOW_TOKEN": TOKEN,
    }
    script = SCRIPT.format(tests=str(Path(__file__).parent), is_killed=is_killed)
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == (-signal.SIGKILL if is_killed else 0), done.stderr
    helper, *shown = done.stdout.splitlines()
    until("the helper has ended", lambda: not Path(f"/proc/{helper}").exists())
    assert "helper.py" in shown[0]
    for secret in (PASSWORD, PLANTED, TOKEN):
        assert secret not in done.stdout


def test_urls_and_values_begin_where_the_way_does(dataflow, server, postgres, mariadb, postgres_beyond, hops):
    transport = {**NO_TLS, "mode": "verify-full", "ca": postgres.authority.pem}
    postgres_beyond(host="localhost", tls=transport)
    url = dataflow.connection("far", "url")
    assert (url.host, url.query["hostaddr"]) == ("localhost", "127.0.0.1")
    assert url.port != postgres.port
    engine = create_engine(url)
    with engine.connect() as connection:
        assert connection.execute(text(postgres.is_encrypted)).scalar() is True
    engine.dispose()
    with pytest.raises(UnsupportedConnection, match=r"goes through “bastion”.*mode=dict"):
        dataflow.connection("far", "dict")

    mariadb.set_password("far", PLANTED)
    fields = mariadb.fields("far", PLANTED)
    server.put("farther", "mariadb", hop=hops("ssh").told(), **fields)
    values = dataflow.connection("farther", "dict")
    assert (values["host"], values["port"] != mariadb.port) == ("127.0.0.1", True)
    url = dataflow.connection("farther", "url")
    assert (url.host, url.port) == ("127.0.0.1", values["port"])
    engine = create_engine(url)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT 1")).scalar() == 1
    engine.dispose()
    server.put("farthest", "mariadb", hop=hops("ssh").told(), **{**fields, "tls": transport})
    with pytest.raises(UnsupportedConnection, match=r"goes through “bastion”.*mode=url"):
        dataflow.connection("farthest", "url")


def test_what_leads_through_ssh_need_not_be_there(server, postgres_beyond):
    postgres_beyond()
    script = HIDING.format(hidden={"asyncssh"}, name="far", is_async=False)
    said = run(script, DATAFLOW_URL=server.url, DATAFLOW_TOKEN=TOKEN).strip()
    assert said.endswith("is not installed. Run: pip install 'dataflow-connections[ssh]'")


@pytest.mark.lengthy
def test_of_another_kind_of_hop_it_is_said(dataflow, postgres_beyond, hops):
    postgres_beyond({**hops("ssh").told(), "type": "wormhole", "base": "wormhole"})
    with pytest.raises(DataflowError, match="of the type wormhole"):
        first_row(dataflow, "far")


def test_the_real_server_and_a_program_go_the_same_way(real, postgres, hops, monkeypatch):
    postgres.set_password("far", PLANTED)
    fields = hops("ssh").told()["fields"]
    real.create("bastion", "ssh", **fields)
    transport = {"mode": "verify-full", "ca": postgres.authority.pem}
    given = postgres.fields("far", PLANTED, host="localhost", tls=transport, extra={"through": "bastion"})
    real.create("far", "postgres", **given)
    assert real.test("far")["status"] == "ok"
    for name, value in {**real.environment, "DATAFLOW_FRESH_FOR": "0.2"}.items():
        monkeypatch.setenv(name, value)
    dataflow = package.Dataflow()
    before = set(helpers())
    assert first_row(dataflow, "far", postgres.is_encrypted) == [True]
    (old,) = set(helpers()) - before
    dataflow.connection("far", "engine").dispose()
    monkeypatch.setenv("DATAFLOW_BIN", BINARY)
    assert dataflow.test("far")
    real.edit("bastion", password="another")
    # The session that is refused asks the server, however fresh its answer is.
    os.kill(old, signal.SIGKILL)
    until("the change is known", lambda: "refused the password" in _said(dataflow))
    real.edit("bastion", password=PASSWORD)
    assert first_row(dataflow, "far") == [1]
    dataflow.connection("far", "engine").dispose()


def _said(dataflow) -> str:
    try:
        first_row(dataflow, "far")
    except HopFailed as failed:
        return str(failed)
    dataflow.connection("far", "engine").dispose()
    return ""
