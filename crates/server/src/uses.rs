//! Who uses what, counted in memory and flushed by a job: a use costs a map entry, not a write.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use dataflow_model::{Workflow, WorkflowKind};
use uuid::Uuid;

use crate::store::{self, Store, UseRow};

/// Workflows that are counted between two flushes at most, and of one token. Who makes up more is not counted: a name costs its sender
/// nothing, and each of them a row, for which whoever saves has to wait.
const PENDING_MAX: usize = 10_000;
const OF_ONE_MAX: usize = 100;

#[derive(Debug, Default)]
pub struct Uses {
    pending: Mutex<Pending>,
}

#[derive(Debug, Default)]
struct Pending {
    connections: HashMap<(Uuid, WorkflowKind, String), Seen>,
    /// How many of them each token has brought.
    brought: HashMap<String, usize>,
    tokens: HashMap<Uuid, i64>,
}

#[derive(Debug)]
struct Seen {
    first_at: i64,
    last_at: i64,
    uses: i64,
    version: i64,
    used_by: String,
}

/// One use of a connection, at a time in microseconds UTC.
#[derive(Debug)]
pub struct Use<'u> {
    pub connection: Uuid,
    pub version: i64,
    pub workflow: &'u Workflow,
    pub used_by: &'u str,
    pub at: i64,
}

impl Uses {
    /// Counts one use of a connection by a workflow.
    pub fn connection(&self, used: &Use<'_>) {
        let mut pending = self.pending();
        let key = (used.connection, used.workflow.kind, used.workflow.name.clone());
        if !pending.connections.contains_key(&key) {
            let brought = pending.brought.get(used.used_by).copied().unwrap_or_default();
            if pending.connections.len() >= PENDING_MAX || brought >= OF_ONE_MAX {
                return;
            }
            pending.brought.insert(used.used_by.to_owned(), brought + 1);
        }
        let seen = pending.connections.entry(key).or_insert_with(|| Seen {
            first_at: used.at,
            last_at: used.at,
            uses: 0,
            version: used.version,
            used_by: used.used_by.to_owned(),
        });
        seen.last_at = used.at;
        seen.uses += 1;
        seen.version = used.version;
    }

    /// Notes that a token was used.
    pub fn token(&self, id: Uuid, at: i64) {
        self.pending().tokens.insert(id, at);
    }

    /// Writes what was counted since the last flush. What an error leaves unwritten, or the drop of this future, the next flush writes; a
    /// commit whose answer was lost may be counted twice.
    pub async fn flush(&self, store: &Store) -> store::Result<()> {
        let mut taken = Taken { uses: self, pending: std::mem::take(&mut *self.pending()) };
        taken.write_connections(store).await?;
        // Apart from the uses: who revokes tokens waits for no more than this.
        taken.write_tokens(store).await
    }

    fn put_back(&self, earlier: Pending) {
        let mut pending = self.pending();
        for (key, seen) in earlier.connections {
            let has_room = pending.connections.len() < PENDING_MAX;
            if let Some(later) = pending.connections.get_mut(&key) {
                later.first_at = seen.first_at;
                later.uses += seen.uses;
            } else if has_room {
                pending.connections.insert(key, seen);
            }
        }
        for (id, at) in earlier.tokens {
            pending.tokens.entry(id).or_insert(at);
        }
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a flush has taken and not written yet; put back when it is dropped.
struct Taken<'u> {
    uses: &'u Uses,
    pending: Pending,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.uses.put_back(std::mem::take(&mut self.pending));
    }
}

// Both write in one order on every node: two that lock the same rows the other way round stop each other.
impl Taken<'_> {
    async fn write_connections(&mut self, store: &Store) -> store::Result<()> {
        if self.pending.connections.is_empty() {
            return Ok(());
        }
        let mut counted: Vec<_> = self.pending.connections.iter().collect();
        counted.sort_unstable_by_key(|(use_, _)| *use_);
        let mut write = store.write().await?;
        for ((id, kind, name), seen) in counted {
            let row = UseRow {
                connection_id: id.to_string(),
                kind: kind.as_str().to_owned(),
                name: name.clone(),
                first_at: seen.first_at,
                last_at: seen.last_at,
                uses: seen.uses,
                version: seen.version,
                used_by: seen.used_by.clone(),
            };
            store::record_use(&mut write, &row).await?;
        }
        // A commit is carried out whoever waits for it: only if it fails are they still to be written.
        let written = std::mem::take(&mut self.pending.connections);
        write.commit_quietly().await.inspect_err(|_| self.pending.connections = written)
    }

    async fn write_tokens(&mut self, store: &Store) -> store::Result<()> {
        if self.pending.tokens.is_empty() {
            return Ok(());
        }
        let mut used: Vec<_> = self.pending.tokens.iter().map(|(id, at)| (*id, *at)).collect();
        used.sort_unstable();
        let mut write = store.write().await?;
        for (id, at) in used {
            store::touch_token(&mut write, &id.to_string(), at).await?;
        }
        let written = std::mem::take(&mut self.pending.tokens);
        write.commit_quietly().await.inspect_err(|_| self.pending.tokens = written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_makes_up_workflows_fills_no_memory() {
        let uses = Uses::default();
        let connection = Uuid::from_u128(1);
        let seen = |token: usize, name: usize| {
            let workflow = Workflow { kind: WorkflowKind::Script, name: name.to_string(), run: None };
            uses.connection(&Use { connection, version: 1, workflow: &workflow, used_by: &token.to_string(), at: 1 });
        };
        let count = || uses.pending.lock().expect("whole").connections.len();
        (0..1_000).for_each(|name| seen(0, name));
        assert_eq!(count(), OF_ONE_MAX);
        (0..=PENDING_MAX).for_each(|name| seen(1 + name / OF_ONE_MAX, 1_000 + name));
        assert_eq!(count(), PENDING_MAX);
        seen(0, 0);
        let pending = uses.pending.lock().expect("whole");
        let first = pending.connections.get(&(connection, WorkflowKind::Script, "0".to_owned()));
        assert_eq!(first.map(|seen| seen.uses), Some(2), "who is counted already goes on being counted");
    }
}
