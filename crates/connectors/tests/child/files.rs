//! SQLite files: found, missing, elsewhere, broken.

use std::{fs, os::unix::fs::symlink, path::Path};

use dataflow_model::{Cause, FieldValue, PublicFields, StepName, StepStatus, TestReport, TestStatus};
use libtest_mimic::Trial;
use sqlx::{ConnectOptions as _, Connection as _, sqlite::SqliteConnectOptions};

use crate::run::{assert_failed, request, run, secrets, trial};

async fn test(folder: Option<&Path>, file: &str) -> TestReport {
    let public = [("database".into(), FieldValue::Text(file.to_owned())), ("extra.busy_timeout".into(), FieldValue::Integer(50))];
    let mut asked = request("sqlite", PublicFields(public.into()), secrets(&[]));
    asked.target.file_folder = folder.map(Path::to_path_buf);
    run(asked).await
}

/// The server is often not the machine that has the file.
const LIVES_ELSEWHERE: &str = "If it lives on the machine that runs your code, no test from here can see it: set DATAFLOW_SQLITE_DIR there to the folder that holds it";

fn assert_says(report: &TestReport, parts: &[&str]) {
    let error = report.error.as_ref().expect("it failed");
    let text = format!("{} {}", error.message, error.hint);
    for part in parts {
        assert!(text.contains(part), "“{part}” is not in: {text}");
    }
}

async fn make(path: &Path) {
    let mut connection = SqliteConnectOptions::new().filename(path).create_if_missing(true).connect().await.expect("a database");
    sqlx::raw_sql("CREATE TABLE t (x)").execute(&mut connection).await.expect("a table");
    connection.close().await.expect("closed");
}

pub fn trials() -> Vec<Trial> {
    vec![
        trial("sqlite_file_is_opened_and_read", async {
            let folder = tempfile::tempdir().expect("a folder");
            fs::create_dir(folder.path().join("in")).expect("a folder in it");
            make(&folder.path().join("in/sales.db")).await;
            for file in ["in/sales.db", "./in//sales.db"] {
                let report = test(Some(folder.path()), file).await;
                assert_eq!(report.status, TestStatus::Ok, "{report:#?}");
                assert!(report.server_version.expect("a version").starts_with("SQLite 3."));
                let skipped: Vec<_> = report.steps.iter().filter(|step| step.status == StepStatus::Skipped).collect();
                assert_eq!(skipped.iter().map(|step| step.step).collect::<Vec<_>>(), [StepName::Secure, StepName::SignIn]);
                assert!(skipped.iter().all(|step| step.detail.is_some()));
            }
        }),
        trial("sqlite_file_that_is_missing_is_never_created", async {
            let folder = tempfile::tempdir().expect("a folder");
            for file in ["sales.db", "in/sales.db", "."] {
                let report = test(Some(folder.path()), file).await;
                assert_failed(&report, Cause::FileMissing, StepName::Resolve, Some("database"));
                let place = folder.path().display().to_string();
                assert_says(&report, &[&place, "Put the file there", "never created", LIVES_ELSEWHERE]);
            }
            assert_eq!(fs::read_dir(folder.path()).expect("readable").count(), 0);
            let report = test(None, "sales.db").await;
            assert_failed(&report, Cause::FileMissing, StepName::Resolve, Some("database"));
            assert_says(&report, &["keeps no folder for files", "--sqlite-folder", LIVES_ELSEWHERE]);
        }),
        trial("sqlite_file_outside_of_the_folder_is_refused", async {
            let (folder, outside) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("another"));
            make(&outside.path().join("sales.db")).await;
            symlink(outside.path().join("sales.db"), folder.path().join("link.db")).expect("a link");
            symlink(outside.path(), folder.path().join("linked")).expect("a link");
            let absolute = outside.path().join("sales.db").display().to_string();
            let upwards = format!("../{}/sales.db", outside.path().file_name().expect("named").display());
            for file in ["link.db", "linked/sales.db", &absolute, &upwards] {
                let report = test(Some(folder.path()), file).await;
                assert_failed(&report, Cause::FileOutsideFolder, StepName::Resolve, Some("database"));
            }
        }),
        trial("sqlite_file_that_is_no_database", async {
            let folder = tempfile::tempdir().expect("a folder");
            fs::write(folder.path().join("notes.db"), "these are only notes, and long enough to be read".repeat(50))
                .expect("written");
            let report = test(Some(folder.path()), "notes.db").await;
            assert_failed(&report, Cause::FileNotADatabase, StepName::OpenDatabase, Some("database"));
        }),
        trial("sqlite_file_that_another_program_holds", async {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("sales.db");
            make(&path).await;
            let mut holder = SqliteConnectOptions::new().filename(&path).connect().await.expect("a database");
            sqlx::raw_sql("BEGIN EXCLUSIVE").execute(&mut holder).await.expect("nobody else is there");
            let report = test(Some(folder.path()), "sales.db").await;
            assert_failed(&report, Cause::ReadRefused, StepName::OpenDatabase, None);
        }),
        trial("sqlite_file_that_may_not_be_opened", async {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("sales.db");
            make(&path).await;
            let mut owner = SqliteConnectOptions::new().filename(&path).connect().await.expect("a database");
            sqlx::raw_sql("PRAGMA journal_mode = WAL").execute(&mut owner).await.expect("the mode");
            owner.close().await.expect("closed");
            // Not by its rights, which are none to a test that root runs: its log can be neither opened nor made.
            fs::create_dir(folder.path().join("sales.db-wal")).expect("its place is free");
            let report = test(Some(folder.path()), "sales.db").await;
            assert_failed(&report, Cause::ReadRefused, StepName::OpenDatabase, Some("database"));
        }),
    ]
}
