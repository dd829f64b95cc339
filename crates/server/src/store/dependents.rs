//! Who depends on a name: workflows that were seen using it, and code that names it.

use std::collections::{BTreeSet, HashMap};

use sqlx::QueryBuilder;

use super::{Engine, Handle, Result, Write, execute, fetch, in_time};

/// A workflow that was seen using a name.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct SightingRow {
    pub workspace_id: String,
    pub name_key: String,
    /// Empty of a caller that told no workflow.
    pub kind: String,
    pub workflow: String,
    pub first_at: i64,
    pub last_at: i64,
    pub uses: i64,
    pub connection_id: String,
    pub version: i64,
    pub used_by: String,
    pub used_by_id: String,
    pub host: Option<String>,
    /// When it last could not connect with what it was given, and the version of that.
    pub failed_at: Option<i64>,
    pub failed_version: Option<i64>,
}

/// How many depend on a name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, sqlx::FromRow)]
pub struct DependentsRow {
    pub seen: i64,
    /// Workflows that were found in code and not seen.
    pub found: i64,
    /// Grows whenever one comes or goes.
    pub changes: i64,
}

/// Rows that one statement writes.
const BATCH: usize = 50;

/// Adds what rows of live workspaces tell to what is known of their workflows, of which each comes once. Gives the names (workspace, name key)
/// that have one more than before.
pub async fn record_sightings(write: &mut Write, rows: &[SightingRow]) -> Result<BTreeSet<(String, String)>> {
    let mut new = BTreeSet::new();
    for batch in rows.chunks(BATCH) {
        let told = insert(write, batch).await?;
        for (row, uses) in batch.iter().filter_map(|row| Some((row, told.get(&key(row))?))) {
            if *uses == row.uses {
                new.insert((row.workspace_id.clone(), row.name_key.clone()));
            }
        }
    }
    Ok(new)
}

fn key(row: &SightingRow) -> [&str; 4] {
    [&row.workspace_id, &row.name_key, &row.kind, &row.workflow]
}

/// How often each workflow of a batch was seen, these uses too.
async fn insert<'b>(write: &mut Write, batch: &'b [SightingRow]) -> Result<HashMap<[&'b str; 4], i64>> {
    macro_rules! inserted {
        ($engine:ty) => {{
            let mut query = QueryBuilder::<$engine>::new(
                "INSERT INTO sightings (workspace_id, name_key, kind, workflow, first_at, last_at, uses, connection_id, version, used_by, \
                 used_by_id, host, failed_at, failed_version) ",
            );
            query.push_values(batch, |mut row, seen| {
                row.push_bind(&seen.workspace_id)
                    .push_bind(&seen.name_key)
                    .push_bind(&seen.kind)
                    .push_bind(&seen.workflow)
                    .push_bind(seen.first_at)
                    .push_bind(seen.last_at)
                    .push_bind(seen.uses)
                    .push_bind(&seen.connection_id)
                    .push_bind(seen.version)
                    .push_bind(&seen.used_by)
                    .push_bind(&seen.used_by_id)
                    .push_bind(&seen.host)
                    .push_bind(seen.failed_at)
                    .push_bind(seen.failed_version);
            });
            query.push(
                " ON CONFLICT (workspace_id, name_key, kind, workflow) DO UPDATE SET last_at = excluded.last_at, \
                 uses = sightings.uses + excluded.uses, connection_id = excluded.connection_id, version = excluded.version, \
                 used_by = excluded.used_by, used_by_id = excluded.used_by_id, host = excluded.host, \
                 failed_at = COALESCE(excluded.failed_at, sightings.failed_at), \
                 failed_version = COALESCE(excluded.failed_version, sightings.failed_version) \
                 RETURNING workspace_id, name_key, kind, workflow, uses",
            );
            query
        }};
    }
    type Told = (String, String, String, String, i64);
    // Only the statement of a whole batch comes again.
    let is_whole = batch.len() == BATCH;
    let told = match write.engine() {
        Engine::Sqlite(connection) => {
            inserted!(sqlx::Sqlite).build_query_as::<Told>().persistent(is_whole).fetch_all(connection).await?
        }
        Engine::Postgres(connection) => {
            let mut query = inserted!(sqlx::Postgres);
            in_time(query.build_query_as::<Told>().persistent(is_whole).fetch_all(connection)).await?
        }
    };
    let told: HashMap<_, _> =
        told.into_iter().map(|(workspace, name, kind, workflow, uses)| ([workspace, name, kind, workflow], uses)).collect();
    let uses = |row: &'b SightingRow| Some((key(row), *told.get(&key(row).map(str::to_owned))?));
    Ok(batch.iter().filter_map(uses).collect())
}

/// A program that was given a version of a connection.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct HolderRow {
    /// Empty of those that are not known one by one.
    pub name_key: String,
    pub kind: String,
    pub workflow: String,
    /// Empty where none was told.
    pub host: String,
    pub used_by_id: String,
    pub version: i64,
    pub used_by: String,
    pub given_at: i64,
}

impl HolderRow {
    /// What tells it from others that use the connection.
    pub fn program(&self) -> [String; 5] {
        [&self.name_key, &self.kind, &self.workflow, &self.host, &self.used_by_id].map(Clone::clone)
    }
}

/// Notes which version a workflow was given, and that this program of it holds that. One of which it is told who it is holds no other any more.
pub async fn record_given(write: &mut Write, row: &SightingRow) -> Result<()> {
    execute!(
        write,
        "INSERT INTO sighting_versions (workspace_id, name_key, kind, workflow, connection_id, version) VALUES ($1, $2, $3, $4, $5, $6) \
         ON CONFLICT DO NOTHING",
        &row.workspace_id,
        &row.name_key,
        &row.kind,
        &row.workflow,
        &row.connection_id,
        row.version,
    )?;
    let host = row.host.as_deref().unwrap_or_default();
    // First, so that of two nodes that note the same program none waits for the other in a circle.
    if !row.kind.is_empty() && !host.is_empty() {
        execute!(
            write,
            "DELETE FROM holders WHERE connection_id = $1 AND name_key = $2 AND kind = $3 AND workflow = $4 AND host = $5 \
             AND used_by_id = $6 AND version <> $7 AND given_at < $8",
            &row.connection_id,
            &row.name_key,
            &row.kind,
            &row.workflow,
            host,
            &row.used_by_id,
            row.version,
            row.last_at,
        )?;
    }
    execute!(
        write,
        "INSERT INTO holders (workspace_id, connection_id, name_key, kind, workflow, host, used_by_id, version, used_by, given_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
         ON CONFLICT (connection_id, name_key, kind, workflow, host, used_by_id, version) DO UPDATE SET \
         used_by = excluded.used_by, given_at = excluded.given_at WHERE holders.given_at < excluded.given_at",
        &row.workspace_id,
        &row.connection_id,
        &row.name_key,
        &row.kind,
        &row.workflow,
        host,
        &row.used_by_id,
        row.version,
        &row.used_by,
        row.last_at,
    )?;
    Ok(())
}

/// Notes that programs that are not known one by one were given a version.
pub async fn record_unknown_holders(
    write: &mut Write,
    (workspace_id, connection_id): (&str, &str),
    (version, given_at): (i64, i64),
) -> Result<()> {
    execute!(
        write,
        "INSERT INTO holders (workspace_id, connection_id, name_key, kind, workflow, host, used_by_id, version, used_by, given_at) \
         SELECT id, $2, '', '', '', '', '', $3, '', $4 FROM workspaces WHERE id = $1 \
         ON CONFLICT (connection_id, name_key, kind, workflow, host, used_by_id, version) DO UPDATE SET \
         given_at = excluded.given_at WHERE holders.given_at < excluded.given_at",
        workspace_id,
        connection_id,
        version,
        given_at,
    )?;
    Ok(())
}

/// Keeps of a connection the `kept` programs that were given something last. Of the others it is noted which versions they were given.
pub async fn forget_holders(write: &mut Write, (workspace_id, connection_id): (&str, &str), kept: i64) -> Result<()> {
    let sql = "SELECT given_at FROM holders WHERE connection_id = $1 ORDER BY given_at DESC LIMIT 1 OFFSET $2";
    let Some((from,)) = fetch!(write, fetch_optional, (i64,), sql, connection_id, kept)? else { return Ok(()) };
    let sql = "SELECT version, max(given_at) FROM holders WHERE connection_id = $1 AND given_at < $2 AND name_key <> '' GROUP BY version ORDER BY version";
    for given in fetch!(write, fetch_all, (i64, i64), sql, connection_id, from)? {
        record_unknown_holders(write, (workspace_id, connection_id), given).await?;
    }
    let sql = "DELETE FROM holders WHERE connection_id = $1 AND given_at < $2 AND name_key <> ''";
    execute!(write, sql, connection_id, from)?;
    Ok(())
}

/// What the programs of a connection were given since a time, the latest first.
pub async fn holders(handle: &mut impl Handle, connection_id: &str, since: i64) -> Result<Vec<HolderRow>> {
    fetch!(
        handle,
        fetch_all,
        HolderRow,
        "SELECT name_key, kind, workflow, host, used_by_id, version, used_by, given_at FROM holders \
         WHERE connection_id = $1 AND given_at >= $2 ORDER BY given_at DESC, version DESC, kind, workflow, host",
        connection_id,
        since
    )
}

/// How many depend on a name, as it was last counted.
pub async fn dependents(handle: &mut impl Handle, (workspace_id, name_key): (&str, &str)) -> Result<DependentsRow> {
    let sql = "SELECT seen, found, changes FROM dependents WHERE workspace_id = $1 AND name_key = $2";
    Ok(fetch!(handle, fetch_optional, DependentsRow, sql, workspace_id, name_key)?.unwrap_or_default())
}

/// Keeps how many depend on a name. Whoever counts holds the row until his transaction ends.
pub async fn put_dependents(write: &mut Write, (workspace_id, name_key): (&str, &str), seen: i64, found: i64) -> Result<()> {
    execute!(
        write,
        "INSERT INTO dependents (workspace_id, name_key, seen, found, changes) VALUES ($1, $2, $3, $4, 1) \
         ON CONFLICT (workspace_id, name_key) DO UPDATE SET seen = excluded.seen, found = excluded.found, \
         changes = dependents.changes + 1",
        workspace_id,
        name_key,
        seen,
        found
    )?;
    Ok(())
}

/// Keeps the count of a name as it is until this transaction ends: of two that count it at the same instant the second finds what the first
/// left.
pub async fn hold_dependents(write: &mut Write, (workspace_id, name_key): (&str, &str)) -> Result<()> {
    execute!(
        write,
        "INSERT INTO dependents (workspace_id, name_key, seen, found, changes) VALUES ($1, $2, 0, 0, 0) \
         ON CONFLICT (workspace_id, name_key) DO UPDATE SET changes = dependents.changes",
        workspace_id,
        name_key
    )?;
    Ok(())
}

pub async fn count_sightings(handle: &mut impl Handle, (workspace_id, name_key): (&str, &str)) -> Result<i64> {
    let sql = "SELECT count(*) FROM sightings WHERE workspace_id = $1 AND name_key = $2";
    Ok(fetch!(handle, fetch_one, (i64,), sql, workspace_id, name_key)?.0)
}

/// Kind and name of every workflow that was seen using a name.
pub async fn all_sightings(handle: &mut impl Handle, (workspace_id, name_key): (&str, &str)) -> Result<Vec<(String, String)>> {
    let sql = "SELECT kind, workflow FROM sightings WHERE workspace_id = $1 AND name_key = $2";
    fetch!(handle, fetch_all, (String, String), sql, workspace_id, name_key)
}

/// The caller that brought the most workflows of a name.
pub async fn busiest_caller(handle: &mut impl Handle, (workspace_id, name_key): (&str, &str)) -> Result<Option<String>> {
    let sql = "SELECT used_by_id FROM sightings WHERE workspace_id = $1 AND name_key = $2 \
               GROUP BY used_by_id ORDER BY count(*) DESC, used_by_id LIMIT 1";
    Ok(fetch!(handle, fetch_optional, (String,), sql, workspace_id, name_key)?.map(|(id,)| id))
}

/// Forgets those workflows of a name that this caller used longest ago, at most `limit`; gives how many.
pub async fn forget_oldest(
    write: &mut Write,
    (workspace_id, name_key): (&str, &str),
    used_by_id: &str,
    limit: i64,
) -> Result<u64> {
    let gone = execute!(
        write,
        "DELETE FROM sightings WHERE workspace_id = $1 AND name_key = $2 AND (kind, workflow) IN (SELECT kind, workflow FROM sightings \
         WHERE workspace_id = $1 AND name_key = $2 AND used_by_id = $3 ORDER BY last_at, kind, workflow LIMIT $4)",
        workspace_id,
        name_key,
        used_by_id,
        limit
    )?;
    forget_versions(write, (workspace_id, name_key)).await?;
    Ok(gone)
}

/// Forgets the workflows of a name that were last seen before that time; gives how many.
pub async fn forget_before(write: &mut Write, (workspace_id, name_key): (&str, &str), before: i64) -> Result<u64> {
    let sql = "DELETE FROM sightings WHERE workspace_id = $1 AND name_key = $2 AND last_at < $3";
    let gone = execute!(write, sql, workspace_id, name_key, before)?;
    forget_versions(write, (workspace_id, name_key)).await?;
    Ok(gone)
}

async fn forget_versions(write: &mut Write, (workspace_id, name_key): (&str, &str)) -> Result<()> {
    execute!(
        write,
        "DELETE FROM sighting_versions WHERE workspace_id = $1 AND name_key = $2 AND NOT EXISTS (SELECT 1 FROM sightings s \
         WHERE s.workspace_id = $1 AND s.name_key = $2 AND s.kind = sighting_versions.kind AND s.workflow = sighting_versions.workflow)",
        workspace_id,
        name_key
    )?;
    Ok(())
}

/// Names with a workflow that was last seen before that time, at most `limit`.
pub async fn names_seen_before(handle: &mut impl Handle, before: i64, limit: i64) -> Result<Vec<(String, String)>> {
    let sql = "SELECT DISTINCT workspace_id, name_key FROM sightings WHERE last_at < $1 LIMIT $2";
    fetch!(handle, fetch_all, (String, String), sql, before, limit)
}

/// Which workflows of a name somebody may see: all, or besides pipelines and apps his own alone.
#[derive(Debug, Clone, Copy)]
pub enum Seer<'s> {
    All,
    Only(&'s str),
}

impl Seer<'_> {
    /// As statements take it.
    pub(super) fn id(&self) -> Option<&str> {
        match self {
            Self::All => None,
            Self::Only(id) => Some(id),
        }
    }
}

/// A page of the workflows that were seen using a name, the latest first: after the place of a row, its `last_at`, kind and name.
pub async fn list_sightings(
    handle: &mut impl Handle,
    (workspace_id, name_key): (&str, &str),
    seer: Seer<'_>,
    (at, kind, workflow): (i64, &str, &str),
    limit: i64,
) -> Result<Vec<SightingRow>> {
    fetch!(
        handle,
        fetch_all,
        SightingRow,
        "SELECT * FROM sightings WHERE workspace_id = $1 AND name_key = $2 AND (last_at, kind, workflow) < ($3, $4, $5) \
         AND ($6 IS NULL OR kind IN ('pipeline', 'app') OR used_by_id = $6) ORDER BY last_at DESC, kind DESC, workflow DESC LIMIT $7",
        workspace_id,
        name_key,
        at,
        kind,
        workflow,
        seer.id(),
        limit
    )
}

/// How many of the workflows of a name somebody may see: of those seen, and of those found alone.
pub async fn count_visible(
    handle: &mut impl Handle,
    (workspace_id, name_key): (&str, &str),
    seer: Seer<'_>,
) -> Result<(i64, i64)> {
    fetch!(
        handle,
        fetch_one,
        (i64, i64),
        "SELECT (SELECT count(*) FROM sightings WHERE workspace_id = $1 AND name_key = $2 \
         AND ($3 IS NULL OR kind IN ('pipeline', 'app') OR used_by_id = $3)), \
         (SELECT count(*) FROM (SELECT DISTINCT kind, workflow FROM findings WHERE workspace_id = $1 AND name_key = $2 AND NOT is_seen \
         AND ($3 IS NULL OR kind IN ('pipeline', 'app'))) found)",
        workspace_id,
        name_key,
        seer.id()
    )
}

/// How many workflows used a name at or after that time.
pub async fn count_since(handle: &mut impl Handle, (workspace_id, name_key): (&str, &str), since: i64) -> Result<i64> {
    let sql = "SELECT count(*) FROM sightings WHERE workspace_id = $1 AND name_key = $2 AND last_at >= $3";
    Ok(fetch!(handle, fetch_one, (i64,), sql, workspace_id, name_key, since)?.0)
}

/// How many workflows could not connect with this version of a connection since a time, and when the last of them.
pub async fn count_failing(
    handle: &mut impl Handle,
    (workspace_id, name_key): (&str, &str),
    (connection_id, version): (&str, i64),
    since: i64,
) -> Result<(i64, Option<i64>)> {
    fetch!(
        handle,
        fetch_one,
        (i64, Option<i64>),
        "SELECT count(*), max(failed_at) FROM sightings WHERE workspace_id = $1 AND name_key = $2 AND connection_id = $3 \
         AND failed_version = $4 AND failed_at >= $5",
        workspace_id,
        name_key,
        connection_id,
        version,
        since
    )
}

/// The last version of a connection before this one that has another fingerprint and whose last test passed; else the last such one that was
/// never tested.
pub async fn good_before(
    handle: &mut impl Handle,
    (connection_id, version): (&str, i64),
    fingerprint: &str,
) -> Result<Option<i64>> {
    let found = fetch!(
        handle,
        fetch_optional,
        (i64,),
        "SELECT version FROM (SELECT v.version AS version, (SELECT k.status FROM checks k WHERE k.connection_id = v.connection_id \
         AND k.version = v.version ORDER BY k.checked_at DESC, k.id DESC LIMIT 1) AS status FROM connection_versions v \
         WHERE v.connection_id = $1 AND v.version < $2 AND v.fingerprint <> $3) AS earlier WHERE status = 'ok' OR status IS NULL \
         ORDER BY CASE WHEN status = 'ok' THEN 0 ELSE 1 END, version DESC LIMIT 1",
        connection_id,
        version,
        fingerprint
    )?;
    Ok(found.map(|(version,)| version))
}

/// Who was seen using a name, each once: label and identity.
pub async fn callers_seen(handle: &mut impl Handle, (workspace_id, name_key): (&str, &str)) -> Result<Vec<(String, String)>> {
    let sql = "SELECT DISTINCT used_by, used_by_id FROM sightings WHERE workspace_id = $1 AND name_key = $2";
    fetch!(handle, fetch_all, (String, String), sql, workspace_id, name_key)
}

/// When a workflow last used a name.
pub async fn last_use(handle: &mut impl Handle, (workspace_id, name_key): (&str, &str)) -> Result<Option<i64>> {
    let sql = "SELECT max(last_at) FROM sightings WHERE workspace_id = $1 AND name_key = $2";
    Ok(fetch!(handle, fetch_one, (Option<i64>,), sql, workspace_id, name_key)?.0)
}

/// Workflows that one statement takes.
const AMONG: usize = 50;

/// The versions of a connection that workflows with these names were given: kind, name, version.
pub async fn versions_given(
    handle: &mut impl Handle,
    (workspace_id, name_key): (&str, &str),
    connection_id: &str,
    workflows: &[&str],
) -> Result<Vec<(String, String, i64)>> {
    let mut given = Vec::new();
    for batch in workflows.chunks(AMONG) {
        let mut slots = [None; AMONG];
        for (slot, workflow) in slots.iter_mut().zip(batch) {
            *slot = Some(*workflow);
        }
        given.extend(fetch!(
            handle,
            fetch_all,
            (String, String, i64),
            "SELECT kind, workflow, version FROM sighting_versions WHERE workspace_id = $1 AND name_key = $2 AND connection_id = $3 \
             AND workflow IN ($4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, \
             $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38, $39, $40, $41, $42, $43, $44, $45, $46, $47, $48, \
             $49, $50, $51, $52, $53) ORDER BY version",
            workspace_id,
            name_key,
            connection_id;
            slots;
        )?);
    }
    Ok(given)
}
