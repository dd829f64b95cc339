//! Deleting what nobody needs any more, in batches, and whose turn it is to do so.

use super::{Db, Handle, Result, Store, Write, execute, fetch};

impl Store {
    /// Takes out of the log of the embedded store what was deleted or replaced in it; `false` if somebody who still reads an older state
    /// needs it there.
    pub async fn empty_log(&self) -> Result<bool> {
        let Db::Sqlite { writer, .. } = &self.db else { return Ok(true) };
        let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
        let (is_busy, _, _): (i64, i64, i64) = sqlx::query_as(sql).fetch_one(writer).await?;
        Ok(is_busy == 0)
    }
}

/// Moves the time of a job's last run on to `now`; `false` if it ran after `before` already, on any node. One that is not known has never run.
pub async fn take_turn(write: &mut Write, job: &str, now: i64, before: i64) -> Result<bool> {
    let sql = "INSERT INTO jobs (name, ran_at) VALUES ($1, $2) \
               ON CONFLICT (name) DO UPDATE SET ran_at = excluded.ran_at WHERE jobs.ran_at <= $3";
    let taken = execute!(write, sql, job, now, before)?;
    Ok(taken == 1)
}

/// Rows that are no longer needed. Times are microseconds UTC.
#[derive(Debug)]
pub enum Batch {
    Sessions {
        idle_since: i64,
        begun_before: i64,
    },
    Links {
        expired_before: i64,
    },
    IdempotencyKeys {
        noted_before: i64,
    },
    /// Checks of any connection.
    OldChecks {
        checked_before: i64,
    },
    /// Changes of how a connection stood.
    OldHealthChanges {
        changed_before: i64,
    },
    /// Schedules that connections had of their own that were deleted before that time.
    HealthSchedules {
        deleted_before: i64,
    },
    /// What was silenced of connections that were deleted before that time.
    LintSilences {
        deleted_before: i64,
    },
    /// Counts of reads by machines, of any connection.
    OldReads {
        read_before: i64,
    },
    /// Versions of a connection that another one replaced before that time.
    Replaced {
        connection: String,
        before: i64,
    },
    /// Second logins of connections that were deleted before that time.
    SecondLogins {
        deleted_before: i64,
    },
    /// Rotation policies of the same.
    RotationPolicies {
        deleted_before: i64,
    },
    /// Programs that were last given a version before that time.
    Holders {
        given_before: i64,
    },
    /// Versions of connections that were deleted before that time: nobody can restore them any more.
    Deleted {
        before: i64,
    },
}

/// Deletes at most `limit` of the rows; gives how many.
pub async fn delete_batch(write: &mut Write, batch: &Batch, limit: i64) -> Result<u64> {
    match batch {
        Batch::Sessions { idle_since, begun_before } => execute!(
            write,
            "DELETE FROM sessions WHERE hash IN (SELECT hash FROM sessions WHERE seen_at < $1 OR created_at < $2 LIMIT $3)",
            idle_since,
            begun_before,
            limit
        ),
        Batch::Links { expired_before } => execute!(
            write,
            "DELETE FROM links WHERE hash IN (SELECT hash FROM links WHERE expires_at <= $1 LIMIT $2)",
            expired_before,
            limit
        ),
        Batch::IdempotencyKeys { noted_before } => execute!(
            write,
            "DELETE FROM idempotency_keys WHERE hash IN (SELECT hash FROM idempotency_keys WHERE at < $1 LIMIT $2)",
            noted_before,
            limit
        ),
        Batch::OldChecks { checked_before } => execute!(
            write,
            "DELETE FROM checks WHERE id IN (SELECT id FROM checks WHERE checked_at < $1 LIMIT $2)",
            checked_before,
            limit
        ),
        Batch::OldHealthChanges { changed_before } => execute!(
            write,
            "DELETE FROM health_changes WHERE id IN (SELECT id FROM health_changes WHERE at < $1 LIMIT $2)",
            changed_before,
            limit
        ),
        Batch::HealthSchedules { deleted_before } => execute!(
            write,
            "DELETE FROM health_schedules WHERE scope IN (SELECT s.scope FROM health_schedules s \
             JOIN connections c ON s.scope = ':connection:' || c.id WHERE c.deleted_at < $1 LIMIT $2)",
            deleted_before,
            limit
        ),
        Batch::LintSilences { deleted_before } => execute!(
            write,
            "DELETE FROM lint_silences WHERE scope IN (SELECT s.scope FROM lint_silences s \
             JOIN connections c ON s.scope = ':connection:' || c.id WHERE c.deleted_at < $1 LIMIT $2)",
            deleted_before,
            limit
        ),
        Batch::OldReads { read_before } => execute!(
            write,
            "DELETE FROM audit_reads WHERE id IN (SELECT id FROM audit_reads WHERE last_at < $1 AND at < $1 LIMIT $2)",
            read_before,
            limit
        ),
        Batch::Replaced { connection, before } => execute!(
            write,
            "DELETE FROM connection_versions WHERE connection_id = $1 AND version IN (SELECT o.version FROM connection_versions o \
             WHERE o.connection_id = $1 AND o.version < (SELECT max(n.version) FROM connection_versions n \
             JOIN connections c ON c.id = n.connection_id WHERE n.connection_id = $1 AND n.saved_at < $2 AND n.version <= c.version) \
             ORDER BY o.version LIMIT $3)",
            connection,
            before,
            limit
        ),
        Batch::SecondLogins { deleted_before } => execute!(
            write,
            "DELETE FROM second_logins WHERE connection_id IN (SELECT s.connection_id FROM second_logins s \
             JOIN connections c ON c.id = s.connection_id WHERE c.deleted_at < $1 LIMIT $2)",
            deleted_before,
            limit
        ),
        Batch::RotationPolicies { deleted_before } => execute!(
            write,
            "DELETE FROM rotation_policies WHERE connection_id IN (SELECT p.connection_id FROM rotation_policies p \
             JOIN connections c ON c.id = p.connection_id WHERE c.deleted_at < $1 LIMIT $2)",
            deleted_before,
            limit
        ),
        Batch::Holders { given_before } => execute!(
            write,
            "DELETE FROM holders WHERE (connection_id, name_key, kind, workflow, host, used_by_id, version) IN (SELECT connection_id, \
             name_key, kind, workflow, host, used_by_id, version FROM holders WHERE given_at < $1 LIMIT $2)",
            given_before,
            limit
        ),
        Batch::Deleted { before } => execute!(
            write,
            "DELETE FROM connection_versions WHERE (connection_id, version) IN (SELECT v.connection_id, v.version FROM connections c \
             JOIN connection_versions v ON v.connection_id = c.id WHERE c.deleted_at < $1 LIMIT $2)",
            before,
            limit
        ),
    }
}

/// Connections that have versions which another one replaced before that time, at most `limit`.
pub async fn connections_with_replaced(handle: &mut impl Handle, before: i64, limit: i64) -> Result<Vec<String>> {
    let sql = "SELECT DISTINCT n.connection_id FROM connection_versions n JOIN connections c ON c.id = n.connection_id \
               WHERE n.saved_at < $1 AND n.version <= c.version AND EXISTS (SELECT 1 FROM connection_versions o \
               WHERE o.connection_id = n.connection_id AND o.version < n.version) LIMIT $2";
    let rows = fetch!(handle, fetch_all, (String,), sql, before, limit)?;
    Ok(rows.into_iter().map(|(id,)| id).collect())
}
