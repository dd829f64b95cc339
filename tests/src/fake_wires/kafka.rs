//! A broker of Kafka: <https://kafka.apache.org/protocol>, with SASL as KIP-43, KIP-84 and KIP-152 have it.

use std::io;

use super::{
    ANY, FakeWires,
    scram::{Scram, Twist},
    unknown,
};
use crate::{
    fake_services::{PASSWORD, USER},
    scripted::Peer,
    wires::OPEN,
};

/// Key, first and last version of what it answers.
const KNOWN: [[u16; 3]; 4] = [[3, 0, 2], [17, 0, 1], [18, 0, 0], [36, 0, 0]];

/// Its brokers say that they are `broker-1.internal` and so on.
pub fn kafka(twist: Twist) -> FakeWires {
    FakeWires::start(move |peer, door| Session { door, twist, state: State::Begun }.serve(peer))
}

struct Session {
    door: &'static str,
    twist: Twist,
    state: State,
}

enum State {
    Begun,
    Plain,
    Scram(Scram),
    Answered(Scram),
    In,
}

impl Session {
    fn serve(mut self, peer: &mut Peer) -> io::Result<()> {
        if self.door == OPEN {
            self.state = State::In;
        }
        loop {
            let length = usize::try_from(i32::from_be_bytes(peer.receive::<4>()?)).ok();
            let length = length.filter(|length| (8..100_000).contains(length)).ok_or_else(|| unknown("length"))?;
            let mut request = vec![0; length];
            peer.fill(&mut request)?;
            let mut reader = Reader(&request);
            let (key, version, number) = (reader.int16()?, reader.int16()?, reader.take(4)?.to_vec());
            let _client = reader.text()?;
            let is_known = KNOWN.iter().any(|[own, from, to]| *own == key && (*from..=*to).contains(&version));
            let body = match key {
                // One of a version that it does not know it answers as version 0, with UNSUPPORTED_VERSION.
                18 if matches!(self.state, State::Begun | State::In) => versions(if is_known { 0 } else { 35 }),
                _ if !is_known => return Err(unknown(format!("version {version} of {key}"))),
                17 => self.handshake(version, &mut reader)?,
                36 => self.authenticate(&mut reader)?,
                3 if matches!(self.state, State::In) => metadata(version, &mut reader)?,
                // Whoever has not signed in is let go.
                _ => return Err(unknown("not yet")),
            };
            if !reader.0.is_empty() && key != 18 {
                return Err(unknown("more than the request"));
            }
            let length = u32::try_from(4 + body.len()).expect("short");
            peer.send(&[&length.to_be_bytes()[..], &number, &body].concat())?;
        }
    }

    fn handshake(&mut self, version: u16, reader: &mut Reader<'_>) -> io::Result<Vec<u8>> {
        let name = reader.text()?;
        if version != 1 {
            return Err(unknown("tokens that stand alone"));
        }
        let is_sasl = matches!(self.state, State::Begun);
        let (code, state) = match name.as_str() {
            // ILLEGAL_SASL_STATE
            _ if !is_sasl => return Ok([&34_u16.to_be_bytes()[..], &[0; 4]].concat()),
            "PLAIN" => (0, State::Plain),
            "SCRAM-SHA-256" | "SCRAM-SHA-512" => (0, State::Scram(Scram::new(name.ends_with("512"), self.twist))),
            _ => (33_u16, State::Begun),
        };
        self.state = state;
        let offered = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];
        Ok([code.to_be_bytes().to_vec(), 3_u32.to_be_bytes().to_vec(), offered.map(text).concat()].concat())
    }

    fn authenticate(&mut self, reader: &mut Reader<'_>) -> io::Result<Vec<u8>> {
        let length = usize::try_from(reader.int32()?).map_err(|_| unknown("length"))?;
        let token = reader.take(length)?;
        let answer = match std::mem::replace(&mut self.state, State::Begun) {
            State::Plain => {
                let parts: Vec<_> = token.split(|byte| *byte == 0).collect();
                let [_, user, password] = parts.as_slice() else { return Err(unknown("no PLAIN")) };
                let is_right = self.door == ANY || (*user, *password) == (USER.as_bytes(), PASSWORD.as_bytes());
                is_right.then(|| (String::new(), State::In))
            }
            State::Scram(mut scram) => scram.first(token).map(|first| (first, State::Answered(scram))),
            State::Answered(mut scram) => scram.last(token).map(|last| (last, State::In)),
            State::Begun | State::In => return Err(unknown("no handshake")),
        };
        let Some((answer, state)) = answer else {
            // SASL_AUTHENTICATION_FAILED
            let said = text("Authentication failed: Invalid username or password");
            return Ok([&58_u16.to_be_bytes()[..], &said, &[0; 4]].concat());
        };
        self.state = state;
        let length = u32::try_from(answer.len()).expect("short").to_be_bytes();
        Ok([&[0, 0, 0xff, 0xff][..], &length, answer.as_bytes()].concat())
    }
}

fn versions(code: u16) -> Vec<u8> {
    let known = KNOWN.iter().flatten().flat_map(|number| number.to_be_bytes());
    code.to_be_bytes().into_iter().chain(4_u32.to_be_bytes()).chain(known).collect()
}

/// Four brokers, and no topic.
fn metadata(version: u16, reader: &mut Reader<'_>) -> io::Result<Vec<u8>> {
    let count = reader.int32()?;
    for _ in 0..u32::try_from(count).unwrap_or(0) {
        reader.text()?;
    }
    let mut bytes = 4_u32.to_be_bytes().to_vec();
    for number in 1..=4_u32 {
        bytes.extend(number.to_be_bytes());
        bytes.extend(text(&format!("broker-{number}.internal")));
        bytes.extend(9092_u32.to_be_bytes());
        if version > 0 {
            bytes.extend([0xff; 2]);
        }
    }
    if version > 1 {
        bytes.extend(text("fake-cluster"));
    }
    if version > 0 {
        bytes.extend(1_u32.to_be_bytes());
    }
    bytes.extend([0; 4]);
    Ok(bytes)
}

fn text(text: &str) -> Vec<u8> {
    [&u16::try_from(text.len()).expect("short").to_be_bytes()[..], text.as_bytes()].concat()
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> io::Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or_else(|| unknown("too short"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn int16(&mut self) -> io::Result<u16> {
        self.take(2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn int32(&mut self) -> io::Result<i32> {
        self.take(4).map(|bytes| i32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    fn text(&mut self) -> io::Result<String> {
        let length = self.int16()?;
        let bytes = self.take(if length == u16::MAX { 0 } else { length.into() })?;
        String::from_utf8(bytes.to_vec()).map_err(|_| unknown("no text"))
    }
}
