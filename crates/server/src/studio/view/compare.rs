//! Two workspaces side by side, and the form that copies one connection from one to the other.

use askama::Template;

use super::{Shell, parts::Pages};

#[derive(Debug, Template)]
#[template(path = "compare.html")]
pub struct Compare {
    pub shell: Shell,
    /// The workspace that is open, and the one that it is compared with; `None` where the person may open no other.
    pub here: String,
    pub there: Option<String>,
    /// Those to choose from.
    pub others: Vec<String>,
    /// Whether what is the same on both sides is listed, too.
    pub all: bool,
    pub lines: Vec<Line>,
    pub pages: Pages,
    /// Names follow that were not looked at yet.
    pub goes_on: bool,
}

/// A name of either.
#[derive(Debug)]
pub struct Line {
    pub name: String,
    pub tone: &'static str,
    pub words: String,
    /// `version 7 here, 3 there`
    pub versions: String,
    /// Where it leads, if it is on one side alone.
    pub address: String,
    /// Whether clients connect elsewhere, or as somebody else.
    pub leads_elsewhere: bool,
    pub drifts: Vec<Drift>,
    /// Its own page, in the open workspace if it is there.
    pub page: String,
    /// Whether the person may copy it.
    pub copies: bool,
}

/// One member that differs, as it is here and there.
#[derive(Debug, Template)]
#[template(path = "beside.html")]
pub struct Drift {
    pub label: String,
    pub told: Told,
}

impl askama::filters::HtmlSafe for Drift {}

#[derive(Debug)]
pub enum Told {
    /// Here and there; `None`: not set.
    Both(Option<String>, Option<String>),
    /// Texts of many lines, to unfold.
    Long(Option<String>, Option<String>),
    /// Of a secret, whether it is set here; it is not there then, and the other way round.
    Secret(bool),
}

#[derive(Debug, Template)]
#[template(path = "copy.html")]
pub struct CopyForm {
    pub shell: Shell,
    pub name: String,
    pub here: String,
    pub there: String,
    /// Of the one that is there; empty where there is none.
    pub etag: String,
    pub rows: Vec<Row>,
    /// Whether the one that is there is tested first, where that can be chosen.
    pub test_first: Option<bool>,
    /// Why nothing was copied.
    pub error: Option<String>,
}

/// One member that differs, and whether it is copied.
#[derive(Debug)]
pub struct Row {
    pub field: String,
    pub drift: Drift,
    pub takes: Takes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// To be chosen, and whether it is.
    Asked(bool),
    /// Nothing to choose: `always`, `kept`, `never copied`.
    Told(&'static str),
}

impl CopyForm {
    fn is_new(&self) -> bool {
        self.etag.is_empty()
    }

    /// Whether anything can be copied.
    fn has_any(&self) -> bool {
        self.is_new() || self.rows.iter().any(|row| matches!(row.takes, Takes::Asked(_)))
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

    fn both(here: Option<&str>, there: Option<&str>) -> Told {
        Told::Both(here.map(ToOwned::to_owned), there.map(ToOwned::to_owned))
    }

    fn drift(label: &str, told: Told) -> Drift {
        Drift { label: label.to_owned(), told }
    }

    fn line(name: &str, tone: &'static str, words: &str) -> Line {
        Line {
            name: name.into(),
            tone,
            words: words.into(),
            versions: String::new(),
            address: "db.dev.internal:5432 / sales".into(),
            leads_elsewhere: false,
            drifts: Vec::new(),
            page: format!("/w/analytics/connections/{name}"),
            copies: true,
        }
    }

    fn differs() -> Line {
        Line {
            versions: "version 7 here, 3 there".into(),
            leads_elsewhere: true,
            drifts: vec![
                drift("Description", both(None, Some(SHARP))),
                drift("Host", both(Some("db.dev.internal"), Some("db.internal"))),
                drift("Client key", Told::Secret(false)),
                drift(
                    "Server CA",
                    Told::Long(None, Some("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----".to_owned())),
                ),
            ],
            ..line("sales", "warn", "Differs")
        }
    }

    fn compare() -> Compare {
        let only_there =
            Line { page: "/w/finance/connections/events".into(), copies: false, ..line("events", "none", "Only in finance") };
        Compare {
            shell: shell("Compare workspaces", Here::Connections),
            here: "analytics".into(),
            there: Some("finance".to_owned()),
            others: vec!["default".into(), "finance".into()],
            all: false,
            lines: vec![line("crm", "warn", "Not in finance"), only_there, differs()],
            pages: Pages::of("/w/analytics/compare", "with=finance", "", Some("c")),
            goes_on: true,
        }
    }

    #[test]
    fn pages() {
        keep("compare", &compare());
        for (page, words) in [
            (Compare { there: None, others: Vec::new(), lines: Vec::new(), ..compare() }, "no other workspace"),
            (Compare { lines: Vec::new(), goes_on: false, pages: Pages::default(), ..compare() }, "No difference"),
            (Compare { lines: Vec::new(), ..compare() }, "No difference so far"),
            (
                Compare { lines: Vec::new(), goes_on: false, pages: Pages::default(), all: true, ..compare() },
                "No connections in either",
            ),
        ] {
            let html = page.render().expect("it renders");
            assert!(html.contains(words), "{html}");
        }
    }

    #[test]
    fn the_form() {
        let row = |field: &str, drift, takes| Row { field: field.into(), drift, takes };
        let of = |label: &str| drift(label, both(Some("here"), Some(SHARP)));
        let form = |etag: &str| CopyForm {
            shell: shell("Copy sales", Here::Connections),
            name: "sales".into(),
            here: "analytics".into(),
            there: "finance".into(),
            etag: etag.into(),
            rows: vec![
                row("type", of("Database Type"), Takes::Told("always")),
                row("description", of("Description"), Takes::Asked(true)),
                row("tags", of("Tags"), Takes::Asked(false)),
                row("host", of("Host"), Takes::Told("kept")),
                row("password", drift("Password", Told::Secret(true)), Takes::Told("never copied")),
            ],
            test_first: (!etag.is_empty()).then_some(true),
            error: None,
        };
        keep("copy", &form("\"id.3\""));
        let page = CopyForm { error: Some("It was not copied".to_owned()), rows: Vec::new(), ..form("\"id.3\"") };
        let html = page.render().expect("it renders");
        assert!(html.contains("It was not copied") && html.contains("Nothing that differs can be copied"), "{html}");
        assert!(form("").render().expect("it renders").contains("is not in “finance” yet"));
    }
}
