//! No audit event can be changed, taken out or put in without `dataflow audit verify` naming it. On both stores.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use dataflow_tests::{
    folder::TempDir,
    server::{TestServer, TestServerOptions},
    session::Session,
    shell::{Ran, Shell},
    shim::Clock,
    stored::{Engine, Stored},
};
use rstest::rstest;
use serde_json::json;

fn verify(stored: &Stored, more: &[&str]) -> Ran {
    Shell::new(["audit", "verify"]).args(stored.data_arguments()).args(more.iter().copied()).run()
}

/// Holds a store that was tampered with against what must be said of it.
fn is_named(stored: &Stored, way: &str, words: &str) {
    let ran = verify(stored, &[]);
    assert!(!ran.succeeded && ran.stdout.contains("broken"), "{way}: {} {}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains(words), "{way} is to say “{words}”: {}", ran.stderr);
}

fn holds(stored: &Stored, when: &str) {
    let ran = verify(stored, &[]);
    assert!(ran.succeeded && ran.stderr.contains("No event was changed"), "{when}: {} {}", ran.stdout, ran.stderr);
}

/// A store with five changes of a connection and some reads, whose server has stopped.
fn stopped(engine: Engine) -> Stored {
    let mut stored = Stored::start(engine);
    stored.create("sales", "planted");
    for text in ["one", "two", "three", "four"] {
        stored.edit("sales", &json!({"description": text})).expect(200);
        stored.credentials("sales").expect(200);
    }
    // Beside the running server, which is asked.
    holds(&stored, "running");
    stored.server.process().stop();
    holds(&stored, "stopped");
    stored
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn a_bent_missing_or_added_change_is_named(#[case] engine: Engine) {
    let stored = stopped(engine);
    let last: i64 = stored.sql("SELECT max(seq) FROM audit_events").parse().expect("a number");
    assert_eq!(stored.sql("SELECT count(*) FROM audit_events WHERE seq IS NULL OR link IS NULL"), "0");
    stored.sql("CREATE TABLE kept AS SELECT * FROM audit_events; CREATE TABLE kept_chains AS SELECT * FROM audit_chains");
    let columns = "id, at, workspace_id, actor, action, object, detail, mac, actor_id, seq, link";
    // An edit that others follow.
    let edit = format!("SELECT max(seq) FROM audit_events WHERE action = 'connection.edit' AND seq <= {}", last - 2);
    let edit: i64 = stored.sql(&edit).parse().expect("a number");
    let one = format!("seq = {edit}");
    for (way, sql, words) in [
        (
            "object",
            format!("UPDATE audit_events SET object = 'other' WHERE {one}"),
            format!("event {edit}, connection.edit"),
        ),
        ("actor", format!("UPDATE audit_events SET actor = 'eve' WHERE {one}"), "was changed".to_owned()),
        ("actor id", format!("UPDATE audit_events SET actor_id = NULL WHERE {one}"), "was changed".to_owned()),
        ("time", format!("UPDATE audit_events SET at = at + 1 WHERE {one}"), "was changed".to_owned()),
        ("removed", format!("DELETE FROM audit_events WHERE {one}"), format!("event {edit} is missing")),
        (
            "closed up",
            format!("DELETE FROM audit_events WHERE {one}; UPDATE audit_events SET seq = seq - 1 WHERE seq > {edit}"),
            "is not what followed".to_owned(),
        ),
        (
            "swapped",
            format!(
                "UPDATE audit_events SET seq = -1 WHERE seq = {0}; UPDATE audit_events SET seq = {0} WHERE seq = {last}; UPDATE audit_events SET seq = {last} WHERE seq = -1",
                last - 1
            ),
            "is not what followed".to_owned(),
        ),
        (
            "the last ones removed",
            format!("DELETE FROM audit_events WHERE seq > {edit}"),
            format!("it ends at event {edit} and had come to {last}"),
        ),
        (
            "with the end moved",
            format!(
                "DELETE FROM audit_events WHERE seq > {edit}; UPDATE audit_chains SET seq = {edit} WHERE name = 'changes'"
            ),
            "was changed outside".to_owned(),
        ),
        (
            "put in",
            format!(
                "INSERT INTO audit_events ({columns}) SELECT 'new', at, workspace_id, actor, action, object, detail, mac, actor_id, NULL, NULL FROM audit_events WHERE {one}"
            ),
            "was not written by this program".to_owned(),
        ),
        (
            "put in before the first",
            format!(
                "INSERT INTO audit_events ({columns}) SELECT 'new', at, workspace_id, actor, action, object, detail, mac, actor_id, -1, link FROM audit_events WHERE {one}"
            ),
            "stands before the beginning".to_owned(),
        ),
        ("everything", "DELETE FROM audit_events".to_owned(), format!("it ends at event 0 and had come to {last}")),
        (
            "everything, and that there was any",
            "DELETE FROM audit_events; DELETE FROM audit_chains WHERE name = 'changes'".to_owned(),
            "its row is gone from the store".to_owned(),
        ),
        (
            "everything but what is to be chained anew",
            "DELETE FROM audit_chains WHERE name = 'changes'; UPDATE audit_events SET seq = NULL, link = NULL WHERE seq > 1; DELETE FROM audit_events WHERE seq = 1".to_owned(),
            "its row is gone from the store".to_owned(),
        ),
    ] {
        stored.sql(&sql);
        is_named(&stored, way, &words);
        stored.sql(&format!(
            "DELETE FROM audit_events; INSERT INTO audit_events ({columns}) SELECT {columns} FROM kept; DELETE FROM audit_chains; \
             INSERT INTO audit_chains SELECT * FROM kept_chains"
        ));
    }
    holds(&stored, "as it was");
}

/// A revoked token that is put back lets in, since its MAC holds; verify names it, until it is revoked once more.
#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn a_token_that_is_put_back_is_named(#[case] engine: Engine) {
    let mut stored = Stored::start(engine);
    stored.create("sales", "planted");
    let made = stored.admin("POST", "/tokens").json(&json!({"name": "reader", "roles": ["viewer"]})).send().expect(201).json();
    let (id, token) = (made["id"].as_str().expect("an id"), made["token"].as_str().expect("a token"));
    let ask = |stored: &Stored| stored.request(token, "GET", "/workspaces/default/connections/sales").send().status;
    stored.sql("CREATE TABLE kept AS SELECT * FROM tokens");
    let revoke = |stored: &Stored| drop(stored.admin("DELETE", &format!("/tokens/{id}")).send().expect(204).text());
    revoke(&stored);
    assert_eq!(ask(&stored), 401);
    holds(&stored, "revoked");
    stored.server.process().stop();
    stored.sql("UPDATE tokens SET revoked_at = NULL, hash = K.hash, mac = K.mac FROM kept K WHERE K.id = tokens.id AND tokens.name = 'reader'");
    let named = |stored: &Stored| {
        let ran = verify(stored, &[]);
        let words = format!("Rights: the row {id} of tokens is not as it was left by event");
        assert!(!ran.succeeded && ran.stdout.contains("holds"), "{} {}", ran.stdout, ran.stderr);
        assert!(ran.stderr.contains(&words) && ran.stderr.contains("token.revoke “reader” by token admin"), "{}", ran.stderr);
    };
    named(&stored);
    stored.server.restart();
    assert_eq!(ask(&stored), 200, "it is authentic");
    named(&stored);
    revoke(&stored);
    holds(&stored, "revoked again");
}

type Change = fn(&mut Vec<String>);

fn rewrite(segment: &Path, change: impl FnOnce(&mut Vec<String>)) -> Vec<u8> {
    let before = fs::read(segment).expect("a segment");
    let mut lines: Vec<_> = String::from_utf8_lossy(&before).lines().map(ToOwned::to_owned).collect();
    change(&mut lines);
    fs::write(segment, lines.into_iter().map(|line| line + "\n").collect::<String>()).expect("own folder");
    before
}

#[test]
fn a_bent_missing_or_added_read_is_named() {
    let stored = stopped(Engine::Sqlite);
    let folder = stored.server.segments();
    let segment = folder.join("000000000001.jsonl");
    let ways: [(&str, Change, &str); 7] = [
        ("bent", |lines| lines[2] = lines[2].replace("sales", "other"), "line 3 is not what followed line 2"),
        ("link bent", |lines| lines[2] = lines[2].replace('\t', "\t0"), "line 3 is not what followed line 2"),
        ("removed", |lines| drop(lines.remove(1)), "line 2 is not what followed line 1"),
        ("swapped", |lines| lines.swap(1, 2), "line 2 is not what followed line 1"),
        ("copied", |lines| lines.insert(2, lines[1].clone()), "line 3 is not what followed line 2"),
        ("the last one removed", |lines| drop(lines.pop()), "it ends at event 4 and had come to 5"),
        ("the first one removed", |lines| drop(lines.remove(0)), "its segments are not on this machine"),
    ];
    for (way, change, words) in ways {
        let before = rewrite(&segment, change);
        is_named(&stored, way, words);
        for entry in fs::read_dir(&folder).expect("own folder") {
            fs::remove_file(entry.expect("own folder").path()).expect("own folder");
        }
        fs::write(&segment, before).expect("own folder");
        holds(&stored, way);
    }
    fs::remove_file(&segment).expect("own folder");
    is_named(&stored, "all of it", "its segments are not on this machine");
}

/// Whoever has the machine can put back all of it as it was. What a checkpoint has seen he cannot undo.
#[test]
fn a_store_that_was_put_back_is_found_by_a_checkpoint() {
    let elsewhere = TempDir::new();
    let checkpoints = elsewhere.join("checkpoints.jsonl");
    let arguments = vec!["--audit-checkpoints".to_owned(), checkpoints.display().to_string()];
    let mut server = TestServer::start(TestServerOptions { arguments, ..TestServerOptions::default() });
    let token = server.token("default", "admin", "admin");
    let data = ["--data".to_owned(), server.data().display().to_string()];
    let verify = |more: &[&str]| Shell::new(["audit", "verify"]).args(&data).args(more.iter().copied()).run();
    let file = checkpoints.display().to_string();
    server.process().stop();
    let copy = elsewhere.join("copy");
    let copied = std::process::Command::new("cp").arg("-a").arg(server.data()).arg(&copy).status().expect("cp runs");
    assert!(copied.success());
    server.restart();
    let body = dataflow_tests::stored::sample("sales", "planted");
    server.request(&token, "POST", "/api/v1/workspaces/default/connections").json(&body).send().expect(201);
    server.request(&token, "GET", "/api/v1/workspaces/default/connections/sales/credentials").send().expect(200);
    server.process().wait_until("a checkpoint of both chains", |_| {
        let text = fs::read_to_string(&checkpoints).unwrap_or_default();
        text.lines().count() >= 2 && text.contains("\"changes\"")
    });
    let agrees = verify(&["--checkpoints", &file]);
    assert!(agrees.succeeded && agrees.stdout.matches("agrees").count() == 2, "{} {}", agrees.stdout, agrees.stderr);

    server.process().stop();
    fs::remove_dir_all(server.data()).expect("own folder");
    fs::rename(&copy, server.data()).expect("own folder");
    assert!(verify(&[]).succeeded, "in itself it is sound");
    let found = verify(&["--checkpoints", &file]);
    assert!(!found.succeeded && found.stderr.contains("the checkpoint of"), "{} {}", found.stdout, found.stderr);
    let none = elsewhere.join("empty");
    fs::write(&none, "nothing\n").expect("own folder");
    let refused = verify(&["--checkpoints", &none.display().to_string()]);
    assert!(!refused.succeeded && refused.stderr.contains("There is no checkpoint in"), "{}", refused.stderr);
}

/// Each answer that a client got is in the chain and in the index, though the server was killed while it answered.
#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn no_read_is_lost_with_the_process(#[case] engine: Engine) {
    let mut stored = Stored::start(engine);
    stored.create("sales", "planted");
    let read = stored.admin("GET", "/connections/sales/credentials").header("dataflow-workflow", "kind=script; name=\"loop\"");
    let mut answered = 0;
    for _ in 0..3 {
        let readers = (0..4).map(|_| {
            let read = read.clone();
            thread::spawn(move || (0..10_000).take_while(|_| read.try_send().is_ok_and(|answer| answer.status == 200)).count())
        });
        let readers: Vec<_> = readers.collect();
        thread::sleep(Duration::from_millis(700));
        stored.server.process().kill();
        answered += readers.into_iter().map(|reader| reader.join().expect("it ends")).sum::<usize>();
        stored.server.restart();
    }
    stored.server.process().stop();
    holds(&stored, "after three kills");
    let counted: usize = stored.sql("SELECT sum(reads) FROM audit_reads").parse().expect("a number");
    println!("promise: {answered} answers with a secret over 3 kills, {counted} events");
    assert_eq!(counted, stored.server.uses().len(), "the index has every line, once");
    assert!(answered > 50 && counted >= answered, "{answered} answered, {counted} events");
    // At most the one that each reader waited for was written and not received.
    assert!(counted <= answered + 12, "{answered} answered, {counted} events");
}

/// What is older than an owner wants kept goes by itself, and verify, the page and a restored backup know from when on there is some.
#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn what_is_old_goes_and_all_say_so(#[case] engine: Engine) {
    let (mut stored, clock) = (Stored::start(engine), Clock::build());
    stored.create("sales", "planted");
    stored.credentials("sales").expect(200);
    let owner = Session::start(&stored.server);
    owner.submit("/settings/retention", "etag=%22retention.1%22&change_days=90&read_days=89").expect(422);
    owner.submit("/settings/retention", "etag=%22retention.1%22&change_days=90&read_days=90").expect(303);
    let shown = stored.request(&stored.admin, "GET", "/settings").send().expect(200).json();
    assert_eq!((&shown["retention"]["change_days"], &shown["retention"]["read_days"]), (&json!(90), &json!(90)));
    holds(&stored, "new");

    stored.server.restart_with(clock.ahead(100));
    let expired = "SELECT count(*) FROM audit_events WHERE action = 'audit.expired' AND seq IS NOT NULL";
    let both = |stored: &Stored| stored.sql(expired) == "2";
    let begun = Instant::now();
    while !both(&stored) {
        assert!(begun.elapsed() < Duration::from_secs(30), "{}", stored.server.log());
        thread::sleep(Duration::from_millis(50));
    }
    let page = Session::start(&stored.server).get("/w/default/activity").expect(200).text();
    assert!(page.contains("Changes are kept since") && page.contains("Reads are kept since"), "{page}");
    let told = |words: &str| page.contains(&format!("<td role=\"cell\">{words}"));
    assert!(told("Old events dropped") && !told("Connection created"), "{page}");
    let ran = verify(&stored, &[]);
    assert!(
        ran.succeeded && ran.stderr.matches("older ones were dropped for their age").count() == 2,
        "{} {}",
        ran.stdout,
        ran.stderr
    );
    assert_eq!(stored.sql("SELECT count(*) FROM audit_lines WHERE first_seq <= 2"), "0");

    let machine = TempDir::new();
    let (file, data) = (machine.join("backup"), machine.join("data"));
    Shell::new(["backup"]).arg(&file).args(stored.data_arguments()).run().stdout();
    Shell::new(["restore", "--recovery-key-stdin"])
        .arg(&file)
        .arg("--data")
        .arg(&data)
        .input(stored.server.recovery_key())
        .run()
        .stdout();
    let ran = Shell::new(["audit", "verify", "--data"]).arg(&data).run();
    let own = ran.stderr.contains("Changes, chain changes: kept from event");
    assert!(own && ran.succeeded, "{} {}", ran.stdout, ran.stderr);

    // The file goes with the next look, and is missed by nobody.
    stored.server.restart_with(clock.ahead(100));
    let first = stored.server.segments().join("000000000001.jsonl");
    stored.server.process().wait_until("the old segment's removal", |_| !first.exists());
    holds(&stored, "without the file");
}
