//! A form's body: names and values, each value held as a secret until the page knows better.

use axum::{
    extract::{FromRequest, Request},
    http::header,
};
use dataflow_model::Secret;
use percent_encoding::percent_decode;

use super::answer::PageError;
use crate::{api::extract::read_body, error::Error};

/// The fields of a submitted form, in order.
#[derive(Debug)]
pub struct Fields(Vec<(String, Secret)>);

impl Fields {
    /// Reads `application/x-www-form-urlencoded`.
    #[must_use]
    pub fn parse(body: &[u8]) -> Self {
        Self(
            url::form_urlencoded::parse(body).map(|(name, value)| (name.into_owned(), Secret::new(value.into_owned()))).collect(),
        )
    }

    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Secret> {
        self.0.iter().find(|(found, _)| found == name).map(|(_, value)| value)
    }

    /// A public value; empty where the form has none.
    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        self.get(name).map(Secret::expose_secret).unwrap_or_default()
    }

    /// Names and values of these fields, as they stand in the form.
    pub fn of<'a>(&'a self, names: &'a [&str]) -> impl Iterator<Item = (&'a str, &'a str)> {
        let pairs = self.0.iter().map(|(name, value)| (name.as_str(), value.expose_secret()));
        pairs.filter(|(name, _)| names.contains(name))
    }

    /// The name of each field, as they stand in the form.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// Every value of a name, for check boxes.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(found, _)| found == name).map(|(_, value)| value.expose_secret())
    }
}

impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = PageError;

    async fn from_request(request: Request, _: &S) -> Result<Self, PageError> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if !kind.to_ascii_lowercase().starts_with("application/x-www-form-urlencoded") {
            return Err(Error::UnsupportedMediaType.into());
        }
        let body = read_body(request.into_body()).await?;
        // Read as text with replacements, a password would be stored as another one.
        if percent_decode(&body).decode_utf8().is_err() {
            return Err(Error::Malformed("The form's text is not UTF-8.").into());
        }
        Ok(Self::parse(&body))
    }
}
