//! NATS: <https://docs.nats.io/reference/reference-protocols/nats-protocol>. The server speaks first, in the clear, and TLS begins after that.
//!
//! A server that asks nobody for a password takes any, so a wrong one is tried.

use dataflow_model::TestError;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{
    link::{ANYBODY, Link, Protocol},
    talk::Talk,
};
use crate::{Target, causes, http::Proof};

static PROTOCOL: Protocol = Protocol {
    name: "nats",
    product: "NATS",
    question: ANYBODY,
    is_its: |first| first.starts_with(b"INFO "),
    tls_start: None,
    goodbye: b"",
};

/// Longest `INFO`: it names every server of a cluster.
const LONGEST_INFO: usize = 32 * 1024;
/// Most lines between a question and its answer.
const MOST: usize = 20;

/// What a server tells of itself, as far as it matters.
#[derive(Debug, Default, Deserialize)]
struct Info {
    #[serde(default)]
    version: String,
    #[serde(default)]
    tls_required: bool,
    #[serde(default)]
    tls_available: bool,
}

/// What a client tells of itself.
#[derive(Serialize)]
struct Connect<'a> {
    verbose: bool,
    pedantic: bool,
    tls_required: bool,
    lang: &'static str,
    version: &'static str,
    name: &'static str,
    protocol: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pass: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_token: Option<&'a str>,
}

#[derive(Debug, Default)]
pub(crate) struct Nats {
    info: Info,
}

impl Talk for Nats {
    const PROTOCOL: &'static Protocol = &PROTOCOL;

    fn takes_anybody(_target: &Target) -> bool {
        true
    }

    fn port(target: &Target) -> u16 {
        target.port(4222)
    }

    fn begins_in_clear(target: &Target) -> bool {
        target.text("tls.mode") != "disable"
    }

    async fn ask_for_tls(&mut self, wire: &mut Link<'_>) -> Result<(), TestError> {
        self.greet(wire).await?;
        if self.info.tls_required || self.info.tls_available { Ok(()) } else { Err(causes::tls_not_offered()) }
    }

    async fn sign_in(&mut self, wire: &mut Link<'_>) -> Result<Proof, TestError> {
        // Whether it asks for a password, and its version, it says only before TLS. Nothing rests on that but words.
        if !wire.is_secured() {
            self.greet(wire).await?;
            if self.info.tls_required {
                return Err(causes::tls_demanded());
            }
        }
        let (username, password) = (wire.username(), wire.password());
        let is_nobody = username.is_empty() && password.is_empty();
        let connect = Connect {
            verbose: false,
            pedantic: false,
            tls_required: wire.is_secured(),
            lang: "rust",
            version: env!("CARGO_PKG_VERSION"),
            name: "dataflow",
            protocol: 1,
            user: Some(username).filter(|name| !name.is_empty()),
            pass: Some(password).filter(|_| !username.is_empty()),
            auth_token: Some(password).filter(|token| username.is_empty() && !token.is_empty()),
        };
        let connect =
            Zeroizing::new(serde_json::to_string(&connect).map_err(|_| causes::test_broken("CONNECT cannot be written"))?);
        wire.send(Zeroizing::new(format!("CONNECT {}\r\nPING\r\n", *connect)).as_bytes()).await?;
        self.pong(wire).await?;
        Ok(if is_nobody { Proof::Nothing("The server asks for no sign-in") } else { Proof::Checked })
    }

    async fn read(&mut self, wire: &mut Link<'_>) -> Result<Option<String>, TestError> {
        wire.send(b"PING\r\n").await?;
        self.pong(wire).await?;
        Ok(Some(self.info.version.as_str()).filter(|version| !version.is_empty()).map(|version| format!("NATS {version}")))
    }
}

impl Nats {
    async fn greet(&mut self, wire: &mut Link<'_>) -> Result<(), TestError> {
        let line = wire.greeting(LONGEST_INFO).await?;
        self.note(wire, &line)
    }

    fn note(&mut self, wire: &Link<'_>, line: &str) -> Result<(), TestError> {
        let info = line.strip_prefix("INFO ").and_then(|json| serde_json::from_str(json).ok());
        self.info = info.ok_or_else(|| wire.foreign())?;
        Ok(())
    }

    async fn pong(&mut self, wire: &mut Link<'_>) -> Result<(), TestError> {
        for _ in 0..MOST {
            let line = wire.line_within(LONGEST_INFO).await?;
            match line.as_str() {
                "PONG" => return Ok(()),
                "+OK" => {}
                "PING" => wire.send(b"PONG\r\n").await?,
                info if info.starts_with("INFO ") => self.note(wire, info)?,
                refused if refused.starts_with("-ERR") => return Err(explain(wire, refused)),
                _ => return Err(wire.foreign()),
            }
        }
        Err(wire.foreign())
    }
}

fn explain(wire: &Link<'_>, said: &str) -> TestError {
    let said = said.trim_start_matches("-ERR").trim().trim_matches('\'');
    let lower = said.to_ascii_lowercase();
    // Who took too long to sign in has shown nothing that is wrong.
    if (lower.contains("authorization") || lower.contains("authentication")) && !lower.contains("timeout") {
        return match (wire.username(), wire.password()) {
            ("", "") => causes::sign_in_missing(),
            ("", _) => causes::token_refused(),
            (username, "") => causes::password_missing(username),
            (username, _) => causes::credentials_refused(username),
        };
    }
    match lower.as_str() {
        _ if !wire.is_secured() && (lower.contains("tls required") || lower.contains("secure connection")) => {
            causes::tls_demanded()
        }
        _ if lower.contains("maximum") && lower.contains("connections") => causes::too_many_connections(),
        _ => causes::server_error(&wire.clean(said)),
    }
}
