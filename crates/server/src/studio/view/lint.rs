//! What is wrong with connections: the page Lint, a connection's panel, and the form that silences a rule.

use askama::Template;
use dataflow_model::FieldError;

use super::{
    Shell,
    parts::{Pages, ago, day},
};
use crate::ops::{
    lint::{rules::Severity, silence::Silence},
    tombstones::REASON_MAX,
};

/// A finding as a line of a list.
#[derive(Debug)]
pub struct FindingLine {
    pub connection: String,
    pub rule: &'static str,
    pub title: &'static str,
    pub severity: Severity,
    pub reason: String,
    pub fix: String,
    /// By what it is silenced, in words.
    pub silenced: Option<String>,
    /// It is, for all connections.
    pub is_of_all: bool,
}

impl FindingLine {
    /// The class of the style sheet.
    fn tone(&self) -> &'static str {
        match self.severity {
            Severity::Error => "bad",
            Severity::Warning => "warn",
            Severity::Note => "none",
        }
    }

    fn severity(&self) -> &'static str {
        match self.severity {
            Severity::Error => "Error",
            Severity::Warning => "Warning",
            Severity::Note => "Note",
        }
    }
}

/// `by ada@example.org 3 days ago, until 1 March 2027`.
#[must_use]
pub fn silenced_words(silence: &Silence, now: i64) -> String {
    let until = silence.until.map(|at| format!(", {} {}", if silence.is_over { "over since" } else { "until" }, day(at)));
    format!("by {} {}{}", silence.set_by, ago(now, silence.set_at), until.unwrap_or_default())
}

/// A rule that is silenced, as a line of the page.
#[derive(Debug)]
pub struct SilenceLine {
    /// Nothing for all.
    pub connection: Option<String>,
    pub rule: String,
    pub title: String,
    /// Whether this build has the rule.
    pub is_known: bool,
    pub reason: String,
    pub words: String,
    pub is_over: bool,
    pub is_sound: bool,
}

#[derive(Debug, Template)]
#[template(path = "lint.html")]
pub struct Lint {
    pub shell: Shell,
    pub lines: Vec<FindingLine>,
    pub pages: Pages,
    /// The one that is asked for; empty for all.
    pub severity: String,
    pub silences: Vec<SilenceLine>,
    /// More than the page shows.
    pub has_more: bool,
    pub may_silence: bool,
    pub may_silence_all: bool,
    /// Every rule, with what it finds in a few words.
    pub rules: Vec<(&'static str, &'static str)>,
}

/// What stands on the page of a connection.
#[derive(Debug, Template)]
#[template(path = "lint_panel.html")]
pub struct LintPanel {
    /// Where a rule is silenced.
    pub at: String,
    pub findings: Vec<FindingLine>,
    pub silenced: Vec<FindingLine>,
    pub may_silence: bool,
}

impl askama::filters::HtmlSafe for LintPanel {}

/// The form that silences a rule.
#[derive(Debug, Template)]
#[template(path = "lint_silence.html")]
pub struct SilenceForm {
    pub shell: Shell,
    /// Nothing for all.
    pub connection: Option<String>,
    pub rule: &'static str,
    pub title: &'static str,
    /// Why it finds something now.
    pub found: Option<String>,
    /// By whom it is silenced, and since when.
    pub set: Option<String>,
    pub is_sound: bool,
    pub reason: String,
    pub until: String,
    pub etag: String,
    pub errors: Vec<FieldError>,
}

impl SilenceForm {
    fn fault(&self, field: &str) -> Option<&str> {
        self.errors.iter().find(|error| error.field == field).map(|error| error.message.as_str())
    }

    fn back(&self) -> String {
        match &self.connection {
            Some(name) => format!("{}/{name}", self.shell.at("connections")),
            None => self.shell.at("lint"),
        }
    }

    fn action(&self) -> String {
        match &self.connection {
            Some(name) => format!("{}/{name}/lint/{}", self.shell.at("connections"), self.rule),
            None => format!("{}/{}", self.shell.at("lint"), self.rule),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::{
        super::{
            parts::Here,
            samples::{SHARP, keep, shell},
        },
        *,
    };

    fn line(rule: &'static str, severity: Severity) -> FindingLine {
        FindingLine {
            connection: "sales".into(),
            rule,
            title: "TLS not verified",
            severity,
            reason: SHARP.into(),
            fix: SHARP.into(),
            silenced: None,
            is_of_all: false,
        }
    }

    pub fn panel() -> LintPanel {
        let silenced =
            FindingLine { silenced: Some("by ada@example.org 3 days ago".into()), ..line("never-tested", Severity::Warning) };
        LintPanel {
            at: "/w/default/connections/sales/lint".into(),
            findings: vec![line("tls-unverified", Severity::Error)],
            silenced: vec![silenced],
            may_silence: true,
        }
    }

    fn page() -> Lint {
        let silence = SilenceLine {
            connection: Some("crm".into()),
            rule: "never-tested".into(),
            title: "Never tested".into(),
            is_known: true,
            reason: SHARP.into(),
            words: "by ada@example.org 3 days ago".into(),
            is_over: false,
            is_sound: true,
        };
        Lint {
            shell: shell("Lint", Here::Health),
            lines: vec![line("tls-unverified", Severity::Error), line("unused-90-days", Severity::Note)],
            pages: Pages::default(),
            severity: String::new(),
            silences: vec![silence],
            has_more: false,
            may_silence: true,
            may_silence_all: true,
            rules: vec![("tls-unverified", "TLS not verified")],
        }
    }

    #[test]
    fn pages_of_the_lint() {
        keep("lint", &page());
        let reader = Lint { may_silence: false, may_silence_all: false, ..page() }.render().expect("it renders");
        assert!(
            !reader.contains("/lint/tls-unverified") && !reader.contains(">Change<"),
            "who may not is offered nothing: {reader}"
        );
        let none = Lint { lines: Vec::new(), silences: Vec::new(), ..page() }.render().expect("it renders");
        assert!(none.contains("Nothing found"), "{none}");
    }

    #[test]
    fn a_panel_folds_what_is_silenced() {
        let html = panel().render().expect("it renders");
        assert!(html.contains("<summary>1 silenced</summary>") && html.contains("lint/tls-unverified\""), "{html}");
        let reader = LintPanel { may_silence: false, ..panel() }.render().expect("it renders");
        assert!(!reader.contains("lint/tls-unverified\""), "{reader}");
        let none = LintPanel { findings: Vec::new(), silenced: Vec::new(), ..panel() }.render().expect("it renders");
        assert!(none.contains("Nothing found"), "{none}");
    }

    #[test]
    fn a_form_that_silences() {
        let form = SilenceForm {
            shell: shell("Lint of sales", Here::Connections),
            connection: Some("sales".into()),
            rule: "tls-unverified",
            title: "TLS not verified",
            found: Some(SHARP.into()),
            set: Some("Silenced 3 days ago by ada@example.org.".into()),
            is_sound: true,
            reason: SHARP.into(),
            until: SHARP.into(),
            etag: "\"all.7\"".into(),
            errors: vec![FieldError::new("until", "invalid", "must be a day as 2027-03-01")],
        };
        keep("lint-silence", &form);
        let all = SilenceForm { connection: None, set: None, errors: Vec::new(), is_sound: false, ..form };
        let html = all.render().expect("it renders");
        assert!(!html.contains("Lift") && html.contains("all connections") && html.contains("outside of this program"), "{html}");
    }
}
