//! Why the server said no. The numbers are those of `sys.messages`, and of Azure SQL's own list:
//! <https://learn.microsoft.com/azure/azure-sql/database/troubleshoot-common-errors-issues>.

use dataflow_model::{StepName, TestError};

use super::{super::link::Link, tokens::Said};
use crate::causes;

/// The one that comes with every refusal.
const LOGIN_FAILED: i32 = 18_456;

/// The cause, and whether only the database is what is wrong.
pub(super) fn of_sign_in(wire: &Link<'_>, errors: &[Said]) -> (TestError, bool) {
    let told = errors.iter().find(|said| said.number != LOGIN_FAILED).or(errors.first());
    let Some(said) = told else { return (wire.foreign(), false) };
    let (username, database) = (wire.username(), wire.target.text("database"));
    match said.number {
        LOGIN_FAILED => (causes::credentials_refused(username), false),
        18_450 | 18_452 => (causes::sql_logins_not_taken(username), false),
        18_470 => (causes::account_disabled(username), false),
        18_486 => (causes::account_locked(username), false),
        18_487 => (causes::password_expired(username), false),
        18_488 => (causes::password_to_be_changed(username), false),
        // The database of the connection, then the login's own.
        4060 => (causes::no_right_or_missing(username, database), true),
        4062..=4064 => (causes::default_database_not_opened(username), true),
        40_532 => (causes::missing("host", "server", wire.host()), false),
        40_615 | 40_914 | 47_073 => (causes::azure_firewall(&wire.clean(&said.words)), false),
        // All connections that the server or the service tier allows.
        17_300 | 17_809 | 10_928 | 10_929 | 10_936 => (causes::too_many_connections(), false),
        number if is_unavailable(number) => (causes::not_now(&wire.clean(&said.words)), false),
        _ => (causes::server_error(&wire.clean(&said.words)), false),
    }
}

/// Starting, stopping, paused, recovering, or moving to another machine.
fn is_unavailable(number: i32) -> bool {
    matches!(
        number,
        904 | 922
            | 927
            | 942
            | 945
            | 4221
            | 6005
            | 17_142
            | 18_401
            | 18_451
            | 18_461
            | 40_143
            | 40_197
            | 40_501
            | 40_540
            | 40_613
            | 42_108
            | 42_109
            | 49_918..=49_920
    )
}

pub(super) fn of_statement(wire: &Link<'_>, said: &Said) -> TestError {
    let database = wire.target.text("database");
    match said.number {
        911 => causes::database_missing(database),
        916 => causes::no_right_to_connect(wire.username(), database),
        number if is_unavailable(number) => causes::not_now(&wire.clean(&said.words)),
        _ if wire.step == StepName::Read => causes::read_refused(&wire.clean(&said.words)),
        _ => causes::server_error(&wire.clean(&said.words)),
    }
}
