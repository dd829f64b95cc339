//! Forms of acts that may take a second look: the page that asks whether it is still the person himself, and what he had sent.
//!
//! The page takes along what the form held, so that nothing is kept here and nothing is typed twice. That is never a secret: a handler
//! names the fields, and the form of a connection, which holds some, asks in itself.

use std::sync::Arc;

use axum::{
    extract::{FromRequest, Request},
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
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
        let (status, text, retry) = match error {
            Error::SecondLook => (StatusCode::FORBIDDEN, None, None),
            Error::WrongOwnPassword => {
                (StatusCode::FORBIDDEN, Some("That is not the password that you sign in with.".to_owned()), None)
            }
            Error::TooManyAttempts(seconds) => {
                let text = format!("Too many wrong passwords. Try again in {}.", span(seconds));
                (StatusCode::TOO_MANY_REQUESTS, Some(text), Some(seconds))
            }
            other => return other.into(),
        };
        let kept = self.fields.of(names);
        let asks = SecondLook {
            email: caller.label().into_owned(),
            to: self.to.clone(),
            back: self.back.clone(),
            kept: kept.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            has_password: matches!(&caller.who, Who::Person(person) if person.has_password),
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
