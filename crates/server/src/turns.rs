//! Searches of one caller, some at a time: whatever he asks for at once, the processors and the store's sessions are there for others, too.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::error::{Error, Result};

/// Searches of one caller under way at once.
const AT_ONCE: usize = 2;
/// How many more may wait for their turn; one beyond is refused at once.
const WAITING: usize = 16;
/// How long one waits before it is refused.
const WAIT: Duration = Duration::from_secs(5);

/// Who searches on this node now, and who waits to.
#[derive(Debug, Default)]
pub struct Turns {
    lines: Mutex<HashMap<String, Line>>,
}

#[derive(Debug)]
struct Line {
    places: Arc<Semaphore>,
    /// Those who search and those who wait.
    there: usize,
}

/// A search that may run until this is dropped.
#[derive(Debug)]
pub struct Turn<'t> {
    turns: &'t Turns,
    who: String,
    /// `None` while it waits.
    place: Option<OwnedSemaphorePermit>,
}

impl Turns {
    /// Waits for `who`'s turn.
    ///
    /// # Errors
    /// `TooManyRequests`.
    pub async fn take(&self, who: &str) -> Result<Turn<'_>> {
        const TOO_MANY: Error = Error::TooManyRequests("Too many searches of this token or account are under way.");
        let places = {
            let mut lines = self.lines();
            let line =
                lines.entry(who.to_owned()).or_insert_with(|| Line { places: Arc::new(Semaphore::new(AT_ONCE)), there: 0 });
            if line.there >= AT_ONCE + WAITING {
                return Err(TOO_MANY);
            }
            line.there += 1;
            line.places.clone()
        };
        // From here on whoever lets go leaves the line.
        let mut turn = Turn { turns: self, who: who.to_owned(), place: None };
        let place = timeout(WAIT, places.acquire_owned()).await.map_err(|_| TOO_MANY)?;
        turn.place = place.ok();
        Ok(turn)
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<String, Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut lines = self.turns.lines();
        if let Some(line) = lines.get_mut(&self.who) {
            line.there = line.there.saturating_sub(1);
            if line.there == 0 {
                lines.remove(&self.who);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn some_search_at_a_time_and_others_have_their_own_turn() {
        let turns = Turns::default();
        let mut held = vec![turns.take("eve").await.expect("the first"), turns.take("eve").await.expect("the second")];
        let mut waiting: Vec<_> = (0..WAITING).map(|_| Box::pin(turns.take("eve"))).collect();
        for wait in &mut waiting {
            assert!(wait.as_mut().now_or_never().is_none(), "it waits");
        }
        let refused = turns.take("eve").now_or_never().expect("at once");
        assert!(matches!(refused, Err(Error::TooManyRequests(_))), "{refused:?}");
        drop(turns.take("ada").now_or_never().expect("at once").expect("her own"));
        held.pop();
        let next = waiting.remove(0).now_or_never().expect("its turn");
        assert!(next.is_ok(), "{next:?}");
        drop((held, waiting, next));
        assert!(turns.lines().is_empty(), "who searches no more is forgotten");
    }
}
