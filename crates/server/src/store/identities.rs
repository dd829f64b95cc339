//! Who a person is at a sign-in provider.

use super::{Handle, MacTable as _, Mark, Result, Write, execute, fetch};

#[derive(Debug, Clone, sqlx::FromRow)]
pub struct IdentityRow {
    pub issuer: String,
    /// As the issuer calls him; never given to another one.
    pub subject: String,
    pub person_id: String,
    pub linked_at: i64,
    pub linked_by: String,
    pub mac: Vec<u8>,
}

/// Links a subject to a person; one that is linked already is [`super::StoreError::Unique`].
pub async fn insert_identity(write: &mut Write, row: &IdentityRow) -> Result<()> {
    write.leaves(row.mark());
    execute!(
        write,
        "INSERT INTO identities (issuer, subject, person_id, linked_at, linked_by, mac) VALUES ($1, $2, $3, $4, $5, $6)",
        &row.issuer,
        &row.subject,
        &row.person_id,
        row.linked_at,
        &row.linked_by,
        &row.mac,
    )?;
    Ok(())
}

pub async fn identity(handle: &mut impl Handle, issuer: &str, subject: &str) -> Result<Option<IdentityRow>> {
    fetch!(
        handle,
        fetch_optional,
        IdentityRow,
        "SELECT issuer, subject, person_id, linked_at, linked_by, mac FROM identities WHERE issuer = $1 AND subject = $2",
        issuer,
        subject
    )
}

pub async fn identities_of(handle: &mut impl Handle, person_id: &str) -> Result<Vec<IdentityRow>> {
    fetch!(
        handle,
        fetch_all,
        IdentityRow,
        "SELECT issuer, subject, person_id, linked_at, linked_by, mac FROM identities WHERE person_id = $1 ORDER BY issuer, subject",
        person_id
    )
}

/// The ids of a workspace's members who can sign in with a provider, and of such owners.
pub async fn linked_people(handle: &mut impl Handle, workspace_id: &str) -> Result<Vec<String>> {
    let sql = "SELECT DISTINCT i.person_id FROM identities i JOIN people p ON p.id = i.person_id \
               WHERE p.is_owner OR EXISTS (SELECT 1 FROM members m WHERE m.workspace_id = $1 AND m.person_id = p.id)";
    let rows = fetch!(handle, fetch_all, (String,), sql, workspace_id)?;
    Ok(rows.into_iter().map(|(id,)| id).collect())
}

/// Ends every way by which a person signs in with a provider; how many there were.
pub async fn delete_identities_of(write: &mut Write, person_id: &str) -> Result<usize> {
    let sql = "DELETE FROM identities WHERE person_id = $1 RETURNING issuer, subject";
    let ended = fetch!(write, fetch_all, (String, String), sql, person_id)?;
    for (issuer, subject) in &ended {
        write.leaves(Mark::gone("identities", &[issuer, subject]));
    }
    Ok(ended.len())
}
