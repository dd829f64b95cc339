//! Segment files of machine reads: their names, their lines, and the walk along a chain.
//!
//! A line is `EVENT TAB LINK LF`: one JSON object, and in hex the MAC over the link before it and the object. A file bears the number of
//! its first line, which tells the chain's id and the link that it follows; so a segment can be read when those before it are gone.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

use anyhow::Context;
use dataflow_vault::Vault;
use serde::{Deserialize, Serialize};

use super::Link;

/// Longest line that is read; an event has some 300 bytes, and 3 KiB at most.
const LINE_MAX: u64 = 64 * 1024;

/// The event that begins each segment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Begin {
    /// Microseconds UTC.
    pub at: i64,
    pub action: BeginAction,
    pub chain: String,
    /// The number of this line.
    pub line: u64,
    /// The link of the line before.
    #[serde(with = "in_hex")]
    pub after: Link,
}

mod in_hex {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use super::Link;

    pub fn serialize<S: Serializer>(link: &Link, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(link))
    }

    pub fn deserialize<'d, D: Deserializer<'d>>(deserializer: D) -> Result<Link, D::Error> {
        let mut link = Link::default();
        hex::decode_to_slice(String::deserialize(deserializer)?, &mut link).map_err(D::Error::custom)?;
        Ok(link)
    }
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub enum BeginAction {
    #[serde(rename = "segment.begin")]
    SegmentBegin,
}

impl Begin {
    /// Reads an event, if it is one that begins a segment.
    pub fn read(event: &[u8]) -> Option<Self> {
        // Its action is the second member: other lines, which are nearly all, are not parsed.
        let comma = event.iter().take(AT_MAX).position(|byte| *byte == b',')?;
        if event.get(comma..)?.starts_with(MARK) { serde_json::from_slice(event).ok() } else { None }
    }
}

const MARK: &[u8] = br#","action":"segment.begin""#;
/// Longest first member, `{"at":…`, of an event.
const AT_MAX: usize = 32;

/// `FOLDER/000000000001.jsonl`
pub fn path(folder: &Path, first: u64) -> PathBuf {
    folder.join(format!("{first:012}.jsonl"))
}

/// The numbers of the first lines of the segments in a folder, in their order.
pub fn list(folder: &Path) -> anyhow::Result<Vec<u64>> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("read the folder {}", folder.display()))? {
        let name = entry.with_context(|| format!("read the folder {}", folder.display()))?.file_name();
        let number: Option<u64> =
            name.to_str().and_then(|name| name.strip_suffix(".jsonl")).and_then(|digits| digits.parse().ok());
        all.extend(number.filter(|number| *number > 0));
    }
    all.sort_unstable();
    Ok(all)
}

/// Adds the link to an event; gives the whole line.
pub fn seal(vault: &Vault, before: &Link, mut event: Vec<u8>) -> anyhow::Result<(Vec<u8>, Link)> {
    let link = vault.audit_link(before, &event);
    let mut shown = [0; 64];
    hex::encode_to_slice(link, &mut shown)?;
    event.push(b'\t');
    event.extend_from_slice(&shown);
    event.push(b'\n');
    Ok((event, link))
}

/// The event of a line, without its end, and its link; `None` if it is no line of a segment.
pub fn split(text: &[u8]) -> Option<(&[u8], Link)> {
    let (rest, shown) = text.split_last_chunk::<64>()?;
    let event = rest.strip_suffix(b"\t")?;
    let mut link = Link::default();
    hex::decode_to_slice(shown, &mut link).ok()?;
    Some((event, link))
}

/// When the event of a line was, which begins with that. Nothing has proven it yet.
pub fn time(text: &[u8]) -> Option<i64> {
    let rest = text.strip_prefix(b"{\"at\":")?;
    let end = rest.iter().position(|byte| *byte == b',')?;
    std::str::from_utf8(rest.get(..end)?).ok()?.parse().ok()
}

/// Where a chain stands: the number and link of its last line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    pub line: u64,
    pub link: Link,
}

/// What a line is after those before it.
#[derive(Debug)]
pub enum Step {
    /// It follows.
    Follows,
    /// It begins a segment of this chain.
    Begins(Begin),
    /// It does not: the chain breaks before it.
    Breaks,
}

/// A walk along a chain, line by line. It begins at the first line of a segment.
#[derive(Debug)]
pub struct Walk<'v> {
    vault: &'v Vault,
    head: Option<Head>,
}

impl<'v> Walk<'v> {
    pub fn new(vault: &'v Vault) -> Self {
        Self { vault, head: None }
    }

    /// One that goes on after a line.
    pub fn after(vault: &'v Vault, head: Head) -> Self {
        Self { vault, head: Some(head) }
    }

    pub fn head(&self) -> Option<Head> {
        self.head
    }

    /// Takes a line, without its end, if it follows what was walked.
    pub fn step(&mut self, text: &[u8]) -> Step {
        let Some((event, link)) = split(text) else { return Step::Breaks };
        let begin = Begin::read(event);
        let before = match (self.head, &begin) {
            (Some(head), Some(begin)) if begin.line != head.line + 1 || begin.after != head.link => return Step::Breaks,
            (Some(head), _) => head,
            (None, Some(begin)) => Head { line: begin.line.saturating_sub(1), link: begin.after },
            (None, None) => return Step::Breaks,
        };
        if !self.vault.audit_link_holds(&before.link, event, &link) {
            return Step::Breaks;
        }
        self.head = Some(Head { line: before.line + 1, link });
        begin.map_or(Step::Follows, Step::Begins)
    }
}

/// Reads a segment's lines from `place` on; each comes with the length of the file up to its end. A last line without an end is left out:
/// it is being written, or was when the machine stopped.
pub fn read(path: &Path, place: u64, mut take: impl FnMut(&[u8], u64) -> anyhow::Result<Flow>) -> anyhow::Result<()> {
    let doing = || format!("read the audit segment {}", path.display());
    let mut file = File::open(path).with_context(doing)?;
    file.seek(SeekFrom::Start(place)).with_context(doing)?;
    let mut reader = BufReader::with_capacity(256 * 1024, file);
    let (mut line, mut place) = (Vec::new(), place);
    loop {
        line.clear();
        let length = std::io::Read::take(&mut reader, LINE_MAX).read_until(b'\n', &mut line).with_context(doing)?;
        let Some(text) = line.strip_suffix(b"\n") else { return Ok(()) };
        place += u64::try_from(length).unwrap_or_default();
        if take(text, place)? == Flow::Stop {
            return Ok(());
        }
    }
}

/// Reads the lines after the one of this number, segment by segment. What is left of those before it is passed over.
pub fn read_after(folder: &Path, line: u64, mut take: impl FnMut(&[u8]) -> anyhow::Result<Flow>) -> anyhow::Result<()> {
    let all = list(folder)?;
    let nexts = all.iter().skip(1).map(Some).chain([None]);
    let mut flow = Flow::On;
    for (first, _) in all.iter().zip(nexts).filter(|(_, next)| next.is_none_or(|next| *next > line + 1)) {
        let mut number = first.saturating_sub(1);
        read(&path(folder, *first), 0, |text, _| {
            number += 1;
            flow = if number > line { take(text)? } else { Flow::On };
            Ok(flow)
        })?;
        if flow == Flow::Stop {
            break;
        }
    }
    Ok(())
}

/// Removes the segments that end no later than with the line of this number; never the last one that has lines, which tells the chain's id.
pub fn remove_before(folder: &Path, line: u64) -> anyhow::Result<()> {
    let all = list(folder)?;
    for (first, next) in all.iter().zip(all.iter().skip(1)).filter(|(_, next)| **next <= line + 1) {
        let (old, next) = (path(folder, *first), path(folder, *next));
        if std::fs::metadata(&next).is_ok_and(|next| next.len() > 0) {
            std::fs::remove_file(&old).with_context(|| format!("remove the old audit segment {}", old.display()))?;
        }
    }
    Ok(())
}

/// Whether to read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    On,
    Stop,
}
