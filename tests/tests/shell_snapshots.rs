//! What people read at a shell, word for word: help, tables and the report of a test. `cargo insta review` shows what a change does.

use std::process::Command;

use dataflow_tests::{
    folder::TempDir,
    server::{TestServer, TestServerOptions},
    shell::{Home, Shell},
};
use rstest::rstest;

/// As a terminal of 100 columns shows it.
#[rstest]
#[case("dataflow", &[])]
#[case("serve", &["serve"])]
#[case("setup", &["setup"])]
#[case("people-reset", &["people", "reset"])]
#[case("recover", &["recover"])]
#[case("backup", &["backup"])]
#[case("restore", &["restore"])]
#[case("doctor", &["doctor"])]
#[case("login", &["login"])]
#[case("token", &["token"])]
#[case("token-create", &["token", "create"])]
#[case("workspace", &["workspace"])]
#[case("keys", &["keys"])]
#[case("keys-rotate", &["keys", "rotate"])]
#[case("keys-add-slot", &["keys", "add-slot"])]
#[case("scan", &["scan"])]
#[case("types", &["types"])]
#[case("connections", &["connections"])]
#[case("connections-list", &["connections", "list"])]
#[case("connections-create", &["connections", "create"])]
#[case("connections-edit", &["connections", "edit"])]
#[case("connections-test", &["connections", "test"])]
#[case("connections-diff", &["connections", "diff"])]
#[case("connections-restore", &["connections", "restore"])]
#[case("connections-purge-version", &["connections", "purge-version"])]
#[case("connections-delete", &["connections", "delete"])]
fn help(#[case] name: &str, #[case] words: &[&str]) {
    let ran = Shell::new(words).arg("--help").run();
    assert_eq!(ran.stderr, "");
    insta::assert_snapshot!(format!("help-{name}"), ran.stdout());
}

#[test]
fn keys() {
    let server = TestServer::start(TestServerOptions::default());
    let status = Shell::new(["keys", "status", "--data"]).arg(server.data()).run();
    insta::assert_snapshot!("keys-status", status.stdout());
}

#[test]
fn types() {
    let home = Home::default();
    let all = home.run(&["types"], "");
    // A new type is one file, and none of these.
    let known = ["ID", "postgres", "mysql", "redshift", "sqlite"];
    let is_known = |line: &&str| line.split_whitespace().next().is_some_and(|id| known.contains(&id));
    let lines: Vec<_> =
        all.stdout().lines().filter(is_known).map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    insta::assert_snapshot!("types", lines.join("\n"));
    insta::assert_snapshot!("types-redshift-about", home.run(&["types", "redshift"], "").stderr);
    insta::assert_snapshot!("types-sqlite", home.run(&["types", "sqlite"], "").stdout());
    insta::assert_snapshot!("types-postgres", home.run(&["types", "postgres"], "").stdout());
}

#[test]
fn connections() {
    let files = TempDir::new();
    let made = Command::new("sqlite3").arg(files.join("shop.db")).arg("CREATE TABLE item (name)").output();
    assert!(made.expect("sqlite3 runs; `make deps`").status.success());
    let arguments = vec!["--sqlite-folder".to_owned(), files.path().display().to_string()];
    let server = TestServer::start(TestServerOptions { arguments, ..TestServerOptions::default() });
    let home = Home::signed_in(&server);
    let run = |words: &[&str]| home.run(&[&["connections"], words].concat(), "planted");
    let create = |words: &[&str]| run(&[&["create"], words].concat()).stdout().to_owned();
    create(&["shop", "--type", "sqlite", "--set", "database=shop.db", "--description", "What is sold, and to whom"]);
    create(&["elsewhere", "--type", "sqlite", "--set", "database=absent.db"]);
    create(&[
        "closed",
        "--type",
        "postgres",
        "--set",
        "host=127.0.0.1",
        "--set",
        "port=1",
        "--set",
        "username=ada",
        "--tag",
        "finance",
        "--tag",
        "nightly",
        "--password-stdin",
    ]);
    create(&[
        "remote",
        "--type",
        "mariadb",
        "--set",
        "host=db.example.org",
        "--set",
        "username=ada",
        "--set",
        "tls.mode=verify-ca",
    ]);

    // Before the tests, whose checks are kept after their answers.
    insta::assert_snapshot!("list", run(&["list"]).stdout());
    insta::assert_snapshot!("show-postgres", without_times(run(&["show", "closed"]).stdout()));
    insta::assert_snapshot!("show-sqlite", without_times(run(&["show", "shop"]).stdout()));

    let report = |name: &str| without_measures(&run(&["test", name]).stdout, &files);
    insta::assert_snapshot!("test-passed", report("shop"));
    insta::assert_snapshot!("test-file-missing", report("elsewhere"));
    insta::assert_snapshot!("test-port-closed", report("closed"));
}

/// Without the times at which rows were written.
fn without_times(table: &str) -> String {
    let is_time = |cell: &str| cell.ends_with('Z') && cell.contains('T') && cell.starts_with("20");
    let line = |line: &str| match line.rsplit_once(' ') {
        Some((before, cell)) if is_time(cell) => format!("{before} [time]"),
        _ => line.to_owned(),
    };
    table.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// Without durations, which set the width of their column too, the folder's name and SQLite's version.
fn without_measures(report: &str, files: &TempDir) -> String {
    let report = report.replace(&files.path().display().to_string(), "[folder]");
    let word = |before: &str, word: &str, after: &str| {
        let is_number = word.starts_with(|digit: char| digit.is_ascii_digit());
        match (before, after) {
            ("SQLite", _) => "[version],".to_owned(),
            (_, "ms") if is_number => "[number]".to_owned(),
            _ => word.to_owned(),
        }
    };
    let cell = |cell: &str| {
        let words: Vec<_> = cell.split(' ').filter(|word| !word.is_empty()).collect();
        let at = |place: Option<usize>| place.and_then(|place| words.get(place)).copied().unwrap_or_default();
        let each = (0..words.len()).map(|place| word(at(place.checked_sub(1)), words[place], at(place.checked_add(1))));
        each.collect::<Vec<_>>().join(" ")
    };
    let line = |line: &str| line.split("  ").map(cell).filter(|cell| !cell.is_empty()).collect::<Vec<_>>().join("  ");
    report.lines().map(line).collect::<Vec<_>>().join("\n")
}
