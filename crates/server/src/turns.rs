//! Searches of one caller, some at a time: whatever he asks for at once, the processors and the store's sessions are there for others, too.

use std::time::Duration;

use anyhow::Context as _;
use tokio::{sync::OwnedSemaphorePermit, time::timeout};

use crate::{
    error::{Error, Result},
    shares::Shares,
};

/// Searches of one caller under way at once.
const AT_ONCE: usize = 2;
/// How many more may wait for their turn; one beyond is refused at once.
const WAITING: usize = 16;
/// How long one waits before it is refused.
const WAIT: Duration = Duration::from_secs(5);

/// Who searches on this node now, and who waits to.
#[derive(Debug)]
pub struct Turns {
    places: Shares<String>,
    /// Those who have a place and those who wait for one.
    line: Shares<String>,
}

/// A search that may run until this is dropped.
#[derive(Debug)]
pub struct Turn(#[expect(dead_code, reason = "held, not read")] [OwnedSemaphorePermit; 2]);

impl Default for Turns {
    fn default() -> Self {
        Self { places: Shares::of(AT_ONCE), line: Shares::of(AT_ONCE + WAITING) }
    }
}

impl Turns {
    /// Waits for `who`'s turn.
    ///
    /// # Errors
    /// `TooManyRequests`.
    pub async fn take(&self, who: &str) -> Result<Turn> {
        const TOO_MANY: Error = Error::TooManyRequests("Too many searches of this token or account are under way.");
        let in_line = self.line.of_key(who.to_owned()).try_acquire_owned().map_err(|_| TOO_MANY)?;
        let place = timeout(WAIT, self.places.of_key(who.to_owned()).acquire_owned()).await.map_err(|_| TOO_MANY)?;
        let place = place.context("wait for a turn to search").map_err(Error::Internal)?;
        Ok(Turn([place, in_line]))
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
        assert_eq!((turns.places.held(), turns.line.held()), (0, 0), "who searches no more is forgotten");
    }
}
