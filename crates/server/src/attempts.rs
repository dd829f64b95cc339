//! Guessing passwords: after some failures the next attempt has to wait, and longer after each.
//!
//! Failures are counted by account, by address, and by both together; on this node and in memory alone, so a restart forgets them. Accounts
//! are counted whether they exist or not: a wait tells nobody which do.

use std::{
    collections::{HashMap, hash_map::RandomState},
    hash::BuildHasher as _,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{
    clock::SECOND,
    error::{Error, Result},
    listen::origin,
};

/// After how many failures one has to wait, and how long at most. The wait begins with a second and doubles.
struct Rule {
    free: u32,
    longest: i64,
}

/// Somebody at one place who tries one account.
const ACCOUNT_AT_ADDRESS: Rule = Rule { free: 5, longest: 15 * 60 * SECOND };
/// Somebody at one place who tries many. An office may share its address.
const ADDRESS: Rule = Rule { free: 30, longest: 15 * 60 * SECOND };
/// Many places that try one account: 1,440 guesses a day. Longer waits would let anybody lock its owner out.
const ACCOUNT: Rule = Rule { free: 50, longest: 60 * SECOND };
/// A count is forgotten when it has not grown for this long.
const MEMORY: i64 = 3600 * SECOND;
/// Most counts that are kept; beyond, those that grew last stay.
const COUNTS_MAX: usize = 100_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    AccountAtAddress(u64, IpAddr),
    Address(IpAddr),
    Account(u64),
}

impl Key {
    fn rule(self) -> Rule {
        match self {
            Self::AccountAtAddress(..) => ACCOUNT_AT_ADDRESS,
            Self::Address(_) => ADDRESS,
            Self::Account(_) => ACCOUNT,
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Count {
    failures: u32,
    /// Microseconds UTC.
    last: i64,
}

/// The failures of this node.
#[derive(Debug, Default)]
pub struct Attempts {
    counts: Mutex<HashMap<Key, Count>>,
    /// Of this process alone: nobody outside can have two accounts share a count.
    hasher: RandomState,
}

/// An attempt under way. It counts as a failure from its beginning, so that many at once gain nothing, until it is told otherwise.
#[derive(Debug)]
#[must_use]
pub struct Attempt<'a> {
    attempts: &'a Attempts,
    keys: Vec<Key>,
}

impl Attempts {
    /// Begins an attempt at `now` (microseconds UTC). This machine is no address: a reverse proxy on it stands for everybody.
    ///
    /// # Errors
    /// `TooManyAttempts` with the seconds to wait; that attempt is not counted.
    pub fn begin(&self, account: &str, address: Option<IpAddr>, now: i64) -> Result<Attempt<'_>> {
        let account = self.hasher.hash_one(account);
        let mut keys = vec![Key::Account(account)];
        if let Some(address) = counted(address) {
            keys.extend([Key::Address(address), Key::AccountAtAddress(account, address)]);
        }
        self.begin_with(keys, now)
    }

    /// The same where it is not known yet which account it will be.
    ///
    /// # Errors
    /// As those of [`Attempts::begin`].
    pub fn begin_at(&self, address: Option<IpAddr>, now: i64) -> Result<Attempt<'_>> {
        self.begin_with(counted(address).map(Key::Address).into_iter().collect(), now)
    }

    fn begin_with(&self, keys: Vec<Key>, now: i64) -> Result<Attempt<'_>> {
        let mut counts = self.counts();
        let wait = keys.iter().filter_map(|key| Some(counts.get(key)?.wait(&key.rule(), now))).max().unwrap_or(0);
        if wait > 0 {
            return Err(Error::TooManyAttempts(u32::try_from((wait + SECOND - 1).div_euclid(SECOND)).unwrap_or(u32::MAX)));
        }
        for key in &keys {
            make_room(&mut counts, now);
            let count = counts.entry(*key).or_insert(Count { failures: 0, last: now });
            let failures = if now - count.last > MEMORY { 0 } else { count.failures };
            *count = Count { failures: failures.saturating_add(1), last: now };
        }
        drop(counts);
        Ok(Attempt { attempts: self, keys })
    }

    /// Forgets the failures for an account, and those of the addresses from which it was tried.
    pub fn forget(&self, account: &str) {
        let account = self.hasher.hash_one(account);
        let mut counts = self.counts();
        let addresses: Vec<_> = counts
            .keys()
            .filter_map(|key| match key {
                Key::AccountAtAddress(of, address) if *of == account => Some(*address),
                _ => None,
            })
            .collect();
        counts.remove(&Key::Account(account));
        for address in addresses {
            counts.remove(&Key::AccountAtAddress(account, address));
            counts.remove(&Key::Address(address));
        }
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<Key, Count>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attempt<'_> {
    /// It was the right password. What the address has on its count from other accounts stays there.
    pub fn succeeded(self) {
        let mut counts = self.attempts.counts();
        for key in self.keys {
            match key {
                Key::Address(_) => take_back(&mut counts, key),
                _ => drop(counts.remove(&key)),
            }
        }
    }

    /// Nobody found out whether the password was right.
    pub fn never_was(self) {
        let mut counts = self.attempts.counts();
        self.keys.into_iter().for_each(|key| take_back(&mut counts, key));
    }
}

impl Count {
    /// Microseconds until the next attempt is let through.
    fn wait(self, rule: &Rule, now: i64) -> i64 {
        let Some(beyond) = self.failures.checked_sub(rule.free) else { return 0 };
        let wait = SECOND.saturating_mul(1 << beyond.min(20)).min(rule.longest);
        self.last.saturating_add(wait) - now
    }
}

/// What of an address counts: nothing of this machine's own.
fn counted(address: Option<IpAddr>) -> Option<IpAddr> {
    address.map(origin).filter(|address| !address.is_loopback())
}

fn take_back(counts: &mut HashMap<Key, Count>, key: Key) {
    if let Some(count) = counts.get_mut(&key) {
        count.failures = count.failures.saturating_sub(1);
    }
}

/// Forgets what is over, and if that is not enough the half that grew longest ago.
fn make_room(counts: &mut HashMap<Key, Count>, now: i64) {
    if counts.len() < COUNTS_MAX {
        return;
    }
    counts.retain(|_, count| now - count.last <= MEMORY);
    if counts.len() < COUNTS_MAX {
        return;
    }
    let mut times: Vec<_> = counts.values().map(|count| count.last).collect();
    let (_, middle, _) = times.select_nth_unstable(COUNTS_MAX / 2);
    let middle = *middle;
    counts.retain(|_, count| count.last > middle);
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = "203.0.113.7";

    fn fail(attempts: &Attempts, account: &str, address: &str, now: i64) -> Result<()> {
        attempts.begin(account, address.parse().ok(), now).map(drop)
    }

    fn wait(attempts: &Attempts, account: &str, address: &str, now: i64) -> u32 {
        match fail(attempts, account, address, now) {
            Err(Error::TooManyAttempts(seconds)) => seconds,
            other => panic!("let through: {other:?}"),
        }
    }

    #[test]
    fn one_who_guesses_at_one_account_waits_longer_each_time() {
        let (attempts, mut now) = (Attempts::default(), 0);
        for _ in 0..5 {
            fail(&attempts, "ada", HERE, now).expect("free");
        }
        let mut waits = Vec::new();
        for _ in 0..12 {
            let seconds = wait(&attempts, "ada", HERE, now);
            waits.push(seconds);
            now += i64::from(seconds) * SECOND;
            fail(&attempts, "ada", HERE, now).expect("waited for");
        }
        assert_eq!(waits[..6], [1, 2, 4, 8, 16, 32]);
        assert_eq!(waits.last(), Some(&900));
        fail(&attempts, "ada", "203.0.113.8", now).expect("who is elsewhere signs in meanwhile");
        fail(&attempts, "bob", HERE, now).expect("another account");
        fail(&attempts, "ada", HERE, now + 2 * MEMORY).expect("forgotten");
    }

    #[test]
    fn one_who_tries_many_accounts_waits_and_cannot_start_anew_with_an_account_of_his_own() {
        let attempts = Attempts::default();
        for number in 0..29 {
            fail(&attempts, &number.to_string(), HERE, 0).expect("free");
        }
        attempts.begin("own", HERE.parse().ok(), 0).expect("free").succeeded();
        fail(&attempts, "last", HERE, 0).expect("free");
        assert_eq!(wait(&attempts, "own", HERE, 0), 1);
        fail(&attempts, "own", "2001:db8:1:2::1", 0).expect("another address");
        for number in 0..29 {
            fail(&attempts, &number.to_string(), "2001:db8:1:2::9", 0).expect("free");
        }
        assert_eq!(wait(&attempts, "x", "2001:db8:1:2:ffff::3", 0), 1, "a /64 is one address");
    }

    #[test]
    fn many_addresses_at_one_account_make_it_wait_a_minute_at_most() {
        let (attempts, mut now) = (Attempts::default(), 0);
        for number in 0..50 {
            fail(&attempts, "ada", &format!("203.0.113.{number}"), now).expect("free");
        }
        for number in 50..60 {
            now += i64::from(wait(&attempts, "ada", &format!("203.0.113.{number}"), now)) * SECOND;
            fail(&attempts, "ada", &format!("203.0.113.{number}"), now).expect("waited for");
        }
        assert_eq!(wait(&attempts, "ada", "203.0.113.99", now), 60);
    }

    #[test]
    fn what_succeeds_or_never_was_is_no_failure() {
        let attempts = Attempts::default();
        for _ in 0..100 {
            attempts.begin("ada", HERE.parse().ok(), 0).expect("free").succeeded();
            attempts.begin("ada", HERE.parse().ok(), 0).expect("free").never_was();
        }
        // Behind a proxy on this machine nobody has an address.
        for number in 0..100 {
            fail(&attempts, &number.to_string(), "127.0.0.1", 0).expect("free");
        }
        let many: Vec<_> = (0..5).map(|_| attempts.begin("bob", HERE.parse().ok(), 0).expect("free")).collect();
        assert_eq!(wait(&attempts, "bob", HERE, 0), 1, "those under way count");
        many.into_iter().for_each(Attempt::never_was);
        fail(&attempts, "bob", HERE, 0).expect("free again");
    }

    #[test]
    fn an_account_that_is_forgotten_is_let_through_from_where_it_was_tried() {
        let attempts = Attempts::default();
        for number in 0..60 {
            let _ = fail(&attempts, "ada", &format!("203.0.113.{number}"), 0);
        }
        for number in 0..40 {
            let _ = fail(&attempts, &format!("other {number}"), HERE, 0);
        }
        let elsewhere = "198.51.100.1";
        for number in 0..40 {
            let _ = fail(&attempts, &format!("other {number}"), elsewhere, 0);
        }
        wait(&attempts, "ada", HERE, 0);
        attempts.forget("ada");
        fail(&attempts, "ada", HERE, 0).expect("forgotten");
        assert_eq!(wait(&attempts, "bob", elsewhere, 0), 1, "nobody tried her from there");
    }

    #[test]
    fn memory_is_bounded() {
        let attempts = Attempts::default();
        for number in 0..2 * COUNTS_MAX {
            let now = i64::try_from(number).expect("small");
            drop(attempts.begin(&number.to_string(), None, now));
        }
        assert!(attempts.counts().len() <= COUNTS_MAX);
    }
}
