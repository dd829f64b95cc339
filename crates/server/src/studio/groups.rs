//! `/w/{workspace}/groups`: groups of people.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
};
use dataflow_model::FieldError;

use super::{
    answer::{PageResult, go, page},
    paging::AskedPage,
    second_look::Sent,
    session::SignedIn,
    shell::inside,
    users::{as_typed, lines},
    view::{
        admin::{GroupLine, Groups},
        parts::{Here, Pages},
    },
};
use crate::{
    app::App,
    error::{Error, Result},
    ops::{Caller, groups},
};

pub async fn show(State(app): State<Arc<App>>, SignedIn(caller): SignedIn, asked: AskedPage) -> PageResult {
    Ok(page(StatusCode::OK, &view(&app, &caller, &asked).await?))
}

/// Makes a group, or replaces who is in it.
pub async fn put(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    asked: AskedPage,
    headers: HeaderMap,
    sent: Sent,
) -> PageResult {
    let (caller, fields) = (sent.by(caller), &sent.fields);
    let name = fields.text("name").trim().to_owned();
    let errors = match groups::put(&app, &caller, &asked.workspace, &name, &lines(fields, "people")).await {
        Ok(_) => return Ok(go(&headers, &asked.address("groups"))),
        Err(Error::Invalid(errors)) => as_typed(errors, fields),
        Err(Error::NameTaken(_)) => vec![FieldError::new("name", "name_taken", "is taken by a group that is written otherwise")],
        Err(other) => return Err(sent.refused(&caller, other, &["name", "people"])),
    };
    let refused = Groups { name, people: fields.text("people").to_owned(), errors, ..view(&app, &caller, &asked).await? };
    Ok(page(StatusCode::UNPROCESSABLE_ENTITY, &refused))
}

pub async fn remove(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    asked: AskedPage,
    headers: HeaderMap,
    sent: Sent,
) -> PageResult {
    let caller = sent.by(caller);
    let removed = groups::remove(&app, &caller, &asked.workspace, sent.fields.text("name")).await;
    removed.map_err(|error| sent.refused(&caller, error, &["name"]))?;
    Ok(go(&headers, &asked.address("groups")))
}

async fn view(app: &App, caller: &Caller, asked: &AskedPage) -> Result<Groups> {
    let shell = inside(app, caller, &asked.workspace, Here::Access, "Groups").await?.shell;
    let found = AskedPage::found(groups::list(app, caller, &asked.workspace, &asked.paging()).await)?;
    Ok(Groups {
        groups: found
            .rows
            .into_iter()
            .map(|group| GroupLine { name: group.name, people: group.people, is_altered: group.is_altered })
            .collect(),
        pages: Pages::of(&shell.at("groups"), "", &asked.cursor, found.next.as_deref()),
        here: asked.query(),
        shell,
        name: String::new(),
        people: String::new(),
        errors: Vec::new(),
    })
}
