//! A disk that fails at a given write, is full, or loses power: `shim/disk.c`, preloaded into the program under test.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    binary::dataflow_bin,
    environment,
    folder::TempDir,
    port::Port,
    process::{Process, Spawn, Stop},
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
    /// Where what was synced is kept, all that a power cut would leave; names of files with dashes for slashes.
    pub synced: Option<PathBuf>,
    /// Syncs of files whose names end so are acknowledged, and keep nothing.
    pub lies: Option<&'static str>,
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
        let source = environment::repository().join("tests/shim/disk.c");
        let mut compiler = Command::new("cc");
        let done = compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(folder.join("disk.so")).arg(source).arg("-ldl").output();
        let done = done.expect("cc runs; a C compiler is needed to build anything here");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        Self { folder }
    }

    /// `dataflow serve` on a data folder on such a disk; it may not get ready.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn serve(&self, data: &Path, port: &Port, disk: &Disk) -> Process {
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
        if let Some(synced) = &disk.synced {
            spawn = spawn.arg(format!("DISK_SYNCED={}", synced.display()));
        }
        if let Some(lies) = disk.lies {
            spawn = spawn.arg(format!("DISK_LIES={lies}"));
        }
        spawn.arg(dataflow_bin()).args(arguments(data, port)).start(&self.folder.join("log"))
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
