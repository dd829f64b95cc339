//! Deleted connections.

use askama::Template;

use super::{Shell, parts::Pages};

#[derive(Debug, Template)]
#[template(path = "deleted.html")]
pub struct DeletedPage {
    pub shell: Shell,
    pub lines: Vec<DeletedLine>,
    pub may_restore: bool,
    /// Why one was not brought back.
    pub refused: Option<String>,
    pub pages: Pages,
}

#[derive(Debug, Clone)]
pub struct DeletedLine {
    pub name: String,
    pub etag: String,
    pub type_label: String,
    pub when: String,
    pub at: String,
    pub by: String,
    pub reason: String,
    pub use_instead: Option<String>,
    /// `Until 29 Dec 2026`; empty once it cannot be brought back.
    pub left: String,
}
