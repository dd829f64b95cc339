//! What happened, kept: changes in the store with the change itself, machine reads in this node's segment file before the answer.

use std::{
    fs::{File, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
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
        actor: caller.label(),
        action: event.action.to_owned(),
        object: event.object.to_owned(),
        detail: event.detail.to_string(),
        mac: Vec::new(),
    };
    let canonical = serde_json::json!([row.id, row.at, row.workspace_id, row.actor, row.action, row.object, row.detail]);
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
    /// Opens, or makes, the segment in `folder`.
    pub fn open(folder: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| format!("make the folder {}", folder.display()))?;
        let path = folder.join("uses.jsonl");
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&path)
            .with_context(|| format!("open the audit segment {}", path.display()))?;
        Ok(Self { segment: Mutex::new(Segment { file, torn: false }), dirty: AtomicBool::new(false) })
    }

    /// Appends one event; once this returns, the kernel has it. An error means: do not answer.
    pub fn append(&self, vault: &Vault, event: &UseEvent<'_>) -> anyhow::Result<()> {
        use std::fmt::Write as _;
        let mut line = serde_json::to_string(event)?;
        let mac = vault.audit_mac(line.as_bytes());
        line.push('\t');
        for byte in mac {
            let _ = write!(line, "{byte:02x}");
        }
        line.push('\n');
        let mut segment = self.segment.lock().unwrap_or_else(PoisonError::into_inner);
        if segment.torn {
            segment.file.write_all(b"\n").context("end a torn line of the audit segment")?;
            segment.torn = false;
        }
        if let Err(error) = segment.file.write_all(line.as_bytes()) {
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
            let Some(log) = log.upgrade() else { return };
            if log.dirty.swap(false, Ordering::AcqRel)
                && let Err(error) = log.sync()
            {
                tracing::error!(error.cause = format!("{error:#}"), "the audit segment could not be synced");
            }
        }
    }

    /// Makes everything appended so far durable.
    pub fn sync(&self) -> anyhow::Result<()> {
        let copy =
            self.segment.lock().unwrap_or_else(PoisonError::into_inner).file.try_clone().context("share the audit segment")?;
        copy.sync_data().context("sync the audit segment")
    }
}
