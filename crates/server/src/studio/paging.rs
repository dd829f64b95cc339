//! Which page of a workspace's list an address names.

use axum::{extract::FromRequestParts, http::request::Parts};

use super::fields::Fields;
use crate::{
    api::extract::InWorkspace,
    error::Error,
    ops::paging::{Page, Paging},
};

/// `/w/{workspace}/…?cursor=…`: the page that the cursor names; without one it is the first.
#[derive(Debug)]
pub struct AskedPage {
    pub workspace: String,
    pub cursor: String,
}

impl<S: Send + Sync> FromRequestParts<S> for AskedPage {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let InWorkspace(workspace) = InWorkspace::from_request_parts(parts, state).await?;
        let query = Fields::parse(parts.uri.query().unwrap_or_default().as_bytes());
        Ok(Self { workspace, cursor: query.text("cursor").to_owned() })
    }
}

impl AskedPage {
    #[must_use]
    pub fn paging(&self) -> Paging {
        Paging { cursor: Some(self.cursor.clone()).filter(|cursor| !cursor.is_empty()), limit: None }
    }

    /// The query that leads back to it.
    #[must_use]
    pub fn query(&self) -> String {
        if self.cursor.is_empty() {
            return String::new();
        }
        format!("?{}", url::form_urlencoded::Serializer::new(String::new()).append_pair("cursor", &self.cursor).finish())
    }

    /// The page's address in a list of the workspace.
    #[must_use]
    pub fn address(&self, list: &str) -> String {
        format!("/w/{}/{list}{}", self.workspace, self.query())
    }

    /// What a list answers when it was asked for nothing but a page: one that it cannot read is not there.
    pub fn found<T>(page: Result<Page<T>, Error>) -> Result<Page<T>, Error> {
        page.map_err(|error| if matches!(error, Error::Invalid(_)) { Error::NotFound("page") } else { error })
    }
}
