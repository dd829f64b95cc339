//! Who did what: the list of what happened, its filters, its pages and its export. On both stores.

use std::{thread, time::Duration};

use dataflow_tests::{
    session::Session,
    stored::{Engine, Stored},
};
use rstest::rstest;
use serde_json::{Value, json};

fn ask(stored: &Stored, query: &str) -> Vec<Value> {
    let list = stored.admin("GET", &format!("/activity{query}")).send().expect(200).json();
    list["items"].as_array().expect("a list").clone()
}

/// Actions and objects, newest first.
fn told(entries: &[Value]) -> Vec<String> {
    let text = |entry: &Value, member: &str| entry[member].as_str().unwrap_or_default().to_owned();
    entries.iter().map(|entry| format!("{} {}", text(entry, "action"), text(entry, "object"))).collect()
}

/// Waits until the reads are indexed.
fn until(stored: &Stored, query: &str, reads: i64) -> Vec<Value> {
    for _ in 0..100 {
        let entries = ask(stored, query);
        let counted: i64 = entries.iter().filter_map(|entry| entry["count"].as_i64()).sum();
        if counted >= reads {
            return entries;
        }
        thread::sleep(Duration::from_millis(100));
    }
    panic!("{reads} reads are not indexed within 10 s: {:?}", ask(stored, query))
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn what_happened_is_found_by_person_workflow_connection_and_action(#[case] engine: Engine) {
    let stored = Stored::start(engine);
    stored.create("sales", "planted");
    stored.create("crm", "planted");
    stored.edit("sales", &json!({"description": "x"})).expect(200);
    let robot = stored.token("robot", "user", None);
    let read = |name: &str, workflow: &str| {
        let path = format!("/workspaces/default/connections/{name}/credentials");
        let request = stored.request(&robot, "GET", &path).header("dataflow-workflow", workflow);
        request.send().expect(200);
    };
    for _ in 0..3 {
        read("sales", "kind=pipeline; name=\"nightly\"; run=\"7\"");
    }
    read("crm", "kind=app; name=\"shop\"");
    until(&stored, "?action=credentials.read", 4);

    assert_eq!(
        told(&ask(&stored, "?connection=sales")),
        ["workflow.first_used sales", "credentials.read sales", "connection.edit sales", "connection.create sales"]
    );
    assert_eq!(told(&ask(&stored, "?workflow=nightly")), ["credentials.read sales"]);
    assert_eq!(told(&ask(&stored, "?actor=token%20robot&connection=crm")), ["credentials.read crm"]);
    assert_eq!(told(&ask(&stored, "?action=connection.create")), ["connection.create crm", "connection.create sales"]);
    assert_eq!(told(&ask(&stored, "?actor=nobody")), Vec::<String>::new());
    assert_eq!(told(&ask(&stored, "?since=2100-01-01T00:00:00Z")), Vec::<String>::new());
    let entry = &ask(&stored, "?workflow=nightly")[0];
    for (member, value) in [
        ("actor", json!("token robot")),
        ("count", json!(3)),
        ("version", json!(2)),
        ("address", json!("127.0.0.1")),
        ("workflow", json!({"kind": "pipeline", "name": "nightly", "run": "7"})),
    ] {
        assert_eq!(entry[member], value, "{member} of {entry}");
    }
    let edit = &ask(&stored, "?action=connection.edit")[0];
    assert_eq!(edit["detail"], json!({"version": 2, "fields": []}));
    // A token of the workspace does not see what belongs to none.
    let all = told(&ask(&stored, "?limit=200"));
    assert!(!all.iter().any(|entry| entry.starts_with("person.")), "{all:?}");

    let mut paged = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = stored.admin("GET", &format!("/activity?limit=2{cursor}")).send().expect(200).json();
        paged.extend(told(page["items"].as_array().expect("a list")));
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(paged, all);
    let export = stored.admin("GET", "/activity/export").send();
    export.expect(200);
    assert_eq!(export.header("content-type"), "application/jsonl");
    let lines: Vec<Value> = export.text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(told(&lines), all);
    let one = stored.admin("GET", "/activity/export?workflow=shop").send().expect(200).text();
    assert_eq!(one.lines().count(), 1, "{one}");

    stored.admin("GET", "/activity?actor=%00").send().refused_field("invalid_fields", "actor");
    stored.admin("GET", "/activity?since=yesterday").send().refused_field("invalid_fields", "since");
    stored.admin("GET", "/activity/export?cursor=x").send().refused(400, "malformed_request");
    on_the_page(&stored);
}

/// What happened to one connection, of whatever it is known: its events, its tests, who used it first, and for whom it failed.
#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn a_connection_has_its_own_activity(#[case] engine: Engine) {
    let stored = Stored::start(engine);
    let mut body = dataflow_tests::stored::sample("sales", "planted");
    (body["host"], body["port"]) = (json!("127.0.0.1"), json!(1));
    stored.admin("POST", "/connections").json(&body).send().expect(201);
    stored.create("crm", "planted");
    stored.admin("POST", "/connections/sales/test").send().expect(200);
    let checks = || stored.admin("GET", "/connections/sales/checks").send().expect(200).json();
    (0..100)
        .find(|_| {
            checks()["items"] != json!([]) || {
                thread::sleep(Duration::from_millis(50));
                false
            }
        })
        .expect("it is kept");
    let read = |token: &str, told: &[(&str, &str)]| {
        let request = stored.request(token, "GET", "/workspaces/default/connections/sales/credentials");
        told.iter().fold(request, |request, (name, value)| request.header(name, value)).send()
    };
    let robot = stored.token("robot", "user", None);
    let nightly = ("dataflow-workflow", "kind=pipeline; name=\"nightly\"; run=\"7\"");
    let held = read(&robot, &[nightly]).expect(200).header("etag").to_owned();
    read(&robot, &[("if-none-match", &held)]).expect(304);
    read(&robot, &[nightly, ("if-none-match", &held), ("dataflow-failed", "?1")]).expect(304);
    stored.edit("sales", &json!({"description": "x"})).expect(200);

    let all = ask(&stored, "?connection=sales");
    let told_of_it: Vec<_> =
        told(&all).into_iter().filter(|line| !line.starts_with("credentials.") && line != "connection.test sales").collect();
    let expected = [
        "connection.edit sales",
        "workflow.failed sales",
        "workflow.first_used sales",
        "workflow.first_used sales",
        "connection.checked sales",
        "connection.create sales",
    ];
    assert_eq!(told_of_it, expected);
    let one = |query: &str| ask(&stored, &format!("?connection=sales&{query}"));
    let failed = &one("action=workflow.failed")[0];
    assert_eq!(failed["workflow"], json!({"kind": "pipeline", "name": "nightly", "run": null}));
    assert_eq!((&failed["version"], &failed["actor"]), (&json!(1), &json!("")));
    let first = one("action=workflow.first_used");
    assert_eq!(
        [&first[0]["actor"], &first[0]["workflow"], &first[1]["workflow"]["name"]],
        [&json!("token robot"), &Value::Null, &json!("nightly")]
    );
    let checked = &one("action=connection.checked")[0];
    assert_eq!(checked["detail"], json!({"result": "failed", "cause": "Port closed"}));
    assert_eq!((&checked["actor"], &checked["authentic"]), (&json!("token admin"), &Value::Null));
    assert_eq!(told(&one("workflow=nightly&action=workflow.first_used")), ["workflow.first_used sales"]);
    assert_eq!(told(&one("actor=token%20admin&action=connection.checked")), ["connection.checked sales"]);
    for none in ["actor=nobody", "workflow=nobody", "since=2100-01-01T00:00:00Z"] {
        assert_eq!(told(&one(none)), Vec::<String>::new(), "{none}");
    }
    assert_eq!(told(&ask(&stored, "?connection=crm")), ["connection.create crm"]);
    assert_eq!(told(&ask(&stored, "?action=connection.checked")), Vec::<String>::new(), "of one connection alone");

    // Page by page it is the same.
    until(&stored, "?connection=sales&action=credentials.read", 1);
    let (mut paged, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = stored.admin("GET", &format!("/activity?connection=sales&limit=1{cursor}")).send().expect(200).json();
        paged.extend(page["items"].as_array().expect("a list").clone());
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(told(&paged), told(&ask(&stored, "?connection=sales")));

    // On its page, for those who may see it.
    let owner = Session::start(&stored.server);
    let page = owner.get("/w/default/connections/sales").expect(200).text();
    let words = [
        "Connection edited",
        "A workflow could not connect",
        "the pipeline nightly · version 1",
        "result: failed",
        "Connection created",
    ];
    for words in [&words[..], &["/w/default/activity?connection=sales"]].concat() {
        assert!(page.contains(words), "{words}: {page}");
    }
    assert!(!page.contains("Credentials given"), "{page}");
    let page = owner.get("/w/default/activity?connection=sales&action=workflow.failed").expect(200).text();
    assert!(page.contains("<option value=\"workflow.failed\" selected>") && page.contains("nightly"), "{page}");
    stored.add_member("eve@example.org");
    let link = owner.submit("/w/default/access/link", "email=eve%40example.org").expect(201).text();
    let code = link.split("/link/").nth(1).and_then(|rest| rest.split('<').next()).expect("a link");
    let nobody = Session::nobody(&stored.server);
    nobody.submit("/link", &format!("code={code}&password=another+long+password")).expect(303);
    let viewer = Session::of(&stored.server, "eve@example.org", "another long password");
    let page = viewer.get("/w/default/connections/sales").expect(200).text();
    assert!(page.contains("Used by") && !page.contains("id=\"activity\""), "{page}");
}

/// Whoever can write the store bends what is shown: the page and the export say so of that event, and show the others.
#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn an_event_that_was_bent_is_shown_as_that(#[case] engine: Engine) {
    let stored = Stored::start(engine);
    for name in ["sales", "stock", "crm"] {
        stored.create(name, "planted");
    }
    let all = ask(&stored, "");
    assert!(all.len() > 3 && all.iter().all(|entry| entry["authentic"] == json!(true)), "{all:?}");
    let owner = Session::start(&stored.server);
    let words = "Changed outside of this program";
    assert!(!owner.get("/w/default/activity").expect(200).text().contains(words));
    let mut ways = vec![
        "actor = 'eve@example.org'",
        "detail = '[no JSON'",
        "detail = '[7]'",
        "at = at - 1",
        "at = 9000000000000000000",
        "at = -9000000000000000000",
    ];
    if matches!(engine, Engine::Sqlite) {
        ways.extend(["actor = X'FF00'", "object = 7", "detail = X'FF'", "mac = 'no bytes'", "seq = 'none'"]);
    }
    for way in ways {
        stored.sql("CREATE TABLE kept AS SELECT * FROM audit_events");
        stored.sql(&format!("UPDATE audit_events SET {way} WHERE action = 'connection.create' AND object = 'stock'"));
        let bent: Vec<_> = ask(&stored, "").into_iter().filter(|entry| entry["authentic"] == json!(false)).collect();
        assert_eq!(bent.len(), usize::from(way != "seq = 'none'"), "{way}: {bent:?}");
        assert_eq!(ask(&stored, "").len(), all.len(), "{way}");
        let shown = owner.get("/w/default/activity").expect(200).text();
        assert_eq!(shown.matches(words).count(), bent.len(), "{way}");
        let export = stored.admin("GET", "/activity/export").send().expect(200).text();
        assert_eq!(export.matches("\"authentic\":false").count(), bent.len(), "{way}: {export}");
        stored.sql("DELETE FROM audit_events; INSERT INTO audit_events SELECT * FROM kept; DROP TABLE kept");
    }
}

/// An owner sees beside it what belongs to no workspace.
fn on_the_page(stored: &Stored) {
    let owner = Session::start(&stored.server);
    let page = owner.get("/w/default/activity").expect(200).text();
    for words in ["Signed in", "Account created", "token robot", "Credentials given", "3 times · version 2", "nightly"] {
        assert!(page.contains(words), "{words}: {page}");
    }
    let page = owner.get("/w/default/activity?connection=crm&action=credentials.read").expect(200).text();
    assert!(page.contains("shop") && !page.contains("nightly"), "{page}");
    assert!(!page.contains("<td role=\"cell\">Signed in"), "{page}");
    assert!(page.contains("/w/default/activity/export?connection=crm&#38;action=credentials.read"), "{page}");
    assert!(owner.get("/w/default/activity?actor=nobody").expect(200).text().contains("No match"));
    assert!(owner.get("/w/default/activity?actor=%01").expect(200).text().contains("Cannot look for that"));
    let file = owner.get("/w/default/activity/export?workflow=nightly");
    file.expect(200);
    assert_eq!(file.header("content-disposition"), "attachment; filename=\"default-activity.jsonl\"");
    assert_eq!((file.text().lines().count(), file.header("cache-control")), (1, "no-store"));
}
