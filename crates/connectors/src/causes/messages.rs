//! What keeps a message from being handed over.

use dataflow_model::{Cause, TestError};

use super::{SERVERS_OWN_WORDS, at, because};
use crate::message::SENDER;

/// The mail server takes no mail of this sender.
pub fn sender_refused(from: &str, said: &str) -> TestError {
    at(
        SENDER,
        Cause::ServerError,
        format!("The server takes no mail of “{from}”: {said}"),
        format!("Give the connection a sender that its login may send as. {SERVERS_OWN_WORDS}"),
    )
}

/// It takes none for any of those whom it is for.
pub fn recipients_refused(said: &str) -> TestError {
    because(
        Cause::ServerError,
        format!("The server takes no mail for any of the addresses: {said}"),
        format!("Check the addresses, and whether the server passes mail on for this login. {SERVERS_OWN_WORDS}"),
    )
}

/// It takes the sender and those whom it is for, and not what was said.
pub fn mail_refused(said: &str) -> TestError {
    because(Cause::ServerError, format!("The server did not take the mail: {said}"), SERVERS_OWN_WORDS)
}

/// A webhook answers that there is nothing of that name, or that it is closed.
pub fn webhook_refused(status: u16) -> TestError {
    at(
        "password",
        Cause::CredentialsRefused,
        format!("The webhook did not take the message (status {status})."),
        "It was removed, or its secret path is another one. Make it anew where it belongs to, and put its path into the connection.",
    )
}

/// A chat knows no such channel, or the application is not in it.
pub fn channel_unknown(channel: &str) -> TestError {
    because(
        Cause::ServerError,
        format!("Slack knows no channel “{channel}” that the application may write to."),
        "Check the channel's name, and invite the application into it.",
    )
}
