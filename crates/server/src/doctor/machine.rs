//! What the machine gives: time and room.

use std::path::Path;

use super::Finding;
use crate::{
    clock::{Clock, SECOND, rfc3339},
    store::Look,
};

/// How far the clock may be behind the store's newest row, or off the database's.
const APART: i64 = 30 * SECOND;
/// Free space below which a warning, and a problem, is due.
const LITTLE: u64 = 1024 * 1024 * 1024;
const NOTHING: u64 = 64 * 1024 * 1024;

pub(super) async fn clock(look: &mut Look, clock: &Clock) -> Option<Finding> {
    const CLOCK: &str = "clock";
    const HINT: &str = "Set the clock, and have it kept by NTP: sessions, tokens and the order of events depend on it.";
    let newest = look.newest().await.ok()?;
    let now = clock.now();
    if let Some(newest) = newest.filter(|newest| *newest > now + APART) {
        let found = format!("It is {}, and the store has a row of {}: the clock went back.", rfc3339(now), rfc3339(newest));
        return Some(Finding::problem(CLOCK, found, HINT));
    }
    let theirs = look.clock().await.ok().flatten();
    if let Some(apart) = theirs.map(|theirs| (theirs - clock.now()).abs()).filter(|apart| *apart > APART) {
        let found = format!("It is {} s off the clock of the database's machine.", apart / SECOND);
        return Some(Finding::warning(CLOCK, found, HINT));
    }
    Some(Finding::ok(CLOCK, format!("{}, not behind the store", rfc3339(now))))
}

pub(super) fn disk(folder: &Path) -> Finding {
    const DISK: &str = "disk";
    let there = folder.ancestors().find(|folder| folder.exists()).unwrap_or(folder);
    match rustix::fs::statvfs(there) {
        Ok(found) => room(there, found.f_bavail.saturating_mul(found.f_frsize)),
        Err(error) => Finding::warning(DISK, format!("How much is free cannot be told ({error})."), "Watch it."),
    }
}

pub(super) fn room(folder: &Path, free: u64) -> Finding {
    const DISK: &str = "disk";
    const HINT: &str = "Make room: without it nothing is saved, and no credentials are given.";
    let found = format!("{} MiB free at {}", free / (1024 * 1024), folder.display());
    match free {
        0..NOTHING => Finding::problem(DISK, found, HINT),
        NOTHING..LITTLE => Finding::warning(DISK, found, HINT),
        _ => Finding::ok(DISK, found),
    }
}
