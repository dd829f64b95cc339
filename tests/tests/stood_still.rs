//! A machine that stands still in the middle of a rotation, for longer than the other nodes wait: they settle what it was at. Then it goes on where
//! it stood, with a database that may have done late what it was asked for.

#![expect(clippy::indexing_slicing, reason = "answers are read by name; what is absent is null and fails the test")]

use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

use dataflow_tests::{
    http::{Answer, Request},
    mariadb::MariaDb,
    mysql_protocol::{MySqlOptions, Plugin},
    nodes::Remote,
    postgres::{Postgres, PostgresOptions},
    relay::{Relay, Verdict, at_the_change, from},
    stored::{Engine, Stopped, Stored},
};
use rstest::rstest;
use serde_json::json;

const OLD: &str = "planted old 'password'";
const GIVEN: &str = "planted given 'password'";

fn ask(stored: &Stored, port: u16, method: &str, path: &str) -> Request {
    let path = format!("/api/v1/workspaces/default/connections{path}");
    Request::new(port, method, &path).token(&stored.admin).header("if-match", "*")
}

/// What is saved signs in.
fn serves(stored: &Stored, port: u16, name: &str) {
    let report = ask(stored, port, "POST", &format!("/{name}/test")).send().expect(200).json();
    assert_eq!(report["status"], "ok", "{name}: {report}");
}

/// Nothing is being changed any more.
fn settled(stored: &Stored) {
    let begun = Instant::now();
    let open = "SELECT (SELECT count(*) FROM rotations) + (SELECT count(*) FROM second_logins WHERE candidate IS NOT NULL)";
    while stored.sql(open) != "0" {
        assert!(
            begun.elapsed() < Duration::from_mins(1),
            "{}",
            stored.sql("SELECT connection_id, tries, problem FROM rotations")
        );
        thread::sleep(Duration::from_millis(100));
    }
}

#[rstest]
#[case::in_a_rotation(false, 0)]
// Giving the second login takes one connection.
#[case::in_a_switch(true, 1)]
fn a_machine_that_stands_still_at_any_step_loses_no_password(#[case] switches: bool, #[case] first: usize) {
    let stored = Stored::start(Engine::Postgres);
    let (postgres, maria) = (Postgres::start(&PostgresOptions::default()), MariaDb::start(&MySqlOptions::default()));
    let (pg, my) = (postgres.port(), maria.port());
    let points: BTreeMap<&str, (&str, Relay)> = BTreeMap::from([
        ("begun", ("postgres", Relay::to(pg, from(first)))),
        ("lost", ("postgres", Relay::to(pg, at_the_change(first, Verdict::Stop)))),
        ("late", ("postgres", Relay::to(pg, at_the_change(first, Verdict::Wait)))),
        ("set", ("postgres", Relay::to(pg, at_the_change(first, Verdict::Pass)))),
        ("proved", ("postgres", Relay::to(pg, from(first + 1)))),
        ("tested", ("postgres", Relay::to(pg, from(first + 2)))),
        ("maria", ("mariadb", Relay::to(my, at_the_change(first, Verdict::Wait)))),
    ]);
    let own = stored.server.port();
    for (name, (kind, relay)) in &points {
        for (user, password) in [(format!("{name}-a"), OLD), (format!("{name}-b"), GIVEN)] {
            match *kind {
                "postgres" => postgres.create_role(&user, password),
                _ => maria.create_user(&user, "%", Plugin::NativePassword, password),
            }
        }
        let database = if *kind == "postgres" { "postgres" } else { "" };
        let body = json!({
            "name": name, "type": kind, "host": "127.0.0.1", "port": relay.port(), "database": database, "username": format!("{name}-a"),
            "password": OLD
        });
        stored.admin("POST", "/connections").json(&body).send().expect(201);
        if switches {
            let second = json!({"username": format!("{name}-b"), "password": GIVEN});
            ask(&stored, own, "PUT", &format!("/{name}/second-login")).json(&second).send().expect(200);
        }
    }
    let other = Remote::start(&stored);
    let others = other.port.number();
    let answers: BTreeMap<&str, Answer> = thread::scope(|scope| {
        let asked: Vec<_> = points
            .keys()
            .map(|name| {
                let request = ask(&stored, own, "POST", &format!("/{name}/rotate"));
                (*name, scope.spawn(move || request.send()))
            })
            .collect();
        for (_, relay) in points.values() {
            relay.wait();
        }
        let stopped = Stopped::machine(stored.server.process_id());
        for (_, relay) in points.values() {
            relay.go_on();
        }
        settled(&stored);
        for name in points.keys() {
            serves(&stored, others, name);
        }
        drop(stopped);
        asked.into_iter().map(|(name, asked)| (name, asked.join().expect("no panic"))).collect()
    });
    settled(&stored);
    for (name, answer) in &answers {
        for port in [own, others] {
            serves(&stored, port, name);
        }
        let version = stored.show(name).json()["version"].clone();
        let told = answer.json();
        match told["state"].as_str() {
            Some("rotated") => assert_eq!(version, 2, "{name}: {told}"),
            Some("unchanged") => assert_eq!(version, 1, "{name}: {told}"),
            Some("unsettled") => {}
            // A switch that somebody else has gone on with.
            _ => assert_eq!((switches, &told["code"]), (true, &json!("rotation_under_way")), "{name}: {told}"),
        }
        if switches {
            // The login that the connection does not sign in as is not lost either.
            let retire = format!("/{name}/second-login/retire?anyway=true");
            for _ in 0..2 {
                if stored.show(name).json()["second_login"]["state"] == "retiring" {
                    assert_eq!(ask(&stored, own, "POST", &retire).send().expect(200).json()["retired"], true, "{name}");
                }
                assert_eq!(
                    ask(&stored, own, "POST", &format!("/{name}/rotate")).send().expect(200).json()["state"],
                    "rotated",
                    "{name}"
                );
                serves(&stored, own, name);
            }
        }
    }
    println!("promise: a machine that stands still at {} steps, switches: {switches}: 0 passwords lost", points.len());
}
