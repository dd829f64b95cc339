//! Signing in with a provider: `/sign-in/provider` leads there, `/sign-in/again` for a second look, `/sign-in/callback` back, `/account/link` and `/account/unlink` change what
//! of it the reader's own account knows.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{RawQuery, State},
    http::{HeaderMap, HeaderValue, Response, StatusCode, header},
    response::{IntoResponse as _, Redirect},
};
use dataflow_model::Secret;

use super::{
    account,
    answer::{PageError, PageResult, go, page},
    entry::{inner_path, sign_in_page},
    fields::Fields,
    session::{self, OnDevice, OwnCookie, SignedIn},
    view::entry::{Confirmed, Onward, SignIn},
};
use crate::{
    app::App,
    error::{Error, NotLetIn},
    faults::Fault,
    ops::provider::{self, Begun, Finished, Returned},
    throttle::Kind,
};

/// Leads to the provider. A link and no form: a form may not lead to another site.
pub async fn begin(
    State(app): State<Arc<App>>,
    OnDevice(device): OnDevice,
    headers: HeaderMap,
    RawQuery(asked): RawQuery,
) -> PageResult {
    app.throttle.take_at(Kind::Strangers, device.address, app.clock.now())?;
    let asked = Fields::parse(asked.unwrap_or_default().as_bytes());
    match provider::begin(&app, inner_path(asked.text("next"))).await {
        Ok(begun) => lead(&headers, &begun),
        Err(Error::NotLetIn(why)) => Ok(not_let_in(&app, why)),
        Err(other) => Err(other.into()),
    }
}

/// Leads to the provider, to show again who one is: in a tab of its own, so that what was typed stays where it is.
pub async fn again(State(app): State<Arc<App>>, SignedIn(caller): SignedIn, headers: HeaderMap) -> PageResult {
    match provider::begin_confirm(&app, &caller).await {
        Ok(begun) => lead(&headers, &begun),
        Err(Error::NotLetIn(why)) => Ok(not_let_in(&app, why)),
        Err(other) => Err(other.into()),
    }
}

fn lead(headers: &HeaderMap, begun: &Begun) -> PageResult {
    let keep = [(header::SET_COOKIE, session::set_flow(headers, &begun.flow)?)];
    Ok((keep, [(header::CACHE_CONTROL, "no-store")], Redirect::to(&begun.url)).into_response())
}

/// In the query of the address below: from a page of this server, and not from the provider.
const HERE: &str = "here";

/// Where the provider sends the browser back to.
pub async fn finish(
    State(app): State<Arc<App>>,
    OnDevice(device): OnDevice,
    headers: HeaderMap,
    RawQuery(asked): RawQuery,
) -> PageResult {
    let query = asked.unwrap_or_default();
    let asked = Fields::parse(query.as_bytes());
    let given = |name: &str| asked.get(name).map(|value| value.expose_secret().to_owned());
    let returned = Returned {
        code: given("code"),
        state: given("state"),
        issuer: given("iss"),
        error: given("error"),
        session: session::read(&headers).map(|cookie| Secret::new(cookie.to_owned())),
        is_here: given(HERE).is_some(),
    };
    let finished = Box::pin(provider::finish(&app, &device, (session::read_flow(&headers), returned))).await;
    let mut answer = match finished {
        Ok(Finished::SignedIn { session, next }) => {
            let next = inner_path(&next);
            let mut answer = onward(if next.is_empty() { "/" } else { next });
            answer.headers_mut().append(header::SET_COOKIE, session::set(&headers, &session)?);
            answer
        }
        Ok(Finished::Linked) => onward("/account"),
        Ok(Finished::GoesOn) => return Ok(onward(&format!("/sign-in/callback?{query}&{HERE}="))),
        Ok(Finished::Confirmed) => page(StatusCode::OK, &Confirmed),
        Err(Error::NotLetIn(why)) => not_let_in(&app, why),
        Err(other) => PageError::from(other).into_response(),
    };
    answer.headers_mut().append(header::SET_COOKIE, session::clear_flow(&headers)?);
    Ok(answer)
}

/// Leads to the provider, to link the reader's own account.
pub async fn link(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    OwnCookie(cookie): OwnCookie,
    headers: HeaderMap,
    fields: Fields,
) -> PageResult {
    match provider::begin_link(&app, &caller, &own_password(&fields)).await {
        Ok(Begun { url, flow }) => {
            let mut answer = onward(&url);
            answer.headers_mut().append(header::SET_COOKIE, session::set_flow(&headers, &flow)?);
            Ok(answer)
        }
        Err(Error::Invalid(errors)) => account::refused(&app, &caller, cookie.expose_secret(), errors).await,
        Err(other) => Err(other.into()),
    }
}

pub async fn unlink(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    OwnCookie(cookie): OwnCookie,
    headers: HeaderMap,
    fields: Fields,
) -> PageResult {
    match provider::unlink(&app, &caller, &own_password(&fields)).await {
        Ok(()) => Ok(go(&headers, "/account")),
        Err(Error::Invalid(errors)) => account::refused(&app, &caller, cookie.expose_secret(), errors).await,
        Err(other) => Err(other.into()),
    }
}

/// In a form of its own, and so under a name of its own: the page has another one for the password.
fn own_password(fields: &Fields) -> Secret {
    fields.get("provider_password").map_or_else(|| Secret::new(String::new()), Secret::duplicate_secret)
}

fn onward(to: &str) -> Response<Body> {
    page(StatusCode::OK, &Onward { to: to.to_owned() })
}

/// The page “Sign in” with what happened: the password goes on working.
fn not_let_in(app: &App, why: NotLetIn) -> Response<Body> {
    let error = Error::NotLetIn(why);
    let (fault, retry) = (Fault::of(&error), error.retry_after());
    let problem = error.page_problem();
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let id = fault.as_ref().map(|fault| format!("In the log it is request {}.", fault.request_id));
    let text = [problem.detail, problem.hint].into_iter().chain(id).collect::<Vec<_>>().join(" ");
    let mut answer = page(status, &SignIn { error: Some(text), ..sign_in_page(app) });
    if let Some(fault) = fault {
        fault.mark(&mut answer);
    }
    if let Some(seconds) = retry {
        answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    answer
}
