//! SOCKS 5 (RFC 1928), with a username and a password (RFC 1929).
//!
//! A proxy may let in whoever comes, though it takes a password if one is given, so a wrong one is tried.

use std::net::IpAddr;

use dataflow_model::{StepName, TestError};
use zeroize::Zeroizing;

use super::{
    RESERVED,
    link::{Link, Protocol},
    talk::Talk,
};
use crate::{Target, causes, http::Proof};

const VERSION: u8 = 5;
const NO_SIGN_IN: u8 = 0;
const PASSWORD: u8 = 2;
const NONE_TAKEN: u8 = 0xff;
/// The version of RFC 1929.
const SIGN_IN: u8 = 1;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

static PROTOCOL: Protocol = Protocol {
    name: "socks_proxy",
    product: "SOCKS 5",
    question: &[VERSION, 1, NO_SIGN_IN],
    is_its: |first| first.first() == Some(&VERSION),
    tls_start: None,
    goodbye: b"",
};

#[derive(Debug, Default)]
pub(crate) struct Socks;

impl Talk for Socks {
    const PROTOCOL: &'static Protocol = &PROTOCOL;

    fn takes_anybody(_target: &Target) -> bool {
        true
    }

    fn port(target: &Target) -> u16 {
        target.port(1080)
    }

    async fn sign_in(&mut self, wire: &mut Link<'_>) -> Result<Proof, TestError> {
        let (username, password) = (wire.username(), wire.password());
        let is_nobody = username.is_empty() && password.is_empty();
        let methods: &[u8] = if is_nobody { &[VERSION, 1, NO_SIGN_IN] } else { &[VERSION, 2, PASSWORD, NO_SIGN_IN] };
        wire.send(methods).await?;
        let method = match wire.exact(2).await?.as_slice() {
            [VERSION, method] => *method,
            _ => return Err(wire.foreign()),
        };
        match method {
            NO_SIGN_IN if is_nobody => return Ok(Proof::Nothing("The proxy asks for no sign-in")),
            NO_SIGN_IN => return Ok(Proof::Unchecked("The proxy asks for no sign-in")),
            NONE_TAKEN if is_nobody => return Err(causes::sign_in_missing()),
            NONE_TAKEN => return Err(causes::authentication_unsupported("something other than a password")),
            PASSWORD if password.is_empty() => return Err(causes::password_missing(username)),
            PASSWORD if !is_nobody => {}
            _ => return Err(wire.foreign()),
        }
        let (name, word) = (counted(wire, "username", username)?, counted(wire, "password", password)?);
        wire.send(&Zeroizing::new([&[SIGN_IN][..], &name, &word].concat())).await?;
        match wire.exact(2).await?.as_slice() {
            [_, 0] => Ok(Proof::Checked),
            _ => Err(causes::credentials_refused(username)),
        }
    }

    /// Asks for a name that nobody has: that it cannot be reached is an answer of a proxy that works.
    async fn read(&mut self, wire: &mut Link<'_>) -> Result<Option<String>, TestError> {
        ask(wire, RESERVED, 443).await?;
        Ok(None)
    }
}

/// Has it connect to `host`, beyond which the stream is that host's.
pub(super) async fn connect(wire: &mut Link<'_>, host: &str, port: u16, hop: &str) -> Result<(), TestError> {
    wire.step = StepName::Reach;
    // RFC 1928, section 6.
    match ask(wire, host, port).await? {
        0 => Ok(()),
        2 => Err(causes::prohibited_by_hop(host, port, hop)),
        // Some say only that it failed.
        1 | 3 | 4 | 6 => Err(causes::unreachable_beyond(host, hop)),
        5 => Err(causes::port_closed_beyond(host, port, hop)),
        _ => Err(causes::hop_answered_otherwise(hop)),
    }
}

/// What it answers to the request for a connection.
async fn ask(wire: &mut Link<'_>, host: &str, port: u16) -> Result<u8, TestError> {
    let address = match host.trim_start_matches('[').trim_end_matches(']').parse() {
        Ok(IpAddr::V4(address)) => [&[IPV4][..], &address.octets()].concat(),
        Ok(IpAddr::V6(address)) => [&[IPV6][..], &address.octets()].concat(),
        Err(_) => [&[NAME][..], &counted(wire, "host", host)?].concat(),
    };
    wire.send(&[&[VERSION, CONNECT, 0][..], &address, &port.to_be_bytes()].concat()).await?;
    let head = wire.exact(4).await?;
    let [VERSION, answer, _, kind] = head.as_slice() else { return Err(wire.foreign()) };
    // Where it connected from, which matters to nobody.
    let length = match *kind {
        IPV4 => 4,
        IPV6 => 16,
        NAME => usize::from(wire.byte().await?),
        _ => return Err(wire.foreign()),
    };
    wire.exact(length + 2).await?;
    Ok(*answer)
}

/// With its length before it.
fn counted(wire: &Link<'_>, field: &str, text: &str) -> Result<Zeroizing<Vec<u8>>, TestError> {
    let length = u8::try_from(text.len()).map_err(|_| causes::unspeakable_in(field, wire.product()))?;
    Ok(Zeroizing::new([&[length][..], text.as_bytes()].concat()))
}

#[cfg(test)]
mod tests {
    use dataflow_fuzz::fuzz;

    use super::*;
    use crate::wires::fuzz::converse;

    const IN: &[u8] = b"\x05\x02\x01\x00\x05\x04\0\x01\0\0\0\0\0\0";

    #[test]
    fn conversations() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let said = |bytes: &[u8]| runtime.block_on(converse::<Socks>(bytes, None));
        assert!(said(IN).is_ok());
        assert!(said(b"\x05\x00\x05\x01\0\x03\x04name\0\0").is_ok());
        assert_eq!(said(b"\x05\x02\x01\x01").expect_err("no").code, dataflow_model::Cause::CredentialsRefused);
        assert!(said(b"\x05\x01\x01\x00").is_err(), "a sign-in that was not offered");
        fuzz(&[IN, b"\x05\x00\x05\x01\0\x03\x04name\0\0", b"\x05\xff"], |bytes| {
            if let Err(error) = said(bytes) {
                assert!(!format!("{error:?}").contains("planted-secret"), "{error:?}");
            }
        });
    }
}
