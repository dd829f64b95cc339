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
