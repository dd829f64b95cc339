//! Policies of rotations on real databases, through the server: passwords by the longest, the shortest and the oddest of them, and turns that come
//! by the clock.

#![expect(clippy::indexing_slicing, reason = "answers are read by name; what is absent is null and fails the test")]

use std::{
    process::Command,
    thread,
    time::{Duration, Instant},
};

use dataflow_tests::{
    folder::TempDir,
    http::Request,
    mariadb::MariaDb,
    mysql::MySql,
    mysql_protocol::{MySqlOptions, Plugin},
    postgres::{Postgres, PostgresOptions},
    session::Session,
    shell::Shell,
    shim::Clock,
    stored::{Engine, Stored},
    tls::{Authority, ServerTls, Shape},
};
use rstest::rstest;
use serde_json::{Value, json};

const OLD: &str = "planted old 'password'";
/// Every symbol that a policy may name.
const SYMBOLS: &str = "-_.~,";

fn create(stored: &Stored, name: &str, (kind, port): (&str, u16), tls: &Value) {
    let database = if kind == "postgres" { "postgres" } else { "" };
    let body = json!({
        "name": name, "type": kind, "host": "127.0.0.1", "port": port, "database": database, "username": "anna", "password": OLD, "tls": tls
    });
    stored.admin("POST", "/connections").json(&body).send().expect(201);
}

fn policy(stored: &Stored, method: &str, name: &str) -> Request {
    stored.admin(method, &format!("/connections/{name}/rotation-policy")).header("if-match", "*")
}

/// Rotates by hand; gives what the connection has then.
fn rotated(stored: &Stored, name: &str) -> String {
    let answer = stored.admin("POST", &format!("/connections/{name}/rotate")).header("if-match", "*").send().expect(200).json();
    assert_eq!(answer["state"], "rotated", "{name}: {answer}");
    let report = stored.admin("POST", &format!("/connections/{name}/test")).send().expect(200).json();
    assert_eq!(report["status"], "ok", "{name}: {report}");
    stored.credentials(name).expect(200).json()["fields"]["password"].as_str().expect("a password").to_owned()
}

/// The rules to try: the longest and the shortest with all symbols, each symbol alone, and none.
fn rules() -> Vec<(usize, String)> {
    let alone = SYMBOLS.chars().map(|symbol| (40, symbol.to_string()));
    let extremes = [(128, SYMBOLS.to_owned()), (16, SYMBOLS.to_owned()), (17, String::new())];
    extremes.into_iter().chain(alone).collect()
}

/// Sets each of the rules and rotates; each password that came of it goes to `use_it`.
fn each_rule(stored: &Stored, name: &str, use_it: impl Fn(&str)) {
    for (length, symbols) in rules() {
        let body = json!({"length": length, "symbols": symbols});
        policy(stored, "PUT", name).json(&body).send().expect(200);
        let password = rotated(stored, name);
        assert_eq!(password.len(), length, "{name}, {symbols}");
        assert!(password.chars().all(|c| c.is_ascii_alphanumeric() || symbols.contains(c)), "{name}, {symbols}");
        assert_eq!(password.contains(|c: char| !c.is_ascii_alphanumeric()), !symbols.is_empty(), "{name}, {symbols}");
        use_it(&password);
    }
}

fn ran(command: &mut Command) {
    let done = command.env("PGCONNECT_TIMEOUT", "10").output().expect("it runs");
    assert!(done.status.success() && done.stdout.trim_ascii() == b"1", "{}", String::from_utf8_lossy(&done.stderr));
}

/// Where it stands as it is: in a URL, in a connection string, in a shell's line, and in a file of variables.
fn as_it_is(port: u16, password: &str) {
    const ASK: [&str; 6] = ["-X", "-A", "-t", "-q", "-c", "SELECT 1"];
    let psql = || Command::new("psql");
    ran(psql().args(ASK).arg(format!("postgresql://anna:{password}@127.0.0.1:{port}/postgres")));
    ran(psql().args(ASK).arg(format!("postgresql://127.0.0.1:{port}/postgres?user=anna&password={password}")));
    ran(psql().args(ASK).arg(format!("host=127.0.0.1 port={port} dbname=postgres user=anna password={password}")));
    let line = format!("psql -X -A -t -q -h 127.0.0.1 -p {port} -U anna -d postgres -c 'SELECT 1'");
    ran(Command::new("sh").arg("-c").arg(format!("PGPASSWORD={password} {line}")));
    ran(Command::new("bash").arg("-c").arg(format!("export PGPASSWORD={password}; {line}")));
    let folder = TempDir::new();
    let file = folder.write_private(".env", &format!("PGPASSWORD={password}\n"));
    ran(Command::new("sh").arg("-c").arg(format!("set -a; . {}; {line}", file.display())));
}

#[test]
fn a_password_by_any_policy_is_taken_and_needs_no_escaping() {
    let stored = Stored::start(Engine::Sqlite);
    let postgres = Postgres::start(&PostgresOptions::default());
    postgres.create_role("anna", OLD);
    create(&stored, "sales", ("postgres", postgres.port()), &json!({}));
    each_rule(&stored, "sales", |password| {
        as_it_is(postgres.port(), password);
        // In a literal of SQL, and still the same.
        postgres.psql(&format!("ALTER ROLE anna PASSWORD '{password}'"));
        as_it_is(postgres.port(), password);
    });

    let maria = MariaDb::start(&MySqlOptions::default());
    maria.create_user("anna", "%", Plugin::Ed25519, OLD);
    create(&stored, "crm", ("mariadb", maria.port()), &json!({}));
    each_rule(&stored, "crm", |password| assert_eq!(maria.sql_as("anna", password, "SELECT 1"), "1"));

    let authority = Authority::new();
    let tls = Some(ServerTls::new(authority.server(Shape::Good)));
    let mysql = MySql::start(&MySqlOptions { tls, flags: Vec::new() });
    mysql.create_user("anna", "%", Plugin::CachingSha2, OLD);
    create(&stored, "shop", ("mysql", mysql.port()), &json!({"mode": "verify-full", "ca": authority.pem()}));
    each_rule(&stored, "shop", |password| assert_eq!(mysql.sql_as("anna", password, "SELECT 1"), "1"));
    println!(
        "promise: passwords by {} rules, the longest and the shortest too: taken by 3 databases, and used unescaped",
        rules().len()
    );
}

#[test]
fn a_policy_is_refused_at_its_fields_and_changed_by_who_has_seen_it() {
    let stored = Stored::start(Engine::Sqlite);
    stored.create("sales", "planted");
    let shown = policy(&stored, "GET", "sales").send();
    let defaults = json!({
        "every_days": null, "at_hour": null, "length": 32, "symbols": "-_", "is_set": false, "is_sound": true, "set_at": null, "set_by": null,
        "next_at": null, "failed": null
    });
    assert_eq!(shown.expect(200).json(), defaults);
    for (body, field, code) in [
        (json!({"every_days": 0}), "every_days", "out_of_range"),
        (json!({"every_days": 3661}), "every_days", "out_of_range"),
        (json!({"every_days": 30, "at_hour": 24}), "at_hour", "out_of_range"),
        (json!({"at_hour": 3}), "at_hour", "invalid"),
        (json!({"length": 15}), "length", "out_of_range"),
        (json!({"length": 129}), "length", "out_of_range"),
        (json!({"length": 16}), "length", "too_weak"),
        (json!({"symbols": "-@"}), "symbols", "invalid"),
        (json!({"symbols": "--"}), "symbols", "invalid"),
    ] {
        let refused = policy(&stored, "PUT", "sales").json(&body).send().refused(422, "invalid_fields");
        assert_eq!((&refused["errors"][0]["field"], &refused["errors"][0]["code"]), (&json!(field), &json!(code)), "{body}");
    }
    for body in [json!({"every_days": "30"}), json!({"days": 30}), json!({"symbols": null}), json!([])] {
        let answer = policy(&stored, "PUT", "sales").json(&body).send();
        assert_eq!(answer.status, 422, "{body}: {}", answer.text());
    }
    let path = "/connections/sales/rotation-policy";
    stored.admin("PUT", path).json(&json!({})).send().refused(428, "precondition_required");
    let body = json!({"every_days": 30, "at_hour": 3, "length": 40, "symbols": ".~"});
    let first = stored.admin("PUT", path).header("if-match", shown.header("etag")).json(&body).send();
    let set = first.expect(200).json();
    assert_eq!((&set["is_set"], &set["set_by"], &set["symbols"]), (&json!(true), &json!("token admin"), &json!(".~")));
    assert_eq!(stored.show("sales").json()["rotates_at"], set["next_at"]);
    assert!(set["next_at"].as_str().is_some_and(|at| at.contains("T03:0")), "{set}");
    stored.admin("PUT", path).header("if-match", shown.header("etag")).json(&body).send().refused(412, "version_conflict");
    stored.admin("DELETE", path).header("if-match", shown.header("etag")).send().refused(412, "version_conflict");
    // What is sent back as it was read changes nothing.
    let whole = stored.show("sales").json();
    stored.edit("sales", &whole).expect(200);
    assert_eq!(policy(&stored, "GET", "sales").send().json(), set);
    stored.admin("DELETE", path).header("if-match", first.header("etag")).send().expect(204);
    assert_eq!(policy(&stored, "GET", "sales").send().json(), defaults);
    policy(&stored, "DELETE", "sales").send().refused(404, "not_found");

    let file = json!({"name": "file", "type": "sqlite", "database": "shop.db"});
    stored.admin("POST", "/connections").json(&file).send().expect(201);
    let refused = policy(&stored, "PUT", "file").json(&json!({"every_days": 30})).send().refused(422, "invalid_fields");
    assert_eq!(refused["errors"][0]["code"], "not_rotatable");
}

fn until(stored: &Stored, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let begun = Instant::now();
    loop {
        let shown = stored.show("sales").expect(200).json();
        if holds(&shown) {
            return shown;
        }
        assert!(begun.elapsed() < Duration::from_secs(40), "{what}: {shown} {}", stored.server.log());
        thread::sleep(Duration::from_millis(100));
    }
}

/// The days go by while no server runs.
#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn a_password_whose_days_are_over_is_rotated_by_itself(#[case] engine: Engine) {
    let (mut stored, clock) = (Stored::start(engine), Clock::build());
    let mut postgres = Postgres::start(&PostgresOptions::default());
    postgres.create_role("anna", OLD);
    create(&stored, "sales", ("postgres", postgres.port()), &json!({}));
    policy(&stored, "PUT", "sales").json(&json!({"every_days": 2, "length": 64, "symbols": "~"})).send().expect(200);

    stored.server.restart_with(clock.ahead(1));
    thread::sleep(Duration::from_secs(6));
    assert_eq!(stored.show("sales").json()["version"], 1, "not yet");
    stored.server.restart_with(clock.ahead(3));
    let shown = until(&stored, "it rotates", |shown| shown["version"] == 2);
    assert_eq!(shown["updated_by"], "schedule (set by token admin)");
    assert_eq!(shown["last_check"]["status"], "ok", "its test is a check");
    let password = stored.credentials("sales").expect(200).json()["fields"]["password"].as_str().expect("one").to_owned();
    assert!(password.len() == 64 && password.contains('~'));
    as_it_is(postgres.port(), &password);
    let next = shown["rotates_at"].as_str().expect("the next turn").to_owned();
    let events = stored
        .sql("SELECT actor, action FROM audit_events WHERE action LIKE 'connection.rotate%' AND object = 'sales' ORDER BY nth");
    let by = "schedule (set by token admin)|connection.rotate";
    assert_eq!(events, format!("{by}\n{by}d"));
    let page = Session::start(&stored.server).get("/w/default/connections/sales").expect(200).text();
    assert!(page.contains("schedule (set by token admin)") && page.contains("Every 2 days, next on"), "{page}");

    postgres.process().stop();
    stored.server.restart_with(clock.ahead(6));
    let begun = Instant::now();
    let failed = loop {
        let failed = policy(&stored, "GET", "sales").send().expect(200).json()["failed"].clone();
        if !failed.is_null() {
            break failed;
        }
        assert!(begun.elapsed() < Duration::from_secs(40), "{}", stored.server.log());
        thread::sleep(Duration::from_millis(50));
    };
    assert!(failed["hint"].as_str().is_some_and(|text| text.contains("Nothing listens there")), "{failed}");
    let shown = stored.show("sales").expect(200).json();
    assert_eq!((&shown["version"], &shown["rotation"]), (&json!(2), &Value::Null), "the old password stays");
    assert!(shown["rotates_at"].as_str().is_some_and(|at| at > next.as_str()), "it is tried again: {shown}");
    let told = "SELECT count(*) FROM audit_events WHERE action = 'connection.rotation_failed'";
    assert_eq!(stored.sql(told), "1");
    let page = Session::start(&stored.server).get("/w/default/connections/sales").expect(200).text();
    assert!(page.contains("Tried in vain"), "{page}");
}

#[test]
fn a_shell_shows_and_changes_it() {
    let stored = Stored::start(Engine::Sqlite);
    stored.create("sales", "planted");
    let shell = |words: &[&str]| {
        let shell = Shell::new(["connections", "rotation-policy", "sales"]).args(words.iter().copied());
        let shell = shell.variable("HOME", "/nonexistent").variable("DATAFLOW_URL", stored.server.url());
        shell.variable("DATAFLOW_TOKEN", &stored.admin).run()
    };
    let none = shell(&[]);
    assert!(none.stdout().contains("when somebody asks for it") && none.stderr.contains("has no rotation policy"), "{none:?}");
    let set = shell(&["--every-days", "30", "--at-hour", "3", "--symbols", "-."]).stdout().to_owned();
    assert!(set.contains("every 30 days, at 03:00 UTC") && set.contains("32 characters") && set.contains("token admin"), "{set}");
    for (words, says) in [
        (["--every-days", "-5"], "--every-days must be from 1 to 3660 days"),
        (["--at-hour", "-1"], "--at-hour must be from 0 to 23"),
        (["--length", "-16"], "--length must be from 16 to 128"),
        (["--symbols", "@"], "--symbols may hold these and no others"),
    ] {
        let refused = shell(&words).failure().to_owned();
        assert!(
            refused.contains(says) && !refused.contains("every_days") && !refused.contains("at_hour"),
            "{words:?}: {refused}"
        );
    }
    let longer = shell(&["--length", "64", "--output", "json"]);
    let longer: Value = serde_json::from_str(longer.stdout()).expect("JSON");
    assert_eq!(
        (&longer["every_days"], &longer["at_hour"], &longer["length"], &longer["symbols"]),
        (&json!(30), &json!(3), &json!(64), &json!("-.")),
        "what was not asked for stays"
    );
    let by_hand = shell(&["--on-request", "--symbols", ""]).stdout().to_owned();
    assert!(
        by_hand.contains("when somebody asks for it") && by_hand.contains("64 characters") && by_hand.contains("none"),
        "{by_hand}"
    );
    assert!(shell(&["--length", "8"]).failure().contains("must be from 16 to 128"));
    assert!(shell(&["--remove", "--length", "20"]).failure().contains("cannot be used with"));
    shell(&["--remove"]).stdout();
    assert!(shell(&["--remove"]).failure().contains("no such rotation policy"));
}
