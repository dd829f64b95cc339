//! Signing in and out, and one-time links: `/sign-in`, `/sign-out`, `/link/{code}`, and `/` itself.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Path, RawQuery, State},
    http::{HeaderMap, HeaderValue, Response, StatusCode, header},
    response::{IntoResponse, Redirect},
};
use dataflow_model::Secret;

use super::{
    answer::{PageResult, page},
    fields::Fields,
    session::{self, OnDevice, SignedIn},
    view::entry::{Link, Recovery, SetUp, SignIn},
};
use crate::{
    api::extract::as_stranger,
    app::App,
    error::{Error, Result},
    ops::{
        links::{self, LinkKind},
        sessions::{self, Device},
        setup, workspaces,
    },
};

/// Leads to the list of the first workspace.
pub async fn home(State(app): State<Arc<App>>, SignedIn(caller): SignedIn) -> PageResult {
    let mine = workspaces::list_all(&app, &caller).await?;
    let first = mine.iter().find(|row| row.name == setup::DEFAULT_WORKSPACE).or(mine.first());
    let to = first.map_or_else(|| "/workspaces".to_owned(), |row| format!("/w/{}/connections", row.name));
    Ok(Redirect::to(&to).into_response())
}

pub async fn ask(State(app): State<Arc<App>>, RawQuery(asked): RawQuery) -> PageResult {
    let asked = Fields::parse(asked.unwrap_or_default().as_bytes());
    let next = inner_path(asked.text("next")).to_owned();
    Ok(page(StatusCode::OK, &SignIn { next, ..sign_in_page(&app) }))
}

pub async fn sign_in(State(app): State<Arc<App>>, OnDevice(device): OnDevice, headers: HeaderMap, fields: Fields) -> PageResult {
    let password = fields.get("password").map_or_else(|| Secret::new(String::new()), Secret::duplicate_secret);
    let next = inner_path(fields.text("next"));
    match sessions::sign_in(&app, &device, fields.text("email"), &password).await {
        Ok(session) => Ok(begin(&headers, &session, if next.is_empty() { "/" } else { next })?),
        Err(Error::Unauthenticated) => Ok(page(
            StatusCode::UNAUTHORIZED,
            &again(&app, &fields, "The e-mail address or the password is not right.".to_owned()),
        )),
        Err(Error::TooManyAttempts(seconds)) => {
            let error = format!("Too many attempts to sign in have failed. Try again in {}.", span(seconds));
            let mut refused = page(StatusCode::TOO_MANY_REQUESTS, &again(&app, &fields, error));
            refused.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            Ok(refused)
        }
        Err(other) => Err(other.into()),
    }
}

/// The form as it was sent, but for the password.
fn again(app: &App, fields: &Fields, error: String) -> SignIn {
    let next = inner_path(fields.text("next")).to_owned();
    SignIn { email: fields.text("email").to_owned(), next, error: Some(error), ..sign_in_page(app) }
}

/// The empty form, with the provider if there is one.
pub(super) fn sign_in_page(app: &App) -> SignIn {
    SignIn { provider: app.oidc.as_ref().map(|oidc| oidc.config.label.clone()), ..SignIn::default() }
}

/// `40 s`, `3 min`
pub(super) fn span(seconds: u32) -> String {
    if seconds < 100 { format!("{seconds} s") } else { format!("{} min", seconds.div_ceil(60)) }
}

pub async fn sign_out(State(app): State<Arc<App>>, headers: HeaderMap) -> PageResult {
    if let Some(cookie) = session::read(&headers) {
        sessions::sign_out(&app, cookie).await?;
    }
    Ok(([(header::SET_COOKIE, session::clear(&headers)?)], Redirect::to("/sign-in")).into_response())
}

/// Shows what a one-time link leads to. Nothing is used up by looking.
pub async fn look(State(app): State<Arc<App>>, OnDevice(device): OnDevice, Path(code): Path<String>) -> PageResult {
    Ok(match as_stranger(&app, device.address, &code, links::look_at_link(&app, &code)).await? {
        LinkKind::Setup => page(StatusCode::OK, &SetUp { code, ..SetUp::default() }),
        kind => page(StatusCode::OK, &Link { code, chooses_password: kind == LinkKind::Password, password_error: None }),
    })
}

/// Follows a one-time link: sets the server up, sets a password, or signs in.
pub async fn follow(State(app): State<Arc<App>>, OnDevice(device): OnDevice, headers: HeaderMap, fields: Fields) -> PageResult {
    let code = fields.text("code").to_owned();
    let password = fields.get("password").map(Secret::duplicate_secret);
    let kind = as_stranger(&app, device.address, &code, links::look_at_link(&app, &code)).await?;
    if kind == LinkKind::Setup {
        let password = password.unwrap_or_else(|| Secret::new(String::new()));
        return set_up(&app, (&headers, &device), &fields, code, password).await;
    }
    match links::follow_link(&app, &device, &code, password.as_ref()).await {
        Ok(session) => Ok(begin(&headers, &session, "/")?),
        Err(Error::Invalid(errors)) => {
            let password_error = errors.into_iter().next().map(|error| error.message);
            Ok(page(StatusCode::UNPROCESSABLE_ENTITY, &Link { code, chooses_password: true, password_error }))
        }
        Err(other) => Err(other.into()),
    }
}

/// Makes the first admin, signs him in, and shows the recovery key: in this answer alone.
async fn set_up(app: &App, from: (&HeaderMap, &Device), fields: &Fields, code: String, password: Secret) -> PageResult {
    let email = fields.text("email").to_owned();
    match setup::from_link(app, &code, &email, &password).await {
        Ok(recovery) => {
            let mut answer = page(StatusCode::OK, &Recovery { recovery_key: recovery.to_text().expose_secret().to_owned() });
            // The key is in this answer or nowhere: what fails from here on costs another sign-in, and no more.
            match sign_in_for(app, from, &email, &password).await {
                Ok(cookie) => {
                    answer.headers_mut().insert(header::SET_COOKIE, cookie);
                }
                Err(error) => {
                    let cause = error.cause().map(|cause| format!("{cause:#}")).unwrap_or_default();
                    tracing::warn!(error.code = error.describe().1.as_str(), error.cause = cause, "who set up was not signed in");
                }
            }
            Ok(answer)
        }
        Err(Error::Invalid(errors)) => {
            let of = |field: &str| errors.iter().find(|error| error.field == field).map(|error| error.message.clone());
            let form = SetUp { email_error: of("email"), password_error: of("password"), code, email };
            Ok(page(StatusCode::UNPROCESSABLE_ENTITY, &form))
        }
        Err(other) => Err(other.into()),
    }
}

/// The header that begins a session.
async fn sign_in_for(app: &App, (headers, device): (&HeaderMap, &Device), email: &str, password: &Secret) -> Result<HeaderValue> {
    let session = sessions::sign_in(app, device, email, password).await?;
    session::set(headers, &session)
}

fn begin(headers: &HeaderMap, session: &Secret, to: &str) -> Result<Response<Body>> {
    Ok(([(header::SET_COOKIE, session::set(headers, session)?)], Redirect::to(to)).into_response())
}

/// A path of this server; nothing for an address that leads elsewhere.
pub(super) fn inner_path(next: &str) -> &str {
    let inner = next.starts_with('/') && !next.starts_with("//") && !next.contains('\\') && !next.chars().any(char::is_control);
    if inner { next } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signing_in_leads_to_this_server_alone() {
        assert_eq!(inner_path("/w/default/connections?q=a"), "/w/default/connections?q=a");
        for elsewhere in
            ["", "https://evil.example.org", "//evil.example.org", "/\\evil.example.org", "/\t/evil", "javascript:alert(1)"]
        {
            assert_eq!(inner_path(elsewhere), "", "{elsewhere}");
        }
    }
}
