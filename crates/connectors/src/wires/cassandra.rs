//! Cassandra and ScyllaDB: CQL's binary protocol, version 4
//! (<https://github.com/apache/cassandra/blob/trunk/doc/native_protocol_v4.spec>), which every server since Cassandra 2.2 speaks.
//!
//! A server may be set up to let in whoever has the wrong password as nobody, so a wrong one is tried.

use dataflow_model::{StepName, TestError};
use zeroize::Zeroizing;

use super::{
    link::{LARGEST, Link, Protocol},
    talk::Talk,
};
use crate::{Target, causes, http::Proof};

static PROTOCOL: Protocol = Protocol {
    name: "cassandra",
    product: "Cassandra",
    // OPTIONS, which is answered to everybody.
    question: b"\x04\0\0\0\x05\0\0\0\0",
    // An answer of version 1 to 6, to what was asked as stream 0: ERROR, READY, AUTHENTICATE or SUPPORTED.
    is_its: |first| matches!(first, [0x81..=0x86, 0..=0x0f, 0, 0, 0 | 2 | 3 | 6, ..] | [0x81 | 0x82, 0, 0, 0 | 2 | 3 | 6, ..]),
    tls_start: None,
    goodbye: b"",
};

const REQUEST: u8 = 4;
const RESPONSE: u8 = 0x84;
const ERROR: u8 = 0x00;
const STARTUP: u8 = 0x01;
const READY: u8 = 0x02;
const AUTHENTICATE: u8 = 0x03;
const OPTIONS: u8 = 0x05;
const SUPPORTED: u8 = 0x06;
const QUERY: u8 = 0x07;
const RESULT: u8 = 0x08;
const AUTH_CHALLENGE: u8 = 0x0e;
const AUTH_RESPONSE: u8 = 0x0f;
const AUTH_SUCCESS: u8 = 0x10;
/// Of the byte of flags: what the server warns of comes before the body.
const HAS_WARNINGS: u8 = 0x08;
/// Consistency `ONE`, and no flags.
const AT_ONE: [u8; 3] = [0, 1, 0];
const ROWS: u32 = 2;
const SET_KEYSPACE: u32 = 3;

const NO_PASSWORD_ASKED: &str = "The server asks for no password";

#[derive(Debug, Default)]
pub(crate) struct Cassandra {
    is_scylla: bool,
    cluster: Option<String>,
}

impl Talk for Cassandra {
    const PROTOCOL: &'static Protocol = &PROTOCOL;

    fn port(target: &Target) -> u16 {
        target.port(9042)
    }

    fn takes_anybody(_target: &Target) -> bool {
        true
    }

    fn check(target: &Target) -> Result<(), TestError> {
        super::require_username(target)
    }

    async fn sign_in(&mut self, wire: &mut Link<'_>) -> Result<Proof, TestError> {
        let (username, password) = (wire.username(), wire.password());
        wire.require_one_line(&[("username", username), ("password", password)])?;
        let options = ask(wire, OPTIONS, &[]).await?.expect(wire, SUPPORTED)?;
        self.is_scylla = names(&options).ok_or_else(|| wire.foreign())?.iter().any(|name| name.starts_with("SCYLLA_"));
        let mut startup = vec![0, 1];
        word(&mut startup, "CQL_VERSION");
        word(&mut startup, "3.0.0");
        let answer = ask(wire, STARTUP, &startup).await?;
        match answer.kind {
            READY if password.is_empty() => return Ok(Proof::Nothing(NO_PASSWORD_ASKED)),
            READY => return Ok(Proof::Unchecked(NO_PASSWORD_ASKED)),
            AUTHENTICATE if username.is_empty() => return Err(causes::sign_in_missing()),
            AUTHENTICATE if password.is_empty() => return Err(causes::password_missing(username)),
            AUTHENTICATE => {}
            _ => return Err(wire.foreign()),
        }
        // SASL's PLAIN (RFC 4616).
        let mut response = Zeroizing::new(Vec::with_capacity(username.len() + password.len() + 6));
        let length = u32::try_from(username.len() + password.len() + 2).unwrap_or(u32::MAX);
        response.extend_from_slice(&length.to_be_bytes());
        for part in [username, password] {
            response.push(0);
            response.extend_from_slice(part.as_bytes());
        }
        match ask(wire, AUTH_RESPONSE, &response).await?.kind {
            AUTH_SUCCESS => Ok(Proof::Checked),
            // By what it calls its authenticator.
            AUTH_CHALLENGE => {
                let asked = string(&answer.body).map(|(name, _)| wire.clean(&name)).unwrap_or_default();
                Err(causes::authentication_unsupported(&format!("“{asked}”")))
            }
            _ => Err(wire.foreign()),
        }
    }

    async fn open(&mut self, wire: &mut Link<'_>) -> Result<Option<String>, TestError> {
        let keyspace = wire.target.text("database");
        if keyspace.is_empty() {
            return Ok(None);
        }
        // In quotes it is as it is written, upper and lower case.
        let result = query(wire, &format!("USE \"{}\"", keyspace.replace('"', "\"\""))).await?;
        match result.split_first_chunk::<4>() {
            Some((kind, _)) if u32::from_be_bytes(*kind) == SET_KEYSPACE => Ok(Some(keyspace.to_owned())),
            _ => Err(wire.foreign()),
        }
    }

    async fn read(&mut self, wire: &mut Link<'_>) -> Result<Option<String>, TestError> {
        let result = query(wire, "SELECT release_version, cluster_name FROM system.local").await?;
        let row = first_row(&result).ok_or_else(|| wire.foreign())?;
        let [version, cluster] = row.as_slice() else { return Err(wire.foreign()) };
        self.cluster = Some(cluster.clone()).filter(|name| !name.is_empty()).map(|name| format!("cluster {name}"));
        if !self.is_scylla {
            return Ok(Some(format!("Cassandra {version}")));
        }
        // As release it tells which Cassandra it is like. Who may not ask for its own has read all the same.
        let own = match query(wire, "SELECT version FROM system.versions WHERE key = 'local'").await {
            Ok(result) => first_row(&result).and_then(|row| row.into_iter().next()).unwrap_or_default(),
            Err(_) => String::new(),
        };
        Ok(Some(format!("ScyllaDB {own}").trim_end().to_owned()))
    }

    fn found(&self) -> Option<String> {
        self.cluster.clone()
    }
}

/// What a request is answered, if it is no refusal.
#[derive(Debug)]
struct Answer {
    kind: u8,
    body: Vec<u8>,
}

impl Answer {
    fn expect(self, wire: &Link<'_>, kind: u8) -> Result<Vec<u8>, TestError> {
        if self.kind == kind { Ok(self.body) } else { Err(wire.foreign()) }
    }
}

async fn query(wire: &mut Link<'_>, text: &str) -> Result<Vec<u8>, TestError> {
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes();
    ask(wire, QUERY, &[&length[..], text.as_bytes(), &AT_ONE].concat()).await?.expect(wire, RESULT)
}

async fn ask(wire: &mut Link<'_>, kind: u8, body: &[u8]) -> Result<Answer, TestError> {
    let mut frame = Zeroizing::new(Vec::with_capacity(9 + body.len()));
    frame.extend_from_slice(&[REQUEST, 0, 0, 0, kind]);
    frame.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes());
    frame.extend_from_slice(body);
    wire.send(&frame).await?;
    match wire.byte().await? {
        RESPONSE => {}
        // It says so in its own version, whose header is another one.
        0x81..=0x83 => return Err(causes::protocol_too_old(wire.product())),
        _ => return Err(wire.foreign()),
    }
    let head = wire.exact(8).await?;
    let Some([flags, 0, 0, kind, length @ ..]) = head.first_chunk::<8>() else { return Err(wire.foreign()) };
    let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
    if length > LARGEST || flags & !HAS_WARNINGS != 0 {
        return Err(wire.foreign());
    }
    let mut body = wire.exact(length).await?;
    if flags & HAS_WARNINGS != 0 {
        body = after_list(&body).ok_or_else(|| wire.foreign())?.to_vec();
    }
    match *kind {
        ERROR => Err(refusal(&body).map_or_else(|| wire.foreign(), |(code, said)| explain(wire, code, &said))),
        kind => Ok(Answer { kind, body }),
    }
}

/// Codes are those of section 9.
fn explain(wire: &Link<'_>, code: u32, said: &str) -> TestError {
    let (username, keyspace) = (wire.username(), wire.target.text("database"));
    match (code, wire.step) {
        (0x0100, StepName::SignIn) => causes::credentials_refused(username),
        // A protocol that it does not know.
        (0x000a, StepName::SignIn) if said.contains("protocol version") => causes::protocol_too_old(wire.product()),
        (0x1002, _) => causes::server_starting(),
        (0x1001, StepName::SignIn) => causes::not_now(&wire.clean(said)),
        (0x2200, StepName::OpenDatabase) if said.contains("does not exist") => causes::missing("database", "keyspace", keyspace),
        (0x2100, StepName::OpenDatabase) => causes::no_right_or_missing(username, keyspace),
        (0x2100, StepName::Read) => causes::read_refused(&wire.clean(said)),
        _ => causes::server_error(&wire.clean(said)),
    }
}

fn refusal(body: &[u8]) -> Option<(u32, String)> {
    let (code, rest) = body.split_first_chunk::<4>()?;
    Some((u32::from_be_bytes(*code), string(rest)?.0))
}

fn word(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend_from_slice(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
    bytes.extend_from_slice(text.as_bytes());
}

/// `[short]` and what comes after it.
fn short(bytes: &[u8]) -> Option<(usize, &[u8])> {
    bytes.split_first_chunk::<2>().map(|(number, rest)| (usize::from(u16::from_be_bytes(*number)), rest))
}

fn int(bytes: &[u8]) -> Option<(u32, &[u8])> {
    bytes.split_first_chunk::<4>().map(|(number, rest)| (u32::from_be_bytes(*number), rest))
}

/// `[string]` and what comes after it.
fn string(bytes: &[u8]) -> Option<(String, &[u8])> {
    let (length, rest) = short(bytes)?;
    let (text, rest) = rest.split_at_checked(length)?;
    Some((String::from_utf8_lossy(text).into_owned(), rest))
}

/// What comes after a `[string list]`.
fn after_list(body: &[u8]) -> Option<&[u8]> {
    let (count, mut rest) = short(body)?;
    for _ in 0..count {
        rest = string(rest)?.1;
    }
    Some(rest)
}

/// The names in a `[string multimap]`.
fn names(body: &[u8]) -> Option<Vec<String>> {
    let (count, mut rest) = short(body)?;
    let mut names = Vec::new();
    for _ in 0..count {
        let (name, values) = string(rest)?;
        names.push(name);
        rest = after_list(values)?;
    }
    Some(names)
}

/// The first row of a result, all of whose columns are text; a value that is null is empty.
fn first_row(result: &[u8]) -> Option<Vec<String>> {
    const SAME_TABLE: u32 = 1;
    const ASCII: usize = 0x01;
    const VARCHAR: usize = 0x0d;
    let (kind, rest) = int(result)?;
    let (flags, rest) = int(rest)?;
    let (columns, mut rest) = int(rest)?;
    if kind != ROWS || flags & !SAME_TABLE != 0 || columns > 10 {
        return None;
    }
    if flags == SAME_TABLE {
        rest = string(string(rest)?.1)?.1;
    }
    for _ in 0..columns {
        if flags != SAME_TABLE {
            rest = string(string(rest)?.1)?.1;
        }
        let (kind, after) = short(string(rest)?.1)?;
        if !matches!(kind, ASCII | VARCHAR) {
            return None;
        }
        rest = after;
    }
    let (rows, mut rest) = int(rest)?;
    if rows == 0 {
        return None;
    }
    let mut row = Vec::new();
    for _ in 0..columns {
        let (length, after) = int(rest)?;
        // A length below 0 is that of null.
        let length = if length > i32::MAX.unsigned_abs() { 0 } else { usize::try_from(length).ok()? };
        let (value, after) = after.split_at_checked(length)?;
        row.push(String::from_utf8_lossy(value).into_owned());
        rest = after;
    }
    Some(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(global: bool, cells: &[Option<&str>]) -> Vec<u8> {
        let mut bytes = [2, u32::from(global), u32::try_from(cells.len()).expect("few")].map(u32::to_be_bytes).concat();
        let table = |bytes: &mut Vec<u8>| ["system", "local"].iter().for_each(|name| word(bytes, name));
        if global {
            table(&mut bytes);
        }
        for _ in cells {
            if !global {
                table(&mut bytes);
            }
            word(&mut bytes, "name");
            bytes.extend_from_slice(&[0, 0x0d]);
        }
        bytes.extend_from_slice(&[0, 0, 0, 1]);
        for cell in cells {
            match cell {
                None => bytes.extend_from_slice(&[0xff; 4]),
                Some(text) => bytes.extend([&[0, 0, 0, u8::try_from(text.len()).expect("short")], text.as_bytes()].concat()),
            }
        }
        bytes
    }

    #[test]
    fn a_row_is_read_in_each_form_that_it_has() {
        for global in [true, false] {
            let result = rows(global, &[Some("4.1.3"), None]);
            assert_eq!(first_row(&result), Some(vec!["4.1.3".to_owned(), String::new()]));
            for cut in 0..result.len() {
                assert_eq!(first_row(result.get(..cut).expect("shorter")), None, "{cut}");
            }
        }
        assert_eq!(first_row(&[0, 0, 0, 1]), None);
    }

    #[test]
    fn options_are_told_by_their_names() {
        let mut body = vec![0, 2];
        for name in ["CQL_VERSION", "SCYLLA_SHARD"] {
            word(&mut body, name);
            body.extend_from_slice(&[0, 1]);
            word(&mut body, "3.4.5");
        }
        assert_eq!(names(&body), Some(vec!["CQL_VERSION".to_owned(), "SCYLLA_SHARD".to_owned()]));
    }
}
