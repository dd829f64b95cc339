//! Other names of a connection, through every door: the API on both stores, two nodes, a shell, and the Studio's dialogs.

use std::{
    thread,
    time::{Duration, Instant},
};

use dataflow_tests::{
    http::Request,
    nodes::Remote,
    session::Session,
    shell::{Home, says},
    stored::{Engine, Stored},
};
use rstest::rstest;
use serde_json::{Value, json};

/// Resolves a name as a script of this name.
fn use_it(stored: &Stored, name: &str, script: &str) {
    let asked = stored.admin("GET", &format!("/connections/{name}/credentials"));
    asked.header("dataflow-workflow", &format!("kind=script; name=\"{script}\"")).send().expect(200);
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn a_name_goes_on_working_until_it_is_taken_away(#[case] engine: Engine) {
    let stored = Stored::start(engine);
    for name in ["sales", "warehouse", "other"] {
        stored.create(name, "planted");
    }
    use_it(&stored, "sales", "a.py");
    let before = stored.credentials("sales");
    let rename = |body: &Value| stored.admin("POST", "/connections/sales/rename").json(body);
    rename(&json!({"name": "shop"})).send().refused(428, "precondition_required");
    for (body, field) in [(json!({"name": "no name"}), "name"), (json!({"name": "shop", "more": 1}), "")] {
        let refused = rename(&body).header("if-match", "*").send();
        if field.is_empty() {
            assert_eq!(refused.status / 100, 4, "{}", refused.text());
        } else {
            assert_eq!(refused.expect(422).json()["errors"][0]["field"], field);
        }
    }
    rename(&json!({"name": "Warehouse"})).header("if-match", "*").send().refused(409, "name_taken");
    stored.edit("sales", &json!({"name": "shop"})).expect(422);
    let etag = stored.show("sales").header("etag").to_owned();
    let once = || rename(&json!({"name": "shop"})).header("if-match", &etag).header("idempotency-key", "once").send();
    // The same once more is answered alike, although what it named has moved on.
    for _ in 0..2 {
        let renamed = once().expect(200).json();
        assert_eq!((&renamed["name"], &renamed["version"]), (&json!("shop"), &json!(2)));
    }
    rename(&json!({"name": "shelf"})).header("if-match", &etag).send().refused(412, "version_conflict");

    let after = stored.credentials("sales");
    assert_eq!((after.header("etag"), &after.json()["name"]), (before.header("etag"), &json!("shop")));
    assert_eq!(stored.credentials("shop").json()["fields"]["password"], "planted");
    let aliases = stored.admin("GET", "/connections/shop/aliases").send().expect(200).json();
    let alias = &aliases["items"][0];
    assert_eq!((&alias["name"], &alias["total"], &alias["idle"]), (&json!("sales"), &json!(2), &json!(false)));
    let dependents = stored.admin("GET", "/connections/shop/dependents").send().expect(200).json();
    assert_eq!(dependents["aliases"], json!([{"name": "sales", "total": 2}]));
    let listed = stored.admin("GET", "/connections?search=shop").send().expect(200).json();
    assert_eq!(listed["items"][0]["dependents"], json!(3));

    // A test, a version and a check by the old name are the connection's.
    stored.admin("POST", "/connections/sales/test").send().expect(200);
    stored.edit("sales", &json!({"description": "by the old name"})).expect(200);
    let diff = stored.admin("GET", "/connections/sales/versions/2/diff").send().expect(200).json();
    assert_eq!((&diff["changes"][0]["before"], &diff["changes"][0]["after"]), (&json!("sales"), &json!("shop")));
    assert_eq!(diff["changes_clients"], json!(false));

    let asked = |to: &str| stored.admin("GET", &format!("/connections/shop/repoint?to={to}")).send();
    asked("nothing").expect(422);
    let impact = asked("warehouse").expect(200).json();
    assert_eq!((&impact["total"], &impact["repointing"]["to"]), (&json!(3), &json!("warehouse")));
    stored.post("shop", "repoint", &json!({"to": "warehouse"})).refused(409, "has_dependents");
    let body = json!({"to": "warehouse", "reason": "moved", "impact_token": impact["token"]});
    assert_eq!(stored.post("shop", "repoint", &body).expect(200).json()["name"], "warehouse");
    for name in ["sales", "shop"] {
        assert_eq!(stored.credentials(name).expect(200).json()["name"], "warehouse", "{name}");
    }
    let tombstones = stored.admin("GET", "/tombstones").send().expect(200).json();
    let gone = &tombstones["items"][0];
    assert_eq!((&gone["name"], &gone["reason"], &gone["use_instead"]), (&json!("shop"), &json!("moved"), &json!("warehouse")));
    stored.post("shop", "restore", &json!({})).refused(409, "name_taken");
    let alias = stored.admin("DELETE", "/connections/warehouse/aliases/shop");
    let refused = alias.send();
    refused.refused(409, "has_dependents");
    let token = refused.json()["impact"]["token"].as_str().expect("a token").to_owned();
    let path = format!("/connections/warehouse/aliases/shop?impact_token={token}");
    stored.admin("DELETE", &path).send().expect(204);
    stored.credentials("shop").refused(410, "connection_deleted");
    stored.post("shop", "restore", &json!({})).expect(200);
    assert_eq!(stored.credentials("shop").json()["name"], "shop");
    assert_eq!(stored.credentials("sales").json()["name"], "warehouse");
    // Whoever means the old name does not delete the connection by it.
    let refused = stored.delete("sales");
    refused.refused(422, "invalid_fields");
    assert_eq!(refused.json()["errors"][0]["code"], "is_alias", "{}", refused.text());
    stored.delete("warehouse").expect(204);
    for name in ["sales", "warehouse"] {
        let gone = stored.credentials(name);
        gone.refused(410, "connection_deleted");
        assert!(gone.json()["detail"].as_str().is_some_and(|detail| detail.contains(&format!("“{name}”"))), "{}", gone.text());
    }
}

/// A node that holds in memory where a name led learns of it from the store.
#[test]
fn every_node_follows_a_name() {
    let stored = Stored::start(Engine::Postgres);
    for name in ["sales", "warehouse"] {
        stored.create(name, "planted");
    }
    let node = Remote::start(&stored);
    let there = |name: &str| {
        let path = format!("/api/v1/workspaces/default/connections/{name}/credentials");
        Request::new(node.port.number(), "GET", path).token(&stored.admin).send()
    };
    let follows = |what: &str, is_so: &dyn Fn() -> bool| {
        let begun = Instant::now();
        while !is_so() {
            assert!(begun.elapsed() < Duration::from_secs(5), "{what}: not within five seconds");
            thread::sleep(Duration::from_millis(50));
        }
    };
    there("sales").expect(200);
    stored.post("sales", "rename", &json!({"name": "shop"})).expect(200);
    follows("renamed", &|| there("sales").json()["name"] == "shop" && there("shop").json()["name"] == "shop");
    let impact = stored.admin("GET", "/connections/shop/repoint?to=warehouse").send().expect(200).json();
    stored.post("shop", "repoint", &json!({"to": "warehouse", "impact_token": impact["token"]})).expect(200);
    follows("led elsewhere", &|| there("sales").json()["name"] == "warehouse" && there("shop").json()["name"] == "warehouse");
    // The other node writes within a second who has used it.
    let aliases = || stored.admin("GET", "/connections/warehouse/aliases").send().expect(200).json();
    follows("seen used", &|| aliases()["items"][0]["impact_token"].is_string());
    let token = aliases()["items"][0]["impact_token"].as_str().expect("a token").to_owned();
    stored.admin("DELETE", &format!("/connections/warehouse/aliases/sales?impact_token={token}")).send().expect(204);
    follows("taken away", &|| there("sales").status == 410);
}

#[test]
fn names_in_a_shell() {
    let stored = Stored::start(Engine::Sqlite);
    let home = Home::default();
    home.run(&["login", "--url", &stored.server.url(), "--token-stdin"], &stored.admin).stdout();
    let run = |words: &[&str]| home.run(&[&["connections"], words].concat(), "");
    for name in ["sales", "warehouse", "unused"] {
        stored.create(name, "planted");
    }
    use_it(&stored, "sales", "a.py");
    assert!(run(&["aliases", "sales"]).stderr.contains("has no other name"));
    says(
        &run(&["rename", "sales", "shop", "--no-alias"]),
        &["1 workflow depends on “sales”", "a.py", "--yes", "Nothing was renamed"],
    );
    let renamed = run(&["rename", "sales", "shop"]);
    assert!(renamed.stdout().contains("shop"), "{}", renamed.stdout);
    assert!(renamed.stderr.contains("programs go on using it by “sales”"), "{}", renamed.stderr);
    says(&run(&["rename", "unused", "sales"]), &["“sales” is taken"]);
    let listed = run(&["aliases", "shop"]);
    assert!(listed.stdout().contains("sales"), "{}", listed.stdout);
    assert!(run(&["dependents", "shop"]).stdout().contains("a.py (by “sales”)"));
    says(&run(&["remove-alias", "shop"]), &["is the connection's own name"]);
    says(&run(&["remove-alias", "sales"]), &["1 workflow depends on “sales”", "--yes", "Nothing was removed"]);
    says(&run(&["repoint", "shop", "--to", "warehouse"]), &["1 by “sales”", "--yes", "Nothing was changed"]);
    let led = run(&["repoint", "shop", "--to", "warehouse", "--yes", "--reason", "moved"]);
    assert!(led.stderr.contains("“shop” leads to “warehouse” from now on"), "{}", led.stderr);
    assert_eq!(stored.credentials("sales").json()["name"], "warehouse");
    says(&run(&["restore", "shop"]), &["remove-alias shop"]);
    assert!(run(&["remove-alias", "shop", "--yes"]).stderr.contains("leads nowhere any more"));
    run(&["restore", "shop"]).stdout();
    // By an alias it is its connection that is deleted, and it says so.
    assert!(run(&["delete", "sales", "--yes"]).stderr.contains("Deleted “warehouse”"));
    says(&run(&["restore", "sales"]), &["was last another name of “warehouse”", "by its own name"]);
    run(&["rename", "shop", "shelf", "--no-alias", "--yes"]).stdout();
    stored.credentials("shop").refused(404, "not_found");
}

/// What was led elsewhere since, and deleted there, does not come back as what had the name before.
#[test]
fn a_name_that_was_last_an_alias_brings_nothing_older_back() {
    let stored = Stored::start(Engine::Sqlite);
    stored.create("sales", "planted");
    stored.delete("sales").expect(204);
    let older =
        stored.admin("GET", "/tombstones").send().expect(200).json()["items"][0]["etag"].as_str().expect("one").to_owned();
    stored.create("shop", "planted");
    stored.post("shop", "rename", &json!({"name": "sales", "keep_alias": false})).expect(200);
    stored.post("sales", "rename", &json!({"name": "warehouse"})).expect(200);
    stored.post("sales", "restore", &json!({})).refused(409, "name_taken");
    assert_eq!(stored.credentials("sales").json()["name"], "warehouse");
    stored.delete("warehouse").expect(204);
    let refused = stored.post("sales", "restore", &json!({})).refused(422, "invalid_fields");
    assert_eq!((&refused["errors"][0]["field"], &refused["errors"][0]["code"]), (&json!("name"), &json!("is_alias")));
    assert!(refused["errors"][0]["message"].as_str().is_some_and(|text| text.contains("“warehouse”")), "{refused}");
    stored.credentials("sales").refused(410, "connection_deleted");
    // Nothing is said of what he may not see to whoever is narrowed to the one name.
    stored.admin("POST", "/connections/sales/restore").send().refused(428, "precondition_required");
    stored.post("warehouse", "restore", &json!({})).expect(200);
    assert_eq!(stored.credentials("sales").json()["name"], "warehouse");
    stored.delete("warehouse").expect(204);
    // Who means the older one names it.
    stored.admin("POST", "/connections/sales/restore").header("if-match", &older).send().expect(200);
    assert_eq!(stored.credentials("sales").json()["name"], "sales");
}

#[test]
fn names_in_the_studio() {
    let stored = Stored::start(Engine::Sqlite);
    for name in ["sales", "warehouse"] {
        stored.create(name, "planted");
    }
    let owner = Session::start(&stored.server);
    let at = |path: &str| format!("/w/default/connections/{path}");
    let etag = |name: &str| stored.show(name).header("etag").replace('"', "%22");
    let led = |answer: &dataflow_tests::http::Answer| answer.header("location").to_owned();

    let renamed = owner.submit(&at("sales/rename"), &format!("etag={}&name=shop&keep_alias=yes", etag("sales")));
    assert_eq!(led(renamed.expect(303)), at("shop?done=renamed"));
    assert_eq!(led(owner.get(&at("sales")).expect(303)), at("shop"), "an alias's page is its connection's");
    assert_eq!(led(owner.get(&at("sales/delete")).expect(303)), at("shop/delete"));
    use_it(&stored, "sales", "a.py");
    let page = owner.get(&at("shop")).expect(200).text();
    assert!(page.contains("Other names") && page.contains("used by 1 workflow, 1 now") && page.contains("by “sales”"), "{page}");
    let refused = owner.submit(&at("shop/rename"), &format!("etag={}&name=warehouse&keep_alias=yes", etag("shop")));
    assert!(refused.expect(409).text().contains("“warehouse” is taken"));

    // Without an alias it says first who fails.
    use_it(&stored, "shop", "b.py");
    let away = format!("etag={}&name=shelf", etag("shop"));
    let asked = owner.submit(&at("shop/rename"), &away).expect(409).text();
    assert!(asked.contains("b.py") && !asked.contains("a.py"), "{asked}");
    let token = asked.split("name=\"impact\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a token");
    assert_eq!(owner.submit(&at("shop/rename"), &format!("{away}&impact={token}&confirm=shelf")).status, 409);
    let renamed = owner.submit(&at("shop/rename"), &format!("{away}&impact={token}&confirm=shop"));
    assert_eq!(led(renamed.expect(303)), at("shelf?done=renamed"));
    stored.credentials("shop").refused(404, "not_found");

    let dialog = owner.get(&at("shelf/repoint?to=warehouse")).expect(200).text();
    assert!(dialog.contains("a.py") && dialog.contains("Lead “shelf” to “warehouse”"), "{dialog}");
    let token = dialog.split("name=\"impact\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a token");
    let body = format!("etag={}&to=warehouse&impact={token}&confirm=", etag("shelf"));
    assert_eq!(owner.submit(&at("shelf/repoint"), &format!("{body}sales")).status, 422);
    assert_eq!(led(owner.submit(&at("shelf/repoint"), &format!("{body}shelf")).expect(303)), at("warehouse?done=repointed"));

    let dialog = owner.get(&at("warehouse/aliases/sales/remove")).expect(200).text();
    let token = dialog.split("name=\"impact\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a token");
    let remove = |body: &str| owner.submit(&at("warehouse/aliases/sales/remove"), body);
    assert_eq!(remove("confirm=sales").status, 409);
    assert_eq!(led(remove(&format!("confirm=sales&impact={token}")).expect(303)), at("warehouse?done=unaliased"));
    stored.credentials("sales").refused(410, "connection_deleted");
    owner.get(&at("warehouse/aliases/sales/remove")).expect(404);
}
