//! The machine is gone: a copy of the store and the recovery key on paper bring every secret back. On both stores.

use std::fs;

use dataflow_tests::{
    folder::TempDir,
    http::Request,
    port::Port,
    postgres::{Postgres, PostgresOptions},
    process::{Process, Spawn, Stop},
    server::{TestServer, TestServerOptions},
    shell::{Ran, Shell, says},
    stored::{Engine, Stored},
};
use rstest::rstest;

/// Another machine's `dataflow serve` on its own copy.
fn serve(folder: &TempDir, port: &Port, store: &[String]) -> Process {
    let mut process = Spawn::new(dataflow_tests::binary::dataflow_bin(), Stop::Terminate)
        .args(["serve", "--listen", &format!("127.0.0.1:{}", port.number())])
        .args(store)
        .start(&folder.join("log"));
    process.wait_until("the recovered server", |process| process.log().contains("is ready at"));
    process
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn the_store_and_the_recovery_key_are_enough(#[case] engine: Engine) {
    let mut stored = Stored::start(engine);
    stored.create("sales", "only this once");
    let recovery_key = stored.server.recovery_key().to_owned();
    let before = stored.credentials("sales").expect(200).header("etag").to_owned();
    stored.server.process().stop();
    let key_file = stored.server.data().with_extension("key");
    fs::remove_file(&key_file).expect("the key file lies beside the folder");

    // The new machine.
    let folder = TempDir::new();
    let data = folder.join("new");
    fs::create_dir(&data).expect("own folder");
    let mut store = vec!["--data".to_owned(), data.display().to_string()];
    match stored.database_url() {
        Some(url) => store.extend(["--database-url".to_owned(), url]),
        None => {
            fs::copy(stored.server.data().join("store.db"), data.join("store.db")).expect("a copy");
        }
    }
    let new_key = folder.join("new.key");
    let refused = Shell::new(["serve", "--listen", "127.0.0.1:0"]).args(&store).run();
    assert!(refused.failure().contains(&new_key.display().to_string()), "{}", refused.stderr);
    assert!(refused.stderr.contains("dataflow recover"), "{}", refused.stderr);
    assert!(!new_key.exists(), "no new key over existing ciphertext");

    let recover = |key: &str| Shell::new(["recover", "--recovery-key-stdin"]).args(&store).input(key).run();
    let another = "0000-0000-0000-0000-0000-0000-0000-0000-0000-0000-0000-0000-0000-0000";
    for (wrong, says) in [
        ("", "Nothing came on standard input"),
        ("ABCD", "4 characters"),
        (&recovery_key.replacen('-', "0", 1), "characters"),
        (another, "key"),
    ] {
        let ran = recover(wrong);
        assert!(ran.failure().contains(says), "{}", ran.stderr);
        assert!(!new_key.exists(), "a wrong recovery key makes nothing");
    }
    let ran = recover(&format!("{}\n", recovery_key.to_lowercase().replace('-', " ")));
    assert_eq!(ran.stdout(), "", "there is no data to print");
    assert!(ran.stderr.contains(&new_key.display().to_string()) && !ran.stderr.contains(&recovery_key), "{}", ran.stderr);
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&new_key).expect("made").permissions());
    assert_eq!(mode & 0o777, 0o600);
    let ran = recover(&recovery_key);
    assert!(ran.failure().contains("already exists"), "{}", ran.stderr);

    let port = Port::free();
    let mut server = serve(&folder, &port, &store);
    let path = "/api/v1/workspaces/default/connections/sales/credentials";
    let resolved = Request::new(port.number(), "GET", path).token(&stored.admin).send();
    assert_eq!(resolved.expect(200).json()["fields"]["password"], "only this once");
    assert_eq!(resolved.header("etag"), before, "clients that hold it need nothing new");
    if engine == Engine::Sqlite {
        // While a server runs on the folder, its keys are not changed under it.
        let other = folder.join("other.key");
        let ran =
            Shell::new(["recover", "--recovery-key-stdin", "--key-file"]).arg(&other).args(&store).input(&recovery_key).run();
        assert!(ran.failure().contains("Another server runs"), "{}", ran.stderr);
        assert!(!other.exists());
    }
    server.stop();
    // The recovery key stays good, and a second loss is no worse than the first.
    fs::remove_file(&new_key).expect("own file");
    assert_eq!(recover(&recovery_key).stdout(), "");
}

#[test]
fn there_must_be_something_to_recover() {
    let folder = TempDir::new();
    let ran = Shell::new(["recover", "--recovery-key-stdin", "--data"]).arg(folder.join("data")).input("x").run();
    assert!(ran.failure().contains("There is no store at"), "{}", ran.stderr);
    assert!(!folder.join("data").exists() && !folder.join("data.key").exists(), "nothing is made");
}

#[test]
fn of_nodes_that_start_at_once_on_an_empty_database_one_makes_the_keys() {
    let postgres = Postgres::start(&PostgresOptions::default());
    let url = postgres.url("postgres");
    let folders: Vec<_> = (0..4).map(|_| TempDir::new()).collect();
    let threads: Vec<_> = folders
        .iter()
        .enumerate()
        .map(|(number, folder)| {
            let setup = Shell::new([
                "setup",
                "--password-stdin",
                "--email",
                &format!("admin{number}@example.org"),
                "--database-url",
                &url,
            ]);
            let setup = setup.arg("--data").arg(folder.join("data")).input("correct horse battery staple");
            std::thread::spawn(move || setup.run())
        })
        .collect();
    let ran: Vec<_> = threads.into_iter().map(|thread| thread.join().expect("no panic")).collect();
    let succeeded: Vec<_> = ran.iter().map(|ran| ran.succeeded).collect();
    assert_eq!(succeeded.iter().filter(|succeeded| **succeeded).count(), 1, "{ran:?}");
    assert_eq!(postgres.psql("SELECT count(*) FROM instance"), "1");
    assert_eq!(postgres.psql("SELECT count(*) FROM people"), "1");
    for (folder, succeeded) in folders.iter().zip(&succeeded) {
        assert_eq!(
            folder.join("data.key").exists(),
            *succeeded,
            "a key file that opens nothing is left behind, or the good one is gone"
        );
    }
    // With the first node's key file, every node serves.
    let (first, other) = (
        succeeded.iter().position(|succeeded| *succeeded).expect("one"),
        succeeded.iter().position(|succeeded| !succeeded).expect("three"),
    );
    fs::copy(folders[first].join("data.key"), folders[other].join("data.key")).expect("a copy");
    let store = ["--data".to_owned(), folders[other].join("data").display().to_string(), "--database-url".to_owned(), url];
    let port = Port::free();
    serve(&folders[other], &port, &store);
}

#[test]
fn a_node_learns_of_the_changes_of_another() {
    let postgres = Postgres::start(&PostgresOptions::default());
    let url = postgres.url("postgres");
    let first = TestServer::start(TestServerOptions { database_url: Some(url.clone()), ..TestServerOptions::default() });
    let admin = first.token("default", "admin", "admin");
    let folder = TempDir::new();
    fs::copy(first.data().with_extension("key"), folder.join("data.key")).expect("a copy");
    let store = ["--data".to_owned(), folder.join("data").display().to_string(), "--database-url".to_owned(), url];
    let port = Port::free();
    let _second = serve(&folder, &port, &store);
    let ask = |port: u16, method: &str, path: &str| {
        Request::new(port, method, format!("/api/v1/workspaces/default/connections{path}")).token(&admin).header("if-match", "*")
    };
    let body = dataflow_tests::stored::sample("sales", "first");
    ask(first.port(), "POST", "").json(&body).send().expect(201);
    let password = || ask(port.number(), "GET", "/sales/credentials").send();
    assert_eq!(password().expect(200).json()["fields"]["password"], "first");
    ask(first.port(), "PATCH", "/sales").json(&serde_json::json!({"password": "second"})).send().expect(200);
    // It looks twice a second; a busy machine lets it wait.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while password().expect(200).json()["fields"]["password"] != "second" {
        assert!(std::time::Instant::now() < deadline, "the change did not arrive");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// A damaged page, or somebody who can write the store: nothing of it makes the server begin anew over what is sealed.
#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn no_key_ring_is_made_over_a_store_that_has_lost_its_own(#[case] engine: Engine) {
    let mut stored = Stored::start(engine);
    stored.create("sales", "only this once");
    stored.server.process().stop();
    stored.sql("CREATE TABLE kept AS SELECT * FROM instance; DELETE FROM instance");
    let key_file = stored.server.data().with_extension("key");
    let away = key_file.with_extension("away");
    let serve = || Shell::new(["serve", "--listen", "127.0.0.1:0"]).args(stored.data_arguments()).run();
    let refused = |ran: &Ran| {
        says(ran, &["its key ring is gone", "dataflow restore --replace"]);
        assert_eq!(stored.sql("SELECT count(*) FROM instance"), "0");
    };
    refused(&serve());
    fs::rename(&key_file, &away).expect("own folder");
    refused(&serve());
    assert!(!key_file.exists(), "no new key either");
    fs::rename(&away, &key_file).expect("own folder");
    stored.sql("INSERT INTO instance SELECT * FROM kept; DROP TABLE kept");
    stored.server.restart();
    assert_eq!(stored.credentials("sales").expect(200).json()["fields"]["password"], "only this once");
}

/// A damaged page takes rows away: where each store has one from its beginning, the start says so, and never a request.
#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn a_store_without_a_row_that_each_has_is_refused_as_damaged(#[case] engine: Engine) {
    let mut stored = Stored::start(engine);
    stored.create("sales", "only this once");
    stored.server.process().stop();
    for (table, rows, harm) in [
        ("change_clock", "id = 1", "DELETE FROM change_clock WHERE id = 1"),
        ("change_clock", "id = 1", "UPDATE change_clock SET id = 91"),
        ("_sqlx_migrations", "version = 5", "DELETE FROM _sqlx_migrations WHERE version = 5"),
        ("_sqlx_migrations", "version > 0", "DELETE FROM _sqlx_migrations"),
        ("instance", "id <> ''", "UPDATE instance SET key_ring = substr(key_ring, 1, 60)"),
    ] {
        stored.sql(&format!("CREATE TABLE kept AS SELECT * FROM {table} WHERE {rows}; {harm}"));
        let ran = Shell::new(["serve", "--listen", "127.0.0.1:0"]).args(stored.data_arguments()).run();
        says(&ran, &["The store is damaged", "Stop every server", "dataflow restore --replace"]);
        if table != "_sqlx_migrations" {
            stored.sql(&format!("DELETE FROM {table}"));
        }
        stored.sql(&format!("INSERT INTO {table} SELECT * FROM kept; DROP TABLE kept"));
    }
    stored.server.restart();
    assert_eq!(stored.credentials("sales").expect(200).json()["fields"]["password"], "only this once");
    println!("promise: a store that has lost a row that each has, {engine:?}: 5 ways, all refused at the start");
}
