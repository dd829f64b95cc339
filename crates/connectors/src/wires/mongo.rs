//! MongoDB: `OP_MSG` (<https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/>) and SCRAM-SHA-256
//! (<https://github.com/mongodb/specifications/blob/master/source/auth/auth.md>).
//!
//! The password is never sent, and the server proves that it knows it. SCRAM-SHA-1 rests on MD5, which nothing else here needs: of a user that has
//! no other way, that is said.

use dataflow_model::{StepName, TestError};
use zeroize::Zeroizing;

use super::{
    bson::{Document, Draft},
    link::{LARGEST, Link, Protocol},
    scram::{Hash, Scram},
    talk::Talk,
};
use crate::{Target, causes, http::Proof};

static PROTOCOL: Protocol = Protocol {
    name: "mongo",
    product: PRODUCT,
    // `{hello: 1, $db: "admin"}`
    question: b"\x34\0\0\0\x01\0\0\0\0\0\0\0\xdd\x07\0\0\0\0\0\0\0\x1f\0\0\0\x10hello\0\x01\0\0\0\x02$db\0\x06\0\0\0admin\0\0",
    is_its: |first| matches!(first, [.., 0xdd, 7, 0, 0] if first.len() == HEADER),
    tls_start: None,
    goodbye: b"",
};

const PRODUCT: &str = "MongoDB";
const HEADER: usize = 16;
const OP_MSG: [u8; 4] = [0xdd, 7, 0, 0];
/// The only flag that says nothing but that a checksum follows.
const HAS_CHECKSUM: u32 = 1;
const MECHANISM: &str = "SCRAM-SHA-256";
/// What MongoDB 4.0 calls its protocol, with which SCRAM-SHA-256 came.
const OLDEST: i64 = 7;
const ADMIN: &str = "admin";

const UNAUTHORIZED: i64 = 13;
/// What Atlas has for several things.
const ATLAS: i64 = 8000;

#[derive(Debug, Default)]
pub(crate) struct Mongo {
    count: i32,
    /// Of which set of servers it is one, and what it does there.
    set: Option<String>,
}

impl Talk for Mongo {
    const PROTOCOL: &'static Protocol = &PROTOCOL;

    fn port(target: &Target) -> u16 {
        target.port(27017)
    }

    fn tells_password(_target: &Target) -> bool {
        false
    }

    fn check(target: &Target) -> Result<(), TestError> {
        super::require_username(target)
    }

    async fn sign_in(&mut self, wire: &mut Link<'_>) -> Result<Proof, TestError> {
        let (username, password) = (wire.username(), wire.password());
        let database = match wire.target.text("extra.auth_source") {
            "" => ADMIN,
            name => name,
        };
        wire.require_one_line(&[("username", username), ("extra.auth_source", database), ("password", password)])?;
        let offered = self.greet(wire, &format!("{database}.{username}")).await?;
        if username.is_empty() {
            let filter = Draft::new().text("name", ADMIN);
            let asked = Draft::command("listDatabases", ADMIN).flag("nameOnly", true).document("filter", filter);
            self.ask(wire, asked).await?;
            return Ok(Proof::Nothing("The server asks for no sign-in"));
        }
        if password.is_empty() {
            return Err(causes::password_missing(username));
        }
        // What the server does not know of may be a user that it does not name.
        if offered.is_some_and(|offered| !offered.iter().any(|one| one == MECHANISM)) {
            return Err(causes::older_scram(username));
        }
        let prepared = stringprep::saslprep(password).map_err(|_| causes::unspeakable_in("password", PRODUCT))?;
        let prepared = Zeroizing::new(prepared.into_owned());
        let mut scram = Scram::new(Hash::Sha256, username, &prepared)?;
        let start = Draft::command("saslStart", database).text("mechanism", MECHANISM);
        let options = Draft::new().flag("skipEmptyExchange", true);
        let start = start.binary("payload", scram.first().as_bytes()).document("options", options);
        let (first, conversation, _) = self.exchange(wire, start).await?;
        let next = |payload: &[u8]| {
            Draft::command("saslContinue", database).integer("conversationId", conversation).binary("payload", payload)
        };
        let answer = scram.answer(&first)?;
        let (last, _, is_done) = self.exchange(wire, next(answer.as_bytes())).await?;
        scram.verify(&last)?;
        if !is_done {
            let (_, _, is_done) = self.exchange(wire, next(b"")).await?;
            if !is_done {
                return Err(wire.foreign());
            }
        }
        Ok(Proof::Checked)
    }

    /// Asks for collections of an impossible name: who may list them may, and nothing is left open at the server.
    async fn open(&mut self, wire: &mut Link<'_>) -> Result<Option<String>, TestError> {
        let database = wire.target.text("database");
        if database.is_empty() {
            return Ok(None);
        }
        wire.require_one_line(&[("database", database)])?;
        let asked = Draft::command("listCollections", database).flag("nameOnly", true).flag("authorizedCollections", true);
        self.ask(wire, asked.document("filter", Draft::new().text("name", "$"))).await?;
        Ok(Some(database.to_owned()))
    }

    async fn read(&mut self, wire: &mut Link<'_>) -> Result<Option<String>, TestError> {
        let database = match wire.target.text("database") {
            "" => ADMIN,
            name => name,
        };
        self.ask(wire, Draft::command("ping", database)).await?;
        let reply = self.ask(wire, Draft::command("buildInfo", ADMIN)).await?;
        Ok(Document::read(&reply).and_then(|reply| reply.text("version")).map(|version| format!("{PRODUCT} {version}")))
    }

    fn found(&self) -> Option<String> {
        self.set.clone()
    }
}

impl Mongo {
    /// The ways to sign in that the server has for that user, if it says so.
    async fn greet(&mut self, wire: &mut Link<'_>, user: &str) -> Result<Option<Vec<String>>, TestError> {
        let mut hello = Draft::command("hello", ADMIN);
        if !wire.username().is_empty() {
            hello = hello.text("saslSupportedMechs", user);
        }
        let reply = self.ask(wire, hello).await?;
        let reply = Document::read(&reply).ok_or_else(|| wire.foreign())?;
        match reply.integer("maxWireVersion") {
            None => return Err(wire.foreign()),
            Some(version) if version < OLDEST => return Err(causes::protocol_too_old(PRODUCT)),
            Some(_) => {}
        }
        let role = match () {
            () if reply.says_yes("isWritablePrimary") => ", primary",
            () if reply.says_yes("secondary") => ", secondary",
            () => "",
        };
        self.set = match (reply.text("setName"), reply.text("msg")) {
            (Some(name), _) => Some(format!("replica set {name}{role}")),
            (None, Some("isdbgrid")) => Some("sharded cluster".to_owned()),
            _ => None,
        };
        let offered = reply.texts("saslSupportedMechs");
        Ok(offered.map(|offered| offered.into_iter().map(str::to_owned).collect()))
    }

    /// What the server says in the exchange, which one that is, and whether it is over.
    async fn exchange(&mut self, wire: &mut Link<'_>, command: Draft) -> Result<(Vec<u8>, i32, bool), TestError> {
        let reply = self.ask(wire, command).await?;
        let parts = Document::read(&reply).and_then(|reply| {
            let conversation = i32::try_from(reply.integer("conversationId")?).ok()?;
            Some((reply.binary("payload")?.to_vec(), conversation, reply.says_yes("done")))
        });
        parts.ok_or_else(|| wire.foreign())
    }

    /// Asks, and has the bytes of the document that is answered, if it says yes.
    async fn ask(&mut self, wire: &mut Link<'_>, command: Draft) -> Result<Vec<u8>, TestError> {
        self.count += 1;
        let command = command.bytes();
        let length = u32::try_from(HEADER + 5 + command.len()).map_err(|_| causes::test_broken("a command is too long"))?;
        // Header, no flags, and one section of one document.
        let message = [&length.to_le_bytes()[..], &self.count.to_le_bytes(), &[0; 4], &OP_MSG, &[0; 5], &command].concat();
        wire.send(&message).await?;
        let length = wire.exact(4).await?;
        let length = length.first_chunk().map_or(u32::MAX, |bytes| u32::from_le_bytes(*bytes));
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if !(HEADER + 5..=LARGEST).contains(&length) {
            return Err(wire.foreign());
        }
        let rest = wire.exact(HEADER - 4).await?;
        if rest.get(4..) != Some([self.count.to_le_bytes(), OP_MSG].concat().as_slice()) {
            return Err(wire.foreign());
        }
        let body = wire.exact(length - HEADER).await?;
        let body = section(&body).filter(|body| Document::read(body).is_some()).ok_or_else(|| wire.foreign())?.to_vec();
        match Document::read(&body) {
            Some(reply) if reply.says_yes("ok") => Ok(body),
            Some(reply) => Err(explain(wire, reply)),
            None => Err(wire.foreign()),
        }
    }
}

/// The one section of a message.
fn section(body: &[u8]) -> Option<&[u8]> {
    let (flags, rest) = body.split_first_chunk::<4>()?;
    let (kind, rest) = rest.split_first()?;
    match (u32::from_le_bytes(*flags), kind) {
        (0, 0) => Some(rest),
        (HAS_CHECKSUM, 0) => rest.split_last_chunk::<4>().map(|(rest, _)| rest),
        _ => None,
    }
}

/// Codes are those of <https://github.com/mongodb/mongo/blob/master/src/mongo/base/error_codes.yml>.
fn explain(wire: &Link<'_>, reply: Document<'_>) -> TestError {
    let said = reply.text("errmsg").unwrap_or_default();
    let (username, database) = (wire.username(), wire.target.text("database"));
    match (reply.integer("code"), wire.step) {
        (Some(UNAUTHORIZED | ATLAS), StepName::SignIn) if username.is_empty() => causes::sign_in_missing(),
        // UserNotFound and AuthenticationFailed.
        (Some(11 | 18), StepName::SignIn) => causes::credentials_refused(username),
        (Some(ATLAS), StepName::SignIn) if said.contains("auth") => causes::credentials_refused(username),
        // MechanismUnavailable
        (Some(334), StepName::SignIn) => causes::older_scram(username),
        // CommandNotFound: `hello` came with 4.4.2.
        (Some(59), StepName::SignIn) => causes::protocol_too_old(PRODUCT),
        // InvalidNamespace
        (Some(73), StepName::OpenDatabase) => causes::database_missing(database),
        (Some(UNAUTHORIZED), StepName::OpenDatabase) => causes::no_right_or_missing(username, database),
        (Some(UNAUTHORIZED), _) => causes::read_refused(&wire.clean(said)),
        // ShutdownInProgress, PrimarySteppedDown, and what is interrupted by either.
        (Some(91 | 189 | 11600 | 11602 | 13436), _) => causes::server_starting(),
        _ => causes::server_error(&wire.clean(said)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_is_a_whole_message() {
        let command = Draft::command("hello", ADMIN).bytes();
        let length = u32::try_from(HEADER + 5 + command.len()).expect("short").to_le_bytes();
        let message = [&length[..], &[1, 0, 0, 0], &[0; 4], &OP_MSG, &[0; 5], &command].concat();
        assert_eq!(PROTOCOL.question.escape_ascii().to_string(), message.escape_ascii().to_string());
    }
}
