//! Open files: every connection takes one, and the usual limit of 1,024 is far below what one server should hold.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Kept for the store, the audit segments and the child processes of tests.
const RESERVE: u64 = 256;

/// Raises this process's limit of open files as far as `connections` need and the system lets it.
/// Returns for how many connections that leaves room.
pub(super) fn room_for(connections: usize) -> usize {
    let wanted = u64::try_from(connections).unwrap_or(u64::MAX).saturating_add(RESERVE);
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let mut granted = current.unwrap_or(u64::MAX);
    if granted < wanted {
        let raised = maximum.unwrap_or(u64::MAX).min(wanted);
        match setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum }) {
            Ok(()) => granted = raised,
            Err(error) => tracing::warn!(%error, "the limit of open files could not be raised"),
        }
    }
    let room = usize::try_from(granted.saturating_sub(RESERVE).max(1)).unwrap_or(usize::MAX).min(connections);
    if room < connections {
        tracing::warn!(
            open_files.limit = granted,
            connections.limit = room,
            "the system allows fewer open files than {connections} connections need; raise it with `ulimit -Hn` or LimitNOFILE"
        );
    }
    room
}
