//! Backups and audits as they were once written, as bytes that stay as they are: this build restores and verifies them, and so does a second
//! implementation in Python. A new format adds files; none is ever edited.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use dataflow_tests::{folder::TempDir, http::Request, machine::Machine, python, shell::Shell, stored::Engine};
use rstest::rstest;
use serde_json::Value;

fn frozen(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("frozen").join(name)
}

/// The keys of the first backup, and what its secrets are: connection, version, field, text.
fn keys() -> Value {
    serde_json::from_slice(&fs::read(frozen("backup_1.json")).expect("a frozen file")).expect("JSON")
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn the_first_backup_is_restored_with_all_that_is_in_it(#[case] engine: Engine) {
    let (mut machine, keys) = (Machine::new(engine), keys());
    fs::write(machine.key(), keys["key_file"].as_str().expect("a text")).expect("own folder");
    fs::set_permissions(machine.key(), fs::Permissions::from_mode(0o600)).expect("own file");
    let ran = machine.restore(frozen("backup_1.dataflow")).run();
    assert_eq!(ran.stdout(), "");
    assert!(ran.stderr.contains("with 3 connections"), "{}", ran.stderr);
    let segment = fs::read(machine.data().join("nodes/1/audit/000000000001.jsonl")).expect("restored");
    assert_eq!(segment, fs::read(frozen("segment_1.jsonl")).expect("a frozen file"));

    // 16 changes and 9 lines of reads are in it, and the restore is a change more.
    let token = Shell::new(["token", "create", "--role", "admin", "--name", "of now"]).args(machine.store()).run();
    let verified = Shell::new(["audit", "verify", "--output", "json"]).args(machine.store()).run();
    let report: Value = serde_json::from_str(verified.stdout()).expect("JSON");
    let chains = report["chains"].as_array().expect("a list");
    let events = |node: &str| chains.iter().find(|chain| chain["node"] == node).map(|chain| chain["events"].clone());
    assert_eq!(events("first.example.org, node 1"), Some(9.into()), "{report}");
    assert!(chains.iter().all(|chain| chain["problem"].is_null()), "{report}");
    assert!(events("").and_then(|events| events.as_u64()).is_some_and(|events| events >= 17), "{report}");

    machine.serve();
    let ask = |method: &str, path: &str| {
        let path = format!("/api/v1/workspaces/default/connections{path}");
        Request::new(machine.port(), method, path).token(token.stdout()).header("if-match", "*").send()
    };
    let kept = keys["secrets"].as_array().expect("a list").last().expect("one").clone();
    assert_eq!((&kept[0], &kept[1], &kept[2]), (&"sales".into(), &2.into(), &"password".into()));
    assert_eq!(ask("GET", "/sales/credentials").expect(200).json()["fields"]["password"], kept[3]);
    ask("GET", "/gone/credentials").refused(410, "connection_deleted");
    println!("promise: the first backup, {engine:?}: restored with its secrets, and both of its audit chains hold");
    assert_eq!(ask("GET", "/sales/users").expect(200).json()["groups"], serde_json::json!(["finance"]));
}

#[test]
fn an_independent_implementation_opens_the_same_bytes() {
    let [backup, keys, segment] = ["backup_1.dataflow", "backup_1.json", "segment_1.jsonl"].map(frozen);
    let run = |backup: &Path, segment: &Path| python::run(&frozen("backup_open.py"), &[backup, &keys, segment]);
    let said = run(&backup, &segment).expect("it opens");
    print!("{said}");
    assert_eq!(said, "opened 2 blocks, 58 lines, 3 secrets, 15 changes, 9 lines of reads\n");

    // The script can fail, too.
    let folder = TempDir::new();
    let bend = |path: &Path, from: &str, to: &str| {
        let bytes = fs::read_to_string(path).expect("a frozen file");
        let bent = bytes.replacen(from, to, 1);
        assert_ne!(bent, bytes, "{from}");
        folder.write_private("bent", &bent)
    };
    let of_backup = |from, to| run(&bend(&backup, from, to), &segment).expect_err("bent");
    assert!(of_backup("my.example.org:3306", "my.example.org:3307").contains("backup MAC"));
    assert!(of_backup("{\"end\":{\"rows\":39}}\n", "").contains("backup MAC"));
    let of_segment = |from, to| run(&backup, &bend(&segment, from, to)).expect_err("bent");
    assert!(of_segment("\"version\":1,", "\"version\":2,").contains("link of a read"));
    assert!(of_segment("\"line\":1,", "\"line\":2,").contains("link of a read"));
}
