//! The causes that are about a service that is asked over HTTP.

use dataflow_model::{Cause, StepName, TestError};

use super::{SERVERS_OWN_WORDS, at, because};

/// What the form calls the choice by which an admin lets a password go where it can be read.
const IN_CLEAR: &str = "Password in clear";

/// Every sign-in over HTTP tells the password, or a token that is as good as one.
pub fn sign_in_would_be_heard() -> TestError {
    at(
        "tls.mode",
        Cause::InsecureAuthenticationRefused,
        "The sign-in would go over a connection that is not verified, where others could read it.",
        format!(
            "Nothing was sent. Use TLS that is verified. If it cannot be had, an admin may allow “{IN_CLEAR}” under “Weaker sign-in without verified TLS”."
        ),
    )
}

pub fn plain_http() -> TestError {
    at(
        "port",
        Cause::TlsNotOffered,
        "The server speaks HTTP without TLS on this port.",
        "Use its port for HTTPS, or switch TLS on at the server. Without it, anyone on the way can read what is sent; an internal network that you trust may use the mode “No TLS”.",
    )
}

pub fn https_demanded() -> TestError {
    at(
        "tls.mode",
        Cause::InvalidSettings,
        "The server speaks HTTPS on this port, and the connection is set to use no TLS.",
        "Choose a TLS mode that encrypts, best “Verify server and host name”, or use the server's port for HTTP without TLS.",
    )
}

/// `what` is one of our own words for it: what the other side sent is not repeated.
pub fn another_service(product: &str, what: &str) -> TestError {
    let mut letters = what.chars();
    let what: String = letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect();
    at(
        "port",
        Cause::NotThatDatabase,
        format!("{what} answers there, not {product}."),
        "Check host and port, and that the connection has the right type.",
    )
}

pub fn web_page(product: &str) -> TestError {
    at(
        "host",
        Cause::NotThatDatabase,
        format!("A web page answers there, where {product} would answer with data."),
        "Often it is the sign-in page or the error page of a proxy. Check host, port and path, and whether a proxy in front asks for a sign-in of its own.",
    )
}

/// `to` is scrubbed, and has neither a query nor a user in it.
pub fn redirected(to: &str) -> TestError {
    at(
        "host",
        Cause::InvalidSettings,
        format!("The server sends on to “{to}”."),
        "That is not followed, since the sign-in would go along. If it is the right address, put it into the connection.",
    )
}

pub fn redirected_to_https(to: &str) -> TestError {
    at(
        "tls.mode",
        Cause::InvalidSettings,
        format!("The server takes this over HTTPS only: it sends on to “{to}”."),
        "Choose a TLS mode that encrypts, best “Verify server and host name”, and the port for HTTPS.",
    )
}

pub fn redirected_to_sign_in(to: &str) -> TestError {
    at(
        "password",
        Cause::CredentialsRefused,
        format!("The server sends on to a sign-in page: “{to}”."),
        "It did not take the sign-in that came along. Check it and its kind; what is meant for browsers often takes none but its own page's.",
    )
}

pub fn sign_in_missing() -> TestError {
    at(
        "password",
        Cause::CredentialsRefused,
        "The server asks for a sign-in, and none is set.",
        "Type the password or token, and the username where one belongs to it.",
    )
}

pub fn token_refused() -> TestError {
    at(
        "password",
        Cause::CredentialsRefused,
        "The server refused the token.",
        "Copy it again from the service, or have a new one made: it may be mistyped, expired or revoked.",
    )
}

/// `offered` is one of our own words.
pub fn kind_of_sign_in_refused(offered: &str) -> TestError {
    at(
        "password",
        Cause::CredentialsRefused,
        format!("The server did not take this kind of sign-in; it asks for {offered}."),
        "Choose that kind if it is offered here; otherwise ask the service's administrator for a user or token that signs in this way.",
    )
}

/// 403 says both: not let in, and let in but not to this.
pub fn forbidden() -> TestError {
    at(
        "password",
        Cause::CredentialsRefused,
        "The server forbids it (403).",
        "Some services say so of a wrong password or token, others of a right one that has no right to what the test asks for. Type it again, then check its rights.",
    )
}

/// `field` is where the path stands, or the field that leads to it.
pub fn nothing_there(field: &str, path: &str) -> TestError {
    at(
        field,
        Cause::InvalidSettings,
        format!("The server has nothing at “{path}” (404)."),
        "Check the path, and that host and port are the service's own.",
    )
}

pub fn too_many_requests() -> TestError {
    because(
        Cause::TooManyConnections,
        "The server takes no more requests for now (429).",
        "Try again in a moment. If it stays so, raise the limit that the service sets for this sign-in or address.",
    )
}

pub fn not_ready() -> TestError {
    because(
        Cause::ServerStarting,
        "The server is not ready to answer (503).",
        "Wait a moment, then test again. If it stays so, look at the service's log: it may be starting, overloaded or in maintenance.",
    )
}

pub fn lost_behind_a_proxy(status: u16) -> TestError {
    because(
        Cause::ServerError,
        format!("A proxy answers that the service behind it does not ({status})."),
        "Check that the service runs, and that the proxy leads to it.",
    )
}

pub fn proxy_wants_sign_in() -> TestError {
    because(
        Cause::ServerError,
        "A proxy in front of the service asks for a sign-in of its own (407).",
        "The service has to be reached without it: ask who runs the network between here and the service.",
    )
}

/// `said` is scrubbed, or empty.
pub fn http_error(status: u16, said: &str) -> TestError {
    match said {
        "" => because(
            Cause::ServerError,
            format!("The server answered with the status {status}, and without a reason."),
            "Look at the service's log, or ask its administrator.",
        ),
        said => because(Cause::ServerError, format!("The server answered with an error ({status}): {said}"), SERVERS_OWN_WORDS),
    }
}

/// The error of something that does not write them as `product` does: nothing of it is told.
pub fn foreign_error(product: &str, status: u16) -> TestError {
    because(
        Cause::ServerError,
        format!("The answer is an error ({status}), and not in the form in which {product} writes them."),
        format!("Check host, port and path: it may be a proxy, or another service. If it is {product}, look at its log."),
    )
}

pub fn too_long() -> TestError {
    because(
        Cause::ServerError,
        "The server's answer is longer than any that belongs here.",
        "Check host, port and path: another service may answer there, or something in between.",
    )
}

/// Signed in, but the harmless read was refused. `said` is scrubbed, or empty.
pub fn reading_forbidden(said: &str) -> TestError {
    let reason = if said.is_empty() { "it gave no reason" } else { said };
    because(
        Cause::ReadRefused,
        format!("Signed in, but the server refused what the test reads: {reason}"),
        "Ask the service's administrator for the right to read.",
    )
}

pub fn unexpected_answer(product: &str, step: StepName) -> TestError {
    let during = match step {
        StepName::SignIn => "to the sign-in",
        _ => "to what the test read",
    };
    at(
        "port",
        Cause::NotThatDatabase,
        format!("Something answers there, but its answer {during} is not that of {product}."),
        format!("Check host, port and path: another service listens there, or a proxy that changes what {product} says."),
    )
}

/// A header cannot carry every character.
pub fn unspeakable(field: &str) -> TestError {
    at(
        field,
        Cause::InvalidSettings,
        "A value holds a character that HTTP cannot carry.",
        "Type it again, without blanks before or after it and without line breaks.",
    )
}

pub fn no_key_there(field: &str, header: &str) -> TestError {
    at(
        field,
        Cause::InvalidSettings,
        format!("The header “{header}” carries no key: it is the request's own."),
        "Type the header that the service's documentation names for its key.",
    )
}

pub fn no_path(field: &str) -> TestError {
    at(
        field,
        Cause::InvalidSettings,
        "That is no path: it has a question mark or a number sign in it, or leads out of itself by dots.",
        "Type the path alone, as it stands in the service's address.",
    )
}

pub fn no_url(field: &str) -> TestError {
    at(
        field,
        Cause::InvalidSettings,
        "This is not a whole URL.",
        "Give it with https:// and the host's name, and without a user name or password in it.",
    )
}

pub fn setting_missing(field: &str, what: &str) -> TestError {
    at(field, Cause::InvalidSettings, format!("{what} is not set."), "Fill in the field, or choose another kind of sign-in.")
}

/// The password would go to a host that the connection does not name.
pub fn signs_in_elsewhere(field: &str, host: &str) -> TestError {
    at(
        field,
        Cause::InsecureAuthenticationRefused,
        format!("The server asks to send the sign-in to “{host}”, which the connection does not name."),
        "Nothing was sent. If that host is the server's own sign-in service, put its URL into the connection.",
    )
}

/// A client secret that the token service refused.
pub fn client_refused(client: &str) -> TestError {
    at(
        "password",
        Cause::CredentialsRefused,
        format!("The OAuth endpoint refused the client “{client}”."),
        "Check the client's id and type its secret again; it may have expired. The client must be allowed the grant “client credentials”.",
    )
}

/// `said` is scrubbed, or empty.
pub fn no_token_given(said: &str) -> TestError {
    let reason = if said.is_empty() { "its answer holds no token" } else { said };
    because(
        Cause::ServerError,
        format!("The sign-in service gave no token: {reason}"),
        "Check its URL, and the scope that is asked for.",
    )
}

pub fn sealed(product: &str) -> TestError {
    because(
        Cause::ServerStarting,
        format!("{product} is sealed."),
        "It answers once enough of its unseal keys were given. Ask who keeps them.",
    )
}

/// What a service calls a `kind` of thing, and does not have.
pub fn missing(field: &str, kind: &str, name: &str) -> TestError {
    at(
        field,
        Cause::DatabaseMissing,
        format!("The server has no {kind} “{name}”, or does not show it to this sign-in."),
        "Check the spelling, also upper and lower case. The sign-in itself worked.",
    )
}

pub fn passwords_not_taken(product: &str) -> TestError {
    at(
        "password",
        Cause::CredentialsRefused,
        format!("{product} takes no password here: the connection is without TLS, or the server has no way to check one."),
        "Use its port for HTTPS. If the server asks for none at all, clear the password here; then only the username is sent.",
    )
}
