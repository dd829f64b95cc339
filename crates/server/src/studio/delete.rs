//! `/w/{workspace}/connections/{name}/delete`: the dialog, and the delete itself.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
};
use dataflow_model::WorkflowKind;

use super::{
    answer::{PageResult, go, page},
    fields::Fields,
    session::SignedIn,
    shell::inside,
    view::{
        delete::{Delete, Dependent},
        parts::{Here, ago},
    },
};
use crate::{
    api::extract::Named,
    app::App,
    error::{Error, Result},
    ops::{
        Action, Caller,
        connections::{self, Precondition, Removal},
        dependents as known,
    },
};

/// How many dependents the dialog names; the others are counted.
const SHOWN: usize = 5;

/// Shows the dialog.
pub async fn ask(State(app): State<Arc<App>>, SignedIn(caller): SignedIn, named: Named) -> PageResult {
    let etag = connections::show(&app, &caller, &named.workspace, &named.name).await?.etag();
    Ok(page(StatusCode::OK, &dialog(&app, &caller, &named, etag, None).await?))
}

/// Deletes, if the name was typed and nobody saved another version since the dialog was opened.
pub async fn delete(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    named: Named,
    headers: HeaderMap,
    fields: Fields,
) -> PageResult {
    let etag = fields.text("etag").to_owned();
    if fields.text("confirm") != named.name {
        let error = Some("What was typed is not the name. Type it as it stands above.".to_owned());
        return Ok(page(StatusCode::UNPROCESSABLE_ENTITY, &dialog(&app, &caller, &named, etag, error).await?));
    }
    let reason = Some(fields.text("reason").trim().to_owned()).filter(|reason| !reason.is_empty());
    let removal = Removal { precondition: Precondition::Tags(vec![etag.clone()]), reason };
    match connections::delete(&app, &caller, &named.workspace, &named.name, removal).await {
        Ok(()) => Ok(go(&headers, &format!("/w/{}/connections?done=deleted", named.workspace))),
        Err(Error::VersionConflict) => {
            let etag = connections::show(&app, &caller, &named.workspace, &named.name).await?.etag();
            let error = Some("Somebody saved another version meanwhile. Look at it, then delete again.".to_owned());
            Ok(page(StatusCode::PRECONDITION_FAILED, &dialog(&app, &caller, &named, etag, error).await?))
        }
        Err(Error::Invalid(errors)) => {
            let error = errors.first().map(|error| format!("The {} {}.", error.field, error.message));
            Ok(page(StatusCode::UNPROCESSABLE_ENTITY, &dialog(&app, &caller, &named, etag, error).await?))
        }
        Err(other) => Err(other.into()),
    }
}

/// For those alone who may delete.
async fn dialog(app: &App, caller: &Caller, named: &Named, etag: String, error: Option<String>) -> Result<Delete> {
    let place = inside(app, caller, &named.workspace, Here::Connections, &format!("Delete {}", named.name)).await?;
    if !Action::DeleteConnections.allowed_to(place.roles) {
        return Err(Error::Forbidden(Action::DeleteConnections.words()));
    }
    let (shown, total) = dependents(app, caller, &named.workspace, &named.name, SHOWN).await?;
    Ok(Delete { shell: place.shell, name: named.name.clone(), etag, shown, total, error })
}

/// The workflows that use a connection as pages show them, at most `limit`, and how many there are.
pub async fn dependents(
    app: &App,
    caller: &Caller,
    workspace: &str,
    name: &str,
    limit: usize,
) -> Result<(Vec<Dependent>, usize)> {
    let all = known::list(app, caller, workspace, name).await?;
    let now = app.clock.now();
    let total = all.len();
    let shown = all.into_iter().take(limit).map(|used| Dependent {
        kind: WorkflowKind::parse(&used.kind).unwrap_or(WorkflowKind::Script).as_str(),
        name: used.name,
        seen: format!("last seen {}", ago(now, used.last_at)),
    });
    Ok((shown.collect(), total))
}
