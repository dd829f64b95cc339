"""What a running program sees of a connection's life, with the real server and a real PostgreSQL at the other ends."""

from __future__ import annotations

import threading
import time

import pytest
from sqlalchemy import text

from dataflow import ConnectionDeleted, ConnectionNotFound, Dataflow, ServerUnavailable
from real_server import RealDataflow
from test_script import SCRIPT, run
from using import first_row, until

pytestmark = pytest.mark.lengthy

USER = "life"
FRESH_FOR = 5.0
"""The default; tests that use `go_stale` have a shorter one."""


@pytest.fixture
def program(real: RealDataflow, monkeypatch: pytest.MonkeyPatch, freshness: None) -> Dataflow:
    for name, value in real.environment.items():
        monkeypatch.setenv(name, value)
    return Dataflow(workflow='kind=pipeline; name="nightly"')


@pytest.fixture
def sales(real: RealDataflow, postgres) -> None:
    postgres.set_password(USER, "first")
    real.create("sales", "postgres", **postgres.fields(USER, "first"))


class Loop:
    """A program that queries without a pause and keeps what it saw; if it `signs_in`, in a new database session each time."""

    def __init__(self, program: Dataflow, name: str, signs_in: bool = False) -> None:
        self.count, self.failures, self._done, self._signs_in = 0, [], threading.Event(), signs_in
        self._thread = threading.Thread(target=self._run, args=(program, name), daemon=True)
        self._thread.start()

    def __enter__(self) -> Loop:
        self.goes_on()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join(60)

    def goes_on(self) -> None:
        """Waits for ten more rounds, or for a failure."""
        before = self.count
        until("ten more rounds", lambda: self.failures or self.count >= before + 10)

    def _run(self, program: Dataflow, name: str) -> None:
        while not self._done.is_set():
            try:
                with program.connection(name) as session:
                    assert session.execute(text("SELECT 1")).scalar() == 1
                if self._signs_in:
                    program.connection(name, "engine").dispose()
                self.count += 1
            except Exception as failure:
                self.failures.append(failure)


def test_the_script_runs_as_it_stands(real, postgres):
    postgres.set_password(USER, "first")
    for name, kind, fields in [
        ("conn_id", "sqlite", {"database": "shop.db"}),
        ("conn_pg", "postgres", postgres.fields(USER, "first")),
    ]:
        real.create(name, kind, **fields)
        assert run(SCRIPT.replace("conn_id", name), **real.environment) == "(1,)\n"


def test_what_the_server_has_tested_the_sdk_opens(request, real, program):
    kinds = {"postgres": "postgres", "redshift": "postgres", "mysql": "mysql", "mariadb": "mariadb", "sqlite": None}
    for kind, fixture in kinds.items():
        fields: dict[str, object] = {"database": "shop.db"}
        if fixture is not None:
            database = request.getfixturevalue(fixture)
            database.set_password(USER, "first")
            fields = database.fields(USER, "first")
        real.create(kind, kind, **fields)
        assert first_row(program, kind) == [1]
        report = real.test(kind)
        assert report["status"] == "ok", report


def test_a_description_edited_while_a_query_runs_is_not_felt(real, program, sales, postgres, go_stale):
    with program.connection("sales") as session:
        before = session.execute(text("SELECT pg_backend_pid()")).scalar()
        running = threading.Thread(target=lambda: session.execute(text("SELECT pg_advisory_xact_lock(1)")))
        with postgres.admin() as holder:
            holder.execute("SELECT pg_advisory_lock(1)")
            running.start()
            waiting = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            until("the query waits for the lock", lambda: holder.execute(waiting).fetchone())
            real.edit("sales", description="now with invoices", tags=["finance"])
            assert holder.execute(waiting).fetchone(), "it still runs"
        running.join(60)
        assert not running.is_alive()
        assert session.execute(text("SELECT pg_backend_pid()")).scalar() == before
    go_stale()
    with program.connection("sales") as session:
        assert session.execute(text("SELECT pg_backend_pid()")).scalar() == before, "the pool kept its database session"
    assert program._server.client.credentials("sales", program._workflow).version == 2


def test_a_password_rotated_while_a_loop_runs_reaches_no_query(real, program, sales, postgres):
    with Loop(program, "sales") as loop:
        postgres.set_password(USER, "second")
        real.edit("sales", password="second")
        time.sleep(FRESH_FOR + 1.5)
        loop.goes_on()
    assert loop.failures == []
    report = real.test("sales")
    assert report["status"] == "ok", report


@pytest.mark.parametrize("kind", ["postgres", "mariadb", "mysql"])
def test_rotations_by_the_server_reach_no_query(request, real, program, kind):
    """Between the database's yes and the save, the database refuses what the program holds."""
    database = request.getfixturevalue(kind)
    database.set_password(USER, "first")
    fields = database.fields(USER, "first")
    if kind == "mysql":
        # Its first sign-in with a new password is by the password itself.
        fields["host"], fields["tls"] = "localhost", {"mode": "verify-full", "ca": database.authority.pem}
    real.create("sales", kind, **fields)
    with Loop(program, "sales") as loop, Loop(Dataflow(workflow="eager"), "sales", signs_in=True) as other:
        for version in (2, 3, 4):
            answer = real.rotate("sales")
            assert (answer["state"], answer["version"]) == ("rotated", version), answer
            other.goes_on()
            time.sleep(0.5)
        time.sleep(FRESH_FOR)
        loop.goes_on()
        other.goes_on()
    assert (loop.failures, other.failures) == ([], [])
    assert program._server.client.credentials("sales", program._workflow).version == 4
    print(f"promise: 3 rotations by the server, {kind}: {loop.count} and {other.count} queries, 0 failed")


@pytest.mark.parametrize("kind", ["postgres", "mariadb", "mysql"])
def test_switches_to_a_second_login_reach_no_query(request, real, program, kind):
    """What a program holds signs in until it has asked again. Then that login is retired, and the next switch goes back to it."""
    database, other = request.getfixturevalue(kind), f"{USER}_b"
    database.set_password(USER, "first")
    database.set_password(other, "given")
    fields = database.fields(USER, "first")
    if kind != "postgres":
        database.execute(f"GRANT ALL ON `{USER}`.* TO `{other}`@`%`")
    if kind == "mysql":
        fields["host"], fields["tls"] = "localhost", {"mode": "verify-full", "ca": database.authority.pem}
    real.create("sales", kind, **fields)
    real.give_second_login("sales", other, "given")
    with Loop(program, "sales") as loop, Loop(Dataflow(workflow="eager"), "sales", signs_in=True) as second:
        for version, before in ((2, USER), (3, other)):
            answer = real.rotate("sales")
            assert (answer["state"], answer["version"], answer["retires"]) == ("rotated", version, before), answer
            until("nobody lags behind", lambda: real.second_login("sales")["laggards"]["total"] == 0)
            retired = real.retire("sales")
            assert retired["retired"] is True, retired
            second.goes_on()
            loop.goes_on()
    assert (loop.failures, second.failures) == ([], [])
    print(f"promise: 2 switches to a second login, {kind}: {loop.count} and {second.count} queries, 0 failed")


def test_a_restore_while_a_loop_runs_reaches_no_query(real, program, sales, postgres):
    """Back to the password of before: the same fingerprint as then, and no session of the password in between is used on."""
    with program.connection("sales") as session:
        first = session.execute(text("SELECT pg_backend_pid()")).scalar()
    before = program._server.client.credentials("sales", program._workflow)
    with Loop(program, "sales") as loop:
        postgres.set_password(USER, "second")
        real.edit("sales", password="second")
        time.sleep(FRESH_FOR + 1.5)
        loop.goes_on()
        postgres.set_password(USER, "first")
        real.restore("sales", 1)
        time.sleep(FRESH_FOR + 1.5)
        loop.goes_on()
    assert loop.failures == []
    after = program._server.client.credentials("sales", program._workflow)
    assert (after.version, after.fingerprint) == (3, before.fingerprint)
    with program.connection("sales") as session:
        assert session.execute(text("SELECT pg_backend_pid()")).scalar() != first
    assert real.test("sales")["status"] == "ok"


def test_a_rename_and_a_name_led_elsewhere_reach_no_query_of_a_loop(real, program, sales, postgres):
    """The program goes on by the old name until that is taken away, and by the new one at once."""
    assert first_row(program, "sales") == [1]
    before = program._server.client.credentials("sales", program._workflow)
    with Loop(program, "sales") as loop:
        real.rename("sales", "shop")
        time.sleep(FRESH_FOR + 1.5)
        loop.goes_on()
        after = program._server.client.credentials("sales", program._workflow)
        assert (after.version, after.fingerprint) == (2, before.fingerprint), "so that the pool keeps its database sessions"
        (alias,) = real.aliases("shop")
        assert (alias["name"], alias["total"], alias["live"], alias["idle"]) == ("sales", 1, 1, False)
        with Loop(program, "shop") as new:
            postgres.set_password("other", "third")
            real.create("warehouse", "postgres", **postgres.fields("other", "third"))
            real.repoint("shop", "warehouse")
            time.sleep(FRESH_FOR + 1.5)
            loop.goes_on()
            new.goes_on()
            for name in ["sales", "shop", "warehouse"]:
                with program.connection(name) as session:
                    assert session.execute(text("SELECT current_user")).scalar() == "other", name
        assert new.failures == []
    assert loop.failures == []
    assert [each["name"] for each in real.aliases("warehouse")] == ["sales", "shop"]
    real.remove_alias("warehouse", "sales")
    deadline = time.monotonic() + 20
    while True:
        try:
            with program.connection("sales") as session:
                session.execute(text("SELECT 1"))
            assert time.monotonic() < deadline, "the alias still leads somewhere"
            time.sleep(0.05)
        except ConnectionNotFound:
            break
    assert first_row(program, "shop") == [1]


def test_new_sessions_follow_the_new_password_and_open_ones_stay(real, program, sales, postgres, go_stale):
    held = program.connection("sales")
    pid = held.execute(text("SELECT pg_backend_pid()")).scalar()
    postgres.set_password(USER, "third")
    real.edit("sales", password="third")
    go_stale()
    with program.connection("sales") as fresh:
        assert fresh.execute(text("SELECT pg_backend_pid()")).scalar() != pid
    assert held.execute(text("SELECT pg_backend_pid()")).scalar() == pid
    held.close()


def test_a_deletion_says_who_and_when_and_a_replacement_mends_it(real, program, sales, postgres, go_stale):
    with program.connection("sales") as session:
        session.execute(text("SELECT 1"))
    real.delete("sales", "moved")
    go_stale()
    with pytest.raises(ConnectionDeleted, match="sales") as refused, program.connection("sales") as session:
        session.execute(text("SELECT 1"))
    assert refused.value.deleted_by == "token editor"
    assert refused.value.deleted_at is not None
    assert "named “sales” again" in str(refused.value)
    real.create("sales", "postgres", **postgres.fields(USER, "first"))
    deadline = time.monotonic() + 20
    while True:
        try:
            with program.connection("sales") as session:
                assert session.execute(text("SELECT 1")).scalar() == 1
            break
        except ConnectionDeleted:
            assert time.monotonic() < deadline, "the replacement did not serve in time"
            time.sleep(0.05)


def test_a_deletion_that_is_taken_back_is_over_for_the_running_program(real, program, sales, go_stale):
    real.create("warehouse", "sqlite", database="shop.db")
    with program.connection("sales") as session:
        session.execute(text("SELECT 1"))
    seen = [each["seen"]["version"] for each in real.dependents("sales")["items"]]
    assert seen == [1], "the program itself, which has asked once"
    held = program.connection("sales")
    held.execute(text("SELECT 1"))
    real.delete("sales", "by mistake", use_instead="warehouse")
    go_stale()
    with pytest.raises(ConnectionDeleted, match="Use “warehouse” instead") as refused, program.connection("sales") as session:
        session.execute(text("SELECT 1"))
    assert refused.value.use_instead == "warehouse"
    assert held.execute(text("SELECT 1")).scalar() == 1, "work in flight keeps its session"
    held.close()
    real.bring_back("sales")
    deadline = time.monotonic() + 20
    while True:
        try:
            with program.connection("sales") as session:
                assert session.execute(text("SELECT 1")).scalar() == 1
            break
        except ConnectionDeleted:
            assert time.monotonic() < deadline, "it did not serve again in time"
            time.sleep(0.05)


def test_a_replacement_of_another_type_serves_the_name(real, program, sales, go_stale):
    with program.connection("sales") as session:
        assert session.get_bind().dialect.name == "postgresql"
    real.delete("sales", "moved")
    real.create("sales", "sqlite", database="shop.db")
    go_stale()
    with program.connection("sales") as session:
        assert session.execute(text("SELECT name FROM item")).scalar() == "lamp"


def test_a_server_that_is_away_is_not_felt_by_a_warm_program(real, program, sales, go_stale):
    with program.connection("sales") as session:
        session.execute(text("SELECT 1"))
    real.stop()
    go_stale()
    with Loop(program, "sales") as loop:
        time.sleep(2)
        loop.goes_on()
    assert loop.failures == []
    began = time.monotonic()
    with pytest.raises(ServerUnavailable):
        program.connection("never_read")
    assert time.monotonic() - began < 15
    real.start()
    with program.connection("sales") as session:
        assert session.execute(text("SELECT 1")).scalar() == 1
