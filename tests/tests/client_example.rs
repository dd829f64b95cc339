//! The Rust client's example, as it is built: it opens PostgreSQL by name.

use dataflow_tests::{
    postgres::{Postgres, PostgresOptions},
    shell::{Ran, Shell, says},
    stored::{Engine, Stored},
    tls::{Authority, ServerTls, Shape},
};
use serde_json::{Value, json};

const PASSWORD: &str = "%41 é漢 'planted'";

/// A connection of the user `name` with the given TLS fields, opened by the example.
fn open(stored: &Stored, postgres: &Postgres, name: &str, tls: &Value) -> Ran {
    postgres.create_role(name, PASSWORD);
    let connection = json!({
        "name": name, "type": "postgres", "host": "localhost", "port": postgres.port(), "database": "postgres",
        "username": name, "password": PASSWORD, "tls": tls,
    });
    stored.admin("POST", "/connections").json(&connection).send().expect(201);
    run(stored, name)
}

fn run(stored: &Stored, name: &str) -> Ran {
    let token = stored.server.token("default", "user", name);
    Shell::example("postgres_by_name")
        .arg(name)
        .variable("DATAFLOW_URL", stored.server.url())
        .variable("DATAFLOW_TOKEN", token)
        .run()
}

#[test]
fn postgres_is_opened_by_its_name_under_its_tls_mode() {
    let (authority, other, stored) = (Authority::new(), Authority::new(), Stored::start(Engine::Sqlite));
    let tls = ServerTls { client_authority: Some(authority.pem()), ..ServerTls::new(authority.server(Shape::Good)) };
    let hba = vec!["hostssl all certified 127.0.0.1/32 scram-sha-256 clientcert=verify-full".to_owned()];
    let postgres = Postgres::start(&PostgresOptions { tls: Some(tls), hba, ..PostgresOptions::default() });
    let client = authority.client("certified");
    for (name, tls) in [
        ("plain", json!({"mode": "disable"})),
        ("encrypted", json!({"mode": "require"})),
        ("verified", json!({"mode": "verify-full", "ca": authority.pem()})),
        ("certified", json!({"mode": "verify-full", "ca": authority.pem(), "cert": client.certificates, "key": client.key})),
    ] {
        let version = open(&stored, &postgres, name, &tls);
        assert!(version.stdout().starts_with("PostgreSQL 15."), "{name}: {}", version.stdout);
    }
    for (name, tls, part) in [
        ("untrusted", json!({"mode": "verify-full", "ca": other.pem()}), "certificate"),
        ("unnamed", json!({"mode": "verify-full"}), "certificate"),
        ("half", json!({"mode": "verify-ca", "ca": authority.pem()}), "Set verify-full"),
    ] {
        let refused = open(&stored, &postgres, name, &tls);
        says(&refused, &[part]);
        assert!(!refused.stderr.contains("planted"), "{}", refused.stderr);
    }
}

#[test]
fn what_is_not_postgres_is_told_by_its_name() {
    let stored = Stored::start(Engine::Sqlite);
    let shop = json!({"name": "shop", "type": "sqlite", "database": "shop.db"});
    stored.admin("POST", "/connections").json(&shop).send().expect(201);
    says(&run(&stored, "shop"), &["shop", "sqlite", "not PostgreSQL"]);
    says(&run(&stored, "absent"), &["absent"]);
}
