//! Every change and every answer with a secret leaves an event, before the answer. On both stores.

use std::{fs, os::unix::fs::symlink};

use dataflow_tests::stored::{Engine, Stored};
use rstest::rstest;
use serde_json::{Value, json};

/// The lines of the node's segment file, without their MACs.
fn uses(stored: &Stored) -> Vec<Value> {
    let path = stored.server.data().join("nodes/1/uses.jsonl");
    let text = fs::read_to_string(path).expect("the segment");
    text.lines()
        .map(|line| {
            let (event, mac) = line.split_once('\t').expect("an event and its MAC");
            assert!(mac.len() == 64 && mac.bytes().all(|byte| byte.is_ascii_hexdigit()), "{line}");
            serde_json::from_str(event).expect("JSON")
        })
        .collect()
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn every_change_has_its_event(#[case] engine: Engine) {
    let stored = Stored::start(engine);
    stored.create("sales", "planted");
    stored.edit("sales", &json!({"description": "x", "password": "other", "extra": {"timezone": "UTC"}})).expect(200);
    stored.edit("sales", &json!({"host": "elsewhere"})).expect(422);
    stored.delete("sales").expect(204);
    let made = stored.admin("POST", "/tokens").json(&json!({"name": "reader", "roles": ["user"]})).send().expect(201).json();
    stored.admin("DELETE", &format!("/tokens/{}", made["id"].as_str().expect("an id"))).send().expect(204);
    stored.admin("PUT", "/members/eve@example.org").json(&json!({"roles": ["viewer"]})).send().expect(200);
    stored.admin("DELETE", "/members/eve@example.org").send().expect(204);
    stored.create_workspace("theirs");
    let rows = stored.sql("SELECT actor, action, object FROM audit_events ORDER BY at, id");
    let expected = [
        "shell|person.create|admin@example.org",
        "shell|workspace.create|default",
        "shell|token.create|admin",
        "token admin|connection.create|sales",
        "token admin|connection.edit|sales",
        "token admin|connection.delete|sales",
        "token admin|token.create|reader",
        "token admin|token.revoke|reader",
        "token admin|person.create|eve@example.org",
        "token admin|member.put|eve@example.org",
        "token admin|member.remove|eve@example.org",
        "shell|workspace.create|theirs",
    ];
    let (mut rows, mut expected): (Vec<_>, _) = (rows.lines().collect(), expected);
    // Events of one transaction share their time.
    rows.sort_unstable();
    expected.sort_unstable();
    assert_eq!(rows, expected);
    let detail = stored.sql("SELECT detail FROM audit_events WHERE action = 'connection.edit'");
    let detail: Value = serde_json::from_str(&detail).expect("JSON");
    assert_eq!(detail, json!({"version": 2, "fields": ["extra.timezone", "password"]}));
    assert_eq!(stored.sql("SELECT count(*) FROM audit_events WHERE length(mac) <> 32 OR workspace_id = ''"), "0");
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn no_answer_with_a_secret_is_without_its_event(#[case] engine: Engine) {
    let mut stored = Stored::start(engine);
    stored.create("sales", "planted");
    let read = stored.admin("GET", "/connections/sales/credentials");
    let workflow = "kind=notebook; name=\"churn.ipynb\"; run=\"7\"";
    let first = read.clone().header("dataflow-workflow", workflow).send();
    let lines = uses(&stored);
    assert_eq!(lines.len(), 1);
    let event = &lines[0];
    for (member, value) in [
        ("action", json!("credentials.read")),
        ("workspace", json!("default")),
        ("connection", json!("sales")),
        ("version", json!(1)),
        ("actor", json!("token admin")),
        ("address", json!("127.0.0.1")),
        ("workflow", json!({"kind": "notebook", "name": "churn.ipynb", "run": "7"})),
    ] {
        assert_eq!(event[member], value, "{member} of {event}");
    }
    read.clone().header("if-none-match", first.expect(200).header("etag")).send().expect(304);
    assert_eq!((uses(&stored).len(), &uses(&stored)[1]["action"]), (2, &json!("credentials.unchanged")));
    stored.admin("POST", "/connections/sales/test").json(&json!({"description": "x"})).send().expect(200);
    assert_eq!((uses(&stored).len(), &uses(&stored)[2]["action"]), (3, &json!("connection.test")));
    // What gives no secret is no use of it.
    let viewer = stored.token("viewer", "viewer", None);
    stored.request(&viewer, "GET", "/workspaces/default/connections/sales/credentials").send().expect(403);
    stored.credentials("absent").expect(404);
    stored.show("sales").expect(200);
    assert_eq!(uses(&stored).len(), 3);

    // A use that cannot be written down does not happen.
    stored.server.process().stop();
    let segment = stored.server.data().join("nodes/1/uses.jsonl");
    fs::remove_file(&segment).expect("own folder");
    symlink("/dev/full", &segment).expect("own folder");
    stored.server.restart();
    for request in [read.clone(), read.clone().header("if-none-match", first.header("etag"))] {
        let answer = request.send();
        answer.refused(503, "unavailable");
        assert!(!answer.text().contains("planted") && answer.header("etag").is_empty(), "{answer:?}");
        assert_eq!(answer.header("retry-after"), "2");
    }
    stored.admin("POST", "/connections/sales/test").send().refused(503, "unavailable");
    stored.show("sales").expect(200);
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn uses_are_counted_for_each_workflow(#[case] engine: Engine) {
    let mut stored = Stored::start(engine);
    stored.create("sales", "planted");
    let read = stored.admin("GET", "/connections/sales/credentials");
    for (workflow, times) in [("kind=app; name=\"shop\"", 3), ("kind=pipeline; name=\"nightly\"", 1), ("nonsense", 2)] {
        for _ in 0..times {
            read.clone().header("dataflow-workflow", workflow).send().expect(200);
        }
    }
    // A clean end writes what was counted since the last second.
    stored.server.process().stop();
    let rows = stored.sql("SELECT kind, name, uses, version, used_by FROM uses ORDER BY kind");
    assert_eq!(rows, "app|shop|3|1|token admin\npipeline|nightly|1|1|token admin");
    assert_eq!(stored.sql("SELECT count(*) FROM tokens WHERE last_used_at IS NOT NULL"), "1");
}
