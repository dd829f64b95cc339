//! What holds for the whole server.

use askama::Template;
use dataflow_model::FieldError;

use super::Shell;
use crate::{
    jobs::purge::CHECKS_KEPT,
    ops::settings::{AUDIT_DAYS_MIN, RETENTION_DAYS_MAX},
};

#[derive(Debug, Template)]
#[template(path = "settings.html")]
pub struct Settings {
    pub shell: Shell,
    /// Whether connections are tested at all.
    pub tests: bool,
    /// What the server was started with.
    pub configured_allow: Vec<String>,
    pub configured_deny: Vec<String>,
    pub loopback: bool,
    pub addresses: Addresses,
    pub history: History,
}

#[derive(Debug)]
pub struct Addresses {
    pub etag: String,
    /// `Saved 3 min ago by ada@example.org.`
    pub saved: String,
    pub is_sound: bool,
    pub in_force_allow: Vec<String>,
    pub in_force_deny: Vec<String>,
    /// As typed.
    pub allow: String,
    pub deny: String,
    pub errors: Vec<FieldError>,
}

#[derive(Debug)]
pub struct History {
    pub etag: String,
    pub saved: String,
    pub is_sound: bool,
    pub check_days: String,
    pub version_days: String,
    pub change_days: String,
    pub read_days: String,
    pub restore_days: String,
    pub workflow_days: String,
    pub errors: Vec<FieldError>,
}

/// The faults of a field, or `None`.
fn faults<'e>(errors: &'e [FieldError], field: &str) -> Option<Vec<&'e str>> {
    let all: Vec<_> = errors.iter().filter(|error| error.field == field).map(|error| error.message.as_str()).collect();
    (!all.is_empty()).then_some(all)
}

impl Addresses {
    fn faults(&self, field: &str) -> Option<Vec<&str>> {
        faults(&self.errors, field)
    }
}

impl History {
    fn faults(&self, field: &str) -> Option<Vec<&str>> {
        faults(&self.errors, field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::studio::view::{
        parts::Here,
        samples::{SHARP, keep, shell},
    };

    #[test]
    fn server_settings() {
        let addresses = Addresses {
            etag: "\"addresses.3\"".into(),
            saved: "Saved 3 min ago by you@example.org.".into(),
            is_sound: true,
            in_force_allow: vec!["10.0.0.0/8".into(), "fd00::/8".into()],
            in_force_deny: Vec::new(),
            allow: SHARP.into(),
            deny: String::new(),
            errors: vec![
                FieldError::new("allow", "invalid", format!("has “{SHARP}” on line 1, which is no network")),
                FieldError::new("allow", "invalid", "has “10.0.0.0/99” on line 2, which is no network"),
            ],
        };
        let history = History {
            etag: "\"retention.1\"".into(),
            saved: String::new(),
            is_sound: true,
            check_days: "soon".into(),
            version_days: "365".into(),
            change_days: String::new(),
            read_days: "30".into(),
            restore_days: "30".into(),
            workflow_days: String::new(),
            errors: vec![
                FieldError::new("check_days", "invalid", "must be a whole number of days, or nothing"),
                FieldError::new("read_days", "out_of_range", "must be from 90 to 3660 days, or nothing"),
            ],
        };
        let page = Settings {
            shell: Shell { workspace: None, role: String::new(), ..shell("Settings", Here::Settings) },
            tests: true,
            configured_allow: Vec::new(),
            configured_deny: vec!["10.9.0.0/16".into()],
            loopback: false,
            addresses,
            history,
        };
        keep("settings", &page);
        let conflict =
            vec![FieldError::new("etag", "version_conflict", "Somebody saved other settings since you opened the page.")];
        let bent = Settings {
            addresses: Addresses { is_sound: false, errors: conflict.clone(), ..page.addresses },
            history: History { is_sound: false, errors: conflict, ..page.history },
            tests: false,
            loopback: true,
            ..page
        };
        keep("settings-bent", &bent);
    }
}
