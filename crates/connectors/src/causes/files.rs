//! The causes that are about a database in a file.

use dataflow_model::{Cause, TestError};

use super::{at, because};

/// `folder` is where this machine looks; `None` if it keeps no files.
pub fn file_missing(file: &str, folder: Option<&str>) -> TestError {
    let message = match folder {
        Some(folder) => format!("There is no file “{file}” in {folder} on the machine that ran the test."),
        None => format!("The machine that ran the test keeps no folder for files, so “{file}” cannot be looked for."),
    };
    at(
        "database",
        Cause::FileMissing,
        message,
        "The file must exist there; it is never created. If it lives on the machine that runs your code, test the connection there with the command “dataflow connections test”.",
    )
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

pub fn file_busy(file: &str) -> TestError {
    because(
        Cause::ReadRefused,
        format!("“{file}” is locked by another program."),
        "Wait until that program has finished writing, or raise the busy timeout.",
    )
}
