//! Who uses what, counted in memory and flushed by a job: a use costs a map entry, not a write.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use dataflow_model::{Workflow, WorkflowKind};
use uuid::Uuid;

use crate::{
    ops::dependents::{NOTED_AGAIN, settle},
    store::{self, SightingRow, Store},
};

/// Programs that are counted between two flushes at most, and of one caller. Who makes up more is not counted: a name costs its sender
/// nothing, and each of them a row, for which whoever saves has to wait.
const PENDING_MAX: usize = 10_000;
const OF_ONE_MAX: usize = 250;

/// Programs of a connection that are kept, of those that were given something last.
const HOLDERS_MAX: i64 = 10_000;

/// Most keys of sightings whose version is known to be written.
const WRITTEN_MAX: usize = 100_000;

#[derive(Debug)]
pub struct Uses {
    /// Whether anything is counted at all.
    is_on: bool,
    pending: Mutex<Pending>,
    /// When the store was told of these which version they were given.
    written: Mutex<HashMap<Vec<u8>, i64>>,
    /// Held by who writes: of two the second finds in the store what the first has taken.
    flushing: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Pending {
    /// By [`Use::key`].
    sightings: HashMap<Vec<u8>, (Who, Seen)>,
    /// Room for the key of a use.
    key: Vec<u8>,
    /// How many of them each caller has brought.
    brought: HashMap<String, usize>,
    /// When a version was last given to somebody who is not counted, by workspace, connection and version.
    uncounted: HashMap<(Uuid, Uuid, i64), i64>,
    tokens: HashMap<Uuid, i64>,
}

/// Who was given what, in the order in which it is written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Who {
    workspace: Uuid,
    name_key: String,
    kind: Option<WorkflowKind>,
    workflow: String,
    connection: Uuid,
    host: Option<String>,
    used_by_id: String,
    version: i64,
}

#[derive(Debug)]
struct Seen {
    first_at: i64,
    last_at: i64,
    uses: i64,
    used_by: String,
    failed_at: Option<i64>,
}

/// One use of a connection, at a time in microseconds UTC.
#[derive(Debug)]
pub struct Use<'u> {
    pub workspace: Uuid,
    /// As it was asked for.
    pub name: &'u str,
    pub connection: Uuid,
    pub version: i64,
    /// Who tells none is counted under his own name.
    pub workflow: Option<&'u Workflow>,
    pub used_by: &'u str,
    pub used_by_id: &'u str,
    /// The asker could not connect with this very version.
    pub failed: bool,
    pub at: i64,
}

impl Use<'_> {
    fn workflow(&self) -> (Option<WorkflowKind>, &str) {
        self.workflow.map_or((None, self.used_by), |workflow| (Some(workflow.kind), &workflow.name))
    }

    fn host(&self) -> Option<&str> {
        self.workflow.and_then(|workflow| workflow.host.as_deref())
    }

    /// Writes what is counted together as one text into `key`: most uses are of what was counted before, and cost no more than this.
    fn key(&self, key: &mut Vec<u8>) {
        let (kind, workflow) = self.workflow();
        key.clear();
        key.extend_from_slice(self.workspace.as_bytes());
        key.extend_from_slice(self.connection.as_bytes());
        key.extend_from_slice(&self.version.to_be_bytes());
        for part in [kind.map_or("", WorkflowKind::as_str), self.name, workflow, self.host().unwrap_or_default(), self.used_by_id]
        {
            key.extend_from_slice(&part.len().to_be_bytes());
            key.extend_from_slice(part.as_bytes());
        }
    }

    fn who(&self) -> Who {
        let (kind, workflow) = self.workflow();
        Who {
            workspace: self.workspace,
            name_key: self.name.to_ascii_lowercase(),
            kind,
            workflow: workflow.to_owned(),
            connection: self.connection,
            version: self.version,
            host: self.host().map(str::to_owned),
            used_by_id: self.used_by_id.to_owned(),
        }
    }
}

impl Uses {
    #[must_use]
    pub fn new(is_on: bool) -> Self {
        Self { is_on, pending: Mutex::default(), written: Mutex::default(), flushing: tokio::sync::Mutex::default() }
    }

    /// Whether uses are counted on this node.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.is_on
    }

    /// Counts one use of a connection.
    pub fn connection(&self, used: &Use<'_>) {
        if !self.is_on {
            return;
        }
        let mut pending = self.pending();
        let Pending { sightings, key, brought, uncounted, .. } = &mut *pending;
        used.key(key);
        let failed_at = used.failed.then_some(used.at);
        if let Some((_, seen)) = sightings.get_mut(key) {
            seen.last_at = used.at;
            seen.uses += 1;
            seen.failed_at = failed_at.or(seen.failed_at);
            return;
        }
        let of_one = brought.get(used.used_by_id).copied().unwrap_or_default();
        if sightings.len() >= PENDING_MAX || of_one >= OF_ONE_MAX {
            uncounted.insert((used.workspace, used.connection, used.version), used.at);
            return;
        }
        brought.insert(used.used_by_id.to_owned(), of_one + 1);
        let seen = Seen { first_at: used.at, last_at: used.at, uses: 1, used_by: used.used_by.to_owned(), failed_at };
        sightings.insert(key.clone(), (used.who(), seen));
    }

    /// Notes that a token was used.
    pub fn token(&self, id: Uuid, at: i64) {
        self.pending().tokens.insert(id, at);
    }

    /// Writes what was counted until now; what another flush was writing is written, too, when this returns. What an error leaves unwritten, or
    /// the drop of this future, the next flush writes; a commit whose answer was lost may be counted twice.
    pub async fn flush(&self, store: &Store) -> store::Result<()> {
        let _alone = self.flushing.lock().await;
        let mut taken = Taken { uses: self, pending: std::mem::take(&mut *self.pending()) };
        taken.write_sightings(store).await?;
        // Apart from the uses: who revokes tokens waits for no more than this.
        taken.write_tokens(store).await
    }

    /// The same before a read, which finds what was written before if it cannot be done now: a store whose disk is full is read all the same.
    pub async fn flush_to_read(&self, store: &Store) {
        if let Err(error) = self.flush(store).await {
            let cause = format!("{:#}", anyhow::anyhow!(error));
            tracing::debug!(error.cause = cause, "uses that were counted are written later");
        }
    }

    fn put_back(&self, earlier: Pending) {
        let mut pending = self.pending();
        for (key, (who, seen)) in earlier.sightings {
            let has_room = pending.sightings.len() < PENDING_MAX;
            if let Some((_, later)) = pending.sightings.get_mut(&key) {
                later.first_at = seen.first_at;
                later.uses += seen.uses;
                later.failed_at = later.failed_at.or(seen.failed_at);
            } else if has_room {
                pending.sightings.insert(key, (who, seen));
            } else {
                let at = pending.uncounted.entry((who.workspace, who.connection, who.version)).or_insert(seen.last_at);
                *at = (*at).max(seen.last_at);
            }
        }
        for (given, at) in earlier.uncounted {
            pending.uncounted.entry(given).or_insert(at);
        }
        for (id, at) in earlier.tokens {
            pending.tokens.entry(id).or_insert(at);
        }
    }

    /// Whether the store was told a short while ago that this was given.
    fn is_written(&self, key: &[u8], at: i64) -> bool {
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.get(key).is_some_and(|written_at| at - written_at < NOTED_AGAIN)
    }

    fn are_written(&self, keys: Vec<(Vec<u8>, i64)>) {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if written.len() + keys.len() > WRITTEN_MAX {
            written.clear();
        }
        written.extend(keys);
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
    async fn write_sightings(&mut self, store: &Store) -> store::Result<()> {
        if self.pending.sightings.is_empty() && self.pending.uncounted.is_empty() {
            return Ok(());
        }
        let mut counted: Vec<_> = self.pending.sightings.iter().collect();
        counted.sort_unstable_by_key(|(_, (who, _))| who);
        let (mut told, mut given) = (Vec::new(), BTreeSet::new());
        let mut write = store.write().await?;
        let mut rows: Vec<SightingRow> = Vec::with_capacity(counted.len());
        let (mut workspace, mut is_there) = (None, false);
        for (key, (who, seen)) in counted {
            if workspace != Some(who.workspace) {
                let id = who.workspace.to_string();
                store::share_workspace(&mut write, &id).await?;
                is_there = store::workspace(&mut write, &id).await?.is_some();
                workspace = Some(who.workspace);
            }
            if !is_there {
                continue;
            }
            let row = row(who, seen);
            if !self.uses.is_written(key, row.last_at) {
                store::record_given(&mut write, &row).await?;
                told.push((key.clone(), row.last_at));
                given.insert((row.workspace_id.clone(), row.connection_id.clone()));
            }
            // Of two versions in one second.
            match rows.last_mut().filter(|last| is_same_workflow(last, &row)) {
                Some(last) => add(last, row),
                None => rows.push(row),
            }
        }
        for (workspace_id, name_key) in store::record_sightings(&mut write, &rows).await? {
            settle::settle(&mut write, &workspace_id, &name_key).await?;
        }
        for (workspace, connection) in given {
            store::forget_holders(&mut write, (&workspace, &connection), HOLDERS_MAX).await?;
        }
        let mut uncounted: Vec<_> = self.pending.uncounted.iter().collect();
        uncounted.sort_unstable();
        for ((workspace, connection, version), at) in uncounted {
            let of = (workspace.to_string(), connection.to_string());
            store::record_unknown_holders(&mut write, (&of.0, &of.1), (*version, *at)).await?;
        }
        // A commit is carried out whoever waits for it: only if it fails are they still to be written.
        let written = std::mem::take(&mut self.pending.sightings);
        let uncounted = std::mem::take(&mut self.pending.uncounted);
        write.commit_quietly().await.inspect_err(|_| {
            self.pending.sightings = written;
            self.pending.uncounted = uncounted;
        })?;
        self.uses.are_written(told);
        Ok(())
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

fn row(who: &Who, seen: &Seen) -> SightingRow {
    SightingRow {
        workspace_id: who.workspace.to_string(),
        name_key: who.name_key.clone(),
        kind: who.kind.map_or("", WorkflowKind::as_str).to_owned(),
        workflow: who.workflow.clone(),
        first_at: seen.first_at,
        last_at: seen.last_at,
        uses: seen.uses,
        connection_id: who.connection.to_string(),
        version: who.version,
        used_by: seen.used_by.clone(),
        used_by_id: who.used_by_id.clone(),
        host: who.host.clone(),
        failed_at: seen.failed_at,
        failed_version: seen.failed_at.map(|_| who.version),
    }
}

fn is_same_workflow(one: &SightingRow, other: &SightingRow) -> bool {
    one.workspace_id == other.workspace_id
        && one.name_key == other.name_key
        && one.kind == other.kind
        && one.workflow == other.workflow
}

/// Adds another version's uses by the same workflow.
fn add(known: &mut SightingRow, other: SightingRow) {
    let (first_at, uses) = (known.first_at.min(other.first_at), known.uses + other.uses);
    let (failed_at, failed_version) = if other.failed_at >= known.failed_at {
        (other.failed_at, other.failed_version)
    } else {
        (known.failed_at, known.failed_version)
    };
    if other.last_at >= known.last_at {
        *known = other;
    }
    (known.first_at, known.uses, known.failed_at, known.failed_version) = (first_at, uses, failed_at, failed_version);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_makes_up_workflows_fills_no_memory() {
        let uses = Uses::new(true);
        let seen = |token: usize, name: usize| {
            let workflow = Workflow { kind: WorkflowKind::Script, name: name.to_string(), run: None, host: None };
            uses.connection(&Use {
                workspace: Uuid::from_u128(1),
                name: "sales",
                connection: Uuid::from_u128(2),
                version: 1,
                workflow: Some(&workflow),
                used_by: "a name that many have",
                used_by_id: &token.to_string(),
                failed: false,
                at: 1,
            });
        };
        let count = || uses.pending.lock().expect("whole").sightings.len();
        (0..1_000).for_each(|name| seen(0, name));
        assert_eq!(count(), OF_ONE_MAX);
        (0..=PENDING_MAX).for_each(|name| seen(1 + name / OF_ONE_MAX, 1_000 + name));
        assert_eq!(count(), PENDING_MAX);
        seen(0, 0);
        let pending = uses.pending.lock().expect("whole");
        let first = pending.sightings.values().find(|(who, _)| who.workflow == "0");
        assert_eq!(first.map(|(_, seen)| seen.uses), Some(2), "who is counted already goes on being counted");
    }
}
