//! The segment that is written to: its file, what of it is on disk, and how it is mended.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, ensure};
use dataflow_vault::{Vault, random_uuid};

use super::segments::{self, Begin, BeginAction, Flow, Head, Step, Walk};
use crate::clock::DAY;

/// A segment that has become this long, or this old, is followed by a new one. The last one is read whole at a start: 32 MiB take 0.15 s.
const LENGTH: u64 = 32 * 1024 * 1024;
pub(super) const AGE: i64 = DAY;
/// Room that is kept for what is not on disk yet, in bytes.
const UNSYNCED: usize = 1024 * 1024;

/// Up to where a chain of reads is known.
#[derive(Debug, Clone, Copy)]
pub struct Position {
    /// The segment, by the number of its first line.
    pub segment: u64,
    /// Its length up to there.
    pub place: u64,
    pub head: Head,
}

#[derive(Debug)]
pub struct Segment {
    pub(super) file: Arc<File>,
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
    /// Up to where it is on disk, and what was appended behind that: when a sync fails, the kernel may drop what it could not write and call
    /// the next sync a success (<https://lwn.net/Articles/752063/>), so that nothing but this copy is to be trusted.
    synced: u64,
    unsynced: Vec<u8>,
}

/// How a segment ends, as far as its chain holds.
#[derive(Debug, Default)]
pub struct End {
    /// Up to the last line that follows.
    length: u64,
    /// Bytes of whole lines behind it, which do not follow.
    rest: u64,
    /// The chain, when the segment was begun, and its last line.
    pub(super) begun: Option<(String, i64, Head)>,
}

impl End {
    pub fn of(path: &Path, vault: &Vault) -> anyhow::Result<Self> {
        let (mut walk, mut end) = (Walk::new(vault), Self::default());
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
    pub fn open(folder: &Path, first: u64, began_at: Option<i64>, end: &End, head: Head) -> anyhow::Result<Self> {
        let path = segments::path(folder, first);
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&path)
            .with_context(|| format!("open the audit segment {}", path.display()))?;
        if end.length > 0 {
            // A process that was killed may have left lines in the page cache alone.
            file.sync_data().with_context(|| format!("sync the audit segment {}", path.display()))?;
        }
        Ok(Self {
            file: Arc::new(file),
            path,
            first,
            began_at,
            length: end.length,
            head,
            torn: true,
            damaged: end.rest > 0,
            synced: end.length,
            unsynced: Vec::new(),
        })
    }

    pub fn head(&self) -> Head {
        self.head
    }

    /// Where it ends now.
    pub fn position(&self) -> Position {
        Position { segment: self.first, place: self.length, head: self.head }
    }

    pub fn is_full(&self, now: i64) -> bool {
        self.length >= LENGTH || self.began_at.is_some_and(|began_at| now - began_at >= AGE)
    }

    /// When its first line was written.
    pub fn began_at(&self) -> Option<i64> {
        self.began_at
    }

    /// The one after a segment that ends so. The folder is on disk with it.
    pub fn after(folder: &Path, end: Head) -> anyhow::Result<Self> {
        let next = Self::open(folder, end.line + 1, None, &End::default(), end)?;
        sync_folder(folder)?;
        Ok(next)
    }

    /// Appends an event; gives the number of its line. A segment that has none begins with one that says where it belongs.
    pub fn append(&mut self, vault: &Vault, chain: &str, at: i64, event: Vec<u8>) -> anyhow::Result<u64> {
        self.begin(vault, chain, at)?;
        self.write(vault, event)?;
        Ok(self.head.line)
    }

    /// Appends the event that a segment begins with, if it has none.
    pub fn begin(&mut self, vault: &Vault, chain: &str, at: i64) -> anyhow::Result<()> {
        self.mend()?;
        if self.began_at.is_none() {
            let (action, line, after) = (BeginAction::SegmentBegin, self.head.line + 1, self.head.link);
            let begin = Begin { at, action, chain: chain.to_owned(), line, after };
            self.write(vault, serde_json::to_vec(&begin)?)?;
            self.began_at = Some(at);
        }
        Ok(())
    }

    fn write(&mut self, vault: &Vault, event: Vec<u8>) -> anyhow::Result<()> {
        let (sealed, link) = segments::seal(vault, &self.head.link, event)?;
        if let Err(error) = (&*self.file).write_all(&sealed) {
            self.torn = true;
            return Err(error).context("append to the audit segment");
        }
        self.length += u64::try_from(sealed.len()).unwrap_or_default();
        self.head = Head { line: self.head.line + 1, link };
        self.unsynced.extend_from_slice(&sealed);
        Ok(())
    }

    /// Cuts off a line that was written in part; sets aside what is more.
    fn mend(&mut self) -> anyhow::Result<()> {
        if self.damaged {
            let aside = self.path.with_extension(format!("{}.damaged", random_uuid()));
            let path = self.path.display();
            fs::copy(&self.path, &aside)
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

    /// Notes that it is on disk up to there.
    pub fn is_synced(&mut self, up_to: &Position) {
        let newly = usize::try_from(up_to.place.saturating_sub(self.synced)).unwrap_or(usize::MAX);
        self.unsynced.drain(..newly.min(self.unsynced.len()));
        self.unsynced.shrink_to(UNSYNCED);
        self.synced = up_to.place;
    }

    /// What to write anew after a sync that failed.
    pub fn copy(&self) -> Copy {
        Copy { path: self.path.clone(), synced: self.synced, unsynced: self.unsynced.clone() }
    }

    /// Goes on in the file that was put in place of the one that could not be synced.
    pub fn take(&mut self, file: File) {
        self.file = Arc::new(file);
        self.torn = false;
    }
}

/// A segment as it is to be, while nobody appends to it.
#[derive(Debug)]
pub struct Copy {
    path: PathBuf,
    synced: u64,
    unsynced: Vec<u8>,
}

impl Copy {
    /// Writes it to a new file, and puts that into the place of the old one once it is on disk.
    pub fn write(&self, folder: &Path) -> anyhow::Result<File> {
        let doing = || format!("write the audit segment {} anew", self.path.display());
        // Outside of the folder, where a backup would take it for a segment.
        let new = folder.with_extension("new");
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error).with_context(doing),
            _ => {}
        }
        let mut file = OpenOptions::new().create_new(true).append(true).mode(0o600).open(&new).with_context(doing)?;
        let mut synced = File::open(&self.path).with_context(doing)?.take(self.synced);
        let copied = io::copy(&mut synced, &mut file).with_context(doing)?;
        ensure!(copied == self.synced, "{} has {copied} bytes, and had {} on disk before", self.path.display(), self.synced);
        file.write_all(&self.unsynced).and_then(|()| file.sync_all()).with_context(doing)?;
        fs::rename(&new, &self.path).with_context(doing)?;
        sync_folder(folder)?;
        Ok(file)
    }
}

fn sync_folder(folder: &Path) -> anyhow::Result<()> {
    File::open(folder).and_then(|folder| folder.sync_all()).context("sync the folder of the audit segments")
}
