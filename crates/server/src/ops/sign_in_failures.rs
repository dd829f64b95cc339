//! Failed sign-ins of accounts that there are, for the audit: counted in memory and told by a job, so that whoever tries waits no longer for
//! one account than for another.
//!
//! Of an account there is one event a minute and node at most, which says how many failures it stands for. What no account has is not kept:
//! a stranger fills nothing.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{
    app::App,
    audit::{self, Event},
    clock::SECOND,
    error::Result,
};

/// How long it is from one event of an account to the next.
const EVERY: i64 = 60 * SECOND;
/// Events that one transaction leaves.
const EVENTS: usize = 500;

#[derive(Debug, Default)]
pub struct SignInFailures {
    /// By the account's e-mail.
    accounts: Mutex<HashMap<String, Failures>>,
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    untold: u32,
    last: i64,
    address: Option<IpAddr>,
    /// When an event told of some.
    told_at: i64,
}

impl SignInFailures {
    /// Notes that somebody could not sign in to an account that there is.
    pub(super) fn note(&self, email: &str, address: Option<IpAddr>, now: i64) {
        let mut accounts = self.accounts();
        let failures = accounts.entry(email.to_owned()).or_insert(Failures { untold: 0, last: now, address, told_at: i64::MIN });
        *failures = Failures { untold: failures.untold.saturating_add(1), last: now, address, ..*failures };
    }

    /// Those that an event is to tell of now: all of them `at_the_end`.
    fn due(&self, now: i64, at_the_end: bool) -> Vec<(String, Failures)> {
        let mut accounts = self.accounts();
        let is_over = |failures: &Failures| now.saturating_sub(failures.told_at) >= EVERY;
        accounts.retain(|_, failures| failures.untold > 0 || !is_over(failures));
        let due = accounts.iter().filter(|(_, failures)| failures.untold > 0 && (at_the_end || is_over(failures)));
        due.take(EVENTS).map(|(email, failures)| (email.clone(), *failures)).collect()
    }

    /// Notes that an event has told of these.
    fn are_told(&self, told: &[(String, Failures)], now: i64) {
        let mut accounts = self.accounts();
        for (email, told) in told {
            if let Some(failures) = accounts.get_mut(email) {
                failures.untold = failures.untold.saturating_sub(told.untold);
                failures.told_at = now;
            }
        }
    }

    fn accounts(&self) -> MutexGuard<'_, HashMap<String, Failures>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Leaves the events that are due. What an error leaves untold the next call tells.
pub async fn tell(app: &App, at_the_end: bool) -> Result<()> {
    loop {
        let now = app.clock.now();
        let due = app.sign_in_failures.due(now, at_the_end);
        if due.is_empty() {
            return Ok(());
        }
        let mut write = app.store.write().await?;
        for (email, failures) in &due {
            let detail = serde_json::json!({"attempts": failures.untold, "address": failures.address});
            let event = Event { at: failures.last, workspace_id: None, action: "person.sign_in_failed", object: email, detail };
            audit::record_own(&mut write, &app.vault, event).await?;
        }
        write.commit_quietly().await?;
        app.sign_in_failures.are_told(&due, now);
    }
}
