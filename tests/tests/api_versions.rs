//! What a connection was before, over the API, on both stores; and in a shell.

use dataflow_tests::{
    http::Answer,
    shell::{Home, Ran, says},
    stored::{Engine, Stored},
};
use rstest::rstest;
use serde_json::{Value, json};

/// Three versions: as created, elsewhere with another password, and with another description.
fn three(stored: &Stored) {
    stored.create("sales", "planted-1");
    stored.edit("sales", &json!({"host": "replica.example.org", "password": "planted-2"})).expect(200);
    stored.edit("sales", &json!({"description": "The replica", "tags": ["eu"]})).expect(200);
}

fn versions(stored: &Stored, query: &str) -> Value {
    stored.admin("GET", &format!("/connections/sales/versions{query}")).send().expect(200).json()
}

fn restore(stored: &Stored, number: i64, if_match: &str) -> Answer {
    stored.admin("POST", &format!("/connections/sales/versions/{number}/restore")).header("if-match", if_match).send()
}

fn purge(stored: &Stored, number: i64, if_match: &str) -> Answer {
    stored.admin("DELETE", &format!("/connections/sales/versions/{number}")).header("if-match", if_match).send()
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn every_save_is_a_version_that_tells_what_it_changed(#[case] engine: Engine) {
    let stored = Stored::start(engine);
    three(&stored);
    let list = versions(&stored, "");
    let told = |member: &str| -> Vec<Value> {
        list["items"].as_array().into_iter().flatten().map(|item| item[member].clone()).collect()
    };
    assert_eq!(told("version"), [3, 2, 1]);
    assert_eq!(told("since"), [json!(2), json!(1), json!(null)]);
    assert_eq!(told("current"), [true, false, false]);
    assert_eq!(told("changes_clients"), [false, true, true]);
    assert_eq!(told("changed")[..2], [json!(["description", "tags"]), json!(["host", "password"])]);
    assert_eq!((told("saved_by"), told("altered")), (vec![json!("token admin"); 3], vec![json!(false); 3]));
    let first = versions(&stored, "?limit=2");
    assert_eq!((first["items"].as_array().map(Vec::len), &first["items"][1]["since"]), (Some(2), &json!(1)), "{first}");
    let next = versions(&stored, &format!("?limit=2&cursor={}", first["next"].as_str().expect("another page")));
    assert_eq!((&next["items"][0]["version"], &next["next"]), (&json!(1), &json!(null)), "{next}");
    stored.admin("GET", "/connections/sales/versions?cursor=QQ").send().refused_field("invalid_fields", "cursor");

    let diff = stored.admin("GET", "/connections/sales/versions/2/diff").send().expect(200).json();
    let host =
        json!({"field": "host", "label": "Host", "before": "db.example.org", "after": "replica.example.org", "secret": null});
    let password = json!({"field": "password", "label": "Password", "before": null, "after": null, "secret": "changed"});
    assert_eq!(diff, json!({"from": 1, "to": 2, "changes_clients": true, "changes": [host, password]}));
    let back = stored.admin("GET", "/connections/sales/versions/1/diff?from=3").send().expect(200).json();
    let fields: Vec<_> = back["changes"].as_array().into_iter().flatten().map(|change| &change["field"]).collect();
    assert_eq!(fields, ["description", "tags", "host", "password"]);
    assert_eq!((&back["changes"][1]["before"], &back["changes"][1]["after"]), (&json!(["eu"]), &json!(null)));
    for (path, status) in
        [("4/diff", 404), ("2/diff?from=9", 404), ("2/diff?from=-1", 404), ("2/diff?from=x", 400), ("2/diff?with=1", 400)]
    {
        stored.admin("GET", &format!("/connections/sales/versions/{path}")).send().expect(status);
    }

    let shown = stored.admin("GET", "/connections/sales/versions/1").send();
    let version = shown.expect(200).json();
    assert_eq!((&version["host"], &version["password"]), (&json!("db.example.org"), &json!({"set": true})));
    assert_eq!((&version["current"], &version["secrets_also_in"]), (&json!(false), &json!([])));
    let two = stored.admin("GET", "/connections/sales/versions/2").send().expect(200).json();
    assert_eq!(two["secrets_also_in"], json!([3]));
    for number in ["0", "01", "4", "-1", "1.0", "x", "99999999999999999999", "1%00"] {
        stored.admin("GET", &format!("/connections/sales/versions/{number}")).send().refused(404, "not_found");
    }
    assert_eq!(stored.admin("GET", "/connections/sales/versions/3").send().header("etag"), stored.show("sales").header("etag"));
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn a_restore_serves_the_old_credentials_as_a_new_version(#[case] engine: Engine) {
    let stored = Stored::start(engine);
    stored.create("sales", "first");
    let old = stored.credentials("sales");
    stored.edit("sales", &json!({"host": "replica.example.org", "password": "second"})).expect(200);
    let etag = stored.edit("sales", &json!({"description": "The replica"})).expect(200).header("etag").to_owned();
    restore(&stored, 1, "\"other\"").refused(412, "version_conflict");
    restore(&stored, 9, "*").refused(404, "not_found");
    stored.admin("POST", "/connections/sales/versions/1/restore").send().refused(428, "precondition_required");
    assert_eq!(stored.credentials("sales").json()["fields"]["password"], "second");

    let once =
        stored.admin("POST", "/connections/sales/versions/1/restore").header("if-match", &etag).header("idempotency-key", "k");
    let restored = once.send();
    assert_eq!((&restored.expect(200).json()["version"], &restored.json()["description"]), (&json!(4), &json!("")));
    assert_eq!(once.send().expect(200).json()["version"], 4, "the repeat is no stale change, and no fifth version");
    let now = stored.credentials("sales");
    assert_eq!((now.header("etag"), &now.json()["fields"]), (old.header("etag"), &old.json()["fields"]));
    assert_eq!(now.json()["version"], 4);
    assert_eq!(stored.admin("GET", "/connections?search=replica").send().json()["items"], json!([]), "search words follow");
    let list = stored.admin("GET", "/connections?search=sales").send().json();
    assert_eq!(list["items"][0]["address"], "db.example.org:5432 / sales");
    // What equals the current version makes none, and leaves no event.
    assert_eq!(restore(&stored, 1, "*").expect(200).json()["version"], 4);
    let list = versions(&stored, "");
    assert_eq!((&list["items"][0]["restored_from"], &list["items"][0]["version"]), (&json!(1), &json!(4)));
    let event = "SELECT actor, object, detail FROM audit_events WHERE action = 'connection.restore_version'";
    let told = "token admin|sales|{\"version\":4,\"from\":1,\"fields\":[\"host\",\"password\"]}";
    assert_eq!(stored.events(event), told);

    stored.delete("sales").expect(204);
    restore(&stored, 1, "*").refused(410, "connection_deleted");
    purge(&stored, 1, "*").refused(410, "connection_deleted");
    for path in ["", "/1", "/2/diff"] {
        stored.admin("GET", &format!("/connections/sales/versions{path}")).send().refused(410, "connection_deleted");
    }
    stored.create("sales", "another");
    assert_eq!(versions(&stored, "")["items"].as_array().map(Vec::len), Some(1), "one of the same name has its own");
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn a_purged_version_is_gone(#[case] engine: Engine) {
    let stored = Stored::start(engine);
    three(&stored);
    let first = stored.admin("GET", "/connections/sales/versions/1").send().expect(200).header("etag").to_owned();
    let editor = stored.token("eve", "editor", None);
    let path = "/workspaces/default/connections/sales/versions/1";
    stored.request(&editor, "DELETE", path).header("if-match", &first).send().refused(403, "forbidden");
    stored.request(&editor, "DELETE", path).send().refused(403, "forbidden");
    stored.admin("DELETE", "/connections/sales/versions/1").send().refused(428, "precondition_required");
    purge(&stored, 1, stored.show("sales").header("etag")).refused(412, "version_conflict");
    let current = purge(&stored, 3, "*").refused(403, "forbidden");
    assert!(current["detail"].as_str().is_some_and(|text| text.contains("the version that serves")), "{current}");
    let once = stored.admin("DELETE", "/connections/sales/versions/1").header("if-match", &first).header("idempotency-key", "k");
    once.send().expect(204);
    once.send().expect(204);
    purge(&stored, 1, "*").refused(404, "not_found");
    restore(&stored, 1, "*").refused(404, "not_found");
    let left: Vec<_> =
        versions(&stored, "")["items"].as_array().into_iter().flatten().map(|item| item["version"].clone()).collect();
    assert_eq!(left, [3, 2]);
    assert_eq!(restore(&stored, 2, "*").expect(200).json()["version"], 4);
    assert_eq!(
        stored.events("SELECT actor, object, detail FROM audit_events WHERE action = 'connection.purge_version'"),
        "token admin|sales|{\"version\":1}"
    );
}

#[test]
fn versions_in_a_shell() {
    let stored = Stored::start(Engine::Sqlite);
    let home = Home::default();
    home.run(&["login", "--url", &stored.server.url(), "--token-stdin"], &stored.admin).stdout();
    let run = |words: &[&str]| home.run(&[&["connections"], words].concat(), "");
    let json = |ran: &Ran| serde_json::from_str::<Value>(ran.stdout()).unwrap_or_else(|error| panic!("{error}: {}", ran.stdout));
    three(&stored);
    let list = run(&["versions", "sales"]);
    for words in ["VERSION", "host, password", "description, tags", "current", "token admin"] {
        assert!(list.stdout().contains(words), "{words}: {}", list.stdout);
    }
    assert_eq!(json(&run(&["versions", "sales", "--output", "json"]))[0]["version"], 3);
    let diff = run(&["diff", "sales"]);
    assert!(diff.stdout().contains("The replica") && diff.stderr.contains("Clients notice nothing"), "{diff:?}");
    let diff = run(&["diff", "sales", "1"]);
    assert!(diff.stdout().contains("replica.example.org") && diff.stdout().contains("(changed)"), "{diff:?}");
    assert!(diff.stderr.contains("From version 1 to version 3"), "{}", diff.stderr);
    assert_eq!(json(&run(&["diff", "sales", "2", "1", "--output", "json"]))["to"], 1);
    says(&run(&["diff", "sales", "7", "9"]), &["no such version"]);
    says(&run(&["restore", "sales"]), &["--version"]);

    let restored = run(&["restore", "sales", "--version", "1", "--no-test", "--output", "json"]);
    assert_eq!(json(&restored)["host"], "db.example.org");
    assert!(restored.stderr.contains("Restored version 1 as version 4."), "{}", restored.stderr);
    assert_eq!(stored.credentials("sales").json()["fields"]["password"], "planted-1");
    let again = run(&["restore", "sales", "--version", "1"]);
    assert!(again.stderr.contains("Version 4 equals version 1 already"), "{}", again.stderr);
    assert!(run(&["versions", "sales"]).stdout().contains("restored from 1"));

    says(&run(&["purge-version", "sales", "2"]), &["--yes", "version 2"]);
    let purged = run(&["purge-version", "sales", "2", "--yes"]);
    assert_eq!(purged.stdout(), "");
    assert!(purged.stderr.contains("in other versions, too, and stay there: 3"), "{}", purged.stderr);
    says(&run(&["purge-version", "sales", "4", "--yes"]), &["the version that serves"]);
    says(&run(&["purge-version", "sales", "2", "--yes"]), &["no such version"]);
    let told = [list.stdout, diff.stdout, run(&["diff", "sales", "3", "4", "--output", "json"]).stdout].concat();
    assert!(!told.contains("planted"), "{told}");
}
