//! Packets, and the messages in them that are no tokens: PRELOGIN, LOGIN7 and a batch of SQL.

use dataflow_model::TestError;
use zeroize::Zeroizing;

use super::super::link::{LARGEST, Link};

/// Types of packets (2.2.3.1.1).
pub(super) const BATCH: u8 = 0x01;
pub(super) const RESULT: u8 = 0x04;
pub(super) const LOGIN: u8 = 0x10;
pub(super) const PRELOGIN: u8 = 0x12;
/// Status of the last packet of a message (2.2.3.1.2).
pub(super) const LAST: u8 = 0x01;
/// Length of a packet's head.
pub(super) const HEAD: usize = 8;
/// What a packet may be long before anything else is agreed on (2.2.3.1.3), head included.
pub(super) const PACKET: usize = 4096;

/// PRELOGIN from a client that has no TLS: what it is answered with tells whether SQL Server is there.
pub(super) const QUESTION: &[u8] = b"\x12\x01\0\x1a\0\0\x01\0\
    \0\0\x0b\0\x06\x01\0\x11\0\x01\xff\0\0\0\0\0\0\x02";

/// What an end can or will have of TLS (2.2.6.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encryption {
    /// For the sign-in alone.
    Off,
    On,
    NotSupported,
    Required,
}

impl Encryption {
    fn byte(self) -> u8 {
        match self {
            Self::Off => 0,
            Self::On => 1,
            Self::NotSupported => 2,
            Self::Required => 3,
        }
    }
}

/// PRELOGIN: a version, and what the client says of TLS. Of the options that may be left out none is said.
pub(super) fn prelogin(encryption: Encryption) -> Vec<u8> {
    // Kind, place and length of each option, and 0xff for their end.
    let mut bytes = vec![0, 0, 11, 0, 6, 1, 0, 17, 0, 1, 0xff];
    bytes.extend_from_slice(&[0; 6]);
    bytes.push(encryption.byte());
    bytes
}

/// What the server says to PRELOGIN.
#[derive(Debug)]
pub(super) struct Greeting {
    pub(super) major: u8,
    pub(super) encryption: Encryption,
}

pub(super) fn greeting(bytes: &[u8]) -> Option<Greeting> {
    let (mut options, mut major, mut encryption) = (bytes, None, None);
    loop {
        let kind = *options.split_off_first()?;
        if kind == 0xff {
            return Some(Greeting { major: major?, encryption: encryption? });
        }
        let [place_high, place_low, length_high, length_low] = *options.split_off(..4)?.first_chunk()?;
        let place = usize::from(u16::from_be_bytes([place_high, place_low]));
        let length = usize::from(u16::from_be_bytes([length_high, length_low]));
        let value = bytes.get(place..)?.get(..length)?;
        match (kind, value) {
            (0, [first, _, _, _, _, _]) => major = Some(*first),
            (1, [0]) => encryption = Some(Encryption::Off),
            (1, [1]) => encryption = Some(Encryption::On),
            (1, [2]) => encryption = Some(Encryption::NotSupported),
            (1, [3]) => encryption = Some(Encryption::Required),
            (0 | 1, _) => return None,
            _ => {}
        }
    }
}

/// LOGIN7 (2.2.6.4).
pub(super) struct Login<'a> {
    /// By TDS 8.
    pub(super) is_strict: bool,
    pub(super) username: &'a str,
    pub(super) password: &'a str,
    pub(super) server: &'a str,
    pub(super) database: &'a str,
}

impl Login<'_> {
    /// `None` if a text is too long for the form.
    pub(super) fn bytes(&self) -> Option<Zeroizing<Vec<u8>>> {
        /// What comes before the texts.
        const FIXED: usize = 94;
        let version: u32 = if self.is_strict { 0x0800_0000 } else { 0x7400_0004 };
        let library = "dataflow";
        let password = hidden(self.password);
        let (mut places, mut texts) = (Vec::new(), Zeroizing::new(Vec::new()));
        let mut text = |bytes: &[u8]| {
            places.extend_from_slice(&u16::try_from(FIXED + texts.len()).ok()?.to_le_bytes());
            places.extend_from_slice(&u16::try_from(bytes.len() / 2).ok()?.to_le_bytes());
            texts.extend_from_slice(bytes);
            Some(())
        };
        // Whose machine asks is nobody's business.
        text(b"")?;
        text(&utf_16(self.username))?;
        text(&password)?;
        text(&utf_16(library))?;
        text(&utf_16(self.server))?;
        // No extension.
        text(b"")?;
        text(&utf_16(library))?;
        // The language that the login has.
        text(b"")?;
        text(&utf_16(self.database))?;
        let end = u16::try_from(FIXED + texts.len()).ok()?.to_le_bytes();
        let mut bytes = Zeroizing::new(Vec::new());
        bytes.extend_from_slice(&u32::try_from(FIXED + texts.len()).ok()?.to_le_bytes());
        bytes.extend_from_slice(&version.to_le_bytes());
        bytes.extend_from_slice(&u32::try_from(PACKET).ok()?.to_le_bytes());
        // Version of the program, its process, and the connection that it goes on with.
        bytes.extend_from_slice(&[0; 12]);
        // The database must open (INIT_DB_FATAL), and so must the language; settings as ODBC has them; plain SQL.
        bytes.extend_from_slice(&[0xe0, 0x03, 0, 0]);
        // Time zone and locale.
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(&places);
        // The client's hardware address, then no SSPI, no file to attach, no new password.
        bytes.extend_from_slice(&[0; 6]);
        for _ in 0..3 {
            bytes.extend_from_slice(&end);
            bytes.extend_from_slice(&[0; 2]);
        }
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&texts);
        (bytes.len() == FIXED + texts.len()).then_some(bytes)
    }
}

/// The password as LOGIN7 has it: the halves of each byte swapped, and then an exclusive or with 0xA5. Who hears it reads it.
fn hidden(password: &str) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(utf_16(password));
    for byte in bytes.iter_mut() {
        *byte = byte.rotate_left(4) ^ 0xa5;
    }
    bytes
}

fn utf_16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// SQL, outside of any transaction (2.2.6.7).
pub(super) fn batch(sql: &str) -> Vec<u8> {
    let mut bytes = vec![22, 0, 0, 0, 18, 0, 0, 0, 2, 0];
    bytes.extend_from_slice(&[0; 8]);
    bytes.extend_from_slice(&[1, 0, 0, 0]);
    bytes.extend_from_slice(&utf_16(sql));
    bytes
}

/// The packets of a message.
pub(super) fn packets(kind: u8, message: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(message.len() + HEAD));
    let parts = message.chunks(PACKET - HEAD);
    let count = parts.len();
    for (number, part) in (1_u8..=u8::MAX).cycle().zip(parts) {
        let is_last = bytes.len() + HEAD + part.len() == message.len() + count * HEAD;
        let [high, low] = u16::try_from(HEAD + part.len()).unwrap_or_default().to_be_bytes();
        bytes.extend_from_slice(&[kind, if is_last { LAST } else { 0 }, high, low, 0, 0, number, 0]);
        bytes.extend_from_slice(part);
    }
    bytes
}

pub(super) async fn say(wire: &mut Link<'_>, kind: u8, message: &[u8]) -> Result<(), TestError> {
    wire.send(&packets(kind, message)).await
}

/// The next message of the server, of all its packets.
pub(super) async fn message(wire: &mut Link<'_>) -> Result<Vec<u8>, TestError> {
    let mut message = Vec::new();
    loop {
        let head = wire.exact(HEAD).await?;
        let [RESULT, status, high, low, ..] = *head.as_slice() else { return Err(wire.foreign()) };
        let length = usize::from(u16::from_be_bytes([high, low]));
        // An empty packet that is not the last would go on for ever.
        if length <= HEAD || message.len() + length > LARGEST {
            return Err(wire.foreign());
        }
        message.extend(wire.exact(length - HEAD).await?);
        if status & LAST != 0 {
            return Ok(message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greeting_is_read_from_where_it_says() {
        // As section 4.2 has it, but for the key of its instance.
        let answer = b"\0\0\x1a\0\x06\x01\0\x20\0\x01\x02\0\x21\0\x01\x03\0\x22\0\0\x04\0\x22\0\x01\xff\x09\0\0\0\0\0\x01\0\0";
        let read = greeting(answer).expect("sound");
        assert_eq!((read.major, read.encryption), (9, Encryption::On));
        for end in 0..answer.len() - 2 {
            assert!(greeting(&answer[..end]).is_none(), "{end}");
        }
        assert_eq!(packets(PRELOGIN, &prelogin(Encryption::NotSupported)).as_slice(), QUESTION);
    }

    #[test]
    fn a_password_is_hidden_as_the_protocol_has_it() {
        assert_eq!(hidden("a").as_slice(), [0xb3, 0xa5]);
    }

    #[test]
    fn a_long_message_goes_in_several_packets() {
        let sent = packets(BATCH, &[7; 9000]);
        assert_eq!(sent.get(..8), Some(&[1, 0, 0x10, 0, 0, 0, 1, 0][..]));
        assert_eq!(sent.get(4096..4104), Some(&[1, 0, 0x10, 0, 0, 0, 2, 0][..]));
        assert_eq!(sent.get(8192..8200), Some(&[1, 1, 0x03, 0x40, 0, 0, 3, 0][..]));
        assert_eq!(sent.len(), 9024);
    }
}
