//! Where files are that connections name: in the one folder that this machine keeps for them.

use std::{
    io,
    path::{Component, Path, PathBuf},
};

use dataflow_model::TestError;

use crate::causes;

/// The real path of what `named`, the value of `field`, names: it lies in the folder whatever links lead to it.
pub(crate) fn find(field: &str, named: &str, folder: Option<&Path>) -> Result<PathBuf, TestError> {
    let shown = folder.map(|folder| folder.display().to_string());
    let missing = || causes::file_missing(field, named, shown.as_deref());
    let folder = folder.and_then(|folder| folder.canonicalize().ok()).ok_or_else(missing)?;
    // `.` and a doubled slash are harmless and are not components; all else that is not a name leads elsewhere.
    if !Path::new(named).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
        return Err(causes::file_outside_folder(field, named));
    }
    let path = match folder.join(named).canonicalize() {
        Ok(path) => path,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(causes::file_unreadable(field, named)),
        Err(_) => return Err(missing()),
    };
    if path.starts_with(&folder) { Ok(path) } else { Err(causes::file_outside_folder(field, named)) }
}

/// As [`find`], of a database: it is a file.
pub(crate) fn find_database(named: &str, folder: Option<&Path>) -> Result<PathBuf, TestError> {
    if named.is_empty() {
        return Err(causes::file_outside_folder(causes::DATABASE, named));
    }
    let path = find(causes::DATABASE, named, folder)?;
    let shown = folder.map(|folder| folder.display().to_string());
    if path.is_file() { Ok(path) } else { Err(causes::file_missing(causes::DATABASE, named, shown.as_deref())) }
}
