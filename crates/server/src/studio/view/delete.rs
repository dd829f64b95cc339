//! The dialogs that show what a delete will break, before it can be done.

use askama::Template;
use dataflow_model::{Impact, name::NAME_MAX};

use super::{Shell, dependents::DependentLine, parts::plural};
use crate::ops::{tombstones::REASON_MAX, workspaces::Contents};

#[derive(Debug, Template)]
#[template(path = "delete.html")]
pub struct Delete {
    pub shell: Shell,
    pub name: String,
    /// The entity tag of the version that the dialog speaks of; a newer one refuses the delete.
    pub etag: String,
    pub shown: Vec<DependentLine>,
    /// What the dialog speaks of; another one refuses the delete.
    pub impact: Impact,
    /// The login of before the last rotation, which stays at the database.
    pub not_retired: Option<String>,
    /// Days within which it can be brought back; `None`: always.
    pub restorable: Option<i64>,
    /// As typed.
    pub reason: String,
    pub use_instead: String,
    pub error: Option<String>,
}

impl Delete {
    #[must_use]
    pub fn sentence(&self) -> String {
        match self.impact.total {
            0 => "No workflow was seen using it, and no scan found it in code.".to_owned(),
            1 if self.impact.found_only == 1 => {
                "1 workflow names it in its code. It will fail when it runs, until a connection of the same name exists."
                    .to_owned()
            }
            1 => "1 workflow uses it. It will fail from its next run, until a connection of the same name exists.".to_owned(),
            many => {
                format!(
                    "{many} workflows use it. They will fail from their next run, until a connection of the same name exists."
                )
            }
        }
    }

    /// `8 more, 3 of them found only in code`.
    #[must_use]
    pub fn more(&self) -> Option<String> {
        let more = self.impact.total - i64::try_from(self.shown.len()).unwrap_or_default();
        let shown = self.shown.iter().filter(|line| line.seen.is_empty()).count();
        let found = self.impact.found_only - i64::try_from(shown).unwrap_or_default();
        let found = if found > 0 { format!(", {found} of them found only in code") } else { String::new() };
        (more > 0).then(|| format!("{more} more{found}"))
    }

    #[must_use]
    pub fn back(&self) -> String {
        match self.restorable {
            None => "Can be brought back at any time.".to_owned(),
            Some(1) => "Can be brought back for a day.".to_owned(),
            Some(days) => format!("Can be brought back for {days} days."),
        }
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
