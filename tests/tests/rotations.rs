//! Rotations of passwords on real databases, through the server: what a connection, its programs and its database have afterwards, whatever
//! ended it. A killed server is started again, and then what is saved signs in.

#![expect(clippy::indexing_slicing, reason = "answers are read by name; what is absent is null and fails the test")]

use std::{
    collections::BTreeMap,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use dataflow_tests::{
    chance::Chance,
    environment::soak,
    http::Answer,
    mariadb::MariaDb,
    mysql_protocol::{MySqlOptions, Plugin},
    nodes::Remote,
    postgres::{Postgres, PostgresOptions},
    relay::{Passing, Relay, Verdict, at_the_change, from},
    session::Session,
    shell::Shell,
    stored::{Engine, Stopped, Stored},
};
use rstest::rstest;
use serde_json::{Value, json};

const OLD: &str = "planted old 'password'";

fn create(stored: &Stored, name: &str, (kind, port): (&str, u16), user: &str) -> String {
    let database = if kind == "postgres" { "postgres" } else { "" };
    let body = json!({
        "name": name, "type": kind, "host": "127.0.0.1", "port": port, "database": database, "username": user, "password": OLD,
        "description": "kept", "tags": ["kept"]
    });
    stored.admin("POST", "/connections").json(&body).send().expect(201).header("etag").to_owned()
}

fn rotate(stored: &Stored, name: &str) -> Answer {
    stored.admin("POST", &format!("/connections/{name}/rotate")).header("if-match", "*").send()
}

fn password(stored: &Stored, name: &str) -> String {
    let answer = stored.credentials(name).expect(200).json();
    answer["fields"]["password"].as_str().expect("a password").to_owned()
}

/// What is saved signs in.
fn signs_in(stored: &Stored, name: &str) {
    let report = stored.admin("POST", &format!("/connections/{name}/test")).send().expect(200).json();
    assert_eq!(report["status"], "ok", "{name}: {report}");
}

fn steps(report: &Value) -> Vec<&str> {
    let steps = report["steps"].as_array().expect("steps").iter();
    steps.filter(|step| step["status"] == "ok").map(|step| step["step"].as_str().expect("a name")).collect()
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn a_rotation_is_a_version_an_event_and_a_password_that_nobody_saw(#[case] engine: Engine) {
    let stored = Stored::start(engine);
    let (postgres, maria) = (Postgres::start(&PostgresOptions::default()), MariaDb::start(&MySqlOptions::default()));
    postgres.create_role("anna", OLD);
    maria.create_user("anna", "%", Plugin::NativePassword, OLD);
    for (name, kind, port) in [("sales", "postgres", postgres.port()), ("crm", "mariadb", maria.port())] {
        let etag = create(&stored, name, (kind, port), "anna");
        let path = format!("/connections/{name}/rotate");
        stored.admin("POST", &path).send().refused(428, "precondition_required");
        stored.admin("POST", &path).header("if-match", "\"other.1\"").send().refused(412, "version_conflict");
        let request = stored.admin("POST", &path).header("if-match", &etag).header("idempotency-key", &format!("once {name}"));
        let answer = request.send();
        let rotated = answer.expect(200).json();
        assert_eq!((&rotated["state"], &rotated["version"]), (&json!("rotated"), &json!(2)), "{rotated}");
        assert_eq!(steps(&rotated["set"]).last(), Some(&"set_password"), "{rotated}");
        assert_eq!(steps(&rotated["test"]).last(), Some(&"read"), "{rotated}");
        let new = password(&stored, name);
        assert!(new.len() == 32 && new != OLD && !answer.text().contains(&new) && !answer.text().contains(OLD));
        let repeated = request.send().expect(200).json();
        assert_eq!((&repeated["state"], &repeated["version"]), (&Value::Null, &json!(2)), "it took effect once");
        assert_eq!(password(&stored, name), new);
        signs_in(&stored, name);

        let shown = stored.show(name).expect(200).json();
        assert_eq!((&shown["rotation"], &shown["description"], &shown["tags"]), (&Value::Null, &json!("kept"), &json!(["kept"])));
        assert_eq!(shown["last_check"]["status"], "ok", "the test of the rotation is a check of the new version: {shown}");
        let took = shown["last_check"]["duration_ms"].to_string();
        assert!(took.split_once('.').is_some_and(|(_, decimals)| decimals.len() == 1), "as people read it: {took}");
        let versions = stored.admin("GET", &format!("/connections/{name}/versions")).send().expect(200).json();
        assert_eq!(
            (&versions["items"][0]["changed"], &versions["items"][0]["saved_by"]),
            (&json!(["password"]), &json!("token admin"))
        );
        let events =
            format!("SELECT action FROM audit_events WHERE object = '{name}' AND action LIKE 'connection.rot%' ORDER BY nth");
        assert_eq!(stored.sql(&events), "connection.rotate\nconnection.rotated");

        // The old version is another matter: its password is no longer the database's.
        stored.admin("POST", &format!("/connections/{name}/versions/1/restore")).header("if-match", "*").send().expect(200);
        let report = stored.admin("POST", &format!("/connections/{name}/test")).send().expect(200).json();
        assert_eq!(report["error"]["code"], "credentials_refused");
    }
    assert_eq!(stored.sql("SELECT count(*) FROM rotations"), "0");
    assert!(!stored.server.log().contains(OLD));
}

#[test]
fn a_rotation_that_fails_says_where_and_leaves_the_old_password() {
    let stored = Stored::start(Engine::Sqlite);
    let maria = MariaDb::start(&MySqlOptions::default());
    let mut postgres = Postgres::start(&PostgresOptions {
        hba: vec!["host all open 127.0.0.1/32 trust".to_owned()],
        ..PostgresOptions::default()
    });
    for role in ["anna", "bert", "open"] {
        postgres.create_role(role, OLD);
    }
    maria.create_user("anna", "%", Plugin::NativePassword, OLD);
    maria.sql("SET GLOBAL read_only = ON");
    let closes = |passing: Passing<'_>| if passing.connection == 0 { Verdict::Pass } else { Verdict::End };
    let relay = Relay::to(postgres.port(), closes);
    // Three connections set it; the fourth is the server's own test, which reads in vain.
    let unread = Relay::to(postgres.port(), |passing| match passing.connection {
        2 if passing.to_server && passing.holds(b"SELECT 1") => Verdict::End,
        _ => Verdict::Pass,
    });
    create(&stored, "wrong", ("postgres", postgres.port()), "anna");
    stored.edit("wrong", &json!({"password": "another"})).expect(200);
    create(&stored, "trusted", ("postgres", postgres.port()), "open");
    create(&stored, "follows", ("mariadb", maria.port()), "anna");
    create(&stored, "closed", ("postgres", relay.port()), "anna");
    create(&stored, "unread", ("postgres", unread.port()), "bert");
    for (name, step, code) in [
        ("wrong", "sign_in", "credentials_refused"),
        ("trusted", "set_password", "password_not_set"),
        ("follows", "set_password", "password_not_set"),
        ("closed", "set_password", "password_not_set"),
    ] {
        let before = password(&stored, name);
        let answer = rotate(&stored, name).expect(200).json();
        assert_eq!((&answer["state"], &answer["test"]), (&json!("unchanged"), &Value::Null), "{name}: {answer}");
        let failed = answer["set"]["steps"].as_array().expect("steps").iter().find(|step| step["status"] == "failed");
        assert_eq!(
            (&failed.expect("one")["step"], &answer["set"]["error"]["code"]),
            (&json!(step), &json!(code)),
            "{name}: {answer}"
        );
        assert_eq!(password(&stored, name), before);
    }
    let answer = rotate(&stored, "unread").expect(200).json();
    assert_eq!(
        (&answer["state"], &answer["set"]["status"], &answer["test"]["status"]),
        (&json!("unchanged"), &json!("ok"), &json!("failed"))
    );
    for name in ["unread", "follows", "trusted"] {
        if name != "trusted" {
            signs_in(&stored, name);
        }
        assert_eq!(password(&stored, name), OLD);
    }
    let failed = "SELECT count(*) FROM audit_events WHERE action = 'connection.rotation_failed'";
    assert_eq!((stored.sql(failed).as_str(), stored.sql("SELECT count(*) FROM rotations").as_str()), ("5", "0"));

    postgres.process().stop();
    create(&stored, "gone", ("postgres", postgres.port()), "anna");
    let gone = rotate(&stored, "gone").expect(200).json();
    assert_eq!((&gone["state"], &gone["set"]["error"]["code"]), (&json!("unchanged"), &json!("port_closed")), "{gone}");

    let file = json!({"name": "file", "type": "sqlite", "database": "shop.db"});
    stored.admin("POST", "/connections").json(&file).send().expect(201);
    let refused = rotate(&stored, "file").refused(422, "invalid_fields");
    assert_eq!((&refused["errors"][0]["field"], &refused["errors"][0]["code"]), (&json!("type"), &json!("not_rotatable")));
    stored.edit("trusted", &json!({"password": null})).expect(200);
    let refused = rotate(&stored, "trusted").refused(422, "invalid_fields");
    assert_eq!((&refused["errors"][0]["field"], &refused["errors"][0]["code"]), (&json!("password"), &json!("required")));
    let viewer = stored.token("viewer", "user", None);
    let path = "/workspaces/default/connections/unread/rotate";
    stored.request(&viewer, "POST", path).header("if-match", "*").send().refused(403, "forbidden");
}

/// The database goes away in the middle, and comes back.
#[test]
fn what_is_not_known_is_told_and_found_out() {
    let stored = Stored::start(Engine::Sqlite);
    let postgres = Postgres::start(&PostgresOptions::default());
    postgres.create_role("anna", OLD);
    // The answer to the change never comes, and nobody gets through after it.
    let relay = Relay::to(postgres.port(), at_the_change(0, Verdict::Pass));
    create(&stored, "sales", ("postgres", relay.port()), "anna");
    thread::scope(|scope| {
        let rotating = scope.spawn(|| rotate(&stored, "sales").expect(200).json());
        relay.wait();
        for (method, path, body) in [
            ("PATCH", "/connections/sales", Some(json!({"password": "mine"}))),
            ("DELETE", "/connections/sales", None),
            ("POST", "/connections/sales/rotate", None),
            ("POST", "/connections/sales/versions/1/restore", None),
            ("DELETE", "/connections/sales/rotation", None),
        ] {
            let request = stored.admin(method, path).header("if-match", "*");
            let request = body.map_or(request.clone(), |body| request.json(&body));
            let refused = request.send().refused(409, "rotation_under_way");
            assert!(refused["detail"].as_str().is_some_and(|text| text.contains("token admin began to rotate")), "{refused}");
        }
        relay.cut();
        let answer = rotating.join().expect("no panic");
        assert_eq!((&answer["state"], &answer["version"]), (&json!("unsettled"), &json!(1)), "{answer}");
    });
    let shown = stored.show("sales").expect(200).json();
    let words = shown["rotation"]["message"].as_str().unwrap_or_default();
    assert!(words.contains("It is not known yet") && words.contains("Nothing is lost"), "{shown}");
    assert_eq!(password(&stored, "sales"), OLD, "until it is known");
    relay.go_on();
    settled(&stored, Duration::from_secs(30));
    assert_eq!(stored.show("sales").json()["version"], 2);
    assert_ne!(password(&stored, "sales"), OLD);
    signs_in(&stored, "sales");

    // Somebody sets a third password on the database: nothing signs in, until he says which it is.
    let relay = Relay::to(postgres.port(), at_the_change(0, Verdict::Pass));
    stored.edit("sales", &json!({"port": relay.port(), "password": password(&stored, "sales")})).expect(200);
    thread::scope(|scope| {
        let rotating = scope.spawn(|| rotate(&stored, "sales").expect(200).json());
        relay.wait();
        postgres.psql("ALTER ROLE anna PASSWORD 'a third one'");
        relay.cut();
        assert_eq!(rotating.join().expect("no panic")["state"], "unsettled");
    });
    relay.go_on();
    let begun = Instant::now();
    while !stored.show("sales").text().contains("Neither the new password nor the old one signs in") {
        assert!(begun.elapsed() < Duration::from_secs(30), "{}", stored.show("sales").text());
        thread::sleep(Duration::from_millis(200));
    }
    let give_up = stored.admin("DELETE", "/connections/sales/rotation").header("if-match", "*");
    give_up.clone().send().refused(409, "rotation_under_way");
    decided(&stored);
    give_up.send().expect(204);
    stored.edit("sales", &json!({"password": "a third one"})).expect(200);
    signs_in(&stored, "sales");
    stored.admin("DELETE", "/connections/sales/rotation").header("if-match", "*").send().refused(404, "not_found");
}

/// What is refused meanwhile is not offered by any page, and nothing says that all is well.
#[test]
fn while_a_rotation_is_stuck_nobody_is_offered_what_would_be_refused() {
    let stored = Stored::start(Engine::Sqlite);
    let postgres = Postgres::start(&PostgresOptions::default());
    postgres.create_role("anna", OLD);
    let relay = Relay::to(postgres.port(), at_the_change(0, Verdict::Pass));
    create(&stored, "sales", ("postgres", relay.port()), "anna");
    stored.edit("sales", &json!({"description": "a version to go back to"})).expect(200);
    stored.create("other", "planted");
    let owner = Session::start(&stored.server);
    let page = |path: &str| owner.get(&format!("/w/default/connections{path}"));
    // Without a connection of its own, of which the relay counts each.
    stored.sql("UPDATE connections SET checked_at = 1, check_status = 'ok', check_summary = 'Healthy', check_micros = 1");
    let whole = page("/sales").expect(200).text();
    for offered in
        ["/sales/edit", "/sales/rotate", "/sales/delete", "/sales/rename", "/sales/repoint", "Healthy", "data-own-status"]
    {
        assert!(whole.contains(offered), "{offered}: {whole}");
    }
    let etag = stored.show("sales").header("etag").replace('"', "%22");
    thread::scope(|scope| {
        let rotating = scope.spawn(|| rotate(&stored, "sales").expect(200).json());
        relay.wait();
        let begun = page("/sales").expect(200).text();
        assert!(
            begun.contains("Rotating") && begun.contains("mostly within seconds") && !begun.contains("Give it up"),
            "{begun}"
        );
        relay.cut();
        assert_eq!(rotating.join().expect("no panic")["state"], "unsettled");
    });
    let undecided = page("/sales").expect(200).text();
    assert!(
        undecided.contains("Rotation not settled")
            && undecided.contains("mostly within seconds")
            && !undecided.contains("Give it up"),
        "the new password may still come into force: {undecided}"
    );
    decided(&stored);
    let shown = page("/sales").expect(200).text();
    let settings =
        shown.split("id=\"facts-title\"").nth(1).and_then(|rest| rest.split("</section>").next()).expect("the settings");
    assert!(
        settings.contains("status warn") && settings.contains("Rotation not settled") && !settings.contains("Healthy"),
        "{settings}"
    );
    assert!(shown.contains("--give-up") && shown.contains("Give it up") && shown.contains("/sales/duplicate"), "{shown}");
    for refused in ["/sales/edit", "/sales/delete", "/sales/rename", "/sales/repoint", "Give one", "data-own-status"] {
        assert!(!shown.contains(refused), "{refused}: {shown}");
    }
    let list = page("").expect(200).text();
    let row = |name: &str| {
        let row = list.split(&format!("data-name=\"{name}\"")).nth(1).and_then(|rest| rest.split("</tr>").next());
        row.expect("a row").to_owned()
    };
    assert!(row("sales").contains("Rotation not settled") && !row("sales").contains("/edit"), "{list}");
    assert!(row("other").contains("/other/edit") && !row("other").contains("Rotation"), "{list}");
    let history = page("/sales/versions").expect(200).text();
    assert!(history.contains("no version is restored") && !history.contains("/versions/1/restore"), "{history}");
    let second = page("/sales/second-login").expect(200).text();
    assert!(second.contains("no second login is given") && !second.contains("name=\"password\""), "{second}");
    // Who has an older page still, or typed the address.
    for form in ["edit", "delete", "rename", "repoint", "versions/1/restore"] {
        let told = page(&format!("/sales/{form}")).expect(409).text();
        assert!(told.contains("token admin began to rotate the password on") && told.contains("--give-up"), "{form}: {told}");
    }
    let typed = format!("etag={etag}&description=what+was+typed&host=127.0.0.1");
    let kept = owner.submit("/w/default/connections/sales/edit", &typed).expect(409).text();
    assert!(kept.contains("what was typed") && kept.contains("Nothing was saved."), "{kept}");

    let dialog = page("/sales/rotate").expect(200).text();
    assert!(dialog.contains("Give up the rotation of “sales”?") && !dialog.contains("Rotate the password of"), "{dialog}");
    let begun_at = stored.show("sales").json()["rotation"]["begun_at"].as_str().expect("a time").to_owned();
    for text in [&shown, &history, &second, &dialog] {
        assert!(text.contains(" UTC") && !text.contains(&begun_at), "{text}");
    }
    let listed = stored.admin("GET", "/connections").send().expect(200).json();
    let rotating: Vec<_> =
        listed["items"].as_array().expect("a list").iter().map(|item| (&item["name"], &item["rotating"])).collect();
    assert_eq!(rotating, [(&json!("other"), &json!(false)), (&json!("sales"), &json!(true))]);
    let shell =
        Shell::new(["connections", "list"]).variable("HOME", "/nonexistent").variable("DATAFLOW_URL", stored.server.url());
    let table = shell.variable("DATAFLOW_TOKEN", &stored.admin).run();
    assert!(table.stdout().contains("rotating"), "{}", table.stdout());

    owner.submit("/w/default/connections/sales/rotate", &format!("etag={etag}&give_up=yes")).expect(200);
    let free = page("/sales").expect(200).text();
    assert!(free.contains("/sales/edit") && free.contains("Healthy"), "{free}");
    assert!(page("/sales/edit").expect(200).text().contains("a version to go back to"));
}

/// The database has the new password, and the server has not saved it yet.
#[test]
fn a_client_whom_the_database_refused_waits_for_the_new_password() {
    let stored = Stored::start(Engine::Sqlite);
    let postgres = Postgres::start(&PostgresOptions::default());
    postgres.create_role("anna", OLD);
    let waits = |passing: Passing<'_>| if passing.connection == 2 { Verdict::Wait } else { Verdict::Pass };
    let relay = Relay::to(postgres.port(), waits);
    create(&stored, "sales", ("postgres", relay.port()), "anna");
    let held = stored.credentials("sales").expect(200).header("etag").to_owned();
    let ask = stored.admin("GET", "/connections/sales/credentials").header("if-none-match", &held);
    let failed = ask.clone().header("dataflow-failed", "?1");
    failed.send().expect(304);
    thread::scope(|scope| {
        let rotating = scope.spawn(|| rotate(&stored, "sales").expect(200).json());
        relay.wait();
        let waiting = scope.spawn(|| failed.send());
        thread::sleep(Duration::from_millis(500));
        assert!(!waiting.is_finished(), "it would be told that what the database refused is current");
        ask.send().expect(304);
        relay.go_on();
        let answer = waiting.join().expect("no panic");
        assert_eq!(answer.expect(200).header("dataflow-connection-version"), "2");
        assert_eq!(rotating.join().expect("no panic")["state"], "rotated");
    });
    let begun = Instant::now();
    failed.send().expect(200);
    assert!(begun.elapsed() < Duration::from_secs(1), "nothing is to be waited for");
}

#[test]
fn a_shell_tells_the_steps() {
    let stored = Stored::start(Engine::Sqlite);
    let postgres = Postgres::start(&PostgresOptions::default());
    postgres.create_role("anna", OLD);
    create(&stored, "sales", ("postgres", postgres.port()), "anna");
    let shell = |words: &[&str]| {
        let shell = Shell::new(["connections", "rotate", "sales"]).args(words.iter().copied()).variable("HOME", "/nonexistent");
        shell.variable("DATAFLOW_URL", stored.server.url()).variable("DATAFLOW_TOKEN", &stored.admin).run()
    };
    let rotated = shell(&[]);
    let told = rotated.stdout().to_owned();
    for words in ["Setting the new password", "New password set", "Testing with it", "Read one row"] {
        assert!(told.contains(words), "{told}");
    }
    assert!(rotated.stderr.contains("version 2 of “sales” has the new password"), "{}", rotated.stderr);
    postgres.psql("ALTER ROLE anna PASSWORD 'another'");
    let unchanged = shell(&[]);
    assert!(!unchanged.succeeded && unchanged.stderr.contains("was not changed"), "{unchanged:?}");
    assert!(unchanged.stdout.contains("refused the password") && !unchanged.stdout.contains("Testing with it"), "{unchanged:?}");
    assert!(shell(&["--give-up"]).failure().contains("no such rotation"));
}

fn settled(stored: &Stored, within: Duration) {
    let begun = Instant::now();
    while stored.sql("SELECT count(*) FROM rotations") != "0" {
        assert!(begun.elapsed() < within, "{}", stored.sql("SELECT connection_id, tries, problem FROM rotations"));
        thread::sleep(Duration::from_millis(100));
    }
}

/// It is certain by now that what the database was asked for does not come any more, or has come.
fn decided(stored: &Stored) {
    stored.sql("UPDATE rotations SET told_at = 0");
    let begun = Instant::now();
    while stored.show("sales").json()["rotation"]["may_be_given_up"] != true {
        assert!(begun.elapsed() < Duration::from_secs(20), "{}", stored.show("sales").text());
        thread::sleep(Duration::from_millis(100));
    }
}

/// Keeps whoever writes to the SQLite store waiting until this is dropped.
struct Locked(Child);

impl Locked {
    fn store(stored: &Stored) -> Self {
        use std::io::{BufRead as _, BufReader, Write as _};
        let mut shell = Command::new("sqlite3");
        let file = stored.server.data().join("store.db");
        let mut child = shell.arg(file).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("sqlite3 runs; `make deps`");
        let input = child.stdin.as_mut().expect("a pipe");
        input.write_all(b".timeout 5000\nBEGIN IMMEDIATE;\nSELECT 'locked';\n").expect("it reads");
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().expect("a pipe")).read_line(&mut line).expect("it answers");
        assert_eq!(line.trim(), "locked");
        Self(child)
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Every step at which a server can die, one connection at each; then `kill -9`.
#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn killed_at_any_step_a_rotation_is_settled_after_the_start(#[case] engine: Engine) {
    let mut stored = Stored::start(engine);
    let (postgres, maria) = (Postgres::start(&PostgresOptions::default()), MariaDb::start(&MySqlOptions::default()));
    // Name, where it is stopped, and the version afterwards.
    let pg = postgres.port();
    let mut points: BTreeMap<&str, (&str, Relay, i64)> = BTreeMap::new();
    points.insert("begun", ("postgres", Relay::to(pg, from(0)), 1));
    points.insert("sent", ("postgres", Relay::to(pg, at_the_change(0, Verdict::Stop)), 1));
    points.insert("set", ("postgres", Relay::to(pg, at_the_change(0, Verdict::Pass)), 2));
    points.insert("proved", ("postgres", Relay::to(pg, from(1)), 2));
    points.insert("tested", ("postgres", Relay::to(pg, from(2)), 2));
    points.insert("maria-sent", ("mariadb", Relay::to(maria.port(), at_the_change(0, Verdict::Stop)), 1));
    points.insert("maria-set", ("mariadb", Relay::to(maria.port(), at_the_change(0, Verdict::Pass)), 2));
    // On a shared store it is decided later that a change will not come.
    points.retain(|_, (.., version)| *version == 2 || engine == Engine::Sqlite || soak());
    for (name, (kind, relay, _)) in &points {
        match *kind {
            "postgres" => postgres.create_role(name, OLD),
            _ => maria.create_user(name, "%", Plugin::NativePassword, OLD),
        }
        create(&stored, name, (kind, relay.port()), name);
    }
    let path = |name: &str| format!("/connections/{name}/rotate");
    thread::scope(|scope| {
        for name in points.keys() {
            let request = stored.admin("POST", &path(name)).header("if-match", "*");
            scope.spawn(move || drop(request.try_send()));
        }
        for (_, relay, _) in points.values() {
            relay.wait();
        }
        stored.server.process().kill();
    });
    assert_eq!(stored.sql("SELECT count(*) FROM rotations"), points.len().to_string());
    for (_, relay, _) in points.values() {
        relay.go_on();
    }
    stored.server.restart();
    let begun = Instant::now();
    settled(&stored, Duration::from_secs(40));
    for (name, (.., version)) in &points {
        signs_in(&stored, name);
        assert_eq!(stored.show(name).json()["version"], *version, "{name}");
        assert_eq!(password(&stored, name) == OLD, *version == 1, "{name}");
        let last = format!("SELECT action, actor FROM audit_events WHERE object = '{name}' ORDER BY nth DESC LIMIT 1");
        let action = if *version == 2 { "connection.rotated" } else { "connection.rotation_failed" };
        assert_eq!(stored.sql(&last), format!("{action}|token admin"), "{name}");
    }
    println!(
        "promise: kill -9 at {} steps of rotations, {engine:?}: 0 passwords lost; settled {:.1} s after the start",
        points.len(),
        begun.elapsed().as_secs_f64()
    );
}

/// Between the test and the save, which waits for the store.
#[test]
fn killed_before_the_save_a_rotation_is_saved_after_the_start() {
    let mut stored = Stored::start(Engine::Sqlite);
    let postgres = Postgres::start(&PostgresOptions::default());
    postgres.create_role("anna", OLD);
    let waits = |passing: Passing<'_>| if passing.connection == 2 { Verdict::Wait } else { Verdict::Pass };
    let relay = Relay::to(postgres.port(), waits);
    create(&stored, "sales", ("postgres", relay.port()), "anna");
    let request = stored.admin("POST", "/connections/sales/rotate").header("if-match", "*");
    let locked = thread::scope(|scope| {
        scope.spawn(move || drop(request.try_send()));
        relay.wait();
        let locked = Locked::store(&stored);
        relay.go_on();
        thread::sleep(Duration::from_millis(600));
        stored.server.process().kill();
        locked
    });
    drop(locked);
    assert_eq!(
        (stored.sql("SELECT count(*) FROM rotations"), stored.sql("SELECT version FROM connections")),
        ("1".into(), "1".into())
    );
    stored.server.restart();
    settled(&stored, Duration::from_secs(20));
    assert_eq!(stored.show("sales").json()["version"], 2);
    signs_in(&stored, "sales");
}

/// Somebody gave it up, or took it for failed, and then the new password was in force after all: the old one is set again. If that fails, somebody
/// goes on with it.
#[rstest]
#[case::at_once(true)]
#[case::by_whoever_comes_next(false)]
fn a_password_that_nobody_will_save_is_put_back(#[case] at_once: bool) {
    let stored = Stored::start(Engine::Sqlite);
    let postgres = Postgres::start(&PostgresOptions::default());
    postgres.create_role("anna", OLD);
    let (tested, gone, mended) =
        (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(at_once)));
    let rule = {
        let (tested, gone, mended) = (tested.clone(), gone.clone(), mended.clone());
        move |passing: Passing<'_>| {
            if passing.connection == 2 {
                tested.store(true, Ordering::SeqCst);
                wait_for(&gone);
            }
            if passing.connection > 2 && !mended.load(Ordering::SeqCst) { Verdict::End } else { Verdict::Pass }
        }
    };
    let relay = Relay::to(postgres.port(), rule);
    create(&stored, "sales", ("postgres", relay.port()), "anna");
    let rotated = thread::scope(|scope| {
        let rotating = scope.spawn(|| rotate(&stored, "sales").expect(200).json());
        wait_for(&tested);
        stored.sql("DELETE FROM rotations");
        gone.store(true, Ordering::SeqCst);
        rotating.join().expect("no panic")
    });
    let mut events = vec!["connection.rotate", "connection.rotate"];
    if at_once {
        assert_eq!((&rotated["state"], &rotated["version"]), (&json!("unchanged"), &json!(1)), "{rotated}");
        assert_eq!(password(&stored, "sales"), OLD);
        events.push("connection.rotation_failed");
    } else {
        assert_eq!((&rotated["state"], &rotated["version"]), (&json!("unsettled"), &json!(1)), "{rotated}");
        let told = stored.show("sales").json()["rotation"]["message"].as_str().unwrap_or_default().to_owned();
        assert!(told.contains("It is not known yet"), "{told}");
        mended.store(true, Ordering::SeqCst);
        settled(&stored, Duration::from_secs(40));
        events.push("connection.rotated");
    }
    signs_in(&stored, "sales");
    let told =
        stored.sql("SELECT action FROM audit_events WHERE object = 'sales' AND action LIKE 'connection.rot%' ORDER BY nth");
    assert_eq!(told.lines().collect::<Vec<_>>(), events);
    assert_eq!(stored.sql("SELECT count(*) FROM rotations"), "0");
}

fn wait_for(flag: &AtomicBool) {
    let begun = Instant::now();
    while !flag.load(Ordering::SeqCst) {
        assert!(begun.elapsed() < Duration::from_secs(20), "it does not come");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A machine that is moved, or a process that is stopped, for longer than the other nodes wait: they settle what it was at. It goes on where it stood.
#[test]
fn whoever_stood_still_takes_nothing_back() {
    let stored = Stored::start(Engine::Postgres);
    let postgres = Postgres::start(&PostgresOptions::default());
    postgres.create_role("anna", OLD);
    // The new password signs in, and no more is heard of it.
    let stops = |passing: Passing<'_>| {
        let asks = passing.to_server && passing.holds(b"SELECT 1");
        if passing.connection == 2 && asks { Verdict::Stop } else { Verdict::Pass }
    };
    let relay = Relay::to(postgres.port(), stops);
    create(&stored, "sales", ("postgres", relay.port()), "anna");
    let _other = Remote::start(&stored);
    let node = stored.server.process_id();
    let request = stored.admin("POST", "/connections/sales/rotate").header("if-match", "*");
    let answer = thread::scope(|scope| {
        let asked = scope.spawn(move || request.send());
        relay.wait();
        let stopped = Stopped::new(vec![node]);
        let begun = Instant::now();
        while stored.sql("SELECT version FROM connections") == "1" {
            assert!(begun.elapsed() < Duration::from_secs(40), "the other node settles it");
            thread::sleep(Duration::from_millis(100));
        }
        drop(stopped);
        asked.join().expect("no panic")
    });
    let rotated = answer.expect(200).json();
    assert_eq!((&rotated["state"], &rotated["version"]), (&json!("rotated"), &json!(2)), "{rotated}");
    signs_in(&stored, "sales");
    let failed = "SELECT count(*) FROM audit_events WHERE action = 'connection.rotation_failed'";
    assert_eq!((stored.sql(failed), stored.sql("SELECT count(*) FROM rotations")), ("0".into(), "0".into()));
}

#[test]
fn killed_at_any_moment_what_is_saved_signs_in() {
    let mut stored = Stored::start(Engine::Sqlite);
    let postgres = Postgres::start(&PostgresOptions { max_connections: Some(300), ..PostgresOptions::default() });
    let (kills, logins) = if soak() { (100, 8) } else { (1, 8) };
    let names: Vec<_> = (0..logins).map(|number| format!("anna-{number}")).collect();
    for name in &names {
        postgres.create_role(name, OLD);
        create(&stored, name, ("postgres", postgres.port()), name);
    }
    let mut chance = Chance::new(7);
    let mut rotated = 0;
    for _ in 0..kills {
        let (begun, saved) = (Instant::now(), "SELECT count(*) FROM connection_versions");
        let before = stored.sql(saved);
        thread::scope(|scope| {
            for name in &names {
                let request = stored.admin("POST", &format!("/connections/{name}/rotate")).header("if-match", "*");
                let pause = Duration::from_millis(chance.number() % 300);
                scope.spawn(move || {
                    thread::sleep(pause);
                    drop(request.try_send());
                });
            }
            // Once the first is saved, the others are somewhere.
            while stored.sql(saved) == before && begun.elapsed() < Duration::from_secs(20) {}
            thread::sleep(Duration::from_millis(chance.number() % 100));
            stored.server.process().kill();
        });
        stored.server.restart();
        settled(&stored, Duration::from_secs(30));
        for name in &names {
            signs_in(&stored, name);
        }
    }
    for name in &names {
        rotated += stored.show(name).json()["version"].as_i64().unwrap_or_default() - 1;
    }
    println!("promise: kill -9 at any moment of {} rotations: {rotated} saved, 0 passwords lost", kills * names.len());
    assert!(rotated > 0, "none came that far");
}
