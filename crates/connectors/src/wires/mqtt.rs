//! MQTT 3.1.1: <https://docs.oasis-open.org/mqtt/mqtt/v3.1.1/os/mqtt-v3.1.1-os.html>. Brokers of version 5 speak it, too.
//!
//! It subscribes to nothing and publishes nothing. A broker that asks nobody for a password takes any, so a wrong one is tried.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use dataflow_model::TestError;
use zeroize::Zeroizing;

use super::{
    link::{Link, Protocol},
    talk::Talk,
};
use crate::{Target, causes, http::Proof};

static PROTOCOL: Protocol = Protocol {
    name: "mqtt",
    product: "MQTT",
    // CONNECT of nobody, which is answered whether nobody is let in or not.
    question: b"\x10\x0c\0\x04MQTT\x04\x02\0\x0a\0\0",
    is_its: |first| matches!(first, [0x20, 2, 0 | 1, 0..=5] | [0x20, 2, 0 | 1, 0..=5, ..]),
    tls_start: None,
    goodbye: b"\xe0\0",
};

const CONNACK: u8 = 0x20;
const PINGREQ: [u8; 2] = [0xc0, 0];
const PINGRESP: u8 = 0xd0;
/// Of the byte of flags: a name comes along, a password, and nothing of an earlier session.
const WITH_NAME: u8 = 0x80;
const WITH_PASSWORD: u8 = 0x40;
const CLEAN: u8 = 0x02;
const KEEP_ALIVE: [u8; 2] = [0, 30];

#[derive(Debug, Default)]
pub(crate) struct Mqtt;

impl Talk for Mqtt {
    const PROTOCOL: &'static Protocol = &PROTOCOL;

    fn takes_anybody(_target: &Target) -> bool {
        true
    }

    fn port(target: &Target) -> u16 {
        target.port(if target.text("tls.mode") == "disable" { 1883 } else { 8883 })
    }

    async fn sign_in(&mut self, wire: &mut Link<'_>) -> Result<Proof, TestError> {
        let (username, password) = (wire.username(), wire.password());
        // [MQTT-3.1.2-22]
        if username.is_empty() && !password.is_empty() {
            return Err(causes::setting_missing("username", "The username"));
        }
        wire.send(&connect(&client_id(), username, password)?).await?;
        match answer(wire, CONNACK).await?.as_slice() {
            [_, 0] if username.is_empty() => Ok(Proof::Nothing("The broker asks for no sign-in")),
            [_, 0] => Ok(Proof::Checked),
            [_, 1] => Err(causes::protocol_too_old("MQTT")),
            [_, 3] => Err(causes::server_starting()),
            [_, 4 | 5] => Err(match (username, password) {
                ("", _) => causes::sign_in_missing(),
                (username, "") => causes::password_missing(username),
                (username, _) => causes::credentials_refused(username),
            }),
            [_, 2] => Err(causes::server_error("it takes no client of this name")),
            _ => Err(wire.foreign()),
        }
    }

    async fn read(&mut self, wire: &mut Link<'_>) -> Result<Option<String>, TestError> {
        wire.send(&PINGREQ).await?;
        if answer(wire, PINGRESP).await?.is_empty() { Ok(None) } else { Err(wire.foreign()) }
    }
}

/// A name that nobody else has: whoever comes under a name that is taken puts the other one out.
fn client_id() -> String {
    format!("dataflow{:015x}", RandomState::new().build_hasher().finish() >> 4)
}

fn connect(client: &str, username: &str, password: &str) -> Result<Zeroizing<Vec<u8>>, TestError> {
    let mut flags = CLEAN;
    let mut payload = Zeroizing::new(Vec::new());
    text(&mut payload, "username", client)?;
    if !username.is_empty() {
        flags |= WITH_NAME;
        text(&mut payload, "username", username)?;
    }
    if !password.is_empty() {
        flags |= WITH_PASSWORD;
        text(&mut payload, "password", password)?;
    }
    let mut packet = Zeroizing::new(vec![0x10]);
    let mut length = 10 + payload.len();
    while length > 0x7f {
        packet.push(u8::try_from(length & 0x7f).unwrap_or_default() | 0x80);
        length >>= 7;
    }
    packet.push(u8::try_from(length).unwrap_or_default());
    packet.extend_from_slice(b"\0\x04MQTT\x04");
    packet.push(flags);
    packet.extend_from_slice(&KEEP_ALIVE);
    packet.extend_from_slice(&payload);
    Ok(packet)
}

fn text(payload: &mut Vec<u8>, field: &str, text: &str) -> Result<(), TestError> {
    let length = u16::try_from(text.len()).map_err(|_| causes::unspeakable_in(field, "MQTT"))?;
    payload.extend_from_slice(&length.to_be_bytes());
    payload.extend_from_slice(text.as_bytes());
    Ok(())
}

/// The body of the packet that has to come next.
async fn answer(wire: &mut Link<'_>, kind: u8) -> Result<Vec<u8>, TestError> {
    if wire.byte().await? != kind {
        return Err(wire.foreign());
    }
    // What is expected here is far below the 127 bytes that one byte can say.
    let length = usize::from(wire.byte().await?);
    if length > 0x7f {
        return Err(wire.foreign());
    }
    wire.exact(length).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_as_the_specification_has_it() {
        let bare = connect("", "", "").expect("short");
        assert_eq!(bare.as_slice(), b"\x10\x0c\0\x04MQTT\x04\x02\0\x1e\0\0");
        let full = connect("c", "anna", "secret").expect("short");
        assert_eq!(full.as_slice(), b"\x10\x1b\0\x04MQTT\x04\xc2\0\x1e\0\x01c\0\x04anna\0\x06secret");
        let long = connect("c", "anna", &"x".repeat(200)).expect("short");
        assert_eq!(long.get(..3), Some(&[0x10, 0xdd, 0x01][..]));
        assert!(client_id().len() <= 23 && client_id() != client_id());
    }
}
