//! What happened, kept: changes in the store with the change itself, machine reads in this node's segment file before the answer.

use std::{
    fs::{File, OpenOptions},
    io::Write as _,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use dataflow_vault::{Vault, random_uuid};
use serde::Serialize;

use crate::{
    ops::Caller,
    store::{self, AuditRow, Write},
};

/// How long a machine read may stand in the page cache before it is synced.
const SYNC_EVERY: Duration = Duration::from_millis(50);
/// How long it is before a sync that failed is tried again.
const SYNC_AGAIN: Duration = Duration::from_secs(1);
/// Room for most lines of a segment, in bytes.
const LINE: usize = 512;

/// One change, as it goes into the store.
#[derive(Debug)]
pub struct Event<'e> {
    pub at: i64,
    pub workspace_id: Option<String>,
    pub action: &'static str,
    pub object: &'e str,
    /// Public facts only.
    pub detail: serde_json::Value,
}

/// Appends `event` to the transaction of the change that it is about.
pub async fn record(write: &mut Write, vault: &Vault, caller: &Caller, event: Event<'_>) -> store::Result<()> {
    let mut row = AuditRow {
        id: random_uuid().to_string(),
        at: event.at,
        workspace_id: event.workspace_id,
        actor: caller.label().into_owned(),
        actor_id: caller.identity().into_owned(),
        action: event.action.to_owned(),
        object: event.object.to_owned(),
        detail: event.detail.to_string(),
        mac: Vec::new(),
    };
    // Events of before have no `actor_id`, and end before it.
    let canonical =
        serde_json::json!([row.id, row.at, row.workspace_id, row.actor, row.action, row.object, row.detail, row.actor_id]);
    row.mac = vault.audit_mac(canonical.to_string().as_bytes()).to_vec();
    store::append_audit(write, &row).await
}

/// One answer with a secret, or one 304 in its place.
#[derive(Debug, Serialize)]
pub struct UseEvent<'e> {
    pub at: i64,
    pub action: &'static str,
    pub workspace: &'e str,
    pub connection: &'e str,
    pub version: i64,
    pub actor: &'e str,
    pub actor_id: &'e str,
    pub address: Option<std::net::IpAddr>,
    pub workflow: Option<&'e dataflow_model::Workflow>,
}

/// This node's segment file of machine reads: one JSON line each, its MAC beside it.
#[derive(Debug)]
pub struct UseLog {
    segment: Mutex<Segment>,
    dirty: AtomicBool,
}

#[derive(Debug)]
struct Segment {
    file: File,
    /// The last line may have been written in part: the next one begins on a line of its own.
    torn: bool,
}

impl UseLog {
    /// Opens, or makes, the segment in `folder`. A process that was killed may have left its last line in part.
    pub fn open(folder: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| format!("make the folder {}", folder.display()))?;
        let path = folder.join("uses.jsonl");
        let file = OpenOptions::new()
            .create(true)
            .read(true)
            .append(true)
            .mode(0o600)
            .open(&path)
            .with_context(|| format!("open the audit segment {}", path.display()))?;
        let torn = is_torn(&file).with_context(|| format!("read the end of the audit segment {}", path.display()))?;
        Ok(Self { segment: Mutex::new(Segment { file, torn }), dirty: AtomicBool::new(false) })
    }

    /// Appends one event; once this returns, the kernel has it. An error means: do not answer.
    pub fn append(&self, vault: &Vault, event: &UseEvent<'_>) -> anyhow::Result<()> {
        let mut line = Vec::with_capacity(LINE);
        serde_json::to_writer(&mut line, event)?;
        let mac = vault.audit_mac(&line);
        let mut shown = [0; 64];
        hex::encode_to_slice(mac, &mut shown)?;
        line.push(b'\t');
        line.extend_from_slice(&shown);
        line.push(b'\n');
        let mut segment = self.segment.lock().unwrap_or_else(PoisonError::into_inner);
        if segment.torn {
            segment.file.write_all(b"\n").context("end a torn line of the audit segment")?;
            segment.torn = false;
        }
        if let Err(error) = segment.file.write_all(&line) {
            segment.torn = true;
            return Err(error).context("append to the audit segment");
        }
        drop(segment);
        self.dirty.store(true, Ordering::Release);
        Ok(())
    }

    /// Syncs in groups until the app is dropped. Runs on a thread of its own: a slow disk holds no request.
    pub fn sync_forever(log: &std::sync::Weak<Self>) {
        loop {
            std::thread::sleep(SYNC_EVERY);
            let Some(synced) = log.upgrade().map(|log| log.sync_if_dirty()) else { return };
            if let Err(error) = synced {
                tracing::error!(error.cause = format!("{error:#}"), "the audit segment could not be synced");
                std::thread::sleep(SYNC_AGAIN);
            }
        }
    }

    /// Syncs what was appended since the last sync that succeeded.
    fn sync_if_dirty(&self) -> anyhow::Result<()> {
        if self.dirty.swap(false, Ordering::AcqRel) {
            self.sync().inspect_err(|_| self.dirty.store(true, Ordering::Release))?;
        }
        Ok(())
    }

    /// Makes everything appended so far durable.
    pub fn sync(&self) -> anyhow::Result<()> {
        let copy =
            self.segment.lock().unwrap_or_else(PoisonError::into_inner).file.try_clone().context("share the audit segment")?;
        copy.sync_data().context("sync the audit segment")
    }
}

/// Whether the last line has no end.
fn is_torn(file: &File) -> std::io::Result<bool> {
    let Some(last) = file.metadata()?.len().checked_sub(1) else { return Ok(false) };
    let mut byte = [0];
    file.read_exact_at(&mut byte, last)?;
    Ok(byte != *b"\n")
}

#[cfg(test)]
mod tests {
    use dataflow_vault::KeyFile;

    use super::*;

    fn vault(folder: &Path) -> Vault {
        let key = KeyFile::create(&folder.join("key")).expect("a key");
        Vault::create(random_uuid(), &key).expect("a vault").0
    }

    fn event() -> UseEvent<'static> {
        UseEvent {
            at: 1,
            action: "credentials.read",
            workspace: "default",
            connection: "sales",
            version: 1,
            actor: "robot",
            actor_id: "token 1",
            address: None,
            workflow: None,
        }
    }

    #[test]
    fn an_event_after_a_torn_line_is_on_a_line_of_its_own() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("uses.jsonl");
        let vault = vault(folder.path());
        for (torn, lines) in [("", 1), ("{\"at\":1", 2), ("{\"at\":1,\"ac", 2)] {
            std::fs::write(&path, torn).expect("own folder");
            for events in [1, 2] {
                UseLog::open(folder.path()).expect("it opens").append(&vault, &event()).expect("appended");
                let text = std::fs::read_to_string(&path).expect("there");
                assert_eq!(text.lines().count(), lines + events - 1, "{text}");
                assert_eq!(text.lines().filter(|line| line.starts_with("{\"at\":1,\"action\":")).count(), events, "{text}");
            }
        }
    }

    #[test]
    fn a_sync_that_failed_is_tried_again() {
        let folder = tempfile::tempdir().expect("a folder");
        // It takes every byte and cannot be synced.
        std::os::unix::fs::symlink("/dev/null", folder.path().join("uses.jsonl")).expect("own folder");
        let log = UseLog::open(folder.path()).expect("it opens");
        log.sync_if_dirty().expect("there is nothing to sync");
        log.append(&vault(folder.path()), &event()).expect("appended");
        for _ in 0..2 {
            log.sync_if_dirty().expect_err("it cannot be synced");
        }
    }
}
