//! Types of a workspace's own: defined over the API and in a shell, tested as what they extend, and served with their URL.

use dataflow_tests::{
    http::Answer,
    postgres::{Postgres, PostgresOptions},
    server::{TestServer, TestServerOptions},
    shell::{Home, Ran},
    stored::{Engine, Stored},
};
use rstest::rstest;
use serde_json::{Value, json};

use super::PASSWORD;

/// Over PostgreSQL, with a field more and a URL of its own.
const LAKE: &str = r#"
extends = "postgres"
label = "Our lake"
url = "lake+driver://{username}:{password}@{host}:{port}/{database}?zone={extra.zone}"

[[fields]]
path = "extra.zone"
label = "Zone"
kind = "text"
"#;
/// The example of the docs.
const PAGE: &str = include_str!("../../../docs/own-types.md");

fn example() -> &'static str {
    PAGE.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example")
}

fn put(stored: &Stored, id: &str, definition: &str, condition: (&str, &str)) -> Answer {
    let path = format!("/types/{id}");
    stored.admin("PUT", &path).header(condition.0, condition.1).body("application/toml", definition).send()
}

fn define(stored: &Stored, id: &str, definition: &str) -> Value {
    put(stored, id, definition, ("if-none-match", "*")).expect(200).json()
}

fn create(stored: &Stored, name: &str, port: u16, password: &str) {
    let body = json!({
        "name": name, "type": "lake", "host": "127.0.0.1", "port": port, "database": "postgres", "username": "anna", "password": password,
        "extra": {"zone": "north"}
    });
    stored.admin("POST", "/connections").json(&body).send().expect(201);
}

#[rstest]
#[case(Engine::Sqlite)]
#[case(Engine::Postgres)]
fn a_connection_of_an_own_type_is_tested_as_its_base_and_served_with_its_url(#[case] engine: Engine) {
    let stored = Stored::start(engine);
    let postgres = Postgres::start(&PostgresOptions::default());
    postgres.create_role("anna", PASSWORD);
    let made = define(&stored, "lake", LAKE);
    assert_eq!(
        (&made["own"], &made["base"], &made["defined"]["version"]),
        (&json!(true), &json!("postgres"), &json!(1)),
        "{made}"
    );
    assert_eq!(made["defined"]["definition"], LAKE);
    create(&stored, "right", postgres.port(), PASSWORD);
    create(&stored, "wrong", postgres.port(), "planted and wrong");
    let tested = |name: &str| stored.admin("POST", &format!("/connections/{name}/test")).send().expect(200).json();
    assert_eq!(tested("right")["status"], "ok");
    assert_eq!(tested("wrong")["error"]["code"], "credentials_refused");

    let first = stored.credentials("right");
    let served = first.expect(200).json();
    let url = json!({
        "drivername": "lake+driver", "username": "{username}", "password": "{password}", "host": "{host}", "port": "{port}",
        "database": "{database}", "query": {"zone": "{extra.zone}"}
    });
    assert_eq!((&served["base"], &served["sqlalchemy"], &served["url"]), (&json!("postgres"), &json!("lake"), &url), "{served}");
    assert_eq!((&served["fields"]["extra"]["zone"], &served["fields"]["password"]), (&json!("north"), &json!(PASSWORD)));
    assert!(served["fingerprint"].as_str().is_some_and(|print| print.ends_with("-t1")), "{served}");

    // What leads it elsewhere takes the password again, and every public field of an own type may.
    let moved = stored.edit("right", &json!({"extra": {"zone": "south"}}));
    moved.refused(422, "secret_reentry_required");

    // Whoever holds it learns that its URL is built otherwise now.
    let path = "/connections/right/credentials";
    let held = |etag: &str| stored.admin("GET", path).header("if-none-match", etag).send();
    let etag = first.header("etag").to_owned();
    held(&etag).expect(304);
    let other = LAKE.replace("zone={extra.zone}", "area={extra.zone}");
    assert_eq!(put(&stored, "lake", &other, ("if-match", "\"lake.1\"")).expect(200).header("etag"), "\"lake.2\"");
    let renewed = held(&etag);
    assert_eq!(renewed.expect(200).json()["url"]["query"], json!({"area": "{extra.zone}"}));
    assert!(renewed.header("etag").ends_with("-t2\""), "{}", renewed.header("etag"));

    put(&stored, "lake", LAKE, ("if-match", "\"lake.1\"")).refused(412, "version_conflict");
    put(&stored, "lake", LAKE, ("if-none-match", "*")).refused(412, "version_conflict");
    put(&stored, "lake", LAKE, ("accept", "*/*")).refused(428, "precondition_required");
    let generic = LAKE.replace("\"postgres\"", "\"generic\"");
    let refused = put(&stored, "lake", &generic, ("if-match", "*")).refused(409, "type_in_use");
    assert!(refused["detail"].as_str().is_some_and(|text| text.contains("“right” and “wrong”")), "{refused}");
    let secret = LAKE.replace("kind = \"text\"", "kind = \"password\"").replace("?zone={extra.zone}", "");
    put(&stored, "lake", &secret, ("if-match", "*")).refused(409, "type_in_use");

    let remove = || stored.admin("DELETE", "/types/lake").header("if-match", "*").send();
    for name in ["right", "wrong"] {
        let refused = remove().refused(409, "type_in_use");
        assert!(refused["detail"].as_str().is_some_and(|text| text.contains(name)), "{refused}");
        stored.delete(name).expect(204);
    }
    let refused = remove().refused(409, "type_in_use");
    assert!(refused["detail"].as_str().is_some_and(|text| text.contains("“right” (deleted)")), "{refused}");
    let sql = "SELECT action, object FROM audit_events WHERE action LIKE 'type.%' ORDER BY at";
    assert_eq!(stored.sql(sql).lines().collect::<Vec<_>>(), ["type.create|lake", "type.update|lake"]);
}

/// Nobody here knows what speaks there: reached, and never green.
#[test]
fn what_is_only_reached_stays_unproven_whatever_its_definition_says() {
    let stored = Stored::start(Engine::Sqlite);
    let server = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = server.local_addr().expect("bound").port();
    let made = define(&stored, "exasol", example());
    assert_eq!((&made["tested"]["by"], &made["sqlalchemy"]), (&json!("own"), &json!("exa")), "{made}");
    let body = json!({
        "name": "warehouse", "type": "exasol", "host": "127.0.0.1", "port": port, "username": "etl", "password": "planted",
        "tls": {"mode": "disable"}
    });
    stored.admin("POST", "/connections").json(&body).send().expect(201);
    let report = stored.admin("POST", "/connections/warehouse/test").send().expect(200).json();
    assert_eq!(report["status"], "unproven", "{report}");
    let given = stored.credentials("warehouse").expect(200).json();
    assert_eq!((&given["base"], &given["fields"]["extra"]["encryption"]), (&json!("generic"), &json!("Yes")), "{given}");
    // What would have a test skip the sign-in, or prove less, cannot be said.
    for bent in [
        "extends = \"postgres\"\nlabel = \"X\"\nremove = [\"password\"]\n",
        "extends = \"http\"\nlabel = \"X\"\nremove = [\"extra.auth\"]\n",
        "extends = \"generic\"\nlabel = \"X\"\nconnector = \"postgres\"\n",
        "extends = \"generic\"\nlabel = \"X\"\n[tested.product]\nname = \"X\"\nversions = []\n",
    ] {
        put(&stored, "bent", bent, ("if-none-match", "*")).refused(422, "invalid_fields");
    }
}

#[test]
fn a_definition_is_refused_by_member_and_by_line() {
    let stored = Stored::start(Engine::Sqlite);
    let refused = |id: &str, definition: &str| {
        let answer = put(&stored, id, definition, ("if-none-match", "*"));
        let errors = answer.refused(422, "invalid_fields")["errors"].clone();
        (errors[0]["field"].clone(), errors[0]["message"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(refused("postgres", LAKE).0, "id");
    assert_eq!(refused("lake", "label = \"X\"\n").0, "extends");
    let (member, message) = refused("lake", "extends = \"postgres\"\nlabel = \"X\n");
    assert!(member == "definition" && message.starts_with("line 2: "), "{member} {message}");
    define(&stored, "lake", LAKE);
    assert_eq!(refused("river", LAKE).0, "label", "two types are told apart by their labels");
    let json = stored
        .admin("PUT", "/types/river")
        .header("if-none-match", "*")
        .json(&json!({"definition": LAKE.replace("lake", "river")}))
        .send();
    assert_eq!(json.expect(200).json()["label"], "Our river");
    let form = stored.admin("PUT", "/types/x").header("if-none-match", "*").body("text/plain", LAKE).send();
    form.refused(415, "unsupported_media_type");
    // Whoever lists a workspace's types finds both sorts, and who lists those of the server the built-in ones alone.
    let listed = stored.admin("GET", "/types").send().expect(200).json();
    let own: Vec<_> = listed["items"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(|kind| kind["own"] == json!(true))
        .map(|kind| &kind["id"])
        .collect();
    assert_eq!(own, ["lake", "river"]);
    assert_eq!(stored.admin("GET", "/types/postgres").send().expect(200).json()["own"], json!(false));
    stored.admin("GET", "/types/none").send().refused(404, "not_found");
    stored.admin("DELETE", "/types/postgres").header("if-match", "*").send().refused(404, "not_found");
}

/// A definition that somebody changed in the database is not used, and nothing else suffers.
#[test]
fn a_bent_definition_is_refused_and_no_other_connection_feels_it() {
    let stored = Stored::start(Engine::Sqlite);
    define(&stored, "lake", LAKE);
    create(&stored, "ours", 1, PASSWORD);
    stored.create("theirs", PASSWORD);
    stored.credentials("ours").expect(200);
    stored.sql("UPDATE own_types SET definition = replace(definition, '{host}', 'evil.example.org'); UPDATE change_clock SET tick = tick + 1");
    let answer = (0..100).find_map(|_| {
        std::thread::sleep(std::time::Duration::from_millis(50));
        let answer = stored.credentials("ours");
        (answer.status != 200).then_some(answer)
    });
    answer.expect("it is noticed").refused(500, "type_unreadable");
    stored.admin("POST", "/connections/ours/test").send().refused(500, "type_unreadable");
    assert_eq!(stored.edit("ours", &json!({"description": "x"})).refused(422, "invalid_fields")["errors"][0]["field"], "type");
    stored.credentials("theirs").expect(200);
    stored.show("ours").expect(200);
    let shown = stored.admin("GET", "/types/lake").send().expect(200).json();
    assert!(shown["defined"]["problem"].as_str().is_some_and(|why| why.contains("outside of this program")), "{shown}");
    put(&stored, "lake", LAKE, ("if-match", "*")).expect(200);
    assert_eq!(stored.credentials("ours").expect(200).json()["url"]["host"], "{host}");
}

/// What is served again and again asks the store for nothing, of whichever type it is.
#[test]
fn a_warm_connection_of_an_own_type_takes_no_statement() {
    let settings = vec![("log_statement".to_owned(), "'all'".to_owned())];
    let database = Postgres::start(&PostgresOptions { settings, ..PostgresOptions::default() });
    let database_url = Some(database.url("postgres"));
    let server = TestServer::start(TestServerOptions { database_url, ..TestServerOptions::default() });
    let admin = server.token("default", "admin", "admin");
    let ask = |method: &str, path: &str| server.request(&admin, method, &format!("/api/v1/workspaces/default{path}"));
    ask("PUT", "/types/lake").header("if-none-match", "*").body("application/toml", LAKE).send().expect(200);
    let body = json!({"name": "ours", "type": "lake", "host": "127.0.0.1", "username": "anna", "password": PASSWORD});
    ask("POST", "/connections").json(&body).send().expect(201);
    let resolve = || ask("GET", "/connections/ours/credentials").send().expect(200).json();
    let of_types = || database.log().matches("FROM own_types").count();
    resolve();
    let before = of_types();
    for _ in 0..20 {
        assert_eq!(resolve()["sqlalchemy"], "lake");
    }
    assert_eq!(of_types(), before, "the definition is asked for with each use");
}

/// What a command that succeeded said beside its data.
fn said(ran: &Ran, parts: &[&str]) {
    ran.stdout();
    for part in parts {
        assert!(ran.stderr.contains(part), "“{part}” is not in: {}", ran.stderr);
    }
}

#[test]
fn an_admin_defines_a_type_in_a_shell_and_others_make_connections_of_it() {
    let stored = Stored::start(Engine::Sqlite);
    let home = Home::signed_in(&stored.server);
    let postgres = Postgres::start(&PostgresOptions::default());
    postgres.create_role("anna", PASSWORD);
    let file = home.path().join("lake.toml");
    std::fs::write(&file, LAKE).expect("written");
    let file = file.to_str().expect("UTF-8");
    said(
        &home.run(&["types", "set", "lake", "--file", file], ""),
        &["Saved “Our lake” as version 1.", "as if it were PostgreSQL"],
    );
    said(&home.run(&["types", "set", "lake", "--file", "-"], LAKE), &["Nothing was changed"]);
    assert!(home.run(&["types"], "").stdout().contains("Our lake"));
    assert!(home.run(&["types", "lake"], "").stdout().contains("extra.zone"));
    assert_eq!(home.run(&["types", "show", "lake", "--definition"], "").stdout().trim(), LAKE.trim());
    let refused =
        home.run(&["types", "set", "lake", "-f", "-"], "extends = \"postgres\"\nlabel = \"Our lake\"\nrotates = true\n");
    assert!(refused.failure().contains("rotates cannot be said"), "{refused:?}");

    let port = format!("port={}", postgres.port());
    let set = [
        "--set",
        "host=127.0.0.1",
        "--set",
        &port,
        "--set",
        "database=postgres",
        "--set",
        "username=anna",
        "--set",
        "extra.zone=north",
    ];
    let words = [&["connections", "create", "sales", "--type", "lake", "--password-stdin"], set.as_slice()].concat();
    home.run(&words, PASSWORD).stdout();
    home.run(&["connections", "edit", "sales", "--description", "ours"], "").stdout();
    let here = home.run(&["connections", "test", "sales", "--here"], "");
    assert!(here.stdout().contains("PostgreSQL 15"), "{here:?}");
    let refused = home.run(&["types", "remove", "lake"], "");
    assert!(refused.failure().contains("“sales”"), "{refused:?}");
    said(&home.run(&["types", "set", "river", "-f", "-"], &LAKE.replace("lake", "river")), &["version 1"]);
    said(&home.run(&["types", "remove", "river"], ""), &["is removed"]);
    assert!(home.run(&["types", "remove", "postgres"], "").failure().contains("built-in type"));
    assert!(
        home.run(&["connections", "create", "x", "--type", "river"], "")
            .failure()
            .contains("There is no connection type “river”")
    );
}
