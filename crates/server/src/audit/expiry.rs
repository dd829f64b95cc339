//! What of the audit is kept no longer: the beginning of a chain goes, its base moves behind it in the same transaction, and an event says so.
//!
//! Nothing goes that does not hold: who bends an old event, or its time, keeps it where `dataflow audit verify` finds it.

use anyhow::{Context, bail};
use serde_json::json;

use super::{
    Event,
    chain::{CHANGES, checked, hold, link, number},
    record_own,
    segments::{self, Begin, Flow, Head},
    verify::{Walked, follows},
};
use crate::{
    app::App,
    clock::{DAY, rfc3339},
    ops::rows::Sealed as _,
    store::{self, ChainRow, Write},
};

/// The action of the events that are left.
pub const EXPIRED: &str = "audit.expired";
/// Changes that one transaction drops at most.
const EVENTS: i64 = 2_000;

/// What is older than this goes: of whole days, so that the event is one a day and not one an hour.
#[must_use]
pub fn before(now: i64, days: i64) -> i64 {
    (now - days.saturating_mul(DAY)).div_euclid(DAY) * DAY
}

/// Drops the changes and the reads that are older than this, of every chain that is in reach.
pub async fn expire(app: &App, changes_before: Option<i64>, reads_before: Option<i64>) -> anyhow::Result<()> {
    let mut done = match changes_before {
        Some(before) => changes(app, before).await,
        None => Ok(()),
    };
    if let Some(before) = reads_before {
        for row in store::chains(&mut app.store.read().await?).await?.into_iter().filter(|row| row.name != CHANGES) {
            // One that does not hold is no reason to keep the others.
            done = done.and(reads(app, &row.name, before).await);
        }
    }
    done
}

async fn changes(app: &App, before: i64) -> anyhow::Result<()> {
    while drop_changes(app, before).await? {}
    Ok(())
}

/// Drops some of the oldest changes; whether there may be more.
async fn drop_changes(app: &App, before: i64) -> anyhow::Result<bool> {
    let mut write = app.store.write().await?;
    let Some(mut row) = hold(app, &mut write, CHANGES).await? else { return Ok(false) };
    let events = store::events_after(&mut write, row.base_seq, EVENTS).await?;
    let (mut base, mut until) = (row.base()?, 0);
    for event in events.iter().take_while(|event| event.at < before) {
        base = match follows(&app.vault, &base, event) {
            Ok(head) => head,
            Err(problem) => bail!("{problem}, so nothing from it on is dropped: “dataflow audit verify” tells more"),
        };
        until = event.at;
    }
    let dropped = number(base.line) - row.base_seq;
    if dropped == 0 {
        return Ok(false);
    }
    row.set_base(base);
    store::put_chain(&mut write, &row.sealed(&app.vault)).await?;
    store::drop_events(&mut write, number(base.line)).await?;
    let detail = json!({"events": dropped, "last": base.line, "until": rfc3339(until)});
    tell(app, &mut write, "changes", detail).await?;
    write.commit_quietly().await?;
    Ok(dropped == EVENTS)
}

async fn tell(app: &App, write: &mut Write, object: &str, detail: serde_json::Value) -> anyhow::Result<()> {
    let event = Event { at: app.clock.now(), workspace_id: None, action: EXPIRED, object, detail };
    Ok(record_own(write, &app.vault, event).await?)
}

/// The beginning of a chain of reads that may go, up to the end of a segment.
#[derive(Debug, Clone, Copy)]
struct Beginning {
    end: Head,
    /// When its last line was.
    until: i64,
}

async fn reads(app: &App, chain: &str, before: i64) -> anyhow::Result<()> {
    while drop_reads(app, chain, before).await? {}
    Ok(())
}

/// Drops the oldest reads of a chain, where their lines lie in the store one segment; whether there may be more.
async fn drop_reads(app: &App, chain: &str, before: i64) -> anyhow::Result<bool> {
    let row = store::chain(&mut app.store.read().await?, chain).await?;
    let Some(row) = row.map(|row| checked(row, &app.vault)).transpose()? else { return Ok(false) };
    let is_own = row.name == app.use_log.chain();
    let mut found = Search::new(app, &row, before)?;
    let beginning = if is_own {
        tokio::task::block_in_place(|| found.in_segments(app.use_log.folder()))?
    } else if app.store.is_shared() {
        let mut read = app.store.read().await?;
        let mut after = row.base_seq;
        while let Some((first, lines)) = store::kept_lines(&mut read, &row.name, after).await? {
            if lines.is_empty() || found.take_all(&lines)? == Flow::Stop {
                break;
            }
            after = first.max(number(found.walked.head.line));
        }
        found.whole().or(found.beginning)
    } else {
        // Of a node folder that was set aside, and longer ago than anybody wants to know.
        let end = Head { line: u64::try_from(row.seq)?, link: link(&row.link)? };
        (row.at < before && row.seq > row.base_seq).then_some(Beginning { end, until: row.at })
    };
    let Some(beginning) = beginning else { return Ok(false) };
    let mut write = app.store.write().await?;
    let Some(mut now) = hold(app, &mut write, &row.name).await? else { return Ok(false) };
    let last = number(beginning.end.line);
    if now.base_seq != row.base_seq || now.seq < last {
        return Ok(false); // Somebody else was here.
    }
    now.set_base(beginning.end);
    store::put_chain(&mut write, &now.sealed(&app.vault)).await?;
    store::drop_lines(&mut write, &row.name, last).await?;
    let detail = json!({"events": last - row.base_seq, "last": last, "until": rfc3339(beginning.until), "chain": row.name});
    tell(app, &mut write, &format!("reads of {}", row.node), detail).await?;
    write.commit_quietly().await?;
    Ok(app.store.is_shared())
}

/// Walks a chain from its base for as long as it is old.
struct Search<'s> {
    walked: Walked<'s>,
    base: u64,
    before: i64,
    last_at: i64,
    /// Whether it ends with the first segment: its lines go from the store, too, and nobody waits for more than those.
    is_one: bool,
    beginning: Option<Beginning>,
}

impl<'s> Search<'s> {
    fn new(app: &'s App, row: &ChainRow, before: i64) -> anyhow::Result<Self> {
        let walked = Walked::of(&app.vault, row, &[])?;
        Ok(Self { base: walked.head.line, walked, before, last_at: 0, is_one: app.store.is_shared(), beginning: None })
    }

    fn take(&mut self, text: &[u8]) -> anyhow::Result<Flow> {
        let begins =
            segments::split(text).is_some_and(|(event, _)| Begin::read(event).is_some()) && self.walked.head.line > self.base;
        if begins && !self.walked.is_past_known() {
            self.beginning = Some(Beginning { end: self.walked.head, until: self.last_at });
            if self.is_one {
                return Ok(Flow::Stop);
            }
        }
        let at = segments::time(text);
        if at.is_none_or(|at| at >= self.before) {
            return Ok(Flow::Stop);
        }
        self.last_at = at.unwrap_or_default();
        if !self.walked.line(text) {
            let problem = self.walked.report.problem.as_deref().unwrap_or_default();
            bail!(
                "{problem}, so nothing of the chain {} is dropped: “dataflow audit verify” tells more",
                self.walked.report.chain
            );
        }
        Ok(Flow::On)
    }

    fn take_all(&mut self, lines: &[u8]) -> anyhow::Result<Flow> {
        for text in lines.split_inclusive(|byte| *byte == b'\n') {
            if self.take(text.strip_suffix(b"\n").unwrap_or(text))? == Flow::Stop {
                return Ok(Flow::Stop);
            }
        }
        Ok(Flow::On)
    }

    fn in_segments(&mut self, folder: &std::path::Path) -> anyhow::Result<Option<Beginning>> {
        segments::read_after(folder, self.base, |text| self.take(text)).context("look for old segments")?;
        Ok(self.beginning)
    }

    /// All of a chain that nobody goes on with.
    fn whole(&self) -> Option<Beginning> {
        let is_all = self.walked.is_all_known() && self.walked.head.line > self.base;
        is_all.then_some(Beginning { end: self.walked.head, until: self.last_at })
    }
}

/// What each node does about its own segments: begins another one if the last is old, so that it can go, and removes the files of those that
/// have gone. These went in an earlier run, since a backup reads the store first and the files then.
pub async fn tidy(app: &App, now: i64, reads_before: Option<i64>) -> anyhow::Result<()> {
    if let Some(before) = reads_before {
        app.use_log.begin_anew(&app.vault, now, before).await?;
    }
    let row = store::chain(&mut app.store.read().await?, app.use_log.chain()).await?;
    let Some(row) = row.map(|row| checked(row, &app.vault)).transpose()? else { return Ok(()) };
    let folder = app.use_log.folder().to_owned();
    let base = row.base()?.line;
    tokio::task::spawn_blocking(move || segments::remove_before(&folder, base)).await.context("remove old segments")?
}
