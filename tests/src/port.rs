//! Ports that two tests never share, in whatever processes they run.

use std::{
    fs::File,
    net::{Ipv4Addr, TcpListener},
    path::PathBuf,
    process,
};

use tokio::net::TcpSocket;

/// Below Linux's range for outgoing connections (32768 and up), so that no client takes a port between choice and use.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// A port on 127.0.0.1 that is free, and that no other fixture is given while this value lives.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _held: File,
}

impl Port {
    /// # Panics
    /// If all ports are taken.
    pub fn free() -> Self {
        let start = process::id().wrapping_mul(7_919);
        for step in 0..u32::from(COUNT) {
            let offset = start.wrapping_add(step) % u32::from(COUNT);
            let number = FIRST + u16::try_from(offset).expect("less than COUNT");
            let lock = PathBuf::from(format!("/tmp/dataflow-test-port-{number}.lock"));
            // A lock file that another user made cannot be opened: then the port is theirs.
            let Ok(file) = File::options().create(true).append(true).open(lock) else { continue };
            if file.try_lock().is_ok() && TcpListener::bind(("127.0.0.1", number)).is_ok() {
                return Self { number, _held: file };
            }
        }
        panic!("no port from {FIRST} on is free");
    }

    pub fn number(&self) -> u16 {
        self.number
    }
}

/// A port on 127.0.0.1 where nobody listens, and where nobody can while this value lives.
#[derive(Debug)]
pub struct ClosedPort(TcpSocket);

impl ClosedPort {
    /// # Panics
    /// If no port is free.
    pub fn new() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a port is free");
        Self(socket)
    }

    /// # Panics
    /// Never: it is bound.
    pub fn number(&self) -> u16 {
        self.0.local_addr().expect("it is bound").port()
    }
}

impl Default for ClosedPort {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Port;

    #[test]
    fn no_port_is_given_twice() {
        let ports: Vec<_> = (0..50).map(|_| Port::free()).collect();
        assert_eq!(ports.iter().map(Port::number).collect::<BTreeSet<_>>().len(), 50);
    }
}
