//! `/w/{workspace}/access`: people and their roles.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
};

use super::{
    answer::{PageResult, go, page},
    fields::Fields,
    session::{SignedIn, authority},
    shell::inside,
    view::{
        admin::{FreshLink, People, PersonLine},
        parts::{Here, day},
    },
};
use crate::{
    api::extract::InWorkspace,
    app::App,
    error::{Error, Result},
    ops::{Caller, Role, Roles, people},
};

pub async fn show(State(app): State<Arc<App>>, SignedIn(caller): SignedIn, InWorkspace(workspace): InWorkspace) -> PageResult {
    Ok(page(StatusCode::OK, &view(&app, &caller, &workspace).await?))
}

/// Adds a person or replaces his roles. Somebody new gets a link, shown in this answer alone.
pub async fn put(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    InWorkspace(workspace): InWorkspace,
    headers: HeaderMap,
    fields: Fields,
) -> PageResult {
    let email = fields.text("email").trim().to_owned();
    let roles: Vec<_> = fields.all("roles").filter_map(Role::parse).collect();
    match people::put_member(&app, &caller, &workspace, &email, Roles::of(&roles)).await {
        Ok(None) => Ok(go(&headers, &format!("/w/{workspace}/access"))),
        Ok(Some(link)) => {
            let mut people = view(&app, &caller, &workspace).await?;
            let url = format!("{}/link/{}", base(&headers), link.code.expose_secret());
            people.link = Some(FreshLink { email, url, ends: day(link.expires_at) });
            Ok(page(StatusCode::CREATED, &people))
        }
        Err(Error::Invalid(errors)) => {
            let people = People {
                email,
                errors,
                roles: fields.all("roles").map(ToOwned::to_owned).collect(),
                ..view(&app, &caller, &workspace).await?
            };
            Ok(page(StatusCode::UNPROCESSABLE_ENTITY, &people))
        }
        Err(other) => Err(other.into()),
    }
}

pub async fn remove(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    InWorkspace(workspace): InWorkspace,
    headers: HeaderMap,
    fields: Fields,
) -> PageResult {
    people::remove_member(&app, &caller, &workspace, fields.text("email")).await?;
    Ok(go(&headers, &format!("/w/{workspace}/access")))
}

/// The address under which the person who made the change sees this server: his browser's `Origin`, which was checked.
fn base(headers: &HeaderMap) -> String {
    let origin = headers.get(axum::http::header::ORIGIN).and_then(|origin| origin.to_str().ok());
    origin.map_or_else(|| format!("https://{}", authority(headers).unwrap_or_default()), ToOwned::to_owned)
}

async fn view(app: &App, caller: &Caller, workspace: &str) -> Result<People> {
    let shell = inside(app, caller, workspace, Here::Access, "Access").await?.shell;
    let own = caller.label();
    let people = people::members(app, caller, workspace).await?.into_iter().map(|member| PersonLine {
        roles: member.roles.iter().map(|role| role.as_str().to_owned()).collect(),
        since: format!("since {}", day(member.person.created_at)),
        is_owner: member.person.is_owner,
        is_self: member.person.email == own,
        email: member.person.email,
    });
    Ok(People {
        people: people.collect(),
        shell,
        link: None,
        email: String::new(),
        roles: vec!["viewer".to_owned()],
        errors: Vec::new(),
    })
}
