//! A test in a process of its own: both ends.
//!
//! The parent starts its own binary again, whose `main` first calls [`enter`]. The request, with the secret, goes in by pipe;
//! steps and the end come out as JSON lines. What a hostile server can do to a driver (hang it, make it eat memory or
//! processor time, crash it) happens in that process, and the parent ends it at the deadline.
//!
//! The child has an empty environment, no descriptor but its three, limits on memory and processor time, no core dump, no
//! new privileges, and dies with its parent. What it may not do is keep: it is used once.

mod confine;
mod inside;
mod parent;
mod wire;

use std::time::{Duration, SystemTime};

pub use inside::enter;
pub use parent::{Pool, run, this_binary};

use crate::{DialPolicy, Target};

/// How long a test may take, from the request to the report.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// The first argument of a process that is a test's child. Not for people: it is in no help text.
const ARGUMENT: &str = "__test-connection";
/// How long a child may take to say goodbye to its server.
const LEAVING: Duration = Duration::from_secs(1);

/// One test.
#[derive(Debug)]
pub struct TestRequest {
    /// The name in the registry: `postgres`.
    pub connector: String,
    pub target: Target,
    pub policy: DialPolicy,
    /// The whole time it may take; [`DEADLINE`] unless there is a reason.
    pub deadline: Duration,
    /// Where it runs, for the report: `server` or `client`.
    pub from: String,
    /// The time of the caller's clock, for the report.
    pub now: SystemTime,
}
