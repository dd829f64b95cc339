//! Rotations that switch over to a second login, on real databases, through the server: programs sign in with what they hold, whatever happens;
//! the login of before is retired once nobody lags behind; and no password is lost, whatever ended the server.

#![expect(clippy::indexing_slicing, reason = "answers are read by name; what is absent is null and fails the test")]

use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

use dataflow_tests::{
    chance::Chance,
    environment::soak,
    http::{Answer, Request},
    machine::Machine,
    mariadb::MariaDb,
    mysql::MySql,
    mysql_protocol::{MySqlOptions, Plugin},
    postgres::{Postgres, PostgresOptions},
    relay::{Passing, Relay, Verdict, at_the_change, from},
    session::Session,
    shell::Shell,
    stored::{Engine, Stored},
    tls::{Authority, ServerTls, Shape},
};
use rstest::rstest;
use serde_json::{Value, json};

const OLD: &str = "planted old 'password'";
const GIVEN: &str = "planted given 'password'";

/// Where a database is.
fn address(kind: &str, port: u16) -> Value {
    let database = if kind == "postgres" { "postgres" } else { "" };
    json!({"type": kind, "host": "127.0.0.1", "port": port, "database": database})
}

fn with(address: &Value, more: Value) -> Value {
    let mut all = address.clone();
    if let (Some(all), Value::Object(more)) = (all.as_object_mut(), more) {
        all.extend(more);
    }
    all
}

fn create(stored: &Stored, name: &str, address: &Value, user: &str) {
    let more = json!({"name": name, "username": user, "password": OLD, "description": "kept", "tags": ["kept"]});
    stored.admin("POST", "/connections").json(&with(address, more)).send().expect(201);
}

fn to(stored: &Stored, method: &str, name: &str, act: &str) -> Request {
    stored.admin(method, &format!("/connections/{name}/{act}")).header("if-match", "*")
}

fn give(stored: &Stored, name: &str, user: &str, password: &str) -> Answer {
    to(stored, "PUT", name, "second-login").json(&json!({"username": user, "password": password})).send()
}

fn second(stored: &Stored, name: &str) -> Value {
    stored.admin("GET", &format!("/connections/{name}/second-login")).send().expect(200).json()
}

fn rotate(stored: &Stored, name: &str) -> Value {
    to(stored, "POST", name, "rotate").send().expect(200).json()
}

/// What a workflow that asks now is given: login and password.
fn used_by(stored: &Stored, name: &str, workflow: &str) -> (String, String) {
    let request = stored.admin("GET", &format!("/connections/{name}/credentials"));
    let answer =
        request.header("dataflow-workflow", &format!("kind=pipeline; name=\"{workflow}\"; run=\"1\"; host=\"worker\"")).send();
    let fields = answer.expect(200).json()["fields"].clone();
    let text = |field: &str| fields[field].as_str().expect("a text").to_owned();
    (text("username"), text("password"))
}

/// What the database says to somebody: `ok`, or why not.
fn signs_in(stored: &Stored, address: &Value, login: (&str, &str)) -> String {
    signs_in_through(stored.admin("POST", "/connections/test"), address, login)
}

fn signs_in_through(test: Request, address: &Value, (user, password): (&str, &str)) -> String {
    let body = with(address, json!({"username": user, "password": password}));
    let report = test.json(&body).send().expect(200).json();
    let word = if report["status"] == "ok" { &report["status"] } else { &report["error"]["code"] };
    word.as_str().expect("a word").to_owned()
}

/// What is saved signs in.
fn serves(stored: &Stored, name: &str) {
    let report = stored.admin("POST", &format!("/connections/{name}/test")).send().expect(200).json();
    assert_eq!(report["status"], "ok", "{name}: {report}");
}

/// Waits until the second login of a connection stands so.
fn stands(stored: &Stored, name: &str, state: &str) {
    let begun = Instant::now();
    while second(stored, name)["state"] != state {
        assert!(begun.elapsed() < Duration::from_secs(20), "{}", second(stored, name));
        thread::sleep(Duration::from_millis(50));
    }
}

/// Has the minute after a switch, or a pause, be over.
fn hurry(stored: &Stored) {
    stored.sql("UPDATE second_logins SET next_at = 0");
}

fn events(stored: &Stored, name: &str) -> Vec<String> {
    let sql = format!(
        "SELECT action FROM audit_events WHERE object = '{name}' AND action NOT IN ('connection.create', 'connection.test') ORDER BY nth"
    );
    stored.sql(&sql).lines().map(|action| action.trim_start_matches("connection.").to_owned()).collect()
}

enum Database {
    Postgres(Postgres),
    MySql(MySql, Box<Authority>),
    MariaDb(MariaDb),
}

impl Database {
    fn start(kind: &str) -> Self {
        let authority = Authority::new();
        let tls = Some(ServerTls::new(authority.server(Shape::Good)));
        match kind {
            "postgres" => Self::Postgres(Postgres::start(&PostgresOptions::default())),
            "mysql" => Self::MySql(MySql::start(&MySqlOptions { tls, flags: Vec::new() }), Box::new(authority)),
            _ => Self::MariaDb(MariaDb::start(&MySqlOptions::default())),
        }
    }

    fn address(&self) -> Value {
        match self {
            Self::Postgres(server) => address("postgres", server.port()),
            // Its passwords are sent inside of TLS alone.
            Self::MySql(server, authority) => {
                let tls = json!({"tls": {"mode": "verify-full", "ca": authority.pem()}});
                with(&address("mysql", server.port()), tls)
            }
            Self::MariaDb(server) => address("mariadb", server.port()),
        }
    }

    fn create(&self, user: &str, password: &str) {
        match self {
            Self::Postgres(server) => server.create_role(user, password),
            Self::MySql(server, _) => server.create_user(user, "%", Plugin::CachingSha2, password),
            Self::MariaDb(server) => server.create_user(user, "%", Plugin::NativePassword, password),
        }
    }
}

#[rstest]
#[case::postgres_on_sqlite("postgres", Engine::Sqlite)]
#[case::postgres_on_postgres("postgres", Engine::Postgres)]
#[case::mysql("mysql", Engine::Sqlite)]
#[case::mariadb("mariadb", Engine::Sqlite)]
fn a_rotation_switches_over_and_the_login_of_before_is_retired_once_nobody_lags(#[case] kind: &str, #[case] engine: Engine) {
    let stored = Stored::start(engine);
    let database = Database::start(kind);
    let at = &database.address();
    database.create("anna", OLD);
    database.create("bert", GIVEN);
    create(&stored, "sales", at, "anna");
    assert_eq!(used_by(&stored, "sales", "daily"), ("anna".into(), OLD.into()));

    let failed = give(&stored, "sales", "bert", "another").refused(409, "test_failed");
    assert_eq!(failed["report"]["error"]["code"], "credentials_refused", "{failed}");
    give(&stored, "sales", "anna", OLD).refused_field("invalid_fields", "username");
    stored.admin("GET", "/connections/sales/second-login").send().refused(404, "not_found");
    let given = give(&stored, "sales", "bert", GIVEN);
    assert!(!given.expect(200).text().contains(GIVEN));
    assert_eq!((&given.json()["state"], &given.json()["username"]), (&json!("stands_by"), &json!("bert")));
    assert_eq!(stored.show("sales").json()["second_login"]["state"], "stands_by");

    let switched = rotate(&stored, "sales");
    assert_eq!((&switched["state"], &switched["version"]), (&json!("rotated"), &json!(2)), "{switched}");
    let shown = stored.show("sales").expect(200).json();
    assert_eq!((&shown["username"], &shown["description"], &shown["tags"]), (&json!("bert"), &json!("kept"), &json!(["kept"])));
    assert_eq!(shown["last_check"]["status"], "ok", "the test of the switch is a check of the new version: {shown}");
    assert_eq!(signs_in(&stored, at, ("anna", OLD)), "ok", "who holds the login of before goes on");
    assert_eq!(signs_in(&stored, at, ("bert", GIVEN)), "credentials_refused", "nobody knows the new one's password");
    serves(&stored, "sales");

    let waits = second(&stored, "sales");
    assert_eq!((&waits["username"], &waits["state"], &waits["retires_from"]), (&json!("anna"), &json!("retiring"), &json!(2)));
    assert_eq!(
        (&waits["laggards"]["total"], &waits["laggards"]["workflows"][0]["name"]),
        (&json!(1), &json!("daily")),
        "{waits}"
    );
    assert_eq!(waits["laggards"]["workflows"][0]["version"], 1);
    for (method, act) in [("POST", "rotate"), ("POST", "second-login/retire")] {
        let refused = to(&stored, method, "sales", act).send().refused(409, "login_not_retired");
        assert!(refused["detail"].as_str().is_some_and(|text| text.contains("daily")), "{refused}");
        assert_eq!(refused["laggards"], waits["laggards"]);
    }
    give(&stored, "sales", "carl", GIVEN).refused(409, "test_failed");

    // The job looks, and waits for the laggard.
    hurry(&stored);
    let begun = Instant::now();
    while stored.sql("SELECT next_at FROM second_logins") == "0" {
        assert!(begun.elapsed() < Duration::from_secs(20), "nobody looks");
        thread::sleep(Duration::from_millis(50));
    }
    assert_eq!((signs_in(&stored, at, ("anna", OLD)).as_str(), &second(&stored, "sales")["state"]), ("ok", &json!("retiring")));

    let (login, password) = used_by(&stored, "sales", "daily");
    assert_eq!((login.as_str(), signs_in(&stored, at, ("bert", &password)).as_str()), ("bert", "ok"));
    assert_eq!(second(&stored, "sales")["laggards"]["total"], 0, "it has moved");
    hurry(&stored);
    stands(&stored, "sales", "stands_by");
    assert_eq!(signs_in(&stored, at, ("anna", OLD)), "credentials_refused", "whoever kept it has nothing");
    serves(&stored, "sales");

    let back = rotate(&stored, "sales");
    assert_eq!((&back["state"], &stored.show("sales").json()["username"]), (&json!("rotated"), &json!("anna")), "{back}");
    assert_eq!(signs_in(&stored, at, ("bert", &password)), "ok");
    let retired = to(&stored, "POST", "sales", "second-login/retire?anyway=true").send().expect(200).json();
    assert_eq!((&retired["retired"], &retired["second_login"]["state"]), (&json!(true), &json!("stands_by")), "{retired}");
    assert_eq!(signs_in(&stored, at, ("bert", &password)), "credentials_refused");
    to(&stored, "POST", "sales", "second-login/retire").send().refused(404, "not_found");

    // A version of before signs in as a login that is retired by now: the password that it has is nobody's, and the one that is kept is not forgotten.
    to(&stored, "POST", "sales", "versions/2/restore").send().refused_field("invalid_fields", "password");
    to(&stored, "POST", "sales", "versions/2/restore?test=true").send().refused(409, "test_failed");
    assert_eq!(second(&stored, "sales")["state"], "stands_by");
    serves(&stored, "sales");

    to(&stored, "DELETE", "sales", "second-login").send().expect(204);
    to(&stored, "DELETE", "sales", "second-login").send().refused(404, "not_found");
    assert_eq!(
        (&rotate(&stored, "sales")["state"], &stored.show("sales").json()["username"]),
        (&json!("rotated"), &json!("anna"))
    );
    serves(&stored, "sales");
    let told = events(&stored, "sales");
    let expected = [
        "second_login_set",
        "rotate",
        "rotated",
        "login_retired",
        "rotate",
        "rotated",
        "login_retired",
        "second_login_removed",
        "rotate",
        "rotated",
    ];
    assert_eq!(told, expected);
    let sql = "SELECT action, object, detail FROM audit_events WHERE action = 'connection.rotated' ORDER BY nth LIMIT 1";
    let detail = stored.events(sql);
    assert!(detail.contains("\"switched_to\":\"bert\"") && detail.contains("\"retires\":\"anna\""), "{detail}");
    assert!(!stored.server.log().contains(OLD) && !stored.server.log().contains(GIVEN));
}

/// A second login that an edit sends elsewhere; one that an edit or a restore makes the connection's own.
#[test]
fn an_edit_takes_no_password_elsewhere_and_may_switch_back() {
    let stored = Stored::start(Engine::Sqlite);
    let (postgres, other) = (Postgres::start(&PostgresOptions::default()), Postgres::start(&PostgresOptions::default()));
    for server in [&postgres, &other] {
        server.create_role("anna", OLD);
        server.create_role("bert", GIVEN);
    }
    create(&stored, "sales", &address("postgres", postgres.port()), "anna");
    give(&stored, "sales", "bert", GIVEN).expect(200);
    stored.edit("sales", &json!({"port": other.port(), "password": OLD})).expect(200);
    let shown = second(&stored, "sales");
    assert_eq!(shown["state"], "another_address");
    assert!(
        shown["message"]
            .as_str()
            .is_some_and(|text| text.contains("given for another address") && text.contains("Give it again")),
        "{shown}"
    );
    let signed_in = other.log().matches("bert").count();
    to(&stored, "POST", "sales", "rotate").send().refused_field("invalid_fields", "second_login");
    assert_eq!(other.log().matches("bert").count(), signed_in, "nothing was sent there");
    give(&stored, "sales", "bert", GIVEN).expect(200);
    assert_eq!(rotate(&stored, "sales")["state"], "rotated");
    assert_eq!(second(&stored, "sales")["username"], "anna");

    // Back to the login of before, with the password that it has: the two change places, and nothing is retired that serves.
    stored.admin("POST", "/connections/sales/versions/2/restore").header("if-match", "*").send().expect(200);
    let (shown, waits) = (stored.show("sales").json(), second(&stored, "sales"));
    assert_eq!((&shown["username"], &shown["version"]), (&json!("anna"), &json!(4)));
    assert_eq!((&waits["username"], &waits["state"], &waits["retires_from"]), (&json!("bert"), &json!("retiring"), &json!(4)));
    hurry(&stored);
    stands(&stored, "sales", "stands_by");
    serves(&stored, "sales");
    assert_eq!(rotate(&stored, "sales")["state"], "rotated");
    serves(&stored, "sales");

    // PATCH with what GET answered leaves it alone.
    let mut whole = stored.show("sales").json();
    whole["description"] = json!("again");
    stored.edit("sales", &whole).expect(200);
    assert_eq!(second(&stored, "sales")["state"], "retiring");
}

/// While an edit that signs in as the second login is tested, that gets another password: the edit's passed its test, and is no longer the one.
#[test]
fn an_edit_does_not_take_back_a_password_that_was_set_while_it_was_tested() {
    let stored = Stored::start(Engine::Sqlite);
    let postgres = Postgres::start(&PostgresOptions::default());
    postgres.create_role("anna", OLD);
    postgres.create_role("bert", GIVEN);
    // Giving it takes one connection; the edit's test waits before its read.
    let waits = |passing: Passing<'_>| {
        let asks = passing.connection == 1 && passing.to_server && passing.holds(b"SELECT 1");
        if asks { Verdict::Wait } else { Verdict::Pass }
    };
    let relay = Relay::to(postgres.port(), waits);
    create(&stored, "sales", &address("postgres", relay.port()), "anna");
    give(&stored, "sales", "bert", GIVEN).expect(200);
    let edit = stored.admin("PATCH", "/connections/sales?test=true").header("if-match", "*");
    let edit = edit.json(&json!({"username": "bert", "password": GIVEN}));
    thread::scope(|scope| {
        let editing = scope.spawn(|| edit.send());
        relay.wait();
        postgres.psql("ALTER ROLE bert PASSWORD 'set meanwhile'");
        give(&stored, "sales", "bert", "set meanwhile").expect(200);
        relay.go_on();
        editing.join().expect("no panic").refused(409, "rotation_under_way");
    });
    let shown = stored.show("sales").json();
    assert_eq!((&shown["username"], &shown["version"]), (&json!("anna"), &json!(1)));
    assert_eq!(rotate(&stored, "sales")["state"], "rotated", "what was given meanwhile is kept");
    serves(&stored, "sales");
}

/// A backup that is restored for a look has the logins of the database that others work with.
#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn a_restored_backup_retires_nothing_by_itself(#[case] engine: Engine) {
    let mut stored = Stored::start(engine);
    let postgres = Postgres::start(&PostgresOptions::default());
    postgres.create_role("anna", OLD);
    postgres.create_role("bert", GIVEN);
    let at = &address("postgres", postgres.port());
    create(&stored, "sales", at, "anna");
    give(&stored, "sales", "bert", GIVEN).expect(200);
    assert_eq!(rotate(&stored, "sales")["state"], "rotated");
    let mut machine = Machine::new(engine);
    let file = machine.path("backup");
    Shell::new(["backup"]).arg(&file).args(stored.data_arguments()).run().stdout();
    stored.server.process().stop();

    machine.restore(&file).arg("--recovery-key-stdin").input(stored.server.recovery_key()).run().stdout();
    machine.sql("UPDATE second_logins SET next_at = 0 WHERE next_at < 9000000000000000");
    machine.serve();
    let to = |method: &str, path: &str| {
        let path = format!("/api/v1/workspaces/default/connections/{path}");
        Request::new(machine.port(), method, &path).token(&stored.admin).header("if-match", "*")
    };
    let ask = |method: &str, act: &str| to(method, &format!("sales/second-login{act}")).send();
    // Longer than the job that would retire it takes.
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(5) {
        assert_eq!(ask("GET", "").json()["state"], "retiring");
        assert_eq!(signs_in_through(to("POST", "test"), at, ("anna", OLD)), "ok");
        thread::sleep(Duration::from_millis(500));
    }
    let shown = ask("GET", "").json();
    assert!(shown["message"].as_str().is_some_and(|text| text.contains("restored from a backup")), "{shown}");
    // Somebody says so.
    let retired = ask("POST", "/retire?anyway=true").expect(200).json();
    assert_eq!((&retired["retired"], &retired["second_login"]["state"]), (&json!(true), &json!("stands_by")), "{retired}");
    assert_eq!(signs_in_through(to("POST", "test"), at, ("anna", OLD)), "credentials_refused");
}

#[test]
fn what_cannot_be_retired_says_so_and_is_tried_again() {
    let stored = Stored::start(Engine::Sqlite);
    let postgres = Postgres::start(&PostgresOptions::default());
    postgres.create_role("anna", OLD);
    postgres.create_role("bert", GIVEN);
    create(&stored, "sales", &address("postgres", postgres.port()), "anna");
    give(&stored, "sales", "bert", GIVEN).expect(200);
    postgres.psql("ALTER ROLE bert NOLOGIN");
    let unchanged = rotate(&stored, "sales");
    assert_eq!((&unchanged["state"], &unchanged["version"]), (&json!("unchanged"), &json!(1)), "{unchanged}");
    serves(&stored, "sales");
    let given = second(&stored, "sales");
    assert!(given["message"].as_str().is_some_and(|text| text.contains("no longer signs in")), "{given}");
    assert_eq!(given["next_try_at"], Value::Null, "nobody tries it before the next rotation: {given}");
    postgres.psql("ALTER ROLE bert LOGIN");
    assert_eq!(rotate(&stored, "sales")["state"], "rotated");

    postgres.psql("ALTER ROLE anna NOLOGIN");
    let failed = to(&stored, "POST", "sales", "second-login/retire").send().expect(200).json();
    assert_eq!((&failed["retired"], &failed["second_login"]["state"]), (&json!(false), &json!("retiring")), "{failed}");
    hurry(&stored);
    let begun = Instant::now();
    while second(&stored, "sales")["failed_tries"] != 2 {
        assert!(begun.elapsed() < Duration::from_secs(20), "{}", second(&stored, "sales"));
        thread::sleep(Duration::from_millis(50));
    }
    serves(&stored, "sales");
    postgres.psql("ALTER ROLE anna LOGIN");
    hurry(&stored);
    stands(&stored, "sales", "stands_by");
    let told = events(&stored, "sales");
    let expected = ["second_login_set", "rotate", "rotation_failed", "rotate", "rotated", "login_not_retired", "login_retired"];
    assert_eq!(told, expected, "a failure is told once");
}

/// No second login is being changed any more.
fn settled(stored: &Stored) {
    let begun = Instant::now();
    while stored.sql("SELECT count(*) FROM second_logins WHERE candidate IS NOT NULL") != "0" {
        assert!(
            begun.elapsed() < Duration::from_secs(40),
            "{}",
            stored.sql("SELECT username, tries, problem FROM second_logins")
        );
        thread::sleep(Duration::from_millis(100));
    }
}

/// Every password is known: a rotation there, a retirement, and the way back all sign in with what is kept.
fn nothing_is_lost(stored: &Stored, name: &str) {
    serves(stored, name);
    if second(stored, name)["state"] == "retiring" {
        let retired = to(stored, "POST", name, "second-login/retire?anyway=true").send().expect(200).json();
        assert_eq!(retired["retired"], true, "{name}: {retired}");
    }
    for _ in 0..2 {
        let switched = rotate(stored, name);
        assert_eq!(switched["state"], "rotated", "{name}: {switched}");
        let retired = to(stored, "POST", name, "second-login/retire?anyway=true").send().expect(200).json();
        assert_eq!(retired["retired"], true, "{name}: {retired}");
        serves(stored, name);
    }
}

/// Every step at which a server can die, one connection at each; then `kill -9`. Of both acts at once there would be more tests than one caller may
/// have wait.
#[rstest]
#[case::switch_sqlite(Engine::Sqlite, "rotate", 1)]
#[case::switch_postgres(Engine::Postgres, "rotate", 1)]
#[case::retire_sqlite(Engine::Sqlite, "second-login/retire", 4)]
#[case::retire_postgres(Engine::Postgres, "second-login/retire", 4)]
fn killed_at_any_step_no_password_is_lost_and_no_client_is_refused(
    #[case] engine: Engine,
    #[case] act: &str,
    // Giving it takes one connection; a switch one that sets the password, one that proves it, and one that tests.
    #[case] first: usize,
) {
    let mut stored = Stored::start(engine);
    let (postgres, maria) = (Postgres::start(&PostgresOptions::default()), MariaDb::start(&MySqlOptions::default()));
    let (pg, my) = (postgres.port(), maria.port());
    let points: BTreeMap<&str, (&str, Relay)> = BTreeMap::from([
        ("begun", ("postgres", Relay::to(pg, from(first)))),
        ("sent", ("postgres", Relay::to(pg, at_the_change(first, Verdict::Stop)))),
        ("set", ("postgres", Relay::to(pg, at_the_change(first, Verdict::Pass)))),
        ("proved", ("postgres", Relay::to(pg, from(first + 1)))),
        ("tested", ("postgres", Relay::to(pg, from(first + 2)))),
        ("maria", ("mariadb", Relay::to(my, at_the_change(first, Verdict::Pass)))),
    ]);
    for (name, (kind, relay)) in &points {
        for (user, password) in [(format!("{name}-a"), OLD), (format!("{name}-b"), GIVEN)] {
            match *kind {
                "postgres" => postgres.create_role(&user, password),
                _ => maria.create_user(&user, "%", Plugin::NativePassword, password),
            }
        }
        create(&stored, name, &address(kind, relay.port()), &format!("{name}-a"));
        give(&stored, name, &format!("{name}-b"), GIVEN).expect(200);
        if act != "rotate" {
            assert_eq!(rotate(&stored, name)["state"], "rotated", "{name}");
        }
    }
    let held: BTreeMap<_, _> = points.keys().map(|name| (*name, used_by(&stored, name, "daily"))).collect();
    thread::scope(|scope| {
        for name in points.keys() {
            let request = to(&stored, "POST", name, act);
            scope.spawn(move || drop(request.try_send()));
        }
        for (_, relay) in points.values() {
            relay.wait();
        }
        stored.server.process().kill();
    });
    assert_eq!(stored.sql("SELECT count(*) FROM second_logins WHERE candidate IS NOT NULL"), points.len().to_string());
    for (_, relay) in points.values() {
        relay.go_on();
    }
    stored.server.restart();
    for (name, (kind, relay)) in &points {
        let (user, password) = &held[name];
        assert_eq!(
            signs_in(&stored, &address(kind, relay.port()), (user, password)),
            "ok",
            "{name}: what a program holds signs in"
        );
    }
    let begun = Instant::now();
    settled(&stored);
    let took = begun.elapsed().as_secs_f64();
    for name in points.keys() {
        nothing_is_lost(&stored, name);
    }
    println!(
        "promise: kill -9 at {} steps of {act}, {engine:?}: 0 passwords lost, 0 clients refused; settled {took:.1} s after the start",
        points.len()
    );
}

#[test]
fn killed_at_any_moment_of_a_switch_what_is_saved_signs_in() {
    let mut stored = Stored::start(Engine::Sqlite);
    let postgres = Postgres::start(&PostgresOptions { max_connections: Some(300), ..PostgresOptions::default() });
    let (kills, logins) = if soak() { (100, 8) } else { (1, 8) };
    let names: Vec<_> = (0..logins).map(|number| format!("sales-{number}")).collect();
    for name in &names {
        postgres.create_role(&format!("{name}-a"), OLD);
        postgres.create_role(&format!("{name}-b"), GIVEN);
        create(&stored, name, &address("postgres", postgres.port()), &format!("{name}-a"));
        give(&stored, name, &format!("{name}-b"), GIVEN).expect(200);
    }
    let mut chance = Chance::new(11);
    for _ in 0..kills {
        let (begun, saved) = (Instant::now(), "SELECT count(*) FROM connection_versions");
        let before = stored.sql(saved);
        thread::scope(|scope| {
            for name in &names {
                let act = if second(&stored, name)["state"] == "retiring" { "second-login/retire?anyway=true" } else { "rotate" };
                let request = to(&stored, "POST", name, act);
                let pause = Duration::from_millis(chance.number() % 300);
                scope.spawn(move || {
                    thread::sleep(pause);
                    drop(request.try_send());
                });
            }
            // Once the first is saved, the others are somewhere.
            while stored.sql(saved) == before && begun.elapsed() < Duration::from_secs(3) {}
            thread::sleep(Duration::from_millis(chance.number() % 100));
            stored.server.process().kill();
        });
        stored.server.restart();
        for name in &names {
            serves(&stored, name);
        }
        settled(&stored);
    }
    for name in &names {
        nothing_is_lost(&stored, name);
    }
    let versions: i64 = names.iter().map(|name| stored.show(name).json()["version"].as_i64().unwrap_or_default() - 3).sum();
    println!(
        "promise: kill -9 at any moment of {} switches and retirements: {versions} saved, 0 passwords lost",
        kills * names.len()
    );
    assert!(versions > 0, "none came that far");
}

/// Page, API and shell tell the same one thing: what was found, and to give it again.
#[test]
fn of_a_second_login_that_no_longer_signs_in_one_thing_is_said() {
    let stored = Stored::start(Engine::Sqlite);
    let postgres = Postgres::start(&PostgresOptions::default());
    postgres.create_role("anna", OLD);
    postgres.create_role("bert", GIVEN);
    create(&stored, "sales", &address("postgres", postgres.port()), "anna");
    give(&stored, "sales", "bert", GIVEN).expect(200);
    postgres.psql("ALTER ROLE bert PASSWORD 'somebody else set it'");
    let owner = Session::start(&stored.server);
    let page = |path: &str| owner.get(&format!("/w/default/connections/sales{path}")).expect(200).text();
    let shell = |words: &[&str]| {
        let shell = Shell::new(["connections"]).args(words.iter().copied()).variable("HOME", "/nonexistent");
        shell.variable("DATAFLOW_URL", stored.server.url()).variable("DATAFLOW_TOKEN", &stored.admin).run()
    };
    // What contradicts it.
    let others = ["by itself", "the next rotation switches", "the next one tries", "Type the password", "force, here"];
    let only = |text: &str, what: &str| {
        for words in ["no longer signs in with the password that is kept: The server refused the password for “bert”.", what]
        {
            assert!(text.contains(words), "{words}: {text}");
        }
        for words in others {
            assert!(!text.contains(words), "{words}: {text}");
        }
    };
    let again = "Give it again with the password that it has now, on the page “Second login” or by “dataflow connections second-login NAME --username bert”.";
    let etag = stored.show("sales").header("etag").replace('"', "%22");
    let rotated = owner.submit("/w/default/connections/sales/rotate", &format!("etag={etag}")).expect(200).text();
    only(&rotated, again);
    only(&page("/second-login"), again);
    let login = second(&stored, "sales");
    only(login["message"].as_str().expect("a text"), again);
    assert_eq!((&login["refused"], &login["next_try_at"], &login["failed_tries"]), (&json!(true), &Value::Null, &json!(1)));
    assert_eq!(stored.show("sales").json()["second_login"]["refused"], true);
    only(&shell(&["second-login", "sales"]).stderr, again);
    assert!(page("").contains("no longer signs in"));
    let rotated = shell(&["rotate", "sales"]);
    assert!(!rotated.succeeded && rotated.stderr.contains(again), "{rotated:?}");

    give(&stored, "sales", "bert", "somebody else set it").expect(200);
    assert_eq!(rotate(&stored, "sales")["state"], "rotated");
    // The login of before has no password to be given again: it has to be forgotten first.
    postgres.psql("ALTER ROLE anna PASSWORD 'somebody else set it'");
    let failed = to(&stored, "POST", "sales", "second-login/retire").send().expect(200).json();
    let forget =
        "“dataflow connections second-login NAME --remove --anyway”, and give it again with the password that it has now.";
    let only = |text: &str| {
        assert!(text.contains("“anna” is not retired yet, and no longer signs in") && text.contains(forget), "{text}");
        assert!(!text.contains("by itself") && !text.contains("“dataflow connections retire"), "{text}");
    };
    only(failed["second_login"]["message"].as_str().expect("a text"));
    only(&to(&stored, "POST", "sales", "rotate").send().refused(409, "login_not_retired").to_string());
    only(&page("/second-login"));
    only(&page("/rotate"));
    only(&shell(&["second-login", "sales", "--remove"]).stderr);
    let removed = shell(&["second-login", "sales", "--remove", "--anyway"]);
    assert!(removed.succeeded, "{removed:?}");
    give(&stored, "sales", "anna", "somebody else set it").expect(200);
}

/// Every change of it names the connection's `ETag`, which its reading gives.
#[test]
fn whoever_reads_it_may_change_it_by_what_he_read() {
    let stored = Stored::start(Engine::Sqlite);
    let postgres = Postgres::start(&PostgresOptions::default());
    postgres.create_role("anna", OLD);
    postgres.create_role("bert", GIVEN);
    create(&stored, "sales", &address("postgres", postgres.port()), "anna");
    let given = give(&stored, "sales", "bert", GIVEN);
    let read = stored.admin("GET", "/connections/sales/second-login").send();
    let etag = read.expect(200).header("etag").to_owned();
    assert_eq!((etag.as_str(), given.expect(200).header("etag")), (stored.show("sales").header("etag"), etag.as_str()));
    let remove = || stored.admin("DELETE", "/connections/sales/second-login").header("if-match", &etag).send();
    stored.edit("sales", &json!({"description": "another version"})).expect(200);
    remove().refused(412, "version_conflict");
    let etag = stored.admin("GET", "/connections/sales/second-login").send().header("etag").to_owned();
    stored.admin("DELETE", "/connections/sales/second-login").header("if-match", &etag).send().expect(204);
}

#[test]
fn a_shell_gives_switches_and_retires() {
    let stored = Stored::start(Engine::Sqlite);
    let postgres = Postgres::start(&PostgresOptions::default());
    postgres.create_role("anna", OLD);
    postgres.create_role("bert", GIVEN);
    create(&stored, "sales", &address("postgres", postgres.port()), "anna");
    used_by(&stored, "sales", "daily");
    let shell = |words: &[&str], input: &str| {
        let shell = Shell::new(["connections"]).args(words.iter().copied()).variable("HOME", "/nonexistent").input(input);
        shell.variable("DATAFLOW_URL", stored.server.url()).variable("DATAFLOW_TOKEN", &stored.admin).run()
    };
    let none = shell(&["second-login", "sales"], "").failure().to_owned();
    assert!(none.contains("“sales” has no second login") && none.contains("second-login sales --username USER"), "{none}");
    assert!(shell(&["second-login", "absent"], "").failure().contains("no such connection"));
    let given = shell(&["second-login", "sales", "--username", "bert", "--password-stdin"], GIVEN);
    assert!(given.succeeded && given.stderr.contains("“bert” stands by"), "{given:?}");
    let rotated = shell(&["rotate", "sales"], "");
    assert!(
        rotated.succeeded && rotated.stderr.contains("signs in as “bert”") && rotated.stderr.contains("“anna”"),
        "{rotated:?}"
    );
    let shown = shell(&["second-login", "sales"], "");
    assert!(shown.stdout().contains("daily") && shown.stdout().contains("retiring"), "{shown:?}");
    assert!(shell(&["retire", "sales"], "").failure().contains("daily"));
    let kept = shell(&["delete", "sales"], "").failure().to_owned();
    assert!(kept.contains("does not retire “anna”") && kept.contains("retire sales”") && kept.contains("--yes"), "{kept}");
    let asked = Session::start(&stored.server).get("/w/default/connections/sales/delete").expect(200).text();
    assert!(asked.contains("does not retire “anna”") && asked.contains("/sales/second-login"), "{asked}");
    let retired = shell(&["retire", "sales", "--anyway"], "");
    assert!(retired.succeeded && retired.stderr.contains("“anna” is retired"), "{retired:?}");
    assert!(!shell(&["delete", "sales"], "").failure().contains("does not retire"));
    let removed = shell(&["second-login", "sales", "--remove"], "");
    assert!(removed.succeeded && removed.stderr.contains("removed"), "{removed:?}");
}
