//! The thread that brings segments to disk: it alone syncs, so that no request waits inside of the kernel for a slow disk, and all that
//! wait for a sync share the next one.

use std::{
    sync::Weak,
    thread,
    time::{Duration, Instant},
};

use super::{
    segment::Segment,
    use_log::{Closed, Progress, State, UseLog},
};

/// How long a machine read may stand in the page cache before it is synced. In strict mode whoever appends wakes the thread.
const EVERY: Duration = Duration::from_millis(50);
/// How long it is before what failed is tried again, unless somebody asks for it.
const AGAIN: Duration = Duration::from_secs(1);

/// Syncs until the log is dropped.
pub fn forever(log: &Weak<UseLog>) {
    let (mut rest, mut told) = (EVERY, None::<Instant>);
    loop {
        thread::park_timeout(rest);
        let Some(log) = log.upgrade() else { return };
        rest = EVERY;
        if let Err(error) = bring_to_disk(&log) {
            log.progress.send_modify(|now| now.failures += 1);
            log.metrics.audit_sync_failed();
            if told.is_none_or(|told| told.elapsed() >= AGAIN) {
                told = Some(Instant::now());
                tracing::error!(error.cause = format!("{error:#}"), "the audit segment could not be brought to disk");
            }
            thread::sleep(EVERY);
            rest = AGAIN;
        }
    }
}

/// Does what waits: writes a segment anew that could not be synced, syncs what was appended, and begins the next segment after a full one.
fn bring_to_disk(log: &UseLog) -> anyhow::Result<()> {
    if log.state().closed == Some(Closed::Untrusted) {
        // Nobody appends meanwhile.
        let copy = log.state().segment.copy();
        let file = copy.write(&log.folder)?;
        open(log, |state| state.segment.take(file));
        tracing::warn!("the audit segment was written anew, since the old file could not be synced");
    }
    let (file, position) = {
        let state = log.state();
        (state.segment.file.clone(), state.segment.position())
    };
    if position.head.line > log.progress.borrow().synced {
        let begun = Instant::now();
        if let Err(error) = file.sync_data() {
            log.state().closed = Some(Closed::Untrusted);
            return Err(error.into());
        }
        log.metrics.audit_synced(begun.elapsed());
        log.state().segment.is_synced(&position);
        log.progress.send_modify(|now| now.synced = position.head.line);
    }
    let end = {
        let state = log.state();
        Some(state.segment.head()).filter(|head| state.closed == Some(Closed::Full) && *head == position.head)
    };
    if let Some(end) = end {
        // Nor now.
        let next = Segment::after(&log.folder, end)?;
        open(log, |state| state.segment = next);
    }
    Ok(())
}

/// Lets lines be appended again, to what `change` leaves.
fn open(log: &UseLog, change: impl FnOnce(&mut State)) {
    let mut state = log.state();
    change(&mut state);
    state.closed = None;
    log.progress.send_modify(|now: &mut Progress| now.openings += 1);
}
