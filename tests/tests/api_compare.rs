//! Two workspaces side by side over the API, and a connection copied from one to the other, on both stores; and in a shell.

#![expect(clippy::indexing_slicing, reason = "answers are read by name; what is absent is null and fails the test")]

use std::net::TcpListener;

use dataflow_tests::{
    http::{Answer, Request},
    session::Session,
    shell::{Home, Ran, says},
    stored::{Engine, Stored, sample},
};
use rstest::rstest;
use serde_json::{Value, json};

const OTHER_TOKEN: &str = "dataflow-other-token";

/// `default`, which is here, and `prod`, which is there, with a token of an admin.
struct Two {
    stored: Stored,
    prod: String,
}

impl Two {
    fn start(engine: Engine) -> Self {
        let stored = Stored::start(engine);
        stored.create_workspace("prod");
        let prod = stored.server.token("prod", "admin", "prod");
        Self { stored, prod }
    }

    fn there(&self, method: &str, path: &str) -> Request {
        self.stored.request(&self.prod, method, &format!("/workspaces/prod{path}"))
    }

    fn create_there(&self, connection: &Value) {
        self.there("POST", "/connections").json(connection).send().expect(201);
    }

    fn compare(&self, query: &str) -> Value {
        let asked = self.stored.admin("GET", &format!("/compare?with=prod{query}")).header(OTHER_TOKEN, &self.prod);
        asked.send().expect(200).json()
    }

    fn copy(&self, name: &str, body: &Value) -> Request {
        self.stored.admin("POST", &format!("/connections/{name}/copy")).header(OTHER_TOKEN, &self.prod).json(body)
    }

    fn etag_there(&self, name: &str) -> String {
        self.there("GET", &format!("/connections/{name}")).send().expect(200).header("etag").to_owned()
    }
}

/// What differs: `sales` in several ways, `same` in nothing but the password, `dev` is here only and `ops` there.
fn fill(two: &Two) {
    let Two { stored, .. } = two;
    let mut sales = sample("sales", "planted-here");
    sales["host"] = json!("dev.example.org");
    sales["tags"] = json!(["eu"]);
    sales["extra"] = json!({"application_name": "etl"});
    stored.admin("POST", "/connections").json(&sales).send().expect(201);
    let mut sales = sample("sales", "planted-there");
    sales["description"] = json!("Orders");
    sales["tls"] = json!({"mode": "verify-full", "key": null});
    two.create_there(&sales);
    stored.create("same", "planted-here");
    two.create_there(&sample("same", "planted-there"));
    stored.create("dev", "planted-here");
    two.create_there(&sample("ops", "planted-there"));
    let mut keyless = sample("keyless", "planted-here");
    stored.admin("POST", "/connections").json(&keyless).send().expect(201);
    keyless.as_object_mut().expect("an object").remove("password");
    two.create_there(&keyless);
    stored.create("Case", "planted-here");
    two.create_there(&sample("case", "planted-there"));
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn two_workspaces_are_compared_by_name(#[case] engine: Engine) {
    let two = Two::start(engine);
    fill(&two);
    let all = two.compare("");
    let told = |list: &Value| -> Vec<(String, String)> {
        let text = |item: &Value, member: &str| item[member].as_str().expect("a text").to_owned();
        list["items"].as_array().expect("a list").iter().map(|item| (text(item, "name"), text(item, "state"))).collect()
    };
    let expected = [
        ("Case", "differs"),
        ("dev", "only_here"),
        ("keyless", "differs"),
        ("ops", "only_there"),
        ("sales", "differs"),
        ("same", "same"),
    ];
    let expected = expected.map(|(name, state)| (name.to_owned(), state.to_owned()));
    assert_eq!(told(&all), expected);
    assert_eq!(told(&two.compare("&drift=true")), expected[..5]);
    let sales = &all["items"][4];
    let difference = |field: &str, label: &str, [here, there]: [Value; 2], directs: bool| json!({"field": field, "label": label, "here": here, "there": there, "secret": null, "directs": directs});
    assert_eq!(
        sales["differences"],
        json!([
            difference("description", "Description", [json!(null), json!("Orders")], false),
            difference("tags", "Tags", [json!(["eu"]), json!(null)], false),
            difference("host", "Host", [json!("dev.example.org"), json!("db.example.org")], true),
            difference("extra.application_name", "Application name", [json!("etl"), json!(null)], false),
        ])
    );
    assert_eq!(
        (&sales["leads_elsewhere"], &sales["here"]["version"], &sales["there"]["type"]),
        (&json!(true), &json!(1), &json!("postgres"))
    );
    assert_eq!(sales["there"]["etag"], two.etag_there("sales"));
    let keyless = &all["items"][2];
    let password =
        json!({"field": "password", "label": "Password", "here": null, "there": null, "secret": "only_here", "directs": false});
    assert_eq!((&keyless["differences"], &keyless["leads_elsewhere"]), (&json!([password]), &json!(false)));
    let case = &all["items"][0]["differences"];
    assert_eq!(case, &json!([difference("name", "Connection Name", [json!("Case"), json!("case")], false)]));
    assert!(!all.to_string().contains("planted"), "{all}");

    let first = two.compare("&limit=4");
    let next = two.compare(&format!("&limit=4&cursor={}", first["next"].as_str().expect("another page")));
    assert_eq!([told(&first), told(&next)].concat(), expected);
    assert_eq!(next["next"], json!(null));
    let one = two.compare("&name=dev");
    assert_eq!(told(&one), [("dev".to_owned(), "only_here".to_owned())]);
    let fields: Vec<_> = one["items"][0]["differences"].as_array().expect("a list").iter().map(|one| &one["field"]).collect();
    assert_eq!(fields, ["type", "host", "port", "database", "username", "password", "tls.mode"]);
    two.stored.delete("dev").expect(204);
    assert!(!told(&two.compare("")).iter().any(|(name, _)| name == "dev"), "a deleted one is not there");

    let ask = |query: &str| two.stored.admin("GET", &format!("/compare?{query}")).header(OTHER_TOKEN, &two.prod).send();
    ask("with=prod&name=dev").refused(404, "not_found");
    ask("with=prod&name=a/b").refused(404, "not_found");
    ask("with=absent").refused(404, "not_found");
    ask("with=prod&cursor=QQ").refused_field("invalid_fields", "cursor");
    ask("with=prod&limit=201").refused_field("invalid_fields", "limit");
    ask("drift=true").refused(400, "malformed_request");
    let itself = two.stored.admin("GET", "/compare?with=default").header(OTHER_TOKEN, &two.stored.admin).send();
    itself.refused_field("invalid_fields", "with");
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn a_definition_is_copied_without_its_secrets(#[case] engine: Engine) {
    let two = Two::start(engine);
    fill(&two);
    let whole = two.copy("dev", &json!({"to": "prod"})).header("idempotency-key", "k");
    let made = whole.send();
    let copied = made.expect(201).json();
    assert_eq!(
        (made.header("location"), copied["missing_secrets"][0].as_str()),
        ("/api/v1/workspaces/prod/connections/dev", Some("password"))
    );
    assert_eq!(
        (&copied["connection"]["host"], &copied["connection"]["password"]),
        (&json!("db.example.org"), &json!({"set": false}))
    );
    assert_eq!(made.header("etag"), two.etag_there("dev"));
    let again = whole.send();
    assert_eq!((again.expect(201).json(), again.header("etag")), (copied, made.header("etag")), "a repeat takes no effect");
    two.copy("dev", &json!({"to": "prod", "fields": ["tags"]}))
        .header("idempotency-key", "k")
        .send()
        .refused(409, "idempotency_conflict");

    // Of one that is there it takes what is named, with the version that is to be changed.
    let unnamed = two.copy("sales", &json!({"to": "prod"})).send().refused_field("invalid_fields", "fields");
    let text = unnamed["errors"][0]["message"].as_str().expect("a text").to_owned();
    assert!(text.contains("description, tags, extra.application_name, and in what no copy changes: host"), "{text}");
    two.copy("sales", &json!({"to": "prod", "fields": []})).send().refused_field("invalid_fields", "fields");
    let named = json!({"to": "prod", "fields": ["description", "tags", "extra.application_name"]});
    two.copy("sales", &named).send().refused(428, "precondition_required");
    two.copy("sales", &named).header("if-match", "\"other\"").send().refused(412, "version_conflict");
    let seen = two.etag_there("sales");
    for (field, code) in [("host", "invalid"), ("password", "invalid"), ("nonsense", "unknown_field")] {
        let refused = two.copy("sales", &json!({"to": "prod", "fields": ["tags", field]})).header("if-match", &seen).send();
        let refused = refused.refused_field("invalid_fields", field);
        assert_eq!(refused["errors"][0]["code"], code, "{refused}");
    }
    assert_eq!(two.etag_there("sales"), seen, "nothing of what was refused");
    let saved = two.copy("sales", &named).header("if-match", &seen).send();
    let after = saved.expect(200).json();
    assert_eq!(after["missing_secrets"], json!([]));
    let connection = &after["connection"];
    assert_eq!(
        (&connection["description"], &connection["tags"], &connection["version"]),
        (&json!(""), &json!(["eu"]), &json!(2))
    );
    assert_eq!((&connection["host"], &connection["extra"]["application_name"]), (&json!("db.example.org"), &json!("etl")));
    let there = two.there("GET", "/connections/sales/credentials").send().expect(200).json();
    assert_eq!(there["fields"]["password"], "planted-there", "its secret stays");
    // What is cleared here is cleared there.
    two.stored.edit("sales", &json!({"extra": {"application_name": null}})).expect(200);
    let cleared = two.copy("sales", &json!({"to": "prod", "fields": ["extra.application_name"]})).header("if-match", "*").send();
    assert_eq!(cleared.expect(200).json()["connection"]["extra"]["application_name"], json!(null));

    two.copy("ops", &json!({"to": "prod"})).send().refused(404, "not_found");
    let itself = two.stored.admin("POST", "/connections/sales/copy").header(OTHER_TOKEN, &two.stored.admin);
    itself.json(&json!({"to": "default"})).send().refused_field("invalid_fields", "to");
    two.copy("Case", &json!({"to": "prod"})).send().refused(409, "name_taken");
    two.copy("Case", &json!({"to": "prod"})).header("if-match", "*").send().refused(412, "version_conflict");
    let events =
        two.stored.events("SELECT actor, action, object, detail FROM audit_events WHERE detail LIKE '%copied_from%' ORDER BY at");
    let from = |version: i64| format!("\"copied_from\":{{\"workspace\":\"default\",\"version\":{version}}}");
    let expected = [
        format!("token prod|connection.create|dev|{{\"type\":\"postgres\",\"version\":1,{}}}", from(1)),
        format!("token prod|connection.edit|sales|{{\"version\":2,\"fields\":[\"extra.application_name\"],{}}}", from(1)),
        format!("token prod|connection.edit|sales|{{\"version\":3,\"fields\":[\"extra.application_name\"],{}}}", from(2)),
    ];
    assert_eq!(events.lines().collect::<Vec<_>>(), expected);
    let seen = [&made, &saved].map(Answer::text).concat();
    assert!(!seen.contains("planted"), "{seen}");
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn each_side_asks_for_its_own_right(#[case] engine: Engine) {
    let two = Two::start(engine);
    fill(&two);
    let there = |role: &str, connections: Option<&[&str]>| {
        let body = json!({"name": format!("{role} {connections:?}"), "roles": [role], "connections": connections});
        two.there("POST", "/tokens").json(&body).send().expect(201).json()["token"].as_str().expect("a token").to_owned()
    };
    let compare = |here: &str, there: Option<&str>| {
        let asked = two.stored.request(here, "GET", "/workspaces/default/compare?with=prod");
        there.map_or(asked.clone(), |there| asked.header(OTHER_TOKEN, there)).send()
    };
    let copy = |here: &str, there: Option<&str>, name: &str| {
        let asked = two.stored.request(here, "POST", &format!("/workspaces/default/connections/{name}/copy"));
        let asked = asked.json(&json!({"to": "prod"}));
        there.map_or(asked.clone(), |there| asked.header(OTHER_TOKEN, there)).send()
    };
    let viewer = two.stored.token("viewer", "viewer", None);
    // A token is for one workspace: the other one looks absent to it.
    for alone in [None, Some(viewer.as_str()), Some(two.stored.admin.as_str())] {
        compare(&viewer, alone).refused(404, "not_found");
        copy(&two.stored.admin, alone, "dev").refused(404, "not_found");
    }
    for bad in ["", "nonsense", "dfc_nonsense"] {
        compare(&viewer, Some(bad)).refused(401, "unauthenticated");
        copy(&viewer, Some(bad), "dev").refused(401, "unauthenticated");
    }
    for role in ["viewer", "user", "editor"] {
        assert_eq!(compare(&viewer, Some(&there(role, None))).expect(200).json()["items"].as_array().map(Vec::len), Some(6));
    }
    for role in ["viewer", "user"] {
        copy(&two.stored.admin, Some(&there(role, Some(&["dev"]))), "dev").refused(403, "forbidden");
    }
    // Only what both see is compared: nothing looks missing to a token that is narrowed.
    let narrow_here = two.stored.token("narrow", "viewer", Some(&["sales", "same", "ops"]));
    let narrow_there = there("editor", Some(&["ops", "sales", "dev"]));
    let names = |answer: &Answer| -> Vec<Value> {
        answer.expect(200).json()["items"].as_array().expect("a list").iter().map(|item| item["name"].clone()).collect()
    };
    assert_eq!(names(&compare(&narrow_here, Some(&two.prod))), ["ops", "sales", "same"]);
    assert_eq!(names(&compare(&viewer, Some(&narrow_there))), ["dev", "ops", "sales"]);
    assert_eq!(names(&compare(&narrow_here, Some(&narrow_there))), ["ops", "sales"]);
    copy(&narrow_here, Some(&two.prod), "dev").refused(404, "not_found");
    copy(&viewer, Some(&narrow_there), "same").refused(404, "not_found");
    copy(&viewer, Some(&narrow_there), "dev").expect(201);
}

/// A connection that has the other's name as an alias is no missing one.
#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn what_is_there_under_another_name_is_not_missing(#[case] engine: Engine) {
    let two = Two::start(engine);
    for name in ["sales", "lone"] {
        two.stored.create(name, "planted");
    }
    two.create_there(&sample("sales", "planted"));
    let renamed = two.there("POST", "/connections/sales/rename").header("if-match", "*").json(&json!({"name": "warehouse"}));
    renamed.send().expect(200);
    let told = |pairs: &Value| -> Vec<_> {
        let items = pairs["items"].as_array().expect("a list").iter();
        items.map(|pair| (pair["name"].clone(), pair["state"].clone(), pair["elsewhere"].clone())).collect()
    };
    let expected = [
        (json!("lone"), json!("only_here"), Value::Null),
        (json!("sales"), json!("only_here"), json!("warehouse")),
        (json!("warehouse"), json!("only_there"), json!("sales")),
    ];
    assert_eq!(told(&two.compare("")), expected);
    assert_eq!(told(&two.compare("&drift=true")), expected);
    assert_eq!(told(&two.compare("&name=sales")), expected[1..2]);
    // Whose token does not name it there is not told of it.
    let body = json!({"name": "narrow", "roles": ["viewer"], "connections": ["sales", "lone"]});
    let narrow = two.there("POST", "/tokens").json(&body).send().expect(201).json()["token"].as_str().expect("one").to_owned();
    let asked = two.stored.admin("GET", "/compare?with=prod").header(OTHER_TOKEN, &narrow).send().expect(200).json();
    assert_eq!(told(&asked)[1], (json!("sales"), json!("only_here"), Value::Null), "{asked}");
    // A copy makes no second one, and does not change the other by its alias.
    two.copy("sales", &json!({"to": "prod"})).send().refused(409, "name_taken");

    let home = Home::default();
    home.run(&["login", "--url", &two.stored.server.url(), "--token-stdin"], &two.stored.admin).stdout();
    let drift = home.run(&["connections", "compare", "--with", "prod"], &two.prod);
    for words in ["not in prod", "in prod under the name warehouse", "here under the name sales"] {
        assert!(drift.stdout().contains(words), "{words}: {}", drift.stdout);
    }
    says(&home.run(&["connections", "copy", "sales", "--to", "prod"], &two.prod), &["another name of “warehouse”"]);
    let owner = Session::start(&two.stored.server);
    let page = owner.get("/w/default/compare?with=prod").expect(200).text();
    assert!(page.contains("In prod it is “warehouse”") && page.contains("Here it is “sales”"), "{page}");
    assert!(page.contains("/lone/copy") && !page.contains("/sales/copy"), "{page}");
    owner.get("/w/default/connections/sales/copy?to=prod").expect(409);
}

#[test]
fn dev_to_prod_in_a_shell() {
    let two = Two::start(Engine::Sqlite);
    fill(&two);
    let home = Home::default();
    home.run(&["login", "--url", &two.stored.server.url(), "--token-stdin"], &two.stored.admin).stdout();
    let file = home.path().join("prod.token");
    std::fs::write(&file, format!("{}\n", two.prod)).expect("written");
    let file = file.display().to_string();
    let run = |words: &[&str]| home.run(&[&["connections"], words, &["--token-file", &file]].concat(), "");
    let json = |ran: &Ran| serde_json::from_str::<Value>(ran.stdout()).unwrap_or_else(|error| panic!("{error}: {}", ran.stdout));
    let drift = run(&["compare", "--with", "prod"]);
    for words in ["not in prod", "only in prod", "dev.example.org", "(set)", "(not set)"] {
        assert!(drift.stdout().contains(words), "{words}: {}", drift.stdout);
    }
    assert!(!drift.stdout.contains("same "), "{}", drift.stdout);
    let all = run(&["compare", "--with", "prod", "--all", "--output", "json"]);
    assert_eq!(json(&all).as_array().map(Vec::len), Some(6));
    assert_eq!(run(&["compare", "--with", "prod", "--check"]).status, Some(1));
    let asked = home.run(&["connections", "compare", "--with", "prod"], &two.prod);
    assert_eq!(asked.stdout(), drift.stdout(), "from standard input, too");
    for words in [&["compare", "--with", "prod"][..], &["copy", "dev", "--to", "prod"]] {
        let words = [&["connections"], words].concat();
        let none = home.run(&words, "");
        says(&none, &["a token of “prod”", "DATAFLOW_TOKEN", "--token-file", "standard input"]);
        let other = home.run(&words, "dfc_nonsense");
        says(&other, &["does not accept the token of “prod”", "--token-file", "the one of “default” it does"]);
    }

    let made = run(&["copy", "dev", "--to", "prod"]);
    assert!(made.stdout().contains("db.example.org"), "{}", made.stdout);
    for words in
        ["Created in “prod”", "It lacks what no copy takes along: password", "--workspace prod edit dev --password-stdin"]
    {
        assert!(made.stderr.contains(words), "{words}: {}", made.stderr);
    }
    says(
        &run(&["copy", "sales", "--to", "prod"]),
        &["already", "description, tags, extra.application_name", "No copy changes: host"],
    );
    says(&run(&["copy", "sales", "--to", "prod", "--field", "host"]), &["host says where"]);
    says(&run(&["copy", "sales", "--to", "prod", "--all-fields"]), &["Name found", "nothing was saved"]);
    let saved = run(&["copy", "sales", "--to", "prod", "--all-fields", "--no-test", "--output", "json"]);
    assert_eq!(json(&saved)["connection"]["tags"], json!(["eu"]));
    assert!(saved.stderr.contains("Orders") && saved.stderr.contains("Saved in “prod”"), "{}", saved.stderr);
    let left = run(&["copy", "sales", "--to", "prod", "--all-fields"]);
    says(&left, &["where “sales” leads"]);
    assert!(run(&["copy", "same", "--to", "prod"]).stderr.contains("as it is here"));
    says(&run(&["copy", "ops", "--to", "prod"]), &["in “prod” only"]);
    says(&run(&["copy", "absent", "--to", "prod"]), &["no such connection"]);
    says(&run(&["compare", "--with", "absent"]), &["no such workspace"]);
    for name in ["Case", "dev", "keyless", "sales"] {
        two.stored.delete(name).expect(204);
    }
    for name in ["case", "dev", "keyless", "ops", "sales"] {
        two.there("DELETE", &format!("/connections/{name}")).header("if-match", "*").send().expect(204);
    }
    assert!(run(&["compare", "--with", "prod", "--check"]).stderr.contains("“prod” has what is here"));
    let told = [drift.stdout, all.stdout, made.stdout, made.stderr, saved.stdout, saved.stderr].concat();
    assert!(!told.contains("planted"), "{told}");
}

/// Nothing listens where the other one leads.
#[test]
fn a_copy_over_what_serves_is_tested_first_if_that_is_asked() {
    let two = Two::start(Engine::Sqlite);
    let mut here = sample("sales", "planted-here");
    here["extra"] = json!({"application_name": "etl"});
    two.stored.admin("POST", "/connections").json(&here).send().expect(201);
    let mut there = sample("sales", "planted-there");
    let closed = TcpListener::bind("127.0.0.1:0").expect("bound").local_addr().expect("a port").port();
    (there["host"], there["port"]) = (json!("127.0.0.1"), json!(closed));
    two.create_there(&there);
    let etag = two.etag_there("sales");
    let copy = |query: &str| {
        let request = two.stored.admin("POST", &format!("/connections/sales/copy{query}"));
        let request = request.header(OTHER_TOKEN, &two.prod).header("if-match", &etag);
        request.json(&json!({"to": "prod", "fields": ["extra.application_name"]})).send()
    };
    let refused = copy("?test=true");
    refused.refused(409, "test_failed");
    assert_eq!(refused.json()["report"]["status"], "failed", "{}", refused.text());
    assert_eq!(two.etag_there("sales"), etag, "nothing was saved");
    let saved = copy("?test=false").expect(200).json();
    assert_eq!((&saved["connection"]["extra"]["application_name"], &saved["connection"]["version"]), (&json!("etl"), &json!(2)));
}
