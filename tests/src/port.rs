//! Ports that two tests never share, in whatever processes they run.

use std::{fs::File, net::TcpListener, path::PathBuf, process};

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
