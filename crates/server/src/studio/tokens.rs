//! `/w/{workspace}/tokens`: list, create, revoke.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
};
use dataflow_model::FieldError;

use super::{
    answer::{PageResult, go, page},
    paging::AskedPage,
    second_look::Sent,
    session::SignedIn,
    shell::{inside, words},
    view::{
        admin::{ALTERED, FreshToken, TokenForm, TokenLine, Tokens},
        parts::{Here, Pages, ago, day},
        words::Status,
    },
};
use crate::{
    app::App,
    clock::DAY,
    error::{Error, Result},
    ops::{
        Caller, Role, Roles,
        tokens::{self, NewToken, Token},
    },
};

/// A token that ends sooner is marked.
const ENDS_SOON: i64 = 14 * DAY;

pub async fn show(State(app): State<Arc<App>>, SignedIn(caller): SignedIn, asked: AskedPage) -> PageResult {
    Ok(page(StatusCode::OK, &view(&app, &caller, &asked).await?))
}

/// Makes a token, and shows it: in this answer alone.
pub async fn create(State(app): State<Arc<App>>, SignedIn(caller): SignedIn, asked: AskedPage, sent: Sent) -> PageResult {
    let (caller, fields) = (sent.by(caller), &sent.fields);
    // A page that cannot be shown shows no token, so none is made for it.
    view(&app, &caller, &asked).await?;
    let form = TokenForm {
        name: fields.text("name").to_owned(),
        role: fields.text("role").to_owned(),
        days: fields.text("days").to_owned(),
        connections: fields.text("connections").to_owned(),
    };
    let (fresh, errors) = match make(&app, &caller, &asked.workspace, &form).await {
        Ok(fresh) => (Some(fresh), Vec::new()),
        Err(Error::Invalid(errors)) => (None, errors),
        Err(Error::NameTaken(_)) => {
            (None, vec![FieldError::new("name", "name_taken", "is taken by another token of this workspace")])
        }
        Err(Error::Forbidden(_)) => (None, vec![FieldError::new("roles", "forbidden", "may do more than you may yourself")]),
        Err(other) => return Err(sent.refused(&caller, other, &["name", "role", "days", "connections"])),
    };
    let status = if fresh.is_some() { StatusCode::CREATED } else { StatusCode::UNPROCESSABLE_ENTITY };
    let mut tokens = view(&app, &caller, &asked).await?;
    tokens.form = if fresh.is_some() { TokenForm::default() } else { form };
    (tokens.fresh, tokens.errors) = (fresh, errors);
    Ok(page(status, &tokens))
}

async fn make(app: &App, caller: &Caller, workspace: &str, form: &TokenForm) -> Result<FreshToken> {
    let days =
        form.days.trim().parse().map_err(|_| {
            Error::Invalid(vec![FieldError::new("expires_in_days", "wrong_type", "must be a whole number of days")])
        })?;
    let names: Vec<_> = form.connections.split([' ', ',', ';']).filter(|name| !name.is_empty()).map(ToOwned::to_owned).collect();
    let roles = Role::parse(&form.role).map_or(Roles::NONE, |role| Roles::of(&[role]));
    let new = NewToken {
        name: form.name.clone(),
        roles,
        expires_in_days: Some(days),
        connections: (!names.is_empty()).then_some(names),
    };
    let (clear, token) = tokens::create(app, caller, workspace, new).await?;
    Ok(FreshToken { name: token.row.name, clear: clear.expose_secret().to_owned() })
}

pub async fn revoke(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Path(path): Path<BTreeMap<String, String>>,
    asked: AskedPage,
    headers: HeaderMap,
) -> PageResult {
    let id = path.get("id").map(String::as_str).unwrap_or_default();
    tokens::revoke(&app, &caller, &asked.workspace, id).await?;
    Ok(go(&headers, &asked.address("tokens")))
}

async fn view(app: &App, caller: &Caller, asked: &AskedPage) -> Result<Tokens> {
    let shell = inside(app, caller, &asked.workspace, Here::Tokens, "Tokens").await?.shell;
    let now = app.clock.now();
    let found = AskedPage::found(tokens::list(app, caller, &asked.workspace, &asked.paging()).await)?;
    Ok(Tokens {
        tokens: found.rows.into_iter().map(|token| line(token, now)).collect(),
        pages: Pages::of(&shell.at("tokens"), "", &asked.cursor, found.next.as_deref()),
        here: asked.query(),
        shell,
        fresh: None,
        form: TokenForm::default(),
        errors: Vec::new(),
    })
}

fn line(token: Token, now: i64) -> TokenLine {
    let row = token.row;
    let (tone, words_of_status, ends) = match row.revoked_at {
        _ if token.is_altered => ("bad", ALTERED, "opens nothing".to_owned()),
        Some(at) => ("none", "Revoked", ago(now, at)),
        None if row.expires_at <= now => ("none", "Ended", ago(now, row.expires_at)),
        None if row.expires_at - now < ENDS_SOON => ("warn", "Ends soon", format!("ends {}", day(row.expires_at))),
        None => ("ok", "Live", format!("ends {}", day(row.expires_at))),
    };
    TokenLine {
        live: row.revoked_at.is_none() && (row.expires_at > now || token.is_altered),
        role: words(token.roles),
        connections: token.connections.unwrap_or_default(),
        status: Status { tone, words: words_of_status.to_owned() },
        ends,
        used: row.last_used_at.map_or_else(|| "Never".to_owned(), |at| ago(now, at)),
        created: format!("{} by {}", day(row.created_at), row.created_by),
        id: row.id,
        name: row.name,
    }
}
