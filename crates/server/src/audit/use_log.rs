//! This node's record of machine reads: appended before the answer, synced in groups.

use std::{
    fs::{File, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use dataflow_vault::{Vault, random_uuid};
use serde::Serialize;

use super::{
    NO_LINK,
    segments::{self, Begin, BeginAction, Flow, Head, Step, Walk},
};
use crate::clock::DAY;

/// How long a machine read may stand in the page cache before it is synced.
const SYNC_EVERY: Duration = Duration::from_millis(50);
/// How long it is before a sync that failed is tried again.
const SYNC_AGAIN: Duration = Duration::from_secs(1);
/// Room for most lines of a segment, in bytes.
const LINE: usize = 512;
/// A segment that has become this long, or this old, is followed by a new one. The last one is read whole at a start: 32 MiB take 0.15 s.
const SEGMENT_LENGTH: u64 = 32 * 1024 * 1024;
const SEGMENT_AGE: i64 = DAY;

/// One answer with a secret, or one 304 in its place.
#[derive(Debug, Serialize)]
pub struct UseEvent<'e> {
    pub at: i64,
    pub action: &'static str,
    pub workspace: &'e str,
    pub connection: &'e str,
    pub version: i64,
    pub actor: &'e str,
    pub actor_id: &'e str,
    pub address: Option<std::net::IpAddr>,
    pub workflow: Option<&'e dataflow_model::Workflow>,
}

/// The segments of one node, of which the last is written to.
#[derive(Debug)]
pub struct UseLog {
    folder: PathBuf,
    chain: String,
    segment: Mutex<Segment>,
    dirty: AtomicBool,
}

#[derive(Debug)]
struct Segment {
    file: File,
    path: PathBuf,
    first: u64,
    /// When its first line was written; `None` while it has none.
    began_at: Option<i64>,
    /// Up to the end of its last whole line.
    length: u64,
    head: Head,
    /// What lies behind `length` is part of a line,
    torn: bool,
    /// or whole lines that do not follow.
    damaged: bool,
}

/// Up to where the segments are on disk.
#[derive(Debug, Clone, Copy)]
pub struct Position {
    /// The segment, by the number of its first line.
    pub segment: u64,
    /// Its length up to there.
    pub place: u64,
    pub head: Head,
}

impl UseLog {
    /// Opens the segments in `folder/audit`, or makes the first. What a process that was killed has written in part is cut off: it had no
    /// answer. What is there and does not follow is set aside before the
    /// next event, and told in the log.
    pub fn open(folder: &Path, vault: &Vault) -> anyhow::Result<Self> {
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
                let segment = Segment::open(&folder, first, None, &end, before.head)?;
                (chain, if first == before.head.line + 1 { segment } else { before })
            }
            (Some(found), None) => found,
            (None, Some((first, end))) => {
                let head = Head { line: first - 1, link: NO_LINK };
                (random_uuid().to_string(), Segment::open(&folder, first, None, &end, head)?)
            }
            (None, None) => {
                let end = End { length: 0, rest: 0, begun: None };
                (random_uuid().to_string(), Segment::open(&folder, 1, None, &end, Head { line: 0, link: NO_LINK })?)
            }
        };
        Ok(Self { folder, chain, segment: Mutex::new(segment), dirty: AtomicBool::new(false) })
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

    /// Appends one event; once this returns, the kernel has it. An error means: do not answer.
    pub fn append(&self, vault: &Vault, event: &UseEvent<'_>) -> anyhow::Result<()> {
        let mut line = Vec::with_capacity(LINE);
        serde_json::to_writer(&mut line, event)?;
        let mut segment = self.segment();
        if segment.is_full(event.at) {
            segment.follow(&self.folder)?;
        }
        if segment.began_at.is_none() {
            segment.begin(vault, &self.chain, event.at)?;
        }
        segment.append(vault, line)?;
        drop(segment);
        self.dirty.store(true, Ordering::Release);
        Ok(())
    }

    /// Syncs in groups until the app is dropped. Runs on a thread of its own: a slow disk holds no request.
    pub fn sync_forever(log: &std::sync::Weak<Self>) {
        loop {
            std::thread::sleep(SYNC_EVERY);
            let Some(synced) = log.upgrade().map(|log| log.sync_if_dirty()) else { return };
            if let Err(error) = synced {
                tracing::error!(error.cause = format!("{error:#}"), "the audit segment could not be synced");
                std::thread::sleep(SYNC_AGAIN);
            }
        }
    }

    /// Syncs what was appended since the last sync that succeeded.
    fn sync_if_dirty(&self) -> anyhow::Result<()> {
        if self.dirty.swap(false, Ordering::AcqRel) {
            self.sync().inspect_err(|_| self.dirty.store(true, Ordering::Release))?;
        }
        Ok(())
    }

    /// Makes everything appended so far durable; gives where that ends.
    pub fn sync(&self) -> anyhow::Result<Position> {
        let (copy, position) = {
            let segment = self.segment();
            let position = Position { segment: segment.first, place: segment.length, head: segment.head };
            (segment.file.try_clone().context("share the audit segment")?, position)
        };
        copy.sync_data().context("sync the audit segment")?;
        Ok(position)
    }

    /// The number of the last line, on disk or not.
    #[must_use]
    pub fn last_line(&self) -> u64 {
        self.segment().head.line
    }

    fn segment(&self) -> MutexGuard<'_, Segment> {
        self.segment.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a segment ends, as far as its chain holds.
#[derive(Debug)]
struct End {
    /// Up to the last line that follows.
    length: u64,
    /// Bytes of whole lines behind it, which do not follow.
    rest: u64,
    begun: Option<(String, i64, Head)>,
}

impl End {
    fn of(path: &Path, vault: &Vault) -> anyhow::Result<Self> {
        let (mut walk, mut end) = (Walk::new(vault), Self { length: 0, rest: 0, begun: None });
        let mut first = None;
        segments::read(path, 0, |line, place| {
            match walk.step(line) {
                _ if end.rest > 0 => end.rest = place - end.length,
                Step::Breaks => end.rest = place - end.length,
                step => {
                    if let (Step::Begins(begin), None) = (step, &first) {
                        first = Some(begin);
                    }
                    end.length = place;
                }
            }
            Ok(Flow::On)
        })?;
        end.begun = first.zip(walk.head()).map(|(begin, head)| (begin.chain, begin.at, head));
        Ok(end)
    }
}

impl Segment {
    fn open(folder: &Path, first: u64, began_at: Option<i64>, end: &End, head: Head) -> anyhow::Result<Self> {
        let path = segments::path(folder, first);
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&path)
            .with_context(|| format!("open the audit segment {}", path.display()))?;
        Ok(Self { file, path, first, began_at, length: end.length, head, torn: true, damaged: end.rest > 0 })
    }

    fn is_full(&self, now: i64) -> bool {
        self.length >= SEGMENT_LENGTH || self.began_at.is_some_and(|began_at| now - began_at >= SEGMENT_AGE)
    }

    /// Goes on in a new file, once this one is on disk.
    fn follow(&mut self, folder: &Path) -> anyhow::Result<()> {
        self.mend()?;
        self.file.sync_data().context("sync the audit segment")?;
        let end = End { length: 0, rest: 0, begun: None };
        let next = Self::open(folder, self.head.line + 1, None, &end, self.head)?;
        File::open(folder).and_then(|folder| folder.sync_all()).context("sync the folder of the audit segments")?;
        *self = next;
        Ok(())
    }

    fn begin(&mut self, vault: &Vault, chain: &str, at: i64) -> anyhow::Result<()> {
        let begin = Begin {
            at,
            action: BeginAction::SegmentBegin,
            chain: chain.to_owned(),
            line: self.head.line + 1,
            after: self.head.link,
        };
        self.append(vault, serde_json::to_vec(&begin)?)?;
        self.began_at = Some(at);
        Ok(())
    }

    fn append(&mut self, vault: &Vault, event: Vec<u8>) -> anyhow::Result<()> {
        self.mend()?;
        let (sealed, link) = segments::seal(vault, &self.head.link, event)?;
        if let Err(error) = self.file.write_all(&sealed) {
            self.torn = true;
            return Err(error).context("append to the audit segment");
        }
        self.length += u64::try_from(sealed.len()).unwrap_or_default();
        self.head = Head { line: self.head.line + 1, link };
        Ok(())
    }

    /// Cuts off a line that was written in part; sets aside what is more.
    fn mend(&mut self) -> anyhow::Result<()> {
        if self.damaged {
            let aside = self.path.with_extension(format!("{}.damaged", random_uuid()));
            let path = self.path.display();
            std::fs::copy(&self.path, &aside)
                .with_context(|| format!("set the damaged audit segment aside, as {}", aside.display()))?;
            tracing::error!(
                segment.path = %path,
                segment.line = self.head.line,
                segment.copy = %aside.display(),
                "the audit segment was damaged after this line; a copy is set aside, and “dataflow audit verify” tells more"
            );
            self.damaged = false;
        }
        if self.torn {
            let metadata = self.file.metadata().context("look at the audit segment")?;
            if metadata.is_file() && metadata.len() != self.length {
                self.file.set_len(self.length).context("cut a torn line off the audit segment")?;
            }
            self.torn = false;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use dataflow_vault::KeyFile;

    use super::*;

    fn vault(folder: &Path) -> Vault {
        let key = KeyFile::create(&folder.join("key")).expect("a key");
        Vault::create(random_uuid(), &key).expect("a vault").0
    }

    fn event(at: i64) -> UseEvent<'static> {
        UseEvent {
            at,
            action: "credentials.read",
            workspace: "default",
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

    #[test]
    fn a_chain_goes_on_after_a_torn_line_and_in_a_new_segment() {
        let folder = tempfile::tempdir().expect("a folder");
        let vault = vault(folder.path());
        let first = segments::path(&folder.path().join("audit"), 1);
        let mut lines = 1;
        for torn in ["", "{\"at\":1", "{\"at\":1,\"ac"] {
            if lines > 1 {
                let text = fs::read_to_string(&first).expect("there");
                fs::write(&first, text + torn).expect("own folder");
            }
            let log = UseLog::open(folder.path(), &vault).expect("it opens");
            log.append(&vault, &event(1)).expect("appended");
            lines += 1;
            assert_eq!(chain(folder.path(), &vault).len(), lines, "after “{torn}”");
        }
        let log = UseLog::open(folder.path(), &vault).expect("it opens");
        log.append(&vault, &event(1 + SEGMENT_AGE)).expect("appended");
        assert_eq!(chain(folder.path(), &vault).len(), lines + 2, "a beginning and an event");
        let all = segments::list(&folder.path().join("audit")).expect("own folder");
        assert_eq!(all, [1, 5]);
        let id = log.chain().to_owned();
        drop(log);
        // The next one was made and has no line yet.
        fs::write(segments::path(&folder.path().join("audit"), 7), "").expect("own folder");
        let log = UseLog::open(folder.path(), &vault).expect("it opens");
        assert_eq!(log.chain(), id);
        log.append(&vault, &event(2 + SEGMENT_AGE)).expect("appended");
        assert_eq!(chain(folder.path(), &vault).len(), lines + 4);
        assert_eq!(log.sync().expect("synced").head.line, 8);
    }

    #[test]
    fn what_does_not_follow_is_set_aside() {
        let folder = tempfile::tempdir().expect("a folder");
        let vault = vault(folder.path());
        let path = segments::path(&folder.path().join("audit"), 1);
        let log = UseLog::open(folder.path(), &vault).expect("it opens");
        for at in 1..4 {
            log.append(&vault, &event(at)).expect("appended");
        }
        drop(log);
        let text = fs::read_to_string(&path).expect("there");
        fs::write(&path, text.replace("\"at\":2", "\"at\":9")).expect("own folder");
        let log = UseLog::open(folder.path(), &vault).expect("it opens");
        log.append(&vault, &event(4)).expect("appended");
        assert_eq!(chain(folder.path(), &vault).len(), 3, "a beginning, the first event and the new one");
        let aside = fs::read_dir(folder.path().join("audit")).expect("own folder");
        let aside: Vec<_> = aside.map(|entry| entry.expect("own folder").path()).filter(|found| *found != path).collect();
        assert!(
            matches!(aside.as_slice(), [one] if fs::read_to_string(one).is_ok_and(|kept| kept.contains("\"at\":9"))),
            "{aside:?}"
        );
    }

    #[test]
    fn what_cannot_be_written_is_an_error_and_the_next_line_follows_the_last_that_was() {
        let folder = tempfile::tempdir().expect("a folder");
        let vault = vault(folder.path());
        let log = UseLog::open(folder.path(), &vault).expect("it opens");
        log.append(&vault, &event(1)).expect("appended");
        let full = OpenOptions::new().append(true).open("/dev/full").expect("a device");
        let file = std::mem::replace(&mut log.segment().file, full);
        log.append(&vault, &event(2)).expect_err("the disk is full");
        log.segment().file = file;
        log.append(&vault, &event(3)).expect("appended");
        let lines = chain(folder.path(), &vault);
        assert!(lines.len() == 3 && lines[2].contains("\"at\":3"), "{lines:?}");
    }

    #[test]
    fn a_sync_that_failed_is_tried_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let vault = vault(folder.path());
        fs::create_dir(folder.path().join("audit")).expect("own folder");
        // It takes every byte and cannot be synced.
        std::os::unix::fs::symlink("/dev/null", segments::path(&folder.path().join("audit"), 1)).expect("own folder");
        let log = UseLog::open(folder.path(), &vault).expect("it opens");
        log.sync_if_dirty().expect("there is nothing to sync");
        log.append(&vault, &event(1)).expect("appended");
        for _ in 0..2 {
            log.sync_if_dirty().expect_err("it cannot be synced");
        }
    }
}
