//! Live connections together with the version that serves of each, in one statement: a save between two would be read in halves.

use super::{ConnectionRow, Handle, Result, VersionRow, fetch};

#[derive(Debug, sqlx::FromRow)]
struct Serving {
    #[sqlx(flatten)]
    connection: ConnectionRow,
    v_name: String,
    v_type: String,
    v_description: String,
    v_tags: String,
    v_fields: String,
    v_endpoint_paths: String,
    v_secrets: String,
    v_fingerprint: String,
    v_saved_at: i64,
    v_saved_by: String,
    v_key_version: i64,
    v_restored_from: Option<i64>,
    v_mac: Vec<u8>,
}

impl Serving {
    fn split(self) -> (ConnectionRow, VersionRow) {
        let version = VersionRow {
            connection_id: self.connection.id.clone(),
            version: self.connection.version,
            name: self.v_name,
            type_id: self.v_type,
            description: self.v_description,
            tags: self.v_tags,
            fields: self.v_fields,
            endpoint_paths: self.v_endpoint_paths,
            secrets: self.v_secrets,
            fingerprint: self.v_fingerprint,
            saved_at: self.v_saved_at,
            saved_by: self.v_saved_by,
            key_version: self.v_key_version,
            restored_from: self.v_restored_from,
            mac: self.v_mac,
        };
        (self.connection, version)
    }
}

macro_rules! serving {
    ($rest:literal) => {
        serving!(
            "connections c JOIN connection_versions v ON v.connection_id = c.id AND v.version = c.version \
             WHERE c.workspace_id = $1 AND c.deleted_at IS NULL AND ",
            $rest
        )
    };
    ($from:literal, $rest:literal) => {
        concat!(
            "SELECT c.*, v.name AS v_name, v.type AS v_type, v.description AS v_description, v.tags AS v_tags, v.fields AS v_fields, \
             v.endpoint_paths AS v_endpoint_paths, v.secrets AS v_secrets, v.fingerprint AS v_fingerprint, v.saved_at AS v_saved_at, \
             v.saved_by AS v_saved_by, v.key_version AS v_key_version, v.restored_from AS v_restored_from, v.mac AS v_mac FROM ",
            $from,
            $rest
        )
    };
}

/// Those of a workspace after this name key, in the order of their names.
pub async fn serving_after(
    handle: &mut impl Handle,
    workspace_id: &str,
    after: &str,
    limit: i64,
) -> Result<Vec<(ConnectionRow, VersionRow)>> {
    let sql = serving!("c.name_key > $2 ORDER BY c.name_key LIMIT $3");
    let rows = fetch!(handle, fetch_all, Serving, sql, workspace_id, after, limit)?;
    Ok(rows.into_iter().map(Serving::split).collect())
}

/// Those whose password has this mark, by their ids, after one.
pub async fn serving_with_mark(
    handle: &mut impl Handle,
    workspace_id: &str,
    (mark, after): (&[u8], &str),
    limit: i64,
) -> Result<Vec<(ConnectionRow, VersionRow)>> {
    // From the marks on, in the order of their index: a workspace has many connections, of which few have one.
    let sql = serving!(
        "password_marks m CROSS JOIN connections c CROSS JOIN connection_versions v WHERE m.workspace_id = $1 AND m.mark = $2 ",
        "AND m.connection_id > $3 AND c.id = m.connection_id AND c.version = m.version AND c.deleted_at IS NULL \
         AND v.connection_id = c.id AND v.version = c.version ORDER BY m.connection_id LIMIT $4"
    );
    let rows = fetch!(handle, fetch_all, Serving, sql, workspace_id, mark, after, limit)?;
    Ok(rows.into_iter().map(Serving::split).collect())
}

/// Those after this name key of which it is not known which password they have in common with others.
pub async fn serving_unmarked(
    handle: &mut impl Handle,
    workspace_id: &str,
    after: &str,
    limit: i64,
) -> Result<Vec<(ConnectionRow, VersionRow)>> {
    let sql = serving!(
        "c.name_key > $2 AND NOT EXISTS (SELECT 1 FROM password_marks m WHERE m.connection_id = c.id AND m.version = c.version) \
         ORDER BY c.name_key LIMIT $3"
    );
    let rows = fetch!(handle, fetch_all, Serving, sql, workspace_id, after, limit)?;
    Ok(rows.into_iter().map(Serving::split).collect())
}

/// The one of this name, in whichever case it is written.
pub async fn serving(
    handle: &mut impl Handle,
    workspace_id: &str,
    name_key: &str,
) -> Result<Option<(ConnectionRow, VersionRow)>> {
    let row = fetch!(handle, fetch_optional, Serving, serving!("c.name_key = $2"), workspace_id, name_key)?;
    Ok(row.map(Serving::split))
}
