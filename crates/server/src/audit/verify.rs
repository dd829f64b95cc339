//! Walks every chain, and names the first event of each at which it does not hold.

use std::path::Path;

use anyhow::Context;
use dataflow_vault::Vault;
use serde::{Deserialize, Serialize};

use super::{
    Link, canonical,
    chain::{self, CHANGES, checked, link, number},
    checkpoint::Checkpoint,
    is_authentic, recount,
    rows::{Left, RowsReport},
    segments::{self, Begin, Flow, Head, Step, Walk},
};
use crate::{
    app::App,
    clock::{SECOND, rfc3339},
    store::{self, AuditRow, ChainRow},
};

/// Events that are read at a time.
pub(super) const PAGE: i64 = 1_000;
/// A change that no chain has after this long is told: within a second it should.
const CHAINED_WITHIN: i64 = 60 * SECOND;

/// What was found.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    pub chains: Vec<ChainReport>,
    /// Changes that wait for their place in the chain.
    pub waiting: u64,
    /// Nothing if the chain of changes does not hold, which tells how they should be.
    #[serde(default)]
    pub rows: Option<RowsReport>,
    /// The first count of reads that is not what the chains have, which hold.
    #[serde(default)]
    pub counts: Option<String>,
}

impl Report {
    #[must_use]
    pub fn holds(&self) -> bool {
        let are_as_left = self.rows.iter().all(|rows| rows.problems.is_empty());
        self.chains.iter().all(|chain| chain.problem.is_none()) && are_as_left && self.counts.is_none()
    }
}

/// One chain, as far as it was walked.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ChainReport {
    /// `changes`, or the id of a node's chain of reads.
    pub chain: String,
    /// Where it is made.
    pub node: String,
    /// Events that hold.
    pub events: u64,
    /// The number of the last event that is kept no longer, and when the first one was that is.
    #[serde(default)]
    pub expired: i64,
    #[serde(default)]
    pub since: Option<String>,
    /// The number and link of the last of them.
    pub seq: i64,
    pub link: String,
    /// Whether a checkpoint was held against it, and agrees.
    pub checkpoint: Option<bool>,
    /// The number that the newest checkpoint saw, where that is kept no longer.
    #[serde(default)]
    pub older_checkpoint: Option<i64>,
    /// The first bad event; nothing behind it was looked at.
    pub problem: Option<String>,
}

impl ChainReport {
    fn new(chain: &str, node: &str) -> Self {
        Self {
            chain: chain.to_owned(),
            node: node.to_owned(),
            events: 0,
            expired: 0,
            since: None,
            seq: 0,
            link: String::new(),
            checkpoint: None,
            older_checkpoint: None,
            problem: None,
        }
    }

    fn broken(chain: &str, problem: String) -> Self {
        Self { problem: Some(problem), ..Self::new(chain, "") }
    }
}

/// A walk that is under way.
pub(super) struct Walked<'w> {
    pub(super) report: ChainReport,
    pub(super) head: Head,
    walk: Walk<'w>,
    /// The last event that the store knows of.
    known: (i64, Link),
    checkpoint: Option<&'w Checkpoint>,
}

impl<'w> Walked<'w> {
    /// One that begins behind the base of a chain.
    pub(super) fn of(vault: &'w Vault, row: &ChainRow, checkpoints: &'w [Checkpoint]) -> anyhow::Result<Self> {
        let head = row.base()?;
        let report = ChainReport {
            expired: row.base_seq,
            seq: row.base_seq,
            link: hex::encode(head.link),
            ..ChainReport::new(&row.name, &row.node)
        };
        let known = (row.seq, link(&row.link)?);
        let mut walked = Self { report, head, walk: Walk::after(vault, head), known, checkpoint: None };
        match checkpoints.iter().filter(|point| point.chain == row.name).max_by_key(|point| point.seq) {
            Some(point) if point.seq < row.base_seq => walked.report.older_checkpoint = Some(point.seq),
            found => walked.checkpoint = found,
        }
        walked.agrees();
        Ok(walked)
    }

    /// Holds what the store and a checkpoint saw against where the walk is.
    fn agrees(&mut self) -> bool {
        if number(self.head.line) == self.known.0 && self.head.link != self.known.1 {
            self.fail(format!("event {} is not the one that the store has seen", self.head.line));
            return false;
        }
        let Some(point) = self.checkpoint.filter(|point| point.seq == number(self.head.line)) else { return true };
        let agrees = point.link == hex::encode(self.head.link);
        self.report.checkpoint = Some(agrees);
        if !agrees {
            self.fail(format!("event {} is not the one that the checkpoint of {} saw", self.head.line, point.at));
        }
        agrees
    }

    /// Takes the next event; `false` if it is not the one that a checkpoint saw.
    fn pass(&mut self, head: Head, at: impl FnOnce() -> Option<i64>) -> bool {
        self.head = head;
        if self.report.events == 0 {
            self.report.since = at().map(rfc3339);
        }
        let agrees = self.agrees();
        self.report.events += u64::from(agrees);
        agrees
    }

    fn fail(&mut self, problem: String) {
        self.report.problem.get_or_insert(problem);
    }

    /// Whether the store knows less of the chain.
    pub(super) fn is_past_known(&self) -> bool {
        number(self.head.line) > self.known.0
    }

    /// Whether it has come to the last event that the store knows of.
    pub(super) fn is_all_known(&self) -> bool {
        number(self.head.line) == self.known.0
    }

    /// Takes the next line of a chain of reads; `false` once that breaks.
    pub(super) fn line(&mut self, text: &[u8]) -> bool {
        let before = self.head;
        let step = self.walk.step(text);
        let begin = segments::split(text).and_then(|(event, _)| Begin::read(event));
        let Some(head) = self.walk.head().filter(|_| !matches!(step, Step::Breaks)) else {
            let next = before.line + 1;
            self.fail(match begin {
                Some(begin) if begin.line > next => {
                    format!("line {next} is missing: {} is followed by {}", before.line, begin.line)
                }
                _ => format!("line {next} is not what followed line {}", before.line),
            });
            return false;
        };
        if begin.as_ref().is_some_and(|begin| begin.chain != self.report.chain) {
            self.fail(format!("the segment that begins with line {} is not of this chain", head.line));
            return false;
        }
        self.pass(head, || begin.map(|begin| begin.at))
    }

    /// Holds the end against what the store and the checkpoint know of it.
    fn end(mut self) -> ChainReport {
        let line = number(self.head.line);
        if line < self.known.0 {
            self.fail(format!("it ends at event {line} and had come to {}: those after it were taken out", self.known.0));
        }
        if let Some(point) = self.checkpoint
            && point.seq > line
        {
            self.report.checkpoint = Some(false);
            self.fail(format!("it ends at event {line}, and the checkpoint of {} saw event {}", point.at, point.seq));
        }
        (self.report.seq, self.report.link) = (line, hex::encode(self.head.link));
        self.report
    }
}

/// Walks every chain that the store knows, and this node's, and holds the newest of the checkpoints against each.
pub async fn verify(app: &App, checkpoints: &[Checkpoint]) -> anyhow::Result<Report> {
    let instance = app.vault.instance().to_string();
    let own: Vec<_> = checkpoints.iter().filter(|point| point.instance == instance).cloned().collect();
    let mut report = Report { chains: Vec::new(), waiting: 0, rows: None, counts: None };
    let mut rows = store::chains(&mut app.store.read().await?).await?;
    for point in &own {
        if rows.iter().all(|row| row.name != point.chain) {
            let problem = format!("nothing is left of it, and the checkpoint of {} saw event {}", point.at, point.seq);
            report.chains.push(ChainReport { checkpoint: Some(false), ..ChainReport::broken(&point.chain, problem) });
        }
    }
    if rows.iter().all(|row| row.name != CHANGES) {
        let problem = "its row is gone from the store, which has had one from its beginning".to_owned();
        report.chains.push(ChainReport::broken(CHANGES, problem));
    }
    for chain in begun(app).await? {
        if chain::is_gone(app, &chain).await? {
            let problem = "its row is gone from the store, which has had one since its first line".to_owned();
            report.chains.push(ChainReport::broken(&chain, problem));
        }
    }
    let found = store::chain_without_row(&mut app.store.read().await?).await?;
    if let Some(chain) = found.filter(|chain| report.chains.iter().all(|known| known.chain != *chain)) {
        report.chains.push(ChainReport::broken(&chain, "its row is gone from the store, and lines of it are there".to_owned()));
    }
    rows.sort_by_key(|row| row.name != CHANGES);
    for row in rows {
        let (name, node) = (row.name.clone(), row.node.clone());
        let row = match checked(row, &app.vault) {
            Ok(row) => row,
            Err(error) => {
                report.chains.push(ChainReport { node, ..ChainReport::broken(&name, error.to_string()) });
                continue;
            }
        };
        let walked = Walked::of(&app.vault, &row, &own)?;
        report.chains.push(if walked.report.problem.is_some() {
            walked.report
        } else if row.name == CHANGES {
            let mut left = Left::default();
            let (chain, head) = changes(app, walked, &mut left).await?;
            report.rows = if chain.problem.is_none() { left.check(app, head).await? } else { None };
            chain
        } else {
            reads(app, &row, walked).await?
        });
    }
    waiting(app, &mut report).await?;
    if report.chains.iter().all(|chain| chain.chain == CHANGES || chain.problem.is_none()) {
        report.counts = recount::first_difference(app).await.context("count the reads anew")?;
    }
    Ok(report)
}

/// The chains of reads that have begun, as far as events and this node know.
async fn begun(app: &App) -> anyhow::Result<Vec<String>> {
    let mut chains = store::objects_of(&mut app.store.read().await?, chain::BEGIN).await?;
    chains.push(app.use_log.chain().to_owned());
    chains.sort_unstable();
    chains.dedup();
    Ok(chains)
}

/// `event 17, connection.delete “sales” by ada@example.org at 2026-…`
pub(super) fn named(event: &AuditRow, seq: i64) -> String {
    format!("event {seq}, {} “{}” by {} at {}", event.action, event.object, event.actor, rfc3339(event.at))
}

/// Where the chain of changes stands after this event, or why it does not follow.
pub(super) fn follows(vault: &Vault, before: &Head, event: &AuditRow) -> Result<Head, String> {
    let (next, seq) = (before.line + 1, event.seq.unwrap_or_default());
    let content = canonical(event);
    let link = event.link.as_deref().and_then(|bytes| link(bytes).ok()).unwrap_or_default();
    if seq != number(next) {
        Err(format!("event {next} is missing: {} is followed by {}", before.line, named(event, seq)))
    } else if !vault.audit_mac_holds(content.as_bytes(), &event.mac) {
        Err(format!("{}, was changed or was not written by this program", named(event, seq)))
    } else if !vault.audit_link_holds(&before.link, content.as_bytes(), &link) {
        Err(format!("{}, is not what followed event {}", named(event, seq), before.line))
    } else {
        Ok(Head { line: next, link })
    }
}

async fn changes(app: &App, mut walked: Walked<'_>, left: &mut Left) -> anyhow::Result<(ChainReport, Head)> {
    if let Some(event) = store::event_before(&mut app.store.read().await?, walked.report.expired).await? {
        let told = named(&event, event.seq.unwrap_or_default());
        walked.fail(format!("{told}, stands before the beginning of the chain, which is after {}", walked.report.expired));
        return Ok((walked.report, walked.head));
    }
    loop {
        let after = number(walked.head.line);
        let events = store::events_after(&mut app.store.read().await?, after, PAGE).await?;
        if events.is_empty() {
            let head = walked.head;
            return Ok((walked.end(), head));
        }
        for event in events {
            let head = match follows(&app.vault, &walked.head, &event) {
                Ok(head) => head,
                Err(problem) => {
                    walked.fail(problem);
                    return Ok((walked.report, walked.head));
                }
            };
            if !walked.pass(head, || Some(event.at)) {
                return Ok((walked.report, walked.head));
            }
            left.take(&event);
        }
    }
}

/// Looks at the events that wait for their place: each has a MAC of its own.
async fn waiting(app: &App, report: &mut Report) -> anyhow::Result<()> {
    let events = store::unchained_events(&mut app.store.read().await?, PAGE).await?;
    report.waiting = u64::try_from(events.len()).unwrap_or_default();
    let late = app.clock.now() - CHAINED_WITHIN;
    let problem = events.iter().find_map(|event| {
        let told = format!("{} “{}” by {} at {}", event.action, event.object, event.actor, rfc3339(event.at));
        if !is_authentic(&app.vault, event) {
            return Some(format!("an event that waits, {told}, was changed or was not written by this program"));
        }
        (event.at < late).then(|| format!("an event waits since long to be chained, {told}: does a server run?"))
    });
    if let Some(problem) = problem {
        match report.chains.iter_mut().find(|chain| chain.chain == CHANGES) {
            Some(chain) => {
                chain.problem.get_or_insert(problem);
            }
            None => report.chains.push(ChainReport::broken(CHANGES, problem)),
        }
    }
    Ok(())
}

async fn reads(app: &App, row: &ChainRow, mut walked: Walked<'_>) -> anyhow::Result<ChainReport> {
    if row.name == app.use_log.chain() {
        return tokio::task::block_in_place(|| segments_of_this_node(app.use_log.folder(), walked));
    }
    if app.store.is_shared() {
        return kept(app, row, walked).await;
    }
    if row.seq > row.base_seq {
        walked.fail("its segments are not on this machine".to_owned());
    }
    Ok(walked.report)
}

fn segments_of_this_node(folder: &Path, mut walked: Walked<'_>) -> anyhow::Result<ChainReport> {
    let mut on = true;
    segments::read_after(folder, walked.head.line, |text| {
        on = walked.line(text);
        Ok(if on { Flow::On } else { Flow::Stop })
    })?;
    Ok(if on { walked.end() } else { walked.report })
}

/// The lines of another node, which the store has.
async fn kept(app: &App, row: &ChainRow, mut walked: Walked<'_>) -> anyhow::Result<ChainReport> {
    let mut read = app.store.read().await?;
    loop {
        let after = number(walked.head.line);
        let Some((_, lines)) = store::kept_lines(&mut read, &row.name, after).await.context("read kept lines")? else {
            return Ok(walked.end());
        };
        for text in lines.split_inclusive(|byte| *byte == b'\n') {
            if !walked.line(text.strip_suffix(b"\n").unwrap_or(text)) {
                return Ok(walked.report);
            }
        }
        if number(walked.head.line) == after {
            walked.fail(format!("the store's piece after line {after} is empty"));
            return Ok(walked.report);
        }
    }
}
