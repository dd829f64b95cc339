//! What lies in the folder for files: DuckDB's files, of which DuckDB itself says whether they open, and files and folders of any kind.

use std::{
    fs,
    os::unix::{fs::symlink, net::UnixListener},
    path::{Path, PathBuf},
};

use dataflow_model::{Catalogue, Cause, StepName, StepStatus, TestStatus};
use dataflow_tests::{
    connection::{Connection, Tested},
    duckdb,
    folder::TempDir,
};

async fn duckdb(folder: &Path, file: &str) -> Tested {
    Connection::new("duckdb", 1).set("database", file).in_folder(folder).test().await
}

async fn local_path(folder: &Path, path: &str) -> Tested {
    Connection::new("fs", 1).set("extra.path", path).in_folder(folder).test().await
}

#[track_caller]
fn is_refused(tested: &Tested, cause: Cause, step: StepName, field: Option<&str>) {
    let error = tested.error("planted");
    assert_eq!((error.code, tested.failed_step(), error.field.as_deref()), (cause, Some(step), field), "{error:?}");
}

fn detail(tested: &Tested, step: StepName) -> Option<&str> {
    tested.steps.iter().find(|told| told.step == step).expect("told").detail.as_deref()
}

/// What it takes to have a file in a state.
type Bend = fn(&mut Vec<u8>);

/// Bends of a file that DuckDB has made.
const BENDS: [(&str, Bend); 13] = [
    ("magic", |file| file[9] ^= 1),
    ("version", |file| file[12] ^= 1),
    ("version_unknown", |file| file[13] ^= 1),
    ("made_by", |file| file[60] ^= 1),
    ("end_of_header", |file| file[4095] ^= 1),
    ("first_state", |file| file[4096 + 100] ^= 1),
    ("second_state", |file| file[8192 + 100] ^= 1),
    ("checksum", |file| file[4096] ^= 1),
    ("nothing", Vec::clear),
    ("beginning", |file| file.truncate(9000)),
    ("headers_alone", |file| file.truncate(12_288)),
    ("catalogue_cut", |file| file.truncate(20_000)),
    ("zeros", |file| file.fill(0)),
];

#[tokio::test]
async fn duckdb_opens_what_is_green_and_nothing_that_is_refused() {
    let folder = TempDir::new();
    duckdb::make(folder.path());
    let usual = fs::read(folder.join("usual.duckdb")).expect("made here");
    for (name, bend) in BENDS {
        let mut bytes = usual.clone();
        bend(&mut bytes);
        fs::write(folder.join(name), bytes).expect("own folder");
    }
    // A part of the file that holds neither is not looked at by either.
    let mut elsewhere = usual.clone();
    elsewhere.truncate(usual.len() - 4096);
    fs::write(folder.join("end_cut"), elsewhere).expect("own folder");
    fs::write(folder.join("notes"), "these are only notes".repeat(1000)).expect("own folder");

    let names: Vec<PathBuf> = fs::read_dir(folder.path()).expect("readable").map(|entry| entry.expect("one").path()).collect();
    let mut verdicts = Vec::new();
    for path in names.iter().filter(|path| path.is_file()) {
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        verdicts.push((duckdb(folder.path(), &name).await, name));
    }
    let opened = duckdb::opens(&names);
    assert_eq!(opened.values().filter(|opens| **opens).count(), 5, "{opened:?}");
    for (tested, name) in &verdicts {
        let is_green = tested.result.as_ref().is_ok_and(|outcome| outcome.status == TestStatus::Ok);
        assert_eq!(is_green, opened[name], "{name}: {tested:?}");
    }
    let causes: Vec<_> =
        verdicts.iter().map(|(tested, name)| (name.as_str(), tested.result.as_ref().err().map(|error| error.code))).collect();
    let cause = |name: &str| causes.iter().find(|(of, _)| *of == name).expect("tested").1;
    assert_eq!(cause("encrypted.duckdb"), Some(Cause::ReadRefused));
    assert_eq!(cause("version_unknown"), None, "it may be newer");
    for name in ["magic", "notes", "made_by", "catalogue_cut", "nothing"] {
        assert_eq!(cause(name), Some(Cause::FileNotADatabase), "{name}");
    }
}

#[tokio::test]
async fn a_duckdb_file_tells_who_made_it() {
    let folder = TempDir::new();
    duckdb::make(folder.path());
    for (name, storage, read) in [
        ("usual.duckdb", "storage version 999", None),
        ("old.duckdb", "storage version 64", None),
        ("small_blocks.duckdb", "storage version 999", None),
        ("empty.duckdb", "storage version 999", Some("Nothing has been written to the file yet")),
    ] {
        let tested = duckdb(folder.path(), name).await;
        assert_eq!(tested.outcome().status, TestStatus::Ok, "{tested:?}");
        assert_eq!(tested.outcome().server_version.as_deref(), Some(format!("DuckDB {}", duckdb::VERSION).as_str()));
        assert_eq!((detail(&tested, StepName::OpenDatabase), detail(&tested, StepName::Read)), (Some(storage), read), "{name}");
        let skipped = tested.steps.iter().filter(|step| step.status == StepStatus::Skipped).map(|step| step.step);
        assert_eq!(skipped.collect::<Vec<_>>(), [StepName::Secure, StepName::SignIn]);
    }
    let catalogue = Catalogue::built_in().expect("sound");
    let words = catalogue.get("duckdb").expect("there").tested_words();
    assert!(duckdb::VERSION.starts_with(words.trim_end_matches('.').rsplit(' ').next().expect("a word")), "{words}");
}

#[tokio::test]
async fn a_duckdb_file_that_another_program_has_is_told() {
    let folder = TempDir::new();
    duckdb::make(folder.path());
    let path = folder.join("usual.duckdb");
    for verb in ["hold", "hold_to_read"] {
        let holder = duckdb::hold(verb, &path, &folder.join("log"));
        is_refused(&duckdb(folder.path(), "usual.duckdb").await, Cause::ReadRefused, StepName::Reach, None);
        let opened = duckdb::opens(std::slice::from_ref(&path));
        assert!(!opened["usual.duckdb"], "and DuckDB does not open it, either");
        drop(holder);
        assert_eq!(duckdb(folder.path(), "usual.duckdb").await.outcome().status, TestStatus::Ok);
    }
    is_refused(&duckdb(folder.path(), "absent.duckdb").await, Cause::FileMissing, StepName::Resolve, Some("database"));
    is_refused(&duckdb(folder.path(), "../usual.duckdb").await, Cause::FileOutsideFolder, StepName::Resolve, Some("database"));
    is_refused(&duckdb(folder.path(), "").await, Cause::FileOutsideFolder, StepName::Resolve, Some("database"));
    assert!(!folder.join("absent.duckdb").exists());
}

#[tokio::test]
async fn a_local_path_is_a_file_or_a_folder_and_is_read() {
    let (folder, outside) = (TempDir::new(), TempDir::new());
    fs::create_dir_all(folder.join("in/orders")).expect("own folder");
    fs::write(folder.join("in/orders/a.csv"), "1,2\n").expect("own folder");
    fs::write(folder.join("in/empty.csv"), "").expect("own folder");
    fs::create_dir(folder.join("in/none")).expect("own folder");
    for (path, kind, read) in [
        ("in/orders", "a folder", None),
        ("in/orders/a.csv", "a file", None),
        ("", "a folder", None),
        ("in/none", "a folder", Some("It is empty")),
        ("in/empty.csv", "a file", Some("It is empty")),
    ] {
        let tested = local_path(folder.path(), path).await;
        assert_eq!(tested.outcome().status, TestStatus::Ok, "{tested:?}");
        assert_eq!((detail(&tested, StepName::Reach), detail(&tested, StepName::Read)), (Some(kind), read), "{path}");
    }
    symlink(outside.path(), folder.join("out")).expect("a link");
    for path in ["out", "../", "/etc", "in/../../etc"] {
        is_refused(&local_path(folder.path(), path).await, Cause::FileOutsideFolder, StepName::Resolve, Some("extra.path"));
    }
    let missing = local_path(folder.path(), "in/absent").await;
    is_refused(&missing, Cause::FileMissing, StepName::Resolve, Some("extra.path"));
    // Nothing of the SDK opens it, so nothing is said of that.
    assert!(!missing.error("planted").hint.contains("DATAFLOW_SQLITE_DIR"), "{missing:?}");
    let _socket = UnixListener::bind(folder.join("in/socket")).expect("a socket");
    is_refused(&local_path(folder.path(), "in/socket").await, Cause::InvalidSettings, StepName::Reach, Some("extra.path"));
    let nowhere = Connection::new("fs", 1).test().await;
    is_refused(&nowhere, Cause::FileMissing, StepName::Resolve, Some("extra.path"));
}
