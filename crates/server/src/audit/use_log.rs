//! This node's record of machine reads: appended before the answer, synced in groups.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::Thread,
    time::Duration,
};

use anyhow::{Context, anyhow};
use dataflow_vault::{Vault, random_uuid};
use tokio::{sync::watch, time::timeout};

use super::{
    NO_LINK,
    segment::{End, Position, Segment},
    segments::{self, Head},
    sync,
    tally::{Named, Recent, Tally},
    use_event::UseEvent,
};
use crate::{config::AuditConfig, metrics::Metrics};

/// How long somebody waits for the disk before he is refused, as for the store.
const PATIENCE: Duration = Duration::from_secs(5);
/// Room for most lines of a segment, in bytes.
const LINE: usize = 512;

/// The segments of one node, of which the last is written to.
pub struct UseLog {
    pub(super) folder: PathBuf,
    chain: String,
    config: AuditConfig,
    state: Mutex<State>,
    pub(super) progress: watch::Sender<Progress>,
    /// Syncs, follows and replaces segments: nothing else does.
    thread: OnceLock<Thread>,
    pub(super) metrics: Arc<Metrics>,
    /// The number of the last line that the store has.
    pub(super) indexed: AtomicU64,
    /// Held by who brings the index up to now: of two the second finds it done.
    pub(super) indexing: tokio::sync::Mutex<()>,
    pub(super) named: Arc<Named>,
}

#[derive(Debug)]
pub struct State {
    pub segment: Segment,
    /// While there is a reason nothing is appended.
    pub closed: Option<Closed>,
    /// Where the store is its own: the index of a shared one keeps the lines themselves, and counts them as it reads them.
    recent: Option<Recent>,
}

/// Why nothing is appended to a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// The next one is to follow.
    Full,
    /// A sync of it failed: it is to be written anew.
    Untrusted,
}

/// What the thread has come to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Progress {
    /// The number of the last line on disk.
    pub synced: u64,
    /// How often a segment was opened for lines, and how often the disk failed.
    pub openings: u64,
    pub failures: u64,
}

impl UseLog {
    /// Opens the segments in `folder/audit`, or makes the first. What a process that was killed has written in part is cut off: it had no
    /// answer. What is there and does not follow is set aside before the next event, and told in the log. With `counts` it adds up what is
    /// appended, for the index.
    pub fn open(
        folder: &Path,
        vault: &Vault,
        config: AuditConfig,
        counts: bool,
        metrics: Arc<Metrics>,
    ) -> anyhow::Result<Arc<Self>> {
        let folder = folder.join("audit");
        std::fs::create_dir_all(&folder).with_context(|| format!("make the folder {}", folder.display()))?;
        let mut segments = segments::list(&folder)?;
        let mut found = None;
        let mut empty = None;
        while let Some(first) = segments.pop() {
            let end = End::of(&segments::path(&folder, first), vault)?;
            if let Some((chain, began_at, head)) = &end.begun {
                found = Some((chain.clone(), Segment::open(&folder, first, Some(*began_at), &end, *head)?));
                break;
            }
            empty = Some((first, end));
        }
        let (chain, segment) = match (found, empty) {
            // The one that was to follow has no line yet.
            (Some((chain, before)), Some((first, end))) => {
                let segment = Segment::open(&folder, first, None, &end, before.head())?;
                (chain, if first == before.head().line + 1 { segment } else { before })
            }
            (Some(found), None) => found,
            (None, Some((first, end))) => {
                let head = Head { line: first - 1, link: NO_LINK };
                (random_uuid().to_string(), Segment::open(&folder, first, None, &end, head)?)
            }
            (None, None) => {
                let head = Head { line: 0, link: NO_LINK };
                (random_uuid().to_string(), Segment::open(&folder, 1, None, &End::default(), head)?)
            }
        };
        let last = segment.head().line;
        let progress = Progress { synced: last, ..Progress::default() };
        let log = Arc::new(Self {
            folder,
            chain,
            config,
            state: Mutex::new(State { segment, closed: None, recent: counts.then(|| Recent::after(last)) }),
            progress: watch::Sender::new(progress),
            thread: OnceLock::new(),
            metrics,
            indexed: AtomicU64::new(0),
            indexing: tokio::sync::Mutex::default(),
            named: Arc::default(),
        });
        let syncs = Arc::downgrade(&log);
        let thread = std::thread::Builder::new().name("audit-sync".to_owned()).spawn(move || sync::forever(&syncs));
        let thread = thread.context("start the audit thread")?;
        log.thread.get_or_init(|| thread.thread().clone());
        Ok(log)
    }

    /// The chain's id, which no other node's ever has.
    #[must_use]
    pub fn chain(&self) -> &str {
        &self.chain
    }

    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Appends one event; once this returns the kernel has it, and in strict mode the disk. An error means: do not answer.
    pub async fn append(&self, vault: &Vault, event: &UseEvent<'_>) -> anyhow::Result<()> {
        if self.config.is_off {
            return Ok(());
        }
        let mut line = Vec::with_capacity(LINE);
        serde_json::to_writer(&mut line, event)?;
        let (number, seen) = loop {
            let seen = {
                let mut state = self.state();
                let seen = *self.progress.borrow();
                if state.closed.is_none() && state.segment.is_full(event.at) {
                    state.closed = Some(Closed::Full);
                }
                if state.closed.is_none() {
                    let number = state.segment.append(vault, &self.chain, event.at, line)?;
                    if let Some(recent) = &mut state.recent {
                        recent.add(event, &self.named);
                    }
                    break (number, seen);
                }
                seen
            };
            // Boxed: it is rare, and its states would be moved about with every request.
            Box::pin(self.until(seen, |now| now.openings > seen.openings)).await?;
        };
        if self.config.is_strict {
            Box::pin(self.until(seen, |now| now.synced >= number)).await?;
        }
        Ok(())
    }

    /// Begins another segment where the last one began before that time, so that it can expire though nothing is read.
    pub async fn begin_anew(&self, vault: &Vault, at: i64, before: i64) -> anyhow::Result<()> {
        let seen = {
            let mut state = self.state();
            match state.segment.began_at() {
                Some(began_at) if began_at >= before => return Ok(()),
                None if state.segment.head().line == 0 => return Ok(()),
                None => None,
                Some(_) => {
                    state.closed.get_or_insert(Closed::Full);
                    Some(*self.progress.borrow())
                }
            }
        };
        if let Some(seen) = seen {
            self.until(seen, |now| now.openings > seen.openings).await?;
        }
        let mut state = self.state();
        if state.closed.is_none() { state.segment.begin(vault, &self.chain, at) } else { Ok(()) }
    }

    /// Makes everything appended so far durable; gives the number of the last line that is.
    pub async fn sync(&self) -> anyhow::Result<u64> {
        let (line, seen) = {
            let state = self.state();
            (state.segment.head().line, *self.progress.borrow())
        };
        if seen.synced >= line {
            return Ok(seen.synced);
        }
        Ok(self.until(seen, |now| now.synced >= line).await?.synced)
    }

    /// Waits for the thread to come so far; an error if the disk failed since `seen`, or takes too long.
    async fn until(&self, seen: Progress, has_come: impl Fn(&Progress) -> bool) -> anyhow::Result<Progress> {
        let mut progress = self.progress.subscribe();
        self.thread.get().context("the audit has its thread")?.unpark();
        let ended = progress.wait_for(|now| has_come(now) || now.failures > seen.failures);
        let now = *timeout(PATIENCE, ended).await.context("the audit segment was not synced in time")??;
        if has_come(&now) { Ok(now) } else { Err(anyhow!("the audit segment could not be synced")) }
    }

    /// Takes what was counted as it was appended after that line, unless there is none or they were too many; with it comes where it ends.
    pub(super) fn take_counts(&self, line: u64) -> (Option<Tally>, Position) {
        let mut state = self.state();
        let end = state.segment.position();
        let taken = state.recent.as_mut().and_then(|recent| recent.take(line, end.head.line));
        (taken, end)
    }

    /// The number of the last line, on disk or not.
    #[must_use]
    pub fn last_line(&self) -> u64 {
        self.state().segment.head().line
    }

    /// Whether the store has every line.
    #[must_use]
    pub fn is_indexed(&self) -> bool {
        self.indexed.load(Ordering::Relaxed) == self.last_line()
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
