//! An Oracle Database of which only the door is here: listener, negotiation and sign-in by a verifier of 12c. The protocol is not published; what
//! is taken and answered is what Oracle's own open driver says and reads in its thin mode
//! (<https://github.com/oracle/python-oracledb/tree/main/src/oracledb/impl/thin>), with which the fake was tried. It lets go of whoever strays.

mod crypt;
mod messages;

use std::io;

use self::{
    crypt::Verifier,
    messages::{Reader, Writer, failed},
};
use crate::{
    fake_services::{PASSWORD, USER},
    scripted::{Peer, Scripted},
    tls::Identity,
};

/// The service that the listener knows.
pub const SERVICE: &str = "FREEPDB1";
/// What the server says that it is.
pub const VERSION: &str = "Oracle Database 19.3.0.0.0";

/// Types of packets.
const CONNECT: u8 = 1;
const ACCEPT: u8 = 2;
const REFUSE: u8 = 4;
const REDIRECT: u8 = 5;
const DATA: u8 = 6;
const RESEND: u8 = 11;
const MARKER: u8 = 12;
const HEAD: usize = 8;
/// The version of TNS that is spoken from 12.2 to 21c.
const TNS: u16 = 318;

/// What only some servers do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quirk {
    /// The first time nobody is heard, and TLS has to be set up once more.
    Deaf,
    /// Native encryption is demanded.
    OwnEncryption,
    /// The server proves itself with something else.
    Impostor,
}

/// In what the server is not as others.
#[derive(Debug, Clone, Default)]
pub struct OracleOptions {
    /// TLS, which begins at once.
    pub identity: Option<Identity>,
    /// What the listener says instead of leading to a database.
    pub refuses: Option<u32>,
    /// Where the listener sends everybody.
    pub redirects: Option<(String, u16)>,
    pub quirk: Option<Quirk>,
    /// What is said to whoever has proven the password, as an error.
    pub says: Option<(u32, String)>,
    /// The days that the password still has.
    pub days_left: Option<u32>,
    /// The verifier's type, where it is not that of 12c.
    pub verifier: Option<u32>,
    /// How often the password is hashed, where it is not as often as a real server has it.
    pub rounds: Option<u32>,
    /// Errors break off what is being said, as of a real server.
    pub breaks_off: bool,
    /// Which fields messages have, where it is not as 19c has them.
    pub fields: Option<u8>,
}

/// A listening fake.
#[derive(Debug)]
pub struct FakeOracle(Scripted);

impl FakeOracle {
    /// # Panics
    /// If no port is free.
    pub fn start(options: OracleOptions) -> Self {
        Self(Scripted::start(move |peer| serve(peer, &options)))
    }

    pub fn port(&self) -> u16 {
        self.0.port()
    }

    /// Whether any client has sent this.
    pub fn has_heard(&self, text: &str) -> bool {
        self.0.has_heard(text)
    }
}

fn stray() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

fn serve(peer: &mut Peer, options: &OracleOptions) -> io::Result<()> {
    if let Some(identity) = &options.identity {
        peer.begin_tls(identity)?;
    }
    let mut asked = connected(peer)?;
    if options.quirk == Some(Quirk::Deaf) {
        let flags = if options.identity.is_some() { 0x08 } else { 0 };
        peer.send(&[0, 8, 0, 0, RESEND, flags, 0, 0])?;
        if let Some(identity) = &options.identity {
            peer.begin_tls(identity)?;
        }
        asked = connected(peer)?;
    }
    if let Some((host, port)) = &options.redirects {
        let said = format!("(ADDRESS=(PROTOCOL=tcp)(HOST={host})(PORT={port}))\0{asked}");
        let length = u16::try_from(said.len()).expect("short").to_be_bytes();
        peer.send(&small(REDIRECT, &length))?;
        return peer.send(&small(DATA, &[&[0, 0x40], said.as_bytes()].concat()));
    }
    let is_known = asked.contains(&format!("(SERVICE_NAME={SERVICE})"));
    if let Some(number) = options.refuses.or((!is_known).then_some(12_514)) {
        let said = format!("(DESCRIPTION=(TMP=)(VSNNUM=318767104)(ERR={number})(ERROR_STACK=(ERROR=(CODE={number})(EMFI=4))))");
        let length = u16::try_from(said.len()).expect("short").to_be_bytes();
        return peer.send(&small(REFUSE, &[&[0x22, 0], &length[..], said.as_bytes()].concat()));
    }
    // Version, no options; sizes, order of bytes, no data; flags; then sizes again, and no flags more.
    let own = if options.quirk == Some(Quirk::OwnEncryption) { 0x10 } else { 0x04 };
    let words = [&TNS.to_be_bytes()[..], &[0, 0], &[0x20, 0, 0x7f, 0xff, 1, 0, 0, 0, 0, 0x2d], &[own, own], &[0; 8]];
    let sizes = [&8192_u32.to_be_bytes()[..], &[0; 5], &[0; 4]];
    peer.send(&small(ACCEPT, &[words.concat(), sizes.concat()].concat()))?;
    negotiate(peer, options.fields.unwrap_or(13))?;
    admit(peer, options)
}

/// A packet with two bytes for its length, as they are before both sides agree.
fn small(kind: u8, body: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(HEAD + body.len()).expect("short").to_be_bytes();
    [&[high, low, 0, 0, kind, 0, 0, 0][..], body].concat()
}

/// What a client asks a listener for.
fn connected(peer: &mut Peer) -> io::Result<String> {
    let [high, low, _, _, CONNECT, _, _, _] = peer.receive::<HEAD>()? else { return Err(stray()) };
    let mut body = vec![0; usize::from(u16::from_be_bytes([high, low])).checked_sub(HEAD).ok_or_else(stray)?];
    peer.fill(&mut body)?;
    let word = |place: usize| {
        let bytes = body.get(place..)?.first_chunk::<2>()?;
        Some(u16::from_be_bytes(*bytes))
    };
    let read = || Some((word(0)?, word(2)?, usize::from(word(16)?), usize::from(word(18)?)));
    let (newest, oldest, length, place) = read().ok_or_else(stray)?;
    if newest < TNS || oldest > TNS || body.len() < 50 {
        return Err(stray());
    }
    // As `tnsping` asks, which has a shorter head.
    if place == 58 && body.split_off(50) == b"(CONNECT_DATA=(COMMAND=ping))" {
        let said = b"(DESCRIPTION=(TMP=)(VSNNUM=318767104)(ERR=0)(ALIAS=LISTENER))";
        let length = u16::try_from(said.len()).expect("short").to_be_bytes();
        peer.send(&small(REFUSE, &[&[0, 0], &length[..], said].concat()))?;
        return Err(stray());
    }
    if place != 74 || body.len() < 66 {
        return Err(stray());
    }
    let asked = if length > 230 {
        let [high, low, 0, 0, DATA, _, _, _] = peer.receive::<HEAD>()? else { return Err(stray()) };
        let mut more = vec![0; usize::from(u16::from_be_bytes([high, low])).checked_sub(HEAD).ok_or_else(stray)?];
        peer.fill(&mut more)?;
        more.split_off(2)
    } else {
        body.split_off(66)
    };
    if asked.len() != length || !asked.starts_with(b"(DESCRIPTION=") {
        return Err(stray());
    }
    String::from_utf8(asked).map_err(|_| stray())
}

/// A packet of data with four bytes for its length: a message in it.
fn receive(peer: &mut Peer) -> io::Result<Vec<u8>> {
    let [a, b, c, d, DATA, _, _, _] = peer.receive::<HEAD>()? else { return Err(stray()) };
    let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).map_err(|_| stray())?;
    let mut body = vec![0; length.checked_sub(HEAD).filter(|length| (2..=8192).contains(length)).ok_or_else(stray)?];
    peer.fill(&mut body)?;
    Ok(body.split_off(2))
}

fn large(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(HEAD + body.len()).expect("short").to_be_bytes();
    [&length[..], &[kind, 0, 0, 0], body].concat()
}

/// In two packets, as long answers are.
fn send(peer: &mut Peer, message: &[u8]) -> io::Result<()> {
    let (first, second) = message.split_at(message.len() / 2);
    for part in [first, second].into_iter().filter(|part| !part.is_empty()) {
        peer.send(&large(DATA, &[&[0, 0], part].concat()))?;
    }
    Ok(())
}

fn negotiate(peer: &mut Peer, fields: u8) -> io::Result<()> {
    let asked = receive(peer)?;
    // From version 6 on, and a name.
    if !asked.starts_with(&[1, 6, 0]) || asked.last() != Some(&0) {
        return Err(stray());
    }
    let mut answer = Writer(b"\x01\x06\0x86_64/Linux 2.4.xx\0".to_vec());
    answer.0.extend(873_u16.to_le_bytes());
    answer.0.extend([1, 1, 0, 7, 7, 7, 7, 7]);
    // Where the national character set stands: after 6 bytes and what two of them say.
    answer.0.extend([0, 13, 0, 0, 0, 0, 0, 1, 1, 0, 0, 3, 0, 0x07, 0xd0]);
    let mut abilities = vec![1; 42];
    abilities[7] = fields;
    answer.counted(&abilities);
    answer.counted(&[2, 0, 0, 0, 0, 0, 0x04, 0, 0, 0, 0]);
    send(peer, &answer.0)?;

    let asked = receive(peer)?;
    let mut rest = Reader(&asked);
    let mut read = || {
        if rest.take(6)? != [2, 0x69, 0x03, 0x69, 0x03, 3] {
            return None;
        }
        let (abilities, at_run_time) = (rest.counted()?, rest.counted()?);
        let mut count = 0;
        while let [high, low] = *rest.take(2)? {
            if (high, low) == (0, 0) {
                break;
            }
            rest.take(6).filter(|rest| rest.ends_with(&[0, 0]))?;
            count += 1;
        }
        // The sign-in by a verifier of 12c is among what it can do.
        let is_sound = abilities.get(4)? & 0x20 != 0 && *abilities.get(7)? >= fields.min(13) && !at_run_time.is_empty();
        (is_sound && count > 200 && rest.0.is_empty()).then_some(())
    };
    read().ok_or_else(stray)?;
    // Two of its types, one as it is and one that is not known.
    send(peer, &[2, 0, 1, 0, 1, 0, 1, 0, 0, 0, 99, 0, 0, 0, 0])
}

/// Says an error; where a server does so, what is being said is broken off first.
fn fail(peer: &mut Peer, options: &OracleOptions, number: u32, words: &str) -> io::Result<()> {
    if options.breaks_off {
        peer.send(&large(MARKER, &[1, 0, 1]))?;
        let [0, 0, 0, 11, MARKER, _, _, _, 1, 0, 2] = peer.receive::<11>()? else { return Err(stray()) };
        peer.send(&large(MARKER, &[1, 0, 2]))?;
    }
    send(peer, &failed(number, words))
}

fn admit(peer: &mut Peer, options: &OracleOptions) -> io::Result<()> {
    let asked = receive(peer)?;
    let (user, _) = messages::sign_in(&asked, 118, 0x1).ok_or_else(stray)?;
    let verifier = Verifier::of(PASSWORD, options.rounds.unwrap_or(4_096));
    let mut answer = Writer(vec![8]);
    let pairs = [
        ("AUTH_SESSKEY", verifier.sealed_half(), 0),
        ("AUTH_VFR_DATA", verifier.salt(), options.verifier.unwrap_or(0x4815)),
        ("AUTH_PBKDF2_CSK_SALT", verifier.key_salt(), 0),
        ("AUTH_PBKDF2_VGEN_COUNT", verifier.rounds().to_string(), 0),
        ("AUTH_PBKDF2_SDER_COUNT", "3".to_owned(), 0),
        ("AUTH_GLOBALLY_UNIQUE_DBID\0", "9A".repeat(16), 0),
    ];
    answer.pairs(&pairs);
    answer.0.extend([9, 1, 1, 1, 2]);
    send(peer, &answer.0)?;

    let asked = receive(peer)?;
    let (again, said) = messages::sign_in(&asked, 115, 0x101).ok_or_else(stray)?;
    let said = |name: &str| said.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let proven = said("AUTH_SESSKEY").and_then(|half| {
        let key = verifier.key(half)?;
        let password = said("AUTH_PASSWORD")?;
        let speedy = said("AUTH_PBKDF2_SPEEDY_KEY")?;
        (verifier.is_password(&key, password) && verifier.is_speedy(&key, speedy)).then_some(key)
    });
    let Some(key) = proven.filter(|_| user.eq_ignore_ascii_case(USER) && user == again) else {
        return fail(peer, options, 1017, "ORA-01017: invalid username/password; logon denied\n");
    };
    if let Some((number, words)) = &options.says {
        return fail(peer, options, *number, words);
    }
    let proof = crypt::proof(&key, options.quirk == Some(Quirk::Impostor));
    let mut answer = Writer(vec![8]);
    answer.pairs(&[
        ("AUTH_VERSION_STRING", "- Production".to_owned(), 0),
        ("AUTH_VERSION_NO", 0x1303_0000.to_string(), 0),
        ("AUTH_SESSION_ID", "42".to_owned(), 0),
        ("AUTH_SERIAL_NUM", "7".to_owned(), 0),
        ("AUTH_SC_SERVICE_NAME", SERVICE.to_lowercase(), 0),
        ("AUTH_SVR_RESPONSE", proof, 0),
    ]);
    if let Some(days) = options.days_left {
        answer.0.push(15);
        let words = format!("ORA-28002: the password will expire within {days} days");
        answer.number(28_002);
        answer.number(u32::try_from(words.len()).expect("short"));
        answer.number(0);
        answer.counted(words.as_bytes());
    }
    // What has changed of the session comes along.
    answer.0.extend([23, 5, 0, 0, 1, 1, 0, 1, 5]);
    answer.counted(b"HR\0\0\0");
    answer.0.extend([0, 1, 0xa8, 0]);
    answer.0.extend([9, 1, 1, 1, 3]);
    send(peer, &answer.0)?;
    loop {
        let asked = receive(peer)?;
        match asked.as_slice() {
            // A ping, and the end.
            [3, 147, _, ..] => send(peer, &[9, 1, 1, 1, 4])?,
            [3, 9, _, ..] => send(peer, &[9, 1, 1, 1, 5])?,
            [] => return Ok(()),
            _ => return Err(stray()),
        }
    }
}
