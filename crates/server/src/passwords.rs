//! Hashing people's passwords: 46 MiB and some 80 ms each, so a few at a time, on threads of their own.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use dataflow_model::Secret;
use dataflow_vault::{hash_password, verify_absent_password, verify_password};
use tokio::sync::Semaphore;

use crate::error::{Error, Result};

/// Hashes under way at once.
const PLACES: usize = 4;
/// How many may wait for a place. One more is refused at once: whoever has to be told to come again is told so while he can still be heard.
const WAITING: usize = 32;
/// How long one waits for a place before it is refused.
const WAIT: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub struct Passwords {
    places: Arc<Semaphore>,
    /// Those who have a place and those who wait for one.
    line: Arc<Semaphore>,
    wait: Duration,
}

impl Default for Passwords {
    fn default() -> Self {
        let semaphore = |permits| Arc::new(Semaphore::new(permits));
        Self { places: semaphore(PLACES), line: semaphore(PLACES + WAITING), wait: WAIT }
    }
}

impl Passwords {
    /// The hash to keep. Begin no transaction before this: it takes long.
    pub async fn hash(&self, password: &Secret) -> Result<String> {
        let password = password.duplicate_secret();
        self.work(move || hash_password(&password)).await
    }

    /// Whether `password` is the one that `stored` was made of; without one it is not, and takes as long.
    pub async fn verify(&self, password: &Secret, stored: Option<String>) -> Result<bool> {
        let password = password.duplicate_secret();
        let verify = move || match stored {
            Some(stored) if !stored.is_empty() => verify_password(&password, &stored),
            _ => verify_absent_password(&password),
        };
        self.work(verify).await
    }

    async fn work<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        const TOO_MANY: Error = Error::TooManyRequests("Too many people sign in at this moment.");
        let in_line = self.line.clone().try_acquire_owned().map_err(|_| TOO_MANY)?;
        let place = tokio::time::timeout(self.wait, self.places.clone().acquire_owned()).await.map_err(|_| TOO_MANY)?;
        let place = place.context("wait for a place to hash a password").map_err(Error::Internal)?;
        // The place is held by the work itself: a client that leaves does not free it early.
        let done = tokio::task::spawn_blocking(move || {
            let result = work();
            drop((place, in_line));
            result
        });
        done.await.context("hash a password").map_err(Error::Internal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_is_verified_and_too_many_at_once_are_refused() {
        let passwords = Passwords { wait: Duration::from_millis(50), ..Passwords::default() };
        let typed = Secret::new("correct horse battery".to_owned());
        let stored = passwords.hash(&typed).await.ok();
        assert!(matches!(passwords.verify(&typed, stored.clone()).await, Ok(true)));
        assert!(matches!(passwords.verify(&Secret::new("another".to_owned()), stored).await, Ok(false)));
        assert!(matches!(passwords.verify(&typed, None).await, Ok(false)));
        let _all = passwords.places.clone().acquire_many_owned(4).await.expect("open");
        assert!(matches!(passwords.hash(&typed).await, Err(Error::TooManyRequests(_))));
    }

    #[tokio::test]
    async fn who_comes_after_those_who_wait_is_refused_at_once() {
        let passwords = Arc::new(Passwords::default());
        let typed = Secret::new("correct horse battery".to_owned());
        let held = passwords.places.clone().acquire_many_owned(4).await.expect("open");
        let waiting: Vec<_> = (0..PLACES + WAITING)
            .map(|_| {
                let (passwords, typed) = (passwords.clone(), typed.duplicate_secret());
                tokio::spawn(async move { passwords.hash(&typed).await.is_ok() })
            })
            .collect();
        while passwords.line.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let refused = tokio::time::timeout(Duration::from_millis(100), passwords.hash(&typed)).await;
        assert!(matches!(refused, Ok(Err(Error::TooManyRequests(_)))), "{refused:?}");
        waiting.iter().for_each(tokio::task::JoinHandle::abort);
        for ended in waiting {
            assert!(ended.await.is_err(), "it waited");
        }
        drop(held);
        assert!(
            passwords.hash(&typed).await.is_ok() && passwords.line.available_permits() == PLACES + WAITING,
            "the line is empty"
        );
    }
}
