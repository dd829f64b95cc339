//! The lint, against a real database: by the API, the Studio and the shell, with a status for CI.

#![expect(clippy::indexing_slicing, reason = "answers are read by name; what is absent is null and fails the test")]

use std::{
    thread,
    time::{Duration, Instant},
};

use dataflow_tests::{
    postgres::{Postgres, PostgresOptions},
    session::Session,
    shell::{Ran, Shell},
    stored::{Engine, Stored},
};
use rstest::rstest;
use serde_json::{Value, json};

const PASSWORD: &str = "planted for the lint";
const PATIENCE: Duration = Duration::from_secs(30);

fn create(stored: &Stored, name: &str, body: &Value) {
    let mut all = json!({"name": name, "type": "postgres", "database": "postgres"});
    for (member, value) in body.as_object().expect("an object") {
        all[member] = value.clone();
    }
    stored.admin("POST", "/connections").json(&all).send().expect(201);
}

/// Connection and rule of each that is listed.
fn listed(stored: &Stored, query: &str) -> Vec<String> {
    let all = stored.admin("GET", &format!("/lint{query}")).send().expect(200).json();
    let items = all["items"].as_array().expect("a list");
    items
        .iter()
        .map(|item| format!("{} {}", item["connection"].as_str().expect("a name"), item["rule"].as_str().expect("a rule")))
        .collect()
}

/// A check is kept after the answer of its test.
fn wait_for(stored: &Stored, expected: &[&str]) {
    let began = Instant::now();
    while listed(stored, "") != expected {
        assert!(began.elapsed() < PATIENCE, "{:?} is found", listed(stored, ""));
        thread::sleep(Duration::from_millis(50));
    }
}

fn lint(stored: &Stored, token: &str, words: &[&str]) -> Ran {
    let shell = Shell::new(["lint"]).args(words.iter().copied()).variable("HOME", "/nonexistent");
    shell.variable("DATAFLOW_URL", stored.server.url()).variable("DATAFLOW_TOKEN", token).run()
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn what_is_wrong_is_found_mended_and_silenced(#[case] engine: Engine) {
    let stored = Stored::start(engine);
    let postgres = Postgres::start(&PostgresOptions::default());
    for (name, right) in [("anna", ""), ("boss", "SUPERUSER")] {
        postgres.create_role(name, PASSWORD);
        if !right.is_empty() {
            postgres.psql(&format!("ALTER ROLE {name} {right}"));
        }
    }
    let here = |user: &str, password: &str| json!({"host": "127.0.0.1", "port": postgres.port(), "username": user, "password": password});
    create(&stored, "good", &here("anna", PASSWORD));
    create(&stored, "boss", &here("boss", PASSWORD));
    let away = json!({"host": "db.example.org", "username": "u", "password": "planted elsewhere", "tls": {"mode": "require"}});
    create(&stored, "away", &away);
    for name in ["good", "boss"] {
        assert_eq!(stored.admin("POST", &format!("/connections/{name}/test")).send().expect(200).json()["status"], "ok");
    }
    let all =
        ["away never-tested", "away tls-unverified", "boss shared-password", "boss superuser-login", "good shared-password"];
    wait_for(&stored, &all);
    assert_eq!(listed(&stored, "?severity=error"), ["away tls-unverified"]);
    assert_eq!(listed(&stored, "?connection=boss"), ["boss shared-password", "boss superuser-login"]);
    stored.admin("GET", "/lint?severity=bad").send().expect(422);
    stored.admin("GET", "/lint?connection=absent").send().expect(404);
    let of_boss = stored.admin("GET", "/connections/boss/lint").send().expect(200).json();
    let shared = &of_boss["items"][0];
    assert_eq!(shared["reason"], "It has the same password as “good”, for another login: whoever learns one has all of them.");
    assert!(!of_boss.to_string().contains("planted"), "{of_boss}");
    // Who may edit and not use is told nothing of passwords.
    let editor = stored.token("editor", "editor", None);
    let seen = stored.request(&editor, "GET", "/workspaces/default/lint?connection=boss").send().expect(200).json();
    assert_eq!(seen["items"].as_array().map(Vec::len), Some(1), "{seen}");

    let admin = stored.token("ci", "admin", None);
    let failed = lint(&stored, &admin, &[]);
    assert!(!failed.succeeded && failed.stdout.contains("tls-unverified"), "{failed:?}");
    assert!(failed.stderr.contains("1 finding of severity “error”"), "{failed:?}");
    let passed = lint(&stored, &admin, &["good"]);
    assert!(passed.succeeded && passed.stdout().contains("shared-password"), "a warning is no error: {passed:?}");
    let strict = lint(&stored, &admin, &["good", "--fail-on", "warning"]);
    assert!(!strict.succeeded && strict.stderr.contains("1 finding of severity “warning” or worse"), "{strict:?}");

    // A password of its own, which the database has, too.
    postgres.psql("ALTER ROLE boss PASSWORD 'planted for boss alone' NOSUPERUSER");
    stored.edit("boss", &json!({"password": "planted for boss alone"})).expect(200);
    stored.admin("POST", "/connections/boss/test").send().expect(200);
    let rest = ["away never-tested", "away tls-unverified"];
    wait_for(&stored, &rest);

    let silenced = lint(
        &stored,
        &admin,
        &["silence", "away", "tls-unverified", "--reason", "until the rack has certificates", "--until", "2100-01-01"],
    );
    assert!(
        silenced.succeeded && silenced.stderr.contains("“tls-unverified” of “away” is silenced until 2100-01-01T00:00:00Z"),
        "{silenced:?}"
    );
    let all = lint(&stored, &admin, &["silence", "--all", "never-tested", "--reason", "tested elsewhere"]);
    assert!(all.succeeded && all.stderr.contains("of all connections is silenced."), "{all:?}");
    let clean = lint(&stored, &admin, &["--fail-on", "note"]);
    assert!(clean.succeeded && clean.stdout.is_empty() && clean.stderr.contains("Nothing found."), "{clean:?}");
    let shown = lint(&stored, &admin, &["--show-silenced", "--fail-on", "note"]);
    assert!(
        shown.succeeded
            && shown.stdout().contains("until the rack has certificates")
            && shown.stdout().contains("tested elsewhere"),
        "{shown:?}"
    );
    let json = lint(&stored, &admin, &["--show-silenced", "--output", "json"]);
    let json: Value = serde_json::from_str(&json.stdout).expect("JSON");
    assert_eq!((json.as_array().map(Vec::len), &json[1]["silenced"]["scope"]), (Some(2), &json!("connection:away")));
    let silences = lint(&stored, &admin, &["silences"]);
    assert!(
        silences.succeeded && silences.stdout().contains("connection:away") && silences.stdout().contains("all"),
        "{silences:?}"
    );

    let session = Session::start(&stored.server);
    let own = session.get("/w/default/connections/away").expect(200).text();
    assert!(own.contains("Nothing found beside what is silenced.") && own.contains("<summary>2 silenced</summary>"), "{own}");
    let page = session.get("/w/default/lint").expect(200).text();
    assert!(page.contains("Nothing found") && page.contains("until the rack has certificates"), "{page}");

    let lifted = lint(&stored, &admin, &["lift", "away", "tls-unverified"]);
    assert!(lifted.succeeded && lifted.stderr.contains("is in force again"), "{lifted:?}");
    assert!(!lint(&stored, &admin, &[]).succeeded, "it is found again");
    let twice = lint(&stored, &admin, &["lift", "away", "tls-unverified"]);
    assert!(!twice.succeeded && twice.stderr.contains("no such silence of the lint"), "{twice:?}");
    let nameless = lint(&stored, &admin, &["silence", "tls-unverified", "--reason", "r"]);
    assert!(!nameless.succeeded, "of all is asked for: {nameless:?}");
    let unknown = lint(&stored, &admin, &["silence", "away", "nonsense", "--reason", "r"]);
    assert!(!unknown.succeeded && unknown.stderr.contains("no such rule of the lint"), "{unknown:?}");
    let why = lint(&stored, &admin, &["silence", "away", "tls-unverified", "--reason", " "]);
    assert!(!why.succeeded && why.stderr.contains("--reason is needed"), "{why:?}");
}

/// What a person does with a mouse or a keyboard, without scripts.
#[test]
fn the_studio_silences_and_lifts() {
    let stored = Stored::start(Engine::Sqlite);
    create(
        &stored,
        "away",
        &json!({"host": "db.example.org", "username": "u", "password": "planted", "tls": {"mode": "disable"}}),
    );
    let session = Session::start(&stored.server);
    let own = session.get("/w/default/connections/away").expect(200).text();
    assert!(own.contains("TLS is set to “No TLS”") && own.contains("/w/default/connections/away/lint/tls-unverified\""), "{own}");
    let at = "/w/default/connections/away/lint/tls-unverified";
    let etag = |page: &str| {
        let after = page.split("name=\"etag\" value=\"").nth(1).expect("a form");
        after.split('"').next().expect("a value").replace("&#34;", "%22").replace("&quot;", "%22")
    };
    let form = session.get(at).expect(200).text();
    assert!(form.contains("TLS is set to “No TLS”"), "{form}");
    let refused = session.submit(at, &format!("etag={}&reason=&until=tomorrow", etag(&form))).expect(422).text();
    assert!(refused.contains("must be a day as 2027-03-01") && refused.contains("value=\"tomorrow\""), "{refused}");
    session.submit(at, &format!("etag={}&reason=meant+so&until=2100-01-01", etag(&form))).expect(303);
    let stale = session.submit(at, &format!("etag={}&reason=another&until=", etag(&form))).expect(412).text();
    assert!(stale.contains("Somebody changed this meanwhile"), "{stale}");
    let again = session.get(at).expect(200).text();
    assert!(
        again.contains("value=\"meant so\"") && again.contains("value=\"2100-01-01\"") && again.contains(">Lift<"),
        "{again}"
    );
    let own = session.get("/w/default/connections/away?done=silenced").expect(200).text();
    assert!(own.contains("The rule is silenced.") && own.contains("by admin@example.org"), "{own}");
    session.submit(at, &format!("etag={}&lift=yes", etag(&again))).expect(303);
    let listed = session.get("/w/default/lint?severity=error").expect(200).text();
    assert!(listed.contains("TLS is set to “No TLS”") && listed.contains("Silence a rule for all connections"), "{listed}");
    session.get("/w/default/lint/nonsense").expect(404);
    session.get("/w/default/lint?cursor=nonsense").expect(404);
}

/// A page costs what it looks through, however many there are. Of rows that are not what this program wrote, as most are here, nothing is said.
#[test]
fn many_connections_are_looked_through_in_pages() {
    let stored = Stored::start(Engine::Sqlite);
    stored.create("sales", "planted");
    stored.multiply(3_000);
    stored.sql("UPDATE connections SET checked_at = 1");
    let (mut pages, mut cursor, mut found) = (0, String::new(), 0);
    loop {
        let page = stored.admin("GET", &format!("/lint?limit=200{cursor}")).send().expect(200).json();
        found += page["items"].as_array().map(Vec::len).expect("a list");
        pages += 1;
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert!((3..=5).contains(&pages), "{pages} pages");
    assert_eq!(found, 0, "nothing is wrong with the one that is sound");
}
