//! What is known of one name, and what follows from it: serve, ask or fail. No I/O, no clock of its own.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hasher, RandomState},
    process,
    sync::Arc,
    time::{Duration, Instant},
};

use dataflow_model::{Workflow, WorkflowKind};

use crate::{ClientError, Resolved, Timing};

/// Workflows of one process of which it is known when the server was told of them.
const TELLERS: usize = 1_000;

/// For which workflow somebody looks; its run does not matter.
pub(crate) type Teller = Option<(WorkflowKind, String)>;

pub(crate) fn teller(workflow: Option<&Workflow>) -> Teller {
    workflow.map(|workflow| (workflow.kind, workflow.name.clone()))
}

type Outcome = Result<Arc<Resolved>, ClientError>;

/// Refreshes that may be forced within [`REFRESH_WINDOW`], so that an outage of a database does not become one of the server.
const REFRESHES: u32 = 5;
const REFRESH_WINDOW: Duration = Duration::from_secs(5);

/// Why a caller looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Want {
    /// An answer no older than the freshness time.
    Fresh,
    /// What the server says now: a database has just refused the answer that is held.
    Now,
}

#[derive(Debug)]
pub(crate) enum Decision {
    Settled(Outcome),
    /// Ask the server, saying what is held.
    Ask(Option<Arc<Resolved>>),
}

/// What the server said, once it was asked.
pub(crate) enum Said {
    New(Resolved),
    /// 304: what is held, and was told, still stands.
    Same(Arc<Resolved>),
    /// No network, a time-out, 5xx or 429, the latter perhaps with the time to wait.
    Away {
        error: ClientError,
        retry_after: Option<Duration>,
    },
    Refused(ClientError),
}

/// The last request of a name.
struct Flight {
    began: Instant,
    ended: Instant,
    outcome: Outcome,
    teller: Teller,
}

#[derive(Default)]
pub(crate) struct Slot {
    held: Option<(Arc<Resolved>, Instant)>,
    last: Option<Flight>,
    failures: u32,
    retry_at: Option<Instant>,
    refreshes: (u32, Option<Instant>),
    /// When the server was told of each workflow last.
    told: HashMap<Teller, Instant>,
}

impl Slot {
    /// `asked` is when the caller came; since then it may have waited for another's request, whose outcome it then shares if that was for the same
    /// workflow. An answer is fresh for a workflow that the server was told of within that time, too: who depends on the name is known by that.
    pub(crate) fn decide(&mut self, want: Want, teller: &Teller, (asked, now): (Instant, Instant), timing: &Timing) -> Decision {
        if let Some(last) = self.last.as_ref().filter(|last| last.teller == *teller) {
            let since = if want == Want::Now { last.began } else { last.ended };
            if since >= asked {
                return Decision::Settled(last.outcome.clone());
            }
        }
        let usable = self.usable(now, timing);
        if let (Want::Fresh, Some(answer)) = (want, self.fresh_for(teller, now, timing)) {
            return Decision::Settled(Ok(answer));
        }
        if self.retry_at.is_some_and(|at| now < at)
            && let Some(outcome) = usable.clone().map(Ok).or_else(|| self.last.as_ref().map(|last| last.outcome.clone()))
        {
            return Decision::Settled(outcome);
        }
        if let (Want::Now, Some(answer)) = (want, usable)
            && !self.may_refresh(now)
        {
            return Decision::Settled(Ok(answer));
        }
        Decision::Ask(self.held.as_ref().map(|(answer, _)| Arc::clone(answer)))
    }

    /// Takes in what the server said to a request for a workflow that began at `began`.
    pub(crate) fn settle(&mut self, said: Said, teller: Teller, (began, now): (Instant, Instant), timing: &Timing) -> Outcome {
        let outcome = match said {
            Said::New(answer) => {
                let answer = Arc::new(answer);
                self.held = Some((Arc::clone(&answer), began));
                Ok(answer)
            }
            Said::Same(answer) => {
                self.held = Some((Arc::clone(&answer), began));
                Ok(answer)
            }
            Said::Away { error, retry_after } => {
                self.failures = self.failures.saturating_add(1);
                let pause = timing.back_off(self.failures).max(retry_after.unwrap_or_default().min(timing.longest_pause));
                self.retry_at = now.checked_add(pause);
                let usable = self.usable(now, timing);
                if usable.is_none() {
                    self.held = None;
                }
                return self.remember(teller, (began, now), usable.ok_or(error));
            }
            Said::Refused(error) => {
                self.held = None;
                Err(error)
            }
        };
        self.failures = 0;
        self.retry_at = None;
        if self.told.len() >= TELLERS {
            self.told.retain(|_, at| now.saturating_duration_since(*at) < timing.fresh);
            if self.told.len() >= TELLERS {
                self.told.clear();
            }
        }
        self.told.insert(teller.clone(), began);
        self.remember(teller, (began, now), outcome)
    }

    fn remember(&mut self, teller: Teller, (began, ended): (Instant, Instant), outcome: Outcome) -> Outcome {
        self.last = Some(Flight { began, ended, outcome: outcome.clone(), teller });
        outcome
    }

    /// What is held, if it is fresh for this workflow.
    pub(crate) fn fresh_for(&self, teller: &Teller, now: Instant, timing: &Timing) -> Option<Arc<Resolved>> {
        let told_at = self.told.get(teller)?;
        if now.saturating_duration_since(*told_at) < timing.fresh { self.fresh(now, timing) } else { None }
    }

    pub(crate) fn fresh(&self, now: Instant, timing: &Timing) -> Option<Arc<Resolved>> {
        self.younger_than(timing.fresh, now)
    }

    fn usable(&self, now: Instant, timing: &Timing) -> Option<Arc<Resolved>> {
        self.younger_than(timing.usable, now)
    }

    fn younger_than(&self, age: Duration, now: Instant) -> Option<Arc<Resolved>> {
        let (answer, confirmed) = self.held.as_ref()?;
        (now.saturating_duration_since(*confirmed) < age).then(|| Arc::clone(answer))
    }

    fn may_refresh(&mut self, now: Instant) -> bool {
        let (count, since) = &mut self.refreshes;
        if since.is_none_or(|since| now.saturating_duration_since(since) >= REFRESH_WINDOW) {
            (*count, *since) = (0, Some(now));
        }
        *count += 1;
        *count <= REFRESHES
    }
}

impl Timing {
    /// The pause after the n-th failure in a row: doubled each time up to the longest, of which a random half is taken away, so
    /// that the clients of a server that comes back do not come all at once.
    pub(crate) fn back_off(&self, failures: u32) -> Duration {
        let doubled = self.first_pause.saturating_mul(1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX));
        jittered(doubled.min(self.longest_pause))
    }
}

/// From half of the pause to the whole.
pub(crate) fn jittered(pause: Duration) -> Duration {
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u32(process::id());
    let thousandths = u32::try_from(hasher.finish() % 501).unwrap_or_default();
    pause.saturating_mul(500 + thousandths) / 1000
}

#[cfg(test)]
mod tests;
