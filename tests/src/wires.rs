//! Real servers that speak a protocol of their own over a socket. Each has doors: ways in by a port of its own, of which some look at
//! passwords, some are inside TLS, and some let everybody in.

mod brokers;
mod directories;
mod mail_and_files;
mod proxies;
mod redis;
mod shells;

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, TcpListener},
    path::PathBuf,
};

pub use self::{
    brokers::{mosquitto, nats, rabbitmq},
    directories::{ADMIN, BASE, openldap},
    mail_and_files::{AIOSMTPD, PYFTPDLIB, aiosmtpd, dovecot, pyftpdlib},
    proxies::{microsocks, tinyproxy, tinyproxy_version},
    redis::{NOBODYS, READER, redis},
    shells::{ASYNCSSH, KEYS, RSA, asyncssh, openssh},
};
use crate::{
    environment,
    folder::TempDir,
    port::Port,
    process::{Process, Spawn, Stop},
    tls::{Authority, Shape},
};

/// A door that looks at passwords, without TLS.
pub const PLAIN: &str = "plain";
/// The same inside TLS, which begins at once.
pub const AT_ONCE: &str = "at_once";
/// The same inside TLS, which begins on request.
pub const ON_REQUEST: &str = "request";
/// A door that lets everybody in, without TLS.
pub const OPEN: &str = "open";

/// Ways in.
pub trait Doors {
    fn port(&self, door: &str) -> u16;
    fn has(&self, door: &str) -> bool;
    /// Who made the certificates, in PEM form.
    fn authority(&self) -> &str;
}

impl Doors for Wires {
    fn port(&self, door: &str) -> u16 {
        self.port(door)
    }

    fn has(&self, door: &str) -> bool {
        self.has(door)
    }

    fn authority(&self) -> &str {
        self.authority()
    }
}

/// A running server, or several of one product.
#[derive(Debug)]
pub struct Wires {
    processes: Vec<Process>,
    ports: BTreeMap<&'static str, Port>,
    authority: String,
    folder: TempDir,
    files: [PathBuf; 2],
}

impl Wires {
    /// Nothing runs yet; the doors have their ports, and there is a certificate for `localhost`.
    fn with_doors(doors: &[&'static str]) -> Self {
        let (authority, folder) = (Authority::new(), TempDir::new());
        let files = folder.write_identity(&authority.server(Shape::Good));
        let ports = doors.iter().map(|door| (*door, Port::free())).collect();
        Self { processes: Vec::new(), ports, authority: authority.pem(), folder, files }
    }

    /// The port of a door.
    ///
    /// # Panics
    /// If the server has no such door.
    pub fn port(&self, door: &str) -> u16 {
        self.ports.get(door).unwrap_or_else(|| panic!("there is no door {door}")).number()
    }

    pub fn has(&self, door: &str) -> bool {
        self.ports.contains_key(door)
    }

    /// Who made its certificates, in PEM form.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// What was mailed there, in the order in which it came: as JSON with `from`, `to` and `text`.
    ///
    /// # Panics
    /// If a mail is none.
    pub fn mails(&self) -> Vec<serde_json::Value> {
        let files = (0..).map(|number| self.folder.join(&format!("mail-{number}.json"))).take_while(|file| file.is_file());
        let read = |file: PathBuf| serde_json::from_str(&std::fs::read_to_string(file).expect("readable")).expect("JSON");
        files.map(read).collect()
    }

    /// What stands in a file that the server has written.
    ///
    /// # Panics
    /// If it has not.
    pub fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn certificate(&self) -> String {
        self.files[0].display().to_string()
    }

    fn key(&self) -> String {
        self.files[1].display().to_string()
    }

    /// Starts one process, and waits until somebody listens at each of `doors`.
    fn start(&mut self, what: &str, spawn: Spawn, doors: &[&str]) {
        let mut process = spawn.start(&self.folder.join(&format!("log-{}", self.processes.len())));
        for door in doors {
            let number = self.port(door);
            process.wait_until(what, |_| TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_err());
        }
        self.processes.push(process);
    }
}

/// A program of Debian's that is unpacked in the cache, with the libraries that came with it.
fn unpacked(folder: &str, program: &str, stop: Stop) -> Spawn {
    let root = environment::cache().join(folder);
    let file = root.join(program);
    assert!(file.is_file(), "{} is not there; install it with `make deps`", file.display());
    let libraries = std::fs::read_dir(root.join("usr/lib")).into_iter().flatten().flatten();
    let libraries = libraries.map(|entry| entry.path()).find(|path| path.to_string_lossy().ends_with("-linux-gnu"));
    let spawn = Spawn::new(file, stop).unprivileged();
    match libraries {
        Some(libraries) => spawn.variable("LD_LIBRARY_PATH", &libraries.display().to_string()),
        None => spawn,
    }
}

/// By id of a type the version of the server that its test was tried against, as the installed program says it.
///
/// # Panics
/// If one is not installed.
pub fn versions() -> [(&'static str, String); 3] {
    let mosquitto = said(unpacked("mosquitto", "usr/sbin/mosquitto", Stop::Kill).arg("-h"));
    let openldap = said(unpacked("openldap", "usr/sbin/slapd", Stop::Kill).arg("-VV"));
    let dovecot = said(Spawn::new(environment::program("Dovecot", &["/usr/sbin/dovecot"]), Stop::Kill).arg("--version"));
    // mosquitto version 2.0.11; @(#) $OpenLDAP: slapd 2.5.13+dfsg-5 …; 2.3.19.1 (9b53102964)
    let after = |text: &str, word: &str| text.split_once(word).map(|(_, rest)| rest.to_owned()).unwrap_or_default();
    [("mqtt", after(&mosquitto, "mosquitto version ")), ("ldap", after(&openldap, "slapd ")), ("imap", dovecot)]
}

/// All that a program says that is asked for its version; how it ends differs.
fn said(spawn: Spawn) -> String {
    let folder = TempDir::new();
    let mut process = spawn.start(&folder.join("log"));
    let begun = std::time::Instant::now();
    while !process.has_ended() && begun.elapsed() < std::time::Duration::from_secs(30) {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    process.log()
}
