//! AMQP 0-9-1, as RabbitMQ speaks it: <https://www.rabbitmq.com/resources/specs/amqp0-9-1.pdf>. It opens a virtual host and a channel, and
//! declares, publishes and consumes nothing.

use dataflow_model::{StepName, TestError};
use zeroize::Zeroizing;

use super::{
    link::{LARGEST, Link, Protocol},
    talk::Talk,
};
use crate::{Target, causes, http::Proof};

const HEADER: &[u8] = b"AMQP\0\0\x09\x01";

static PROTOCOL: Protocol = Protocol {
    name: "rabbitmq",
    product: "RabbitMQ",
    question: HEADER,
    is_its: |first| first.starts_with(b"AMQP") || matches!(first, [1, 0, 0, ..]),
    tls_start: None,
    // Connection.Close with 200 and no reason.
    goodbye: b"\x01\0\0\0\0\0\x0b\0\x0a\0\x32\0\xc8\0\0\0\0\0\xce",
};

/// Class and method of what is said.
const START: [u8; 4] = [0, 10, 0, 10];
const START_OK: [u8; 4] = [0, 10, 0, 11];
const TUNE: [u8; 4] = [0, 10, 0, 30];
const TUNE_OK: [u8; 4] = [0, 10, 0, 31];
const OPEN: [u8; 4] = [0, 10, 0, 40];
const OPEN_OK: [u8; 4] = [0, 10, 0, 41];
const CLOSE: [u8; 4] = [0, 10, 0, 50];
const CHANNEL_OPEN: [u8; 4] = [0, 20, 0, 10];
const CHANNEL_OPEN_OK: [u8; 4] = [0, 20, 0, 11];
const FRAME_END: u8 = 0xce;
/// `{capabilities: {authentication_failure_close: true}}`: asks for a reason where the sign-in is refused.
const CAPABILITIES: &[u8] = b"\0\0\0\x31\x0ccapabilitiesF\0\0\0\x1f\x1cauthentication_failure_closet\x01";

#[derive(Debug, Default)]
pub(crate) struct Amqp {
    calls_itself: String,
}

impl Talk for Amqp {
    const PROTOCOL: &'static Protocol = &PROTOCOL;

    fn port(target: &Target) -> u16 {
        target.port(if target.text("tls.mode") == "disable" { 5672 } else { 5671 })
    }

    fn takes_anybody(target: &Target) -> bool {
        super::may_be_a_catcher(target)
    }

    async fn sign_in(&mut self, wire: &mut Link<'_>) -> Result<Proof, TestError> {
        let (username, password) = (wire.username(), wire.password());
        if password.is_empty() {
            return Err(causes::password_missing(username));
        }
        wire.send(HEADER).await?;
        let start = method(wire, START).await?;
        let (product, mechanisms) = greeting(&start).ok_or_else(|| wire.foreign())?;
        self.calls_itself = product;
        if !mechanisms.split(' ').any(|one| one == "PLAIN") {
            return Err(causes::authentication_unsupported(&wire.clean(&mechanisms)));
        }
        wire.require_one_line(&[("username", username), ("password", password)])?;
        let identity = Zeroizing::new(format!("\0{username}\0{password}"));
        let mut answer = Zeroizing::new(START_OK.to_vec());
        answer.extend_from_slice(CAPABILITIES);
        short(&mut answer, "PLAIN");
        long(&mut answer, identity.as_bytes());
        short(&mut answer, "en_US");
        say(wire, 0, &answer).await?;
        let tune = method(wire, TUNE).await?;
        let limits = tune.first_chunk::<8>().ok_or_else(|| wire.foreign())?;
        // As the server has it, but without a heartbeat: a test is over before the first.
        let [most_high, most_low, frame @ .., _, _] = *limits;
        say(wire, 0, &[&TUNE_OK[..], &[most_high, most_low], &frame, &[0, 0]].concat()).await?;
        Ok(Proof::Checked)
    }

    async fn open(&mut self, wire: &mut Link<'_>) -> Result<Option<String>, TestError> {
        let host = virtual_host(wire);
        let mut open = OPEN.to_vec();
        short(&mut open, host);
        open.extend_from_slice(&[0, 0]);
        say(wire, 0, &open).await?;
        method(wire, OPEN_OK).await?;
        Ok(Some(host.to_owned()))
    }

    async fn read(&mut self, wire: &mut Link<'_>) -> Result<Option<String>, TestError> {
        say(wire, 1, &[&CHANNEL_OPEN[..], &[0]].concat()).await?;
        method(wire, CHANNEL_OPEN_OK).await?;
        Ok(Some(self.calls_itself.clone()))
    }
}

fn virtual_host<'a>(wire: &Link<'a>) -> &'a str {
    match wire.target.text("database") {
        "" => "/",
        name => name,
    }
}

fn short(bytes: &mut Vec<u8>, text: &str) {
    // The form takes no more than 255 bytes; a longer one is cut, and then unknown.
    let text = text.as_bytes().get(..255).unwrap_or(text.as_bytes());
    bytes.push(u8::try_from(text.len()).unwrap_or_default());
    bytes.extend_from_slice(text);
}

fn long(bytes: &mut Vec<u8>, text: &[u8]) {
    bytes.extend_from_slice(&u32::try_from(text.len()).unwrap_or_default().to_be_bytes());
    bytes.extend_from_slice(text);
}

async fn say(wire: &mut Link<'_>, channel: u8, method: &[u8]) -> Result<(), TestError> {
    let mut frame = Zeroizing::new(vec![1, 0, channel]);
    long(&mut frame, method);
    frame.push(FRAME_END);
    wire.send(&frame).await
}

/// The arguments of the method that has to come next. Heartbeats may come before it.
async fn method(wire: &mut Link<'_>, wanted: [u8; 4]) -> Result<Vec<u8>, TestError> {
    for _ in 0..10 {
        let kind = wire.byte().await?;
        // A server of another version says which one it has, in place of a frame.
        if kind == b'A' {
            let rest = wire.exact(7).await?;
            return Err(match rest.as_slice() {
                // Version 1.0, in the clear, inside TLS or with SASL: another protocol of the same name.
                [b'M', b'Q', b'P', 0 | 2 | 3, 1, 0, 0] => causes::another_amqp(wire.product()),
                [b'M', b'Q', b'P', ..] => causes::protocol_too_old("AMQP 0-9-1"),
                _ => wire.foreign(),
            });
        }
        let head = wire.exact(6).await?;
        let [_, _, length @ ..] = head.first_chunk::<6>().ok_or_else(|| wire.foreign())?;
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        if length >= LARGEST || !matches!(kind, 1 | 8) {
            return Err(wire.foreign());
        }
        let body = wire.exact(length + 1).await?;
        match body.split_last() {
            Some((&FRAME_END, _)) if kind == 8 => {}
            Some((&FRAME_END, body)) => {
                let (told, arguments) = body.split_first_chunk::<4>().ok_or_else(|| wire.foreign())?;
                return match *told {
                    told if told == wanted => Ok(arguments.to_vec()),
                    CLOSE => Err(closed(wire, arguments)),
                    _ => Err(wire.foreign()),
                };
            }
            _ => return Err(wire.foreign()),
        }
    }
    Err(wire.foreign())
}

/// Code and reason of Connection.Close.
fn closed(wire: &Link<'_>, arguments: &[u8]) -> TestError {
    let Some((code, rest)) = arguments.split_first_chunk::<2>() else { return wire.foreign() };
    let said = rest.split_first().and_then(|(length, rest)| rest.get(..usize::from(*length))).unwrap_or_default();
    let said = String::from_utf8_lossy(said);
    let host = virtual_host(wire);
    match (u16::from_be_bytes(*code), wire.step) {
        (403, StepName::SignIn) if said.contains("loopback") || said.contains("only via localhost") => {
            causes::address_not_permitted(wire.username())
        }
        (403, StepName::SignIn) if wire.username() == "guest" => causes::guest_refused(),
        (403, StepName::SignIn) => causes::credentials_refused(wire.username()),
        (402, _) => causes::missing("database", "virtual host", host),
        (403 | 530, StepName::OpenDatabase) if said.contains("not found") => causes::missing("database", "virtual host", host),
        (403 | 530, StepName::OpenDatabase) if said.contains("limit") => causes::too_many_connections(),
        (403 | 530, StepName::OpenDatabase) => causes::no_right_or_missing(wire.username(), host),
        (403, _) => causes::read_refused(&wire.clean(&said)),
        (320, _) => causes::not_now(&wire.clean(&said)),
        _ => causes::server_error(&wire.clean(&said)),
    }
}

/// What the server calls itself, and the ways to sign in that it has.
fn greeting(start: &[u8]) -> Option<(String, String)> {
    let (_version, rest) = start.split_at_checked(2)?;
    let (table, rest) = long_text(rest)?;
    let (mechanisms, _) = long_text(rest)?;
    let text = |name: &str| field(table, name);
    let product = text("product").unwrap_or_default();
    let version = text("version").unwrap_or_default();
    Some((format!("{product} {version}").trim().to_owned(), String::from_utf8_lossy(mechanisms).into_owned()))
}

fn long_text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

/// The text called `name` of a table. What is neither text nor a table ends the search: nothing of that comes before it.
fn field(mut table: &[u8], name: &str) -> Option<String> {
    while let Some((length, rest)) = table.split_first() {
        let (key, rest) = rest.split_at_checked(usize::from(*length))?;
        let (kind, rest) = rest.split_first()?;
        if !matches!(kind, b'S' | b'F') {
            return None;
        }
        let (value, rest) = long_text(rest)?;
        if *kind == b'S' && key == name.as_bytes() {
            return Some(String::from_utf8_lossy(value).into_owned());
        }
        table = rest;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_what_they_say() {
        let (table, rest) = long_text(CAPABILITIES).expect("a table");
        assert!(rest.is_empty() && table.len() == 0x31, "{}", table.len());
        let inner = table.get(14..).and_then(long_text).expect("a table in it");
        assert!(inner.1.is_empty(), "{inner:?}");
        assert_eq!(PROTOCOL.goodbye.len(), 7 + 11 + 1);
    }
}
