//! Who may read and write the files.

use std::{
    fs::{self, Metadata},
    io::ErrorKind,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
};

use super::Finding;
use crate::{
    config::{DataConfig, NODES_MAX},
    keys::KeySource,
    store::Location,
};

pub(super) fn examine(data: &DataConfig) -> Vec<Finding> {
    let mut findings = Vec::new();
    let Some(folder) = look("data folder", &data.folder, &mut findings) else { return findings };
    findings.push(closed("data folder", &data.folder, &folder, 0o077));
    if let Location::Sqlite(store) = data.location()
        && let Some(found) = fs::metadata(&store).ok()
    {
        findings.push(closed("store file", &store, &found, 0o077));
    }
    if let KeySource::File(key) = data.key() {
        findings.extend(key_file(data, &key, &folder));
    }
    for socket in (1..=NODES_MAX).map(|node| data.socket(node)) {
        if let Ok(found) = fs::symlink_metadata(&socket) {
            findings.push(closed("admin socket", &socket, &found, 0o077));
        }
    }
    findings
}

fn key_file(data: &DataConfig, key: &Path, folder: &Metadata) -> Option<Finding> {
    let mut findings = Vec::new();
    let Some(found) = look("key file", key, &mut findings) else { return findings.pop() };
    let closed = closed("key file", key, &found, 0o077);
    if closed.status != super::Status::Ok {
        return Some(closed);
    }
    let inside =
        fs::canonicalize(key).ok().zip(fs::canonicalize(&data.folder).ok()).is_some_and(|(key, data)| key.starts_with(data));
    if inside {
        return Some(Finding::warning(
            "key file",
            format!("{} lies in the data folder.", key.display()),
            "Move it out and name it with --key-file: who copies the folder has store and key.",
        ));
    }
    if found.uid() != folder.uid() {
        return Some(Finding::warning(
            "key file",
            format!("{} belongs to another user than the data folder.", key.display()),
            "Give both to the user who runs the server.",
        ));
    }
    Some(closed)
}

/// What is there, or a finding that it is not.
fn look(check: &'static str, path: &Path, findings: &mut Vec<Finding>) -> Option<Metadata> {
    match fs::metadata(path) {
        Ok(found) => Some(found),
        Err(error) => {
            let (found, hint) = match error.kind() {
                ErrorKind::NotFound => (format!("{} is not there.", path.display()), "Put it back, or name the right one."),
                _ => (format!("{} cannot be looked at ({error}).", path.display()), "Run this as the user who runs the server."),
            };
            findings.push(Finding::problem(check, found, hint));
            None
        }
    }
}

/// Whether nobody else has a right of `others`.
fn closed(check: &'static str, path: &Path, found: &Metadata, others: u32) -> Finding {
    let mode = found.permissions().mode() & 0o777;
    if mode & others == 0 {
        return Finding::ok(check, format!("{}, mode {mode:03o}", path.display()));
    }
    Finding::problem(
        check,
        format!("Others may use {} (mode {mode:03o}).", path.display()),
        format!("Run: chmod {} {}", if found.is_dir() { "700" } else { "600" }, path.display()),
    )
}
