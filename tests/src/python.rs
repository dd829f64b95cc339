//! The Python that runs the second implementations of the stored formats.

use std::{
    ffi::OsStr,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

/// Runs such a script; its output, or else its complaint.
///
/// # Errors
/// What it says where it fails.
///
/// # Panics
/// If there is no Python to run it with.
pub fn run(script: &Path, arguments: &[&Path]) -> Result<String, String> {
    let output = Command::new(with_cryptography()).arg("-B").arg(script).args(arguments).output().expect("it ran just before");
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(said(&output.stdout)) } else { Err(said(&output.stderr)) }
}

/// A Python that has `cryptography` with Argon2: the machine's, or one in an environment of its own that is made here.
fn with_cryptography() -> PathBuf {
    let imports = |python: &Path| {
        let tried = Command::new(python).args(["-c", "import cryptography.hazmat.primitives.kdf.argon2"]).output();
        tried.is_ok_and(|output| output.status.success())
    };
    let run = |program: &Path, arguments: &[&OsStr]| {
        let output = Command::new(program).args(arguments).output().expect("this test needs python3: install it");
        let remedy = "this test needs cryptography 44 or newer: apt-get install python3-venv, or pip install 'cryptography>=44'";
        assert!(output.status.success(), "{remedy}\n{}", String::from_utf8_lossy(&output.stderr));
    };
    let system = PathBuf::from("python3");
    if imports(&system) {
        return system;
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.cache/venv/vault");
    fs::create_dir_all(&folder).expect("a folder of this repository");
    // Two tests at once would clear it away under each other.
    let held = File::open(&folder).expect("made just before");
    held.lock().expect("a folder can be locked");
    let own = folder.join("bin/python3");
    if !imports(&own) {
        run(&system, &["-m", "venv", "--clear"].map(OsStr::new).into_iter().chain([folder.as_os_str()]).collect::<Vec<_>>());
        run(&own, &["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "cryptography>=44"].map(OsStr::new));
    }
    own
}
