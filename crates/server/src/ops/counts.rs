//! How many connections there are, for the chips and filters of the list. Counting reads the index of every connection, so what was
//! counted is kept until something changes.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use uuid::Uuid;

use super::access::{Action, Caller, authorise};
use crate::{app::App, clock::SECOND, error::Result, store};

/// How long counts may lag behind the checks that other nodes keep. Every other change moves the change clock.
const FRESH: i64 = 5 * SECOND;

/// How many connections there are, by status, type and tag.
#[derive(Debug, Default)]
pub struct Counts {
    pub all: i64,
    pub failed: i64,
    pub unproven: i64,
    pub untested: i64,
    /// Type ids that are in use.
    pub types: Vec<(String, i64)>,
    /// Tags that are in use, in lower case.
    pub tags: Vec<(String, i64)>,
}

/// The counts that were last read, by workspace id.
#[derive(Debug, Default)]
pub struct KnownCounts(Mutex<Memory>);

#[derive(Debug, Default)]
struct Memory {
    /// How often something was forgotten: what was counted before that is not remembered after it.
    generation: u64,
    by_workspace: HashMap<Uuid, Known>,
}

#[derive(Debug, Clone)]
struct Known {
    /// Of the change clock, before the store was counted.
    tick: i64,
    at: i64,
    counts: Arc<Counts>,
}

impl KnownCounts {
    /// To be called when a check was kept, which does not move the change clock.
    pub fn forget(&self) {
        let mut memory = self.memory();
        memory.generation += 1;
        memory.by_workspace.clear();
    }

    fn get(&self, workspace_id: Uuid) -> Option<Known> {
        self.memory().by_workspace.get(&workspace_id).cloned()
    }

    /// Read this before the store is counted; give it to [`KnownCounts::put`].
    fn generation(&self) -> u64 {
        self.memory().generation
    }

    fn put(&self, generation: u64, workspace_id: Uuid, known: Known) {
        let mut memory = self.memory();
        if memory.generation == generation {
            memory.by_workspace.insert(workspace_id, known);
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The counts of a workspace's live connections.
pub async fn counts(app: &App, caller: &Caller, workspace: &str) -> Result<Arc<Counts>> {
    let workspace = authorise(app, caller, workspace, Action::SeeConnections).await?;
    let generation = app.counts.generation();
    let mut read = app.store.read().await?;
    let (tick, at) = (store::tick(&mut read).await?, app.clock.now());
    if let Some(known) = app.counts.get(workspace.id).filter(|known| known.tick == tick && at - known.at < FRESH) {
        return Ok(known.counts);
    }
    let id = workspace.id.to_string();
    let statuses = store::words_in_use(&mut read, &id, "status").await?;
    let of = |status: &str| statuses.iter().find(|(found, _)| found == status).map_or(0, |(_, count)| *count);
    let counts = Arc::new(Counts {
        all: statuses.iter().map(|(_, count)| count).sum(),
        failed: of("failed"),
        unproven: of("unproven"),
        untested: of("untested"),
        types: store::words_in_use(&mut read, &id, "type").await?,
        tags: store::words_in_use(&mut read, &id, "tag").await?,
    });
    app.counts.put(generation, workspace.id, Known { tick, at, counts: counts.clone() });
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_before_a_check_was_kept_is_not_put_back() {
        let (known, id) = (KnownCounts::default(), Uuid::from_u128(1));
        let counted = || Known { tick: 1, at: 1, counts: Arc::default() };
        let before = known.generation();
        known.forget();
        known.put(before, id, counted());
        assert!(known.get(id).is_none());
        known.put(known.generation(), id, counted());
        assert!(known.get(id).is_some());
    }
}
