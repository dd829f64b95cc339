//! Kafka: <https://kafka.apache.org/protocol>, with SASL's PLAIN and SCRAM (KIP-84, KIP-152). It asks one broker of the cluster what that is, and
//! reads, writes and joins nothing.
//!
//! Where a client goes on is what the brokers say that they are called. These addresses are shown and not dialled.

use dataflow_model::{Cause, TestError};
use zeroize::Zeroizing;

use super::{
    link::{LARGEST, Link, Protocol},
    scram::{Hash, Scram},
    talk::Talk,
};
use crate::{Target, causes, http::Proof};

/// The number of the first request, by which its answer is told from anything else.
const FIRST: [u8; 4] = *b"dflw";

static PROTOCOL: Protocol = Protocol {
    name: "kafka",
    product: PRODUCT,
    // ApiVersions 0, which is answered to everybody.
    question: b"\0\0\0\x12\0\x12\0\0dflw\0\x08dataflow",
    is_its: |first| matches!(first, [0, _, _, _, rest @ ..] if rest.starts_with(&FIRST)),
    tls_start: None,
    goodbye: b"",
};

const PRODUCT: &str = "Kafka";
const CLIENT: &str = "dataflow";
/// The field that chooses it.
const MECHANISM: &str = "extra.sasl_mechanism";
const PLAIN: &str = "PLAIN";

const METADATA: u16 = 3;
const SASL_HANDSHAKE: u16 = 17;
const API_VERSIONS: u16 = 18;
const SASL_AUTHENTICATE: u16 = 36;
/// Of Metadata: 0.10.1, and the first that names the cluster.
const METADATA_VERSION: u16 = 2;

const UNSUPPORTED_MECHANISM: u16 = 33;
const NO_SASL_HERE: u16 = 34;
const REFUSED: u16 = 58;
/// Most brokers of which the addresses are shown.
const SHOWN: usize = 3;

#[derive(Debug, Default)]
pub(crate) struct Kafka {
    count: u32,
    cluster: Option<String>,
}

impl Talk for Kafka {
    const PROTOCOL: &'static Protocol = &PROTOCOL;

    fn port(target: &Target) -> u16 {
        target.port(9092)
    }

    fn takes_anybody(target: &Target) -> bool {
        is_plain(target) && super::may_be_a_catcher(target)
    }

    fn tells_password(target: &Target) -> bool {
        is_plain(target) && !target.expose_secret("password").is_empty()
    }

    fn check(target: &Target) -> Result<(), TestError> {
        super::require_username(target)
    }

    async fn sign_in(&mut self, wire: &mut Link<'_>) -> Result<Proof, TestError> {
        let (username, password) = (wire.username(), wire.password());
        wire.require_one_line(&[("username", username), ("password", password)])?;
        let has_sasl = self.versions(wire).await?;
        if username.is_empty() {
            // A listener with SASL lets go of whoever asks anything else first.
            return match self.look(wire).await {
                Ok(()) => Ok(Proof::Nothing("The broker asks for no sign-in")),
                Err(error) if error.code == Cause::ConnectionLost => Err(causes::sign_in_missing()),
                Err(error) => Err(error),
            };
        }
        if password.is_empty() {
            return Err(causes::password_missing(username));
        }
        if !has_sasl {
            return Err(causes::protocol_too_old(PRODUCT));
        }
        let name = mechanism(wire.target);
        self.handshake(wire, name).await?;
        let hash = match name {
            PLAIN => {
                let identity = Zeroizing::new(format!("\0{username}\0{password}"));
                self.authenticate(wire, identity.as_bytes()).await?;
                return Ok(Proof::Checked);
            }
            "SCRAM-SHA-256" => Hash::Sha256,
            _ => Hash::Sha512,
        };
        let mut scram = Scram::new(hash, username, password)?;
        let first = self.authenticate(wire, scram.first().as_bytes()).await?;
        let answer = scram.answer(&first)?;
        let last = self.authenticate(wire, answer.as_bytes()).await?;
        scram.verify(&last)?;
        Ok(Proof::Checked)
    }

    async fn read(&mut self, wire: &mut Link<'_>) -> Result<Option<String>, TestError> {
        self.look(wire).await?;
        Ok(None)
    }

    fn found(&self) -> Option<String> {
        self.cluster.clone()
    }
}

fn mechanism(target: &Target) -> &str {
    match target.text(MECHANISM) {
        "" => PLAIN,
        name => name,
    }
}

fn is_plain(target: &Target) -> bool {
    mechanism(target) == PLAIN
}

impl Kafka {
    /// Whether it takes sign-ins in the form that is spoken here. What else is asked of it is older.
    async fn versions(&mut self, wire: &mut Link<'_>) -> Result<bool, TestError> {
        let body = self.ask(wire, API_VERSIONS, 0, &[]).await?;
        let known = read_versions(&body).ok_or_else(|| wire.foreign())?;
        let speaks = |key: u16, version: u16| known.iter().any(|(own, from, to)| *own == key && (*from..=*to).contains(&version));
        if !speaks(METADATA, METADATA_VERSION) {
            return Err(causes::protocol_too_old(PRODUCT));
        }
        Ok(speaks(SASL_HANDSHAKE, 1) && speaks(SASL_AUTHENTICATE, 0))
    }

    async fn handshake(&mut self, wire: &mut Link<'_>, name: &str) -> Result<(), TestError> {
        let mut asked = Vec::new();
        text(&mut asked, name);
        let body = self.ask(wire, SASL_HANDSHAKE, 1, &asked).await?;
        let (code, offered) = read_mechanisms(&body).ok_or_else(|| wire.foreign())?;
        match code {
            0 => Ok(()),
            UNSUPPORTED_MECHANISM => Err(causes::mechanism_not_offered(MECHANISM, name, &wire.clean(&offered.join(", ")))),
            NO_SASL_HERE => Err(causes::password_not_asked_for(PRODUCT)),
            _ => Err(error(code, "")),
        }
    }

    /// What the broker answers in the exchange.
    async fn authenticate(&mut self, wire: &mut Link<'_>, bytes: &[u8]) -> Result<Vec<u8>, TestError> {
        let mut asked = Zeroizing::new(Vec::with_capacity(bytes.len() + 4));
        asked.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
        asked.extend_from_slice(bytes);
        let body = self.ask(wire, SASL_AUTHENTICATE, 0, &asked).await?;
        let (code, said, answer) = read_exchange(&body).ok_or_else(|| wire.foreign())?;
        match code {
            0 => Ok(answer),
            REFUSED => Err(causes::credentials_refused(wire.username())),
            _ => Err(error(code, &wire.clean(&said))),
        }
    }

    /// Asks for no topic: what comes back is the cluster alone.
    async fn look(&mut self, wire: &mut Link<'_>) -> Result<(), TestError> {
        let body = self.ask(wire, METADATA, METADATA_VERSION, &[0; 4]).await?;
        let (brokers, name) = read_cluster(&body).ok_or_else(|| wire.foreign())?;
        self.cluster = Some(described(&brokers, &name));
        Ok(())
    }

    async fn ask(&mut self, wire: &mut Link<'_>, key: u16, version: u16, body: &[u8]) -> Result<Vec<u8>, TestError> {
        let number = u32::from_be_bytes(FIRST).wrapping_add(self.count).to_be_bytes();
        self.count += 1;
        let mut request = Zeroizing::new(Vec::with_capacity(body.len() + 24));
        let length = u32::try_from(body.len() + CLIENT.len() + 10).unwrap_or(u32::MAX);
        request.extend_from_slice(&length.to_be_bytes());
        request.extend_from_slice(&key.to_be_bytes());
        request.extend_from_slice(&version.to_be_bytes());
        request.extend_from_slice(&number);
        text(&mut request, CLIENT);
        request.extend_from_slice(body);
        wire.send(&request).await?;
        let length = wire.exact(4).await?;
        let length = length.first_chunk().map_or(u32::MAX, |bytes| u32::from_be_bytes(*bytes));
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if !(4..=LARGEST).contains(&length) {
            return Err(wire.foreign());
        }
        let told = wire.exact(4).await?;
        if told != number {
            return Err(wire.foreign());
        }
        wire.exact(length - 4).await
    }
}

/// By number, as <https://kafka.apache.org/protocol#protocol_error_codes> has it. `said` is scrubbed.
fn error(code: u16, said: &str) -> TestError {
    let number = i16::from_be_bytes(code.to_be_bytes());
    causes::server_error(if said.is_empty() { format!("error {number}") } else { format!("{said} ({number})") }.as_str())
}

fn described(brokers: &[String], name: &str) -> String {
    let shown = brokers.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    let more = match brokers.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let count = match brokers.len() {
        0 => return "the broker names none, not even itself".to_owned(),
        1 => "1 broker".to_owned(),
        count => format!("{count} brokers"),
    };
    let cluster = if name.is_empty() { String::new() } else { format!("cluster {name}, ") };
    format!("{cluster}{count}; clients are sent to {shown}{more}")
}

fn text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend_from_slice(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
    bytes.extend_from_slice(text.as_bytes());
}

/// Reads one value after the other.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn int16(&mut self) -> Option<u16> {
        let (value, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u16::from_be_bytes(*value))
    }

    fn int32(&mut self) -> Option<u32> {
        let (value, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*value))
    }

    fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (value, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(value)
    }

    /// One that is absent is empty.
    fn text(&mut self) -> Option<String> {
        let length = match self.int16()? {
            u16::MAX => 0,
            length => length,
        };
        self.bytes(length.into()).map(|text| String::from_utf8_lossy(text).into_owned())
    }

    /// How many there are of what comes next. Each has more than one byte, so that no more can be than are left.
    fn count(&mut self) -> Option<usize> {
        let count = usize::try_from(self.int32()?).ok()?;
        (count <= self.0.len()).then_some(count)
    }
}

/// Key, first and last version of each request that is known there.
fn read_versions(body: &[u8]) -> Option<Vec<(u16, u16, u16)>> {
    let mut reader = Reader(body);
    if reader.int16()? != 0 {
        return None;
    }
    let count = reader.count()?;
    (0..count).map(|_| Some((reader.int16()?, reader.int16()?, reader.int16()?))).collect()
}

fn read_mechanisms(body: &[u8]) -> Option<(u16, Vec<String>)> {
    let mut reader = Reader(body);
    let code = reader.int16()?;
    let count = reader.count()?;
    Some((code, (0..count).map(|_| reader.text()).collect::<Option<_>>()?))
}

fn read_exchange(body: &[u8]) -> Option<(u16, String, Vec<u8>)> {
    let mut reader = Reader(body);
    let (code, said) = (reader.int16()?, reader.text()?);
    let length = reader.count()?;
    Some((code, said, reader.bytes(length)?.to_vec()))
}

/// Where each broker says that it is, and what the cluster is called.
fn read_cluster(body: &[u8]) -> Option<(Vec<String>, String)> {
    let mut reader = Reader(body);
    let count = reader.count()?;
    let mut brokers = Vec::new();
    for _ in 0..count {
        let _number = reader.int32()?;
        let (host, port, _rack) = (reader.text()?, reader.int32()?, reader.text()?);
        brokers.push(format!("{host}:{port}"));
    }
    Some((brokers, reader.text()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_is_the_first_request() {
        let mut request = vec![0, 0, 0, 18, 0, 18, 0, 0];
        request.extend_from_slice(&FIRST);
        text(&mut request, CLIENT);
        assert_eq!(PROTOCOL.question, request);
    }

    #[test]
    fn no_more_brokers_are_shown_than_fit() {
        let brokers: Vec<_> = (1..=5).map(|number| format!("b{number}:9092")).collect();
        assert_eq!(described(&brokers, "c"), "cluster c, 5 brokers; clients are sent to b1:9092, b2:9092, b3:9092 and 2 more");
        let one = brokers.get(..1).expect("there are five");
        assert_eq!(described(one, ""), "1 broker; clients are sent to b1:9092");
    }
}
