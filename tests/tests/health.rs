//! Tests that run by themselves, against a real database: a connection falls and recovers, by the API, the Studio and the shell.

#![expect(clippy::indexing_slicing, reason = "answers are read by name; what is absent is null and fails the test")]

use std::{
    thread,
    time::{Duration, Instant},
};

use dataflow_tests::{
    http::Request,
    postgres::{Postgres, PostgresOptions},
    session::Session,
    shell::{Ran, Shell},
    silent::{OpenConnections, Silent},
    stored::{Engine, Stored},
};
use rstest::rstest;
use serde_json::{Value, json};

const PASSWORD: &str = "planted for health";
const PATIENCE: Duration = Duration::from_secs(30);

fn create(stored: &Stored, name: &str, port: u16, tags: &[&str]) {
    let body = json!({
        "name": name, "type": "postgres", "host": "127.0.0.1", "port": port, "database": "postgres", "username": "anna", "password": PASSWORD,
        "tags": tags
    });
    stored.admin("POST", "/connections").json(&body).send().expect(201);
}

fn schedule(stored: &Stored, path: &str, body: &Value) -> Value {
    stored.admin("PUT", path).header("if-match", "*").json(body).send().expect(200).json()
}

fn health(stored: &Stored, name: &str) -> Value {
    stored.admin("GET", &format!("/connections/{name}/health")).send().expect(200).json()
}

fn checks(stored: &Stored, name: &str) -> usize {
    let checks = stored.admin("GET", &format!("/connections/{name}/checks")).send().expect(200).json();
    checks["items"].as_array().map(Vec::len).expect("a list")
}

/// Has what is scheduled be due, and waits until it was tested.
fn tick(stored: &Stored, name: &str) -> Value {
    let before = checks(stored, name);
    stored.sql("UPDATE health SET next_at = 0");
    tested(stored, name, before)
}

/// Waits until there are more checks than before.
fn tested(stored: &Stored, name: &str, before: usize) -> Value {
    let began = Instant::now();
    while checks(stored, name) <= before {
        assert!(began.elapsed() < PATIENCE, "{name} is not tested: {}", health(stored, name));
        thread::sleep(Duration::from_millis(50));
    }
    health(stored, name)
}

fn shell(stored: &Stored, token: &str, words: &[&str]) -> Ran {
    let shell = Shell::new(["health"]).args(words.iter().copied()).variable("HOME", "/nonexistent");
    shell.variable("DATAFLOW_URL", stored.server.url()).variable("DATAFLOW_TOKEN", token).run()
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn a_connection_falls_and_recovers(#[case] engine: Engine) {
    let stored = Stored::start(engine);
    let postgres = Postgres::start(&PostgresOptions::default());
    postgres.create_role("anna", PASSWORD);
    create(&stored, "sales", postgres.port(), &["finance"]);
    create(&stored, "other", postgres.port(), &[]);
    assert_eq!(health(&stored, "sales")["state"], "unscheduled");
    let hourly = json!({"every_seconds": 3_600, "unhealthy_after": 2, "healthy_after": 2});
    let set = schedule(&stored, "/health-schedules/tag:finance", &hourly);
    assert_eq!((&set["scope"], &set["jitter_percent"], &set["is_set"]), (&json!("tag:finance"), &json!(10), &json!(true)));

    let first = tick(&stored, "sales");
    assert_eq!((&first["state"], &first["schedule"]["scope"]), (&json!("healthy"), &json!("tag:finance")), "{first}");
    assert_eq!(checks(&stored, "other"), 0, "no schedule is for it");
    assert_eq!(stored.show("sales").json()["last_check"]["status"], "ok");

    // Somebody saves a wrong password, without a test.
    let before = checks(&stored, "sales");
    stored.edit("sales", &json!({"password": "planted and wrong"})).expect(200);
    // That is tested at once, although an hour is not over.
    let second = tested(&stored, "sales", before);
    assert_eq!((&second["state"], &second["failed_in_a_row"]), (&json!("healthy"), &json!(1)), "once is not enough: {second}");
    let third = tick(&stored, "sales");
    assert_eq!((&third["state"], &third["changes"][0]["cause"]), (&json!("unhealthy"), &json!("Sign-in refused")), "{third}");
    let listed = stored.admin("GET", "/health?state=unhealthy").send().expect(200).json();
    let item = &listed["items"][0];
    assert_eq!(
        (&item["connection"], &item["changed_version"], &item["summary"]),
        (&json!("sales"), &json!(2), &json!("Sign-in refused"))
    );
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(1), "{listed}");

    let session = Session::start(&stored.server);
    let page = session.get("/w/default/health").expect(200).text();
    assert!(
        page.contains("1 unhealthy · 1 not tested by themselves") && page.contains("Version 2</a> was saved just before."),
        "{page}"
    );
    assert!(page.contains("Sign-in refused · "), "{page}");
    let own = session.get("/w/default/connections/sales").expect(200).text();
    assert!(own.contains("Every hour; unhealthy after 2 failures in a row") && own.contains("class=\"chart\""), "{own}");
    let list = shell(&stored, &stored.token("looker", "viewer", None), &["list"]);
    assert!(list.succeeded && list.stdout().contains("unhealthy") && list.stdout().contains("version 2"), "{list:?}");

    // The right one again: two that pass are asked for.
    let before = checks(&stored, "sales");
    stored.edit("sales", &json!({"password": PASSWORD})).expect(200);
    assert_eq!(tested(&stored, "sales", before)["state"], "unhealthy");
    let healed = tick(&stored, "sales");
    assert_eq!(healed["state"], "healthy");
    let states: Vec<_> = healed["changes"].as_array().expect("a list").iter().map(|change| &change["state"]).collect();
    assert_eq!(states, ["healthy", "unhealthy", "healthy"]);
    assert!(!healed.to_string().contains("planted"), "{healed}");

    let gauges = || {
        String::from_utf8(Request::new(stored.server.port(), "GET", "/metrics").token(&stored.admin).send().body).expect("text")
    };
    let labels = "{workspace=\"default\",connection=\"sales\",type=\"postgres\"}";
    let told = gauges();
    for line in [format!("dataflow_connection_healthy{labels} 1"), format!("dataflow_connection_failures_in_a_row{labels} 0")] {
        assert!(told.lines().any(|found| found == line), "“{line}” is not in\n{told}");
    }
    assert!(told.contains(&format!("dataflow_connection_last_test_timestamp_seconds{labels} 1")), "{told}");
    assert!(!told.contains("\"other\""), "it is not tested by itself: {told}");

    // Of the connection it is told what changed, and not each test.
    let told = stored.admin("GET", "/activity?connection=sales").send().expect(200).json();
    let actions: Vec<_> = told["items"].as_array().expect("a list").iter().filter_map(|item| item["action"].as_str()).collect();
    let of_health: Vec<_> = actions.iter().filter(|action| action.ends_with("healthy")).collect();
    assert_eq!(of_health, [&"connection.healthy", &"connection.unhealthy", &"connection.healthy"], "{told}");
    assert!(!actions.contains(&"connection.checked"), "{told}");

    // The tests are uses, in the name of who set the schedule.
    let activity = stored.admin("GET", "/activity?connection=sales&action=connection.test").send().expect(200).json();
    let actor = activity["items"][0]["actor"].as_str().expect("an event").to_owned();
    assert!(actor.starts_with("health schedule (set by "), "{activity}");
}

/// A test that somebody runs by hand tells as much, and one of a version that is no longer there tells nothing.
#[test]
fn tests_by_hand_count() {
    let stored = Stored::start(Engine::Sqlite);
    let postgres = Postgres::start(&PostgresOptions::default());
    postgres.create_role("anna", PASSWORD);
    create(&stored, "sales", postgres.port(), &[]);
    let daily = json!({"every_seconds": 86_400, "unhealthy_after": 2});
    schedule(&stored, "/connections/sales/health-schedule", &daily);
    tick(&stored, "sales");
    let by_hand = || stored.admin("POST", "/connections/sales/test").send().expect(200).json()["status"].clone();
    drop(postgres);
    for _ in 0..2 {
        assert_eq!(by_hand(), "failed");
    }
    let began = Instant::now();
    while health(&stored, "sales")["state"] != "unhealthy" {
        assert!(began.elapsed() < PATIENCE, "{}", health(&stored, "sales"));
        thread::sleep(Duration::from_millis(50));
    }
    let told = health(&stored, "sales");
    assert_eq!((&told["failed_in_a_row"], &told["schedule"]["scope"]), (&json!(2), &json!("connection:sales")), "{told}");
}

/// Connections behind a host that takes everything and says nothing hold up nobody else's tests, neither those that run by themselves nor those
/// that somebody asks for.
#[test]
fn a_tarpit_delays_no_other_test() {
    let stored = Stored::start(Engine::Sqlite);
    let postgres = Postgres::start(&PostgresOptions::default());
    postgres.create_role("anna", PASSWORD);
    let tarpit = Silent::start(&OpenConnections::default());
    for number in 0..100 {
        create(&stored, &format!("dead{number:03}"), tarpit.port(), &["dead"]);
    }
    create(&stored, "sales", postgres.port(), &["live"]);
    schedule(&stored, "/health-schedules/tag:live", &json!({"every_seconds": 3_600}));
    schedule(&stored, "/health-schedules/tag:dead", &json!({"every_seconds": 30, "unhealthy_after": 1, "jitter_percent": 0}));
    // All of them have failed before, and are due at once.
    stored.sql("UPDATE health SET is_failing = TRUE, streak = 1, next_at = 0 WHERE scope = ':tag:dead'");
    let began = Instant::now();
    while stored.sql("SELECT count(*) FROM health WHERE scope = ':tag:dead' AND next_at > 0").trim() == "0" {
        assert!(began.elapsed() < PATIENCE, "none of them is begun");
        thread::sleep(Duration::from_millis(100));
    }
    thread::sleep(Duration::from_millis(1_500));
    let mut slowest = Duration::ZERO;
    for round in 0..4 {
        let before = checks(&stored, "sales");
        stored.sql("UPDATE health SET next_at = 0 WHERE scope = ':tag:live'");
        let began = Instant::now();
        while checks(&stored, "sales") == before {
            assert!(began.elapsed() < PATIENCE, "the live one waits for the dead ones, in round {round}");
            thread::sleep(Duration::from_millis(20));
        }
        slowest = slowest.max(began.elapsed());
        let began = Instant::now();
        let report = stored.admin("POST", "/connections/sales/test").send().expect(200).json();
        assert_eq!(report["status"], "ok");
        assert!(began.elapsed() < Duration::from_secs(3), "by hand after {:?}, in round {round}", began.elapsed());
    }
    // A node looks every second.
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
}

#[test]
fn the_shell_sets_shows_and_removes() {
    let stored = Stored::start(Engine::Sqlite);
    stored.create("sales", "planted");
    let admin = stored.token("scheduler", "admin", None);
    let none = shell(&stored, &admin, &["schedule", "sales"]);
    assert!(none.succeeded && none.stderr.contains("No schedule is for “sales”"), "{none:?}");
    let set = shell(&stored, &admin, &["schedule", "--all", "--every", "1h", "--quiet", "22:00-06:00"]);
    assert!(
        set.succeeded
            && set.stdout().contains("every 3600 s ± 10 %, unhealthy after 2, healthy after 1, not from 22:00 to 06:00 UTC"),
        "{set:?}"
    );
    let own = shell(&stored, &admin, &["schedule", "sales", "--unhealthy-after", "5"]);
    assert!(
        own.succeeded && own.stdout().contains("every 3600 s ± 10 %, unhealthy after 5, healthy after 1, not from 22:00"),
        "{own:?}"
    );
    let kept = shell(&stored, &admin, &["schedule", "--all", "--no-quiet", "--jitter", "0"]);
    assert!(kept.succeeded && kept.stdout().contains("every 3600 s ± 0 %") && !kept.stdout().contains("22:00"), "{kept:?}");
    let all = shell(&stored, &admin, &["schedules", "--output", "json"]);
    let all: Value = serde_json::from_str(&all.stdout).expect("JSON");
    assert_eq!((all.as_array().map(Vec::len), &all[0]["scope"], &all[0]["quiet_hours"]), (Some(1), &json!("all"), &Value::Null));
    let wrong = shell(&stored, &admin, &["schedule", "--all", "--every", "5s"]);
    assert!(!wrong.succeeded && wrong.stderr.contains("--every must be from 30 to 604800"), "{wrong:?}");
    let shown = shell(&stored, &admin, &["schedule", "sales"]);
    assert!(shown.succeeded && shown.stdout().contains("connection:sales"), "{shown:?}");
    let removed = shell(&stored, &admin, &["schedule", "sales", "--remove"]);
    assert!(removed.succeeded && removed.stderr.contains("is removed"), "{removed:?}");
    let shown = shell(&stored, &admin, &["schedule", "sales"]);
    assert!(shown.succeeded && shown.stdout().contains("all"), "{shown:?}");
    let scopeless = shell(&stored, &admin, &["schedule", "--every", "5m"]);
    assert!(!scopeless.succeeded, "{scopeless:?}");
}
