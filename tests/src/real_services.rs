//! Real servers of services that are asked over HTTP: Debian's container registry, and pypiserver, a Python package.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    path::PathBuf,
};

use crate::{
    environment,
    fake_services::USER,
    folder::TempDir,
    port::Port,
    process::{Process, Spawn, Stop},
};

/// As `tools/deps.sh` has it.
pub const PYPISERVER: &str = "2.4.2";

/// [`crate::fake_services::PASSWORD`] by bcrypt with the least effort, which is all that the registry takes.
const BCRYPT: &str = "$2b$04$Y71iV9VO2knPqNED4ZzlwOX/CM50ctMcmN5HN5VccxrmWAYY2rwXu";
/// The same as Apache's `htpasswd -s` writes it.
const SHA1: &str = "{SHA}2ipJ+Dp278YgjB657NKUUlFhkQg=";

/// A running server.
#[derive(Debug)]
pub struct RealService {
    _process: Process,
    port: Port,
    _folder: TempDir,
}

impl RealService {
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// A registry of images, which looks at passwords if it is `guarded`.
    ///
    /// # Panics
    /// If it is not installed or does not start.
    pub fn registry(guarded: bool) -> Self {
        let (folder, port) = (TempDir::new(), Port::free());
        let users = folder.write_private("users", &format!("{USER}:{BCRYPT}\n"));
        let auth =
            if guarded { format!("auth:\n  htpasswd:\n    realm: test\n    path: {}\n", users.display()) } else { String::new() };
        let settings = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\nhttp:\n  addr: 127.0.0.1:{}\n  secret: made-for-a-test\n{auth}",
            folder.join("images").display(),
            port.number()
        );
        let settings = folder.write_private("settings.yml", &settings);
        let spawn = Spawn::new(registry(), Stop::Kill).unprivileged().arg("serve").arg(settings);
        Self::start("the container registry", spawn, port, folder)
    }

    /// What the registry says that it is: `2.8.2`.
    ///
    /// # Panics
    /// If it is not installed.
    pub fn registry_version() -> String {
        // docker-registry github.com/docker/distribution 2.8.2+ds1
        let said = Spawn::new(registry(), Stop::Kill).arg("--version").run();
        said.split_whitespace().last().and_then(|version| version.split('+').next()).unwrap_or_default().to_owned()
    }

    /// An index of Python packages with one in it, which looks at passwords if it is `guarded`.
    ///
    /// # Panics
    /// If it is not installed or does not start.
    pub fn package_index(guarded: bool) -> Self {
        let (folder, port) = (TempDir::new(), Port::free());
        let users = folder.write_private("users", &format!("{USER}:{SHA1}\n"));
        let packages = folder.join("packages");
        fs::create_dir(&packages).expect("own folder");
        fs::write(packages.join("sample_project-1.0.tar.gz"), "").expect("own folder");
        let server = environment::cache().join(format!("pypiserver-{PYPISERVER}/bin/pypi-server"));
        assert!(server.is_file(), "{} is not there; install it with `make deps`", server.display());
        let (guarded_acts, users) =
            if guarded { ("list,download,update", users.display().to_string()) } else { (".", ".".to_owned()) };
        let spawn = Spawn::new(server, Stop::Kill)
            .args(["run", "--interface=127.0.0.1", "--disable-fallback"])
            .args(["--port", &port.number().to_string(), "--authenticate", guarded_acts, "--passwords", &users])
            .arg(packages);
        Self::start("pypiserver", spawn, port, folder)
    }

    fn start(what: &str, spawn: Spawn, port: Port, folder: TempDir) -> Self {
        let mut process = spawn.start(&folder.join("log"));
        let number = port.number();
        process.wait_until(what, |_| TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_err());
        Self { _process: process, port, _folder: folder }
    }
}

fn registry() -> PathBuf {
    let program = environment::cache().join("docker-registry/usr/bin/docker-registry");
    assert!(program.is_file(), "{} is not there; install it with `make deps`", program.display());
    program
}
