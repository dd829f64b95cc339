//! The counts of reads, which the page Activity shows and which bear no MAC, held against the events that they count.
//!
//! Day by day, so that what is in memory is a day's: the total of each connection, version, action and caller in a minute. By workflow so many
//! of one caller are counted apart, and which depends on when they were counted: so no workflow is compared.

use std::{
    collections::{BTreeMap, HashMap, hash_map::RandomState},
    hash::BuildHasher as _,
    path::Path,
};

use anyhow::Context;

use super::{
    chain::{CHANGES, checked, number},
    segments::{self, Begin, Flow},
    tally::{Line, MINUTE, in_words},
};
use crate::{
    app::App,
    clock::{DAY, SECOND, rfc3339},
    ops::{
        rows::Sealed as _,
        settings::{AUDIT_DAYS_MIN, Retention, Setting as _},
    },
    store::{self, ReadsRow, Snapshot, WorkspaceRow},
};

/// By how much lines of one chain may be out of their order.
const LATE: i64 = 60 * SECOND;
/// Rows are read an hour at a time.
const HOUR: i64 = 3_600 * SECOND;
/// Differences that are looked at closely. A clock that was set back puts a line into the wrong day; it is found where it is.
const LOOKS: usize = 20;

/// Events of a total, less what the counts say of it, and its minute.
type Differences = HashMap<u64, (i64, i64)>;

/// The first total that differs, in words. Every chain of reads holds.
pub(super) async fn first_difference(app: &App) -> anyhow::Result<Option<String>> {
    let mut snapshot = app.store.snapshot().await?;
    let Some(from) = compared_from(app, &mut snapshot).await? else { return Ok(None) };
    let workspaces = store::workspaces(&mut snapshot).await?;
    let mut recount = Recount { folder: app.use_log.folder(), hasher: RandomState::new(), workspaces, from };
    let (mut chains, mut days) = (recount.chains(app, &mut snapshot).await?, BTreeMap::new());
    for chain in chains.iter().filter(|chain| chain.base > 0) {
        let begins_at = recount.begins_at(&mut snapshot, chain).await?;
        recount.from = recount.from.max((begins_at.div_euclid(MINUTE) + 1).saturating_mul(MINUTE));
    }
    let (mut begin, mut looks) = (recount.from.max(0), 0);
    loop {
        let counted = store::reads_between(&mut snapshot, (begin, i64::MAX), 1).await?;
        let counted = counted.first().map(|row| row.at).filter(|at| *at >= begin);
        for chain in chains.iter_mut().filter(|chain| chain.reached == i64::MIN) {
            recount.read(&mut snapshot, chain, &mut days).await?;
        }
        let read = days.first_key_value().map(|(day, _)| *day);
        let Some(day) = counted.map(|at| at.div_euclid(DAY)).into_iter().chain(read).min() else { return Ok(None) };
        let end = (day + 1).saturating_mul(DAY);
        if end <= begin {
            // Lines of a clock that was set back, which a look at their totals has found.
            days.remove(&day);
            continue;
        }
        for chain in &mut chains {
            while !chain.is_over && chain.reached < end.saturating_add(LATE) {
                recount.read(&mut snapshot, chain, &mut days).await?;
            }
        }
        let mut differences = days.remove(&day).unwrap_or_default();
        recount.take_counts(&mut snapshot, (end - DAY, end), &mut differences).await?;
        let mut wrong: Vec<_> = differences.into_iter().filter(|(_, (difference, _))| *difference != 0).collect();
        wrong.sort_unstable_by_key(|(_, (_, minute))| *minute);
        for (total, (_, minute)) in wrong {
            if looks == LOOKS {
                return Ok(None);
            }
            looks += 1;
            if let Some(told) = recount.look(app, &mut snapshot, (total, minute)).await? {
                return Ok(Some(told));
            }
        }
        begin = end;
    }
}

/// From when on counts and events are both there: what is kept no longer goes in whole segments, and its counts to the day. Nothing if it is not
/// known.
async fn compared_from(app: &App, snapshot: &mut Snapshot) -> anyhow::Result<Option<i64>> {
    let row = store::setting(snapshot, Retention::NAME).await?.and_then(|row| row.checked(&app.vault).ok());
    let Some(row) = row else { return Ok(None) };
    let retention: Retention = serde_json::from_str(&row.value).context("read how long the audit is kept")?;
    let now = app.clock.now();
    let by_age = retention.read_days.map_or(i64::MIN, |days| super::expiry::before(now, days));
    // What an owner wanted before, and no owner can want less than this.
    let before = if row.version > 1 { row.updated_at - (AUDIT_DAYS_MIN - 1) * DAY } else { i64::MIN };
    Ok(Some(by_age.max(before)))
}

/// A chain of reads, as far as the counts have come.
struct Chain {
    name: String,
    base: i64,
    seq: i64,
    /// When the store last learned of a line.
    known_at: i64,
    is_own: bool,
    /// The first lines of this node's segments, the next one last.
    segments: Vec<u64>,
    /// Pieces of another node's lines that begin after this one were not read.
    after: i64,
    reached: i64,
    is_over: bool,
}

struct Recount<'r> {
    folder: &'r Path,
    /// Of this process alone: nobody outside can have two totals share a number.
    hasher: RandomState,
    /// Those that there are: of one that was deleted nobody is shown anything.
    workspaces: Vec<WorkspaceRow>,
    from: i64,
}

impl Recount<'_> {
    async fn chains(&self, app: &App, snapshot: &mut Snapshot) -> anyhow::Result<Vec<Chain>> {
        let mut chains = Vec::new();
        for row in store::chains(snapshot).await?.into_iter().filter(|row| row.name != CHANGES) {
            let row = checked(row, &app.vault)?;
            let is_own = row.name == app.use_log.chain();
            let mut segments = if is_own { segments::list(self.folder)? } else { Vec::new() };
            segments.reverse();
            let (base, is_over) = (row.base_seq, row.seq <= row.base_seq);
            let (seq, known_at, reached) = (row.seq, row.at, i64::MIN);
            chains.push(Chain { name: row.name, base, seq, known_at, is_own, segments, after: base, reached, is_over });
        }
        Ok(chains)
    }

    /// When the first line was that is kept of a chain whose beginning has gone: counts of before may be there still.
    async fn begins_at(&self, snapshot: &mut Snapshot, chain: &Chain) -> anyhow::Result<i64> {
        let mut begins_at = None;
        if chain.is_own {
            if let Some(first) = chain.segments.iter().copied().find(|first| number(*first) == chain.base + 1) {
                segments::read(&segments::path(self.folder, first), 0, |text, _| {
                    begins_at = segments::time(text);
                    Ok(Flow::Stop)
                })?;
            }
        } else if let Some((_, lines)) = store::kept_lines(snapshot, &chain.name, chain.base).await? {
            begins_at = segments::time(&lines);
        }
        Ok(begins_at.unwrap_or(chain.known_at))
    }

    /// Adds the lines of the next piece of a chain.
    async fn read(
        &self,
        snapshot: &mut Snapshot,
        chain: &mut Chain,
        days: &mut BTreeMap<i64, Differences>,
    ) -> anyhow::Result<()> {
        self.each_line(snapshot, chain, &mut |line, id| {
            let (total, minute) = (self.total(&line.total(id)), line.minute());
            let day = days.entry((minute * MINUTE).div_euclid(DAY)).or_default();
            day.entry(total).or_insert((0, minute)).0 += 1;
        })
        .await
    }

    async fn each_line(
        &self,
        snapshot: &mut Snapshot,
        chain: &mut Chain,
        take: &mut (impl FnMut(&Line<'_>, &str) + Send),
    ) -> anyhow::Result<()> {
        let (known, mut reached) = (chain.base + 1..=chain.seq, chain.reached);
        let mut line = |at: i64, text: &[u8]| -> anyhow::Result<()> {
            if !known.contains(&at) {
                return Ok(());
            }
            let (event, _) = segments::split(text).context("a line of an audit segment is none")?;
            reached = reached.max(segments::time(text).unwrap_or_default());
            if Begin::read(event).is_none() {
                let line = Line::read(event)?;
                let id = line.workspace_id(&self.workspaces).filter(|_| line.minute() * MINUTE >= self.from);
                if let Some(id) = id {
                    take(&line, &id);
                }
            }
            Ok(())
        };
        let mut last = chain.seq;
        if chain.is_own {
            if let Some(first) = chain.segments.pop() {
                last = number(first) - 1;
                let read = || {
                    segments::read(&segments::path(self.folder, first), 0, |text, _| {
                        last += 1;
                        line(last, text).map(|()| Flow::On)
                    })
                };
                tokio::task::block_in_place(read)?;
            }
            chain.is_over = last >= chain.seq || chain.segments.is_empty();
        } else if let Some((first, lines)) = store::kept_lines(snapshot, &chain.name, chain.after).await? {
            last = first - 1;
            for text in lines.split_inclusive(|byte| *byte == b'\n') {
                last += 1;
                line(last, text.strip_suffix(b"\n").unwrap_or(text))?;
            }
            chain.after = first;
            chain.is_over = last >= chain.seq;
        } else {
            chain.is_over = true;
        }
        // One without a line of interest has been looked at, too.
        chain.reached = reached.max(0);
        Ok(())
    }

    /// Takes the counts of a day off the events.
    async fn take_counts(
        &self,
        snapshot: &mut Snapshot,
        (from, until): (i64, i64),
        differences: &mut Differences,
    ) -> anyhow::Result<()> {
        let mut begin = from;
        while begin < until {
            for row in store::reads_between(snapshot, (begin, begin + HOUR), i64::MAX).await? {
                let minute = row.at.div_euclid(MINUTE);
                if minute * MINUTE >= self.from && self.workspaces.iter().any(|workspace| workspace.id == row.workspace_id) {
                    let known = differences.entry(self.total(&Total::of(&row))).or_insert((0, minute));
                    known.0 = known.0.saturating_sub(row.reads);
                }
            }
            begin += HOUR;
        }
        Ok(())
    }

    fn total(&self, total: &Total<'_>) -> u64 {
        self.hasher.hash_one(total)
    }

    /// Counts one total anew, over all lines there are; in words what differs.
    async fn look(&self, app: &App, snapshot: &mut Snapshot, (total, minute): (u64, i64)) -> anyhow::Result<Option<String>> {
        let (mut events, mut counted, mut named) = (0_i64, 0_i64, None);
        for mut chain in self.chains(app, snapshot).await? {
            while !chain.is_over {
                let mut take = |line: &Line<'_>, id: &str| {
                    if self.total(&line.total(id)) == total {
                        events += 1;
                        named.get_or_insert_with(|| line.in_words());
                    }
                };
                self.each_line(snapshot, &mut chain, &mut take).await?;
            }
        }
        for row in store::reads_between(snapshot, (minute * MINUTE, (minute * MINUTE).saturating_add(MINUTE)), i64::MAX).await? {
            if self.total(&Total::of(&row)) == total {
                counted = counted.saturating_add(row.reads);
                named.get_or_insert_with(|| in_words(&row.action, &row.connection, &row.actor));
            }
        }
        let differs = events != counted;
        let named = named.unwrap_or_default();
        let at = rfc3339(minute * MINUTE);
        Ok(differs.then(|| format!("{named} in the minute from {at}: {counted} are counted, and the chains have {events}")))
    }
}

/// What is counted together, but for the workflow.
#[derive(Debug, Hash)]
pub(super) struct Total<'t> {
    pub workspace_id: &'t str,
    pub minute: i64,
    pub connection: &'t str,
    pub version: i64,
    pub action: &'t str,
    pub actor_id: &'t str,
}

impl<'t> Total<'t> {
    fn of(row: &'t ReadsRow) -> Self {
        Self {
            workspace_id: &row.workspace_id,
            minute: row.at.div_euclid(MINUTE),
            connection: &row.connection,
            version: row.version,
            action: &row.action,
            actor_id: &row.actor_id,
        }
    }
}
