//! LDAP 3 (RFC 4511): a simple bind, the base object, and what the server says of itself (RFC 4512, section 5.1).
//!
//! A bind with a name and an empty password is none at all, and many servers say yes to it (RFC 4513, section 5.1.2): it is never sent.

use dataflow_model::{StepName, TestError};
use zeroize::Zeroizing;

use super::{
    TLS_START,
    ber::{Reader, integer, sequence, wrapped},
    link::{LARGEST, Link, Protocol},
    talk::Talk,
};
use crate::{Target, causes, http::Proof};

static PROTOCOL: Protocol = Protocol {
    name: "ldap",
    product: "LDAP",
    // An anonymous bind.
    question: b"\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\0\x80\0",
    is_its: |first| matches!(first, [0x30, ..=0x84, ..]),
    tls_start: Some(TLS_START),
    // UnbindRequest
    goodbye: b"\x30\x05\x02\x01\x7f\x42\0",
};

const START_TLS: &[u8] = b"1.3.6.1.4.1.1466.20037";
const BIND_RESPONSE: u8 = 0x61;
const SEARCH_ENTRY: u8 = 0x64;
const SEARCH_DONE: u8 = 0x65;
const SEARCH_REFERENCE: u8 = 0x73;
const EXTENDED_RESPONSE: u8 = 0x78;
/// Most messages of one answer: base objects come alone.
const MOST: usize = 20;

#[derive(Debug, Default)]
pub(crate) struct Ldap {
    count: u8,
}

/// How an operation ended.
#[derive(Debug)]
struct Ended {
    code: u32,
    said: String,
    /// How many entries came.
    found: usize,
    /// What they hold.
    values: Vec<(String, String)>,
}

impl Talk for Ldap {
    const PROTOCOL: &'static Protocol = &PROTOCOL;

    fn port(target: &Target) -> u16 {
        let is_at_once = target.text("tls.mode") != "disable" && !Self::begins_in_clear(target);
        target.port(if is_at_once { 636 } else { 389 })
    }

    fn begins_in_clear(target: &Target) -> bool {
        super::begins_on_request(target)
    }

    async fn ask_for_tls(&mut self, wire: &mut Link<'_>) -> Result<(), TestError> {
        let request = sequence(0x77, &[wrapped(0x80, START_TLS)]);
        let ended = self.ask(wire, &request, EXTENDED_RESPONSE).await?;
        if ended.code == 0 { Ok(()) } else { Err(causes::tls_not_offered()) }
    }

    async fn sign_in(&mut self, wire: &mut Link<'_>) -> Result<Proof, TestError> {
        let (username, password) = (wire.username(), wire.password());
        match (username, password) {
            ("", "") => {}
            ("", _) => return Err(causes::setting_missing("username", "The username")),
            (_, "") => return Err(causes::password_missing(username)),
            _ => {}
        }
        let name = wrapped(0x04, username.as_bytes());
        let secret = Zeroizing::new(wrapped(0x80, password.as_bytes()));
        let request = Zeroizing::new(sequence(0x60, &[integer(0x02, 3), name, secret.to_vec()]));
        let ended = self.ask(wire, &request, BIND_RESPONSE).await?;
        match ended.code {
            0 if username.is_empty() => Ok(Proof::Nothing("No username is set")),
            0 => Ok(Proof::Checked),
            _ => Err(explain(wire, &ended)),
        }
    }

    async fn open(&mut self, wire: &mut Link<'_>) -> Result<Option<String>, TestError> {
        let base = wire.target.text("database");
        if base.is_empty() {
            return Ok(None);
        }
        // No attribute (RFC 4511, section 4.5.1.8)
        let ended = self.search(wire, base, &["1.1"]).await?;
        match (ended.code, ended.found) {
            // Some servers say nothing else of what may not be seen.
            (0, 0) => Err(causes::entry_unseen(wire.username(), base)),
            (0, _) => Ok(Some(base.to_owned())),
            _ => Err(explain(wire, &ended)),
        }
    }

    async fn read(&mut self, wire: &mut Link<'_>) -> Result<Option<String>, TestError> {
        let ended = self.search(wire, "", &["vendorName", "vendorVersion", "supportedLDAPVersion"]).await?;
        if ended.code != 0 {
            return Err(explain(wire, &ended));
        }
        let value =
            |wanted: &str| ended.values.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value);
        let words: Vec<_> = ["vendorName", "vendorVersion"].into_iter().filter_map(value).cloned().collect();
        Ok(Some(words.join(" ")))
    }
}

impl Ldap {
    /// One object, by its own name.
    async fn search(&mut self, wire: &mut Link<'_>, base: &str, attributes: &[&str]) -> Result<Ended, TestError> {
        let attributes: Vec<_> = attributes.iter().map(|name| wrapped(0x04, name.as_bytes())).collect();
        let request = sequence(
            0x63,
            &[
                wrapped(0x04, base.as_bytes()),
                // Of the base object alone, without following aliases, one entry at most, in five seconds at most.
                integer(0x0a, 0),
                integer(0x0a, 0),
                integer(0x02, 1),
                integer(0x02, 5),
                integer(0x01, 0),
                wrapped(0x87, b"objectClass"),
                sequence(0x30, &attributes),
            ],
        );
        self.ask(wire, &request, SEARCH_DONE).await
    }

    async fn ask(&mut self, wire: &mut Link<'_>, operation: &[u8], wanted: u8) -> Result<Ended, TestError> {
        self.count += 1;
        let number = integer(0x02, self.count);
        let message = Zeroizing::new(sequence(0x30, &[number, operation.to_vec()]));
        wire.send(&message).await?;
        let (mut found, mut values) = (0, Vec::new());
        for _ in 0..MOST {
            let message = message_of(wire).await?;
            let mut parts = Reader(&message);
            let told = parts.expect(0x02).and_then(|number| number.last().copied());
            let (kind, value) = parts.next().ok_or_else(|| wire.foreign())?;
            match (told, kind) {
                (Some(number), SEARCH_ENTRY) if number == self.count => {
                    found += 1;
                    values.extend(attributes(value).ok_or_else(|| wire.foreign())?);
                }
                (Some(number), SEARCH_REFERENCE) if number == self.count => {}
                (Some(number), kind) if number == self.count && kind == wanted => {
                    let (code, said) = result(value).ok_or_else(|| wire.foreign())?;
                    return Ok(Ended { code, said, found, values });
                }
                // A notice of disconnection says why (RFC 4511, section 4.4.1).
                (Some(0), EXTENDED_RESPONSE) => {
                    let (code, said) = result(value).ok_or_else(|| wire.foreign())?;
                    return Ok(Ended { code: code.max(1), said, found, values });
                }
                _ => return Err(wire.foreign()),
            }
        }
        Err(wire.foreign())
    }
}

/// The next message, without its head.
async fn message_of(wire: &mut Link<'_>) -> Result<Vec<u8>, TestError> {
    if wire.byte().await? != 0x30 {
        return Err(wire.foreign());
    }
    let first = wire.byte().await?;
    let length = match first {
        short @ ..=0x7f => usize::from(short),
        long @ 0x81..=0x84 => {
            let digits = wire.exact(usize::from(long & 0x7f)).await?;
            digits.iter().fold(0_usize, |sum, digit| sum << 8 | usize::from(*digit))
        }
        _ => return Err(wire.foreign()),
    };
    if length > LARGEST {
        return Err(wire.foreign());
    }
    wire.exact(length).await
}

/// Code and diagnostic message of an `LDAPResult`.
fn result(value: &[u8]) -> Option<(u32, String)> {
    let mut parts = Reader(value);
    let code = parts.expect(0x0a)?.iter().fold(0_u32, |sum, digit| sum << 8 | u32::from(*digit));
    let _matched = parts.text()?;
    Some((code, parts.text()?))
}

/// The first value of each attribute of an entry.
fn attributes(entry: &[u8]) -> Option<Vec<(String, String)>> {
    let mut parts = Reader(entry);
    parts.text()?;
    let mut list = Reader(parts.expect(0x30)?);
    let mut found = Vec::new();
    while let Some((0x30, attribute)) = list.next() {
        let mut attribute = Reader(attribute);
        let name = attribute.text()?;
        if let Some(value) = Reader(attribute.expect(0x31)?).text() {
            found.push((name, value));
        }
    }
    Some(found)
}

/// Result codes of RFC 4511, appendix A.
fn explain(wire: &Link<'_>, ended: &Ended) -> TestError {
    let words = || wire.clean(&ended.said);
    let base = wire.target.text("database");
    match ended.code {
        // Active Directory says all of it with one code, and more in its words.
        49 if ended.said.contains("data 775") => causes::account_locked(wire.username()),
        49 if ended.said.contains("data 532") || ended.said.contains("data 773") => causes::password_expired(wire.username()),
        49 => causes::credentials_refused(wire.username()),
        // Strong authentication or confidentiality required.
        8 | 13 if !wire.is_secured() => causes::tls_demanded(),
        34 if wire.step == StepName::SignIn => causes::invalid_settings(Some("username"), &words()),
        34 => causes::invalid_settings(Some("database"), &words()),
        32 if wire.step == StepName::OpenDatabase => causes::missing("database", "entry", base),
        // Inappropriate authentication, and unwilling: what nobody may do who is nobody.
        48 | 53 if wire.step == StepName::SignIn && wire.username().is_empty() => causes::sign_in_missing(),
        48 | 53 if wire.step == StepName::SignIn => causes::user_refused(wire.username()),
        1 | 50 if wire.step > StepName::SignIn => causes::read_refused(&words()),
        51 | 52 => causes::not_now(&words()),
        _ if ended.said.is_empty() => causes::server_error(&format!("code {} of LDAP, without a reason", ended.code)),
        _ => causes::server_error(&words()),
    }
}
