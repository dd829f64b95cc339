//! `make run` where it cannot do its work: one sentence with what to do. That it does its work is shown by `tools/first_run.sh`.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use dataflow_tests::{environment::repository, folder::TempDir, port::Port};
use rstest::rstest;

/// What the script calls before it builds, all of it in Debian's essential packages.
const USED: [&str; 14] =
    ["bash", "chmod", "cut", "dirname", "env", "flock", "head", "make", "mkdir", "realpath", "sed", "sh", "sleep", "sort"];
const GOOD_RUST: &str = "echo rustc 99.0.0";
const GOOD: &str = "exit 0";

/// A machine that has what a build needs, as far as anybody asks it.
struct Machine {
    folder: TempDir,
}

impl Machine {
    fn new() -> Self {
        let machine = Self { folder: TempDir::new() };
        fs::create_dir(machine.programs()).expect("own folder");
        for name in USED {
            let found = ["/usr/bin", "/bin"].map(|folder| Path::new(folder).join(name)).into_iter().find(|path| path.exists());
            symlink(found.unwrap_or_else(|| panic!("{name} is not on this machine")), machine.programs().join(name))
                .expect("own folder");
        }
        for (name, body) in [("cargo", GOOD), ("rustc", GOOD_RUST), ("cc", GOOD), ("python3", GOOD)] {
            machine.put(name, body);
        }
        machine
    }

    fn programs(&self) -> PathBuf {
        self.folder.join("programs")
    }

    fn run_folder(&self) -> PathBuf {
        self.folder.join("run")
    }

    fn put(&self, name: &str, body: &str) {
        let path = self.programs().join(name);
        fs::write(&path, format!("#!/bin/sh\n{body}\n")).expect("own folder");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("own file");
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.programs().join(name)).expect("it is there");
    }

    fn make_run(&self, port: u16) -> Child {
        let mut command = Command::new(self.programs().join("make"));
        command.args(["--no-print-directory", "run", &format!("LISTEN=127.0.0.1:{port}")]).current_dir(repository());
        command.env_clear().env("PATH", self.programs()).env("HOME", self.folder.path()).env("RUN_FOLDER", self.run_folder());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("make runs")
    }

    /// It has ended with exactly this sentence, beside make's own line of the failure.
    fn refuses(&self, port: u16, sentence: &str) {
        let done = self.make_run(port).wait_with_output().expect("own child");
        let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        let own: Vec<_> = err.lines().filter(|line| !line.starts_with("make: ")).collect();
        assert!(!done.status.success(), "{out}{err}");
        assert_eq!((own.as_slice(), out.as_ref()), ([sentence].as_slice(), ""));
    }
}

#[rstest]
#[case::rust("cargo", "Rust is missing. Install Rust 1.95 or newer from https://rustup.rs, then try again.")]
#[case::a_c_compiler("cc", "A C compiler is missing. Install one (apt-get install gcc libc6-dev), then try again.")]
#[case::python(
    "python3",
    "python3 is missing. Install Python 3.9 or newer with venv (apt-get install python3 python3-venv), then try again."
)]
fn what_is_missing_is_named_before_anything_is_made(#[case] program: &str, #[case] sentence: &str) {
    let machine = Machine::new();
    machine.remove(program);
    machine.refuses(Port::free().number(), sentence);
    assert!(!machine.run_folder().exists(), "nothing was made");
}

#[rstest]
#[case::rust(
    "rustc",
    "echo rustc 1.80.1",
    "Rust 1.80.1 is too old. Install 1.95 or newer (rustup update stable), then try again."
)]
#[case::python(
    "python3",
    "exit 1",
    "python3 is older than Python 3.9. Name a newer one (make run PYTHON=python3.11), then try again."
)]
#[case::python_without_venv(
    "python3",
    "case $2 in *venv*) exit 1 ;; esac",
    "python3 cannot make virtual environments. Install its venv module (apt-get install python3-venv), then try again."
)]
fn what_is_too_old_or_incomplete_is_named(#[case] program: &str, #[case] body: &str, #[case] sentence: &str) {
    let machine = Machine::new();
    machine.put(program, body);
    machine.refuses(Port::free().number(), sentence);
}

#[test]
fn a_port_that_is_taken_is_named_with_another() {
    let held = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = held.local_addr().expect("bound").port();
    let sentence = format!(
        "Port {port} on 127.0.0.1 is taken by another program. Stop it, or choose another: make run LISTEN=127.0.0.1:{}.",
        port + 1
    );
    Machine::new().refuses(port, &sentence);
}

#[test]
fn a_second_one_on_the_same_data_is_refused() {
    let machine = Machine::new();
    let builds = machine.folder.join("builds");
    // The first one is busy with its build for as long as its mark is there.
    machine.put(
        "cargo",
        &format!("cd '{}'; : >builds; while [ -e builds ]; do sleep 0.05; done; exit 1", machine.folder.path().display()),
    );
    let mut first = machine.make_run(Port::free().number());
    let deadline = Instant::now() + Duration::from_mins(1);
    while !builds.exists() {
        assert!(Instant::now() < deadline && first.try_wait().is_ok_and(|ended| ended.is_none()), "the first one did not begin");
        thread::sleep(Duration::from_millis(10));
    }
    machine.refuses(
        Port::free().number(),
        "`make run` is already running in this folder. Stop it with Ctrl-C in its terminal, then try again.",
    );
    fs::remove_file(&builds).expect("it is there");
    assert!(!first.wait().expect("own child").success(), "its build has failed");
}
