//! Cassandra and ScyllaDB: <https://github.com/apache/cassandra/blob/trunk/doc/native_protocol_v4.spec>. Errors are worded as Cassandra 4.1 does.

use std::io;

use super::{ANY, FakeWires, unknown};
use crate::{
    fake_services::{PASSWORD, USER},
    scripted::Peer,
    wires::OPEN,
};

/// Which of the two it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FakeCassandra {
    Cassandra,
    Scylla,
}

/// With one keyspace, `sales`.
pub fn cassandra(product: FakeCassandra) -> FakeWires {
    FakeWires::start(move |peer, door| Session { product, door, is_in: false }.serve(peer))
}

struct Session {
    product: FakeCassandra,
    door: &'static str,
    is_in: bool,
}

impl Session {
    fn serve(mut self, peer: &mut Peer) -> io::Result<()> {
        loop {
            let [version] = peer.receive::<1>()?;
            if version != 4 {
                let said = format!("Invalid or unsupported protocol version ({version}); supported versions are (3/v3, 4/v4)");
                peer.send(&frame([0, 0], 0, &error(0x000a, &said)))?;
                return Ok(());
            }
            let [flags, stream @ .., kind, a, b, c, d] = peer.receive::<8>()?;
            let stream: [u8; 2] = stream;
            let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).expect("64 bits");
            if flags != 0 || length > 60_000 {
                return Err(unknown("flags, or too long"));
            }
            let mut body = vec![0; length];
            peer.fill(&mut body)?;
            let (kind, answer) = self.answer(kind, &body)?;
            peer.send(&frame(stream, kind, &answer))?;
        }
    }

    /// Kind and body.
    fn answer(&mut self, kind: u8, body: &[u8]) -> io::Result<(u8, Vec<u8>)> {
        Ok(match kind {
            // OPTIONS; SUPPORTED
            5 if body.is_empty() => (6, self.options()),
            // STARTUP; READY or AUTHENTICATE
            1 => {
                let known = map(body).ok_or_else(|| unknown("no map"))?;
                if !known.iter().any(|(name, value)| name == "CQL_VERSION" && value.starts_with("3.")) {
                    return Ok((0, error(0x000a, "Missing value CQL_VERSION in STARTUP message")));
                }
                if known.iter().any(|(name, _)| name == "COMPRESSION") {
                    return Err(unknown("a compression that was not offered"));
                }
                self.is_in = self.door == OPEN;
                match self.door {
                    OPEN => (2, Vec::new()),
                    _ => (3, string("org.apache.cassandra.auth.PasswordAuthenticator")),
                }
            }
            // AUTH_RESPONSE; AUTH_SUCCESS, without a token
            0x0f if !self.is_in => {
                let token =
                    body.split_first_chunk::<4>().filter(|(length, rest)| u32::from_be_bytes(**length) == rest_length(rest));
                let (_, token) = token.ok_or_else(|| unknown("no bytes"))?;
                let parts: Vec<_> = token.split(|byte| *byte == 0).collect();
                let [_, user, password] = parts.as_slice() else { return Err(unknown("no PLAIN")) };
                if self.door != ANY && (*user, *password) != (USER.as_bytes(), PASSWORD.as_bytes()) {
                    let said = format!("Provided username {} and/or password are incorrect", String::from_utf8_lossy(user));
                    return Ok((0, error(0x0100, &said)));
                }
                self.is_in = true;
                (0x10, vec![0xff; 4])
            }
            7 if self.is_in => self.query(body)?,
            7 => (0, error(0x000a, "Unexpected message QUERY, expecting STARTUP or OPTIONS")),
            other => return Err(unknown(format!("opcode {other}"))),
        })
    }

    fn options(&self) -> Vec<u8> {
        let mut options =
            vec![("CQL_VERSION", vec!["3.4.6"]), ("COMPRESSION", vec![]), ("PROTOCOL_VERSIONS", vec!["3/v3", "4/v4"])];
        if self.product == FakeCassandra::Scylla {
            options.push(("SCYLLA_SHARD", vec!["0"]));
        }
        let mut bytes = short(options.len());
        for (name, values) in options {
            bytes.extend(string(name));
            bytes.extend(short(values.len()));
            bytes.extend(values.into_iter().flat_map(string));
        }
        bytes
    }

    fn query(&self, body: &[u8]) -> io::Result<(u8, Vec<u8>)> {
        let (length, rest) = body.split_first_chunk::<4>().ok_or_else(|| unknown("no query"))?;
        let length = usize::try_from(u32::from_be_bytes(*length)).expect("64 bits");
        let (text, rest) = rest.split_at_checked(length).ok_or_else(|| unknown("no query"))?;
        // A consistency, and no flags.
        if !matches!(rest, [0, 0..=0x0a, 0]) {
            return Err(unknown(format!("parameters {rest:?}")));
        }
        let text = String::from_utf8_lossy(text);
        if let Some(name) = text.strip_prefix("USE ") {
            let name = name.trim_matches('"');
            return Ok(match name {
                "sales" => (8, [&[0, 0, 0, 3][..], &string(name)].concat()),
                _ => (0, error(0x2200, &format!("Keyspace '{name}' does not exist"))),
            });
        }
        let is_scylla = self.product == FakeCassandra::Scylla;
        Ok(match text.as_ref() {
            "SELECT release_version, cluster_name FROM system.local" => {
                let version = if is_scylla { "3.0.8" } else { "4.1.3" };
                (8, rows("local", &[("release_version", version), ("cluster_name", "Test Cluster")]))
            }
            "SELECT version FROM system.versions WHERE key = 'local'" if is_scylla => {
                (8, rows("versions", &[("version", "6.2.0")]))
            }
            _ => (0, error(0x2200, "table does not exist")),
        })
    }
}

fn rest_length(rest: &[u8]) -> u32 {
    u32::try_from(rest.len()).expect("short")
}

fn frame(stream: [u8; 2], kind: u8, body: &[u8]) -> Vec<u8> {
    [&[0x84, 0][..], &stream, &[kind], &rest_length(body).to_be_bytes(), body].concat()
}

/// One row of text, of a table in the keyspace `system`.
fn rows(table: &str, cells: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = [2, 1, rest_length(&vec![0; cells.len()])].map(u32::to_be_bytes).concat();
    bytes.extend([string("system"), string(table)].concat());
    for (name, _) in cells {
        bytes.extend(string(name));
        bytes.extend([0, 0x0d]);
    }
    bytes.extend(1_u32.to_be_bytes());
    for (_, value) in cells {
        bytes.extend(rest_length(value.as_bytes()).to_be_bytes());
        bytes.extend(value.as_bytes());
    }
    bytes
}

fn error(code: u32, said: &str) -> Vec<u8> {
    [&code.to_be_bytes()[..], &string(said)].concat()
}

fn short(number: usize) -> Vec<u8> {
    u16::try_from(number).expect("few").to_be_bytes().to_vec()
}

fn string(text: &str) -> Vec<u8> {
    [short(text.len()), text.as_bytes().to_vec()].concat()
}

/// A `[string map]`, and nothing after it.
fn map(body: &[u8]) -> Option<Vec<(String, String)>> {
    let mut rest = body;
    let mut take = |length: usize| {
        let (taken, after) = rest.split_at_checked(length)?;
        rest = after;
        Some(taken.to_vec())
    };
    let number = |bytes: Vec<u8>| Some(usize::from(u16::from_be_bytes(*bytes.first_chunk()?)));
    let mut pairs = Vec::new();
    for _ in 0..number(take(2)?)? {
        let mut text = || {
            let length = number(take(2)?)?;
            String::from_utf8(take(length)?).ok()
        };
        pairs.push((text()?, text()?));
    }
    rest.is_empty().then_some(pairs)
}
