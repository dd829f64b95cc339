//! What a test finds out beside whether it works, of real servers.

#![expect(clippy::indexing_slicing, reason = "answers are read by name; what is absent is null and fails the test")]

use dataflow_tests::{
    mariadb::MariaDb,
    mysql::MySql,
    mysql_protocol::{MySqlOptions, MySqlServer, Plugin},
    postgres::{Postgres, PostgresOptions},
    session::Session,
    stored::{Engine, Stored},
    tls::{Authority, ServerTls, Shape},
};
use serde_json::{Value, json};

const PASSWORD: &str = "planted to learn";

fn tested(stored: &Stored, name: &str, body: &Value) -> Value {
    let mut body = body.clone();
    body["name"] = json!(name);
    stored.admin("POST", "/connections").json(&body).send().expect(201);
    let report = stored.admin("POST", &format!("/connections/{name}/test")).send().expect(200).json();
    assert_eq!(report["status"], "ok", "{name}: {report}");
    report["learned"].clone()
}

#[test]
fn what_postgresql_tells() {
    let stored = Stored::start(Engine::Sqlite);
    let authority = Authority::new();
    let tls = Some(ServerTls::new(authority.server(Shape::Good)));
    let postgres = Postgres::start(&PostgresOptions { tls, ..PostgresOptions::default() });
    for name in ["anna", "boss", "brief"] {
        postgres.create_role(name, PASSWORD);
    }
    postgres.psql(
        "ALTER ROLE boss SUPERUSER; ALTER ROLE anna CREATEDB CREATEROLE; ALTER ROLE brief VALID UNTIL '2031-05-06 07:08:09+00'",
    );
    let body = |user: &str| {
        json!({
            "type": "postgres", "host": "localhost", "port": postgres.port(), "database": "postgres", "username": user, "password": PASSWORD,
            "tls": {"mode": "verify-full", "ca": authority.pem()}
        })
    };
    let anna = tested(&stored, "anna", &body("anna"));
    assert_eq!(
        (&anna["is_superuser"], &anna["privileges"]),
        (&json!(false), &json!(["creates roles", "creates databases"])),
        "{anna}"
    );
    assert_eq!(anna["password_ends_at"], Value::Null);
    let ends = anna["certificate_ends_at"].as_str().expect("a certificate's end").to_owned();
    assert!(ends.ends_with('Z') && ends.as_str() > "2026", "{ends}");
    let connections = &anna["connections"];
    assert!(connections["open"].as_u64() >= Some(1) && connections["allowed"] == json!(100), "{connections}");
    assert_eq!(tested(&stored, "boss", &body("boss"))["is_superuser"], json!(true));
    assert_eq!(tested(&stored, "brief", &body("brief"))["password_ends_at"], json!("2031-05-06T07:08:09Z"));

    let mut plain = body("anna");
    plain["host"] = json!("127.0.0.1");
    plain["tls"] = json!({"mode": "disable"});
    assert_eq!(tested(&stored, "plain", &plain)["certificate_ends_at"], Value::Null);

    // The list says what ends soon, before it has.
    postgres.create_role("ending", PASSWORD);
    postgres.psql("DO $$ BEGIN EXECUTE format('ALTER ROLE ending VALID UNTIL %L', now() + interval '9 days 1 hour'); END $$");
    tested(&stored, "ending", &body("ending"));
    let session = Session::start(&stored.server);
    let began = std::time::Instant::now();
    while stored.show("ending").json()["last_check"]["summary"] != "Password ends in 9 days" {
        assert!(began.elapsed().as_secs() < 20, "{}", stored.show("ending").json());
    }
    let list = session.get("/w/default/connections?q=ending").expect(200).text();
    assert!(list.contains("<span class=\"status warn\"") && list.contains("Password ends in 9 days"), "{list}");
    let page = |name: &str| {
        // The check is written after the answer.
        let path = format!("/w/default/connections/{name}");
        let shows = || session.get(&path).expect(200).text();
        let began = std::time::Instant::now();
        loop {
            let page = shows();
            if page.contains("<dt>Login</dt>") || began.elapsed().as_secs() > 20 {
                return page;
            }
        }
    };
    let boss = page("boss");
    assert!(boss.contains("<dt>Login</dt><dd><span class=\"warn\">Superuser: it may do anything</span>"), "{boss}");
    let brief = page("brief");
    assert!(brief.contains("<dt>Password</dt>") && brief.contains("on 6 May 2031"), "{brief}");
    assert!(brief.contains("<dt>Certificate</dt>") && brief.contains(" open of 100"), "{brief}");
}

#[test]
fn what_mysql_tells() {
    let stored = Stored::start(Engine::Sqlite);
    let authority = Authority::new();
    let tls = Some(ServerTls::new(authority.server(Shape::Good)));
    let mysql = MySql::start(&MySqlOptions { tls, flags: Vec::new() });
    let verified = json!({"mode": "verify-full", "ca": authority.pem()});
    learned_of_mysql(&stored, (&mysql, Plugin::CachingSha2), "mysql", &verified);
    mysql.sql("ALTER USER 'boss'@'%' PASSWORD EXPIRE INTERVAL 90 DAY");
    let boss = tested(&stored, "ending", &body("mysql", mysql.port(), "boss", &verified));
    let ends = boss["password_ends_at"].as_str().expect("who may do anything may read it");
    assert!(ends.ends_with('Z') && boss["certificate_ends_at"].is_string(), "{boss}");
}

#[test]
fn what_mariadb_tells() {
    let stored = Stored::start(Engine::Sqlite);
    let mariadb = MariaDb::start(&MySqlOptions::default());
    learned_of_mysql(&stored, (&mariadb, Plugin::NativePassword), "mariadb", &json!({"mode": "disable"}));
}

fn body(kind: &str, port: u16, user: &str, tls: &Value) -> Value {
    json!({"type": kind, "host": "localhost", "port": port, "username": user, "password": PASSWORD, "tls": tls})
}

fn learned_of_mysql(stored: &Stored, (server, plugin): (&MySqlServer, Plugin), kind: &str, tls: &Value) {
    for name in ["anna", "boss"] {
        server.create_user(name, "%", plugin, PASSWORD);
    }
    server.sql("CREATE DATABASE sales; GRANT SELECT, INSERT ON sales.* TO 'anna'@'%'; GRANT ALL ON *.* TO 'boss'@'%'");
    let anna = tested(stored, "anna", &body(kind, server.port(), "anna", tls));
    assert_eq!((&anna["is_superuser"], &anna["privileges"]), (&json!(false), &json!(["SELECT, INSERT on `sales`.*"])), "{anna}");
    assert!(anna["connections"]["open"].as_u64() >= Some(1) && anna["connections"]["allowed"].as_u64() >= Some(1), "{anna}");
    assert!(!anna.to_string().contains("IDENTIFIED"), "{anna}");
    let boss = tested(stored, "boss", &body(kind, server.port(), "boss", tls));
    assert_eq!((&boss["is_superuser"], &boss["privileges"]), (&json!(true), &Value::Null), "{boss}");
}
