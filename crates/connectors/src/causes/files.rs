//! The causes that are about files: databases in one, and what else a connection may name.

use dataflow_model::{Cause, TestError};

use super::{at, because};

/// The field of a database that is a file.
pub const DATABASE: &str = "database";

/// `folder` is where this machine looks; `None` if it keeps no files. Code opens its files on its own machine, where no test of the
/// server can look.
pub fn file_missing(field: &str, file: &str, folder: Option<&str>) -> TestError {
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
    // The SDK opens databases; what is done with other files is up to the code.
    let code =
        if field == DATABASE { ": set DATAFLOW_SQLITE_DIR there to the folder that holds it, and the code opens it" } else { "" };
    let elsewhere = "If it lives on the machine that runs your code, no test from here can see it";
    at(field, Cause::FileMissing, message, format!("{here} {elsewhere}{code}."))
}

pub fn file_outside_folder(field: &str, file: &str) -> TestError {
    at(
        field,
        Cause::FileOutsideFolder,
        format!("“{file}” leads out of the folder for files."),
        "Give a path inside the folder, without “..”, and without a link that leads out of it.",
    )
}

/// `product` with its article: `an SQLite`.
pub fn file_not_a_database(file: &str, product: &str) -> TestError {
    at(
        DATABASE,
        Cause::FileNotADatabase,
        format!("“{file}” is not {product} database."),
        "Check that it is the right file, complete, and not encrypted.",
    )
}

pub fn file_damaged(file: &str) -> TestError {
    at(
        DATABASE,
        Cause::FileNotADatabase,
        format!("“{file}” is damaged: what it says of itself does not agree with its checksums, or its end is missing."),
        "No program opens it so. Copy it again from where it came, as a whole and while no program writes to it, or take it from a backup.",
    )
}

/// `version` is that of its form.
pub fn file_of_old_form(file: &str, version: u64) -> TestError {
    at(
        DATABASE,
        Cause::FileNotADatabase,
        format!("“{file}” has storage version {version}, which no DuckDB from 0.9 on opens."),
        "Open it with the DuckDB that made it, write it out with EXPORT DATABASE, and read that with a newer one (IMPORT DATABASE).",
    )
}

pub fn file_encrypted(file: &str) -> TestError {
    at(
        DATABASE,
        Cause::ReadRefused,
        format!("“{file}” is encrypted, and a connection of this type has no key for it."),
        "Use a copy that is not encrypted, in a folder that is protected otherwise.",
    )
}

pub fn file_unreadable(field: &str, file: &str) -> TestError {
    at(
        field,
        Cause::ReadRefused,
        format!("The machine that ran the test may not open “{file}” for reading and writing."),
        "Give the user that runs the test the right to read and write the file and its folder.",
    )
}

/// Files that are read, and not written to.
pub fn path_unreadable(field: &str, path: &str) -> TestError {
    at(
        field,
        Cause::ReadRefused,
        format!("The machine that ran the test may not read “{path}”."),
        "Give the user that runs the test the right to read it, and to enter the folders that lead there.",
    )
}

pub fn path_of_another_kind(field: &str, path: &str) -> TestError {
    at(
        field,
        Cause::InvalidSettings,
        format!("“{path}” is neither a file nor a folder."),
        "Name a file or a folder: pipes, sockets and devices are not opened.",
    )
}

/// SQLite deletes the file that a journal names as the one above it.
pub fn journal_leads_elsewhere(file: &str) -> TestError {
    at(
        DATABASE,
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

/// DuckDB has a file for one program alone, unless all of them only read.
pub fn file_of_one_program(file: &str) -> TestError {
    because(
        Cause::ReadRefused,
        format!("“{file}” is open in another program, and DuckDB lets no second one write to it."),
        "Wait until that program has closed it, or have it connect for reading only and give the others a copy.",
    )
}
