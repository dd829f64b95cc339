//! Why a login has the password that it had, although it was to get a new one.

use dataflow_model::{Cause, TestError};

use super::because;

const UNCHANGED: &str = "The old password is still in force.";

fn unchanged(why: &str, hint: &str) -> TestError {
    because(Cause::PasswordNotSet, format!("{why} {UNCHANGED}"), hint)
}

/// `said` is the server's scrubbed reason.
pub fn password_not_set(said: &str, hint: &str) -> TestError {
    unchanged(&format!("The server did not set the new password: {said}."), hint)
}

/// The same, by the rights of the login or the server's rules for passwords.
pub fn password_refused(said: &str, hint: &str) -> TestError {
    TestError { code: Cause::PasswordRefused, ..password_not_set(said, hint) }
}

/// Something else held what the server had to write; `said` as above.
pub fn password_not_set_in_time(said: &str) -> TestError {
    because(
        Cause::PasswordNotSetInTime,
        format!("The server did not come to set the new password within four seconds: {said}. {UNCHANGED}"),
        "Somebody else changes this user, or a backup holds the server's tables. Rotate again when that is over.",
    )
}

/// The server lets the login in without one, or by something else.
pub fn password_not_asked(username: &str) -> TestError {
    unchanged(
        &format!("The server asked for no password of “{username}”, so that a new one would prove nothing."),
        "There is nothing to rotate as long as the server lets this user in without a password.",
    )
}

pub fn no_password_to_renew(username: &str) -> TestError {
    unchanged(
        &format!("No password is set for “{username}”."),
        "Set one at the server and type it here; from then on it can be rotated.",
    )
}

/// Somebody in between answers in the database's name, and has passwords of his own.
pub fn pooler_between(product: &str) -> TestError {
    unchanged(
        &format!(
            "A pooler or proxy stands between this server and {product}, and keeps the passwords that it lets people in by."
        ),
        "Rotate over a connection to the database itself, and give the pooler the new password.",
    )
}

/// `other` is the login that the server knows the session under, scrubbed.
pub fn signed_in_as_another(username: &str, other: &str) -> TestError {
    unchanged(
        &format!("The server knows “{username}” as “{other}”, whose password others may use."),
        "Ask the database's administrator for a user of its own, or set the password there and type it here.",
    )
}

/// `version` is what it says it is, scrubbed.
pub fn passwords_unknown(version: &str) -> TestError {
    unchanged(
        &format!("The server says that it is {version}, and how that keeps passwords is not known here."),
        "Set a new password at the server, then type it here.",
    )
}

/// The server follows another one.
pub fn only_follows() -> TestError {
    unchanged(
        "The server only follows another one, and takes no changes.",
        "Rotate over a connection to the server that is written to.",
    )
}

/// Whoever reads on the way would have it.
pub fn line_not_verified(username: &str) -> TestError {
    unchanged(
        &format!(
            "What gives “{username}” a new password would go over a connection that is not verified, where others may read it."
        ),
        "Choose the TLS mode “Verify server and host name”, then rotate.",
    )
}

/// After the change the server would ask for the password itself, and nobody could answer.
pub fn first_sign_in_insecure(username: &str) -> TestError {
    unchanged(
        &format!(
            "The first time that “{username}” signs in with a new password, the server asks for the password itself, which is not told to it over a connection that is not verified."
        ),
        "Choose the TLS mode “Verify server and host name”, then rotate.",
    )
}

/// Whoever asked stood still, or the server was slow: somebody else may be at it by now.
pub fn too_late_to_change() -> TestError {
    because(
        Cause::PasswordNotSetInTime,
        format!("It took too long to come to the change, so the server was not asked for it. {UNCHANGED}"),
        "Rotate again.",
    )
}

/// The new password was set, nobody could sign in with it, and the old one was set again.
pub fn new_password_refused(why: &TestError) -> TestError {
    unchanged(
        &format!(
            "The server took a new password and then let nobody in with it, so the old one was set again. It said: {}",
            why.message
        ),
        &why.hint,
    )
}

/// The same, where the old one could not be set again, or not with certainty.
pub fn which_is_in_force_unknown(why: &str) -> TestError {
    because(
        Cause::ServerError,
        format!("Whether the server has the old password or the new one is not known: {why}"),
        "Nothing is lost: both are kept, and which of them signs in is tried until it is known.",
    )
}
