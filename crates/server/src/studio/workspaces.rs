//! `/workspaces`: list and create.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
};

use super::{
    answer::{PageResult, go, page},
    fields::Fields,
    session::SignedIn,
    shell::{outside, words},
    view::{
        admin::{WorkspaceLine, Workspaces},
        parts::{Here, day},
    },
};
use crate::{
    app::App,
    error::{Error, Result},
    ops::{Caller, rows::uuid, workspaces},
};

pub async fn show(State(app): State<Arc<App>>, SignedIn(caller): SignedIn) -> PageResult {
    Ok(page(StatusCode::OK, &view(&app, &caller, String::new(), None).await?))
}

pub async fn create(State(app): State<Arc<App>>, SignedIn(caller): SignedIn, headers: HeaderMap, fields: Fields) -> PageResult {
    let name = fields.text("name").trim().to_owned();
    let error = match workspaces::create(&app, &caller, &name).await {
        Ok(row) => return Ok(go(&headers, &format!("/w/{}/connections", row.name))),
        Err(Error::Invalid(errors)) => errors.into_iter().next().map(|error| error.message),
        Err(Error::NameTaken(_)) => Some("is taken".to_owned()),
        Err(other) => return Err(other.into()),
    };
    Ok(page(StatusCode::UNPROCESSABLE_ENTITY, &view(&app, &caller, name, error).await?))
}

async fn view(app: &App, caller: &Caller, name: String, error: Option<String>) -> Result<Workspaces> {
    let shell = outside(app, caller, Here::Workspaces, "Workspaces").await?;
    let mut list = Vec::new();
    for row in workspaces::list_all(app, caller).await? {
        let role = words(caller.roles_in(uuid(&row.id)?));
        list.push(WorkspaceLine { role, created: day(row.created_at), name: row.name });
    }
    Ok(Workspaces { shell, list, name, error })
}
