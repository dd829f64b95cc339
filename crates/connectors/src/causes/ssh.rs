//! The causes that are about SSH.

use dataflow_model::{Cause, StepName, TestError};

use super::{at, because, timed_out};

const HOST_KEY: &str = "extra.host_key";
const PRIVATE_KEY: &str = "extra.private_key";
const PASSPHRASE: &str = "extra.passphrase";

/// `shown` is the fingerprint of what the server has shown.
pub fn host_key_other(shown: &str) -> TestError {
    at(
        HOST_KEY,
        Cause::CertificateUntrusted,
        format!("The server's host key is not the one that the connection has. It showed {shown}."),
        "Nothing was sent. Somebody may stand in between. If the server was set up anew, compare the fingerprint with its administrator, then paste the new key.",
    )
}

pub fn host_key_of_another_kind() -> TestError {
    at(
        HOST_KEY,
        Cause::CertificateUntrusted,
        "The server has no host key of the kind that the connection has.",
        "Nothing was sent. Ask the server's administrator for its key of another kind, best Ed25519, and paste that.",
    )
}

/// The server has been asked for a key of any kind that is known here.
pub fn host_keys_of_no_known_kind() -> TestError {
    because(
        Cause::ProtocolTooOld,
        "The server has no host key of a kind that is known here: Ed25519 or ECDSA.",
        "Nothing was sent. Servers that have RSA keys alone can be given others: ssh-keygen -A makes them, and sshd uses them after a restart. RSA is left out here.",
    )
}

pub fn host_key_is_rsa() -> TestError {
    at(
        HOST_KEY,
        Cause::InvalidSettings,
        "RSA host keys are not supported here.",
        "Paste the server's Ed25519 or ECDSA key: ssh-keyscan -t ed25519,ecdsa prints what it has. If it has none, ssh-keygen -A at the server makes them.",
    )
}

/// Both sides of SSH say at once who they are.
pub fn ssh_silent() -> TestError {
    TestError {
        message: "The connection was accepted, but nothing that speaks SSH answered in time.".to_owned(),
        hint: "Check that the port is the SSH server's. If it is, the server is overloaded or hangs: look at its log.".to_owned(),
        ..timed_out(StepName::SignIn)
    }
}

pub fn host_key_unreadable() -> TestError {
    at(
        HOST_KEY,
        Cause::InvalidSettings,
        "The host key cannot be read.",
        "Paste one line as ssh-keyscan prints it, such as “ssh-ed25519 AAAA…”. Keys of the kinds Ed25519 and ECDSA are known here.",
    )
}

pub fn private_key_unreadable() -> TestError {
    at(
        PRIVATE_KEY,
        Cause::InvalidSettings,
        "The private key cannot be read.",
        "Paste the file as it is, from -----BEGIN to -----END, with every line. Keys of the kinds Ed25519 and ECDSA are known here.",
    )
}

pub fn rsa_key_unsupported() -> TestError {
    at(
        PRIVATE_KEY,
        Cause::InvalidSettings,
        "RSA keys are not supported here.",
        "Make an Ed25519 key (ssh-keygen -t ed25519), and have its public half allowed at the server.",
    )
}

pub fn passphrase_missing() -> TestError {
    at(
        PASSPHRASE,
        Cause::InvalidSettings,
        "The private key is encrypted, and no passphrase is set.",
        "Type the passphrase of the key.",
    )
}

pub fn passphrase_wrong() -> TestError {
    at(
        PASSPHRASE,
        Cause::InvalidSettings,
        "The passphrase does not open the private key.",
        "Type the passphrase again, and check that it belongs to this key.",
    )
}

pub fn user_key_refused(username: &str) -> TestError {
    at(
        PRIVATE_KEY,
        Cause::CredentialsRefused,
        format!("The server refused the key for “{username}”."),
        "Check the username, and that the key's public half stands in the user's authorized_keys at the server.",
    )
}

/// `what` is `key` or `password`; `offered` are names of RFC 4252.
pub fn method_not_taken(what: &str, offered: &[&str]) -> TestError {
    let field = if what == "key" { PRIVATE_KEY } else { "password" };
    let offered = if offered.is_empty() { "nothing".to_owned() } else { offered.join(", ") };
    at(
        field,
        Cause::CredentialsRefused,
        format!("The server takes no {what} from this user; it offers {offered}."),
        "Use what it offers, or ask the server's administrator to allow this kind of sign-in.",
    )
}
