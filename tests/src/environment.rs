//! Where the tests are, and the variables that move things. The one place of this crate that reads the environment.

use std::{
    ffi::OsString,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// Owner of every server's process and files where the tests run as root; servers refuse to run as root.
pub const UNPRIVILEGED_USER: &str = "nobody";
/// Its user and group id on Debian.
pub const UNPRIVILEGED_ID: u32 = 65_534;

#[expect(clippy::disallowed_methods, reason = "the configuration of the tests")]
fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// The path in `DATAFLOW_BIN`, if set: the binary under test.
pub fn binary_override() -> Option<PathBuf> {
    variable("DATAFLOW_BIN").map(PathBuf::from)
}

/// Whether `DATAFLOW_WRITE_PICTURE` is set, as `make picture` does: the README's picture is taken anew.
pub fn writes_picture() -> bool {
    variable("DATAFLOW_WRITE_PICTURE").is_some()
}

/// Whether `DATAFLOW_SOAK` is set: promises are tried with their full numbers.
pub fn soak() -> bool {
    variable("DATAFLOW_SOAK").is_some()
}

/// The top folder of this repository.
///
/// # Panics
/// Never: this crate lies one folder below the top.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the repository").to_path_buf()
}

/// Where what takes long to make is kept between runs: initialised data folders, the unpacked MySQL 9.
///
/// `DATAFLOW_TEST_CACHE`, or else `.cache/` in the repository. As root, with a repository that the servers' own user cannot read
/// (`/root/…`), it is `/var/tmp/dataflow-test-cache`.
pub fn cache() -> PathBuf {
    if let Some(named) = variable("DATAFLOW_TEST_CACHE") {
        return PathBuf::from(named);
    }
    let repository = repository();
    if is_root() && !open_to_all(&repository) {
        return PathBuf::from("/var/tmp/dataflow-test-cache");
    }
    repository.join(".cache")
}

/// Whether the tests run as root and must give their servers another user.
pub fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0)
}

fn open_to_all(folder: &Path) -> bool {
    folder.ancestors().all(|part| fs::metadata(part).is_ok_and(|data| data.permissions().mode() & 0o001 != 0))
}

/// The first of `places` that exists, or a panic that says how to get it.
///
/// # Panics
/// If none exists.
pub fn program(name: &str, places: &[&str]) -> PathBuf {
    places
        .iter()
        .map(PathBuf::from)
        .find(|place| place.is_file())
        .unwrap_or_else(|| panic!("{name} is not on this machine (looked for {}); install with `make deps`", places.join(", ")))
}
