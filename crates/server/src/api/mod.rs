//! JSON in, one `ops` call, JSON out. One file per noun; no rule stands here.

pub mod activity;
pub mod aliases;
pub mod checks;
pub mod compare;
pub mod conditions;
pub mod connections;
pub mod credentials;
pub mod dependents;
pub mod extract;
pub mod groups;
pub mod health;
pub mod lint;
pub mod notices;
pub mod openapi;
pub mod people;
pub mod rotation_policies;
pub mod rotations;
pub mod scans;
pub mod second_logins;
pub mod settings;
pub mod tokens;
pub mod tombstones;
pub mod types;
pub mod users;
pub mod versions;
pub mod workspaces;

use axum::{Json, http::StatusCode};
use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    ops::paging::{Page, Paging},
};

/// A page of a list. `next` is the cursor of the next page, null on the last one.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ListAnswer<T> {
    pub items: Vec<T>,
    #[schema(example = "c2FsZXMK")]
    pub next: Option<String>,
}

/// Which page of a list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageParams {
    /// `next` of the page before.
    pub cursor: Option<String>,
    /// Entries on a page; 50 unless given.
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<usize>,
}

impl From<PageParams> for Paging {
    fn from(params: PageParams) -> Self {
        Self { cursor: params.cursor, limit: params.limit }
    }
}

fn listed<T, U>(page: Page<T>, answer: impl FnMut(T) -> U) -> Json<ListAnswer<U>> {
    let Page { rows: items, next } = page.map(answer);
    Json(ListAnswer { items, next })
}

/// The answer to a change that leaves nothing to show; a repeat of one is answered alike.
fn done(came_to: Result<()>) -> Result<StatusCode> {
    match came_to {
        Ok(()) | Err(Error::Repeated) => Ok(StatusCode::NO_CONTENT),
        Err(error) => Err(error),
    }
}
