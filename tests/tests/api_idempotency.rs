//! A change that is sent again under its `Idempotency-Key` takes effect once, on both stores.

use std::{
    sync::{Arc, Barrier},
    thread,
};

use dataflow_tests::stored::{Engine, Stored, sample};
use rstest::rstest;
use serde_json::json;

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn a_repeat_is_answered_with_what_there_is_now(#[case] engine: Engine) {
    let stored = Stored::start(engine);
    let create = stored.admin("POST", "/connections").header("idempotency-key", "make").json(&sample("sales", "first"));
    let made = create.send().expect(201).header("etag").to_owned();
    assert_eq!(create.send().expect(201).header("etag"), made, "one connection, the same answer");

    let edit = stored.admin("PATCH", "/connections/sales").header("if-match", &made).header("idempotency-key", "edit");
    let edit = edit.json(&json!({"description": "edited"}));
    assert_eq!(edit.send().expect(200).json()["version"], 2);
    assert_eq!(edit.send().expect(200).json()["version"], 2, "the repeat is no stale change, and no third version");
    assert_eq!(stored.show("sales").expect(200).json()["version"], 2);

    let delete = stored.admin("DELETE", "/connections/sales").header("if-match", "*").header("idempotency-key", "delete");
    delete.send().expect(204);
    delete.send().expect(204);
    stored.create("sales", "second");
    delete.send().expect(204);
    stored.show("sales").expect(200);

    stored.add_member("ada@example.org");
    let put = stored.admin("PUT", "/members/ada@example.org").header("idempotency-key", "put").json(&json!({"roles": ["user"]}));
    let first = put.send().expect(200).json();
    assert_eq!(put.send().expect(200).json(), first);

    let place =
        json!({"connection": "absent", "kind": "script", "workflow": "a.py", "file": "a.py", "line": 1, "certainty": "certain"});
    let piece = json!({"scan": "5c1f0f0e-3f63-4c39-8a0b-51a8f7f0a1c2", "files": 1, "findings": [place], "last": true});
    let report = stored.admin("PUT", "/scans/etl").header("idempotency-key", "scan").json(&piece);
    let first = report.send().expect(200).json();
    assert_eq!((&first["unknown"][0], &first["findings"]), (&json!("absent"), &json!(1)));
    assert_eq!(report.send().expect(200).json(), first);
    stored.admin("DELETE", "/scans/etl").send().expect(204);
    report.send().refused(404, "not_found");
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn a_key_is_for_one_request_of_one_caller(#[case] engine: Engine) {
    let stored = Stored::start(engine);
    let create =
        |name: &str| stored.admin("POST", "/connections").header("idempotency-key", "key").json(&sample(name, "planted"));
    create("sales").send().expect(201);
    create("crm").send().refused(409, "idempotency_conflict");
    stored.show("crm").expect(404);
    let other = stored.token("another", "editor", None);
    let path = "/workspaces/default/connections";
    stored.request(&other, "POST", path).header("idempotency-key", "key").json(&sample("crm", "planted")).send().expect(201);

    let token =
        stored.admin("POST", "/tokens").header("idempotency-key", "token").json(&json!({"name": "once", "roles": ["user"]}));
    token.send().expect(201);
    token.send().refused(409, "idempotency_conflict");
    let long = stored.admin("POST", "/connections").header("idempotency-key", &"k".repeat(256)).json(&sample("long", "planted"));
    long.send().refused(400, "malformed_request");
    stored.show("long").expect(404);
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn of_many_at_the_same_instant_one_takes_effect(#[case] engine: Engine) {
    let stored = Arc::new(Stored::start(engine));
    let first = stored.create("sales", "planted");
    let barrier = Arc::new(Barrier::new(8));
    let sent: Vec<_> = (0..8)
        .map(|_| {
            let (stored, barrier, first) = (stored.clone(), barrier.clone(), first.clone());
            thread::spawn(move || {
                let edit =
                    stored.admin("PATCH", "/connections/sales").header("idempotency-key", "edit").header("if-match", &first);
                barrier.wait();
                edit.json(&json!({"tags": ["once"]})).send().status
            })
        })
        .collect();
    for answer in sent {
        assert_eq!(answer.join().expect("an answer"), 200);
    }
    assert_eq!(stored.show("sales").expect(200).json()["version"], 2);
}
