//! The one door for writes.

use std::sync::{Arc, atomic::AtomicBool};

use sqlx::{Postgres, Sqlite, Transaction};

#[cfg(test)]
use super::crash::{Crash, CrashAt};
use super::{Engine, Handle, Mark, OwnTicks, Result, StoreError, audit, in_time, instance, keys, rotations};

/// The one door for writes: a transaction. Dropped before [`Write::commit`] is called it leaves nothing behind; from then on it is carried
/// out whole, whoever still waits for it.
pub struct Write {
    pub(super) transaction: OpenTransaction,
    pub(super) then: Vec<Box<dyn FnOnce() + Send>>,
    pub(super) own_ticks: OwnTicks,
    pub(super) unchained: Arc<AtomicBool>,
    /// The oldest version of the root key that a row's MAC of this change names; 0 for those that name none.
    pub(super) oldest_mac: Option<i64>,
    /// The versions of connections that it saves, by id and number.
    pub(super) saved: Vec<(String, i64)>,
    /// The connections of which it seals passwords outside of versions, by id.
    pub(super) rotated: Vec<String>,
    /// What it leaves of rows that grant, until an event tells it.
    pub(super) marks: Vec<Mark>,
    /// Its events, by id.
    pub(super) events: Vec<String>,
    #[cfg(test)]
    pub(super) crash: Crash,
}

pub(super) enum OpenTransaction {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

impl OpenTransaction {
    pub(super) fn engine(&mut self) -> Engine<'_> {
        match self {
            Self::Sqlite(transaction) => Engine::Sqlite(transaction),
            Self::Postgres(transaction) => Engine::Postgres(transaction),
        }
    }
}

impl Handle for Write {
    fn engine(&mut self) -> Engine<'_> {
        self.transaction.engine()
    }
}

impl Write {
    /// Notes the MAC of a row that is written: if its root key's row MACs end before the commit, that fails.
    pub(super) fn bears(&mut self, mac: &[u8]) {
        let version = dataflow_vault::row_mac_version(mac).map_or(0, i64::from);
        self.oldest_mac = Some(self.oldest_mac.map_or(version, |oldest| oldest.min(version)));
    }

    /// Waits until every change under way is over, and holds up every other until this one ends.
    pub async fn alone(&mut self) -> Result<()> {
        instance::advance_clock(self).await.map(drop)
    }

    /// Notes what is left of a row that grants or directs, for the event that tells of the change.
    pub(super) fn leaves(&mut self, mark: Mark) {
        if let Some(mac) = &mark.mac {
            self.bears(mac);
        }
        self.marks.push(mark);
    }

    /// What the change has left of rows since this was last asked.
    pub fn take_marks(&mut self) -> Vec<Mark> {
        std::mem::take(&mut self.marks)
    }

    /// Has `act` done as soon as the change is durable and before [`Write::commit`] returns: this is where a cache forgets what it holds.
    pub fn once_committed(&mut self, act: impl FnOnce() + Send + 'static) {
        self.then.push(Box::new(act));
    }

    /// Makes everything durable, or nothing. Moves the change clock, so that every node drops what it cached.
    pub async fn commit(self) -> Result<()> {
        self.finish(true).await
    }

    /// Like [`Write::commit`], for rows that no cache holds (checks, usage, sessions, links): the change clock stands still.
    pub async fn commit_quietly(self) -> Result<()> {
        self.finish(false).await
    }

    /// Runs in a task of its own: a client that hangs up while its change is being committed cannot part it from what follows.
    async fn finish(mut self, moves_clock: bool) -> Result<()> {
        let task = tokio::spawn(async move {
            let (tick, rows_from) = match self.oldest_mac {
                _ if moves_clock => instance::advance_clock(&mut self).await.map(|(tick, rows_from)| (Some(tick), rows_from))?,
                Some(_) => (None, keys::rows_from(&mut self).await?),
                None => (None, 0),
            };
            if self.oldest_mac.is_some_and(|oldest| oldest < rows_from) {
                return Err(StoreError::KeyEnded);
            }
            for (connection, version) in std::mem::take(&mut self.saved) {
                if keys::has_retired_key(&mut self, &connection, version).await? {
                    return Err(StoreError::KeyEnded);
                }
            }
            for connection in std::mem::take(&mut self.rotated) {
                if rotations::has_retired_key(&mut self, &connection).await? {
                    return Err(StoreError::KeyEnded);
                }
            }
            // The last lock that it takes: whoever has the next number commits later.
            audit::number_events(&mut self).await?;
            #[cfg(test)]
            let crash = self.crash.at_commit();
            #[cfg(test)]
            if crash == Some(CrashAt::Before) {
                return Err(StoreError::Unavailable(sqlx::Error::WorkerCrashed));
            }
            match self.transaction {
                OpenTransaction::Sqlite(transaction) => transaction.commit().await?,
                OpenTransaction::Postgres(transaction) => in_time(transaction.commit()).await?,
            }
            #[cfg(test)]
            if crash == Some(CrashAt::After) {
                return Err(StoreError::Unavailable(sqlx::Error::WorkerCrashed));
            }
            for act in self.then {
                act();
            }
            // Once the caches know: whoever sees the tick before takes it for another node's, and forgets too much.
            if let Some(tick) = tick {
                self.own_ticks.add(tick);
            }
            Ok(())
        });
        task.await.unwrap_or(Err(StoreError::Unavailable(sqlx::Error::WorkerCrashed)))
    }
}
