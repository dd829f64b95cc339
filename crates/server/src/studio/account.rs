//! `/account`: the signed-in person's own password, and where he is signed in.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, header},
};
use dataflow_model::{FieldError, Secret};

use super::{
    answer::{PageResult, go, page},
    fields::Fields,
    program,
    session::{self, OnDevice, OwnCookie, SignedIn},
    shell::outside,
    view::{
        admin::{Account, Provider, SessionLine},
        parts::{Here, ago},
    },
};
use crate::{
    app::App,
    error::{Error, Result},
    ops::{
        Caller, people, provider,
        sessions::{self, Session},
    },
};

pub async fn show(State(app): State<Arc<App>>, SignedIn(caller): SignedIn, OwnCookie(cookie): OwnCookie) -> PageResult {
    Ok(page(StatusCode::OK, &view(&app, &caller, cookie.expose_secret(), Vec::new()).await?))
}

/// Signs the person out in one other place.
pub async fn end(State(app): State<Arc<App>>, SignedIn(caller): SignedIn, headers: HeaderMap, fields: Fields) -> PageResult {
    // It may have ended by itself since the page was shown.
    sessions::end(&app, &caller, fields.text("id")).await?;
    Ok(go(&headers, "/account#sessions"))
}

/// Signs the person out everywhere but here.
pub async fn end_others(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    OwnCookie(cookie): OwnCookie,
    headers: HeaderMap,
) -> PageResult {
    sessions::end_others(&app, &caller, cookie.expose_secret()).await?;
    Ok(go(&headers, "/account#sessions"))
}

/// Changes the password. This browser goes on in a session of its own; all others end.
pub async fn change_password(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    OnDevice(device): OnDevice,
    headers: HeaderMap,
    fields: Fields,
) -> PageResult {
    let typed = |name: &str| fields.get(name).map_or_else(|| Secret::new(String::new()), Secret::duplicate_secret);
    match people::change_own_password(&app, &caller, &device, (&typed("own_password"), &typed("password"))).await {
        Ok(session) => {
            let mut account = view(&app, &caller, session.expose_secret(), Vec::new()).await?;
            account.shell.notice = Some("Your password is changed. You are signed out everywhere else.".to_owned());
            let mut answer = page(StatusCode::OK, &account);
            answer.headers_mut().insert(header::SET_COOKIE, session::set(&headers, &session)?);
            Ok(answer)
        }
        Err(Error::Invalid(errors)) => Ok(page(
            StatusCode::UNPROCESSABLE_ENTITY,
            &view(&app, &caller, session::read(&headers).unwrap_or_default(), errors).await?,
        )),
        Err(other) => Err(other.into()),
    }
}

/// The page with what of the provider's forms was refused.
pub(super) async fn refused(app: &App, caller: &Caller, cookie: &str, errors: Vec<FieldError>) -> PageResult {
    let errors = errors.into_iter().map(|error| FieldError { field: "provider_password".to_owned(), ..error }).collect();
    Ok(page(StatusCode::UNPROCESSABLE_ENTITY, &view(app, caller, cookie, errors).await?))
}

async fn view(app: &App, caller: &Caller, cookie: &str, errors: Vec<FieldError>) -> Result<Account> {
    let now = app.clock.now();
    let sessions = sessions::list(app, caller, cookie).await?.into_iter();
    let sessions = sessions
        .map(|Session { id, is_this, row }| SessionLine {
            id,
            is_this,
            program: program::name(row.agent.as_deref()),
            address: row.address.unwrap_or_default(),
            began: ago(now, row.created_at),
            seen: ago(now, row.seen_at),
        })
        .collect();
    let ways = provider::own_ways(app, caller).await?;
    let label = app.oidc.as_ref().map(|oidc| oidc.config.label.clone());
    let provider = (ways.is_linked || label.is_some()).then(|| Provider {
        is_linked: ways.is_linked,
        is_there: label.is_some(),
        label: label.unwrap_or_else(|| "a sign-in provider".to_owned()),
    });
    let shell = outside(app, caller, Here::Nowhere, "Your account").await?;
    Ok(Account { shell, errors, sessions, has_password: ways.has_password, provider })
}
