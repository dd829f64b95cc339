//! A disk that fails at a given write, is full, or loses power: `shim/disk.c`, preloaded into the program under test.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use crate::{
    binary::dataflow_bin,
    folder::{self, TempDir},
    http::Request,
    port::Port,
    process::{Process, Spawn, Stop},
    shim::compile,
    stored::{Engine, Stored},
};

/// No space left on device, and input/output error (errno(3), Linux).
pub const ENOSPC: i32 = 28;
pub const EIO: i32 = 5;

/// What the disk under a data folder does.
#[derive(Debug, Default, Clone)]
pub struct Disk {
    /// The write, truncation or sync that fails, counted from 1, with its error.
    pub fails_at: Option<(u64, i32)>,
    /// It fails from there on.
    pub stays: bool,
    /// It fails only while this is there.
    pub only_while: Option<PathBuf>,
    /// Only at files whose path holds this, and of those only syncs.
    pub syncs_of: Option<&'static str>,
    /// A sync takes so many milliseconds longer.
    pub slow: Option<u32>,
    /// Where what was synced is kept, all that a power cut would leave; names of files with dashes for slashes.
    pub synced: Option<PathBuf>,
    /// Syncs of files whose names end so are acknowledged, and keep nothing.
    pub lies: Option<&'static str>,
}

/// A store that was set up, to be copied, and an admin's token for it.
#[derive(Debug)]
pub struct Prepared {
    pub folder: TempDir,
    pub admin: String,
}

impl Prepared {
    /// One with the connection `sales`, whose password is `first`.
    ///
    /// # Panics
    /// If it cannot be made.
    pub fn new() -> Self {
        let folder = TempDir::new();
        let mut stored = Stored::start(Engine::Sqlite);
        stored.create("sales", "first");
        stored.server.process().stop();
        folder::copy(&stored.server.data(), &folder.join("data"));
        fs::copy(stored.server.data().with_extension("key"), folder.join("data.key")).expect("a copy");
        Self { folder, admin: stored.admin.clone() }
    }

    /// A copy of it in a folder of its own.
    ///
    /// # Panics
    /// If that cannot be made.
    pub fn copy(&self) -> (TempDir, PathBuf) {
        let folder = TempDir::new();
        let data = folder.join("data");
        folder::copy(&self.folder.join("data"), &data);
        fs::copy(self.folder.join("data.key"), folder.join("data.key")).expect("a copy");
        (folder, data)
    }
}

impl Default for Prepared {
    fn default() -> Self {
        Self::new()
    }
}

/// Waits until it serves; `false` if it has ended instead.
///
/// # Panics
/// If it does neither.
pub fn is_up(process: &mut Process, port: &Port) -> bool {
    let begun = Instant::now();
    loop {
        if Request::new(port.number(), "GET", "/readyz").try_send().is_ok_and(|answer| answer.status == 200) {
            return true;
        }
        if process.has_ended() {
            return false;
        }
        assert!(begun.elapsed() < Duration::from_mins(1), "it neither serves nor ends:\n{}", process.log());
        thread::sleep(Duration::from_millis(3));
    }
}

/// The compiled shim, and the count of one program's writes.
#[derive(Debug)]
pub struct Shim {
    folder: TempDir,
}

impl Shim {
    /// # Panics
    /// If there is no C compiler.
    pub fn build() -> Self {
        let folder = TempDir::new();
        compile("disk", &folder.join("disk.so"));
        Self { folder }
    }

    /// `dataflow serve` on a data folder on such a disk; it may not get ready.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn serve(&self, data: &Path, port: &Port, disk: &Disk) -> Process {
        self.serve_with(data, port, disk, &[])
    }

    /// The same, told more.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn serve_with(&self, data: &Path, port: &Port, disk: &Disk, more: &[&str]) -> Process {
        let _ = fs::remove_file(self.folder.join("count"));
        let mut spawn = Spawn::new("/usr/bin/env", Stop::Kill)
            .arg(format!("LD_PRELOAD={}", self.folder.join("disk.so").display()))
            .arg(format!("DISK_FOLDER={}", data.display()))
            .arg(format!("DISK_COUNT={}", self.folder.join("count").display()));
        if let Some((at, error)) = disk.fails_at {
            spawn = spawn.args([format!("DISK_FAIL={at}"), format!("DISK_ERROR={error}")]);
        }
        if disk.stays {
            spawn = spawn.arg("DISK_STAYS=1");
        }
        if let Some(path) = &disk.only_while {
            spawn = spawn.arg(format!("DISK_WHILE={}", path.display()));
        }
        if let Some(of) = disk.syncs_of {
            spawn = spawn.args([format!("DISK_OF={of}"), "DISK_SYNCS=1".to_owned()]);
        }
        if let Some(milliseconds) = disk.slow {
            spawn = spawn.arg(format!("DISK_SLOW={milliseconds}"));
        }
        if let Some(synced) = &disk.synced {
            spawn = spawn.arg(format!("DISK_SYNCED={}", synced.display()));
        }
        if let Some(lies) = disk.lies {
            spawn = spawn.arg(format!("DISK_LIES={lies}"));
        }
        spawn.arg(dataflow_bin()).args(arguments(data, port)).args(more).start(&self.folder.join("log"))
    }

    /// The same on the disk that is there.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn plain(data: &Path, port: &Port, log: &Path) -> Process {
        Spawn::new(dataflow_bin(), Stop::Kill).args(arguments(data, port)).start(log)
    }

    /// How often the last program wrote, truncated or synced so far.
    pub fn count(&self) -> u64 {
        fs::read_to_string(self.folder.join("count")).ok().and_then(|text| text.trim().parse().ok()).unwrap_or_default()
    }
}

fn arguments(data: &Path, port: &Port) -> Vec<std::ffi::OsString> {
    let listen = format!("127.0.0.1:{}", port.number());
    ["serve", "--no-tests", "--listen", &listen, "--data"]
        .into_iter()
        .map(Into::into)
        .chain([data.as_os_str().to_owned()])
        .collect()
}
