//! Ends of the process at a commit, for tests of what they leave.

use std::sync::{Arc, Mutex, PoisonError};

/// A commit at which the process ends, for tests of what it leaves.
#[derive(Debug, Clone, Default)]
pub struct Crash(Arc<Mutex<Option<(u32, CrashAt)>>>);

/// Before the commit is durable, or after it and before anybody in the process knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrashAt {
    Before,
    After,
}

impl Crash {
    /// At the commit after so many more.
    pub fn after(&self, commits: u32, at: CrashAt) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((commits, at));
    }

    /// Whether it has not come to that.
    pub fn is_ahead(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    pub(super) fn at_commit(&self) -> Option<CrashAt> {
        let mut planned = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (commits, at) = (*planned)?;
        *planned = commits.checked_sub(1).map(|left| (left, at));
        planned.is_none().then_some(at)
    }
}
