//! Why a test failed: a server's error numbers, and everything else that can go wrong on the wire, as causes.
//!
//! The numbers are MySQL's and MariaDB's; below 1900 both use the same.

use std::io;

use dataflow_model::{StepName, TestError};

use super::packet::ServerError;
use crate::{Target, causes, scrub::Scrubber, tls};

/// As a person calls what this connector speaks to.
pub const PRODUCT: &str = "MySQL or MariaDB";

/// What went wrong, before it is told in words.
#[derive(Debug)]
pub enum Failure {
    /// The stream ended or broke.
    Lost(io::Error),
    /// The answer is not of this protocol.
    Malformed,
    /// It took longer than the connection's own setting at this path allows.
    TimedOut(&'static str),
    /// The server said no.
    Refused(ServerError),
    /// The server does not take the value of one field.
    SettingRefused(&'static str, ServerError),
    /// Already in words.
    Told(Box<TestError>),
}

impl From<TestError> for Failure {
    fn from(error: TestError) -> Self {
        Self::Told(Box::new(error))
    }
}

/// The cause of `failure`, which happened in `step`.
pub fn explain(failure: Failure, target: &Target, step: StepName) -> TestError {
    let scrubber = Scrubber::of(target);
    match failure {
        Failure::Told(error) => *error,
        Failure::Malformed => causes::not_that_database(PRODUCT),
        Failure::TimedOut(setting) => causes::timed_out_by(setting, step),
        Failure::Lost(error) => {
            tls::refused_by_server(&error, &tls::TlsSettings::of(target)).unwrap_or_else(|| causes::connection_lost(step))
        }
        Failure::SettingRefused(field, error) => causes::invalid_settings(Some(field), &scrubber.clean(&error.message)),
        Failure::Refused(error) => refused(&error, target, step, &scrubber),
    }
}

fn refused(error: &ServerError, target: &Target, step: StepName, scrubber: &Scrubber) -> TestError {
    let (username, database) = (target.text("username"), target.text("database"));
    if step == StepName::SetPassword {
        let words = scrubber.clean(&error.message);
        return match error.code {
            // LOCK_WAIT_TIMEOUT, LOCK_DEADLOCK, MariaDB's STATEMENT_TIMEOUT, QUERY_TIMEOUT
            1205 | 1213 | 1969 | 3024 => causes::password_not_set_in_time(&words),
            // By right, or by the rules for passwords: besides those below PASSWORD_LENGTH and CREDENTIALS_CONTRADICT_TO_HISTORY
            code @ (1044 | 1045 | 1131 | 1132 | 1142 | 1227 | 1372 | 1396 | 1819 | 3638) => {
                causes::password_refused(&words, not_set(code))
            }
            code => causes::password_not_set(&words, not_set(code)),
        };
    }
    match error.code {
        // ACCESS_DENIED, ACCESS_DENIED_NO_PASSWORD
        1045 | 1698 if target.expose_secret("password").is_empty() => causes::password_missing(username),
        1045 | 1698 => match seen_as(&error.message) {
            Some(address) => causes::credentials_refused_from(username, &scrubber.clean(address)),
            None => causes::credentials_refused(username),
        },
        // HOST_NOT_PRIVILEGED
        1130 => causes::address_not_permitted(username),
        // HOST_IS_BLOCKED
        1129 => causes::address_blocked(),
        // CON_COUNT, TOO_MANY_USER_CONNECTIONS, USER_LIMIT_REACHED
        1040 | 1203 | 1226 => causes::too_many_connections(),
        // BAD_DB
        1049 => causes::database_missing(database),
        // DBACCESS_DENIED
        1044 => causes::no_right_or_missing(username, database),
        // NOT_SUPPORTED_AUTH_MODE, SERVER_IS_IN_SECURE_AUTH_MODE
        1251 | 1275 => causes::protocol_too_old("MySQL"),
        // SERVER_SHUTDOWN, SERVER_OFFLINE_MODE, SERVER_ISNT_AVAILABLE, and 1047 of a Galera node that is joining
        1053 | 3032 | 3168 => causes::server_starting(),
        1047 if step >= StepName::OpenDatabase => causes::server_starting(),
        // MUST_CHANGE_PASSWORD, MUST_CHANGE_PASSWORD_LOGIN
        1820 | 1862 => causes::password_expired(username),
        // ACCOUNT_HAS_BEEN_LOCKED in MySQL and in MariaDB
        3118 | 4151 => causes::account_locked(username),
        // SECURE_TRANSPORT_REQUIRED
        3159 => causes::tls_demanded(),
        _ if step == StepName::Read => causes::read_refused(&scrubber.clean(&error.message)),
        _ => causes::server_error(&scrubber.clean(&error.message)),
    }
}

/// What to do about a refusal to set a password.
fn not_set(code: u16) -> &'static str {
    match code {
        // ACCESS_DENIED, DBACCESS_DENIED, TABLEACCESS_DENIED, SPECIFIC_ACCESS_DENIED, CANNOT_USER, PASSWORD_NOT_ALLOWED, PASSWORD_ANONYMOUS_USER
        1044 | 1045 | 1131 | 1132 | 1142 | 1227 | 1396 => {
            "Ask the database's administrator whether this user may set its own password."
        }
        // NOT_VALID_PASSWORD
        1819 => "The server's rules for passwords refuse the one that was made. Ask its administrator which rules it has.",
        // OPTION_PREVENTS_STATEMENT, READ_ONLY_MODE
        1290 | 1836 => "Often the server only follows another one. Rotate over a connection to the one that is written to.",
        _ => causes::SERVERS_OWN_WORDS,
    }
}

/// The address in `Access denied for user 'anna'@'10.4.2.17' (using password: YES)`.
fn seen_as(message: &str) -> Option<&str> {
    let (_, address) = message.rsplit_once("'@'")?;
    address.split_once('\'').map(|(address, _)| address)
}
