//! What the page Activity asks for: changes and counts of reads, each by the filter that is narrowest.

use super::{AuditRow, Handle, HealthChangeRow, ReadsRow, Result, fetch};

/// Which events to show. An empty text asks for all.
#[derive(Debug, Clone, Copy)]
pub struct ActivityQuery<'q> {
    /// Empty: of changes, those that belong to no workspace; of reads none.
    pub workspace_id: &'q str,
    pub actor: &'q str,
    pub connection: &'q str,
    pub action: &'q str,
    /// Of reads; changes have none.
    pub workflow: &'q str,
    pub since: i64,
    /// The time and id of the last that was read.
    pub before: (i64, &'q str),
    pub limit: i64,
}

// One text for each filter that an index leads by: SQLite plans without looking at what is bound. It takes any workspace for a small one,
// so that where a filter is to lead the workspace is compared as an expression, which no index has.
macro_rules! events_sql {
    ($workspace:literal, $by:literal) => {
        concat!(
            "SELECT * FROM audit_events WHERE ",
            $workspace,
            $by,
            " AND ($4 = '' OR action = $4) AND at >= $5 AND (at, id) < ($6, $7) ORDER BY at DESC, id DESC LIMIT $8"
        )
    };
}

const EVENTS: &str = events_sql!("workspace_id = $1", " AND $2 = '' AND $3 = ''");
const EVENTS_OF_NONE: &str = events_sql!("workspace_id IS NULL AND $1 = ''", " AND ($2 = '' OR actor = $2) AND $3 = ''");
const EVENTS_BY_OBJECT: &str =
    events_sql!("workspace_id || '' = $1", " AND object = $3 AND action LIKE 'connection.%' AND ($2 = '' OR actor = $2)");
const EVENTS_BY_ACTOR: &str = events_sql!("workspace_id || '' = $1", " AND actor = $2 AND $3 = ''");

/// Changes, newest first.
pub async fn list_events(handle: &mut impl Handle, query: &ActivityQuery<'_>) -> Result<Vec<AuditRow>> {
    let sql = match query {
        ActivityQuery { workspace_id: "", .. } => EVENTS_OF_NONE,
        ActivityQuery { connection: "", actor: "", .. } => EVENTS,
        ActivityQuery { connection: "", .. } => EVENTS_BY_ACTOR,
        _ => EVENTS_BY_OBJECT,
    };
    fetch!(
        handle,
        fetch_all,
        AuditRow,
        sql,
        query.workspace_id,
        query.actor,
        query.connection,
        query.action,
        query.since,
        query.before.0,
        query.before.1,
        query.limit
    )
}

macro_rules! reads_sql {
    ($workspace:literal, $by:literal) => {
        concat!(
            "SELECT * FROM audit_reads WHERE ",
            $workspace,
            $by,
            " AND ($4 = '' OR action = $4) AND ($5 = '' OR workflow = $5) AND at >= $6 AND (at, id) < ($7, $8) \
             ORDER BY at DESC, id DESC LIMIT $9"
        )
    };
}

const READS: &str = reads_sql!("workspace_id = $1", " AND $2 = '' AND $3 = ''");
const READS_BY_CONNECTION: &str = reads_sql!("workspace_id || '' = $1", " AND connection = $3 AND ($2 = '' OR actor = $2)");
const READS_BY_ACTOR: &str = reads_sql!("workspace_id || '' = $1", " AND actor = $2 AND $3 = ''");

/// Reads by machines, newest first.
pub async fn list_reads(handle: &mut impl Handle, query: &ActivityQuery<'_>) -> Result<Vec<ReadsRow>> {
    let sql = match query {
        ActivityQuery { connection: "", actor: "", .. } => READS,
        ActivityQuery { connection: "", .. } => READS_BY_ACTOR,
        _ => READS_BY_CONNECTION,
    };
    fetch!(
        handle,
        fetch_all,
        ReadsRow,
        sql,
        query.workspace_id,
        query.actor,
        query.connection,
        query.action,
        query.workflow,
        query.since,
        query.before.0,
        query.before.1,
        query.limit
    )
}

/// A name that a connection had, and when it got another.
#[derive(Debug, sqlx::FromRow)]
pub struct FormerNameRow {
    pub name: String,
    pub until: i64,
}

/// Those of a connection, the last first.
pub async fn former_names(handle: &mut impl Handle, connection_id: &str, limit: i64) -> Result<Vec<FormerNameRow>> {
    fetch!(
        handle,
        fetch_all,
        FormerNameRow,
        "SELECT v.name, n.saved_at AS until FROM connection_versions v JOIN connection_versions n \
         ON n.connection_id = v.connection_id AND n.version = v.version + 1 \
         WHERE v.connection_id = $1 AND n.name <> v.name ORDER BY v.version DESC LIMIT $2",
        connection_id,
        limit
    )
}

/// A check of a connection by its name.
#[derive(Debug, sqlx::FromRow)]
pub struct NamedCheckRow {
    pub id: String,
    pub version: i64,
    pub report: String,
    pub checked_at: i64,
    pub checked_by: String,
}

/// Changes of how all stood that bore the name of the query's connection, to a state, newest first.
pub async fn list_named_health_changes(
    handle: &mut impl Handle,
    query: &ActivityQuery<'_>,
    state: &str,
) -> Result<Vec<HealthChangeRow>> {
    fetch!(
        handle,
        fetch_all,
        HealthChangeRow,
        "SELECT h.* FROM connections c JOIN health_changes h ON h.connection_id = c.id \
         WHERE c.workspace_id = $1 AND c.name_key = $2 AND c.name = $3 AND h.state = $4 AND h.at >= $5 \
         AND (h.at, h.id) < ($6, $7) ORDER BY h.at DESC, h.id DESC LIMIT $8",
        query.workspace_id,
        query.connection.to_ascii_lowercase(),
        query.connection,
        state,
        query.since,
        query.before.0,
        query.before.1,
        query.limit
    )
}

/// Checks of all that bore the name of the query's connection, newest first; those that a schedule asked for only by its name, since there are many
/// and what they came to is told by [`list_named_health_changes`].
pub async fn list_named_checks(handle: &mut impl Handle, query: &ActivityQuery<'_>) -> Result<Vec<NamedCheckRow>> {
    fetch!(
        handle,
        fetch_all,
        NamedCheckRow,
        "SELECT k.id, k.version, k.report, k.checked_at, k.checked_by FROM connections c JOIN checks k ON k.connection_id = c.id \
         WHERE c.workspace_id = $1 AND c.name_key = $2 AND c.name = $3 AND (($4 = '' AND k.checked_by <> 'schedule') OR k.checked_by = $4) AND k.checked_at >= $5 \
         AND (k.checked_at, k.id) < ($6, $7) ORDER BY k.checked_at DESC, k.id DESC LIMIT $8",
        query.workspace_id,
        query.connection.to_ascii_lowercase(),
        query.connection,
        query.actor,
        query.since,
        query.before.0,
        query.before.1,
        query.limit
    )
}

/// What a workflow once did with a name. `id` tells it from all else that is listed with it.
#[derive(Debug, sqlx::FromRow)]
pub struct SightedRow {
    pub id: String,
    pub at: i64,
    pub kind: String,
    pub workflow: String,
    pub version: Option<i64>,
}

// Of a name there are at most some ten thousand: `dependents::settle::SIGHTINGS_MAX`.
macro_rules! sighted_sql {
    ($id:literal, $at:literal, $version:literal) => {
        concat!(
            "SELECT id, at, kind, workflow, version FROM (SELECT '",
            $id,
            " ' || kind || ' ' || workflow AS id, ",
            $at,
            " AS at, kind, workflow, ",
            $version,
            " AS version FROM sightings WHERE workspace_id = $1 AND name_key = $2 AND ($3 = '' OR workflow = $3)) AS told \
             WHERE at >= $4 AND (at, id) < ($5, $6) ORDER BY at DESC, id DESC LIMIT $7"
        )
    };
}

/// When each workflow used the name first, newest first.
pub async fn list_first_uses(handle: &mut impl Handle, query: &ActivityQuery<'_>) -> Result<Vec<SightedRow>> {
    list_sighted(handle, query, sighted_sql!("first", "first_at", "CAST(NULL AS BIGINT)")).await
}

/// When each workflow could not connect for the last time, newest first.
pub async fn list_failures(handle: &mut impl Handle, query: &ActivityQuery<'_>) -> Result<Vec<SightedRow>> {
    list_sighted(handle, query, sighted_sql!("failed", "failed_at", "failed_version")).await
}

async fn list_sighted(handle: &mut impl Handle, query: &ActivityQuery<'_>, sql: &'static str) -> Result<Vec<SightedRow>> {
    fetch!(
        handle,
        fetch_all,
        SightedRow,
        sql,
        query.workspace_id,
        query.connection.to_ascii_lowercase(),
        query.workflow,
        query.since,
        query.before.0,
        query.before.1,
        query.limit
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{fixture::TestApp, store::Engine};

    /// A busy workspace has millions of rows: each list is one range of the index that its filter leads by.
    #[tokio::test]
    async fn each_list_is_a_range_of_its_index() {
        let app = TestApp::on_sqlite().await;
        let mut read = app.store.read().await.expect("a session");
        for (sql, index) in [
            (EVENTS, "audit_events_workspace (workspace_id=? AND at>? AND (at,id)<(?,?))"),
            (EVENTS_OF_NONE, "audit_events_workspace (workspace_id=? AND at>? AND (at,id)<(?,?))"),
            (EVENTS_BY_OBJECT, "audit_events_object (object=? AND at>? AND (at,id)<(?,?))"),
            (EVENTS_BY_ACTOR, "audit_events_actor (actor=? AND at>? AND (at,id)<(?,?))"),
            (READS, "audit_reads_workspace (workspace_id=? AND at>? AND (at,id)<(?,?))"),
            (READS_BY_CONNECTION, "audit_reads_connection (connection=? AND at>? AND (at,id)<(?,?))"),
            (READS_BY_ACTOR, "audit_reads_actor (actor=? AND at>? AND (at,id)<(?,?))"),
        ] {
            let Engine::Sqlite(connection) = read.engine() else { unreachable!("it is SQLite") };
            let explained = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
            let plan: Vec<(i64, i64, i64, String)> = sqlx::query_as(explained).fetch_all(connection).await.expect("a plan");
            let steps: Vec<_> = plan.iter().map(|(.., step)| step.as_str()).collect();
            assert!(matches!(steps.as_slice(), [one] if one.ends_with(index)), "{sql}: {steps:?}");
        }
    }
}
