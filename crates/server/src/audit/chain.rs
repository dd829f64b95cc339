//! Brings the chains up to now: gives each change its number and link, and indexes the reads that this node has appended.
//!
//! One chain of changes for the store, whichever node takes its turn, and not one for each node: so their order is one, and a node that is
//! lost leaves none unchained. Reads are chained by the node that appends them.

use std::{borrow::Cow, collections::HashMap};

use anyhow::{Context, anyhow, bail};
use dataflow_vault::Vault;
use serde::Deserialize;

use super::{
    Link, NO_LINK, canonical,
    segments::{self, Begin, Flow, Head},
    use_log::Position,
};
use crate::{
    app::App,
    clock::SECOND,
    ops::rows::Sealed as _,
    store::{self, ChainRow, ReadsRow, Write},
};

/// The name of the chain of changes.
pub const CHANGES: &str = "changes";
/// Changes that one transaction chains, and lines that one indexes.
const EVENTS: i64 = 500;
const LINES: usize = 20_000;
const MINUTE: i64 = 60 * SECOND;

/// Brings both chains up to now.
pub async fn advance(app: &App) -> anyhow::Result<()> {
    while chain_changes(app).await? {}
    while index_reads(app).await? {}
    Ok(())
}

/// Chains the changes that wait for it; whether more do.
async fn chain_changes(app: &App) -> anyhow::Result<bool> {
    if store::unchained_events(&mut app.store.read().await?, 1).await?.is_empty() {
        return Ok(false);
    }
    let mut write = app.store.write().await?;
    let mut row = match hold(app, &mut write, CHANGES).await? {
        Some(row) => row,
        None => fresh(CHANGES, "", 0, NO_LINK),
    };
    let events = store::unchained_events(&mut write, EVENTS).await?;
    for event in &events {
        let link = app.vault.audit_link(&link(&row.link)?, canonical(event).as_bytes());
        row.seq += 1;
        row.link = link.to_vec();
        store::chain_event(&mut write, &event.id, row.seq, &link).await?;
    }
    row.at = app.clock.now();
    store::put_chain(&mut write, &row.sealed(&app.vault)).await?;
    write.commit_quietly().await?;
    Ok(i64::try_from(events.len()).unwrap_or_default() == EVENTS)
}

async fn hold(app: &App, write: &mut Write, name: &str) -> anyhow::Result<Option<ChainRow>> {
    let row = store::hold_chain(write, name).await?;
    row.map(|row| checked(row, &app.vault)).transpose()
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

pub(super) fn number(line: u64) -> i64 {
    i64::try_from(line).unwrap_or(i64::MAX)
}

/// Indexes lines of this node's segments; whether more wait.
async fn index_reads(app: &App) -> anyhow::Result<bool> {
    let name = app.use_log.chain().to_owned();
    let last = app.use_log.last_line();
    let known = store::chain(&mut app.store.read().await?, &name).await?.map(|row| checked(row, &app.vault)).transpose()?;
    let mut row = match known {
        Some(row) if row.seq == number(last) => return Ok(false),
        Some(row) if row.seq > number(last) => bail!(
            "The audit segments in {} end at line {}, and line {} was there before: “dataflow audit verify” tells more",
            app.use_log.folder().display(),
            last,
            row.seq
        ),
        Some(row) => row,
        None if last == 0 => return Ok(false),
        None => first(app)?,
    };
    let log = app.use_log.clone();
    // On disk first: what the store has seen must not be missing after a power cut.
    let until = tokio::task::spawn_blocking(move || log.sync()).await.context("sync the audit segment")??;
    let (folder, from, keep) = (app.use_log.folder().to_owned(), row.clone(), app.store.is_shared());
    let read = move || read(&folder, &from, &until, keep);
    let read = tokio::task::spawn_blocking(read).await.context("read the audit segment")??;
    let mut rows = Vec::with_capacity(read.counted.len());
    for (key, counted) in read.counted.values() {
        let workspace = app.workspace(&key.workspace).await.map_err(|error| anyhow!(error.describe().2))?;
        rows.extend(workspace.map(|workspace| key.row(&app.vault, &workspace.id.to_string(), counted)));
    }
    // In one order, or two nodes that count the same hold each other up.
    rows.sort_unstable_by(|one, other| one.id.cmp(&other.id));
    let mut write = app.store.write().await?;
    if hold(app, &mut write, &name).await?.is_some_and(|now| now.seq != row.seq) {
        return Ok(true); // Somebody else has indexed these lines since.
    }
    for row in &rows {
        store::count_reads(&mut write, row).await?;
    }
    let now = app.clock.now();
    if keep {
        let lines = (row.seq + 1, number(read.end.head.line));
        store::keep_lines(&mut write, &name, lines, now, &read.kept).await?;
    }
    (row.seq, row.link) = (number(read.end.head.line), read.end.head.link.to_vec());
    (row.segment, row.place) = (number(read.end.segment), number(read.end.place));
    row.at = now;
    store::put_chain(&mut write, &row.sealed(&app.vault)).await?;
    write.commit_quietly().await?;
    Ok(read.end.head.line < until.head.line)
}

/// The row of this node's chain before its first line is indexed.
fn first(app: &App) -> anyhow::Result<ChainRow> {
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
    Ok(fresh(app.use_log.chain(), &node, number(segment) - 1, after.unwrap_or(NO_LINK)))
}

/// What is counted together.
#[derive(Debug)]
struct Key {
    workspace: String,
    minute: i64,
    connection: String,
    version: i64,
    action: String,
    actor_id: String,
    workflow_kind: String,
    workflow: String,
}

#[derive(Debug)]
struct Counted {
    at: i64,
    last_at: i64,
    reads: i64,
    actor: String,
    address: Option<String>,
    run: Option<String>,
}

impl Key {
    fn row(&self, vault: &Vault, workspace_id: &str, counted: &Counted) -> ReadsRow {
        let (minute, version) = (self.minute.to_be_bytes(), self.version.to_be_bytes());
        let parts: [&[u8]; 8] = [
            workspace_id.as_bytes(),
            &minute,
            self.connection.as_bytes(),
            &version,
            self.action.as_bytes(),
            self.actor_id.as_bytes(),
            self.workflow_kind.as_bytes(),
            self.workflow.as_bytes(),
        ];
        let hash = vault.lookup_hash("audit_reads", &parts);
        ReadsRow {
            id: hash.first_chunk::<16>().map(hex::encode).unwrap_or_default(),
            workspace_id: workspace_id.to_owned(),
            connection: self.connection.clone(),
            version: self.version,
            action: self.action.clone(),
            actor: counted.actor.clone(),
            actor_id: self.actor_id.clone(),
            workflow_kind: self.workflow_kind.clone(),
            workflow: self.workflow.clone(),
            at: counted.at,
            last_at: counted.last_at,
            reads: counted.reads,
            address: counted.address.clone(),
            run: counted.run.clone(),
        }
    }
}

#[derive(Debug)]
struct Read {
    /// By [`Line::key`].
    counted: HashMap<Vec<u8>, (Key, Counted)>,
    /// The lines themselves, if they were asked for.
    kept: Vec<u8>,
    end: Position,
}

/// A line of a segment, as far as it is counted.
#[derive(Debug, Deserialize)]
struct Line<'l> {
    at: i64,
    #[serde(borrow)]
    action: Cow<'l, str>,
    #[serde(borrow)]
    workspace: Cow<'l, str>,
    #[serde(borrow)]
    connection: Cow<'l, str>,
    version: i64,
    #[serde(borrow)]
    actor: Cow<'l, str>,
    #[serde(borrow)]
    actor_id: Cow<'l, str>,
    #[serde(borrow)]
    address: Option<Cow<'l, str>>,
    #[serde(borrow)]
    workflow: Option<Workflow<'l>>,
}

#[derive(Debug, Deserialize)]
struct Workflow<'l> {
    #[serde(borrow)]
    kind: Cow<'l, str>,
    #[serde(borrow)]
    name: Cow<'l, str>,
    #[serde(borrow)]
    run: Option<Cow<'l, str>>,
}

impl<'l> Line<'l> {
    fn minute(&self) -> i64 {
        self.at.div_euclid(MINUTE)
    }

    fn workflow(&self) -> (&str, &str) {
        self.workflow.as_ref().map_or(("", ""), |workflow| (&*workflow.kind, &*workflow.name))
    }

    /// Writes what is counted together as one text into `key`: most lines are of what was counted before, and cost no more than this.
    fn key(&self, key: &mut Vec<u8>) {
        key.clear();
        key.extend_from_slice(&self.minute().to_be_bytes());
        key.extend_from_slice(&self.version.to_be_bytes());
        let (kind, workflow) = self.workflow();
        for part in [&*self.workspace, &*self.connection, &*self.action, &*self.actor_id, kind, workflow] {
            key.extend_from_slice(&part.len().to_be_bytes());
            key.extend_from_slice(part.as_bytes());
        }
    }

    fn begin(self) -> (Key, Counted) {
        let (kind, workflow) = self.workflow();
        let key = Key {
            minute: self.minute(),
            workflow_kind: kind.to_owned(),
            workflow: workflow.to_owned(),
            workspace: self.workspace.into_owned(),
            connection: self.connection.into_owned(),
            version: self.version,
            action: self.action.into_owned(),
            actor_id: self.actor_id.into_owned(),
        };
        let (address, run) = (self.address.map(Cow::into_owned), self.workflow.and_then(|workflow| workflow.run).map(Cow::into_owned));
        (key, Counted { at: self.at, last_at: self.at, reads: 1, actor: self.actor.into_owned(), address, run })
    }
}

impl Counted {
    fn add(&mut self, line: &Line<'_>) {
        self.reads += 1;
        self.last_at = line.at;
        replace(&mut self.address, line.address.as_deref());
        replace(&mut self.run, line.workflow.as_ref().and_then(|workflow| workflow.run.as_deref()));
    }
}

fn replace(known: &mut Option<String>, now: Option<&str>) {
    if known.as_deref() != now {
        *known = now.map(str::to_owned);
    }
}

/// Counts the lines after `from`, and no further than `until`.
fn read(folder: &std::path::Path, from: &ChainRow, until: &Position, keep: bool) -> anyhow::Result<Read> {
    let unsigned = |number: i64| u64::try_from(number).unwrap_or_default();
    let head = Head { line: unsigned(from.seq), link: link(&from.link)? };
    let start = Position { segment: unsigned(from.segment), place: unsigned(from.place), head };
    let mut read = Read { counted: HashMap::new(), kept: Vec::new(), end: start };
    let (mut lines, mut key) = (0, Vec::new());
    while lines < LINES && read.end.head.line < until.head.line {
        let before = read.end.head.line;
        let path = segments::path(folder, read.end.segment);
        let place = read.end.place;
        segments::read(&path, place, |line, place| {
            let (event, link) = segments::split(line).with_context(|| format!("{} has a line that is none", path.display()))?;
            if Begin::read(event).is_none() {
                // Checked for UTF-8 once, and not each text of it.
                let event = std::str::from_utf8(event).context("read a line of the audit segment")?;
                let line: Line<'_> = serde_json::from_str(event).context("read a line of the audit segment")?;
                line.key(&mut key);
                match read.counted.get_mut(&key) {
                    Some((_, counted)) => counted.add(&line),
                    None => drop(read.counted.insert(key.clone(), line.begin())),
                }
            }
            if keep {
                read.kept.extend_from_slice(line);
                read.kept.push(b'\n');
            }
            read.end.place = place;
            read.end.head = Head { line: read.end.head.line + 1, link };
            lines += 1;
            let enough = lines == LINES || read.end.head.line == until.head.line;
            Ok(if enough { Flow::Stop } else { Flow::On })
        })?;
        if lines < LINES && read.end.head.line < until.head.line {
            if read.end.head.line == before && read.end.place == 0 {
                bail!("{} has no line {}", path.display(), before + 1);
            }
            (read.end.segment, read.end.place) = (read.end.head.line + 1, 0);
        }
    }
    Ok(read)
}
