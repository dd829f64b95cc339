//! Signing in. What the server may be answered depends on whether its certificate was verified:
//!
//! | asked for | TLS verified | otherwise |
//! |---|---|---|
//! | SCRAM-SHA-256, with or without channel binding | yes | yes: it gives nothing away, and proves the server too |
//! | nothing (trust, client certificate) | yes | yes: nothing is sent |
//! | MD5 | yes | only if `extra.insecure_auth` is `md5` |
//! | password in clear | yes | only if `extra.insecure_auth` is `password` |

use bytes::{Buf as _, Bytes};
use dataflow_model::{TestError, TestStatus};
use postgres_protocol::authentication::{
    md5_hash,
    sasl::{ChannelBinding, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256},
};

use super::{PRODUCT, Session, settings, wire};
use crate::{causes, tls::TlsMode};

/// Most rounds of hashing that a server may ask for. PostgreSQL's default is 4,096; 20 million hold libpq for 9 s. The same
/// limit as in `postgres-protocol` and pgjdbc (CVE-2026-42198).
const MOST_ROUNDS: u64 = 100_000;

/// Codes of authentication messages.
const OK: u32 = 0;
const CLEAR_TEXT: u32 = 3;
const MD5: u32 = 5;
const SASL: u32 = 10;
const SASL_CONTINUE: u32 = 11;
const SASL_FINAL: u32 = 12;

impl<'a> Session<'a> {
    /// `Unproven` if there is a password, and the server let us in without asking for it.
    pub(super) async fn sign_in(&mut self) -> Result<TestStatus, TestError> {
        let (user, database, options) = (self.username(), self.database(), settings::options(&self.target.public));
        let application = settings::application_name(&self.target.public);
        self.send(|buffer| {
            let always = [("client_encoding", "UTF8"), ("user", user), ("database", database), ("application_name", application)];
            let own = (!options.is_empty()).then_some(("options", options.as_str()));
            wire::startup_message(always.into_iter().chain(own), buffer)
        })
        .await?;
        match self.challenge().await? {
            (OK, _) => {
                let nothing_to_check = self.password().is_empty() || self.tls.has_client_certificate();
                return Ok(if nothing_to_check { TestStatus::Ok } else { TestStatus::Unproven });
            }
            (SASL, mechanisms) => self.answer_scram(&mechanisms).await?,
            (MD5, salt) => self.answer_md5(&salt).await?,
            (CLEAR_TEXT, _) => self.answer_in_clear().await?,
            (code, _) => return Err(causes::authentication_unsupported(method(code))),
        }
        self.expect(OK).await?;
        self.has_proved_password = true;
        Ok(TestStatus::Ok)
    }

    async fn answer_scram(&mut self, mechanisms: &[u8]) -> Result<(), TestError> {
        self.require_password()?;
        let offered = |name: &str| mechanisms.split(|byte| *byte == 0).any(|one| one == name.as_bytes());
        let (binding, mechanism) = match self.binding.take() {
            Some(hash) if offered(SCRAM_SHA_256_PLUS) => (ChannelBinding::tls_server_end_point(hash), SCRAM_SHA_256_PLUS),
            // We could bind and say so: a server that could as well then notices that its offer was taken away on the way.
            Some(_) if offered(SCRAM_SHA_256) => (ChannelBinding::unrequested(), SCRAM_SHA_256),
            None if offered(SCRAM_SHA_256) => (ChannelBinding::unsupported(), SCRAM_SHA_256),
            _ => return Err(causes::authentication_unsupported("a SASL mechanism other than SCRAM-SHA-256")),
        };
        let mut scram = ScramSha256::new(self.password().as_bytes(), binding);
        self.send(|buffer| wire::sasl_initial_response(mechanism, scram.message(), buffer)).await?;

        let first = self.expect(SASL_CONTINUE).await?;
        if let Some(rounds) = rounds(&first).filter(|rounds| *rounds > MOST_ROUNDS) {
            return Err(causes::too_many_rounds(rounds, MOST_ROUNDS));
        }
        scram.update(&first).map_err(|_| causes::server_unproven())?;
        self.send(|buffer| wire::sasl_response(scram.message(), buffer)).await?;

        let last = self.expect(SASL_FINAL).await?;
        scram.finish(&last).map_err(|_| causes::server_unproven())
    }

    async fn answer_md5(&mut self, salt: &[u8]) -> Result<(), TestError> {
        self.require_leave("an MD5 hash of the password", "md5", "MD5")?;
        self.require_password()?;
        let salt = salt.try_into().map_err(|_| causes::not_that_database(PRODUCT))?;
        let hash = md5_hash(self.username().as_bytes(), self.password().as_bytes(), salt);
        self.send(|buffer| wire::password_message(hash.as_bytes(), buffer)).await
    }

    async fn answer_in_clear(&mut self) -> Result<(), TestError> {
        self.require_leave("the password in clear", "password", "Password in clear")?;
        self.require_password()?;
        let password = self.password();
        self.send(|buffer| wire::password_message(password.as_bytes(), buffer)).await
    }

    /// Refuses unless TLS is verified, or an admin allowed exactly this `choice`.
    fn require_leave(&self, asked: &str, choice: &str, label: &str) -> Result<(), TestError> {
        if self.tls.is_verified() || self.target.text("extra.insecure_auth") == choice {
            return Ok(());
        }
        let better = "let the server ask for SCRAM (password_encryption = 'scram-sha-256', and set the password anew)";
        Err(causes::insecure_authentication_refused(asked, better, Some(label)))
    }

    fn require_password(&self) -> Result<(), TestError> {
        if self.password().is_empty() { Err(causes::password_missing(self.username())) } else { Ok(()) }
    }

    pub(super) fn password(&self) -> &'a str {
        self.target.expose_secret("password")
    }

    /// The next authentication message: its code and what follows it.
    async fn challenge(&mut self) -> Result<(u32, Bytes), TestError> {
        loop {
            match self.next().await? {
                (b'R', mut body) if body.len() >= 4 => return Ok((body.get_u32(), body)),
                // A notice, or the server's word that it knows no newer minor version.
                (b'N' | b'v', _) => {}
                _ => return Err(causes::not_that_database(PRODUCT)),
            }
        }
    }

    /// A server that leaves out a part of the exchange has proven nothing.
    async fn expect(&mut self, expected: u32) -> Result<Bytes, TestError> {
        let (code, body) = self.challenge().await?;
        if code == expected { Ok(body) } else { Err(causes::server_unproven()) }
    }

    pub(super) fn is_plain(&self) -> bool {
        self.tls.mode() == TlsMode::Disable
    }
}

/// The number of rounds in the server's first SCRAM message: `r=…,s=…,i=4096`. A number that is too long counts as most.
fn rounds(message: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(message).ok()?;
    text.split(',').find_map(|part| part.strip_prefix("i=")).map(|rounds| rounds.parse().unwrap_or(u64::MAX))
}

fn method(code: u32) -> &'static str {
    match code {
        2 => "Kerberos 5",
        7 | 8 => "GSSAPI",
        9 => "SSPI",
        _ => "a method that is not known",
    }
}
