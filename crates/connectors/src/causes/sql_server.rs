//! The causes that are SQL Server's and Azure SQL's own.

use dataflow_model::{Cause, TestError};

use super::{at, because};

pub fn account_disabled(username: &str) -> TestError {
    at(
        "username",
        Cause::CredentialsRefused,
        format!("The account of “{username}” is disabled."),
        "Ask the server's administrator to enable it, or use another user.",
    )
}

pub fn password_to_be_changed(username: &str) -> TestError {
    at(
        "password",
        Cause::CredentialsRefused,
        format!("The password of “{username}” must be changed before the first sign-in."),
        "Set a new password at the server, then type it here.",
    )
}

pub fn sql_logins_not_taken(username: &str) -> TestError {
    at(
        "username",
        Cause::CredentialsRefused,
        format!("The server lets only accounts of Windows in, and “{username}” is none."),
        "Ask its administrator to switch on “SQL Server and Windows Authentication mode”, and for a login with a password.",
    )
}

pub fn default_database_not_opened(username: &str) -> TestError {
    at(
        "database",
        Cause::NoRightToConnect,
        format!("“{username}” signed in, but the database that the login begins with cannot be opened."),
        "Name the database here. The login's default database is gone, offline or closed to it: its administrator can set another one.",
    )
}

/// `said` is the server's scrubbed reason, which names the address.
pub fn azure_firewall(said: &str) -> TestError {
    because(
        Cause::AddressNotPermitted,
        format!("The firewall of the Azure SQL server does not let this machine in: {said}"),
        "Add the address of the machine that runs the test to the server's firewall rules (Networking in the Azure portal), or go through a private endpoint. A new rule takes up to five minutes.",
    )
}

/// The server has the sign-in go on elsewhere, where the password may not go along. `host` is scrubbed.
pub fn sent_elsewhere(host: &str, port: u16) -> TestError {
    at(
        "host",
        Cause::ServerError,
        format!("The server sends whoever signs in on to “{host}”, port {port}. The password was not sent there."),
        "It goes along once, and only to the same host or below the same domain, over TLS that verifies server and host name. Name that host here if it is the right one, or set the server's connection policy to “Proxy”.",
    )
}
