//! Oracle Database, from 12.1 on. Its protocol (TNS below, TTC above) is not published; what is said and read here is what Oracle's own open
//! driver says and reads in its thin mode: <https://github.com/oracle/python-oracledb/tree/main/src/oracledb/impl/thin>.
//!
//! The sign-in proves the password on both sides and does not tell it to who listens. No statement is run: a ping is what is read.

mod auth;
mod bytes;
#[cfg(test)]
mod fuzz;
mod negotiation;
mod packet;
mod proof;
mod refusal;

use std::time::{Duration, SystemTime};

use dataflow_model::{Learned, TestError, settle::is_loopback};

use self::{
    auth::{Answer, Challenge, Phase},
    packet::{Kind, Session},
};
use super::{
    link::{Link, Protocol},
    talk::Talk,
};
use crate::{Target, causes, connector, http::Proof, tls::TlsMode};

static PROTOCOL: Protocol = Protocol {
    name: "oracle",
    product: "Oracle Database",
    question: packet::QUESTION,
    // The head of an acceptance, a refusal, a redirection or the wish to hear it again.
    is_its: |first| matches!(first, [_, _, 0, 0, 2 | 4 | 5 | 11, _, 0, 0, ..]),
    tls_start: None,
    // That is all (TNS data with the flag EOF).
    goodbye: b"\0\0\0\x0a\x06\0\0\0\0\x40",
};

const SID: &str = "extra.sid";
/// Longest username and password.
const LONGEST: usize = 1024;
const DAY: Duration = Duration::from_hours(24);

#[derive(Debug, Default)]
pub(crate) struct Oracle {
    session: Session,
    version: String,
    service: String,
    /// Days that the password still has, if the server warns of that.
    days_left: Option<u32>,
}

impl Talk for Oracle {
    const PROTOCOL: &'static Protocol = &PROTOCOL;

    fn port(target: &Target) -> u16 {
        target.port(if target.text("tls.mode") == "disable" { 1521 } else { 2484 })
    }

    /// It begins at once, and perhaps once more.
    fn begins_in_clear(_target: &Target) -> bool {
        true
    }

    /// Who listens learns no more than a challenge and its answer.
    fn tells_password(_target: &Target) -> bool {
        false
    }

    fn check(target: &Target) -> Result<(), TestError> {
        let (service, sid) = (target.text("database"), target.text(SID));
        match (service, sid) {
            ("", "") => Err(causes::oracle_service_missing()),
            (service, _) if !is_name(service) => Err(causes::unspeakable_in("database", PROTOCOL.product)),
            (_, sid) if !is_name(sid) => Err(causes::unspeakable_in(SID, PROTOCOL.product)),
            _ => Ok(()),
        }
    }

    async fn ask_for_tls(&mut self, wire: &mut Link<'_>) -> Result<(), TestError> {
        wire.keep();
        Ok(())
    }

    async fn sign_in(&mut self, wire: &mut Link<'_>) -> Result<Proof, TestError> {
        let (username, password) = (wire.username(), wire.password());
        if password.is_empty() {
            return Err(causes::password_missing(username));
        }
        for (field, value) in [("username", username), ("password", password)] {
            if value.contains('\0') || value.len() > LONGEST {
                return Err(causes::unspeakable_in(field, wire.product()));
            }
        }
        connect(&mut self.session, wire).await?;
        negotiation::agree(&mut self.session, wire).await?;
        let first = auth::ask(&mut self.session, wire, &Phase::One).await?;
        let challenge = Challenge::of(&succeeded(wire, first)?).map_err(|refused| refused.told(wire))?;
        let answered = proof::answer(password, &challenge).ok_or_else(|| causes::test_broken("there is no randomness"))?;
        let second = auth::ask(&mut self.session, wire, &Phase::Two(&answered)).await?;
        let second = succeeded(wire, second)?;
        let is_proven = second.pairs.get("AUTH_SVR_RESPONSE").is_some_and(|response| answered.is_proven_by(response));
        if !is_proven {
            return Err(causes::server_unproven());
        }
        let number = second.pairs.get("AUTH_VERSION_NO").and_then(|number| number.parse().ok());
        self.version = number.map(|number| self.session.version(number)).unwrap_or_default();
        self.service = second.pairs.get("AUTH_SC_SERVICE_NAME").cloned().unwrap_or_default();
        self.days_left = second.days_left;
        Ok(Proof::Checked)
    }

    async fn open(&mut self, wire: &mut Link<'_>) -> Result<Option<String>, TestError> {
        let opened = if self.service.is_empty() { wire.target.text("database") } else { &self.service };
        let opened = if opened.is_empty() { wire.target.text(SID) } else { opened };
        Ok(Some(wire.clean(opened)))
    }

    async fn read(&mut self, wire: &mut Link<'_>) -> Result<Option<String>, TestError> {
        let answer = auth::ask(&mut self.session, wire, &Phase::Ping).await?;
        succeeded(wire, answer)?;
        Ok(Some(self.version.as_str()).filter(|version| !version.is_empty()).map(|version| format!("Oracle Database {version}")))
    }

    async fn learn(&mut self, _wire: &mut Link<'_>, learned: &mut Learned) {
        let ends = self.days_left.map(|days| connector::now() + DAY * days.min(10_000));
        let ends = ends.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
        learned.password_ends_at = ends.and_then(|since| i64::try_from(since.as_secs()).ok()).and_then(crate::tls::timestamp);
    }
}

fn succeeded(wire: &Link<'_>, answer: Answer) -> Result<Answer, TestError> {
    match &answer.error {
        Some(said) => Err(refusal::of_server(wire, said)),
        None => Ok(answer),
    }
}

/// What cannot be taken for another part of a connect descriptor.
fn is_name(name: &str) -> bool {
    name.len() <= 250 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'$' | b'#'))
}

/// Most answers of a listener before one that counts.
const ROUNDS: usize = 5;

/// Finds the database behind the listener. Of a cluster the listener names the machine that has it, to go on there.
async fn connect(session: &mut Session, wire: &mut Link<'_>) -> Result<(), TestError> {
    let (mut asked, mut is_redirected) = (descriptor(wire), false);
    for _ in 0..ROUNDS {
        packet::connect(wire, &asked, is_redirected).await?;
        let answer = session.packet(wire).await?;
        match answer.kind {
            Kind::Accept => return session.accepted(wire, &answer.body),
            // The process that has taken over from the listener has not heard it, and perhaps not been there when TLS was set up.
            Kind::Resend if answer.flags & packet::TLS_AGAIN != 0 && wire.is_secured() => wire.secure_again().await?,
            Kind::Resend => {}
            Kind::Refuse => return Err(refusal::of_listener(wire, answer.body.get(4..).unwrap_or_default())),
            Kind::Redirect if !is_redirected => {
                let place = packet::redirected(session, wire, &answer.body).await?;
                let has_tls = wire.tls.mode() != TlsMode::Disable;
                // Nobody reads along on this machine; elsewhere somebody may.
                if !has_tls && is_loopback(wire.host()) && !is_loopback(&place.host) {
                    return Err(causes::oracle_sent_out_in_clear(&wire.clean(&place.host), place.port));
                }
                wire.move_to(&place.host, place.port).await?;
                if has_tls {
                    wire.keep();
                    wire.secure().await?;
                }
                asked = place.descriptor;
                is_redirected = true;
            }
            Kind::Redirect => return Err(causes::oracle_sent_on_twice()),
            _ => return Err(wire.foreign()),
        }
    }
    Err(wire.foreign())
}

/// What is asked for, in the form of `tnsnames.ora`.
fn descriptor(wire: &Link<'_>) -> String {
    let protocol = if wire.is_secured() { "tcps" } else { "tcp" };
    let (service, sid) = (wire.target.text("database"), wire.target.text(SID));
    let name = if service.is_empty() { format!("SID={sid}") } else { format!("SERVICE_NAME={service}") };
    let port = Oracle::port(wire.target);
    let host: String = wire.host().chars().filter(|letter| !matches!(letter, '(' | ')' | '=')).collect();
    format!(
        "(DESCRIPTION=(ADDRESS=(PROTOCOL={protocol})(HOST={host})(PORT={port}))(CONNECT_DATA=({name})(CID=(PROGRAM=dataflow)(HOST=dataflow)(USER=dataflow))))"
    )
}
