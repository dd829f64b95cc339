//! Folders that end with the value that holds them, and folders that are made once and copied.

use std::{
    fs::{self, File},
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    environment::{self, UNPRIVILEGED_ID, is_root},
    tls::Identity,
};

const PREFIX: &str = "dataflow-test-";

/// A folder under `/tmp` (a path short enough for a Unix socket, and open to the servers' own user), removed on drop.
///
/// A killed test cannot remove its folder. So each folder is locked for as long as its process lives, and whoever makes one
/// first removes those that nobody holds any more.
#[derive(Debug)]
pub struct TempDir {
    folder: tempfile::TempDir,
    _held: File,
}

impl TempDir {
    /// # Panics
    /// If `/tmp` cannot be written.
    pub fn new() -> Self {
        sweep();
        loop {
            let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in("/tmp").expect("/tmp can be written");
            let Ok(held) = File::open(folder.path()) else { continue };
            held.lock().expect("a folder can be locked");
            // Another test may have swept it away before it was locked.
            if folder.path().exists() {
                give_away(folder.path());
                return Self { folder, _held: held };
            }
        }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The path of `name` in this folder.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Writes a file that the servers' own user alone can read: servers refuse keys that others can.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn write_private(&self, name: &str, text: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.join(name);
        fs::write(&path, text).expect("the folder can be written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("own file");
        give_away(&path);
        path
    }

    /// Writes a server's certificate and key; their paths.
    pub fn write_identity(&self, identity: &Identity) -> [PathBuf; 2] {
        [("server.crt", &identity.certificates), ("server.key", &identity.key)].map(|(name, text)| self.write_private(name, text))
    }
}

impl Default for TempDir {
    fn default() -> Self {
        Self::new()
    }
}

fn give_away(path: &Path) {
    if is_root() {
        chown(path, Some(UNPRIVILEGED_ID), Some(UNPRIVILEGED_ID)).expect("root may give a file away");
    }
}

fn sweep() {
    for entry in fs::read_dir("/tmp").into_iter().flatten().flatten() {
        let ours = entry.file_type().is_ok_and(|kind| kind.is_dir())
            && entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
        if !ours {
            continue;
        }
        let Ok(folder) = File::open(entry.path()) else { continue };
        if folder.try_lock().is_ok() {
            // Another user's folder stays: it is theirs to sweep.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Holds the lock at `path` until the file is dropped; waits for whoever holds it.
///
/// # Panics
/// If the file cannot be made.
pub fn lock(path: &Path) -> File {
    let file = File::options().create(true).append(true).open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    file.lock().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    file
}

/// The cached folder `name`; `make` fills an empty folder with it the first time. Tests that ask at once wait for the one that
/// makes it.
///
/// # Panics
/// If the cache cannot be written.
pub fn cached(name: &str, make: impl FnOnce(&Path)) -> PathBuf {
    let cache = environment::cache();
    fs::create_dir_all(&cache).unwrap_or_else(|error| panic!("{}: {error}", cache.display()));
    let wanted = cache.join(name);
    let _one_at_a_time = lock(&cache.join(format!("{name}.lock")));
    if !wanted.exists() {
        let part = cache.join(format!("{name}.part"));
        let _ = fs::remove_dir_all(&part);
        make(&part);
        fs::rename(&part, &wanted).expect("a rename inside one folder");
    }
    wanted
}

/// Copies a folder with owners, modes and times; shares the blocks where the file system can.
///
/// # Panics
/// If the copy fails.
pub fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp").args(["-a", "--reflink=auto", "--"]).arg(from).arg(to).output().expect("cp runs");
    assert!(done.status.success(), "cp: {}", String::from_utf8_lossy(&done.stderr));
}

#[cfg(test)]
mod tests {
    use std::{
        fs, thread,
        time::{Duration, Instant},
    };

    use super::TempDir;

    #[test]
    fn an_abandoned_folder_is_swept_and_a_held_one_stays() {
        let held = TempDir::new();
        let TempDir { folder, _held: lock } = TempDir::new();
        fs::write(folder.path().join("data"), "x").expect("own folder");
        let abandoned = folder.keep();
        drop(lock);
        let another = TempDir::new();
        // The test of another process may be at it, and this one has left it that folder.
        let begun = Instant::now();
        while abandoned.exists() {
            assert!(begun.elapsed() < Duration::from_secs(30), "{} stays", abandoned.display());
            thread::sleep(Duration::from_millis(10));
        }
        assert!(held.path().exists() && another.path().exists());
    }
}
