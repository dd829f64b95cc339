//! A backup is taken beside a running server and without a key, and another machine makes of it the same store again, on whichever engine.

#![expect(clippy::indexing_slicing, reason = "answers are read by name; what is absent is null and fails the test")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Barrier,
    time::{Duration, Instant},
};

use dataflow_tests::{
    environment::soak,
    http::Request,
    machine::Machine,
    server::{ADMIN_EMAIL, ADMIN_PASSWORD},
    shell::Shell,
    stored::{Engine, Stored, sample},
    writers::{Writers, secret},
};
use rstest::rstest;
use serde_json::json;

const API: &str = "/api/v1/workspaces/default";

/// A backup that was taken with no key in reach: the server has it.
fn take(stored: &Stored, machine: &Machine) -> PathBuf {
    let file = machine.path("backup");
    let ran =
        Shell::new(["backup"]).arg(&file).arg("--key-file").arg(machine.path("absent.key")).args(stored.data_arguments()).run();
    assert_eq!(ran.stdout(), "", "there is no data to print");
    assert!(ran.stderr.contains("No key is in it"), "{}", ran.stderr);
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&file).expect("made").permissions()) & 0o777, 0o600);
    file
}

/// What the first node of a data folder has recorded of machine reads.
fn segments(data: &Path) -> String {
    let mut files: Vec<_> =
        fs::read_dir(data.join("nodes/1/audit")).expect("the segments").map(|entry| entry.expect("own").path()).collect();
    files.sort();
    files.iter().map(|file| fs::read_to_string(file).expect("own file")).collect()
}

/// What a store gives to who may see all of it, less what changes with each look.
fn seen(port: u16, token: &str) -> Vec<String> {
    let ask = |path: &str| Request::new(port, "GET", format!("{API}{path}")).token(token).send();
    let mut seen: Vec<String> = [
        "/connections?limit=200",
        "/connections?search=wareh",
        "/connections?search=&tag=gold&type=postgres",
        "/connections?status=failed",
        "/connections/sales",
        "/connections/gone",
        "/connections/sales/checks",
        "/members",
    ]
    .map(|path| format!("{path}: {}", ask(path).text()))
    .into();
    let credentials = ask("/connections/sales/credentials");
    seen.push(format!("{} {}", credentials.header("etag"), credentials.text()));
    let tokens = ask("/tokens").json();
    let tokens = tokens["items"].as_array().into_iter().flatten();
    seen.extend(tokens.map(|token| format!("{} {} {}", token["id"], token["name"], token["revoked_at"])));
    seen
}

#[rstest]
#[case::sqlite_to_sqlite(Engine::Sqlite, Engine::Sqlite)]
#[case::sqlite_to_postgres(Engine::Sqlite, Engine::Postgres)]
#[case::postgres_to_sqlite(Engine::Postgres, Engine::Sqlite)]
#[case::postgres_to_postgres(Engine::Postgres, Engine::Postgres)]
fn another_machine_makes_the_same_store_of_it(#[case] from: Engine, #[case] to: Engine) {
    let stored = Stored::start(from);
    let mut body = sample("sales", "first “quoted” \\ é漢");
    body["tags"] = json!(["gold"]);
    body["description"] = json!("The warehouse \\N \\. of all\\");
    // Nothing listens there: a check that failed.
    body["host"] = json!("127.0.0.1");
    body["port"] = json!(1);
    stored.admin("POST", "/connections").json(&body).send().expect(201);
    stored.edit("sales", &json!({"password": "only in the second version"})).expect(200);
    stored.create("gone", "planted");
    let policy = stored.admin("PUT", "/connections/gone/rotation-policy").header("if-match", "*");
    policy.json(&json!({"every_days": 1})).send().expect(200);
    let reason = "/connections/gone?reason=moved%0Ato%20%5Corders";
    stored.admin("DELETE", reason).header("if-match", "*").send().expect(204);
    stored.add_member("eve@example.org");
    let revoked = stored.admin("POST", "/tokens").json(&json!({"name": "old", "roles": ["user"]})).send().expect(201).json();
    stored.admin("DELETE", &format!("/tokens/{}", revoked["id"].as_str().expect("an id"))).send().expect(204);
    stored.admin("POST", "/connections/sales/test").send().expect(200);
    let checked = Instant::now();
    while stored.admin("GET", "/connections?status=failed").send().json()["items"].as_array().is_none_or(Vec::is_empty) {
        assert!(checked.elapsed() < Duration::from_secs(30), "the check is not kept");
        std::thread::sleep(Duration::from_millis(20));
    }
    // Who uses it is in the list of both.
    stored.credentials("sales").expect(200);
    stored.admin("GET", "/connections/sales/dependents").send().expect(200);
    let before = seen(stored.server.port(), &stored.admin);
    assert!(before.iter().any(|said| said.contains("only in the second version")), "{before:#?}");

    // Written a moment after the first read; a store without it begins its record of reads anew.
    let begun = Instant::now();
    while stored.sql("SELECT count(*) FROM audit_events WHERE action = 'audit.begin'") != "1" {
        assert!(begun.elapsed() < Duration::from_secs(30), "the record of reads is not begun");
        std::thread::sleep(Duration::from_millis(20));
    }

    let mut machine = Machine::new(to);
    let file = take(&stored, &machine);
    let uses = segments(&stored.server.data());
    assert!(uses.contains("credentials.read"), "{uses}");
    let events = "SELECT id, at, workspace_id, actor, actor_id, action, object, detail FROM audit_events ORDER BY id";
    let events = stored.sql(events);
    let ran = if to == Engine::Sqlite {
        // The recovery key alone.
        machine.restore(&file).arg("--recovery-key-stdin").input(stored.server.recovery_key()).run()
    } else {
        fs::copy(stored.server.data().with_extension("key"), machine.key()).expect("a copy");
        machine.restore(&file).run()
    };
    assert_eq!(ran.stdout(), "");
    assert!(ran.stderr.contains("with 2 connections"), "{}", ran.stderr);
    // It may be a copy of a store at work.
    assert!(ran.stderr.contains("no password is changed by itself"), "{}", ran.stderr);
    assert!(machine.key().is_file(), "the new key file");
    assert_eq!(segments(&machine.data()), uses);
    let left: Vec<_> = fs::read_dir(machine.data()).expect("own folder").map(|entry| entry.expect("own").file_name()).collect();
    assert!(!left.iter().any(|name| name == "restoring" || name.to_string_lossy().starts_with("before")), "{left:?}");

    let resting = "SELECT count(*) FROM rotation_policies WHERE next_at IS NULL AND problem LIKE '%restored from a backup%'";
    assert_eq!(machine.sql(resting), "1");
    machine.serve();
    assert_eq!(seen(machine.port(), &stored.admin), before);
    let sign_in = format!("email={}&password={}", ADMIN_EMAIL.replace('@', "%40"), ADMIN_PASSWORD.replace(' ', "+"));
    let signed_in = Request::new(machine.port(), "POST", "/sign-in").body("application/x-www-form-urlencoded", sign_in);
    signed_in.header("origin", "http://127.0.0.1").send().expect(303);
    let restored =
        machine.sql("SELECT id, at, workspace_id, actor, actor_id, action, object, detail FROM audit_events ORDER BY id");
    let restored: Vec<_> =
        restored.lines().filter(|row| !row.contains("|backup.restore|") && !row.contains("|person.sign_in|")).collect();
    assert_eq!(restored, events.lines().collect::<Vec<_>>());
    assert_eq!(machine.sql("SELECT count(*) FROM audit_events WHERE action = 'backup.restore'"), "1");
    // The chains of audit events go on, and so do saving, searching and the next backup.
    let verified = Shell::new(["audit", "verify"]).args(machine.store()).run();
    assert!(verified.succeeded, "{}{}", verified.stdout, verified.stderr);
    Request::new(machine.port(), "POST", format!("{API}/connections"))
        .token(&stored.admin)
        .json(&sample("next", "x"))
        .send()
        .expect(201);
    let again = machine.path("again");
    Shell::new(["backup"]).arg(&again).args(machine.store()).run().stdout();
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn a_store_that_is_replaced_is_kept_aside(#[case] engine: Engine) {
    let mut stored = Stored::start(engine);
    stored.create("sales", "as backed up");
    let machine = Machine::new(Engine::Sqlite);
    let file = take(&stored, &machine);
    stored.edit("sales", &json!({"password": "later"})).expect(200);
    stored.credentials("sales").expect(200);
    // Killed, so that what it wrote last may be in the log beside the file alone.
    stored.server.process().kill();
    let ran = Shell::new(["restore", "--replace"]).arg(&file).args(stored.data_arguments()).run();
    assert_eq!(ran.stdout(), "");
    stored.server.restart();
    assert_eq!(stored.credentials("sales").expect(200).json()["fields"]["password"], "as backed up");

    stored.server.process().stop();
    let kept = fs::read_dir(stored.server.data()).expect("own folder").map(|entry| entry.expect("own").path());
    let kept = kept.into_iter().find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("before-")));
    let kept = kept.expect("a folder with what was there");
    assert!(ran.stderr.contains(&kept.display().to_string()), "{}", ran.stderr);
    let uses = segments(&kept);
    assert_eq!(uses.matches("credentials.read").count(), 1, "{uses}");
    let versions = match engine {
        Engine::Sqlite => {
            let mut sqlite = Command::new("sqlite3");
            let said = sqlite.arg(kept.join("store.db")).arg("SELECT max(version) FROM connections").output();
            String::from_utf8_lossy(&said.expect("sqlite3 runs; `make deps`").stdout).trim().to_owned()
        }
        Engine::Postgres => {
            let schema = stored.sql("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'dataflow_before_%'");
            assert!(ran.stderr.contains(&schema), "{}", ran.stderr);
            stored.sql(&format!("SELECT max(version) FROM {schema}.connections"))
        }
    };
    assert_eq!(versions, "2", "the later save is kept");
}

const WRITERS: usize = 8;

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn what_was_acknowledged_before_is_in_it_and_nothing_half(#[case] engine: Engine) {
    let stored = Stored::start(engine);
    let (before, during) = (Writers::default(), Writers::default());
    let mut machine = Machine::new(Engine::Sqlite);
    let all_have_stopped = Barrier::new(WRITERS + 1);
    let file = std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (before, during, stored, all_have_stopped) = (&before, &during, &stored, &all_have_stopped);
            scope.spawn(move || {
                before.write(stored.server.port(), &stored.admin, &format!("before-{writer}"));
                all_have_stopped.wait();
                during.write(stored.server.port(), &stored.admin, &format!("during-{writer}"));
            });
        }
        let begun = Instant::now();
        while before.count() < 100 && begun.elapsed() < Duration::from_mins(1) {
            std::thread::sleep(Duration::from_millis(5));
        }
        before.stop();
        all_have_stopped.wait();
        while during.count() < WRITERS {
            std::thread::sleep(Duration::from_millis(5));
        }
        let file = take(&stored, &machine);
        let taken = during.count();
        while during.count() == taken {
            std::thread::sleep(Duration::from_millis(5));
        }
        during.stop();
        file
    });
    fs::copy(stored.server.data().with_extension("key"), machine.key()).expect("a copy");
    machine.restore(&file).run().stdout();
    assert_eq!(before.lost(|sql| machine.sql(sql)), 0, "acknowledged before the backup began");
    let after = during.lost(|sql| machine.sql(sql));
    assert!(after > 0, "nobody wrote while it was taken");
    machine.serve();
    let mut newest = std::collections::BTreeMap::new();
    newest.extend(before.acknowledged());
    for (name, version) in newest.iter().take(40) {
        let path = format!("{API}/connections/{name}/credentials");
        let answer = Request::new(machine.port(), "GET", path).token(&stored.admin).send().expect(200).json();
        assert_eq!(answer["fields"]["password"], json!(secret(name, *version)), "{name}");
    }
    println!(
        "promise: backup under {WRITERS} writers, {engine:?}: 0 of {} changes before it lost, {after} of {} while it was taken came later, 0 half",
        before.count(),
        during.count()
    );
}

/// An event for each of the connections that were added.
const EVENTS: &str = "
    INSERT INTO audit_events (id, at, workspace_id, actor, action, object, detail, mac, actor_id)
      SELECT c.id, a.at, a.workspace_id, a.actor, a.action, c.name, a.detail, a.mac, a.actor_id
      FROM connections c, audit_events a WHERE a.action = 'connection.create';
";

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn many_connections_are_restored_in_a_minute(#[case] engine: Engine) {
    let count: u32 = if soak() { 100_000 } else { 3_000 };
    let mut stored = Stored::start(Engine::Sqlite);
    let mut body = sample("warehouse_prod", "planted");
    body["description"] = json!("The sales warehouse in Europe");
    body["tags"] = json!(["gold", "nightly"]);
    stored.admin("POST", "/connections").json(&body).send().expect(201);
    stored.server.process().stop();
    stored.multiply(count);
    stored.sql(EVENTS);
    let mut machine = Machine::new(engine);
    let begun = Instant::now();
    let file = machine.path("backup");
    Shell::new(["backup"]).arg(&file).args(stored.data_arguments()).run().stdout();
    let taken = begun.elapsed();
    fs::copy(stored.server.data().with_extension("key"), machine.key()).expect("a copy");
    let begun = Instant::now();
    let ran = machine.restore(&file).run();
    let restored = begun.elapsed();
    assert_eq!(ran.stdout(), "");
    assert!(ran.stderr.contains(&format!("with {count} connections")), "{}", ran.stderr);
    machine.serve();
    let search = format!("{API}/connections?search=europe+{}", count - 1);
    let found = Request::new(machine.port(), "GET", search).token(&stored.admin).send().expect(200).json();
    assert_eq!(found["items"].as_array().map(Vec::len), Some(1), "{found}");
    let rate = f64::from(count) / restored.as_secs_f64();
    println!(
        "promise: restore into {engine:?}: {count} connections in {:.1} s, {rate:.0} /s, {:.1} MB; taken in {:.1} s",
        restored.as_secs_f64(),
        f64::from(u32::try_from(fs::metadata(&file).expect("there").len() / 1000).expect("small")) / 1000.0,
        taken.as_secs_f64()
    );
    assert!(restored < Duration::from_mins(1), "{restored:?}");
}
