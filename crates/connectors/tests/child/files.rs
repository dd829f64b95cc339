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

/// A journal that somebody left beside the database at `path`, which names `above` as its super-journal.
fn journal(path: &Path, above: &Path) -> Vec<u8> {
    const MAGIC: [u8; 8] = [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];
    let number = |value: usize| u32::try_from(value).expect("short").to_be_bytes();
    let pages = usize::try_from(fs::metadata(path).expect("made here").len()).expect("64 bit") / 4096;
    let mut bytes = [MAGIC.as_slice(), &number(0), &number(0), &number(pages), &number(512), &number(4096)].concat();
    bytes.resize(512, 0);
    let name = above.as_os_str().as_encoded_bytes();
    let checksum = name.iter().map(|byte| usize::from(*byte)).sum();
    // The page number that no page has: the one of the lock.
    bytes.extend([&number(0x4000_0000 / 4096 + 1), name, &number(name.len()), &number(checksum), &MAGIC].concat());
    bytes
}

/// Files that somebody made to harm whoever opens them: each ends with a cause, in time, and nothing beside it is touched.
async fn hostile_files() {
    let (folder, outside) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("another"));
    let at = |name: &str| folder.path().join(name);
    let good = at("good.db");
    make(&good).await;
    let bytes = fs::read(&good).expect("made here");
    let bent = |place: usize, value: &[u8]| {
        let mut bent = bytes.clone();
        bent.splice(place..place + value.len(), value.iter().copied());
        bent
    };
    let sparse = |name: &str| fs::File::options().append(true).open(at(name)).expect("made here").set_len(1 << 40);
    fs::write(at("cut.db"), bytes.split_at(bytes.len() / 2).0).expect("own folder");
    fs::write(at("header.db"), bytes.split_at(100).0).expect("own folder");
    fs::write(at("page_size.db"), bent(16, &[0x03, 0xe8])).expect("own folder");
    fs::write(at("newer.db"), bent(18, &[9, 9])).expect("own folder");
    fs::write(at("tree.db"), bent(100, &[0xff; 60])).expect("own folder");
    fs::write(at("sparse.db"), &bytes).expect("own folder");
    sparse("sparse.db").expect("the file system has sparse files");
    fs::write(at("zeros.db"), b"").expect("own folder");
    sparse("zeros.db").expect("the file system has sparse files");
    for (name, cause) in [
        ("cut.db", Some(Cause::FileNotADatabase)),
        ("header.db", Some(Cause::FileNotADatabase)),
        ("page_size.db", Some(Cause::FileNotADatabase)),
        ("newer.db", Some(Cause::FileNotADatabase)),
        ("tree.db", Some(Cause::FileNotADatabase)),
        ("sparse.db", None),
        ("zeros.db", Some(Cause::FileNotADatabase)),
    ] {
        let report = test(Some(folder.path()), name).await;
        assert_eq!(report.error.as_ref().map(|error| error.code), cause, "{name}: {report:#?}");
    }

    // SQLite itself would delete it.
    let precious = outside.path().join("precious");
    fs::write(&precious, "not yours").expect("own folder");
    fs::write(at("good.db-journal"), journal(&good, &precious)).expect("own folder");
    let report = test(Some(folder.path()), "good.db").await;
    assert_failed(&report, Cause::ReadRefused, StepName::Resolve, Some("database"));
    assert_eq!(fs::read_to_string(&precious).expect("it is still there"), "not yours");
    // One of an interrupted program, over two files of this folder.
    let above = at("good.db-mj0000001");
    fs::write(&above, "no child").expect("own folder");
    fs::write(at("good.db-journal"), journal(&good, &above)).expect("own folder");
    let report = test(Some(folder.path()), "good.db").await;
    assert_eq!(report.status, TestStatus::Ok, "{report:#?}");
    assert!(!above.exists(), "the journal was played back");
}

pub fn trials() -> Vec<Trial> {
    vec![
        trial("sqlite_hostile_files_touch_nothing_else", hostile_files()),
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
