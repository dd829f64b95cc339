//! People, their memberships, sessions, and one-time links.

use super::{Handle, MacTable as _, Mark, Result, Write, execute, fetch};

#[derive(Debug, Clone, sqlx::FromRow)]
pub struct PersonRow {
    pub id: String,
    pub email: String,
    pub email_key: String,
    pub password_hash: String,
    pub is_owner: bool,
    pub disabled_at: Option<i64>,
    pub created_at: i64,
    pub created_by: String,
    pub mac: Vec<u8>,
}

#[derive(Debug, Clone, sqlx::FromRow)]
pub struct MemberRow {
    pub workspace_id: String,
    pub person_id: String,
    /// Those that somebody gave him by hand.
    pub roles: String,
    /// Those that the sign-in provider's claims gave him when he signed in last.
    pub claimed_roles: String,
    pub added_at: i64,
    pub added_by: String,
    pub mac: Vec<u8>,
}

#[derive(Debug, Clone, sqlx::FromRow)]
pub struct SessionRow {
    pub hash: Vec<u8>,
    pub person_id: String,
    pub created_at: i64,
    pub seen_at: i64,
    /// When its person last showed in it that he is who he was.
    pub confirmed_at: Option<i64>,
    /// For show: where it began, and the `User-Agent` of then.
    pub address: Option<String>,
    pub agent: Option<String>,
    pub mac: Vec<u8>,
}

#[derive(Debug, Clone, sqlx::FromRow)]
pub struct LinkRow {
    pub hash: Vec<u8>,
    pub kind: String,
    pub person_id: Option<String>,
    pub expires_at: i64,
    pub mac: Vec<u8>,
}

pub async fn insert_person(write: &mut Write, row: &PersonRow) -> Result<()> {
    write.leaves(row.mark());
    execute!(
        write,
        "INSERT INTO people (id, email, email_key, password_hash, is_owner, disabled_at, created_at, created_by, mac) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        &row.id,
        &row.email,
        &row.email_key,
        &row.password_hash,
        row.is_owner,
        row.disabled_at,
        row.created_at,
        &row.created_by,
        &row.mac,
    )?;
    Ok(())
}

/// Replaces what can change of a person: how his address is written, password, ownership, disabled. `false` if his row's MAC is no longer `before`.
pub async fn update_person(write: &mut Write, row: &PersonRow, before: &[u8]) -> Result<bool> {
    write.bears(&row.mac);
    let changed = execute!(
        write,
        "UPDATE people SET email = $7, password_hash = $2, is_owner = $3, disabled_at = $4, mac = $5 WHERE id = $1 AND mac = $6",
        &row.id,
        &row.password_hash,
        row.is_owner,
        row.disabled_at,
        &row.mac,
        before,
        &row.email,
    )?;
    if changed == 1 {
        write.leaves(row.mark());
    }
    Ok(changed == 1)
}

pub async fn person(handle: &mut impl Handle, id: &str) -> Result<Option<PersonRow>> {
    fetch!(
        handle,
        fetch_optional,
        PersonRow,
        "SELECT id, email, email_key, password_hash, is_owner, disabled_at, created_at, created_by, mac FROM people WHERE id = $1",
        id
    )
}

pub async fn person_by_email(handle: &mut impl Handle, email_key: &str) -> Result<Option<PersonRow>> {
    fetch!(
        handle,
        fetch_optional,
        PersonRow,
        "SELECT id, email, email_key, password_hash, is_owner, disabled_at, created_at, created_by, mac FROM people WHERE email_key = $1",
        email_key
    )
}

/// The same among the members of a workspace, and owners. Of everybody else no more is read than of who is not there.
pub async fn person_in(handle: &mut impl Handle, workspace_id: &str, email_key: &str) -> Result<Option<PersonRow>> {
    fetch!(
        handle,
        fetch_optional,
        PersonRow,
        "SELECT p.id, p.email, p.email_key, p.password_hash, p.is_owner, p.disabled_at, p.created_at, p.created_by, p.mac FROM people p \
         WHERE p.email_key = $2 AND (p.is_owner OR EXISTS (SELECT 1 FROM members m WHERE m.workspace_id = $1 AND m.person_id = p.id))",
        workspace_id,
        email_key
    )
}

/// The owners who are not disabled, by id.
pub async fn enabled_owners(handle: &mut impl Handle) -> Result<Vec<PersonRow>> {
    fetch!(
        handle,
        fetch_all,
        PersonRow,
        "SELECT id, email, email_key, password_hash, is_owner, disabled_at, created_at, created_by, mac FROM people \
         WHERE is_owner AND disabled_at IS NULL ORDER BY id"
    )
}

/// Members of a workspace, and owners, by e-mail, after the e-mail key `after`.
pub async fn people_of(handle: &mut impl Handle, workspace_id: &str, after: &str, limit: i64) -> Result<Vec<PersonRow>> {
    fetch!(
        handle,
        fetch_all,
        PersonRow,
        "SELECT p.id, p.email, p.email_key, p.password_hash, p.is_owner, p.disabled_at, p.created_at, p.created_by, p.mac FROM people p \
         WHERE (p.is_owner OR EXISTS (SELECT 1 FROM members m WHERE m.workspace_id = $1 AND m.person_id = p.id)) AND p.email_key > $2 \
         ORDER BY p.email_key LIMIT $3",
        workspace_id,
        after,
        limit
    )
}

/// Everybody, by e-mail.
pub async fn people(handle: &mut impl Handle) -> Result<Vec<PersonRow>> {
    fetch!(
        handle,
        fetch_all,
        PersonRow,
        "SELECT id, email, email_key, password_hash, is_owner, disabled_at, created_at, created_by, mac FROM people ORDER BY email_key"
    )
}

/// Keeps a person's row as it is until this transaction ends; `false` if its MAC is no longer `mac`.
pub async fn hold_person(write: &mut Write, id: &str, mac: &[u8]) -> Result<bool> {
    let held = execute!(write, "UPDATE people SET id = id WHERE id = $1 AND mac = $2", id, mac)?;
    Ok(held == 1)
}

/// Adds a membership or replaces its roles.
pub async fn put_member(write: &mut Write, row: &MemberRow) -> Result<()> {
    write.leaves(row.mark());
    execute!(
        write,
        "INSERT INTO members (workspace_id, person_id, roles, added_at, added_by, mac, claimed_roles) VALUES ($1, $2, $3, $4, $5, $6, $7) \
         ON CONFLICT (workspace_id, person_id) DO UPDATE SET roles = excluded.roles, added_at = excluded.added_at, \
         added_by = excluded.added_by, mac = excluded.mac, claimed_roles = excluded.claimed_roles",
        &row.workspace_id,
        &row.person_id,
        &row.roles,
        row.added_at,
        &row.added_by,
        &row.mac,
        &row.claimed_roles,
    )?;
    Ok(())
}

/// Keeps a membership from being removed until this transaction ends; `false` if there is none.
pub async fn hold_member(write: &mut Write, workspace_id: &str, person_id: &str) -> Result<bool> {
    let sql = "UPDATE members SET person_id = person_id WHERE workspace_id = $1 AND person_id = $2";
    let held = execute!(write, sql, workspace_id, person_id)?;
    Ok(held == 1)
}

/// Whether there was one.
pub async fn remove_member(write: &mut Write, workspace_id: &str, person_id: &str) -> Result<bool> {
    let gone = execute!(write, "DELETE FROM members WHERE workspace_id = $1 AND person_id = $2", workspace_id, person_id)?;
    if gone > 0 {
        write.leaves(Mark::gone("members", &[&workspace_id, &person_id]));
    }
    Ok(gone > 0)
}

pub async fn members(handle: &mut impl Handle, workspace_id: &str) -> Result<Vec<MemberRow>> {
    fetch!(
        handle,
        fetch_all,
        MemberRow,
        "SELECT workspace_id, person_id, roles, claimed_roles, added_at, added_by, mac FROM members WHERE workspace_id = $1",
        workspace_id
    )
}

pub async fn memberships(handle: &mut impl Handle, person_id: &str) -> Result<Vec<MemberRow>> {
    fetch!(
        handle,
        fetch_all,
        MemberRow,
        "SELECT workspace_id, person_id, roles, claimed_roles, added_at, added_by, mac FROM members WHERE person_id = $1",
        person_id
    )
}

pub async fn insert_session(write: &mut Write, row: &SessionRow) -> Result<()> {
    write.bears(&row.mac);
    execute!(
        write,
        "INSERT INTO sessions (hash, person_id, created_at, seen_at, confirmed_at, address, agent, mac) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        &row.hash,
        &row.person_id,
        row.created_at,
        row.seen_at,
        row.confirmed_at,
        row.address.as_deref(),
        row.agent.as_deref(),
        &row.mac,
    )?;
    Ok(())
}

pub async fn session(handle: &mut impl Handle, hash: &[u8]) -> Result<Option<SessionRow>> {
    fetch!(
        handle,
        fetch_optional,
        SessionRow,
        "SELECT hash, person_id, created_at, seen_at, confirmed_at, address, agent, mac FROM sessions WHERE hash = $1",
        hash
    )
}

/// A person's sessions that began after one time and were seen after another, newest first; at most `limit`.
pub async fn sessions_of(
    handle: &mut impl Handle,
    person_id: &str,
    (created_after, seen_after): (i64, i64),
    limit: i64,
) -> Result<Vec<SessionRow>> {
    fetch!(
        handle,
        fetch_all,
        SessionRow,
        "SELECT hash, person_id, created_at, seen_at, confirmed_at, address, agent, mac FROM sessions \
         WHERE person_id = $1 AND created_at > $2 AND seen_at > $3 ORDER BY created_at DESC, hash LIMIT $4",
        person_id,
        created_after,
        seen_after,
        limit
    )
}

/// Ends one session of a person; `false` if he has none of this hash.
pub async fn delete_session_of(write: &mut Write, person_id: &str, hash: &[u8]) -> Result<bool> {
    let sql = "DELETE FROM sessions WHERE person_id = $1 AND hash = $2 RETURNING hash";
    let ended = fetch!(write, fetch_all, (Vec<u8>,), sql, person_id, hash)?;
    Ok(have_ended(write, "sessions", &ended) > 0)
}

/// Ends all sessions of a person but one; how many.
pub async fn delete_other_sessions_of(write: &mut Write, person_id: &str, kept: &[u8]) -> Result<usize> {
    let sql = "DELETE FROM sessions WHERE person_id = $1 AND hash <> $2 RETURNING hash";
    let ended = fetch!(write, fetch_all, (Vec<u8>,), sql, person_id, kept)?;
    Ok(have_ended(write, "sessions", &ended))
}

/// Writes when a session was seen and confirmed; `false` if it has ended, or its row's MAC is no longer `before`.
pub async fn update_session(write: &mut Write, row: &SessionRow, before: &[u8]) -> Result<bool> {
    write.bears(&row.mac);
    let changed = execute!(
        write,
        "UPDATE sessions SET seen_at = $2, confirmed_at = $3, mac = $4 WHERE hash = $1 AND mac = $5",
        &row.hash,
        row.seen_at,
        row.confirmed_at,
        &row.mac,
        before,
    )?;
    Ok(changed == 1)
}

pub async fn delete_session(write: &mut Write, hash: &[u8]) -> Result<()> {
    let ended = fetch!(write, fetch_all, (Vec<u8>,), "DELETE FROM sessions WHERE hash = $1 RETURNING hash", hash)?;
    have_ended(write, "sessions", &ended);
    Ok(())
}

/// Signs a person out everywhere.
pub async fn delete_sessions_of(write: &mut Write, person_id: &str) -> Result<()> {
    let ended = fetch!(write, fetch_all, (Vec<u8>,), "DELETE FROM sessions WHERE person_id = $1 RETURNING hash", person_id)?;
    have_ended(write, "sessions", &ended);
    Ok(())
}

pub async fn insert_link(write: &mut Write, row: &LinkRow) -> Result<()> {
    write.bears(&row.mac);
    execute!(
        write,
        "INSERT INTO links (hash, kind, person_id, expires_at, mac) VALUES ($1, $2, $3, $4, $5)",
        &row.hash,
        &row.kind,
        row.person_id.as_deref(),
        row.expires_at,
        &row.mac,
    )?;
    Ok(())
}

pub async fn link(handle: &mut impl Handle, hash: &[u8]) -> Result<Option<LinkRow>> {
    fetch!(handle, fetch_optional, LinkRow, "SELECT hash, kind, person_id, expires_at, mac FROM links WHERE hash = $1", hash)
}

/// Uses a link up: it is gone. `false` if it was used already.
pub async fn use_link(write: &mut Write, hash: &[u8]) -> Result<bool> {
    let used = fetch!(write, fetch_all, (Vec<u8>,), "DELETE FROM links WHERE hash = $1 RETURNING hash", hash)?;
    Ok(have_ended(write, "links", &used) == 1)
}

/// Ends every link of a person.
pub async fn delete_links_of(write: &mut Write, person_id: &str) -> Result<()> {
    let ended = fetch!(write, fetch_all, (Vec<u8>,), "DELETE FROM links WHERE person_id = $1 RETURNING hash", person_id)?;
    have_ended(write, "links", &ended);
    Ok(())
}

/// Notes for the event of the change that these are gone; how many. That they were there it does not: their hashes are never used again.
fn have_ended(write: &mut Write, table: &'static str, hashes: &[(Vec<u8>,)]) -> usize {
    for (hash,) in hashes {
        write.leaves(Mark::gone(table, &[hash]));
    }
    hashes.len()
}
