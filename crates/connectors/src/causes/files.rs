//! The causes that are about a database in a file.

use dataflow_model::{Cause, TestError};

use super::{at, because};

/// `folder` is where this machine looks; `None` if it keeps no files. Code opens its files on its own machine, where no test of the
/// server can look.
pub fn file_missing(file: &str, folder: Option<&str>) -> TestError {
    let (message, here) = match folder {
        Some(folder) => (
            format!("There is no file “{file}” in {folder} on the machine that ran the test."),
            "Put the file there, or correct its path; it is never created.",
        ),
        None => (
            format!("The machine that ran the test keeps no folder for files, so “{file}” cannot be looked for."),
            "If the file lies on that machine, name its folder with --sqlite-folder when the server is started.",
        ),
    };
    let elsewhere = "If it lives on the machine that runs your code, no test from here can see it: set DATAFLOW_SQLITE_DIR there to the folder that holds it, and the code opens it.";
    at("database", Cause::FileMissing, message, format!("{here} {elsewhere}"))
}

pub fn file_outside_folder(file: &str) -> TestError {
    at(
        "database",
        Cause::FileOutsideFolder,
        format!("“{file}” leads out of the folder for files."),
        "Give a path inside the folder, without “..”, and without a link that leads out of it.",
    )
}

pub fn file_not_a_database(file: &str) -> TestError {
    at(
        "database",
        Cause::FileNotADatabase,
        format!("“{file}” is not an SQLite database."),
        "Check that it is the right file, complete, and not encrypted.",
    )
}

pub fn file_unreadable(file: &str) -> TestError {
    at(
        "database",
        Cause::ReadRefused,
        format!("The machine that ran the test may not open “{file}” for reading and writing."),
        "Give the user that runs the test the right to read and write the file and its folder.",
    )
}

/// SQLite deletes the file that a journal names as the one above it.
pub fn journal_leads_elsewhere(file: &str) -> TestError {
    at(
        "database",
        Cause::ReadRefused,
        format!("The journal beside “{file}” names a file outside of its folder, which opening the database could delete."),
        "No program leaves such a journal. Find out who may write to that folder before anybody opens the database.",
    )
}

pub fn file_busy(file: &str) -> TestError {
    because(
        Cause::ReadRefused,
        format!("“{file}” is locked by another program."),
        "Wait until that program has finished writing, or raise the busy timeout.",
    )
}
