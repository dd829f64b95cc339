//! Requests that may change something: a rotation of the keys waits for those that began before their node knew which key seals.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError, RwLock, Weak},
    time::{Duration, Instant},
};

/// One that takes longer is not waited for; if a key ended meanwhile, it fails at its commit.
const LONGEST: Duration = Duration::from_secs(10);

/// The requests under way on this node, in the turns that they began in.
#[derive(Debug, Default)]
pub struct UnderWay {
    /// Held by each that began in this turn.
    now: RwLock<Arc<()>>,
    turns: Mutex<Turns>,
}

#[derive(Debug, Default)]
struct Turns {
    ended: u64,
    /// Those with requests that go on.
    open: VecDeque<(u64, Instant, Weak<()>)>,
}

impl UnderWay {
    /// A request begins, and goes on for as long as this is held.
    pub fn begin(&self) -> Arc<()> {
        self.now.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends a turn: what begins from here on knows all that this node knows now.
    pub fn turn(&self) -> u64 {
        let ended = std::mem::take(&mut *self.now.write().unwrap_or_else(PoisonError::into_inner));
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.ended += 1;
        let number = turns.ended;
        turns.open.push_back((number, Instant::now(), Arc::downgrade(&ended)));
        number
    }

    /// Whether every request of a turn, and of those before it, has ended.
    pub fn is_past(&self, turn: u64) -> bool {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.open.retain(|(_, ended, requests)| requests.strong_count() > 0 && ended.elapsed() < LONGEST);
        turns.open.front().is_none_or(|(oldest, ..)| *oldest > turn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_is_past_once_all_that_began_in_it_or_before_has_ended() {
        let under_way = UnderWay::default();
        let first = under_way.begin();
        let one = under_way.turn();
        let second = under_way.begin();
        let two = under_way.turn();
        assert!(!under_way.is_past(one) && !under_way.is_past(two));
        drop(second);
        assert!(!under_way.is_past(two), "one of the turn before goes on");
        let third = under_way.begin();
        drop(first);
        assert!(under_way.is_past(one) && under_way.is_past(two), "the third began later");
        drop(third);
    }
}
