//! Every way in which a test can fail, as a user reads it: what happened, then what to do, and the field that would mend it.
//!
//! This is the only place with such texts. Their arguments are public fields, or words of the other side that went through
//! [`crate::scrub::Scrubber`]; a secret is never among them.

mod files;
mod hops;
mod http;
mod messages;
mod oracle;
mod renewal;
mod signed;
mod sql_server;
mod ssh;
mod tls;
mod wires;

use dataflow_model::{Cause, StepName, TestError};

pub use files::*;
pub use hops::*;
pub use http::*;
pub use messages::*;
pub use oracle::*;
pub use renewal::*;
pub use signed::*;
pub use sql_server::*;
pub use ssh::*;
pub use tls::*;
pub use wires::*;

pub const SERVERS_OWN_WORDS: &str = "The words are the server's own. Look them up in its manual, or ask its administrator.";

fn because(code: Cause, message: impl Into<String>, hint: impl Into<String>) -> TestError {
    TestError { code, message: message.into(), hint: hint.into(), field: None, certificates: Vec::new() }
}

fn at(field: &str, code: Cause, message: impl Into<String>, hint: impl Into<String>) -> TestError {
    TestError { field: Some(field.to_owned()), ..because(code, message, hint) }
}

// Reaching the host.

pub fn name_not_found(host: &str) -> TestError {
    at(
        "host",
        Cause::NameNotFound,
        format!("No address is known for the name “{host}”."),
        "Check the spelling. If the name is only known inside a network, the machine that runs the test must use that network's name servers.",
    )
}

/// The same cause in other words: whether the name exists is not known.
pub fn name_servers_silent(host: &str) -> TestError {
    at(
        "host",
        Cause::NameNotFound,
        format!("No name server answered for the name “{host}”."),
        "Try again. If it stays so, check the name servers of the machine that runs the test.",
    )
}

pub fn address_not_allowed(host: &str) -> TestError {
    at(
        "host",
        Cause::AddressNotAllowed,
        format!("This server may not connect to “{host}”."),
        "Its address is outside of what the operator allows. Ask an owner of this server to allow it on the page Settings, or whoever starts it; or use another host.",
    )
}

pub fn host_unreachable(host: &str) -> TestError {
    at(
        "host",
        Cause::HostUnreachable,
        format!("The host “{host}” cannot be reached."),
        "Check that it is switched on and that a network route leads there from the machine that runs the test (VPN, firewall, subnet).",
    )
}

pub fn port_closed(host: &str, port: u16) -> TestError {
    at(
        "port",
        Cause::PortClosed,
        format!("“{host}” refused the connection on port {port}."),
        "Nothing listens there, or a firewall rejects it. Check the port, that the database runs, and that it listens on this address and not only on its own loopback.",
    )
}

/// The same, where the connection's own setting at this path is what was too short.
#[must_use]
pub fn timed_out_by(setting: &str, step: StepName) -> TestError {
    TestError { field: Some(setting.to_owned()), ..timed_out(step) }
}

/// The deadline passed during `step`.
pub fn timed_out(step: StepName) -> TestError {
    let (message, hint, field) = match step {
        StepName::Hop => {
            ("It did not answer in time.", "Test that connection by itself: its own test says where it stands still.", None)
        }
        StepName::Resolve => (
            "The name servers did not answer in time.",
            "Try again. If it stays so, check the name servers of the machine that runs the test.",
            Some("host"),
        ),
        StepName::Reach => (
            "The host did not answer in time.",
            "Often a firewall drops the packets in silence. Check host and port, and that the database's network lets the machine that runs the test in.",
            Some("host"),
        ),
        StepName::Secure => (
            "The connection was accepted, but the server did not answer the request for TLS in time.",
            "Check that the port is the database's. If a proxy stands in front of it, check that it reaches the database.",
            Some("port"),
        ),
        StepName::SignIn => (
            "The connection was accepted, but the sign-in was not answered in time.",
            "Check that the port is the database's. If it is, the server is overloaded or hangs: look at its log.",
            Some("port"),
        ),
        StepName::OpenDatabase => (
            "Signed in, but the database was not opened in time.",
            "The server is overloaded, or the database is locked or being recovered. Look at the server's log, then try again.",
            None,
        ),
        StepName::Read => (
            "Signed in, but reading one row took too long.",
            "The server is overloaded, or something holds a lock. Look at its running queries, then try again.",
            None,
        ),
        StepName::Send => (
            "The server did not answer in time whether it took the message.",
            "The server is overloaded or hangs: look at its log. The message may have gone out all the same.",
            None,
        ),
        StepName::SetPassword => (
            "The server did not answer in time whether it took the new password.",
            "The server is overloaded, or something holds a lock. Look at its running queries.",
            None,
        ),
    };
    TestError { field: field.map(str::to_owned), ..because(Cause::TimedOut, message, hint) }
}

/// `product` as a person calls it: `PostgreSQL`. What the other side sent is not repeated: it belongs to another service.
pub fn not_that_database(product: &str) -> TestError {
    at(
        "port",
        Cause::NotThatDatabase,
        format!("Something answers there, but it is not {product}."),
        format!("Check host and port: another service listens on this port, or a proxy that does not speak {product}."),
    )
}

pub fn connection_lost(step: StepName) -> TestError {
    let during = match step {
        StepName::Hop | StepName::Resolve | StepName::Reach => "right after it was opened",
        StepName::Secure => "while TLS was being set up",
        StepName::SignIn => "during the sign-in",
        StepName::OpenDatabase => "while the database was being opened",
        StepName::Read => "while one row was being read",
        StepName::Send => "while the message was being handed over",
        StepName::SetPassword => "while the new password was being set",
    };
    because(
        Cause::ConnectionLost,
        format!("The other side closed the connection {during}."),
        "Try again. If it stays so, look at the server's log; a proxy or firewall in between may also close it, or the port is another service's.",
    )
}

// Signing in.

pub fn credentials_refused(username: &str) -> TestError {
    at(
        "password",
        Cause::CredentialsRefused,
        format!("The server refused the password for “{username}”."),
        "Type the password again, and check the username: many servers say the same when the user does not exist or may not sign in this way.",
    )
}

/// As [`credentials_refused`], from a server that ties users to the address they come from and names it. `seen_as` is scrubbed.
pub fn credentials_refused_from(username: &str, seen_as: &str) -> TestError {
    let hint = format!(
        "Type the password again, and check the username. The server says the same to a user that may not come from “{seen_as}”, as which it sees the machine that ran the test, or may come only with TLS."
    );
    TestError { hint, ..credentials_refused(username) }
}

pub fn password_missing(username: &str) -> TestError {
    at(
        "password",
        Cause::CredentialsRefused,
        format!("The server asks for a password for “{username}”, and none is set."),
        "Type the password.",
    )
}

pub fn user_refused(username: &str) -> TestError {
    at(
        "username",
        Cause::CredentialsRefused,
        format!("The server does not let “{username}” sign in."),
        "Check the username: the server does not know it, or it may not sign in. Some servers name users with regard to case.",
    )
}

/// The server could not prove that it knows the password, so it may be an impostor.
pub fn server_unproven() -> TestError {
    because(
        Cause::InsecureAuthenticationRefused,
        "The server did not prove that it knows the password.",
        "It may not be the server that it claims to be. Check the host, and use verified TLS.",
    )
}

/// The server asks for the password in a form (`asked`) that a third party could read or replay. `better` says what the
/// server could do instead; `insecure` is the choice of `extra.insecure_auth` that would allow it, if there is one.
pub fn insecure_authentication_refused(asked: &str, better: &str, insecure: Option<&str>) -> TestError {
    let mut hint = format!("Nothing was sent. Use TLS that is verified, or {better}.");
    if let Some(choice) = insecure {
        hint.push_str(" If neither can be had, an admin may allow “");
        hint.push_str(choice);
        hint.push_str("” under “Weaker sign-in without verified TLS”.");
    }
    at(
        "tls.mode",
        Cause::InsecureAuthenticationRefused,
        format!("The server asks for {asked} over a connection that is not verified."),
        hint,
    )
}

/// The server wants the password hashed so often that it is an attack on the time of whoever signs in.
pub fn too_many_rounds(rounds: u64, most: u64) -> TestError {
    because(
        Cause::ServerError,
        format!("The server asks to hash the password {rounds} times; at most {most} are answered."),
        "Lower the server's SCRAM iterations and set the password anew. If you did not raise them, the server may be hostile: check the host.",
    )
}

pub fn authentication_unsupported(asked: &str) -> TestError {
    because(
        Cause::ServerError,
        format!("The server asks to sign in by {asked}, which is not supported here."),
        "Ask the server's administrator for a user that signs in with a password.",
    )
}

pub fn address_not_permitted(username: &str) -> TestError {
    because(
        Cause::AddressNotPermitted,
        format!("The server does not let “{username}” sign in from this address."),
        "Ask the server's administrator to let the address of the machine that runs the test in, for this user and database.",
    )
}

/// As [`address_not_permitted`], where the connection had no TLS and that may be the reason.
pub fn address_not_permitted_without_tls(username: &str) -> TestError {
    at(
        "tls.mode",
        Cause::AddressNotPermitted,
        format!("The server does not let “{username}” sign in from this address without TLS."),
        "Choose a TLS mode that encrypts, best “Verify server and host name”. If that does not help, ask the server's administrator to let the address of the machine that runs the test in.",
    )
}

pub fn address_blocked() -> TestError {
    because(
        Cause::AddressNotPermitted,
        "The server has blocked this address after too many broken connections.",
        "Ask the server's administrator to unblock it (FLUSH HOSTS) and to look for what broke them.",
    )
}

pub fn account_locked(username: &str) -> TestError {
    at(
        "username",
        Cause::CredentialsRefused,
        format!("The account of “{username}” is locked."),
        "Ask the server's administrator to unlock it, or use another user.",
    )
}

pub fn password_expired(username: &str) -> TestError {
    at(
        "password",
        Cause::CredentialsRefused,
        format!("The password of “{username}” has expired."),
        "Set a new password at the server, then type it here.",
    )
}

/// The account's password is kept in the form of before MySQL 4.1, whose proof tells the password.
pub fn old_password(username: &str) -> TestError {
    at(
        "username",
        Cause::ProtocolTooOld,
        format!("The server keeps the password of “{username}” in a form from before MySQL 4.1, which is not safe to use."),
        "Set the password again at the server, so that it is kept in a newer form.",
    )
}

pub fn tls_demanded() -> TestError {
    at(
        "tls.mode",
        Cause::InvalidSettings,
        "The server takes only connections with TLS.",
        "Choose a TLS mode that encrypts, best “Verify server and host name”.",
    )
}

// The database.

pub fn database_missing(database: &str) -> TestError {
    at(
        "database",
        Cause::DatabaseMissing,
        format!("The server has no database “{database}”."),
        "Check the spelling, also upper and lower case. The sign-in itself worked.",
    )
}

pub fn no_right_to_connect(username: &str, database: &str) -> TestError {
    at(
        "username",
        Cause::NoRightToConnect,
        format!("“{username}” signed in, but has no right to connect to the database “{database}”."),
        "Ask the database's owner to grant the right to connect, or use another user.",
    )
}

/// As [`no_right_to_connect`], from a server that says the same where the database does not exist.
pub fn no_right_or_missing(username: &str, database: &str) -> TestError {
    at(
        "database",
        Cause::NoRightToConnect,
        format!("“{username}” signed in, but has no right to use the database “{database}”, or it does not exist."),
        "Check the spelling, also upper and lower case. If it is right, ask the database's owner to grant the right.",
    )
}

pub fn too_many_connections() -> TestError {
    because(
        Cause::TooManyConnections,
        "The server has no connection left to give.",
        "Try again in a moment. If it stays so, end idle connections, or raise the limit of the server, the database or the user.",
    )
}

pub fn server_starting() -> TestError {
    because(
        Cause::ServerStarting,
        "The server is starting up, shutting down or recovering, and takes no connections yet.",
        "Wait a moment, then test again. If it stays so, look at the server's log.",
    )
}

pub fn protocol_too_old(product: &str) -> TestError {
    because(
        Cause::ProtocolTooOld,
        format!("The server speaks a version of the {product} protocol that is too old."),
        "Upgrade the server, or check that the port is that of the newer one.",
    )
}

/// `said` is the server's scrubbed reason.
pub fn read_refused(said: &str) -> TestError {
    because(
        Cause::ReadRefused,
        format!("Signed in, but the server refused to read one row: {said}"),
        "Ask the database's owner for the right to read.",
    )
}

/// A server that asks a client for a file is hostile, or tampered with: none was offered.
pub fn file_asked_for() -> TestError {
    because(
        Cause::ServerError,
        "The server asked for a file of the machine that ran the test. It was not given.",
        "No server does this by itself. Ask its administrator what answers there before you use the connection.",
    )
}

/// A session setting that the server does not take. `said` is its scrubbed reason.
pub fn invalid_settings(field: Option<&str>, said: &str) -> TestError {
    let error = because(
        Cause::InvalidSettings,
        format!("The server does not accept an extra setting: {said}"),
        "Correct the setting, or clear it.",
    );
    TestError { field: field.map(str::to_owned), ..error }
}

/// `said` is the server's scrubbed reason.
pub fn server_error(said: &str) -> TestError {
    because(Cause::ServerError, format!("The server answered with an error: {said}"), SERVERS_OWN_WORDS)
}

// The test itself.

/// `why` is for the log of whoever runs the test; it holds nothing of the target.
pub fn test_broken(why: &str) -> TestError {
    because(
        Cause::TestBroken,
        format!("The test itself broke: {why}. This says nothing about the database."),
        "Try again. If it stays so, tell whoever runs this server.",
    )
}
