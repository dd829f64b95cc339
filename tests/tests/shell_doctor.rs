//! `dataflow doctor` says of each planted defect what it is and what to do, and changes nothing. On both stores.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
};

use dataflow_tests::{
    postgres::{Postgres, PostgresOptions},
    server::{TestServer, TestServerOptions},
    shell::{Ran, Shell},
    stored::{Engine, Stored},
    tls::{Authority, Shape},
};
use rstest::rstest;
use serde_json::{Value, json};

/// Every finding: check, and status with text.
type Report = BTreeMap<String, (String, String)>;

fn doctor(store: &[String], more: &[&str], input: &str) -> (Ran, Report) {
    let ran = Shell::new(["doctor", "--output", "json"]).args(store).args(more).input(input).run();
    let findings: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{}{}", ran.stdout, ran.stderr));
    let findings = findings.as_array().expect("a list").iter().map(|finding| {
        let word = |name: &str| finding[name].as_str().expect("a text").to_owned();
        (word("check"), (word("status"), format!("{} {}", word("found"), word("hint"))))
    });
    let report: Report = findings.collect();
    let has_problem = report.values().any(|(status, _)| status == "problem");
    assert_eq!(ran.status, Some(i32::from(has_problem)), "{report:#?}");
    (ran, report)
}

/// The finding of one check, which bears that status and holds those words; no other is a problem.
fn finds(store: &[String], more: &[&str], (check, status): (&str, &str), parts: &[&str]) {
    let (_, report) = doctor(store, more, "");
    let (found, text) = report.get(check).unwrap_or_else(|| panic!("nothing of {check}: {report:#?}"));
    assert_eq!(found, status, "{report:#?}");
    for part in parts {
        assert!(text.contains(part), "“{part}” is not in: {text}");
    }
    let others = report.iter().filter(|(name, (status, _))| *name != check && status == "problem");
    assert_eq!(others.count(), 0, "{report:#?}");
}

/// Every file of the server's with its bytes and mode.
fn files(folder: &Path) -> BTreeMap<String, (u32, Vec<u8>)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("own folder").map(|entry| entry.expect("own").path()) {
        let about = fs::symlink_metadata(&entry).expect("there");
        if about.is_dir() {
            found.extend(files(&entry));
        } else if about.is_file() {
            found.insert(entry.display().to_string(), (about.permissions().mode(), fs::read(&entry).expect("own file")));
        }
    }
    found
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("own file");
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn a_sound_store_is_called_sound_and_nothing_is_changed(#[case] engine: Engine) {
    // The fixture's own PostgreSQL does not sync, for speed.
    let database = (engine == Engine::Postgres).then(|| {
        let settings = vec![("fsync".to_owned(), "on".to_owned())];
        Postgres::start(&PostgresOptions { settings, ..PostgresOptions::default() })
    });
    let database_url = database.as_ref().map(|database| database.url("postgres"));
    let mut server = TestServer::start(TestServerOptions { database_url: database_url.clone(), ..TestServerOptions::default() });
    let mut store = vec!["--data".to_owned(), server.data().display().to_string()];
    store.extend(database_url.into_iter().flat_map(|url| ["--database-url".to_owned(), url]));
    let recovery_key = server.recovery_key().to_owned();

    let (ran, report) = doctor(&store, &["--recovery-key-stdin"], &recovery_key);
    assert!(report.values().all(|(status, _)| matches!(status.as_str(), "ok")), "{report:#?}");
    assert!(!ran.stdout.contains(&recovery_key) && !ran.stderr.contains(&recovery_key));
    let mut checks =
        vec!["admin socket", "audit", "clock", "data folder", "database", "disk", "durability", "key file", "key ring", "names"];
    checks.extend(["outbound", "recovery key", "schema", "server", "triggers"]);
    if engine == Engine::Sqlite {
        checks.extend(["integrity", "store file"]);
    }
    checks.sort_unstable();
    assert_eq!(report.keys().collect::<Vec<_>>(), checks);
    let text = |check: &str| report[check].1.clone();
    assert!(text("server").contains(&server.port().to_string()) && text("outbound").contains("every network"), "{report:#?}");
    assert!(text("audit").contains("on disk within 50 ms"), "{report:#?}");
    assert!(text("key ring").contains("key file, recovery key"), "{report:#?}");
    let table = Shell::new(["doctor"]).args(&store).run().stdout().to_owned();
    assert_eq!(table.lines().count(), report.len() + 1, "a line each: {table}");
    let (_, report) = doctor(&store, &["--recovery-key-stdin"], "0000");
    assert_eq!(report["recovery key"].0, "problem", "{report:#?}");

    server.process().stop();
    let before = files(server.data().parent().expect("a folder"));
    finds(&store, &[], ("server", "warning"), &["None runs", "dataflow serve"]);
    assert_eq!(files(server.data().parent().expect("a folder")), before, "it only looks");
}

#[test]
fn each_defect_of_the_files_is_found() {
    let mut stored = Stored::start(Engine::Sqlite);
    stored.create("sales", "planted");
    stored.create("crm", "planted");
    stored.post("crm", "rename", &json!({"name": "shop"})).expect(200);
    stored.server.process().stop();
    let (data, store) = (stored.server.data(), stored.data_arguments());
    let (key, file) = (data.with_extension("key"), data.join("store.db"));
    for (path, check, open, closed) in
        [(&data, "data folder", 0o750, 0o700), (&file, "store file", 0o640, 0o600), (&key, "key file", 0o604, 0o600)]
    {
        set_mode(path, open);
        let (_, report) = doctor(&store, &[], "");
        assert_eq!(report[check].0, "problem", "{report:#?}");
        assert!(report[check].1.contains(&format!("chmod {closed:o} {}", path.display())), "{report:#?}");
        set_mode(path, closed);
    }
    let inside = data.join("key");
    fs::copy(&key, &inside).expect("own folder");
    set_mode(&inside, 0o600);
    finds(&store, &["--key-file", &inside.display().to_string()], ("key file", "warning"), &["in the data folder", "--key-file"]);
    fs::remove_file(&inside).expect("own file");

    let another = Stored::start(Engine::Sqlite);
    let another = another.server.data().with_extension("key").display().to_string();
    finds(
        &store,
        &["--key-file", &another],
        ("key ring", "problem"),
        &["does not open", "key file, recovery key", "dataflow recover"],
    );
    let away = key.with_extension("away");
    fs::rename(&key, &away).expect("own file");
    let (_, report) = doctor(&store, &[], "");
    assert!(report["key file"].1.contains("is not there") && report["key ring"].0 == "problem", "{report:#?}");
    fs::rename(&away, &key).expect("own file");

    stored.sql("UPDATE audit_events SET at = at + 3600000000");
    finds(&store, &[], ("clock", "problem"), &["the clock went back", "NTP"]);
    stored.sql("UPDATE audit_events SET at = at - 3600000000");
    stored.sql("CREATE TRIGGER quiet AFTER INSERT ON audit_events BEGIN DELETE FROM audit_events WHERE id = NEW.id; END");
    finds(&store, &[], ("triggers", "problem"), &["quiet", "Drop them"]);
    stored.sql("DROP TRIGGER quiet");
    // A name that is taken for nobody, one that is taken for another, and one that two may take.
    for (change, parts) in [
        ("INSERT INTO live_names SELECT workspace_id, 'nobody', id FROM connections LIMIT 1", &["do not have them: nobody."][..]),
        (
            "UPDATE live_names SET connection_id = (SELECT id FROM connections WHERE name = 'shop') WHERE name_key = 'sales'",
            &["do not have them: sales.", "not taken for it: sales."],
        ),
        ("DELETE FROM live_names WHERE name_key = 'sales'", &["not taken for it: sales."]),
        ("DELETE FROM live_names WHERE name_key = 'crm'", &["not taken for it: crm."]),
    ] {
        stored.sql("CREATE TABLE kept_names AS SELECT * FROM live_names");
        stored.sql(change);
        finds(&store, &[], ("names", "problem"), &[parts, &["live_names", "dataflow restore --replace"]].concat());
        stored.sql("DELETE FROM live_names; INSERT INTO live_names SELECT * FROM kept_names; DROP TABLE kept_names");
    }
    assert_eq!(doctor(&store, &[], "").1["names"].0, "ok");
    let newer = "INSERT INTO _sqlx_migrations SELECT 9999, 'later', installed_on, success, checksum, execution_time FROM _sqlx_migrations LIMIT 1";
    stored.sql(newer);
    finds(&store, &[], ("schema", "problem"), &["9999", "newer version"]);
    stored.sql("DELETE FROM _sqlx_migrations WHERE version = 9999");
    stored.sql("CREATE TABLE kept AS SELECT * FROM change_clock; DELETE FROM change_clock");
    finds(&store, &[], ("change clock", "problem"), &["is gone", "dataflow restore --replace"]);
    stored.sql("INSERT INTO change_clock SELECT * FROM kept; DROP TABLE kept; CREATE TABLE kept AS SELECT * FROM instance");
    stored.sql("DELETE FROM instance");
    finds(&store, &[], ("key ring", "problem"), &["It is gone", "dataflow restore --replace"]);
    stored.sql("INSERT INTO instance SELECT * FROM kept");
    stored.sql("UPDATE instance SET key_ring = substr(key_ring, 1, 60)");
    let (_, report) = doctor(&store, &[], "");
    assert!(report["key ring"].0 == "problem" && report["key ring"].1.contains("damaged"), "{report:#?}");

    // An index that is another's.
    stored.sql(
        "PRAGMA writable_schema = ON; UPDATE sqlite_master SET rootpage = (SELECT rootpage FROM sqlite_master \
         WHERE name = 'audit_events_at') WHERE name = 'checks_connection'",
    );
    let (_, report) = doctor(&store, &[], "");
    assert_eq!(report["integrity"].0, "problem", "{report:#?}");
    assert!(report["integrity"].1.contains("dataflow restore --replace"), "{report:#?}");
    fs::write(&file, "this is no database at all".repeat(1000)).expect("own file");
    finds(&store, &[], ("store", "problem"), &["The store is damaged", "dataflow restore --replace"]);
    fs::remove_file(&file).expect("own file");
    finds(&store, &[], ("store", "problem"), &["There is no store", "--data"]);
    let absent = vec!["--data".to_owned(), data.with_extension("absent").display().to_string()];
    let (_, report) = doctor(&absent, &[], "");
    assert!(report["data folder"].1.contains("is not there"), "{report:#?}");
}

#[test]
fn each_defect_of_postgres_is_found() {
    // Started by the fixture with fsync = off.
    let stored = Stored::start(Engine::Postgres);
    let store = stored.data_arguments();
    finds(&store, &[], ("durability", "problem"), &["fsync is off", "Set fsync = on"]);
    stored.sql("ALTER ROLE postgres SET synchronous_commit = off");
    finds(&store, &[], ("durability", "problem"), &["fsync, synchronous_commit are off"]);
    stored.sql("CREATE RULE quiet AS ON DELETE TO sessions DO INSTEAD NOTHING");
    let (_, report) = doctor(&store, &[], "");
    assert!(report["triggers"].0 == "problem" && report["triggers"].1.contains("quiet"), "{report:#?}");
    let url = "postgres://postgres:wrong@127.0.0.1:1/postgres";
    let gone = vec!["--data".to_owned(), stored.server.data().display().to_string(), "--database-url".to_owned(), url.to_owned()];
    let (ran, report) = doctor(&gone, &[], "");
    assert!(
        report["store"].0 == "problem" && report["store"].1.contains("correct host and port in --database-url"),
        "{report:#?}"
    );
    assert!(!ran.stdout.contains("wrong"), "{}", ran.stdout);
}

#[test]
fn a_server_that_does_not_answer_is_found() {
    let mut stored = Stored::start(Engine::Sqlite);
    let store = stored.data_arguments();
    let process = stored.server.process().id().to_string();
    let signal = |name: &str| {
        assert!(
            std::process::Command::new("/bin/kill").args(["-s", name, "--", &process]).status().expect("kill runs").success()
        );
    };
    set_mode(&stored.server.data().join("admin.sock"), 0o666);
    finds(&store, &[], ("admin socket", "problem"), &["Others may use", "chmod 600"]);
    set_mode(&stored.server.data().join("admin.sock"), 0o600);
    signal("STOP");
    finds(&store, &[], ("server", "problem"), &["does not answer", "restart it"]);
    fs::remove_file(stored.server.data().join("admin.sock")).expect("own file");
    finds(&store, &[], ("server", "problem"), &[&format!("Process {process} holds the data folder"), "restart it"]);
    signal("CONT");
}

#[test]
fn each_defect_of_a_certificate_is_found() {
    let mut stored = Stored::start(Engine::Sqlite);
    stored.server.process().stop();
    let store = stored.data_arguments();
    let folder = dataflow_tests::folder::TempDir::new();
    let (authority, other) = (Authority::new(), Authority::new());
    let run = |shape: Shape, url: &str, status: &str, parts: &[&str]| {
        let [certificate, key] = folder.write_identity(&authority.server(shape)).map(|path| path.display().to_string());
        let more = ["--tls-cert", &certificate, "--tls-key", &key, "--public-url", url];
        finds(&store, &more, ("certificate", status), parts);
    };
    run(Shape::Good, "https://localhost:8443", "ok", &["localhost", "valid until"]);
    run(Shape::Good, "https://dataflow.example.org", "problem", &["people open dataflow.example.org", "--public-url"]);
    run(Shape::Expired, "https://localhost", "problem", &["expired at", "Renew"]);
    let [certificate, _] = folder.write_identity(&authority.server(Shape::Good)).map(|path| path.display().to_string());
    let stray = folder.write_private("other.key", &other.server(Shape::Good).key).display().to_string();
    let more = ["--tls-cert", certificate.as_str(), "--tls-key", stray.as_str()];
    finds(&store, &more, ("certificate", "problem"), &["belongs together"]);
    let dangling = folder.join("dangling");
    symlink(folder.join("nowhere"), &dangling).expect("own folder");
    let dangling = dangling.display().to_string();
    finds(&store, &["--tls-cert", &dangling, "--tls-key", &stray], ("certificate", "problem"), &["dangling"]);
}
