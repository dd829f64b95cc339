//! The file that a sign-in leaves: `url`, `token`, `workspace`, `sqlite_folder`, for its owner's eyes alone.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use dataflow_model::Secret;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::ServerUrl;
use crate::ClientError;

/// What a sign-in file says.
#[derive(Debug)]
pub struct SignIn {
    /// The file itself.
    pub path: PathBuf,
    pub url: ServerUrl,
    pub token: Option<Secret>,
    pub workspace: Option<String>,
    pub sqlite_folder: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    url: String,
    token: Option<Secret>,
    workspace: Option<String>,
    sqlite_folder: Option<PathBuf>,
}

#[derive(Serialize)]
struct Written<'a> {
    url: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    workspace: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sqlite_folder: Option<&'a Path>,
}

impl SignIn {
    /// Reads a file; `None` if there is none.
    ///
    /// # Errors
    /// A file that cannot be read, that others can read, or that is not of the form; its content is not repeated.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, ClientError> {
        let refuse = |problem: String| ClientError::InvalidConfig { origin: path.display().to_string(), problem };
        let text = match fs::read_to_string(path) {
            Ok(text) => Zeroizing::new(text),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(None),
            Err(error) => return Err(refuse(format!("cannot be read: {}.", error.kind()))),
        };
        if is_open_to_others(path) {
            return Err(refuse(format!("holds a token and other users can read it. Run: chmod 600 {}", path.display())));
        }
        let stored: Stored = toml::from_str(&text)
            .map_err(|_| refuse("is not of the form that “dataflow login” writes. Remove it and sign in again.".to_owned()))?;
        Ok(Some(Self {
            path: path.to_owned(),
            url: ServerUrl::parse(&stored.url)?,
            token: stored.token,
            workspace: stored.workspace,
            sqlite_folder: stored.sqlite_folder,
        }))
    }
}

/// Writes the file whole and for its owner alone (0600), making its folder (0700) if need be.
///
/// # Errors
/// What the file system says.
pub fn save_user_file(sign_in: &SignIn) -> io::Result<()> {
    let path = &sign_in.path;
    let written = Written {
        url: sign_in.url.as_str(),
        token: sign_in.token.as_ref().map(Secret::expose_secret),
        workspace: sign_in.workspace.as_deref(),
        sqlite_folder: sign_in.sqlite_folder.as_deref(),
    };
    let text = Zeroizing::new(toml::to_string(&written).map_err(io::Error::other)?);
    if let Some(folder) = path.parent() {
        make_private_folder(folder)?;
    }
    // A new file beside it and a rename: a reader sees the old or the new, and an open mode of the old is not inherited.
    let beside = path.with_extension(format!("{}.new", std::process::id()));
    let _ = fs::remove_file(&beside);
    write_private(&beside, text.as_bytes()).and_then(|()| fs::rename(&beside, path)).inspect_err(|_| {
        let _ = fs::remove_file(&beside);
    })
}

#[cfg(unix)]
fn is_open_to_others(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata(path).is_ok_and(|metadata| metadata.mode() & 0o077 != 0)
}

#[cfg(unix)]
fn make_private_folder(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(unix)]
fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _};
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// On Windows a file in the user's profile is the user's by its inherited access list.
#[cfg(not(unix))]
fn is_open_to_others(_: &Path) -> bool {
    false
}

#[cfg(not(unix))]
fn make_private_folder(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)
}

#[cfg(not(unix))]
fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    fs::write(path, bytes)
}
