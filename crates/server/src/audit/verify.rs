//! Walks every chain, and names the first event of each at which it does not hold.

use std::path::Path;

use anyhow::Context;
use dataflow_vault::Vault;
use serde::{Deserialize, Serialize};

use super::{
    Link, canonical,
    chain::{CHANGES, checked, link, number},
    checkpoint::Checkpoint,
    segments::{self, Flow, Head, Step, Walk},
};
use crate::{
    app::App,
    clock::{SECOND, rfc3339},
    store::{self, AuditRow, ChainRow},
};

/// Events that are read at a time.
const PAGE: i64 = 1_000;
/// A change that no chain has after this long is told: within a second it should.
const CHAINED_WITHIN: i64 = 60 * SECOND;

/// What was found.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    pub chains: Vec<ChainReport>,
    /// Changes that wait for their place in the chain.
    pub waiting: u64,
}

impl Report {
    #[must_use]
    pub fn holds(&self) -> bool {
        self.chains.iter().all(|chain| chain.problem.is_none())
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
    /// The number and link of the last of them.
    pub seq: i64,
    pub link: String,
    /// Whether a checkpoint was held against it, and agrees.
    pub checkpoint: Option<bool>,
    /// The first bad event; nothing behind it was looked at.
    pub problem: Option<String>,
}

/// A walk that is under way.
struct Walked<'c> {
    report: ChainReport,
    head: Head,
    checkpoint: Option<&'c Checkpoint>,
}

impl<'c> Walked<'c> {
    fn new(row: &ChainRow, checkpoints: &'c [Checkpoint]) -> anyhow::Result<Self> {
        let checkpoint = checkpoints.iter().filter(|point| point.chain == row.name).max_by_key(|point| point.seq);
        Ok(Self {
            report: ChainReport {
                chain: row.name.clone(),
                node: row.node.clone(),
                events: 0,
                seq: row.base_seq,
                link: hex::encode(&row.base_link),
                checkpoint: None,
                problem: None,
            },
            head: Head { line: u64::try_from(row.base_seq).unwrap_or_default(), link: link(&row.base_link)? },
            checkpoint,
        })
    }

    /// Takes the next event; `false` if it is not the one that a checkpoint saw.
    fn pass(&mut self, head: Head) -> bool {
        self.head = head;
        let seen = self.checkpoint.filter(|point| point.seq == number(head.line));
        if let Some(point) = seen {
            let agrees = point.link == hex::encode(head.link);
            self.report.checkpoint = Some(agrees);
            if !agrees {
                self.fail(format!("event {} is not the one that the checkpoint of {} saw", head.line, point.at));
                return false;
            }
        }
        self.report.events += 1;
        true
    }

    fn fail(&mut self, problem: String) {
        self.report.problem.get_or_insert(problem);
    }

    /// Holds the end against what the store and the checkpoint know of it.
    fn end(mut self, known: Option<(i64, Link)>) -> ChainReport {
        let line = number(self.head.line);
        match known {
            Some((seq, _)) if line < seq => {
                self.fail(format!("it ends at event {line} and had come to {seq}: those after it were taken out"));
            }
            _ => {}
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
    let mut report = Report { chains: Vec::new(), waiting: 0 };
    let mut rows = store::chains(&mut app.store.read().await?).await?;
    for point in &own {
        if rows.iter().all(|row| row.name != point.chain) {
            report.chains.push(ChainReport {
                chain: point.chain.clone(),
                node: String::new(),
                events: 0,
                seq: 0,
                link: String::new(),
                checkpoint: Some(false),
                problem: Some(format!("nothing is left of it, and the checkpoint of {} saw event {}", point.at, point.seq)),
            });
        }
    }
    rows.sort_by_key(|row| row.name != CHANGES);
    for row in rows {
        let mut walked = Walked::new(&row, &own)?;
        let row = match checked(row, &app.vault) {
            Ok(row) => row,
            Err(error) => {
                walked.fail(error.to_string());
                report.chains.push(walked.report);
                continue;
            }
        };
        report.chains.push(if row.name == CHANGES {
            changes(app, &row, walked).await?
        } else {
            reads(app, &row, walked).await?
        });
    }
    waiting(app, &mut report).await?;
    Ok(report)
}

/// `event 17, connection.delete “sales” by ada@example.org at 2026-…`
fn named(event: &AuditRow, seq: i64) -> String {
    format!("event {seq}, {} “{}” by {} at {}", event.action, event.object, event.actor, rfc3339(event.at))
}

async fn changes(app: &App, row: &ChainRow, mut walked: Walked<'_>) -> anyhow::Result<ChainReport> {
    loop {
        let after = number(walked.head.line);
        let events = store::events_after(&mut app.store.read().await?, after, PAGE).await?;
        if events.is_empty() {
            return Ok(walked.end(Some((row.seq, link(&row.link)?))));
        }
        for event in events {
            let (before, seq) = (walked.head, event.seq.unwrap_or_default());
            let content = canonical(&event);
            let next = event.link.as_deref().and_then(|bytes| link(bytes).ok()).unwrap_or_default();
            let problem = if seq != number(before.line) + 1 {
                Some(format!("event {} is missing: {} is followed by {}", before.line + 1, before.line, named(&event, seq)))
            } else if !app.vault.audit_mac_holds(content.as_bytes(), &event.mac) {
                Some(format!("{}, was changed or was not written by this program", named(&event, seq)))
            } else if !app.vault.audit_link_holds(&before.link, content.as_bytes(), &next) {
                Some(format!("{}, is not what followed event {}", named(&event, seq), before.line))
            } else {
                None
            };
            if let Some(problem) = problem {
                walked.fail(problem);
                return Ok(walked.report);
            }
            if !walked.pass(Head { line: before.line + 1, link: next }) {
                return Ok(walked.report);
            }
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
        if !app.vault.audit_mac_holds(canonical(event).as_bytes(), &event.mac) {
            return Some(format!("an event that waits, {told}, was changed or was not written by this program"));
        }
        (event.at < late).then(|| format!("an event waits since long to be chained, {told}: does a server run?"))
    });
    if let Some(problem) = problem {
        match report.chains.iter_mut().find(|chain| chain.chain == CHANGES) {
            Some(chain) => {
                chain.problem.get_or_insert(problem);
            }
            None => report.chains.push(ChainReport {
                chain: CHANGES.to_owned(),
                node: String::new(),
                events: 0,
                seq: 0,
                link: String::new(),
                checkpoint: None,
                problem: Some(problem),
            }),
        }
    }
    Ok(())
}

async fn reads(app: &App, row: &ChainRow, walked: Walked<'_>) -> anyhow::Result<ChainReport> {
    if row.name == app.use_log.chain() {
        let known = (row.seq, link(&row.link)?);
        return tokio::task::block_in_place(|| segments_of_this_node(&app.vault, app.use_log.folder(), known, walked));
    }
    if app.store.is_shared() {
        return kept(app, row, walked).await;
    }
    let mut walked = walked;
    walked.fail("its segments are not on this machine".to_owned());
    Ok(walked.report)
}

/// Walks lines that came from one place; `false` once the chain breaks.
fn line(walk: &mut Walk<'_>, walked: &mut Walked<'_>, known: (i64, Link), line: &[u8]) -> bool {
    let before = walked.head;
    let step = walk.step(line);
    let Some(head) = walk.head().filter(|_| !matches!(step, Step::Breaks)) else {
        walked.fail(format!("line {} is not what followed line {}", before.line + 1, before.line));
        return false;
    };
    if head.line != before.line + 1 {
        walked.fail(format!("line {} is missing: {} is followed by {}", before.line + 1, before.line, head.line));
        return false;
    }
    if let Step::Begins(begin) = step
        && (begin.after != before.link || begin.chain != walked.report.chain)
    {
        walked.fail(format!("the segment that begins with line {} is not the one that followed line {}", head.line, before.line));
        return false;
    }
    if number(head.line) == known.0 && head.link != known.1 {
        walked.fail(format!("line {} is not the one that the store has seen", head.line));
        return false;
    }
    walked.pass(head)
}

fn segments_of_this_node(
    vault: &Vault,
    folder: &Path,
    known: (i64, Link),
    mut walked: Walked<'_>,
) -> anyhow::Result<ChainReport> {
    let mut walk = Walk::new(vault);
    let mut on = true;
    for segment in segments::list(folder)? {
        segments::read(&segments::path(folder, segment), 0, |text, _| {
            on = line(&mut walk, &mut walked, known, text);
            Ok(if on { Flow::On } else { Flow::Stop })
        })?;
        if !on {
            return Ok(walked.report);
        }
    }
    Ok(walked.end(Some(known)))
}

/// The lines of another node, which the store has.
async fn kept(app: &App, row: &ChainRow, mut walked: Walked<'_>) -> anyhow::Result<ChainReport> {
    let known = (row.seq, link(&row.link)?);
    let mut walk = Walk::new(&app.vault);
    let mut read = app.store.read().await?;
    loop {
        let after = number(walked.head.line);
        let Some((_, lines)) = store::kept_lines(&mut read, &row.name, after).await.context("read kept lines")? else {
            return Ok(walked.end(Some(known)));
        };
        for text in lines.split_inclusive(|byte| *byte == b'\n') {
            if !line(&mut walk, &mut walked, known, text.strip_suffix(b"\n").unwrap_or(text)) {
                return Ok(walked.report);
            }
        }
        if number(walked.head.line) == after {
            walked.fail(format!("the store's piece after line {after} is empty"));
            return Ok(walked.report);
        }
    }
}
