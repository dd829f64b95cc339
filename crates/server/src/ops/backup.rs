//! Taking a backup: one state of the store, with the machine reads of this folder's nodes. Restoring one is `crate::backup`'s: no server
//! may run then.

use std::{io::ErrorKind, path::Path};

use anyhow::{Context, anyhow};
use serde::{Deserialize, Serialize};
use tokio::{io::AsyncReadExt as _, sync::mpsc::Sender};

use super::{
    access::{Caller, Who},
    idempotency::begin,
};
use crate::{
    app::App,
    audit::{self, Event},
    backup::{
        format::{Header, Section, Writer},
        segments,
    },
    clock::rfc3339,
    error::{Error, Result},
    store::{self, TABLES, Value},
};

/// Rows that are read at a time.
const PAGE: i64 = 1_000;
/// Bytes of a segment file that make a row.
const PIECE: usize = 48 * 1024;

/// What a backup holds.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Taken {
    /// Live and deleted ones.
    pub connections: u64,
    pub rows: u64,
    pub bytes: u64,
}

/// Takes a backup and hands it on piece by piece; it is whole if this succeeds. Every change that was acknowledged before is in it, and
/// this act's own event.
pub async fn take(app: &App, caller: &Caller, sink: &Sender<Vec<u8>>) -> Result<Taken> {
    if !matches!(caller.who, Who::Shell) {
        return Err(Error::OwnersOnly("back the server up"));
    }
    let instance = app.vault.instance().to_string();
    let (now, detail) = (app.clock.now(), serde_json::json!({}));
    let mut write = begin(app, caller).await?;
    let event = Event { at: now, workspace_id: None, action: "backup.take", object: &instance, detail };
    audit::record(&mut write, &app.vault, caller, event).await?;
    write.commit_quietly().await?;

    let mut snapshot = app.store.snapshot().await?;
    let row = store::instance(&mut snapshot).await?.context("the store has no key ring").map_err(Error::Internal)?;
    let header = Header {
        instance: row.id,
        schema: store::schema(),
        written_by: env!("CARGO_PKG_VERSION").to_owned(),
        engine: app.store.engine_name().to_owned(),
        taken_at: rfc3339(now),
        key_ring: row.key_ring,
    };
    let mut out = Out { writer: Writer::begin(&app.vault, &header).map_err(unwritten)?, sink, taken: Taken::default() };
    for table in TABLES {
        let columns = table.columns.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect();
        out.writer.section(&Section::Table { name: table.name.to_owned(), columns }).map_err(unwritten)?;
        let mut page = store::page(&mut snapshot, table, None, PAGE).await?;
        while let Some(last) = page.last().cloned() {
            for row in &page {
                out.row(row).await?;
            }
            if table.name == "connections" {
                out.taken.connections += u64::try_from(page.len()).unwrap_or_default();
            }
            page = store::page(&mut snapshot, table, Some(&last), PAGE).await?;
        }
    }
    drop(snapshot);
    for (node, name, path) in segments(&app.data_folder).context("look for segment files").map_err(Error::Internal)? {
        out.segment(Section::Segment { node, name }, &path).await?;
    }
    out.end().await
}

fn unwritten(error: serde_json::Error) -> Error {
    Error::Internal(anyhow!(error).context("write a backup"))
}

struct Out<'o> {
    writer: Writer<'o>,
    sink: &'o Sender<Vec<u8>>,
    taken: Taken,
}

impl Out<'_> {
    async fn row(&mut self, row: &[Value]) -> Result<()> {
        self.writer.row(row).map_err(unwritten)?;
        match self.writer.full() {
            Some(bytes) => self.send(bytes).await,
            None => Ok(()),
        }
    }

    async fn send(&mut self, bytes: Vec<u8>) -> Result<()> {
        self.taken.bytes += u64::try_from(bytes.len()).unwrap_or_default();
        self.sink.send(bytes).await.context("whoever was to get the backup has gone").map_err(Error::Internal)
    }

    /// The whole lines of a file that may be appended to meanwhile.
    async fn segment(&mut self, section: Section, path: &Path) -> Result<()> {
        let failed = |error: std::io::Error| Error::Internal(anyhow!(error).context(format!("read {}", path.display())));
        let file = match tokio::fs::File::open(path).await {
            // It was old, and has gone since.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            opened => opened.map_err(failed)?,
        };
        self.writer.section(&section).map_err(unwritten)?;
        let length = file.metadata().await.map_err(failed)?.len();
        let (mut file, mut piece) = (file.take(length), Vec::new());
        loop {
            let limit = u64::try_from(PIECE).unwrap_or(u64::MAX);
            let read = (&mut file).take(limit).read_to_end(&mut piece).await.map_err(failed)?;
            let whole = piece.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            if whole > 0 {
                let rest = piece.split_off(whole);
                self.row(&[Value::Bytes(Some(std::mem::replace(&mut piece, rest)))]).await?;
            }
            if read == 0 {
                return Ok(());
            }
        }
    }

    async fn end(mut self) -> Result<Taken> {
        let (bytes, rows) = self
            .writer
            .end()
            .map_err(unwritten)?
            .ok_or_else(|| Error::Unavailable(anyhow!("the keys were rotated while the backup was taken")))?;
        self.taken.bytes += u64::try_from(bytes.len()).unwrap_or_default();
        self.taken.rows = rows;
        self.sink.send(bytes).await.context("whoever was to get the backup has gone").map_err(Error::Internal)?;
        Ok(self.taken)
    }
}
