//! Backups: the file's form, and restoring one. What a backup holds is taken in [`crate::ops::backup`].

pub mod file;
pub mod format;
mod place;
pub mod restore;
#[cfg(test)]
mod tests;

use std::{io::ErrorKind, path::Path, path::PathBuf};

/// Where a node's segment files are, in its folder.
const AUDIT: &str = "audit";
/// The one file of before there were segments.
const USES: &str = "uses.jsonl";

/// The segment files of every node of a data folder: node, name and path.
pub fn segments(data: &Path) -> std::io::Result<Vec<(String, String, PathBuf)>> {
    let mut found = Vec::new();
    for (node, folder) in entries(&data.join("nodes"))? {
        let before = folder.join(USES);
        if before.is_file() {
            found.push((node.clone(), USES.to_owned(), before));
        }
        for (name, path) in entries(&folder.join(AUDIT))? {
            found.push((node.clone(), format!("{AUDIT}/{name}"), path));
        }
    }
    Ok(found)
}

/// Whether [`segments`] may have given this name.
fn is_segment(name: &str) -> bool {
    let plain = name.strip_prefix(AUDIT).and_then(|name| name.strip_prefix('/'));
    let is_word =
        |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')) && !name.starts_with('.');
    name == USES || plain.is_some_and(|name| !name.is_empty() && is_word(name))
}

/// What is in a folder, by name; nothing if it is not there.
fn entries(folder: &Path) -> std::io::Result<Vec<(String, PathBuf)>> {
    let read = match std::fs::read_dir(folder) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(Vec::new()),
        read => read?,
    };
    let mut found = read
        .map(|entry| entry.map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path())))
        .collect::<std::io::Result<Vec<_>>>()?;
    found.sort();
    Ok(found)
}
