//! The causes of sign-ins that are a signature, or a token that is exchanged for one.

use dataflow_model::{Cause, TestError};

use super::{at, because};

pub fn signature_refused(id: &str) -> TestError {
    at(
        "password",
        Cause::CredentialsRefused,
        format!("The server refused the signature that the secret key of “{id}” made."),
        "Copy the secret again from where it was made: it may be cut off, or belong to another access key.",
    )
}

pub fn access_key_unknown(id: &str) -> TestError {
    at(
        "username",
        Cause::CredentialsRefused,
        format!("The server does not know the access key “{id}”."),
        "Check it, and that it is not deleted or switched off. One that is for a time (it begins with “ASIA”) needs its session token, too.",
    )
}

pub fn session_ended(field: &str) -> TestError {
    at(
        field,
        Cause::CredentialsRefused,
        "The session has ended: its token has expired.",
        "Get a new access key, secret and session token together, or use an access key that stays.",
    )
}

pub fn session_refused(field: &str) -> TestError {
    at(
        field,
        Cause::CredentialsRefused,
        "The server refused the session token.",
        "It belongs to one access key and one secret: copy all three again, from the same place.",
    )
}

/// A signature says when it was made, and is taken for some minutes.
pub fn clocks_apart() -> TestError {
    because(
        Cause::ServerError,
        "The server refused the signature for its time: its clock and that of the machine which ran the test are too far apart.",
        "Set the clock of that machine, best by a time service (NTP). This says nothing about the secret.",
    )
}

/// `region` is scrubbed.
pub fn another_region(field: &str, region: &str) -> TestError {
    at(
        field,
        Cause::InvalidSettings,
        format!("The server says that it is in the region “{region}”."),
        "Put that region into the connection.",
    )
}

pub fn another_region_unnamed(field: &str) -> TestError {
    at(
        field,
        Cause::InvalidSettings,
        "The server says that it belongs to another region or endpoint.",
        "Look up where it was made, and put that region into the connection.",
    )
}

/// What becomes a part of a host's name.
pub fn no_name_of_a_host(field: &str) -> TestError {
    at(
        field,
        Cause::InvalidSettings,
        "A character in it can stand in no host's name.",
        "Type it as the service's console shows it: letters, digits and hyphens.",
    )
}

/// `what` is `the account key`, say, and `form` how it has to look.
pub fn secret_unreadable(field: &str, what: &str, form: &str) -> TestError {
    at(
        field,
        Cause::InvalidSettings,
        format!("{what} cannot be read: it is not {form}."),
        "Copy it again, whole, from where it was made. Nothing was sent.",
    )
}

pub fn key_refused(who: &str) -> TestError {
    at(
        "password",
        Cause::CredentialsRefused,
        format!("The service does not take this key for “{who}”."),
        "The key may be deleted, switched off or expired, or the account gone. Make a new key for it, and paste that.",
    )
}

/// `field` has the key of a pair.
pub fn key_pair_refused(field: &str, who: &str) -> TestError {
    at(
        field,
        Cause::CredentialsRefused,
        format!("The server refused the token that the private key signed for “{who}”."),
        "Check account and username, and that the public half of this key is set for that user.",
    )
}

pub fn secret_expired(who: &str) -> TestError {
    at(
        "password",
        Cause::CredentialsRefused,
        format!("The secret of “{who}” has expired."),
        "Make a new one at the service, then type it here.",
    )
}

/// It was taken, and then was nobody's.
pub fn client_certificate_unknown() -> TestError {
    at(
        "tls.cert",
        Cause::CredentialsRefused,
        "The server does not know whom the client certificate is for.",
        "It may be expired, or made by an authority that the server does not trust for sign-ins. Have a new one made, or use a token.",
    )
}

/// The one who signs in is not known where he signs in.
pub fn client_unknown(client: &str) -> TestError {
    at(
        "username",
        Cause::CredentialsRefused,
        format!("“{client}” is not known there."),
        "Check its id, and that it was made in the tenant that the connection names.",
    )
}

pub fn tenant_unknown(field: &str, tenant: &str) -> TestError {
    at(
        field,
        Cause::InvalidSettings,
        format!("There is no tenant “{tenant}”."),
        "Type its id or its domain, as the service's console shows it.",
    )
}
