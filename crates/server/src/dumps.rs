//! A process that holds keys in memory leaves none of it behind when it crashes.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// No core dump of this process: neither into a file, nor to a program that the system pipes it to, which heeds no limit. Other processes of
/// the same user cannot look into its memory either.
pub fn forbid() {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    if let Err(error) = setrlimit(Resource::Core, none).and_then(|()| set_dumpable_behavior(DumpableBehavior::NotDumpable)) {
        tracing::warn!(%error, "a crash may leave a core dump with keys in it");
    }
}
