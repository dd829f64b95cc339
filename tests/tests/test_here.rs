//! A test from where the work runs: `dataflow connections test NAME --here` runs the connector on this machine and reports beside the server's.

#![expect(clippy::indexing_slicing, reason = "answers are read by name; what is absent is null and fails the test")]

use dataflow_tests::{
    postgres::{Postgres, PostgresOptions},
    session::Session,
    shell::{Ran, Shell},
    stored::{Engine, Stored},
};
use serde_json::{Value, json};

#[path = "test_here/own_types.rs"]
mod own_types;

const PASSWORD: &str = "planted here 'password'";

fn create(stored: &Stored, name: &str, port: u16, password: &str) {
    let body = json!({
        "name": name, "type": "postgres", "host": "127.0.0.1", "port": port, "database": "postgres", "username": "anna", "password": password
    });
    stored.admin("POST", "/connections").json(&body).send().expect(201);
}

fn shell(stored: &Stored, token: &str, words: &[&str]) -> Ran {
    let shell = Shell::new(["connections", "test"]).args(words.iter().copied()).variable("HOME", "/nonexistent");
    shell.variable("DATAFLOW_URL", stored.server.url()).variable("DATAFLOW_TOKEN", token).run()
}

fn newest(stored: &Stored, name: &str) -> Value {
    let checks = stored.admin("GET", &format!("/connections/{name}/checks")).send().expect(200).json();
    checks["items"][0].clone()
}

/// A database that the server may not reach, and a program can; and one whose password is wrong from everywhere.
#[test]
fn what_works_here_and_not_from_the_server_is_told_on_both_sides() {
    let stored = Stored::start_with(Engine::Sqlite, &["--test-deny", "127.0.0.0/8"]);
    let postgres = Postgres::start(&PostgresOptions::default());
    postgres.create_role("anna", PASSWORD);
    create(&stored, "sales", postgres.port(), PASSWORD);
    create(&stored, "wrong", postgres.port(), "planted and wrong");
    let user = stored.token("worker", "user", None);

    let first = shell(&stored, &user, &["sales", "--here"]);
    assert!(first.succeeded && first.stdout().contains("PostgreSQL 15"), "{first:?}");
    assert!(first.stderr.contains("From the server it was not tested yet."), "{first:?}");
    let kept = newest(&stored, "sales");
    assert_eq!(
        (&kept["version"], &kept["checked_by"], &kept["report"]["from"]),
        (&json!(1), &json!("token worker"), &json!("client"))
    );
    let host = kept["report"]["host"].as_str().expect("this machine's name").to_owned();
    let shown = stored.show("sales").json();
    assert_eq!(shown["last_check"], Value::Null, "it says nothing of how the connection stands from the server: {shown}");

    let report = stored.admin("POST", "/connections/sales/test").send().expect(200).json();
    assert_eq!(report["error"]["code"], "address_not_allowed");
    let second = shell(&stored, &user, &["sales", "--here"]);
    assert!(
        second.succeeded && second.stderr.contains("It works here, and not from the server (Address not allowed"),
        "{second:?}"
    );
    assert_eq!(stored.show("sales").json()["last_check"]["status"], "failed");
    let page = Session::start(&stored.server).get("/w/default/connections/sales").expect(200).text();
    assert!(
        page.contains(&format!("It works on {host} (healthy, "))
            && page.contains("and not from this server (Address not allowed, "),
        "{page}"
    );
    assert!(page.contains(&format!("on {host}</div>")), "{page}");

    let refused = shell(&stored, &user, &["wrong", "--here", "--output", "json"]);
    assert!(!refused.succeeded && !refused.stdout.contains("planted") && !refused.stderr.contains("planted"), "{refused:?}");
    let told: Value = serde_json::from_str(&refused.stdout).expect("JSON");
    assert_eq!((&told["error"]["code"], &told["from"]), (&json!("credentials_refused"), &json!("client")));
    assert_eq!(newest(&stored, "wrong")["report"]["error"]["code"], "credentials_refused");

    // The sign-in was a use, like any other of code.
    let dependents = stored.admin("GET", "/connections/sales/dependents").send().expect(200).json();
    assert_eq!(dependents["items"][0]["kind"], "cli", "{dependents}");
    let viewer = stored.token("looker", "viewer", None);
    assert!(!shell(&stored, &viewer, &["sales", "--here"]).succeeded);
}

/// Whoever may use a connection may write what he likes; it is made plain, and holds no secret.
#[test]
fn what_a_client_tells_is_made_plain() {
    let stored = Stored::start(Engine::Sqlite);
    create(&stored, "sales", 1, PASSWORD);
    let names = ["resolve", "reach", "secure", "sign_in", "open_database", "read"];
    let steps: Vec<_> = names.iter().map(|step| json!({"step": step, "status": "ok", "duration_ms": 0.1})).collect();
    let sound = json!({
        "status": "failed", "duration_ms": 1.0, "server_version": format!("it is {PASSWORD}"), "checked_at": "1970-01-01T00:00:00Z", "from": "server",
        "host": format!("a\u{202e}b{}", "x".repeat(500)), "steps": steps,
        "error": {
            "code": "certificate_untrusted", "message": format!("{PASSWORD} \u{0007}{}", "m".repeat(5_000)), "hint": "Trust it.", "field": "no.such",
            "certificates": [{"subject": "CN=db", "issuer": "CN=db", "names": [], "not_before": "", "not_after": "", "fingerprint": "00", "pem": "of somebody's own",
                "pinnable": true}]
        }
    });
    let tell = |version: i64, report: &Value| stored.post("sales", "checks", &json!({"version": version, "report": report}));
    let kept = tell(1, &sound).expect(201).json()["report"].clone();
    assert_eq!(
        (&kept["from"], &kept["error"]["field"], &kept["error"]["certificates"]),
        (&json!("client"), &Value::Null, &Value::Null),
        "{kept}"
    );
    assert!(kept["checked_at"].as_str().is_some_and(|at| at > "2026"), "the server's time: {kept}");
    for (text, longest) in [(&kept["host"], 100), (&kept["error"]["message"], 301), (&kept["server_version"], 301)] {
        let text = text.as_str().expect("a text");
        assert!(text.chars().count() <= longest && !text.contains(PASSWORD) && !text.contains(['\u{202e}', '\u{7}']), "{text}");
    }
    assert!(!stored.admin("GET", "/connections/sales/checks").send().expect(200).text().contains("planted"));

    let with = |member: &str, value: Value| {
        let mut bent = sound.clone();
        bent[member] = value;
        bent
    };
    let mut twice = steps.clone();
    twice[1] = twice[0].clone();
    for (member, value) in [
        ("steps", json!(twice)),
        ("steps", json!([])),
        ("duration_ms", json!(-1.0)),
        ("duration_ms", json!(1e12)),
        ("status", json!("ok")),
        ("error", Value::Null),
    ] {
        tell(1, &with(member, value)).refused(422, "invalid_fields");
    }
    tell(2, &sound).refused(412, "version_conflict");
    stored.edit("sales", &json!({"description": "another"})).expect(200);
    tell(1, &sound).refused(412, "version_conflict");
    assert_eq!(stored.sql("SELECT count(*) FROM checks"), "1");
}
