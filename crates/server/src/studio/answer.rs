//! What a page handler gives back: a page, a refusal as a page, or the way to the next page.

use askama::Template;
use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Response, StatusCode, Uri, header},
    response::{Html, IntoResponse, Redirect},
};

use super::view::{entry::Failure, parts::minute};
use crate::{
    clock::parse_rfc3339,
    error::{Error, Tombstone},
    faults::Fault,
};

/// No inline script or style, nothing from elsewhere, in no frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; \
                      base-uri 'none'; frame-ancestors 'none'";

pub type PageResult = Result<Response<Body>, PageError>;

/// A page that is not to be kept: any page may have held a secret.
#[must_use]
pub fn page(status: StatusCode, template: &impl Template) -> Response<Body> {
    match template.render() {
        Ok(html) => {
            let headers = [
                (header::CONTENT_SECURITY_POLICY, POLICY),
                (header::CACHE_CONTROL, "no-store"),
                (header::REFERRER_POLICY, "same-origin"),
                (header::X_FRAME_OPTIONS, "DENY"),
            ];
            (status, headers, Html(html)).into_response()
        }
        Err(error) => Error::Internal(anyhow::Error::new(error).context("render a page")).into_response(),
    }
}

/// Sends the browser on after a change. htmx follows a redirect without changing the address, so it is told in its own way.
#[must_use]
pub fn go(headers: &HeaderMap, to: &str) -> Response<Body> {
    match HeaderValue::from_str(to) {
        Ok(to) if is_htmx(headers) => (StatusCode::NO_CONTENT, [("hx-redirect", to)]).into_response(),
        _ => Redirect::to(to).into_response(),
    }
}

#[must_use]
pub fn is_htmx(headers: &HeaderMap) -> bool {
    headers.get("hx-request").is_some()
}

/// A refusal, to be shown as a page.
#[derive(Debug)]
pub enum PageError {
    /// Nobody is signed in: sign in, then come back here.
    SignIn {
        back_to: String,
        is_htmx: bool,
    },
    Refused(Error),
    /// It is a page already.
    Page(Box<Response<Body>>),
}

impl From<Error> for PageError {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl PageError {
    /// Signing in leads back only to a page that was asked for with GET.
    #[must_use]
    pub fn sign_in(uri: &Uri, headers: &HeaderMap, comes_back: bool) -> Self {
        let address = uri.path_and_query().filter(|_| comes_back);
        let back_to = address.map(ToString::to_string).unwrap_or_default();
        Self::SignIn { back_to, is_htmx: is_htmx(headers) }
    }
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response<Body> {
        match self {
            Self::SignIn { is_htmx: true, .. } => StatusCode::UNAUTHORIZED.into_response(),
            Self::SignIn { back_to, .. } => {
                let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("next", &back_to).finish();
                Redirect::to(&format!("/sign-in?{query}")).into_response()
            }
            Self::Page(page) => *page,
            Self::Refused(error) => {
                let (fault, retry) = (Fault::of(&error), error.retry_after());
                let gone = if let Error::Deleted(tombstone) = &error { Some(deletion(tombstone)) } else { None };
                let problem = error.page_problem();
                let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                let id = fault.as_ref().map(|fault| format!("In the log it is request {}.", fault.request_id));
                let refused = problem.errors.iter().map(|error| format!("The {} {}.", error.field, error.message));
                let text = [gone.unwrap_or(problem.detail)].into_iter().chain(refused).chain(id).collect::<Vec<_>>().join(" ");
                let mut response =
                    page(status, &Failure { status: problem.status, title: problem.title, text, hint: problem.hint });
                if let Some(fault) = fault {
                    fault.mark(&mut response);
                }
                if let Some(seconds) = retry {
                    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
                }
                response
            }
        }
    }
}

/// Who deleted a connection, when, and why.
fn deletion(tombstone: &Tombstone) -> String {
    let Tombstone { name, deleted_by, deleted_at, reason, use_instead } = tombstone;
    let when = parse_rfc3339(deleted_at).map_or_else(|| deleted_at.clone(), minute);
    let why = reason.as_ref().map(|reason| format!(" Reason: {reason}")).unwrap_or_default();
    let instead = use_instead.as_ref().map(|other| format!(" Use “{other}” instead.")).unwrap_or_default();
    format!("The connection “{name}” was deleted by {deleted_by} on {when}.{why}{instead}")
}

/// The answer where nothing is: a page for people, a problem document for programs.
pub async fn nowhere(headers: HeaderMap) -> Response<Body> {
    let error = Error::NotFound("address");
    let wants_page =
        headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).is_some_and(|accept| accept.contains("text/html"));
    if wants_page { PageError::from(error).into_response() } else { error.into_response() }
}
