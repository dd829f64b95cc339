//! The list page: ranges of `search_terms`. Every filter is a term, so one text serves every combination.

use super::{ConnectionRow, Handle, Result, Write, execute, fetch};

/// In which order a page of the list is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ListSort {
    #[default]
    Name,
    NameDescending,
    /// Newest change first.
    Updated,
}

/// Most terms besides the first that a query takes.
pub const OTHER_TERMS: usize = 5;

pub async fn put_terms(write: &mut Write, row: &ConnectionRow, terms: &[String]) -> Result<()> {
    for term in terms {
        execute!(
            write,
            "INSERT INTO search_terms (workspace_id, term, name_key, connection_id) VALUES ($1, $2, $3, $4)",
            &row.workspace_id,
            term,
            &row.name_key,
            &row.id
        )?;
    }
    Ok(())
}

pub async fn remove_terms(write: &mut Write, connection_id: &str) -> Result<()> {
    execute!(write, "DELETE FROM search_terms WHERE connection_id = $1", connection_id)?;
    Ok(())
}

/// Replaces a connection's one `status:…` term.
pub async fn replace_status(write: &mut Write, row: &ConnectionRow, status: &str) -> Result<()> {
    execute!(write, "DELETE FROM search_terms WHERE connection_id = $1 AND term >= 'status:' AND term < 'status;'", &row.id)?;
    put_terms(write, row, &[status.to_owned()]).await
}

/// How many live connections have a term.
pub async fn count_term(handle: &mut impl Handle, workspace_id: &str, term: &str) -> Result<i64> {
    let (count,) = fetch!(
        handle,
        fetch_one,
        (i64,),
        "SELECT count(*) FROM search_terms WHERE workspace_id = $1 AND term = $2",
        workspace_id,
        term
    )?;
    Ok(count)
}

/// Distinct `prefix…` terms of a workspace with their counts, for example all `tag:` terms.
async fn terms_in_use(handle: &mut impl Handle, workspace_id: &str, from: &str, to: &str) -> Result<Vec<(String, i64)>> {
    fetch!(
        handle,
        fetch_all,
        (String, i64),
        "SELECT term, count(*) FROM search_terms WHERE workspace_id = $1 AND term >= $2 AND term < $3 GROUP BY term ORDER BY term",
        workspace_id,
        from,
        to
    )
}

/// Tags of live connections in lower case, with how many have each.
pub async fn tags_in_use(handle: &mut impl Handle, workspace_id: &str) -> Result<Vec<(String, i64)>> {
    terms_in_use(handle, workspace_id, "tag:", "tag;").await
}

/// Type ids of live connections, with how many have each.
pub async fn types_in_use(handle: &mut impl Handle, workspace_id: &str) -> Result<Vec<(String, i64)>> {
    terms_in_use(handle, workspace_id, "type:", "type;").await
}

/// A page by name: live connections that have every term, after the name key `after` (before it when descending).
pub async fn list_by_name(handle: &mut impl Handle, query: &NamePage<'_>) -> Result<Vec<ConnectionRow>> {
    let [first, second, third, fourth, fifth, sixth] = query.terms;
    if query.descending {
        fetch!(
            handle,
            fetch_all,
            ConnectionRow,
            "SELECT c.* FROM search_terms t JOIN connections c ON c.id = t.connection_id \
             WHERE t.workspace_id = $1 AND t.term = $2 AND c.deleted_at IS NULL AND ($3 = '' OR t.name_key < $3) \
             AND ($4 = '' OR EXISTS (SELECT 1 FROM search_terms o WHERE o.connection_id = c.id AND o.term = $4)) \
             AND ($5 = '' OR EXISTS (SELECT 1 FROM search_terms o WHERE o.connection_id = c.id AND o.term = $5)) \
             AND ($6 = '' OR EXISTS (SELECT 1 FROM search_terms o WHERE o.connection_id = c.id AND o.term = $6)) \
             AND ($7 = '' OR EXISTS (SELECT 1 FROM search_terms o WHERE o.connection_id = c.id AND o.term = $7)) \
             AND ($8 = '' OR EXISTS (SELECT 1 FROM search_terms o WHERE o.connection_id = c.id AND o.term = $8)) \
             ORDER BY t.name_key DESC LIMIT $9",
            query.workspace_id,
            first,
            query.after,
            second,
            third,
            fourth,
            fifth,
            sixth,
            query.limit
        )
    } else {
        fetch!(
            handle,
            fetch_all,
            ConnectionRow,
            "SELECT c.* FROM search_terms t JOIN connections c ON c.id = t.connection_id \
             WHERE t.workspace_id = $1 AND t.term = $2 AND c.deleted_at IS NULL AND t.name_key > $3 \
             AND ($4 = '' OR EXISTS (SELECT 1 FROM search_terms o WHERE o.connection_id = c.id AND o.term = $4)) \
             AND ($5 = '' OR EXISTS (SELECT 1 FROM search_terms o WHERE o.connection_id = c.id AND o.term = $5)) \
             AND ($6 = '' OR EXISTS (SELECT 1 FROM search_terms o WHERE o.connection_id = c.id AND o.term = $6)) \
             AND ($7 = '' OR EXISTS (SELECT 1 FROM search_terms o WHERE o.connection_id = c.id AND o.term = $7)) \
             AND ($8 = '' OR EXISTS (SELECT 1 FROM search_terms o WHERE o.connection_id = c.id AND o.term = $8)) \
             ORDER BY t.name_key LIMIT $9",
            query.workspace_id,
            first,
            query.after,
            second,
            third,
            fourth,
            fifth,
            sixth,
            query.limit
        )
    }
}

/// `terms` is the driving term (empty: all) and up to five more (empty: none).
#[derive(Debug)]
pub struct NamePage<'q> {
    pub workspace_id: &'q str,
    pub terms: [&'q str; 6],
    pub after: &'q str,
    pub descending: bool,
    pub limit: i64,
}

/// `before` is the place of the last row that was read: its `updated_at` and id.
#[derive(Debug)]
pub struct UpdatedPage<'q> {
    pub workspace_id: &'q str,
    pub terms: [&'q str; 6],
    pub before: (i64, &'q str),
    pub limit: i64,
}

/// A page by time of the last change, newest first.
pub async fn list_by_updated(handle: &mut impl Handle, query: &UpdatedPage<'_>) -> Result<Vec<ConnectionRow>> {
    let [first, second, third, fourth, fifth, sixth] = query.terms;
    fetch!(
        handle,
        fetch_all,
        ConnectionRow,
        "SELECT c.* FROM connections c WHERE c.workspace_id = $1 AND c.deleted_at IS NULL \
         AND (c.updated_at < $2 OR (c.updated_at = $2 AND c.id < $3)) \
         AND ($4 = '' OR EXISTS (SELECT 1 FROM search_terms o WHERE o.connection_id = c.id AND o.term = $4)) \
         AND ($5 = '' OR EXISTS (SELECT 1 FROM search_terms o WHERE o.connection_id = c.id AND o.term = $5)) \
         AND ($6 = '' OR EXISTS (SELECT 1 FROM search_terms o WHERE o.connection_id = c.id AND o.term = $6)) \
         AND ($7 = '' OR EXISTS (SELECT 1 FROM search_terms o WHERE o.connection_id = c.id AND o.term = $7)) \
         AND ($8 = '' OR EXISTS (SELECT 1 FROM search_terms o WHERE o.connection_id = c.id AND o.term = $8)) \
         AND ($9 = '' OR EXISTS (SELECT 1 FROM search_terms o WHERE o.connection_id = c.id AND o.term = $9)) \
         ORDER BY c.updated_at DESC, c.id DESC LIMIT $10",
        query.workspace_id,
        query.before.0,
        query.before.1,
        first,
        second,
        third,
        fourth,
        fifth,
        sixth,
        query.limit
    )
}
