//! TNS: packets, and what listener and client say to find the database.

use dataflow_model::TestError;

use super::{
    super::link::{LARGEST, Link},
    bytes::{Bytes, Unread},
};
use crate::causes;

/// Asks a listener whether it is there, as `tnsping` does. It answers with a refusal that names no error.
pub(super) const QUESTION: &[u8] =
    b"\0\x57\0\0\x01\0\0\0\x01\x3e\x01\x2c\0\0\x08\0\x7f\xff\x7f\x08\0\0\0\x01\0\x1d\0\x3a\0\0\0\0\0\0\0\0\
    \0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0(CONNECT_DATA=(COMMAND=ping))";

/// The newest version that is spoken here: from 319 on an answer has an end of its own.
const VERSION: u16 = 318;
/// The oldest that is taken: 12.1.
const OLDEST: u16 = 315;
/// What both sides take of a packet, and how much of a message goes in one.
const SESSION_DATA: u16 = 8192;
const PART: usize = 8000;
/// Longest descriptor that goes along with the packet that asks.
const LONGEST_ALONG: usize = 230;
const HEAD: usize = 8;
/// Flags of packets: this asks on behalf of a listener that named us; and TLS is to be set up once more.
const REDIRECTED: u8 = 0x04;
pub(super) const TLS_AGAIN: u8 = 0x08;
/// Of an acceptance: the server demands encryption of its own.
const OWN_ENCRYPTION: u8 = 0x10;
const MARKER_RESET: u8 = 2;
/// Most packets of one answer.
const MOST: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Accept,
    Refuse,
    Redirect,
    Data,
    Resend,
    Marker,
    Control,
}

#[derive(Debug)]
pub(super) struct Packet {
    pub(super) kind: Kind,
    pub(super) flags: u8,
    pub(super) body: Vec<u8>,
}

/// What both sides have agreed on.
#[derive(Debug, Default)]
pub(super) struct Session {
    /// Lengths of packets have four bytes.
    is_large: bool,
    sequence: u8,
    /// Which fields messages have, as the older of both has them.
    pub(super) fields: u8,
}

impl Session {
    /// Of the next call.
    pub(super) fn next(&mut self) -> u8 {
        self.sequence = self.sequence.checked_add(1).unwrap_or(1);
        self.sequence
    }

    /// `19.3.0.0.0` of a number. From 18 on the second part has eight bits and the fourth, too.
    pub(super) fn version(&self, number: u32) -> String {
        let part = |shift: u32, mask: u32| number >> shift & mask;
        let parts = if self.fields >= 11 {
            [part(24, 0xff), part(16, 0xff), part(12, 0xf), part(4, 0xff), part(0, 0xf)]
        } else {
            [part(24, 0xff), part(20, 0xf), part(12, 0xf), part(8, 0xf), part(0, 0xf)]
        };
        parts.map(|part| part.to_string()).join(".")
    }

    pub(super) fn accepted(&mut self, wire: &Link<'_>, body: &[u8]) -> Result<(), TestError> {
        let mut rest = Bytes(body);
        let mut read = || {
            let version = rest.u16()?;
            // Options, and what is of no use.
            rest.take(12)?;
            Ok((version, rest.byte()?))
        };
        let (version, flags) = read().map_err(|_: Unread| wire.foreign())?;
        if version < OLDEST {
            return Err(causes::protocol_too_old("Oracle (12.1)"));
        }
        if version > VERSION {
            return Err(wire.foreign());
        }
        if flags & OWN_ENCRYPTION != 0 {
            return Err(causes::oracle_encryption_demanded());
        }
        self.is_large = true;
        Ok(())
    }

    pub(super) async fn packet(&self, wire: &mut Link<'_>) -> Result<Packet, TestError> {
        let head = wire.exact(HEAD).await?;
        let [a, b, c, d, kind, flags, _, _] = *head.as_slice() else { return Err(wire.foreign()) };
        // Without four bytes for the length, two are for a checksum that nobody makes.
        let length = if self.is_large { u32::from_be_bytes([a, b, c, d]) } else { u32::from_be_bytes([c, d, a, b]) };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let kind = match kind {
            2 => Kind::Accept,
            4 => Kind::Refuse,
            5 => Kind::Redirect,
            6 => Kind::Data,
            11 => Kind::Resend,
            12 => Kind::Marker,
            14 => Kind::Control,
            _ => return Err(wire.foreign()),
        };
        if !(HEAD..=LARGEST).contains(&length) {
            return Err(wire.foreign());
        }
        Ok(Packet { kind, flags, body: wire.exact(length - HEAD).await? })
    }

    pub(super) async fn say(&self, wire: &mut Link<'_>, message: &[u8]) -> Result<(), TestError> {
        for part in message.chunks(PART).map(|part| [&[0, 0], part].concat()) {
            wire.send(&self.framed(6, &part)).await?;
        }
        Ok(())
    }

    fn framed(&self, kind: u8, body: &[u8]) -> zeroize::Zeroizing<Vec<u8>> {
        let length = u32::try_from(HEAD + body.len()).unwrap_or_default();
        let [a, b, c, d] = length.to_be_bytes();
        let length = if self.is_large { [a, b, c, d] } else { [c, d, 0, 0] };
        zeroize::Zeroizing::new([&length[..], &[kind, 0, 0, 0], body].concat())
    }

    /// The answer, which `read` finds complete.
    pub(super) async fn hear<T>(&self, wire: &mut Link<'_>, read: impl Fn(&[u8]) -> Result<T, Unread>) -> Result<T, TestError> {
        let (mut message, mut is_reset) = (Vec::new(), false);
        for _ in 0..MOST {
            let packet = self.packet(wire).await?;
            match (packet.kind, packet.body.as_slice()) {
                (Kind::Data, [_, _, rest @ ..]) if message.len() + rest.len() <= LARGEST => message.extend_from_slice(rest),
                // What was being said is broken off, and an error comes in its place once we have said that we know.
                (Kind::Marker, _) if !is_reset => {
                    message.clear();
                    wire.send(&self.framed(12, &[1, 0, MARKER_RESET])).await?;
                    is_reset = true;
                    continue;
                }
                (Kind::Marker | Kind::Control, _) => continue,
                _ => return Err(wire.foreign()),
            }
            match read(&message) {
                Ok(read) => return Ok(read),
                Err(Unread::Short) => {}
                Err(Unread::Bent) => return Err(wire.foreign()),
            }
        }
        Err(wire.foreign())
    }
}

/// Asks for a database.
pub(super) async fn connect(wire: &mut Link<'_>, descriptor: &str, is_redirected: bool) -> Result<(), TestError> {
    let length = u16::try_from(descriptor.len()).map_err(|_| causes::unspeakable_in("database", wire.product()))?;
    let mut body = Vec::new();
    // Versions; options that are all the same to us; sizes; characteristics of the network; turn-around; the order of bytes.
    for word in [VERSION, 300, 1, SESSION_DATA, SESSION_DATA, 0x4f98, 0, 1, length, 74] {
        body.extend_from_slice(&word.to_be_bytes());
    }
    // Most that is taken of an answer, and twice that no encryption of Oracle's own is done here.
    body.extend_from_slice(&[0, 0, 0, 0, 0x84, 0x84]);
    body.extend_from_slice(&[0; 24]);
    for size in [u32::from(SESSION_DATA), u32::from(SESSION_DATA), 0, 0] {
        body.extend_from_slice(&size.to_be_bytes());
    }
    let is_along = descriptor.len() <= LONGEST_ALONG;
    if is_along {
        body.extend_from_slice(descriptor.as_bytes());
    }
    let [high, low] = u16::try_from(HEAD + body.len()).unwrap_or_default().to_be_bytes();
    let flags = if is_redirected { REDIRECTED } else { 0 };
    let mut bytes = [&[high, low, 0, 0, 1, flags, 0, 0][..], &body].concat();
    if !is_along {
        bytes.extend_from_slice(&Session::default().framed(6, &[&[0, 0], descriptor.as_bytes()].concat()));
    }
    wire.send(&bytes).await
}

/// Where a listener sends us, and what is to be asked for there.
pub(super) struct Place {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) descriptor: String,
}

pub(super) async fn redirected(session: &Session, wire: &mut Link<'_>, body: &[u8]) -> Result<Place, TestError> {
    let length = usize::from(Bytes(body).u16().map_err(|_| wire.foreign())?);
    let mut said = body.get(2..).unwrap_or_default().to_vec();
    if said.len() < length {
        let more = session.packet(wire).await?;
        said.extend_from_slice(more.body.get(2..).filter(|_| more.kind == Kind::Data).unwrap_or_default());
    }
    let said = said.get(..length).map(|said| String::from_utf8_lossy(said).into_owned()).ok_or_else(|| wire.foreign())?;
    place(&said).ok_or_else(|| wire.foreign())
}

/// Longest name of a host, and longest descriptor that a listener sends on with.
const LONGEST_HOST: usize = 253;
const LONGEST_DESCRIPTOR: usize = 4 * 1024;

fn place(said: &str) -> Option<Place> {
    let (address, descriptor) = said.split_once('\0')?;
    let host = value(address, "HOST")?;
    let is_host = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':'));
    let port = value(address, "PORT")?.parse().ok()?;
    // What is asked there goes out as it stands: nothing that another kind of server could take for a line of its own.
    let is_descriptor = descriptor.starts_with('(')
        && descriptor.len() <= LONGEST_DESCRIPTOR
        && descriptor.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    let is_host = is_host && (1..=LONGEST_HOST).contains(&host.len());
    (is_host && is_descriptor).then(|| Place { host: host.to_owned(), port, descriptor: descriptor.to_owned() })
}

/// What stands at `name` in a descriptor: `(HOST = db)`.
pub(super) fn value<'a>(descriptor: &'a str, name: &str) -> Option<&'a str> {
    descriptor.split('(').find_map(|part| {
        let (key, value) = part.split_once('=')?;
        let value = value.split_once(')')?.0;
        key.trim().eq_ignore_ascii_case(name).then_some(value.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_chooses_no_bytes_that_another_server_understands() {
        let address = "(ADDRESS=(PROTOCOL=tcp)(HOST=10.0.0.5)(PORT=11211))";
        let long = format!("({})", "a".repeat(LONGEST_DESCRIPTOR));
        let far = format!("(ADDRESS=(HOST={})(PORT=1))\0(A=b)", "a".repeat(LONGEST_HOST + 1));
        for (said, is_taken) in [
            (format!("{address}\0(DESCRIPTION=(CONNECT_DATA=(SERVICE_NAME=db)))"), true),
            (format!("{address}\0\r\nflush_all\r\n"), false),
            (format!("{address}\0(A=b)\nset x"), false),
            (format!("{address}\0GET / HTTP/1.1"), false),
            (format!("{address}\0{long}"), false),
            (far, false),
        ] {
            assert_eq!(place(&said).is_some(), is_taken, "{said}");
        }
    }

    #[test]
    fn a_question_has_the_length_that_it_says() {
        assert_eq!(usize::from(Bytes(QUESTION).u16().expect("a length")), QUESTION.len());
    }

    #[test]
    fn a_descriptor_is_read() {
        let said = "(DESCRIPTION=(TMP=)(VSNNUM=318767104)(ERR=12514)(ERROR_STACK=(ERROR=(CODE=12514)(EMFI=4))))";
        assert_eq!(value(said, "err"), Some("12514"));
        assert_eq!(value(said, "CODE"), Some("12514"));
        assert_eq!(value(said, "HOST"), None);
        let place = place("(ADDRESS=(PROTOCOL=TCP)(HOST=10.0.0.9)(PORT=1522))\0(DESCRIPTION=)").expect("sound");
        assert_eq!((place.host.as_str(), place.port, place.descriptor.as_str()), ("10.0.0.9", 1522, "(DESCRIPTION=)"));
    }

    #[test]
    fn a_version_is_read_as_its_server_writes_it() {
        let version = |fields: u8, number: u32| Session { fields, ..Session::default() }.version(number);
        assert_eq!(version(13, 0x1303_0000), "19.3.0.0.0");
        assert_eq!(version(13, 0x171a_0010), "23.26.0.1.0");
        assert_eq!(version(8, 0x0c20_0100), "12.2.0.1.0");
    }
}
