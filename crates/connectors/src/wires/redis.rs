//! Redis and what speaks its protocol, RESP: <https://redis.io/docs/latest/develop/reference/protocol-spec/>.
//!
//! Version 2 of it, which every server speaks. A user of its access lists may have no password at all and then takes any, so a wrong one is
//! tried.

use std::fmt::Write as _;

use dataflow_model::{StepName, TestError};
use zeroize::Zeroizing;

use super::{
    link::{LARGEST, Link, Protocol},
    talk::Talk,
};
use crate::{Target, causes, http::Proof};

static PROTOCOL: Protocol = Protocol {
    name: "redis",
    product: "Redis",
    question: b"PING\r\n",
    is_its: |first| match first.split_first() {
        Some((b'+', word)) => word.starts_with(b"OK\r") || word.starts_with(b"PONG\r"),
        Some((b'-', said)) => CODES.iter().any(|code| said.starts_with(code.as_bytes().get(..7).unwrap_or(code.as_bytes()))),
        _ => false,
    },
    tls_start: None,
    goodbye: b"",
};

/// How refusals begin. What begins otherwise is somebody else's, and not shown.
const CODES: [&str; 17] = [
    "ERR ",
    "WRONGPASS ",
    "NOAUTH ",
    "NOPERM ",
    "DENIED ",
    "LOADING ",
    "MASTERDOWN ",
    "CLUSTERDOWN ",
    "BUSY ",
    "MISCONF ",
    "NOREPLICAS ",
    "READONLY ",
    "MOVED ",
    "TRYAGAIN ",
    "OOM ",
    "UNKILLABLE ",
    "NOPROTO ",
];

const NO_PASSWORD_ASKED: &str = "The server asks for no password";

#[derive(Debug, Default)]
pub(crate) struct Redis;

/// What a command is answered.
#[derive(Debug, PartialEq, Eq)]
enum Reply {
    /// `+`: one line.
    Status(String),
    /// `$`: bytes of a length that is told first.
    Text(String),
    /// `-`, one of [`CODES`] first.
    Refusal(String),
}

impl Talk for Redis {
    const PROTOCOL: &'static Protocol = &PROTOCOL;

    fn takes_anybody(_target: &Target) -> bool {
        true
    }

    fn port(target: &Target) -> u16 {
        target.port(6379)
    }

    async fn sign_in(&mut self, wire: &mut Link<'_>) -> Result<Proof, TestError> {
        let (username, password) = (wire.username(), wire.password());
        match (username, password) {
            ("", "") => {
                expect(wire, &["PING"], "PONG").await?;
                Ok(Proof::Nothing(NO_PASSWORD_ASKED))
            }
            ("", password) => {
                expect(wire, &["AUTH", password], "OK").await?;
                Ok(Proof::Checked)
            }
            (username, "") => match ask(wire, &["AUTH", username, ""]).await? {
                Reply::Status(said) if said == "OK" => Ok(Proof::Nothing("The server lets this user in without a password")),
                Reply::Refusal(said) if is_wrong(&said) => Err(causes::password_missing(username)),
                Reply::Refusal(said) => Err(explain(wire, &said)),
                _ => Err(wire.foreign()),
            },
            (username, password) => {
                expect(wire, &["AUTH", username, password], "OK").await?;
                Ok(Proof::Checked)
            }
        }
    }

    async fn open(&mut self, wire: &mut Link<'_>) -> Result<Option<String>, TestError> {
        let Some(number) = wire.target.public.integer("database") else { return Ok(None) };
        let number = number.to_string();
        match ask(wire, &["SELECT", &number]).await? {
            Reply::Status(said) if said == "OK" => Ok(Some(number)),
            Reply::Refusal(said) if said.contains("out of range") => Err(causes::database_missing(&number)),
            Reply::Refusal(said) if said.contains("cluster mode") => {
                Err(causes::invalid_settings(Some("database"), &wire.clean(&said)))
            }
            Reply::Refusal(said) => Err(explain(wire, &said)),
            _ => Err(wire.foreign()),
        }
    }

    async fn read(&mut self, wire: &mut Link<'_>) -> Result<Option<String>, TestError> {
        expect(wire, &["PING"], "PONG").await?;
        // Who may not ask for it has read all the same.
        match ask(wire, &["INFO", "server"]).await? {
            Reply::Text(text) => Ok(version(&text)),
            Reply::Refusal(_) => Ok(None),
            Reply::Status(_) => Err(wire.foreign()),
        }
    }
}

/// `Redis 7.0.15`, as the server's section of INFO has it.
fn version(info: &str) -> Option<String> {
    let value = |name: &str| info.lines().find_map(|line| line.trim_end().strip_prefix(name)?.strip_prefix(':'));
    let own = [("valkey_version", "Valkey"), ("dragonfly_version", "Dragonfly"), ("redis_version", "Redis")];
    own.into_iter().find_map(|(name, product)| Some(format!("{product} {}", value(name)?)))
}

/// Asks, and takes that one word for a yes: other services begin theirs with the same sign.
async fn expect(wire: &mut Link<'_>, words: &[&str], answer: &str) -> Result<(), TestError> {
    match ask(wire, words).await? {
        Reply::Status(said) if said == answer => Ok(()),
        Reply::Refusal(said) => Err(explain(wire, &said)),
        _ => Err(wire.foreign()),
    }
}

async fn ask(wire: &mut Link<'_>, words: &[&str]) -> Result<Reply, TestError> {
    // With room for all of it: nothing is left behind where it grew.
    let room = words.iter().map(|word| word.len() + 16).sum::<usize>() + 16;
    let mut command = Zeroizing::new(String::with_capacity(room));
    let _ = write!(command, "*{}\r\n", words.len());
    for word in words {
        let _ = write!(command, "${}\r\n{word}\r\n", word.len());
    }
    wire.send(command.as_bytes()).await?;
    let line = wire.line().await?;
    match line.split_at_checked(1) {
        Some(("+", said)) => Ok(Reply::Status(said.to_owned())),
        Some(("-", said)) if CODES.iter().any(|code| said.starts_with(code)) => Ok(Reply::Refusal(said.to_owned())),
        Some(("$", length)) => {
            let length = length.parse::<usize>().ok().filter(|length| *length <= LARGEST - 2).ok_or_else(|| wire.foreign())?;
            let bytes = wire.exact(length + 2).await?;
            let text = bytes.strip_suffix(b"\r\n").ok_or_else(|| wire.foreign())?;
            Ok(Reply::Text(String::from_utf8_lossy(text).into_owned()))
        }
        _ => Err(wire.foreign()),
    }
}

fn is_wrong(said: &str) -> bool {
    said.starts_with("WRONGPASS") || said.starts_with("ERR invalid password") || said.starts_with("ERR invalid username-password")
}

/// What is said to a sign-in is never shown: an answer to a command that is not known repeats the first 128 bytes of each of its words. And
/// before the sign-in is through, whoever speaks has not said yet that he is Redis.
fn explain(wire: &Link<'_>, said: &str) -> TestError {
    let is_signing_in = wire.step == StepName::SignIn;
    let username = if wire.username().is_empty() { "default" } else { wire.username() };
    let words = || wire.clean(said);
    match said.split(' ').next().unwrap_or_default() {
        _ if is_wrong(said) => causes::credentials_refused(username),
        "NOAUTH" => causes::password_missing(username),
        "DENIED" => causes::protected_mode(),
        "LOADING" | "MASTERDOWN" => causes::server_starting(),
        "NOPERM" if is_signing_in => causes::user_refused(username),
        "NOPERM" => causes::read_refused(&words()),
        "ERR" if said.contains("max number of clients") => causes::too_many_connections(),
        // Before access lists there was one user.
        "ERR" if said.contains("wrong number of arguments for 'auth'") => {
            causes::invalid_settings(Some("username"), "it takes a password without a username")
        }
        "ERR" if said.contains("without any password") || said.contains("no password is set") => {
            causes::password_not_asked_for(wire.product())
        }
        _ if is_signing_in => causes::sign_in_not_understood(),
        _ => causes::server_error(&words()),
    }
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn a_server_is_called_by_its_own_name() {
        assert_eq!(version("# Server\r\nredis_version:7.0.15\r\nos:Linux\r\n").as_deref(), Some("Redis 7.0.15"));
        let valkey = "# Server\r\nredis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.0.2\r\n";
        assert_eq!(version(valkey).as_deref(), Some("Valkey 8.0.2"));
        assert_eq!(version("nothing"), None);
    }
}
