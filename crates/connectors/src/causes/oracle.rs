//! The causes that are Oracle's own.

use dataflow_model::{Cause, TestError};

use super::{at, because};

pub fn oracle_service_missing() -> TestError {
    at(
        "database",
        Cause::InvalidSettings,
        "Neither a service name nor an SID is set.",
        "Type the service name, as the server's administrator has it (lsnrctl services, or V$SERVICES).",
    )
}

pub fn oracle_service_unknown(field: &str, kind: &str, name: &str) -> TestError {
    at(
        field,
        Cause::DatabaseMissing,
        format!("The listener knows no {kind} “{name}”."),
        "Check the spelling; a pluggable database has a service name of its own. If it is right, the database is not started, or has not told the listener of it yet. Nobody has signed in so far.",
    )
}

pub fn oracle_encryption_demanded() -> TestError {
    because(
        Cause::InvalidSettings,
        "The server demands Oracle's own network encryption, which is not supported here.",
        "Use a port with TLS (TCPS), or ask the server's administrator not to demand native encryption (SQLNET.ENCRYPTION_SERVER, SQLNET.CRYPTO_CHECKSUM_SERVER).",
    )
}

pub fn oracle_old_password(username: &str) -> TestError {
    at(
        "username",
        Cause::ProtocolTooOld,
        format!(
            "The server has the password of “{username}” only in a form from before Oracle 12.1, which is not supported here."
        ),
        "Ask its administrator to set the password once more, so that it has the password version 12C (DBA_USERS.PASSWORD_VERSIONS).",
    )
}

pub fn oracle_rounds(rounds: u32, most: u32) -> TestError {
    because(
        Cause::ServerError,
        format!("The server asks to hash the password {rounds} times; at most {most} are answered."),
        "No Oracle Database asks for so many. Check the host: what answers there may be hostile.",
    )
}

/// An answer to so few would tell whoever asks the password, near enough.
pub fn oracle_few_rounds(rounds: u32, fewest: u32) -> TestError {
    because(
        Cause::InsecureAuthenticationRefused,
        format!("The server asks to hash the password only {rounds} times; {fewest} are the least that is answered."),
        "No Oracle Database asks for so few. Check the host: what answers there may be hostile.",
    )
}

/// From this machine, where nobody reads along, to another one, where somebody may.
pub fn oracle_sent_out_in_clear(host: &str, port: u16) -> TestError {
    at(
        "host",
        Cause::InsecureAuthenticationRefused,
        format!(
            "The listener on this machine sends the connection on to “{host}”, port {port}, without TLS. Nothing was sent there."
        ),
        "Name that host here, and use TLS; or have the listener lead to a database on this machine.",
    )
}

pub fn oracle_sent_on_twice() -> TestError {
    because(
        Cause::ServerError,
        "The listener sent the connection on to another one, which sent it on once more.",
        "It is gone along with once. Use the host and port of the node or the SCAN listener that leads to the database itself.",
    )
}
