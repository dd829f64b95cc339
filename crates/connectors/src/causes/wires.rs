//! The causes that are about services over a socket which are no databases.

use dataflow_model::{Cause, TestError};

use super::{SERVERS_OWN_WORDS, at, because};

/// What the form calls the field by which TLS begins at once or on request.
const TLS_START: &str = "When TLS begins";

/// TLS should have begun at once, and the server speaks in the clear.
pub fn tls_on_request(field: &str) -> TestError {
    at(
        field,
        Cause::TlsNotOffered,
        "The server begins without TLS on this port.",
        format!("Choose “On request” under “{TLS_START}”, or use the port on which TLS begins at once."),
    )
}

/// TLS should have begun on request, and the server waits for it at once.
pub fn tls_at_once(field: &str) -> TestError {
    at(
        field,
        Cause::InvalidSettings,
        "The server waits for TLS at once on this port.",
        format!("Choose “At once” under “{TLS_START}”, or use the port on which TLS begins on request."),
    )
}

pub fn password_not_asked_for(product: &str) -> TestError {
    at(
        "password",
        Cause::CredentialsRefused,
        "The server has no password set, and refuses the one that the connection has.",
        format!("Clear the password here, or set one at the server: {product} without one is open to everybody who reaches it."),
    )
}

/// The server offers no way to sign in, though a name is set.
pub fn sign_in_not_offered(has_tls: bool) -> TestError {
    if has_tls {
        return at(
            "username",
            Cause::InvalidSettings,
            "The server offers no sign-in on this port.",
            "Use the port that is meant for signing in, or clear username and password if none is needed.",
        );
    }
    at(
        "tls.mode",
        Cause::InvalidSettings,
        "The server offers no sign-in on a connection without TLS.",
        "Choose a TLS mode that encrypts, best “Verify server and host name”. If none is needed, clear username and password.",
    )
}

/// An answer to the sign-in that is none of those that are known here. It may repeat the password.
pub fn sign_in_not_understood() -> TestError {
    because(
        Cause::ServerError,
        "The server answered the sign-in with an error that is not known here.",
        "Its words are not shown, since they may repeat the password. Look at the server's log, and check that the server takes sign-ins: an old one, or a proxy, may know none.",
    )
}

/// As [`super::too_many_rounds`], where they are so few that who hears the answer could try passwords against it.
pub fn too_few_rounds(rounds: u64, fewest: u64) -> TestError {
    because(
        Cause::InsecureAuthenticationRefused,
        format!("The server asks to hash the password only {rounds} times; {fewest} are the least that is answered."),
        "Raise the server's SCRAM iterations and set the password anew. If you did not lower them, the server may be hostile: check the host.",
    )
}

/// The server keeps the password in a form that is not taken here.
pub fn older_scram(username: &str) -> TestError {
    at(
        "username",
        Cause::ProtocolTooOld,
        format!("The server does not let “{username}” sign in by SCRAM-SHA-256, and older ways are not supported here."),
        "Set the user's password anew at the server, with SCRAM-SHA-256 among the user's mechanisms, or use another user.",
    )
}

/// `offered` is scrubbed.
pub fn mechanism_not_offered(field: &str, name: &str, offered: &str) -> TestError {
    let hint = if offered.is_empty() {
        "Ask the broker's administrator for a sign-in with a password.".to_owned()
    } else {
        format!("It takes {offered}: choose one of these, or use the port that is meant for {name}.")
    };
    at(field, Cause::InvalidSettings, format!("The broker takes no sign-in by {name} on this port."), hint)
}

/// What [`super::credentials_refused`] says, of the user that every RabbitMQ begins with.
pub fn guest_refused() -> TestError {
    let hint = "Type the password again. RabbitMQ lets “guest” in from its own machine only (loopback_users), and says the same to it from elsewhere: use another user there.";
    TestError { hint: hint.to_owned(), ..super::credentials_refused("guest") }
}

pub fn another_amqp(product: &str) -> TestError {
    at(
        "port",
        Cause::NotThatDatabase,
        format!("The server speaks another AMQP, version 1.0, than {product} does, which is 0-9-1."),
        "Check host and port, and that the connection has the right type. Brokers that speak both have a port for each, or take 0-9-1 once it is switched on.",
    )
}

/// The server found nothing to show, and did not say why.
pub fn entry_unseen(username: &str, base: &str) -> TestError {
    let who = if username.is_empty() { "whoever does not sign in".to_owned() } else { format!("“{username}”") };
    at(
        "database",
        Cause::NoRightToConnect,
        format!("The server shows no entry “{base}” to {who}: there is none, or no right to read it."),
        "Check the spelling. If it is right, ask the directory's administrator for the right to read it. The sign-in itself worked.",
    )
}

pub fn protected_mode() -> TestError {
    because(
        Cause::AddressNotPermitted,
        "The server runs in protected mode, and takes connections from its own machine alone.",
        "Set a password at the server, or a user with one; then it takes others, too.",
    )
}

/// `said` is scrubbed.
pub fn not_now(said: &str) -> TestError {
    because(
        Cause::ServerStarting,
        format!("The server takes no sign-ins for now: {said}"),
        format!("Wait a moment, then test again. {SERVERS_OWN_WORDS}"),
    )
}

/// As [`super::unspeakable`], of another protocol.
pub fn unspeakable_in(field: &str, product: &str) -> TestError {
    at(
        field,
        Cause::InvalidSettings,
        format!("A value holds a character that {product} cannot carry, or is too long for it."),
        "Type it again, without line breaks.",
    )
}
