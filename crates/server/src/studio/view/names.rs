//! A connection's names: those that it has besides its own, and the dialogs that give, remove and lead them elsewhere.

use askama::Template;
use dataflow_model::{Impact, name::NAME_MAX};

use super::{Shell, dependents::DependentLine, parts::plural};
use crate::ops::tombstones::REASON_MAX;

/// Another name on the connection's page.
#[derive(Debug)]
pub struct AliasLine {
    pub name: String,
    /// `still used by 3 workflows, last 6 h ago`, or that nothing has used it for 30 days.
    pub words: String,
    /// `warn` of one that was changed in the store, else nothing.
    pub tone: &'static str,
}

#[derive(Debug, Template)]
#[template(path = "rename.html")]
pub struct Rename {
    pub shell: Shell,
    pub name: String,
    pub etag: String,
    /// As typed.
    pub new_name: String,
    pub keep_alias: bool,
    /// Who fails without the alias, where that is what was asked for.
    pub shown: Vec<DependentLine>,
    pub impact: Impact,
    pub error: Option<String>,
}

#[derive(Debug, Template)]
#[template(path = "remove_alias.html")]
pub struct RemoveAlias {
    pub shell: Shell,
    pub name: String,
    pub alias: String,
    /// As on the connection's page.
    pub words: String,
    pub shown: Vec<DependentLine>,
    pub impact: Impact,
    pub error: Option<String>,
}

#[derive(Debug, Template)]
#[template(path = "repoint.html")]
pub struct Repoint {
    pub shell: Shell,
    pub name: String,
    pub etag: String,
    /// As typed; the dialog asks for it alone while it is not known what it does.
    pub to: String,
    /// The labels of the two types, where another driver opens the other connection.
    pub types: Option<[String; 2]>,
    /// Who may not use the other connection.
    pub lose: Vec<String>,
    /// The last test of the other one failed.
    pub failed: bool,
    pub shown: Vec<DependentLine>,
    pub impact: Impact,
    pub is_known: bool,
    pub reason: String,
    pub error: Option<String>,
}

macro_rules! counted {
    ($($dialog:ty),*) => {
        $(impl $dialog {
            fn workflows(&self) -> String {
                plural(self.impact.total, "workflow")
            }

            /// Those who depend on it and are not shown.
            fn more(&self) -> i64 {
                self.impact.total - i64::try_from(self.shown.len()).unwrap_or_default()
            }
        })*
    };
}

counted!(Rename, RemoveAlias, Repoint);
