//! `dataflow connections test`: a table for people, a report for programs, and an exit status that says whether it passed.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use dataflow_model::{Cause, StepStatus, TestReport, TestStatus};
use dataflow_tests::{
    folder::TempDir,
    postgres::{Postgres, PostgresOptions, SUPERUSER, SUPERUSER_PASSWORD},
    server::{TestServer, TestServerOptions},
    shell::{Home, Ran, says},
};

const PLANTED: &str = "Planted-5ecret/of ours";
const STEPS: [&str; 6] = ["Name found", "Host reached", "Connection secured", "Signed in", "Database opened", "Read one row"];

/// A server whose folder of SQLite files has `sample.db`, and somebody who is signed in to it.
struct Desk {
    home: Home,
    server: TestServer,
    files: TempDir,
}

impl Desk {
    fn new() -> Self {
        Self::with_folder(Path::to_owned)
    }

    /// `spell`: how the server is told of the folder.
    fn with_folder(spell: impl Fn(&Path) -> PathBuf) -> Self {
        let files = TempDir::new();
        let made = Command::new("sqlite3").arg(files.join("sample.db")).arg("CREATE TABLE sales (total)").output();
        assert!(made.expect("sqlite3 runs; `make deps`").status.success());
        let arguments = vec!["--sqlite-folder".to_owned(), spell(files.path()).display().to_string()];
        let server = TestServer::start(TestServerOptions { arguments, ..TestServerOptions::default() });
        Self { home: Home::signed_in(&server), server, files }
    }

    fn create(&self, name: &str, type_id: &str, fields: &[&str], password: Option<&str>) {
        let mut words = vec!["connections", "create", name, "--type", type_id];
        words.extend(fields.iter().flat_map(|field| ["--set", field]));
        words.extend(password.map(|_| "--password-stdin"));
        self.home.run(&words, password.unwrap_or_default()).stdout();
    }

    fn create_postgres(&self, name: &str, server: &Postgres, password: &str) {
        let (port, user) = (format!("port={}", server.port()), format!("username={SUPERUSER}"));
        self.create(name, "postgres", &["host=127.0.0.1", &port, "database=postgres", &user], Some(password));
    }

    fn test(&self, name: &str) -> Ran {
        self.home.run(&["connections", "test", name], "")
    }

    fn report(&self, name: &str) -> (Option<i32>, TestReport) {
        let ran = self.home.run(&["connections", "test", name, "--output", "json"], "");
        assert!(!ran.stdout.contains("Planted") && ran.stderr.is_empty(), "{}{}", ran.stdout, ran.stderr);
        (ran.status, serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {}", ran.stdout)))
    }
}

/// Head and steps of the table: each step in its line, in order.
fn assert_table(text: &str) {
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0].split_whitespace().collect::<Vec<_>>(), ["STEP", "STATUS", "TOOK", "DETAIL"], "{text}");
    for (line, step) in lines[1..].iter().zip(STEPS) {
        assert!(line.trim_start().starts_with(step), "“{step}” is not the next step in: {text}");
    }
}

#[test]
fn a_test_that_passes_shows_each_step_and_ends_with_0() {
    let (desk, postgres) = (Desk::new(), Postgres::start(&PostgresOptions::default()));
    desk.create("file", "sqlite", &["database=sample.db"], None);
    desk.create_postgres("sales", &postgres, SUPERUSER_PASSWORD);
    for (name, version) in [("file", "SQLite 3."), ("sales", "PostgreSQL ")] {
        let ran = desk.test(name);
        assert_eq!((ran.status, ran.stderr.as_str()), (Some(0), ""), "{}", ran.stdout);
        assert_table(&ran.stdout);
        let last = ran.stdout.lines().last().unwrap_or_default();
        assert!(last.starts_with(version) && last.ends_with(" ms in all"), "{}", ran.stdout);

        let (status, report) = desk.report(name);
        assert_eq!((status, report.status, report.error), (Some(0), TestStatus::Ok, None));
        assert!(report.server_version.is_some_and(|found| found.starts_with(version)));
        assert_eq!(report.steps.len(), STEPS.len());
        assert!(report.steps.iter().all(|step| step.status != StepStatus::Failed), "{:?}", report.steps);
    }
}

#[test]
fn the_folder_of_files_may_be_given_from_where_the_server_is_started() {
    let here = env::current_dir().expect("a folder");
    let up: PathBuf = here.components().skip(1).map(|_| "..").collect();
    let desk = Desk::with_folder(|files| up.join(files.strip_prefix("/").expect("absolute")));
    desk.create("file", "sqlite", &["database=sample.db"], None);
    assert_eq!(desk.test("file").status, Some(0), "{}", desk.test("file").stdout);
}

#[test]
fn a_test_that_fails_says_why_and_what_to_do_and_ends_with_1() {
    let (desk, postgres) = (Desk::new(), Postgres::start(&PostgresOptions::default()));
    desk.create_postgres("sales", &postgres, PLANTED);
    let ran = desk.test("sales");
    assert_eq!((ran.status, ran.stderr.as_str()), (Some(1), ""), "{}", ran.stdout);
    assert_table(&ran.stdout);
    let (status, report) = desk.report("sales");
    assert_eq!((status, report.status), (Some(1), TestStatus::Failed));
    let error = report.error.expect("it failed");
    assert_eq!((error.code, error.field.as_deref()), (Cause::CredentialsRefused, Some("password")));
    assert!(ran.stdout.ends_with(&format!("\n\n{}\n{}\n", error.message, error.hint)), "{}", ran.stdout);
    assert!(error.message.contains(SUPERUSER), "{}", error.message);
    let signed_in = ran.stdout.lines().find(|line| line.contains("Signed in")).unwrap_or_default();
    assert!(signed_in.contains("failed"), "{}", ran.stdout);
    assert!(!ran.stdout.contains("Planted"), "{}", ran.stdout);

    desk.create("file", "sqlite", &["database=absent.db"], None);
    let ran = desk.test("file");
    let place = desk.files.path().display().to_string();
    for part in ["absent.db", &place, "DATAFLOW_SQLITE_DIR", "the machine that runs your code"] {
        assert!(ran.stdout.contains(part), "“{part}” is not in: {}", ran.stdout);
    }
    assert_eq!(desk.report("file").1.error.map(|error| error.code), Some(Cause::FileMissing));
}

#[test]
fn a_test_that_cannot_be_asked_for_is_told_in_one_sentence() {
    let mut desk = Desk::new();
    says(&desk.test("sales"), &["no such connection"]);
    desk.create("sales", "sqlite", &["database=sample.db"], None);
    let url = desk.server.url();
    desk.server.process().stop();
    let ran = desk.test("sales");
    says(&ran, &[&format!("dataflow: {url} does not answer: "), "Check that the server runs and that this machine reaches it."]);
    assert_eq!((ran.status, ran.stderr.lines().count()), (Some(1), 1), "{}", ran.stderr);
}
