//! Tokens, people and workspaces.

use askama::Template;
use dataflow_model::FieldError;

use super::{Shell, parts::Pages, words::Status};
use crate::ops::people::{Altered, EMAIL_MAX};

#[derive(Template)]
#[template(path = "tokens.html")]
pub struct Tokens {
    pub shell: Shell,
    pub tokens: Vec<TokenLine>,
    pub pages: Pages,
    /// The query that leads a change back to this page.
    pub here: String,
    /// Just made: shown in this answer and never again.
    pub fresh: Option<FreshToken>,
    pub form: TokenForm,
    pub errors: Vec<FieldError>,
}

pub struct FreshToken {
    pub name: String,
    pub clear: String,
}

#[derive(Debug)]
pub struct TokenLine {
    pub id: String,
    pub name: String,
    pub role: String,
    /// Connections it is narrowed to; empty for all.
    pub connections: Vec<String>,
    pub status: Status,
    /// `ends 3 Mar 2027`, `ended 2 days ago`, `revoked …`.
    pub ends: String,
    pub used: String,
    pub created: String,
    pub live: bool,
}

/// What was typed, to be shown again beside its errors.
#[derive(Debug, Clone)]
pub struct TokenForm {
    pub name: String,
    pub role: String,
    pub days: String,
    pub connections: String,
}

impl Default for TokenForm {
    fn default() -> Self {
        Self { name: String::new(), role: "user".to_owned(), days: "90".to_owned(), connections: String::new() }
    }
}

fn fault<'a>(errors: &'a [FieldError], field: &str) -> Option<&'a str> {
    errors.iter().find(|error| error.field == field).map(|error| error.message.as_str())
}

impl Tokens {
    fn fault(&self, field: &str) -> Option<&str> {
        fault(&self.errors, field)
    }
}

/// What is said of a row that was.
pub const ALTERED: &str = "Changed outside of this program";

/// A role, its label, and what it may do; the one that programs need stands first.
pub const ROLES: &[(&str, &str, &str)] = &[
    ("user", "User", "Sees connections, tests them, and uses them from code"),
    ("editor", "Editor", "Sees, tests, creates, edits and deletes connections; never reads a stored secret"),
    ("viewer", "Viewer", "Sees connections, without their secrets"),
    ("admin", "Admin", "Everything, people and tokens too"),
];

#[derive(Template)]
#[template(path = "people.html")]
pub struct People {
    pub shell: Shell,
    pub people: Vec<PersonLine>,
    pub pages: Pages,
    /// The query that leads a change back to this page.
    pub here: String,
    /// Whether the reader may make accounts and links for them.
    pub may_add: bool,
    /// What the sign-in provider is called.
    pub provider: String,
    /// Just made: shown in this answer and never again.
    pub link: Option<FreshLink>,
    pub email: String,
    pub roles: Vec<String>,
    pub errors: Vec<FieldError>,
}

impl People {
    fn chosen(&self, role: &str) -> bool {
        self.roles.iter().any(|chosen| chosen == role)
    }

    fn fault(&self, field: &str) -> Option<&str> {
        fault(&self.errors, field)
    }
}

/// The link by which a person chooses a password.
pub struct FreshLink {
    pub email: String,
    pub url: String,
    pub ends: String,
}

#[expect(clippy::struct_excessive_bools, reason = "each is true or not of a person, whatever the others are")]
#[derive(Debug)]
pub struct PersonLine {
    pub email: String,
    pub roles: Vec<String>,
    /// `account of 22 Nov 2026 by you@example.org`.
    pub since: String,
    /// May do everything in every workspace, whatever stands in `roles`.
    pub is_owner: bool,
    /// In this workspace, and not listed as an owner alone.
    pub is_member: bool,
    /// Grants nothing, and can be taken away.
    pub altered: Option<Altered>,
    /// The person who looks at the page.
    pub is_self: bool,
    /// Cannot sign in, and his tokens do not work.
    pub is_disabled: bool,
    /// Has not chosen a password yet.
    pub is_pending: bool,
    /// Signs in with the provider.
    pub is_linked: bool,
    /// Roles that the provider gives him, in words; empty if none.
    pub claimed: String,
    /// Whether he is in the workspace by these alone, or comes back by them.
    pub stays: bool,
}

impl PersonLine {
    fn is_account_altered(&self) -> bool {
        self.altered == Some(Altered::Account)
    }

    fn has(&self, role: &str) -> bool {
        self.roles.iter().any(|own| own == role)
    }
}

/// The reader's own account.
#[derive(Template)]
#[template(path = "account.html")]
pub struct Account {
    pub shell: Shell,
    pub errors: Vec<FieldError>,
    /// Or else he signs in with the provider alone.
    pub has_password: bool,
    pub provider: Option<Provider>,
    pub sessions: Vec<SessionLine>,
}

/// With whom the reader signs in besides, or could.
#[derive(Debug)]
pub struct Provider {
    pub label: String,
    pub is_linked: bool,
    /// Whether this server speaks to one.
    pub is_there: bool,
}

/// A place where the reader is signed in.
#[derive(Debug)]
pub struct SessionLine {
    pub id: String,
    pub is_this: bool,
    /// `Firefox on Linux`
    pub program: String,
    pub address: String,
    /// `3 min ago`
    pub began: String,
    pub seen: String,
}

impl Account {
    fn fault(&self, field: &str) -> Option<&str> {
        fault(&self.errors, field)
    }
}

#[derive(Debug, Template)]
#[template(path = "workspaces.html")]
pub struct Workspaces {
    pub shell: Shell,
    pub list: Vec<WorkspaceLine>,
    pub name: String,
    pub error: Option<String>,
}

impl Workspaces {
    /// The only one there is stays.
    fn may_delete(&self) -> bool {
        self.shell.may.manage_workspaces && self.list.len() > 1
    }
}

#[derive(Debug)]
pub struct WorkspaceLine {
    pub name: String,
    pub role: String,
    pub created: String,
}

#[derive(Debug, Template)]
#[template(path = "groups.html")]
pub struct Groups {
    pub shell: Shell,
    pub groups: Vec<GroupLine>,
    pub pages: Pages,
    /// The query that leads a change back to this page.
    pub here: String,
    /// What was typed, to be shown again beside its errors.
    pub name: String,
    pub people: String,
    pub errors: Vec<FieldError>,
}

#[derive(Debug)]
pub struct GroupLine {
    pub name: String,
    pub is_altered: bool,
    pub people: Vec<String>,
}

impl Groups {
    fn fault(&self, field: &str) -> Option<&str> {
        fault(&self.errors, field)
    }
}

/// Who may use a connection.
#[derive(Debug, Template)]
#[template(path = "users.html")]
pub struct UsersForm {
    pub shell: Shell,
    pub connection: String,
    pub etag: String,
    pub narrowed: bool,
    /// One name on a line.
    pub people: String,
    pub tokens: String,
    pub groups: String,
    /// The groups that there are.
    pub known: Vec<String>,
    pub errors: Vec<FieldError>,
}

impl UsersForm {
    fn fault(&self, field: &str) -> Option<&str> {
        fault(&self.errors, field)
    }
}
