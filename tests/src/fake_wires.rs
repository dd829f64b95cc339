//! Fakes of services that speak a protocol of their own, of which no real server can be had for these tests. They are strict: what their
//! specification does not know ends the conversation. Each is tried with a client that others wrote ([`tried_by_others`]).

mod bson;
mod cassandra;
mod kafka;
mod mongo;
mod scram;

use std::{collections::BTreeMap, io, process::Command};

use serde_json::Value;

pub use self::{
    cassandra::{FakeCassandra, cassandra},
    kafka::kafka,
    mongo::{FORBIDDEN, OLD, mongo},
    scram::Twist,
};
use crate::{
    environment,
    scripted::{Peer, Scripted},
    tls::{Authority, Shape},
    wires::{AT_ONCE, Doors, OPEN, PLAIN},
};

/// As `tools/deps.sh` has them: PyMongo, the driver for Cassandra, kafka-python.
const CLIENTS: [&str; 3] = ["4.20.1", "3.30.1", "3.0.12"];

/// Has clients that others wrote sign in, with the right password and a wrong one.
///
/// # Panics
/// If one is not installed, or does not find what it should.
pub fn tried_by_others(settings: &Value) {
    let interpreter = environment::cache().join(format!("wire-clients-{}/bin/python", CLIENTS.join("-")));
    assert!(interpreter.is_file(), "{} is not there; install it with `make deps`", interpreter.display());
    let script = environment::repository().join("tests/servers/clients.py");
    let tried = Command::new(interpreter).arg("-B").arg(script).arg(settings.to_string()).output().expect("it is there");
    assert!(tried.status.success(), "{}", String::from_utf8_lossy(&tried.stderr));
}

/// A door that asks for a password, and takes any.
pub const ANY: &str = "any";

/// A fake and its doors.
#[derive(Debug)]
pub struct FakeWires {
    doors: BTreeMap<&'static str, Scripted>,
    authority: String,
}

impl FakeWires {
    /// `serve` is told through which door somebody came, which says no more of TLS.
    fn start(serve: impl Fn(&mut Peer, &'static str) -> io::Result<()> + Send + Sync + Clone + 'static) -> Self {
        let authority = Authority::new();
        let plain = [PLAIN, OPEN, ANY].map(|door| {
            let serve = serve.clone();
            (door, Scripted::start(move |peer| serve(peer, door)))
        });
        let identity = authority.server(Shape::Good);
        let secured = Scripted::start(move |peer| {
            peer.begin_tls(&identity)?;
            serve(peer, PLAIN)
        });
        Self { doors: plain.into_iter().chain([(AT_ONCE, secured)]).collect(), authority: authority.pem() }
    }

    /// What stands behind a door.
    ///
    /// # Panics
    /// If there is no such door.
    pub fn door(&self, door: &str) -> &Scripted {
        self.doors.get(door).unwrap_or_else(|| panic!("there is no door {door}"))
    }
}

impl Doors for FakeWires {
    fn port(&self, door: &str) -> u16 {
        self.door(door).port()
    }

    fn has(&self, door: &str) -> bool {
        self.doors.contains_key(door)
    }

    fn authority(&self) -> &str {
        &self.authority
    }
}

/// What the specification does not know.
fn unknown(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}
