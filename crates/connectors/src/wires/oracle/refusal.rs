//! Why the listener or the database said no: <https://docs.oracle.com/error-help/db/>.

use dataflow_model::{StepName, TestError};

use super::{super::link::Link, SID, auth::Said, packet};
use crate::causes;

/// What a listener says instead of leading to a database.
pub(super) fn of_listener(wire: &Link<'_>, said: &[u8]) -> TestError {
    let said = String::from_utf8_lossy(said);
    let number = packet::value(&said, "ERR").and_then(|number| number.parse::<u32>().ok()).unwrap_or_default();
    let (service, instance) = (wire.target.text("database"), wire.target.text(SID));
    match number {
        12_514 | 12_521 => causes::oracle_service_unknown("database", "service", service),
        12_505 => causes::oracle_service_unknown(SID, "SID", instance),
        // No handler is free, or none takes this kind of connection.
        12_516 | 12_518..=12_520 => causes::too_many_connections(),
        // Instances that are blocked, restricted or not there yet.
        12_526..=12_528 => causes::server_starting(),
        12_506 | 12_546 => causes::address_not_permitted(wire.username()),
        0 => wire.foreign(),
        number => causes::server_error(&wire.clean(&format!("ORA-{number:05}"))),
    }
}

pub(super) fn of_server(wire: &Link<'_>, said: &Said) -> TestError {
    let (username, service) = (wire.username(), wire.target.text("database"));
    let words = || wire.clean(said.words.lines().next().unwrap_or_default());
    match said.number {
        1_005 | 1_017 => causes::credentials_refused(username),
        28_000 => causes::account_locked(username),
        28_001 => causes::password_expired(username),
        // No right to CREATE SESSION.
        1_045 => causes::no_right_to_connect(username, service),
        // Processes, sessions, and those of one user.
        18 | 20 | 2_391 => causes::too_many_connections(),
        1_033 | 1_034 | 1_089 | 1_090 | 1_109 | 27_101 => causes::server_starting(),
        1_035 => causes::not_now(&words()),
        // Neither side takes what the other has.
        28_040 => causes::oracle_old_password(username),
        12_650 | 12_660 | 12_699 => causes::oracle_encryption_demanded(),
        _ if wire.step == StepName::Read => causes::read_refused(&words()),
        _ => causes::server_error(&words()),
    }
}
