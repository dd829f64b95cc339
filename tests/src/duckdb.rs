//! DuckDB, a Python package: it makes files, and says which it opens.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    environment,
    process::{Process, Spawn, Stop},
};

/// As `tools/deps.sh` has it.
pub const VERSION: &str = "2.0.1";

fn program() -> PathBuf {
    let interpreter = environment::cache().join(format!("duckdb-{VERSION}/bin/python"));
    assert!(interpreter.is_file(), "{} is not there; install it with `make deps`", interpreter.display());
    interpreter
}

fn script() -> PathBuf {
    environment::repository().join("tests/servers/duck.py")
}

fn run(verb: &str, paths: &[PathBuf]) -> Vec<u8> {
    let output = Command::new(program()).arg(script()).arg(verb).args(paths).output().expect("Python starts");
    assert!(output.status.success(), "{verb}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Makes `usual.duckdb`, `old.duckdb`, `small_blocks.duckdb`, `encrypted.duckdb`, each with a table, and `empty.duckdb`.
///
/// # Panics
/// If it is not installed.
pub fn make(folder: &Path) {
    run("make", &[folder.to_owned()]);
}

/// By name, whether DuckDB opens a file to read and write it.
///
/// # Panics
/// If it is not installed.
pub fn opens(paths: &[PathBuf]) -> BTreeMap<String, bool> {
    serde_json::from_slice(&run("open", paths)).expect("JSON")
}

/// A program that has the file open until it is dropped. `verb` is `hold`, or `hold_to_read`.
///
/// # Panics
/// If it is not installed.
pub fn hold(verb: &str, path: &Path, log: &Path) -> Process {
    let mut process = Spawn::new(program(), Stop::Kill).arg(script()).arg(verb).arg(path).start(log);
    process.wait_until("DuckDB", |process| process.log().contains("held"));
    process
}
