//! Redis and what speaks its protocol, RESP: <https://redis.io/docs/latest/develop/reference/protocol-spec/>.
//!
//! Version 2 of it, which every server speaks. A user of its access lists may have no password at all and then takes any, so a wrong one is
//! tried.

use std::fmt::Write as _;

use dataflow_model::TestError;
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
    is_its: |first| {
        [&b"+PONG"[..], b"+OK", b"-ERR", b"-NOAUTH", b"-DENIED", b"-LOADING", b"-NOPERM"].iter().any(|own| first.starts_with(own))
    },
    tls_start: None,
    goodbye: b"",
};

const NO_PASSWORD_ASKED: &str = "The server asks for no password";

#[derive(Debug, Default)]
pub(crate) struct Redis;

/// What a command is answered.
#[derive(Debug, PartialEq, Eq)]
enum Reply {
    Text(String),
    Refusal(String),
}

impl Talk for Redis {
    const PROTOCOL: &'static Protocol = &PROTOCOL;
    const TAKES_ANYBODY: bool = true;

    fn port(target: &Target) -> u16 {
        target.port(6379)
    }

    async fn sign_in(&mut self, wire: &mut Link<'_>) -> Result<Proof, TestError> {
        let (username, password) = (wire.username(), wire.password());
        match (username, password) {
            ("", "") => {
                expect(wire, &["PING"]).await?;
                Ok(Proof::Nothing(NO_PASSWORD_ASKED))
            }
            ("", password) => {
                expect(wire, &["AUTH", password]).await?;
                Ok(Proof::Checked)
            }
            (username, "") => match ask(wire, &["AUTH", username, ""]).await? {
                Reply::Text(_) => Ok(Proof::Nothing("The server lets this user in without a password")),
                Reply::Refusal(said) if is_wrong(&said) => Err(causes::password_missing(username)),
                Reply::Refusal(said) => Err(explain(wire, &said)),
            },
            (username, password) => {
                expect(wire, &["AUTH", username, password]).await?;
                Ok(Proof::Checked)
            }
        }
    }

    async fn open(&mut self, wire: &mut Link<'_>) -> Result<Option<String>, TestError> {
        let Some(number) = wire.target.public.integer("database") else { return Ok(None) };
        let number = number.to_string();
        match ask(wire, &["SELECT", &number]).await? {
            Reply::Text(_) => Ok(Some(number)),
            Reply::Refusal(said) if said.contains("out of range") => Err(causes::database_missing(&number)),
            Reply::Refusal(said) if said.contains("cluster mode") => {
                Err(causes::invalid_settings(Some("database"), &wire.clean(&said)))
            }
            Reply::Refusal(said) => Err(explain(wire, &said)),
        }
    }

    async fn read(&mut self, wire: &mut Link<'_>) -> Result<Option<String>, TestError> {
        expect(wire, &["PING"]).await?;
        // Who may not ask for it has read all the same.
        match ask(wire, &["INFO", "server"]).await? {
            Reply::Text(text) => Ok(version(&text)),
            Reply::Refusal(_) => Ok(None),
        }
    }
}

/// `Redis 7.0.15`, as the server's section of INFO has it.
fn version(info: &str) -> Option<String> {
    let value = |name: &str| info.lines().find_map(|line| line.trim_end().strip_prefix(name)?.strip_prefix(':'));
    let own = [("valkey_version", "Valkey"), ("dragonfly_version", "Dragonfly"), ("redis_version", "Redis")];
    own.into_iter().find_map(|(name, product)| Some(format!("{product} {}", value(name)?)))
}

async fn expect(wire: &mut Link<'_>, words: &[&str]) -> Result<(), TestError> {
    match ask(wire, words).await? {
        Reply::Text(_) => Ok(()),
        Reply::Refusal(said) => Err(explain(wire, &said)),
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
        Some(("+" | ":", text)) => Ok(Reply::Text(text.to_owned())),
        Some(("-", said)) => Ok(Reply::Refusal(said.to_owned())),
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

fn explain(wire: &Link<'_>, said: &str) -> TestError {
    let username = if wire.username().is_empty() { "default" } else { wire.username() };
    let words = || wire.clean(said);
    match said.split(' ').next().unwrap_or_default() {
        _ if is_wrong(said) => causes::credentials_refused(username),
        "NOAUTH" => causes::password_missing(username),
        "DENIED" => causes::protected_mode(),
        "LOADING" | "MASTERDOWN" => causes::server_starting(),
        "NOPERM" => causes::read_refused(&words()),
        "ERR" if said.contains("max number of clients") => causes::too_many_connections(),
        // Before access lists there was one user.
        "ERR" if said.contains("wrong number of arguments for 'auth'") => causes::invalid_settings(Some("username"), &words()),
        "ERR" if said.contains("without any password") || said.contains("no password is set") => {
            causes::password_not_asked_for(wire.product())
        }
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
