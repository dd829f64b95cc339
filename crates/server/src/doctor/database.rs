//! Whether what the database acknowledges is durable and whole.

use std::{error::Error, fs::File, io::Read as _};

use dataflow_connectors::scrub::printable;

use super::Finding;
use crate::{
    config::DataConfig,
    store::{self, Location, Look, StoreError},
};

/// The first SQLite without the reset bug: <https://www.sqlite.org/wal.html#walresetbug>.
const SQLITE: [u32; 3] = [3, 51, 3];
/// Names that a finding names.
const NAMED: usize = 5;
/// The oldest PostgreSQL that is tested.
const POSTGRES: u32 = 15;

/// An error with its causes.
pub(super) fn chain(error: &(dyn Error + 'static)) -> String {
    let (mut text, mut cause) = (error.to_string(), error.source());
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

pub(super) async fn examine(look: &mut Look, data: &DataConfig, is_running: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    match look.settings().await {
        Ok(settings) => match data.location() {
            Location::Sqlite(path) => {
                findings.push(sqlite_version(&settings));
                findings.push(sqlite_durability(&settings, is_wal(&path), is_running));
            }
            Location::Postgres(_) => {
                findings.push(postgres_version(&settings));
                findings.push(postgres_durability(&settings));
            }
        },
        Err(error) => findings.push(unanswered("durability", &error)),
    }
    if matches!(data.location(), Location::Sqlite(_)) {
        findings.push(match look.damage().await {
            Ok(found) if found.is_empty() => Finding::ok("integrity", "SQLite finds the whole file sound"),
            Ok(found) => damaged(&found.join("; ")),
            Err(error) => damaged(&chain(&error)),
        });
    }
    findings.push(match look.schema().await {
        Ok((own, build)) if own == build => Finding::ok("schema", format!("{own}, this build's")),
        Ok((own, build)) if own < build => Finding::warning(
            "schema",
            format!("{own}, and this build's is {build}."),
            "The next start brings it up; take a backup before.",
        ),
        Ok((own, build)) => Finding::problem(
            "schema",
            format!("{own}, and this build knows {build} of it."),
            "The store belongs to a newer version of Dataflow Connections: run that version, or a later one.",
        ),
        Err(error) => unanswered("schema", &error),
    });
    if let Err(StoreError::Refused { sentence, source }) = store::tick(look).await {
        findings.push(Finding::problem("change clock", format!("The store has none that can be read: {source}."), sentence));
    }
    if matches!(look.schema().await, Ok((own, build)) if own == build) {
        findings.push(names(look).await);
    }
    findings.push(match look.triggers().await {
        Ok(found) if found.is_empty() => Finding::ok("triggers", "none: nothing but this program acts on what is saved"),
        Ok(found) => Finding::problem(
            "triggers",
            format!("The store has triggers or rules that are none of this program's: {}.", printable(&found.join(", "))),
            "By one, whoever can write the store undoes a revocation or takes an audit event away unseen. Drop them, and find out who made them.",
        ),
        Err(error) => unanswered("triggers", &error),
    });
    findings
}

/// That each name leads to the one connection that has it. The table which says so has no MAC, since no secret goes by it; but by a row that is too
/// many nobody else gets a name, and by one that is missing two may.
async fn names(look: &mut Look) -> Finding {
    let told = |names: &[String]| {
        let shown: Vec<_> = names.iter().take(NAMED).map(String::as_str).collect();
        let more = if names.len() > NAMED { ", …" } else { "" };
        format!("{}{more}", printable(&shown.join(", ")))
    };
    let most = i64::try_from(NAMED + 1).unwrap_or(i64::MAX);
    match look.names(most).await {
        Ok([taken, free]) if taken.is_empty() && free.is_empty() => {
            Finding::ok("names", "each leads to the connection that has it, and to no other")
        }
        Ok([taken, free]) => {
            let mut found = Vec::new();
            if !taken.is_empty() {
                found.push(format!("Taken for connections that do not have them: {}.", told(&taken)));
            }
            if !free.is_empty() {
                found.push(format!("Of a connection, and not taken for it: {}.", told(&free)));
            }
            let hint = "The table live_names was changed outside of this program. Find out by whom, and restore a backup with “dataflow restore --replace”.";
            Finding::problem("names", found.join(" "), hint)
        }
        Err(error) => unanswered("names", &error),
    }
}

fn unanswered(check: &'static str, error: &(dyn Error + 'static)) -> Finding {
    Finding::problem(check, format!("The store does not answer: {}.", chain(error)), "Look at the database's own log.")
}

fn damaged(what: &str) -> Finding {
    let hint = "Stop the server, keep a copy of the data folder, and restore a backup with “dataflow restore --replace”.";
    Finding::problem("integrity", format!("The store's file is damaged: {what}."), hint)
}

fn value<'s>(settings: &'s [(String, String)], name: &str) -> &'s str {
    settings.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str()).unwrap_or_default()
}

pub(super) fn sqlite_version(settings: &[(String, String)]) -> Finding {
    let version = value(settings, "version");
    let numbers: Vec<u32> = version.split('.').filter_map(|part| part.parse().ok()).collect();
    if numbers.as_slice() >= SQLITE.as_slice() {
        return Finding::ok("database", format!("SQLite {version}, built in"));
    }
    Finding::problem(
        "database",
        format!("SQLite {version} is built in, which may lose an acknowledged change."),
        "Use a build with SQLite 3.51.3 or newer.",
    )
}

/// Whether the file's header says that it has a write-ahead log (<https://www.sqlite.org/fileformat.html>, offsets 18 and 19).
fn is_wal(path: &std::path::Path) -> bool {
    let mut header = [0; 20];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut header));
    read.is_ok() && header.ends_with(&[2, 2])
}

pub(super) fn sqlite_durability(settings: &[(String, String)], is_wal: bool, is_running: bool) -> Finding {
    const CHECK: &str = "durability";
    // 2 is FULL, 3 is EXTRA.
    if !matches!(value(settings, "synchronous"), "2" | "3") {
        return Finding::problem(CHECK, "Commits are not synced.", "Use a build that sets synchronous=FULL.");
    }
    match (is_wal, is_running) {
        (true, _) => Finding::ok(CHECK, "journal_mode=WAL, synchronous=FULL: a commit is on disk before it is acknowledged"),
        (false, false) => Finding::ok(CHECK, "synchronous=FULL; the next start sets journal_mode=WAL"),
        (false, true) => Finding::problem(
            CHECK,
            "The file is not in WAL mode although a server runs on it.",
            "Another program changed it. Restart the server, and keep other programs from the file.",
        ),
    }
}

pub(super) fn postgres_version(settings: &[(String, String)]) -> Finding {
    let number: u32 = value(settings, "server_version_num").parse().unwrap_or_default();
    let version = format!("PostgreSQL {}.{}", number / 10_000, number % 10_000);
    if number / 10_000 >= POSTGRES {
        return Finding::ok("database", version);
    }
    Finding::warning(
        "database",
        format!("{version} is older than what is tested."),
        format!("Use PostgreSQL {POSTGRES} or newer."),
    )
}

pub(super) fn postgres_durability(settings: &[(String, String)]) -> Finding {
    const CHECK: &str = "durability";
    let off: Vec<_> = ["fsync", "full_page_writes", "synchronous_commit"]
        .into_iter()
        .filter(|name| value(settings, name) == "off" || value(settings, name).is_empty())
        .collect();
    if off.is_empty() {
        let commit = value(settings, "synchronous_commit");
        return Finding::ok(CHECK, format!("fsync=on, full_page_writes=on, synchronous_commit={commit}"));
    }
    Finding::problem(
        CHECK,
        format!("{} off: a change that was acknowledged may be lost with the power.", join(&off)),
        format!("Set {} = on in postgresql.conf, or for the role or database that switches it off.", off.join(" = on, ")),
    )
}

fn join(names: &[&str]) -> String {
    match names {
        [name] => format!("{name} is"),
        names => format!("{} are", names.join(", ")),
    }
}
