//! How many requests somebody may make in a time: what one sends too fast must not slow the others down.
//!
//! Token buckets in memory, of this node alone. One bucket is one number, the time at which it will be full again (GCRA, as in ITU-T
//! I.371), in one of many small maps, so that requests of different callers seldom meet at a lock. Taking from a bucket that is known
//! allocates nothing.

use std::{
    collections::{HashMap, HashSet, hash_map::RandomState},
    hash::{BuildHasher as _, Hash},
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    clock::SECOND,
    config::RateConfig,
    error::{Error, Result},
    listen::origin,
    metrics::Metrics,
};

/// What is counted, and by whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Requests of a token or a person.
    Requests,
    /// Changes of a token or a person that were carried out.
    Changes,
    /// Tests of connections of a token or a person.
    Tests,
    /// Requests without a valid token, session or link, of an address.
    Strangers,
    /// Requests of an address, whoever makes them.
    Address,
}

impl Kind {
    pub const ALL: [Self; 5] = [Self::Requests, Self::Changes, Self::Tests, Self::Strangers, Self::Address];

    /// Its name in `--limit` and in the metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Changes => "changes",
            Self::Tests => "tests",
            Self::Strangers => "strangers",
            Self::Address => "address",
        }
    }

    fn refusal(self) -> &'static str {
        match self {
            Self::Requests => "More requests came from this token or account than it may make in a time.",
            Self::Changes => "More changes came from this token or account than it may make in a time.",
            Self::Tests => "More tests of connections came from this token or account than it may run in a time.",
            Self::Strangers => "Too many requests without a valid sign-in came from this address.",
            Self::Address => "More requests came from this address than one may make in a time.",
        }
    }
}

/// Maps that are locked apart.
const SHARDS: u64 = 64;
/// Most buckets in one of them. In a full one the half that will be full again first is forgotten, and so begins full.
const BUCKETS_MAX: usize = 4_096;
/// Most tokens and cookies that are familiar; then all are forgotten.
const FAMILIAR_MAX: usize = 100_000;

/// The buckets of this node.
pub struct Throttle {
    rates: RateConfig,
    shards: Vec<Mutex<HashMap<u64, i64>>>,
    /// Tokens and cookies that were good when they were looked up last.
    familiar: Mutex<HashSet<u64>>,
    /// Of this process alone: nobody outside can have two callers share a bucket.
    hasher: RandomState,
    metrics: Arc<Metrics>,
}

impl Throttle {
    #[must_use]
    pub fn new(rates: RateConfig, metrics: Arc<Metrics>) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { rates, shards, familiar: Mutex::default(), hasher: RandomState::new(), metrics }
    }

    /// Takes one from `who`'s bucket at `now` (microseconds UTC).
    ///
    /// # Errors
    /// `TooFast` with the seconds until there is one again, where it is empty.
    pub fn take(&self, kind: Kind, who: &(impl Hash + ?Sized), now: i64) -> Result<()> {
        self.at(kind, who, now, true)
    }

    /// The same without taking: for an act that is known to be one only when it has been done.
    ///
    /// # Errors
    /// As those of [`Throttle::take`].
    pub fn look(&self, kind: Kind, who: &(impl Hash + ?Sized), now: i64) -> Result<()> {
        self.at(kind, who, now, false)
    }

    /// [`Throttle::take`] by address: an IPv4 address, or a /64 of IPv6. This machine is none: an unnamed reverse proxy on it stands for
    /// everybody.
    ///
    /// # Errors
    /// As those of [`Throttle::take`].
    pub fn take_at(&self, kind: Kind, address: Option<IpAddr>, now: i64) -> Result<()> {
        counted(address).map_or(Ok(()), |address| self.take(kind, &address, now))
    }

    /// [`Throttle::look`] by address.
    ///
    /// # Errors
    /// As those of [`Throttle::take`].
    pub fn look_at(&self, kind: Kind, address: Option<IpAddr>, now: i64) -> Result<()> {
        counted(address).map_or(Ok(()), |address| self.look(kind, &address, now))
    }

    /// Whether this token or cookie was good the last time: then its owner is no stranger, whoever else comes from his address.
    #[must_use]
    pub fn is_familiar(&self, secret: &str) -> bool {
        self.familiar.lock().unwrap_or_else(PoisonError::into_inner).contains(&self.hasher.hash_one(secret))
    }

    pub fn remember(&self, secret: &str, is_good: bool) {
        let key = self.hasher.hash_one(secret);
        let mut familiar = self.familiar.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_good {
            familiar.remove(&key);
            return;
        }
        if familiar.len() >= FAMILIAR_MAX && !familiar.contains(&key) {
            familiar.clear();
        }
        familiar.insert(key);
    }

    fn at(&self, kind: Kind, who: &(impl Hash + ?Sized), now: i64, takes: bool) -> Result<()> {
        let Some(rate) = self.rates.of(kind) else { return Ok(()) };
        let key = self.hasher.hash_one((kind, who));
        let place = usize::try_from(key % SHARDS).unwrap_or_default();
        let Some(shard) = self.shards.get(place) else { return Ok(()) };
        let mut buckets = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let room = rate.room();
        // A clock that was set back leaves nobody waiting for longer than an empty bucket takes.
        if let Some(full_again) = buckets.get_mut(&key).filter(|full_again| **full_again > now.saturating_add(room)) {
            *full_again = now.saturating_add(room);
        }
        let full_again = buckets.get(&key).map_or(now, |full_again| now.max(*full_again)).saturating_add(rate.each());
        match full_again.saturating_sub(now).saturating_sub(room) {
            ..=0 if takes => {
                if buckets.len() >= BUCKETS_MAX {
                    make_room(&mut buckets, now);
                }
                buckets.insert(key, full_again);
                Ok(())
            }
            ..=0 => Ok(()),
            wait => {
                drop(buckets);
                self.metrics.limited(kind);
                let seconds = u32::try_from((wait + SECOND - 1).div_euclid(SECOND)).unwrap_or(u32::MAX).max(1);
                Err(Error::TooFast(kind.refusal(), seconds))
            }
        }
    }
}

fn counted(address: Option<IpAddr>) -> Option<IpAddr> {
    address.map(origin).filter(|address| !address.is_loopback())
}

/// Forgets buckets that are full, and if that is not enough the half that will be so first.
fn make_room(buckets: &mut HashMap<u64, i64>, now: i64) {
    buckets.retain(|_, full_again| *full_again > now);
    if buckets.len() < BUCKETS_MAX {
        return;
    }
    let mut times: Vec<_> = buckets.values().copied().collect();
    let (_, middle, _) = times.select_nth_unstable(BUCKETS_MAX / 2);
    let middle = *middle;
    buckets.retain(|_, full_again| *full_again > middle);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn throttle(rate: &str) -> Throttle {
        let rate = Some(rate.parse().expect("a rate"));
        let rates = RateConfig { requests: rate, strangers: rate, ..RateConfig::default() };
        Throttle::new(rates, Arc::new(Metrics::new().expect("sound")))
    }

    fn wait(answer: &Result<()>) -> u32 {
        match answer {
            Err(Error::TooFast(_, seconds)) => *seconds,
            other => panic!("let through: {other:?}"),
        }
    }

    #[test]
    fn a_bucket_empties_fills_and_is_one_callers_own() {
        let throttle = throttle("2:6");
        let mut now = 1_000 * SECOND;
        let take = |who: &str, now| throttle.take(Kind::Requests, who, now);
        for _ in 0..6 {
            take("ada", now).expect("in the bucket");
        }
        assert_eq!(wait(&take("ada", now)), 1);
        assert_eq!(wait(&throttle.look(Kind::Requests, "ada", now)), 1);
        take("bob", now).expect("his own bucket");
        throttle.take(Kind::Strangers, "ada", now).expect("another kind, another bucket");
        // Two a second, and no more however long it was empty.
        now += SECOND;
        take("ada", now).expect("one");
        take("ada", now).expect("two");
        take("ada", now).expect_err("three");
        now += 3_600 * SECOND;
        for _ in 0..6 {
            take("ada", now).expect("full again");
        }
        take("ada", now).expect_err("and no more than full");
        // Looking takes nothing; a clock that goes back an hour holds nobody up for an hour.
        now -= 3_600 * SECOND;
        assert!(wait(&take("ada", now)) <= 3);
        now += 4 * SECOND;
        for _ in 0..50 {
            throttle.look(Kind::Requests, "ada", now).expect("looks");
        }
        take("ada", now).expect("still there");
        assert!(
            throttle.metrics.render().contains("dataflow_rate_limited_total{kind=\"requests\"} 5"),
            "{}",
            throttle.metrics.render()
        );
    }

    #[test]
    fn an_empty_bucket_of_a_slow_rate_says_how_long_it_takes() {
        let throttle = throttle("1:1");
        throttle.take(Kind::Requests, "ada", 0).expect("the one");
        assert_eq!(wait(&throttle.take(Kind::Requests, "ada", 0)), 1);
        throttle.take(Kind::Requests, "ada", SECOND).expect("the next");
    }

    #[test]
    fn addresses_are_counted_as_who_holds_them() {
        let throttle = throttle("1:2");
        let take = |text: &str| throttle.take_at(Kind::Strangers, text.parse().ok(), 0);
        for address in ["203.0.113.7", "::ffff:203.0.113.7"] {
            take(address).expect("in the bucket");
        }
        take("203.0.113.7").expect_err("the same address twice before");
        take("203.0.113.8").expect("another");
        for address in ["2001:db8:1:2::1", "2001:db8:1:2:ffff::9"] {
            take(address).expect("in the bucket");
        }
        take("2001:db8:1:2::3").expect_err("a /64 is one");
        take("2001:db8:1:3::3").expect("another");
        for _ in 0..9 {
            take("127.0.0.1").expect("this machine is none");
            throttle.take_at(Kind::Strangers, None, 0).expect("neither is nothing");
        }
    }

    #[test]
    fn memory_is_bounded_and_who_is_at_his_limit_stays_so() {
        let throttle = throttle("1:1000");
        for _ in 0..1_000 {
            throttle.take(Kind::Requests, "flood", 0).expect("in the bucket");
        }
        let most = throttle.shards.len() * BUCKETS_MAX;
        for number in 0..2 * most {
            throttle.take(Kind::Requests, &number, 0).expect("in the bucket");
        }
        let known: usize = throttle.shards.iter().map(|shard| shard.lock().expect("not poisoned").len()).sum();
        assert!(known <= most, "{known}");
        throttle.take(Kind::Requests, "flood", 0).expect_err("it is not forgotten for others");
    }
}
