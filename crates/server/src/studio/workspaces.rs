//! `/workspaces`: list, create, and the dialog that deletes one.

use std::sync::Arc;

use axum::{
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode},
};

use super::{
    answer::{PageResult, go, page},
    fields::Fields,
    second_look::Sent,
    session::SignedIn,
    shell::{outside, words},
    view::{
        admin::{WorkspaceLine, Workspaces},
        delete::DeleteWorkspace,
        parts::{Here, day},
    },
};
use crate::{
    api::extract::InWorkspace,
    app::App,
    error::{Error, Result},
    ops::{Caller, connections::Precondition, rows::uuid, setup, workspaces},
};

pub async fn show(State(app): State<Arc<App>>, SignedIn(caller): SignedIn, RawQuery(asked): RawQuery) -> PageResult {
    let mut list = view(&app, &caller, String::new(), None).await?;
    let asked = Fields::parse(asked.unwrap_or_default().as_bytes());
    list.shell.notice = (asked.text("done") == "deleted").then(|| "Deleted, with its keys and all that was in it.".to_owned());
    Ok(page(StatusCode::OK, &list))
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

/// Shows what would go with it.
pub async fn ask(State(app): State<Arc<App>>, SignedIn(caller): SignedIn, InWorkspace(name): InWorkspace) -> PageResult {
    Ok(page(StatusCode::OK, &dialog(&app, &caller, &name, None).await?))
}

/// Deletes, if the name was typed and nothing else has come to go with it since the dialog was opened.
pub async fn delete(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    InWorkspace(name): InWorkspace,
    headers: HeaderMap,
    sent: Sent,
) -> PageResult {
    let caller = sent.by(caller);
    if sent.fields.text("confirm") != name {
        let error = "What was typed is not the name. Type it as it stands above.";
        return Ok(page(StatusCode::UNPROCESSABLE_ENTITY, &dialog(&app, &caller, &name, Some(error)).await?));
    }
    let seen = Precondition::Tags(vec![sent.fields.text("etag").to_owned()]);
    match workspaces::delete(&app, &caller, &name, &seen).await {
        Ok(_) => Ok(go(&headers, "/workspaces?done=deleted")),
        Err(Error::VersionConflict) => {
            let error = "It has changed meanwhile. Look at what goes with it now, then delete again.";
            Ok(page(StatusCode::PRECONDITION_FAILED, &dialog(&app, &caller, &name, Some(error)).await?))
        }
        Err(other) => Err(sent.refused(&caller, other, &["confirm", "etag"])),
    }
}

async fn dialog(app: &App, caller: &Caller, name: &str, error: Option<&'static str>) -> Result<DeleteWorkspace> {
    let contents = workspaces::contents(app, caller, name).await?;
    let shell = outside(app, caller, Here::Workspaces, &format!("Delete {name}")).await?;
    Ok(DeleteWorkspace { shell, name: name.to_owned(), contents, is_default: name == setup::DEFAULT_WORKSPACE, error })
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
