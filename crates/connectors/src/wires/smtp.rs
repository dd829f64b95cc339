//! SMTP (RFC 5321) as a client that hands mail in (RFC 6409): it greets, signs in (RFC 4954), and sends nothing.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use dataflow_model::TestError;
use zeroize::Zeroizing;

use super::{
    TLS_START,
    link::{ANYBODY, Link, Protocol},
    mail,
    replies::{self, Reply, say},
    talk::Talk,
};
use crate::{
    Target, causes,
    http::Proof,
    message::{Addressing, Message, SENDER},
    tls::{TlsMode, TlsSettings},
};

static PROTOCOL: Protocol = Protocol {
    name: "smtp",
    product: "SMTP",
    question: ANYBODY,
    is_its: |first| {
        matches!(first, [b'2', b'2', b'0', b' ' | b'-', ..] | [b'5', b'5', b'4', b' ', ..] | [b'4', b'2', b'1', b' ', ..])
    },
    tls_start: Some(TLS_START),
    goodbye: b"QUIT\r\n",
};

#[derive(Debug, Default)]
pub(crate) struct Smtp {
    /// What it says that it is.
    calls_itself: String,
    is_greeted: bool,
    extensions: Vec<String>,
}

impl Talk for Smtp {
    const PROTOCOL: &'static Protocol = &PROTOCOL;

    fn port(target: &Target) -> u16 {
        target.port(match (TlsSettings::of(target).mode(), Self::begins_in_clear(target)) {
            (TlsMode::Disable, _) => 25,
            (_, true) => 587,
            (_, false) => 465,
        })
    }

    fn takes_anybody(target: &Target) -> bool {
        super::may_be_a_catcher(target)
    }

    fn begins_in_clear(target: &Target) -> bool {
        super::begins_on_request(target)
    }

    async fn ask_for_tls(&mut self, wire: &mut Link<'_>) -> Result<(), TestError> {
        self.greet(wire).await?;
        if !self.offers("STARTTLS") {
            return Err(causes::tls_not_offered());
        }
        let reply = say(wire, "STARTTLS").await?;
        if reply.code == 220 { Ok(()) } else { Err(causes::tls_not_offered()) }
    }

    async fn sign_in(&mut self, wire: &mut Link<'_>) -> Result<Proof, TestError> {
        if wire.is_secured() && Self::begins_in_clear(wire.target) {
            self.hello(wire).await?;
        } else {
            self.greet(wire).await?;
        }
        let (username, password) = (wire.username(), wire.password());
        match (username, password) {
            ("", "") => return Ok(Proof::Nothing("No username is set")),
            ("", _) => return Err(causes::setting_missing("username", "The username")),
            (_, "") => return Err(causes::password_missing(username)),
            _ => {}
        }
        let offered = self.extensions.iter().find_map(|line| line.strip_prefix("AUTH ")).unwrap_or_default().to_owned();
        let offers = |wanted: &str| offered.split(' ').any(|one| one == wanted);
        let reply = if offers("PLAIN") {
            wire.require_one_line(&[("username", username), ("password", password)])?;
            let identity = Zeroizing::new(format!("\0{username}\0{password}"));
            say(wire, &Zeroizing::new(format!("AUTH PLAIN {}", STANDARD.encode(identity.as_bytes())))).await?
        } else if offers("LOGIN") {
            self.log_in(wire).await?
        } else if offered.is_empty() {
            return Err(causes::sign_in_not_offered(wire.is_secured()));
        } else {
            return Err(causes::authentication_unsupported(&wire.clean(&offered)));
        };
        if reply.code == 235 { Ok(Proof::Checked) } else { Err(explain(wire, &reply)) }
    }

    fn addressing() -> Option<Addressing> {
        Some(Addressing::Mail)
    }

    /// Handed over is what the server takes for one of the addresses at least (RFC 5321, section 3.3).
    async fn send(&mut self, wire: &mut Link<'_>, message: &Message) -> Result<Option<String>, TestError> {
        let [from, to] = [vec![message.from.clone()], message.to.clone()];
        if !from.iter().chain(&to).all(|address| Addressing::Mail.takes(address)) {
            return Err(causes::unspeakable_in(SENDER, wire.product()));
        }
        let reply = say(wire, &format!("MAIL FROM:<{}>", message.from)).await?;
        match reply.code {
            250 => {}
            530 => return Err(explain(wire, &reply)),
            _ => return Err(causes::sender_refused(&message.from, &wire.clean(&reply.text()))),
        }
        let mut refused = Vec::new();
        for address in &to {
            let reply = say(wire, &format!("RCPT TO:<{address}>")).await?;
            if !matches!(reply.code, 250 | 251) {
                refused.push((address, reply));
            }
        }
        if let Some((_, reply)) = refused.first().filter(|_| refused.len() == to.len()) {
            return Err(causes::recipients_refused(&wire.clean(&reply.text())));
        }
        let reply = say(wire, "DATA").await?;
        if reply.code != 354 {
            return Err(causes::mail_refused(&wire.clean(&reply.text())));
        }
        let reply = say(wire, &mail::written(message)).await?;
        if reply.code != 250 {
            return Err(causes::mail_refused(&wire.clean(&reply.text())));
        }
        let addresses: Vec<_> = refused.iter().map(|(address, _)| address.as_str()).collect();
        Ok((!addresses.is_empty()).then(|| format!("not to {}: the server refused", addresses.join(", "))))
    }

    async fn read(&mut self, wire: &mut Link<'_>) -> Result<Option<String>, TestError> {
        let reply = say(wire, "NOOP").await?;
        if reply.code == 250 { Ok(Some(self.calls_itself.clone())) } else { Err(explain(wire, &reply)) }
    }
}

impl Smtp {
    async fn greet(&mut self, wire: &mut Link<'_>) -> Result<(), TestError> {
        let greeting = replies::greeting(wire).await?;
        match greeting.code {
            220 => {}
            421 | 554 => return Err(explain(wire, &greeting)),
            // RFC 5321, section 4.3.2, has no other.
            _ => return Err(wire.foreign()),
        }
        self.calls_itself = greeting.lines.into_iter().next().unwrap_or_default();
        self.is_greeted = true;
        self.hello(wire).await
    }

    /// What counts is what is said inside TLS, where there is TLS.
    async fn hello(&mut self, wire: &mut Link<'_>) -> Result<(), TestError> {
        // Who has no name says an address (section 4.1.3).
        let reply = say(wire, "EHLO [127.0.0.1]").await?;
        match reply.code {
            250 => {}
            421 | 450 | 451 | 554 => return Err(explain(wire, &reply)),
            // It takes no greeting like this one, or not from here (section 4.3.2).
            501 | 504 | 550 => return Err(causes::server_error(&wire.clean(&reply.text()))),
            _ => return Err(causes::not_that_database(wire.product())),
        }
        self.extensions = reply.lines.iter().skip(1).map(|line| line.to_ascii_uppercase()).collect();
        if !self.is_greeted {
            self.calls_itself = reply.lines.into_iter().next().unwrap_or_default();
        }
        Ok(())
    }

    fn offers(&self, extension: &str) -> bool {
        self.extensions.iter().any(|line| line.split(' ').next() == Some(extension))
    }

    async fn log_in(&self, wire: &mut Link<'_>) -> Result<Reply, TestError> {
        let (username, password) = (wire.username(), wire.password());
        let mut reply = say(wire, "AUTH LOGIN").await?;
        for answer in [username, password] {
            if reply.code != 334 {
                break;
            }
            reply = say(wire, &Zeroizing::new(STANDARD.encode(answer))).await?;
        }
        Ok(reply)
    }
}

/// Codes of RFC 4954, section 6, and of RFC 5321, section 4.2.3.
fn explain(wire: &Link<'_>, reply: &Reply) -> TestError {
    let words = || wire.clean(&reply.text());
    match reply.code {
        421 if reply.has("too many") => causes::too_many_connections(),
        421 | 432 | 450 | 451 | 454 => causes::not_now(&words()),
        530 | 538 if !wire.is_secured() && (reply.code == 538 || reply.has("tls")) => causes::tls_demanded(),
        530 if reply.has("tls") => causes::server_error(&words()),
        530 | 534 | 535 => causes::credentials_refused(wire.username()),
        504 => causes::authentication_unsupported(&words()),
        554 => causes::address_not_permitted(wire.username()),
        _ => causes::server_error(&words()),
    }
}
