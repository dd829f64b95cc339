//! `dataflow restore`: a store is filled from a backup beside the live one, and takes its place once all of it was proven and is durable.
//! Until then the live one is as it was.

use std::{
    fs::{File, OpenOptions},
    io::{BufReader, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow, bail};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use dataflow_connectors::scrub::printable;
use dataflow_model::{Catalogue, Secret};
use dataflow_vault::{KeyRing, RecoveryKey, SlotKind, Vault, VaultError};

use super::{
    format::{BackupError, Entry, Header, Reader, Sealed, Section},
    is_segment,
    place::{Unfinished, put_segments, put_store, sync, unused},
};
use crate::{
    audit::{self, Event},
    clock::{Clock, rfc3339},
    config::{DataConfig, NODES_MAX},
    keys::KeySource,
    ops::{self, Caller},
    serve::lock_whole,
    store::{self, Fill, Kind, Loading, Location, StoreError, Value},
};

/// What to restore, and where.
#[derive(Debug)]
pub struct Restore<'r> {
    pub data: &'r DataConfig,
    pub file: &'r Path,
    /// Opens the backup instead of the key of `data`, which is made then.
    pub recovery_key: Option<&'r Secret>,
    /// Whether a store that is there may be put aside.
    pub replace: bool,
}

/// What was restored.
#[derive(Debug)]
pub struct Restored {
    pub header: Header,
    pub connections: u64,
    pub rows: u64,
    /// The key that was made, if the recovery key opened the backup.
    pub new_key: Option<KeySource>,
    /// Where the files of before are.
    pub kept: Option<PathBuf>,
    /// The schema of PostgreSQL that the tables of before are in.
    pub kept_schema: Option<String>,
    /// Rotation policies and second logins by which no password is changed until somebody says so.
    pub resting: u64,
}

/// # Errors
/// A sentence of what is wrong with the backup, the key, or the place, and what to do. The live store is as it was then.
pub async fn restore(asked: &Restore<'_>) -> anyhow::Result<Restored> {
    let refused = || format!("The backup {} was not restored, and nothing was changed.", asked.file.display());
    let file = File::open(asked.file).context("open the file").with_context(refused)?;
    let sealed = Sealed::open(BufReader::with_capacity(1 << 20, file)).with_context(refused)?;
    let header = sealed.header.clone();
    let ring = KeyRing::from_bytes(&header.key_ring).map_err(|error| match error {
        VaultError::UnknownFormat { found, .. } => BackupError::Newer(format!("one with a key ring of format {found}")),
        _ => BackupError::Damaged(0),
    });
    let ring = ring.with_context(refused)?;
    let vault = open_ring(asked, &header, &ring).with_context(refused)?;
    let reader = sealed.prove(vault).with_context(refused)?;
    if header.schema > store::schema() {
        return Err(anyhow!(
            "It was taken by a newer version of Dataflow Connections ({}). Restore it with that version, or a later one.",
            header.written_by
        ))
        .with_context(refused);
    }
    into_place(asked, header, &ring, reader).await.with_context(refused)
}

/// Opens the backup's key ring with what the operator has.
fn open_ring(asked: &Restore<'_>, header: &Header, ring: &KeyRing) -> anyhow::Result<Vault> {
    let foreign = |with: &str| {
        format!(
            "{with} does not open it. It is of the instance {}, taken at {}: give that instance's key, or its recovery key.",
            printable(&header.instance),
            printable(&header.taken_at)
        )
    };
    match (asked.recovery_key, asked.data.key()) {
        (Some(key), _) => {
            let key = RecoveryKey::parse(key.expose_secret()).context("read the recovery key")?;
            Vault::open(ring, &key).with_context(|| foreign("The recovery key"))
        }
        (None, KeySource::File(path)) if !path.exists() && ring.slots().iter().any(|slot| slot.kind() == SlotKind::KeyFile) => {
            bail!(
                "Its key file {} is not there. Put it back, name it with --key-file, or give the recovery key with --recovery-key-stdin.",
                path.display()
            )
        }
        (None, source) => source.open(ring).with_context(|| foreign(&format!("The {}", source.kind()))),
    }
}

async fn into_place<R: std::io::BufRead>(
    asked: &Restore<'_>,
    header: Header,
    ring: &KeyRing,
    mut reader: Reader<R>,
) -> anyhow::Result<Restored> {
    let _locks = lock_whole(asked.data)?;
    let now = Clock::default().now();
    let location = asked.data.location();
    if let Location::Sqlite(path) = &location
        && !asked.replace
        && !store::is_empty(path).await
    {
        bail!(
            "There is a store in {} already. Restore into another folder, or give --replace: the old store is kept aside then.",
            asked.data.folder.display()
        );
    }
    let stamp: String = rfc3339(now).chars().filter(char::is_ascii_alphanumeric).take(15).collect();
    let unfinished = Unfinished::make(asked.data)?;
    let aside_schema = format!("dataflow_before_{}", stamp.to_lowercase());
    let fill = Fill {
        location: &location,
        file: &unfinished.store(),
        schema: header.schema,
        aside: asked.replace.then_some(aside_schema.as_str()),
    };
    let mut loading = Loading::begin(&fill).await.map_err(in_order)?;
    let mut filling = Filling { unfinished: &unfinished, section: None, segment: None, connections: 0, rows: 0 };
    while let Some(block) = reader.next_block()? {
        filling.put(&mut loading, block).await?;
    }
    let Filling { connections, rows, .. } = filling;
    loading.bring_up().await?;
    let resting = store::rest_rotations(loading.write(), now, &ops::rotations::rests_since_a_restore()).await?;
    store::rest_channels(loading.write(), ops::notices::RESTS_SINCE_A_RESTORE).await?;
    let vault = reader.vault();
    ops::list::index_all(loading.write(), vault, &Catalogue::built_in().context("read the catalogue")?).await?;

    let source = asked.recovery_key.map(|_| asked.data.key());
    if let Some(source) = &source {
        let ring = source.enroll(vault, ring)?;
        let saved = store::replace_key_ring(loading.write(), &ring.to_bytes()).await;
        saved.inspect_err(|_| source.discard()).context("save the key ring")?;
    }
    let aside = unused(&asked.data.folder, &format!("before-{stamp}"));
    let placed = async {
        let detail = serde_json::json!({"taken_at": header.taken_at, "opened_with": opened_with(asked)});
        let event = Event { at: now, workspace_id: None, action: "backup.restore", object: &header.instance, detail };
        audit::record(loading.write(), vault, &Caller::shell(), event).await?;
        let kept_schema = loading.finish().await?;
        if matches!(location, Location::Sqlite(_)) {
            put_store(asked.data, &unfinished, &aside).await?;
        }
        anyhow::Ok(kept_schema)
    };
    let kept_schema = placed.await.inspect_err(|_| source.iter().for_each(KeySource::discard))?;
    put_segments(asked.data, &unfinished, &aside).context("The store is restored, and the record of machine reads is not")?;
    let kept = aside.exists().then_some(aside);
    Ok(Restored { header, connections, rows, new_key: source, kept, kept_schema, resting })
}

/// Its sentence comes after what was not restored, like every other.
fn in_order(error: StoreError) -> anyhow::Error {
    match error {
        StoreError::Refused { sentence, source } => anyhow!("{source}").context(sentence),
        other => other.into(),
    }
}

fn opened_with(asked: &Restore<'_>) -> &'static str {
    match asked.recovery_key {
        Some(_) => "recovery key",
        None => asked.data.key().kind(),
    }
}

/// A backup's rows on their way into the new store.
struct Filling<'f> {
    unfinished: &'f Unfinished,
    section: Option<Section>,
    segment: Option<(PathBuf, File)>,
    connections: u64,
    rows: u64,
}

impl Filling<'_> {
    async fn put(&mut self, loading: &mut Loading, block: Vec<Entry>) -> anyhow::Result<()> {
        let mut rows = Vec::new();
        for entry in block {
            match entry {
                Entry::Row(row) => rows.push(row),
                Entry::Section(section) => {
                    self.put_rows(loading, std::mem::take(&mut rows)).await?;
                    self.begin(section)?;
                }
            }
        }
        self.put_rows(loading, rows).await
    }

    fn begin(&mut self, section: Section) -> anyhow::Result<()> {
        if let Section::Segment { node, name } = &section {
            let is_node = node.parse::<usize>().is_ok_and(|number| (1..=NODES_MAX).contains(&number));
            if !is_node || !is_segment(name) {
                bail!("It names a segment file that no node has: {node}/{name}");
            }
            let path = self.unfinished.segment(node, name)?;
            let file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&path);
            self.segment = Some((path.clone(), file.with_context(|| format!("make the file {}", path.display()))?));
        }
        self.section = Some(section);
        Ok(())
    }

    async fn put_rows(&mut self, loading: &mut Loading, rows: Vec<Vec<serde_json::Value>>) -> anyhow::Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let count = u64::try_from(rows.len()).unwrap_or_default();
        self.rows += count;
        match (&self.section, &mut self.segment) {
            (Some(Section::Table { name, columns }), _) => {
                let is_word = |c: char| c.is_ascii_lowercase() || c == '_';
                if !is_plain(name, is_word) || !columns.iter().all(|(column, _)| is_plain(column, is_word)) {
                    bail!("It names a table or a column that no store has: {name}");
                }
                if name == "connections" {
                    self.connections += count;
                }
                let read = rows.into_iter().map(|row| values(columns, row));
                let read = read.collect::<Option<Vec<_>>>().with_context(|| format!("It holds a row that is none of {name}"))?;
                let columns: Vec<_> = columns.iter().map(|(column, _)| column.as_str()).collect();
                store::put_rows(loading.write(), name, &columns, &read).await.with_context(|| format!("fill the table {name}"))
            }
            (Some(Section::Segment { .. }), Some((path, file))) => {
                for piece in rows {
                    let [serde_json::Value::String(piece)] = piece.as_slice() else {
                        bail!("It holds a piece of a segment that is none")
                    };
                    let bytes = BASE64_STANDARD.decode(piece).context("It holds a piece of a segment that is none")?;
                    file.write_all(&bytes).with_context(|| format!("write {}", path.display()))?;
                }
                sync(path)
            }
            _ => bail!("It has rows of no table"),
        }
    }
}

fn is_plain(word: &str, is_of_it: impl Fn(char) -> bool) -> bool {
    !word.is_empty() && word.chars().all(is_of_it)
}

fn values(columns: &[(String, Kind)], row: Vec<serde_json::Value>) -> Option<Vec<Value>> {
    if row.len() != columns.len() {
        return None;
    }
    columns.iter().zip(row).map(|((_, kind), value)| Value::of(*kind, value)).collect()
}
