//! A store that cannot be opened, as somebody at a shell is told of it.

use dataflow_tests::{
    folder::TempDir,
    port::ClosedPort,
    postgres::{Postgres, PostgresOptions},
    scripted::{Peer, Scripted},
    shell::{Shell, says},
    stored::{Engine, Stored},
    tls::{Authority, ServerTls, Shape},
};

/// The command for a store at `url`: one sentence of what happened and what to do, the technical cause at most, and no password.
fn refuses_store(url: &str, parts: &[&str]) {
    let folder = TempDir::new();
    let ran = Shell::new(["workspace", "list", "--data"]).arg(folder.join("data")).args(["--database-url", url]).run();
    says(&ran, parts);
    let text = ran.failure();
    let first = text.lines().next().unwrap_or_default();
    assert!(first.starts_with("dataflow: ") && first.ends_with('.') && first.contains(parts[0]), "{text}");
    assert!(text.lines().count() <= 2, "{text}");
    for noise in
        [STORE_PASSWORD, "plantedSt", "pool timed out", "at line", "open the store", "error returned from", "error communicating"]
    {
        assert!(!text.contains(noise), "“{noise}” is in: {text}");
    }
}

/// With what has to be escaped in a URL.
const STORE_PASSWORD: &str = "plantedSt/re";

#[test]
fn a_database_that_cannot_be_the_store_is_told_in_one_sentence() {
    let authority = Authority::new();
    let start = |tls| {
        let hba = vec!["host all outsider 127.0.0.1/32 reject".to_owned()];
        Postgres::start(&PostgresOptions { tls, hba, ..PostgresOptions::default() })
    };
    let (server, secured) = (start(None), start(Some(ServerTls::new(authority.server(Shape::Good)))));
    server.create_role("anna", STORE_PASSWORD);
    server.create_database("stores", "postgres");
    server.create_database("full", "postgres");
    server.psql("ALTER DATABASE \"full\" CONNECTION LIMIT 0");
    let at = |port: u16, user: &str, rest: &str| format!("postgres://{user}:plantedSt%2Fre@127.0.0.1:{port}/{rest}");
    let address = format!("127.0.0.1:{}", server.port());
    let url = |user: &str, rest: &str| at(server.port(), user, rest);

    refuses_store(&url("anne", "stores"), &["refused the password of “anne”", &address, "--database-url", "28P01"]);
    refuses_store(&url("outsider", "stores"), &["does not let “outsider” sign in", &address, "pg_hba.conf"]);
    refuses_store(&url("anna", "nowhere"), &["has no database “nowhere”", &address, "CREATE DATABASE"]);
    refuses_store(&url("anna", "full"), &["no connection left", &address]);
    refuses_store(&url("anna", "stores"), &["“anna” may not make tables in the database “stores”", "owner", "CREATE"]);
    refuses_store(&url("anna", "stores?sslmode=require"), &["offers no TLS", &address, "sslmode=disable"]);
    let untrusted = at(secured.port(), "anna", "stores?sslmode=verify-full");
    refuses_store(&untrusted, &["TLS with 127.0.0.1", "certificate", "sslrootcert"]);

    let closed = ClosedPort::new();
    refuses_store(
        &at(closed.number(), "anna", "stores"),
        &["Nothing answers at 127.0.0.1", "Start PostgreSQL there", "--database-url"],
    );
    // No label of a name has more than 63 bytes (RFC 1035, section 2.3.4): the resolver says so without asking the network.
    let nowhere = format!("{}.invalid", "x".repeat(64));
    let told = format!("{nowhere}:5432 cannot be reached");
    refuses_store(&format!("postgres://anna:plantedSt%2Fre@{nowhere}/stores"), &[&told, "--database-url"]);
    let mysql = Scripted::start(|peer| {
        peer.send(b"\x4a\0\0\0\x0a8.0.36\0\x08\0\0\0abcdefgh\0\xff\xf7")?;
        peer.listen()
    });
    refuses_store(&at(mysql.port(), "anna", "stores"), &["is not PostgreSQL", "--database-url"]);
    let silent = Scripted::start(Peer::listen);
    refuses_store(&at(silent.port(), "anna", "stores"), &["does not answer as a PostgreSQL server does", "--database-url"]);
    let hangs_up = Scripted::start(|_| Ok(()));
    refuses_store(&at(hangs_up.port(), "anna", "stores"), &["closed the connection", "--database-url"]);
    for bad in [
        "mysql://anna:plantedSt%2Fre@127.0.0.1/stores",
        "postgres://anna:plantedSt%2Fre@127.0.0.1:port/stores",
        "anna:plantedSt%2Fre@127.0.0.1",
        "postgres://anna:plantedSt%2Fre@127.0.0.1/stores?sslmode=prefer",
    ] {
        refuses_store(bad, &["--database-url cannot be used"]);
    }
}

#[test]
fn a_store_of_a_newer_version_is_told_as_such() {
    let mut stored = Stored::start(Engine::Sqlite);
    stored.server.process().stop();
    stored.sql("INSERT INTO _sqlx_migrations SELECT 9999, 'later', installed_on, success, checksum, execution_time FROM _sqlx_migrations LIMIT 1");
    let ran = Shell::new(["workspace", "list"]).args(stored.data_arguments()).run();
    says(&ran, &["dataflow: The store belongs to a newer version", "Start that version"]);
}

#[test]
fn a_url_with_a_password_may_stand_in_a_file() {
    let mut stored = Stored::start(Engine::Postgres);
    // Beside a running server the shell would ask that.
    stored.server.process().stop();
    let folder = TempDir::new();
    let (file, url) = (folder.join("store-url"), stored.database_url().expect("on PostgreSQL"));
    let list = || Shell::new(["workspace", "list", "--data"]).arg(stored.server.data()).arg("--database-url-file").arg(&file);
    std::fs::write(&file, format!("{url}\n")).expect("written");
    assert!(list().run().stdout().contains("default"));

    std::fs::write(&file, "\n").expect("written");
    says(&list().run(), &["--database-url cannot be used"]);
    std::fs::remove_file(&file).expect("removed");
    says(&list().run(), &["read", "store-url"]);
    says(&list().args(["--database-url", &url]).run(), &["--database-url", "cannot be used with"]);
}
