//! A bounded number of places for each of many: workspaces, addresses, callers.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use tokio::sync::Semaphore;

/// As many permits for each key; keys that nobody holds or waits for take no memory.
#[derive(Debug)]
pub struct Shares<K> {
    each: usize,
    of: Mutex<HashMap<K, Weak<Semaphore>>>,
}

impl<K: Eq + Hash> Shares<K> {
    pub fn of(each: usize) -> Self {
        Self { each, of: Mutex::default() }
    }

    /// The permits of one key, for as long as anybody has one or waits for one.
    pub fn of_key(&self, key: K) -> Arc<Semaphore> {
        let mut of = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = of.get(&key).and_then(Weak::upgrade) {
            return held;
        }
        of.retain(|_, share| share.strong_count() > 0);
        let share = Arc::new(Semaphore::new(self.each));
        of.insert(key, Arc::downgrade(&share));
        share
    }

    /// Keys that somebody holds or waits for.
    #[cfg(test)]
    pub fn held(&self) -> usize {
        let of = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        of.values().filter(|share| share.strong_count() > 0).count()
    }

    /// Keys that take memory.
    #[cfg(test)]
    pub fn known(&self) -> usize {
        self.of.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}
