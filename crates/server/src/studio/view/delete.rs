//! The dialogs that show what a delete will break, before it can be done.

use askama::Template;

use super::{Shell, parts::plural};
use crate::ops::{connections::REASON_MAX, workspaces::Contents};

#[derive(Debug, Template)]
#[template(path = "delete.html")]
pub struct Delete {
    pub shell: Shell,
    pub name: String,
    /// The entity tag of the version that the dialog speaks of; a newer one refuses the delete.
    pub etag: String,
    pub shown: Vec<Dependent>,
    /// How many workflows use it, those beyond `shown` too.
    pub total: usize,
    pub error: Option<String>,
}

/// A workflow that was seen using the connection.
#[derive(Debug, Clone)]
pub struct Dependent {
    /// `pipeline`, `notebook`, `app`, `script`, `cli`: also the name of its drawing.
    pub kind: &'static str,
    pub name: String,
    /// `last seen 6 h ago`.
    pub seen: String,
}

impl Delete {
    #[must_use]
    pub fn sentence(&self) -> String {
        match self.total {
            0 => "No workflow has been seen using it. Code that names it and has not run yet cannot be seen.".to_owned(),
            1 => "1 workflow uses it. It will fail from its next run, until a connection of the same name exists.".to_owned(),
            many => {
                format!(
                    "{many} workflows use it. They will fail from their next run, until a connection of the same name exists."
                )
            }
        }
    }

    #[must_use]
    pub fn more(&self) -> usize {
        self.total.saturating_sub(self.shown.len())
    }
}

#[derive(Debug, Template)]
#[template(path = "delete_workspace.html")]
pub struct DeleteWorkspace {
    pub shell: Shell,
    pub name: String,
    pub contents: Contents,
    /// Whether programs that name no workspace look in it.
    pub is_default: bool,
    pub error: Option<&'static str>,
}

impl DeleteWorkspace {
    /// What goes with it, each with the name of its drawing and what that does to people.
    fn goes(&self) -> [(&'static str, String, &'static str); 3] {
        let Contents { connections, members, tokens } = self.contents;
        [
            ("plug", plural(connections, "connection"), "with every version and secret"),
            ("users", plural(members, "member"), "their accounts stay"),
            ("key", plural(tokens, "token"), "programs that use them fail at once"),
        ]
    }
}
