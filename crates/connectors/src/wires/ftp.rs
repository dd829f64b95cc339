//! FTP (RFC 959) and FTP over TLS (RFC 4217): it signs in and asks in which folder it is.

use dataflow_model::TestError;
use zeroize::Zeroizing;

use super::{
    TLS_START,
    link::{ANYBODY, Link, Protocol},
    replies::{self, Reply, say},
    talk::Talk,
};
use crate::{Target, causes, http::Proof};

static PROTOCOL: Protocol = Protocol {
    name: "ftp",
    product: "FTP",
    question: ANYBODY,
    is_its: |first| {
        matches!(first, [b'2', b'2', b'0', b' ' | b'-', ..] | [b'1', b'2', b'0', b' ', ..] | [b'4', b'2', b'1', b' ', ..])
    },
    tls_start: Some(TLS_START),
    goodbye: b"QUIT\r\n",
};

/// Names under which everybody is let in, whatever the password is.
const ANYBODYS: [&str; 2] = ["anonymous", "ftp"];

#[derive(Debug, Default)]
pub(crate) struct Ftp {
    calls_itself: String,
}

impl Talk for Ftp {
    const PROTOCOL: &'static Protocol = &PROTOCOL;

    fn port(target: &Target) -> u16 {
        let is_implicit = target.text("tls.mode") != "disable" && !Self::begins_in_clear(target);
        target.port(if is_implicit { 990 } else { 21 })
    }

    fn takes_anybody(target: &Target) -> bool {
        super::may_be_a_catcher(target)
    }

    fn begins_in_clear(target: &Target) -> bool {
        super::begins_on_request(target)
    }

    async fn ask_for_tls(&mut self, wire: &mut Link<'_>) -> Result<(), TestError> {
        self.greet(wire).await?;
        let reply = say(wire, "AUTH TLS").await?;
        if reply.code == 234 { Ok(()) } else { Err(causes::tls_not_offered()) }
    }

    async fn sign_in(&mut self, wire: &mut Link<'_>) -> Result<Proof, TestError> {
        if !(wire.is_secured() && Self::begins_in_clear(wire.target)) {
            self.greet(wire).await?;
        }
        let (username, password) = (wire.username(), wire.password());
        wire.require_one_line(&[("username", username), ("password", password)])?;
        let is_anybodys = username.is_empty() || ANYBODYS.contains(&username.to_ascii_lowercase().as_str());
        let username = if username.is_empty() { "anonymous" } else { username };
        let reply = say(wire, &format!("USER {username}")).await?;
        let reply = match reply.code {
            230 => return Ok(Proof::Unchecked("The server asks for no password")),
            331 if password.is_empty() && !is_anybodys => return Err(causes::password_missing(username)),
            331 => {
                // What anybody types as a password here by custom.
                let password = if is_anybodys && password.is_empty() { "anonymous@" } else { password };
                say(wire, &Zeroizing::new(format!("PASS {password}"))).await?
            }
            _ => reply,
        };
        match reply.code {
            230 | 202 if is_anybodys => Ok(Proof::Nothing("Everybody is let in under this name")),
            230 | 202 => Ok(Proof::Checked),
            332 => Err(causes::authentication_unsupported("an account beside the password")),
            _ => Err(explain(wire, username, &reply)),
        }
    }

    async fn read(&mut self, wire: &mut Link<'_>) -> Result<Option<String>, TestError> {
        let reply = say(wire, "PWD").await?;
        match reply.code {
            257 => Ok(Some(self.calls_itself.clone())),
            550 | 530 => Err(causes::read_refused(&wire.clean(&reply.text()))),
            _ => Err(explain(wire, wire.username(), &reply)),
        }
    }
}

impl Ftp {
    async fn greet(&mut self, wire: &mut Link<'_>) -> Result<(), TestError> {
        let mut greeting = replies::greeting(wire).await?;
        // It will be ready in some minutes.
        if greeting.code == 120 {
            greeting = replies::reply(wire).await?;
        }
        match greeting.code {
            220 => {}
            421 => return Err(explain(wire, wire.username(), &greeting)),
            // RFC 959, section 5.4, has no other.
            _ => return Err(wire.foreign()),
        }
        self.calls_itself = greeting.lines.into_iter().next().unwrap_or_default();
        Ok(())
    }
}

fn explain(wire: &Link<'_>, username: &str, reply: &Reply) -> TestError {
    let words = || wire.clean(&reply.text());
    let wants_tls = reply.has("tls") || reply.has("ssl") || reply.has("encrypt") || reply.has("secure");
    match reply.code {
        421 if reply.has("too many") || reply.has("maximum") => causes::too_many_connections(),
        421 | 450 => causes::not_now(&words()),
        500..=599 if wants_tls && !wire.is_secured() => causes::tls_demanded(),
        430 | 530 => causes::credentials_refused(username),
        // What says so to a mail client is no FTP server.
        500..=502 => causes::not_that_database(wire.product()),
        _ => causes::server_error(&words()),
    }
}
