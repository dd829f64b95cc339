//! The page of a connection's second login.

use askama::Template;
use dataflow_model::FieldError;

use super::{Shell, connection::Rotation, dependents::DependentLine, words::Status};
use crate::ops::people::PASSWORD_MAX;

#[derive(Debug, Template)]
#[template(path = "second_login.html")]
pub struct SecondLogin {
    pub shell: Shell,
    pub name: String,
    /// The entity tag of the version that the page speaks of; a newer one refuses every step.
    pub etag: String,
    /// What the connection signs in as.
    pub own: String,
    pub kept: Option<Kept>,
    /// A rotation of the connection's own password that is not settled.
    pub rotation: Option<Rotation>,
    /// He may give, remove and retire it now.
    pub may_change: bool,
    /// As it was typed.
    pub username: String,
    /// His own password is asked for, too.
    pub looks_again: bool,
    pub errors: Vec<FieldError>,
    /// What went wrong besides.
    pub error: Option<String>,
}

/// The second login that there is.
#[derive(Debug)]
pub struct Kept {
    pub username: String,
    pub status: Status,
    pub since: String,
    pub sentence: String,
    /// It served before the last switch.
    pub retires: bool,
    pub shown: Vec<DependentLine>,
    /// Those who lag behind and are not shown.
    pub more: i64,
    pub lagging: i64,
}

impl SecondLogin {
    fn fault(&self, field: &str) -> Option<&str> {
        self.errors.iter().find(|error| error.field == field).map(|error| error.message.as_str())
    }

    /// Whether one can be given now.
    fn takes_one(&self) -> bool {
        self.may_change && self.kept.as_ref().is_none_or(|kept| !kept.retires)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            parts::Here,
            samples::{SHARP, keep, shell},
        },
        *,
    };

    fn empty() -> SecondLogin {
        SecondLogin {
            shell: shell("Second login", Here::Connections),
            name: "sales".into(),
            etag: "\"id.7\"".into(),
            own: SHARP.into(),
            kept: None,
            rotation: None,
            may_change: true,
            username: String::new(),
            looks_again: false,
            errors: Vec::new(),
            error: None,
        }
    }

    fn kept(retires: bool) -> Kept {
        Kept {
            username: SHARP.into(),
            status: Status { tone: "warn", words: "Still works".into() },
            since: "since 3 min ago".into(),
            sentence: SHARP.into(),
            retires,
            shown: Vec::new(),
            more: 2,
            lagging: 2,
        }
    }

    #[test]
    fn pages() {
        keep("second-login-none", &empty());
        keep("second-login-retiring", &SecondLogin { kept: Some(kept(true)), ..empty() });
        let refused = |field: &str| FieldError::new(field, "required", "is needed");
        let errors = ["username", "password", "own_password"].map(refused).to_vec();
        let typed = SecondLogin { username: SHARP.into(), looks_again: true, errors, error: Some(SHARP.into()), ..empty() };
        keep("second-login-refused", &SecondLogin { kept: Some(kept(false)), ..typed });
        let seen = SecondLogin { may_change: false, kept: Some(kept(true)), ..empty() }.render().expect("it renders");
        assert!(!seen.contains("<form method=\"post\" action=\"/w/default/connections/sales/second-login"), "{seen}");
    }
}
