//! API tokens: made once, shown once, kept as a hash.

use std::sync::Arc;

use anyhow::Context;
use dataflow_model::{ConnectionName, FieldError, Secret, name::NAME_MAX};
use dataflow_vault::{random_uuid, token};

use super::{
    access::{Action, Caller, Roles, TokenIdentity, Who, authorise},
    idempotency::begin,
    rows::{Sealed as _, uuid},
};
use crate::{
    app::App,
    audit::{self, Event},
    clock::DAY,
    error::{Error, Result},
    store::{self, StoreError, TokenRow},
};

/// Days that a token lives unless asked otherwise, and at most.
pub const DAYS_DEFAULT: i64 = 90;
pub const DAYS_MAX: i64 = 366;
/// Most names that a token is narrowed to.
pub const NAMES_MAX: usize = 100;

/// A token as it was asked for.
#[derive(Debug)]
pub struct NewToken {
    pub name: String,
    pub roles: Roles,
    pub expires_in_days: Option<i64>,
    /// Narrowed to these connection names.
    pub connections: Option<Vec<String>>,
}

/// A token's row as people see it.
#[derive(Debug)]
pub struct Token {
    pub row: TokenRow,
    pub roles: Roles,
    pub connections: Option<Vec<String>>,
}

/// Makes a token. It is given here and never again. Nobody grants more than he has.
pub async fn create(app: &App, caller: &Caller, workspace: &str, new: NewToken) -> Result<(Secret, Token)> {
    let workspace = authorise(app, caller, workspace, Action::CreateOwnTokens).await?;
    let mut errors = Vec::new();
    let name = new.name.trim().to_owned();
    if name.is_empty() || name.chars().count() > NAME_MAX || name.chars().any(char::is_control) {
        errors.push(FieldError::new("name", "invalid", format!("must be one line of 1 to {NAME_MAX} characters")));
    }
    if new.roles.is_empty() {
        errors.push(FieldError::new("roles", "required", "must name at least one of viewer, user, editor, admin"));
    }
    let days = new.expires_in_days.unwrap_or(DAYS_DEFAULT);
    if !(1..=DAYS_MAX).contains(&days) {
        errors.push(FieldError::new("expires_in_days", "out_of_range", format!("must be from 1 to {DAYS_MAX}")));
    }
    let connections = new.connections.filter(|names| !names.is_empty());
    let names = connections.as_deref().unwrap_or_default();
    if names.len() > NAMES_MAX || names.iter().any(|name| ConnectionName::new(name.as_str()).is_err()) {
        errors.push(FieldError::new("connections", "invalid", format!("must be at most {NAMES_MAX} connection names")));
    }
    if !errors.is_empty() {
        return Err(Error::Invalid(errors));
    }
    if !caller.roles_in(workspace.id).cover(new.roles) {
        return Err(Error::Forbidden("grant a role that you do not have"));
    }
    let narrowed = match &caller.who {
        Who::Token(own) => own.connections.as_ref(),
        Who::Person(_) | Who::Shell => None,
    };
    if narrowed.is_some_and(|own| connections.is_none() || !names.iter().all(|name| own.contains(name))) {
        return Err(Error::Forbidden("grant more connections than your token names"));
    }
    let kind = new.roles.iter().last().map_or("viewer", super::Role::as_str);
    let secret = token::generate(kind).context("make a token").map_err(Error::Internal)?;
    let now = app.clock.now();
    let row = TokenRow {
        id: random_uuid().to_string(),
        workspace_id: workspace.id.to_string(),
        name_key: name.to_lowercase(),
        name,
        hash: app.vault.token_hash(secret.expose_secret()).to_vec(),
        roles: new.roles.to_string(),
        connections: connections.as_ref().map(|names| serde_json::json!(names).to_string()),
        created_at: now,
        created_by: caller.label(),
        expires_at: now + days * DAY,
        revoked_at: None,
        last_used_at: None,
        mac: Vec::new(),
    }
    .sealed(&app.vault);
    let mut write = begin(app, caller).await?;
    store::insert_token(&mut write, &row).await.map_err(|error| match error {
        StoreError::Unique(_) => Error::NameTaken(row.name.clone()),
        other => other.into(),
    })?;
    let detail = serde_json::json!({"roles": row.roles, "days": days, "connections": connections});
    let event =
        Event { at: now, workspace_id: Some(row.workspace_id.clone()), action: "token.create", object: &row.name, detail };
    audit::record(&mut write, &app.vault, caller, event).await?;
    write.commit().await?;
    Ok((secret, Token { row, roles: new.roles, connections }))
}

/// The workspace's tokens; those of others for admins alone.
pub async fn list(app: &App, caller: &Caller, workspace: &str) -> Result<Vec<Token>> {
    let workspace = authorise(app, caller, workspace, Action::CreateOwnTokens).await?;
    let all = caller.may(Action::ManageTokens, workspace.id);
    let rows = store::list_tokens(&mut app.store.read().await?, &workspace.id.to_string()).await?;
    let label = caller.label();
    Ok(rows.into_iter().filter(|row| all || row.created_by == label).map(token_view).collect())
}

/// Revokes a token by its id. It stops at once on this node, within the freshness time on others.
pub async fn revoke(app: &App, caller: &Caller, workspace: &str, id: &str) -> Result<()> {
    let workspace = authorise(app, caller, workspace, Action::CreateOwnTokens).await?;
    let all = caller.may(Action::ManageTokens, workspace.id);
    let label = caller.label();
    let rows = store::list_tokens(&mut app.store.read().await?, &workspace.id.to_string()).await?;
    let row = rows
        .into_iter()
        .find(|row| row.id == id && row.revoked_at.is_none() && (all || row.created_by == label))
        .ok_or(Error::NotFound("token"))?
        .checked(&app.vault)?;
    let now = app.clock.now();
    let row = TokenRow { revoked_at: Some(now), ..row }.sealed(&app.vault);
    let mut write = begin(app, caller).await?;
    store::revoke_token(&mut write, &row.id, now, &row.mac).await?;
    let event = Event {
        at: now,
        workspace_id: Some(row.workspace_id.clone()),
        action: "token.revoke",
        object: &row.name,
        detail: serde_json::json!({}),
    };
    audit::record(&mut write, &app.vault, caller, event).await?;
    write.commit().await?;
    app.caches.forget_tokens();
    Ok(())
}

/// Whom a bearer token stands for, if it is one of ours, neither expired nor revoked. This is where a caller begins.
pub async fn authenticate(app: &App, text: &str) -> Result<Arc<TokenIdentity>> {
    token::parse(text).map_err(|_| Error::Unauthenticated)?;
    let hash = app.vault.token_hash(text);
    let now = app.clock.now();
    if let Some(identity) = app.caches.tokens.get(&hash) {
        return if identity.expires_at > now { Ok(identity) } else { Err(Error::Unauthenticated) };
    }
    let generation = app.caches.generation();
    let row = store::token_by_hash(&mut app.store.read().await?, &hash).await?.ok_or(Error::Unauthenticated)?;
    let id = row.id.clone();
    let row = row.checked(&app.vault).map_err(|error| {
        let cause = error.cause().map(|cause| format!("{cause:#}")).unwrap_or_default();
        tracing::error!(token.id = id, error.cause = cause, "a token was refused");
        Error::Unauthenticated
    })?;
    if row.revoked_at.is_some() || row.expires_at <= now {
        return Err(Error::Unauthenticated);
    }
    let view = token_view(row);
    let identity = Arc::new(TokenIdentity {
        id: uuid(&view.row.id)?,
        name: view.row.name,
        workspace_id: uuid(&view.row.workspace_id)?,
        roles: view.roles,
        connections: view.connections,
        expires_at: view.row.expires_at,
    });
    app.caches.put_token(generation, hash, identity.clone());
    Ok(identity)
}

fn token_view(row: TokenRow) -> Token {
    let roles = Roles::parse(&row.roles);
    // A list that does not parse narrows to nothing, never to all.
    let connections = row.connections.as_deref().map(|names| serde_json::from_str(names).unwrap_or_default());
    Token { row, roles, connections }
}
