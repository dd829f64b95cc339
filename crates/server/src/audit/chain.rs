//! Brings the chains up to now: gives each change its number and link, and indexes the reads that this node has appended.
//!
//! One chain of changes for the store, whichever node takes its turn, and not one for each node: so their order is one, and a node that is
//! lost leaves none unchained. Reads are chained by the node that appends them.

use std::sync::atomic::Ordering;

use anyhow::{Context, anyhow, bail};
use dataflow_vault::Vault;

use super::{
    Event, Link, NO_LINK, canonical, record_own,
    segment::Position,
    segments::{self, Begin, Flow, Head},
    tally::{Named, Tally},
};
use crate::{
    app::App,
    ops::rows::Sealed as _,
    store::{self, ChainRow, Write},
};

/// The name of the chain of changes.
pub const CHANGES: &str = "changes";
/// The action of the event that a chain of reads leaves when the store first has its row; its object is the chain.
pub(super) const BEGIN: &str = "audit.begin";
/// Changes that one transaction chains, and lines that one indexes.
const EVENTS: i64 = 500;
const LINES: usize = 20_000;

/// Brings both chains up to now.
pub async fn advance(app: &App) -> anyhow::Result<()> {
    advance_changes(app).await?;
    advance_reads(app).await
}

/// Gives each change its number and link.
pub async fn advance_changes(app: &App) -> anyhow::Result<()> {
    // What is left from here on counts anew.
    app.store.unchained.store(false, Ordering::Release);
    let advanced = async {
        while chain_changes(app).await? {}
        Ok(())
    };
    advanced.await.inspect_err(|_| app.store.unchained.store(true, Ordering::Release))
}

/// Brings the index of this node's reads up to now.
pub async fn advance_reads(app: &App) -> anyhow::Result<()> {
    let _alone = app.use_log.indexing.lock().await;
    while index_reads(app).await? {}
    Ok(())
}

/// Whether this process has left changes that are in no chain yet.
pub fn has_unchained(app: &App) -> bool {
    app.store.unchained.load(Ordering::Acquire)
}

/// Puts the row of the chain of changes into a store that has never had one.
pub async fn begin(write: &mut Write, vault: &Vault) -> anyhow::Result<()> {
    if store::chain(write, CHANGES).await?.is_none() {
        store::put_chain(write, &fresh(CHANGES, "", 0, NO_LINK).sealed(vault)).await?;
    }
    Ok(())
}

/// Chains the changes that wait for it; whether more do.
async fn chain_changes(app: &App) -> anyhow::Result<bool> {
    if store::unchained_events(&mut app.store.read().await?, 1).await?.is_empty() {
        return Ok(false);
    }
    let mut write = app.store.write().await?;
    let gone = "The row of the audit chain of changes is gone from the store: “dataflow audit verify” tells more";
    let mut row = hold(app, &mut write, CHANGES).await?.context(gone)?;
    let events = store::unchained_events(&mut write, EVENTS).await?;
    for event in &events {
        let link = app.vault.audit_link(&link(&row.link)?, canonical(event).as_bytes());
        row.seq += 1;
        row.link = link.to_vec();
        if !store::chain_event(&mut write, &event.id, row.seq, &link).await? {
            bail!("An audit event that waits for its place is none of this program's: “dataflow audit verify” tells more");
        }
    }
    row.at = app.clock.now();
    store::put_chain(&mut write, &row.sealed(&app.vault)).await?;
    write.commit_quietly().await?;
    Ok(i64::try_from(events.len()).unwrap_or_default() == EVENTS)
}

pub(super) async fn hold(app: &App, write: &mut Write, name: &str) -> anyhow::Result<Option<ChainRow>> {
    let row = store::hold_chain(write, name).await?;
    row.map(|row| checked(row, &app.vault)).transpose()
}

impl ChainRow {
    /// Where what is kept of it begins.
    pub(super) fn base(&self) -> anyhow::Result<Head> {
        Ok(Head { line: u64::try_from(self.base_seq).context("a chain begins at a number")?, link: link(&self.base_link)? })
    }

    pub(super) fn set_base(&mut self, base: Head) {
        (self.base_seq, self.base_link) = (number(base.line), base.link.to_vec());
    }
}

/// A chain's row, if its MAC holds.
pub(super) fn checked(row: ChainRow, vault: &Vault) -> anyhow::Result<ChainRow> {
    let name = row.name.clone();
    row.checked(vault).map_err(|_| anyhow!("the end of the audit chain {name} was changed outside of this program"))
}

fn fresh(name: &str, node: &str, base: i64, link: Link) -> ChainRow {
    ChainRow {
        name: name.to_owned(),
        node: node.to_owned(),
        seq: base,
        link: link.to_vec(),
        segment: base + 1,
        place: 0,
        base_seq: base,
        base_link: link.to_vec(),
        at: 0,
        mac: Vec::new(),
    }
}

pub(super) fn link(bytes: &[u8]) -> anyhow::Result<Link> {
    bytes.try_into().context("a link of an audit chain has 32 bytes")
}

fn unsigned(line: i64) -> u64 {
    u64::try_from(line).unwrap_or_default()
}

pub(super) fn number(line: u64) -> i64 {
    i64::try_from(line).unwrap_or(i64::MAX)
}

/// Indexes lines of this node's segments; whether more wait.
async fn index_reads(app: &App) -> anyhow::Result<bool> {
    let name = app.use_log.chain().to_owned();
    let last = app.use_log.last_line();
    let known = store::chain(&mut app.store.read().await?, &name).await?.map(|row| checked(row, &app.vault)).transpose()?;
    let mut row = match known {
        Some(row) if row.seq == number(last) => {
            app.use_log.indexed.store(last, Ordering::Relaxed);
            return Ok(false);
        }
        Some(row) if row.seq > number(last) => bail!(
            "The audit segments in {} end at line {}, and line {} was there before: “dataflow audit verify” tells more",
            app.use_log.folder().display(),
            last,
            row.seq
        ),
        Some(row) => row,
        None if last == 0 => return Ok(false),
        None if is_gone(app, &name).await? => {
            bail!("The row of the audit chain of this node's reads is gone from the store: “dataflow audit verify” tells more")
        }
        None => first(app)?.0,
    };
    let (counted, end) = app.use_log.take_counts(unsigned(row.seq));
    let until = end.head.line;
    let keep = app.store.is_shared();
    // On disk first: what the store has seen must not be missing after a power cut.
    app.use_log.sync().await?;
    let read = if let Some(tally) = counted {
        // Nobody else has indexed any of it, and the lines themselves stay in their segment.
        Read { tally, kept: Vec::new(), end }
    } else {
        let (folder, from, named) = (app.use_log.folder().to_owned(), row.clone(), app.use_log.named.clone());
        let read = move || read(&folder, &from, until, keep, &named);
        tokio::task::spawn_blocking(read).await.context("read the audit segment")??
    };
    let mut rows = Vec::new();
    for (key, counted) in read.tally.counts() {
        if let Some(id) = key.workspace_id {
            rows.push(key.row(&app.vault, &id.to_string(), counted));
            continue;
        }
        let workspace = app.workspace(&key.workspace).await.map_err(|error| anyhow!(error.describe().2))?;
        rows.extend(workspace.map(|workspace| key.row(&app.vault, &workspace.id.to_string(), counted)));
    }
    // In one order, or two nodes that count the same hold each other up.
    rows.sort_unstable_by(|one, other| one.id.cmp(&other.id));
    let mut write = app.store.write().await?;
    if hold(app, &mut write, &name).await?.is_some_and(|now| now.seq != row.seq) {
        return Ok(true); // Somebody else has indexed these lines since.
    }
    store::count_reads(&mut write, &rows).await?;
    let now = app.clock.now();
    if keep {
        let lines = (row.seq + 1, number(read.end.head.line));
        store::keep_lines(&mut write, &name, lines, now, &read.kept).await?;
    }
    if row.at == 0 {
        let detail = serde_json::json!({"node": row.node});
        let event = Event { at: now, workspace_id: None, action: BEGIN, object: &row.name, detail };
        record_own(&mut write, &app.vault, event).await?;
    }
    (row.seq, row.link) = (number(read.end.head.line), read.end.head.link.to_vec());
    (row.segment, row.place) = (number(read.end.segment), number(read.end.place));
    row.at = now;
    store::put_chain(&mut write, &row.sealed(&app.vault)).await?;
    write.commit_quietly().await?;
    app.use_log.indexed.store(read.end.head.line, Ordering::Relaxed);
    Ok(read.end.head.line < until)
}

/// Whether a chain of which there is no row has had one: it left an event then. Of this node's, the segments tell that, too, once their
/// beginning has gone for its age.
pub(super) async fn is_gone(app: &App, name: &str) -> anyhow::Result<bool> {
    let mut read = app.store.read().await?;
    if store::chain(&mut read, name).await?.is_some() {
        return Ok(false);
    }
    if store::has_event(&mut read, BEGIN, name).await? {
        return Ok(true);
    }
    Ok(name == app.use_log.chain() && app.use_log.last_line() > 0 && first(app)?.1 != NO_LINK)
}

/// The row of this node's chain before its first line is indexed, and the link that its first segment follows.
fn first(app: &App) -> anyhow::Result<(ChainRow, Link)> {
    let folder = app.use_log.folder();
    let segment = *segments::list(folder)?.first().context("a chain with lines has a segment")?;
    let mut after = None;
    segments::read(&segments::path(folder, segment), 0, |line, _| {
        after = segments::split(line).and_then(|(event, _)| Begin::read(event)).map(|begin| begin.after);
        Ok(Flow::Stop)
    })?;
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let node = folder.parent().and_then(|folder| folder.file_name()).unwrap_or_default().to_string_lossy();
    let node = format!("{}, node {node}", host.trim());
    let after = after.unwrap_or(NO_LINK);
    Ok((fresh(app.use_log.chain(), &node, number(segment) - 1, after), after))
}

#[derive(Debug)]
struct Read {
    tally: Tally,
    /// The lines themselves, if they were asked for.
    kept: Vec<u8>,
    end: Position,
}

/// Counts the lines after `from`, and no further than `until`.
fn read(folder: &std::path::Path, from: &ChainRow, until: u64, keep: bool, named: &Named) -> anyhow::Result<Read> {
    let head = Head { line: unsigned(from.seq), link: link(&from.link)? };
    let start = Position { segment: unsigned(from.segment), place: unsigned(from.place), head };
    let mut read = Read { tally: Tally::default(), kept: Vec::new(), end: start };
    let mut lines = 0;
    let is_enough = |lines: usize, read: &Read| lines == LINES || read.tally.is_full() || read.end.head.line >= until;
    while !is_enough(lines, &read) {
        let before = read.end.head.line;
        let path = segments::path(folder, read.end.segment);
        let place = read.end.place;
        segments::read(&path, place, |line, place| {
            let (event, link) = segments::split(line).with_context(|| format!("{} has a line that is none", path.display()))?;
            if Begin::read(event).is_none() {
                read.tally.read(event, named)?;
            }
            if keep {
                read.kept.extend_from_slice(line);
                read.kept.push(b'\n');
            }
            read.end.place = place;
            read.end.head = Head { line: read.end.head.line + 1, link };
            lines += 1;
            Ok(if is_enough(lines, &read) { Flow::Stop } else { Flow::On })
        })?;
        if !is_enough(lines, &read) {
            if read.end.head.line == before && read.end.place == 0 {
                bail!("{} has no line {}", path.display(), before + 1);
            }
            (read.end.segment, read.end.place) = (read.end.head.line + 1, 0);
            if keep && lines > 0 {
                break; // A piece is of one segment, so that both go together.
            }
        }
    }
    Ok(read)
}
