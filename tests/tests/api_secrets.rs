//! A secret leaves by one door, and no change of where it goes takes it along. On both stores.

#![expect(clippy::indexing_slicing, reason = "answers are read by name; what is absent is null and fails the test")]
#![expect(clippy::panic, reason = "a helper of a test may fail it")]

use std::fs;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use dataflow_model::{Catalogue, ConnectionType, Field, FieldKind};
use dataflow_tests::{
    folder::TempDir,
    http::Answer,
    planted::forms,
    server::ADMIN_PASSWORD,
    shell::Shell,
    stored::{Engine, Stored, sample},
};
use rstest::rstest;
use serde_json::{Value, json};

/// Every kind of byte that somebody could forget to escape, with a core that no escaping changes.
const PLANTED: &str = "pla\"nt<ed>&'\\ %41+ Zq7XcoreZq7X é漢";
const CORE: &str = "Zq7XcoreZq7X";

fn holds(bytes: &[u8], secret: &str) -> bool {
    forms(secret).iter().chain(&forms(CORE)).any(|form| bytes.windows(form.len()).any(|window| window == form))
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn a_secret_is_in_no_answer_but_the_credentials(#[case] engine: Engine) {
    let stored = Stored::start(engine);
    let mut answers: Vec<(String, Answer)> = Vec::new();
    let mut ask = |what: &str, answer: Answer| {
        answers.push((what.to_owned(), answer.clone()));
        answer
    };
    let mut body = sample("sales", PLANTED);
    body["host"] = json!("127.0.0.1");
    body["port"] = json!(1);
    ask("create", stored.admin("POST", "/connections").json(&body).send()).expect(201);
    ask("create again", stored.admin("POST", "/connections").json(&body).send()).expect(409);
    ask("show", stored.show("sales")).expect(200);
    ask("list", stored.admin("GET", "/connections?search=sales").send()).expect(200);
    ask("edit", stored.edit("sales", &json!({"password": PLANTED, "description": "x"}))).expect(200);
    ask("versions", stored.admin("GET", "/connections/sales/versions").send()).expect(200);
    ask("a version", stored.admin("GET", "/connections/sales/versions/1").send()).expect(200);
    ask("a diff", stored.admin("GET", "/connections/sales/versions/2/diff").send()).expect(200);
    let restored = stored.admin("POST", "/connections/sales/versions/1/restore").header("if-match", "*");
    ask("restore", restored.send()).expect(200);
    ask("re-point", stored.edit("sales", &json!({"host": "other.example.org"}))).expect(422);
    ask("test", stored.admin("POST", "/connections/sales/test").send()).expect(200);
    ask("test over", stored.admin("POST", "/connections/sales/test").json(&json!({"password": PLANTED})).send()).expect(200);
    ask("test unsaved", stored.admin("POST", "/connections/test").json(&body).send()).expect(200);
    let events = stored.admin("POST", "/connections/sales/test").header("accept", "text/event-stream");
    ask("test streamed", events.send()).expect(200);
    ask("checks", stored.admin("GET", "/connections/sales/checks").send()).expect(200);
    // In the wrong field, in the wrong type, as a name of a field's value, in a body that does not parse.
    for change in [
        json!({"port": PLANTED}),
        json!({"host": PLANTED}),
        json!({"tls": {"mode": PLANTED}}),
        json!({"tls": {"key": PLANTED}}),
        json!({"tags": [[PLANTED]]}),
        json!({"password": [PLANTED]}),
        json!({"type": PLANTED}),
        json!({"name": PLANTED}),
        json!({"extra": {"timezone": {"a": PLANTED}}}),
        json!({"colour": PLANTED}),
    ] {
        ask("refused", stored.edit("sales", &change)).expect(422);
    }
    let broken = format!("{{\"password\": {} oops", json!(PLANTED));
    let request = stored.admin("POST", "/connections").body("application/json", broken);
    ask("broken", request.send()).expect(400);
    ask("delete", stored.delete("sales")).expect(204);
    ask("show deleted", stored.show("sales")).expect(410);
    for (what, answer) in &answers {
        let head = format!("{:?}", answer.headers);
        assert!(!holds(&answer.body, PLANTED) && !holds(head.as_bytes(), PLANTED), "{what}: {}", answer.text());
    }
    assert!(!holds(stored.server.log().as_bytes(), PLANTED), "the log: {}", stored.server.log());
    let kept = stored
        .sql("SELECT * FROM connection_versions; SELECT * FROM checks; SELECT * FROM audit_events; SELECT * FROM connections");
    assert!(kept.contains("sales") && !holds(kept.as_bytes(), PLANTED), "the store");
}

/// Neither what was saved nor what opens it: the key file, the recovery key, a token, a person's password.
#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn no_secret_is_in_a_backup(#[case] engine: Engine) {
    let stored = Stored::start(engine);
    let mut body = sample("sales", PLANTED);
    body["tls"] =
        json!({"mode": "verify-full", "key": format!("-----BEGIN PRIVATE KEY-----\n{PLANTED}\n-----END PRIVATE KEY-----")});
    stored.admin("POST", "/connections").json(&body).send().expect(201);
    stored.edit("sales", &json!({"password": format!("{PLANTED} again")})).expect(200);
    stored.admin("POST", "/connections/sales/test").json(&json!({"password": PLANTED})).send().expect(200);
    stored.credentials("sales").expect(200);
    let folder = TempDir::new();
    let file = folder.join("backup");
    let ran = Shell::new(["backup"]).arg(&file).args(stored.data_arguments()).run();
    assert_eq!(ran.stdout(), "");
    let backup = fs::read(file).expect("there");
    assert!(backup.windows(5).any(|window| window == b"sales"));
    let key_file = fs::read_to_string(stored.server.data().with_extension("key")).expect("it lies beside the folder");
    let key = key_file.split(':').nth(1).expect("a key's digits");
    let bytes: Vec<u8> = (0..key.len()).step_by(2).map(|at| u8::from_str_radix(&key[at..at + 2], 16).expect("hex")).collect();
    assert!(!backup.windows(bytes.len()).any(|window| window == bytes), "the key's bytes");
    let raw = STANDARD.encode(&bytes);
    let secrets =
        [PLANTED, &key_file, key, raw.trim_end_matches('='), stored.server.recovery_key(), &stored.admin, ADMIN_PASSWORD];
    for secret in secrets {
        assert!(!holds(&backup, secret) && !holds(ran.stderr.as_bytes(), secret), "{secret}");
    }
    println!("promise: secrets in a backup of {engine:?}: {} searched in 10 spellings each: 0 found", secrets.len());
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn a_secret_left_out_is_kept_and_null_clears_it(#[case] engine: Engine) {
    let stored = Stored::start(engine);
    stored.create("sales", PLANTED);
    let password = || stored.credentials("sales").expect(200).json()["fields"].get("password").cloned();
    let before = stored.credentials("sales");
    assert_eq!(password(), Some(json!(PLANTED)), "every byte survives");
    assert_eq!(before.header("etag"), format!("\"{}\"", before.json()["fingerprint"].as_str().expect("a text")));
    assert_eq!(before.header("cache-control"), "no-store");

    // What a client does not need to connect changes no fingerprint: it is told to keep what it has.
    for change in [
        json!({"description": "new"}),
        json!({"tags": ["a"]}),
        json!({"password": {"set": true}}),
        json!({"password": {"set": false}}),
    ] {
        stored.edit("sales", &change).expect(200);
        assert_eq!(stored.credentials("sales").header("etag"), before.header("etag"), "{change}");
        assert_eq!(password(), Some(json!(PLANTED)), "{change}");
    }
    let conditional = |etag: &str| stored.admin("GET", "/connections/sales/credentials").header("if-none-match", etag).send();
    let unchanged = conditional(before.header("etag"));
    assert!(unchanged.expect(304).body.is_empty());
    assert_eq!(unchanged.header("etag"), before.header("etag"));
    for held in [format!("W/{}", before.header("etag")), format!("\"older\", {}", before.header("etag"))] {
        conditional(&held).expect(304);
    }
    assert_eq!((before.header("dataflow-connection-version"), unchanged.header("dataflow-connection-version")), ("1", "3"));

    stored.edit("sales", &json!({"password": "rotated"})).expect(200);
    let rotated = conditional(before.header("etag"));
    assert_eq!(rotated.expect(200).json()["fields"]["password"], "rotated");
    assert_ne!(rotated.header("etag"), before.header("etag"));
    stored.edit("sales", &json!({"password": null})).expect(200);
    assert_eq!((password(), stored.show("sales").json()["password"].clone()), (None, json!({"set": false})));
    assert_ne!(stored.credentials("sales").header("etag"), rotated.header("etag"));
    // Without a secret there is nothing to type again.
    stored.edit("sales", &json!({"host": "elsewhere.example.org"})).expect(200);
    stored.edit("sales", &json!({"password": ""})).expect(200);
    assert_eq!(password(), None);
}

/// A change of one field to another valid value.
fn changed(field: &Field, now: &Value) -> Value {
    let value = match field.kind {
        FieldKind::Port => json!(6000),
        FieldKind::Integer => json!(field.min.unwrap_or_default() + 1),
        FieldKind::Boolean => json!(true),
        FieldKind::Choice => {
            let choice = field.choices.iter().map(|choice| json!(choice.value)).find(|value| value != now);
            choice.expect("a choice has two sides, absence being one")
        }
        FieldKind::Certificate => json!("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----"),
        FieldKind::Host => json!("attacker.example.org"),
        FieldKind::Text | FieldKind::File | FieldKind::Connection => json!("another"),
        FieldKind::Password | FieldKind::PrivateKey => panic!("{} is a secret", field.path),
    };
    at(field.path.as_str(), &value)
}

fn at(path: &str, value: &Value) -> Value {
    match path.split_once('.') {
        None => json!({path: value}),
        Some((group, key)) => json!({group: {key: value}}),
    }
}

fn repoint_every_field(stored: &Stored, kind: &ConnectionType) -> usize {
    let name = format!("of-{}", kind.id);
    let mut body = json!({"name": name, "type": kind.id, "password": PLANTED});
    for field in kind.fields.iter().filter(|field| field.required) {
        let place = field.path.as_str().split('.').fold(&mut body, |value, key| &mut value[key]);
        *place = if field.kind == FieldKind::Host { json!("db.example.org") } else { json!("value") };
    }
    stored.admin("POST", "/connections").json(&body).send().expect(201);
    let mut tried = 0;
    for field in kind.fields.iter().filter(|field| field.endpoint && !field.computed) {
        let before = stored.show(&name);
        let now = field.path.as_str().split('.').fold(before.json(), |value, key| value[key].clone());
        let mut change = changed(field, &now);
        for keep in [None, Some(json!({"set": true}))] {
            if let Some(keep) = keep {
                change["password"] = keep;
            }
            stored.edit(&name, &change).refused_field("secret_reentry_required", "password");
            // A test would send the secret there just as well.
            let test = stored.admin("POST", &format!("/connections/{name}/test")).json(&change).send();
            test.refused_field("secret_reentry_required", "password");
        }
        let after = stored.show(&name);
        assert_eq!(
            (after.json(), after.header("etag")),
            (before.json(), before.header("etag")),
            "{} changed something",
            field.path
        );
        change["password"] = json!(PLANTED);
        stored.edit(&name, &change).expect(200);
        assert_eq!(stored.credentials(&name).expect(200).json()["fields"]["password"], PLANTED);
        tried += 1;
    }
    tried
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn no_field_of_the_endpoint_changes_under_a_kept_secret(#[case] engine: Engine) {
    let stored = Stored::start(engine);
    let catalogue = Catalogue::built_in().expect("sound");
    let hop = json!({"name": "another", "type": "ssh", "host": "bastion.example.org", "username": "ops"});
    stored.admin("POST", "/connections").json(&hop).send().expect(201);
    // Those that extend another have its marks, which the catalogue's own test holds them to; three stand for them.
    let is_tried =
        |kind: &&ConnectionType| kind.extends.is_none() || ["mariadb", "redshift", "trino"].contains(&kind.id.as_str());
    let with_password: Vec<_> =
        catalogue.all().into_iter().filter(|kind| kind.field("password").is_some()).filter(is_tried).collect();
    let types = with_password.len();
    let tried: usize = with_password.into_iter().map(|kind| repoint_every_field(&stored, kind)).sum();
    assert!(tried >= 7 * types && types >= 6, "{tried} fields of {types} types");

    // The type is part of the endpoint too.
    stored.create("sales", PLANTED);
    stored.edit("sales", &json!({"type": "redshift"})).refused_field("secret_reentry_required", "password");
    stored.edit("sales", &json!({"port": null, "type": "mysql"})).refused_field("secret_reentry_required", "password");
    // An editor who has no right to the secret cannot ask a test to send it elsewhere either.
    let editor = stored.token("editor", "editor", None);
    let test = stored.request(&editor, "POST", "/workspaces/default/connections/sales/test").json(&json!({"host": "127.0.0.1"}));
    test.send().refused_field("secret_reentry_required", "password");
    assert_eq!(stored.show("sales").json()["version"], 1);
    println!(
        "promise: re-pointing by the API, {engine:?}: {tried} fields of {types} types and 2 types, by edit and by test: 0 uses of the secret"
    );
}
