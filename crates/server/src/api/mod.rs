//! JSON in, one `ops` call, JSON out. One file per noun; no rule stands here.

pub mod connections;
pub mod credentials;
pub mod extract;
pub mod openapi;
pub mod people;
pub mod tokens;
pub mod types;
pub mod workspaces;

use serde::Serialize;

/// A page of a list. `next` is the cursor of the next page, null on the last one.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ListAnswer<T> {
    pub items: Vec<T>,
    pub next: Option<String>,
}
