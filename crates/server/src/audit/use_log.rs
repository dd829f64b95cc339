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
    tally::{Recent, Tally},
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
}

#[derive(Debug)]
pub struct State {
    pub segment: Segment,
    /// While there is a reason nothing is appended.
    pub closed: Option<Closed>,
    recent: Recent,
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
    /// answer. What is there and does not follow is set aside before the next event, and told in the log.
    pub fn open(folder: &Path, vault: &Vault, config: AuditConfig, metrics: Arc<Metrics>) -> anyhow::Result<Arc<Self>> {
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
            state: Mutex::new(State { segment, closed: None, recent: Recent::after(last) }),
            progress: watch::Sender::new(progress),
            thread: OnceLock::new(),
            metrics,
            indexed: AtomicU64::new(0),
            indexing: tokio::sync::Mutex::default(),
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
                    state.recent.add(event);
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

    /// Takes what was counted as it was appended: after which line that begins, the counts unless they were too many, and where it ends.
    pub(super) fn take_counts(&self) -> (u64, Option<Tally>, Position) {
        let mut state = self.state();
        let end = state.segment.position();
        let (after, tally) = state.recent.take(end.head.line);
        (after, tally, end)
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
mod tests {
    use std::fs::{self, OpenOptions};

    use dataflow_vault::KeyFile;

    use super::{
        super::{
            segment::AGE,
            segments::{Flow, Step, Walk},
        },
        *,
    };

    fn vault(folder: &Path) -> Vault {
        let key = KeyFile::create(&folder.join("key")).expect("a key");
        Vault::create(random_uuid(), &key).expect("a vault").0
    }

    fn open(folder: &Path, vault: &Vault, is_strict: bool) -> Arc<UseLog> {
        let config = AuditConfig { is_strict, ..AuditConfig::default() };
        UseLog::open(folder, vault, config, Arc::new(Metrics::new().expect("metrics"))).expect("it opens")
    }

    fn event(at: i64) -> UseEvent<'static> {
        UseEvent {
            at,
            action: "credentials.read",
            workspace: "default",
            workspace_id: uuid::Uuid::nil(),
            connection: "sales",
            version: 1,
            actor: "robot",
            actor_id: "token 1",
            address: None,
            workflow: None,
        }
    }

    /// All lines of a folder's segments, if they are one chain.
    fn chain(folder: &Path, vault: &Vault) -> Vec<String> {
        let folder = folder.join("audit");
        let (mut walk, mut lines) = (Walk::new(vault), Vec::new());
        for segment in segments::list(&folder).expect("own folder") {
            segments::read(&segments::path(&folder, segment), 0, |line, _| {
                assert!(!matches!(walk.step(line), Step::Breaks), "{lines:?} then {}", String::from_utf8_lossy(line));
                lines.push(String::from_utf8_lossy(line).into_owned());
                Ok(Flow::On)
            })
            .expect("own file");
        }
        lines
    }

    #[tokio::test]
    async fn a_chain_goes_on_after_a_torn_line_and_in_a_new_segment() {
        let folder = tempfile::tempdir().expect("a folder");
        let vault = vault(folder.path());
        let first = segments::path(&folder.path().join("audit"), 1);
        let mut lines = 1;
        for torn in ["", "{\"at\":1", "{\"at\":1,\"ac"] {
            if lines > 1 {
                let text = fs::read_to_string(&first).expect("there");
                fs::write(&first, text + torn).expect("own folder");
            }
            let log = open(folder.path(), &vault, false);
            log.append(&vault, &event(1)).await.expect("appended");
            lines += 1;
            assert_eq!(chain(folder.path(), &vault).len(), lines, "after “{torn}”");
        }
        let log = open(folder.path(), &vault, false);
        log.append(&vault, &event(1 + AGE)).await.expect("appended");
        assert_eq!(chain(folder.path(), &vault).len(), lines + 2, "a beginning and an event");
        let all = segments::list(&folder.path().join("audit")).expect("own folder");
        assert_eq!(all, [1, 5]);
        let id = log.chain().to_owned();
        drop(log);
        // The next one was made and has no line yet.
        fs::write(segments::path(&folder.path().join("audit"), 7), "").expect("own folder");
        let log = open(folder.path(), &vault, false);
        assert_eq!(log.chain(), id);
        log.append(&vault, &event(2 + AGE)).await.expect("appended");
        assert_eq!(chain(folder.path(), &vault).len(), lines + 4);
        assert_eq!(log.sync().await.expect("synced"), 8);
    }

    #[tokio::test]
    async fn what_does_not_follow_is_set_aside() {
        let folder = tempfile::tempdir().expect("a folder");
        let vault = vault(folder.path());
        let path = segments::path(&folder.path().join("audit"), 1);
        let log = open(folder.path(), &vault, false);
        for at in 1..4 {
            log.append(&vault, &event(at)).await.expect("appended");
        }
        drop(log);
        let text = fs::read_to_string(&path).expect("there");
        fs::write(&path, text.replace("\"at\":2", "\"at\":9")).expect("own folder");
        let log = open(folder.path(), &vault, false);
        log.append(&vault, &event(4)).await.expect("appended");
        assert_eq!(chain(folder.path(), &vault).len(), 3, "a beginning, the first event and the new one");
        let aside = fs::read_dir(folder.path().join("audit")).expect("own folder");
        let aside: Vec<_> = aside.map(|entry| entry.expect("own folder").path()).filter(|found| *found != path).collect();
        assert!(
            matches!(aside.as_slice(), [one] if fs::read_to_string(one).is_ok_and(|kept| kept.contains("\"at\":9"))),
            "{aside:?}"
        );
    }

    #[tokio::test]
    async fn what_cannot_be_written_is_an_error_and_the_next_line_follows_the_last_that_was() {
        let folder = tempfile::tempdir().expect("a folder");
        let vault = vault(folder.path());
        let log = open(folder.path(), &vault, false);
        log.append(&vault, &event(1)).await.expect("appended");
        log.sync().await.expect("synced");
        let full = Arc::new(OpenOptions::new().append(true).open("/dev/full").expect("a device"));
        let file = std::mem::replace(&mut log.state().segment.file, full);
        log.append(&vault, &event(2)).await.expect_err("the disk is full");
        log.state().segment.file = file;
        log.append(&vault, &event(3)).await.expect("appended");
        let lines = chain(folder.path(), &vault);
        assert!(lines.len() == 3 && lines[2].contains("\"at\":3"), "{lines:?}");
    }

    /// Each sync takes along all that wait for one, and none waits for a later one than the next.
    #[tokio::test(flavor = "multi_thread")]
    async fn readers_of_a_strict_log_share_syncs() {
        let folder = tempfile::tempdir().expect("a folder");
        let vault = Arc::new(vault(folder.path()));
        let log = open(folder.path(), &vault, true);
        let readers = (0..64).map(|_| {
            let (log, vault) = (log.clone(), vault.clone());
            tokio::spawn(async move {
                for at in 1..=20 {
                    log.append(&vault, &event(at)).await.expect("appended");
                }
            })
        });
        for reader in readers.collect::<Vec<_>>() {
            reader.await.expect("it ends");
        }
        assert_eq!(log.progress.borrow().synced, 64 * 20 + 1, "all is on disk before the last one is answered");
        let text = log.metrics.render();
        let syncs = text.lines().find_map(|line| line.strip_prefix("dataflow_audit_sync_duration_seconds_count "));
        let syncs: usize = syncs.and_then(|count| count.parse().ok()).expect("it is counted");
        assert!((20..=64 * 20 / 2).contains(&syncs), "{syncs} syncs for 1,280 events");
    }

    /// It takes every byte, and cannot be synced: the kernel keeps nothing.
    #[tokio::test]
    async fn a_file_that_could_not_be_synced_is_written_anew() {
        for is_strict in [true, false] {
            let folder = tempfile::tempdir().expect("a folder");
            let vault = vault(folder.path());
            let log = open(folder.path(), &vault, is_strict);
            log.append(&vault, &event(1)).await.expect("appended");
            log.sync().await.expect("synced");
            let null = Arc::new(OpenOptions::new().append(true).open("/dev/null").expect("a device"));
            log.state().segment.file = null;
            let appended = log.append(&vault, &event(2)).await;
            assert_eq!(appended.is_err(), is_strict, "{appended:?}");
            // Where nobody waits the thread may have done it already.
            let failed = log.sync().await.is_err() || log.progress.borrow().failures > 0;
            assert!(failed, "strict: {is_strict}");
            log.append(&vault, &event(3)).await.expect("it was written anew");
            log.sync().await.expect("synced");
            let lines = chain(folder.path(), &vault);
            assert!(lines.len() == 4 && lines[2].contains("\"at\":2") && lines[3].contains("\"at\":3"), "{lines:?}");
            assert!(!folder.path().join("audit.new").exists());
        }
    }
}
