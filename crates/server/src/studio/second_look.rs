//! Forms of acts that may take a second look: the page that asks whether it is still the person himself, and what he had sent.
//!
//! The page takes along what the form held, so that nothing is kept here and nothing is typed twice. That is never a secret: a handler
//! names the fields, and the form of a connection, which holds some, asks in itself.

use std::sync::Arc;

use axum::{
    extract::{FromRequest, Request},
    http::{HeaderMap, HeaderValue, Uri, header},
};
use dataflow_model::Secret;

use super::{
    answer::{PageError, page},
    entry::{inner_path, span},
    fields::Fields,
    view::entry::SecondLook,
};
use crate::{
    error::Error,
    ops::{Caller, Who},
};

/// Where the page leads if nothing is to be done: to the page that the form stood on.
const BACK: &str = "back";

/// A form that was sent, and what it takes to have it sent again.
#[derive(Debug)]
pub struct Sent {
    pub fields: Fields,
    /// Its own address.
    to: String,
    back: String,
}

impl<S: Send + Sync> FromRequest<S> for Sent {
    type Rejection = PageError;

    async fn from_request(request: Request, state: &S) -> Result<Self, PageError> {
        let to = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
        let referer = referer(request.headers());
        let fields = Fields::from_request(request, state).await?;
        let asked = inner_path(fields.text(BACK));
        let back = [asked, inner_path(&referer), "/"].into_iter().find(|path| !path.is_empty()).unwrap_or_default().to_owned();
        Ok(Self { fields, to, back })
    }
}

/// The path of the page that the form stood on; the host does not count.
fn referer(headers: &HeaderMap) -> String {
    let referer = headers.get(header::REFERER).and_then(|referer| referer.to_str().ok()?.parse::<Uri>().ok());
    referer.and_then(|referer| referer.path_and_query().map(ToString::to_string)).unwrap_or_default()
}

impl Sent {
    /// Who sent it, with his own password where he typed it.
    #[must_use]
    pub fn by(&self, caller: Caller) -> Caller {
        by(caller, &self.fields)
    }

    /// What the sender is answered: where he is to show that it is he, the page for that. It takes the fields `names` along; none of them
    /// may hold a secret.
    #[must_use]
    pub fn refused(&self, caller: &Caller, error: Error, names: &[&str]) -> PageError {
        let (status, ..) = error.describe();
        let retry = error.retry_after();
        let text = match error {
            Error::SecondLook => None,
            Error::WrongOwnPassword => Some("That is not the password that you sign in with.".to_owned()),
            Error::TooManyAttempts(seconds) => Some(format!("Too many wrong passwords. Try again in {}.", span(seconds))),
            Error::TooManyRequests(what) => Some(format!("{what} Try again in a few seconds.")),
            other => return other.into(),
        };
        let kept = self.fields.of(names);
        let asks = SecondLook {
            email: caller.label().into_owned(),
            to: self.to.clone(),
            back: self.back.clone(),
            kept: kept.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            has_password: !matches!(&caller.who, Who::Person(person) if !person.has_password),
            error: text,
        };
        let mut answer = page(status, &asks);
        if let Some(seconds) = retry {
            answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        PageError::Page(Box::new(answer))
    }
}

/// The caller of a form, with his own password where he typed it.
#[must_use]
pub fn by(caller: Caller, fields: &Fields) -> Caller {
    let own_password = fields.get("own_password").filter(|typed| !typed.is_empty());
    Caller { own_password: own_password.map(Secret::duplicate_secret).map(Arc::new), ..caller }
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, response::IntoResponse as _};
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn what_was_typed_is_kept_whyever_nobody_could_look() {
        for (error, status, retry, text) in [
            (Error::SecondLook, 403, None, "Is it you?"),
            (Error::WrongOwnPassword, 403, None, "That is not the password"),
            (Error::TooManyAttempts(200), 429, Some("200"), "Try again in 4 min."),
            (Error::TooManyRequests("Too many people sign in at this moment."), 429, Some("2"), "Try again in a few seconds."),
        ] {
            let form = "email=ada%40example.org&other=x&own_password=planted";
            let request = Request::post("/w/default/access").header("content-type", "application/x-www-form-urlencoded");
            let sent = Sent::from_request(request.body(Body::from(form)).expect("a request"), &()).await.expect("a form");
            let answer = sent.refused(&Caller::shell(), error, &["email"]).into_response();
            let after = answer.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
            assert_eq!((answer.status().as_u16(), after), (status, retry), "{text}");
            let html = answer.into_body().collect().await.expect("a body").to_bytes();
            let html = String::from_utf8_lossy(&html);
            assert!(html.contains(text) && html.contains("name=\"email\" value=\"ada@example.org\""), "{html}");
            assert!(!html.contains("planted") && !html.contains("name=\"other\""), "{html}");
        }
    }
}
