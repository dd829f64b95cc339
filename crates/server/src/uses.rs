//! Who uses what, counted in memory and flushed by a job: a use costs a map entry, not a write.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use dataflow_model::{Workflow, WorkflowKind};
use uuid::Uuid;

use crate::store::{self, Store, UseRow};

#[derive(Debug, Default)]
pub struct Uses {
    pending: Mutex<Pending>,
}

#[derive(Debug, Default)]
struct Pending {
    connections: HashMap<(Uuid, WorkflowKind, String), Seen>,
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
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (used.connection, used.workflow.kind, used.workflow.name.clone());
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
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).tokens.insert(id, at);
    }

    /// Writes what was counted since the last flush. On an error the counts of this flush are lost; they grant nothing.
    pub async fn flush(&self, store: &Store) -> store::Result<()> {
        let pending = std::mem::take(&mut *self.pending.lock().unwrap_or_else(PoisonError::into_inner));
        if pending.connections.is_empty() && pending.tokens.is_empty() {
            return Ok(());
        }
        let mut write = store.write().await?;
        for ((id, kind, name), seen) in pending.connections {
            let row = UseRow {
                connection_id: id.to_string(),
                kind: kind.as_str().to_owned(),
                name,
                first_at: seen.first_at,
                last_at: seen.last_at,
                uses: seen.uses,
                version: seen.version,
                used_by: seen.used_by,
            };
            store::record_use(&mut write, &row).await?;
        }
        for (id, at) in pending.tokens {
            store::touch_token(&mut write, &id.to_string(), at).await?;
        }
        write.commit_quietly().await
    }
}
