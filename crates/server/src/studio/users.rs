//! `/w/{workspace}/connections/{name}/users`: who may use a connection.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
};
use dataflow_model::FieldError;

use super::{
    answer::{PageResult, go, page},
    fields::Fields,
    second_look::Sent,
    session::SignedIn,
    shell::inside,
    view::{admin::UsersForm, parts::Here},
};
use crate::{
    api::extract::Named,
    app::App,
    error::{Error, Result},
    ops::{
        Caller,
        connections::Precondition,
        groups,
        users::{self, Users},
    },
};

pub async fn show(State(app): State<Arc<App>>, SignedIn(caller): SignedIn, named: Named) -> PageResult {
    let narrowing = users::show(&app, &caller, &named.workspace, &named.name).await?;
    let narrowed = narrowing.users.is_some();
    let users = narrowing.users.unwrap_or_default();
    let form = UsersForm {
        narrowed,
        people: users.people.join("\n"),
        tokens: users.tokens.join("\n"),
        groups: users.groups.join("\n"),
        ..form(&app, &caller, &named, narrowing.etag).await?
    };
    Ok(page(StatusCode::OK, &form))
}

/// Saves, unless somebody else did since the form was opened.
pub async fn set(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    named: Named,
    headers: HeaderMap,
    sent: Sent,
) -> PageResult {
    let (caller, fields) = (sent.by(caller), &sent.fields);
    let etag = fields.text("etag").to_owned();
    let narrowed = fields.text("narrowed") == "some";
    if !narrowed && !fields.text("narrowed").is_empty() {
        return Err(Error::Malformed("The form says neither that all may use it nor that some may.").into());
    }
    let users = Users { people: lines(fields, "people"), tokens: lines(fields, "tokens"), groups: lines(fields, "groups") };
    let asked = (narrowed.then_some(users), Precondition::Tags(vec![etag.clone()]));
    let (status, etag, errors) = match users::set(&app, &caller, &named.workspace, &named.name, asked).await {
        Ok(_) => return Ok(go(&headers, &format!("/w/{}/connections/{}", named.workspace, named.name))),
        Err(Error::Invalid(errors)) => (StatusCode::UNPROCESSABLE_ENTITY, etag, as_typed(errors, fields)),
        Err(Error::VersionConflict) => {
            let now = users::show(&app, &caller, &named.workspace, &named.name).await?;
            let text = "Somebody changed this meanwhile. What you typed still stands below; save again to put it in place.";
            (StatusCode::PRECONDITION_FAILED, now.etag, vec![FieldError::new("etag", "version_conflict", text)])
        }
        Err(other) => return Err(sent.refused(&caller, other, &["etag", "narrowed", "people", "tokens", "groups"])),
    };
    let form = UsersForm {
        narrowed,
        people: fields.text("people").to_owned(),
        tokens: fields.text("tokens").to_owned(),
        groups: fields.text("groups").to_owned(),
        errors,
        ..form(&app, &caller, &named, etag).await?
    };
    Ok(page(status, &form))
}

async fn form(app: &App, caller: &Caller, named: &Named, etag: String) -> Result<UsersForm> {
    let shell = inside(app, caller, &named.workspace, Here::Connections, &format!("Users of {}", named.name)).await?.shell;
    let known = groups::list_all(app, caller, &named.workspace).await?.into_iter();
    let known = known.filter(|group| !group.is_altered).map(|group| group.name).collect();
    Ok(UsersForm {
        shell,
        connection: named.name.clone(),
        etag,
        narrowed: false,
        people: String::new(),
        tokens: String::new(),
        groups: String::new(),
        known,
        errors: Vec::new(),
    })
}

/// The lines of a text that hold something.
/// What was refused, told at the list that it stands in, as it was typed there.
pub(super) fn as_typed(errors: Vec<FieldError>, fields: &Fields) -> Vec<FieldError> {
    let typed = |error: FieldError| {
        let (list, place) = error.field.split_once('.')?;
        let entry = lines(fields, list).into_iter().nth(place.parse().ok()?)?;
        Some(FieldError::new(list, &error.code, format!("“{entry}” {}", error.message)))
    };
    errors.into_iter().map(|error| typed(error.clone()).unwrap_or(error)).collect()
}

pub(super) fn lines(fields: &Fields, name: &str) -> Vec<String> {
    fields.text(name).lines().map(str::trim).filter(|line| !line.is_empty()).map(ToOwned::to_owned).collect()
}
