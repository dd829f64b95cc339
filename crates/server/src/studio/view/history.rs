//! The versions of a connection, and the dialogs that restore and purge one.

use askama::Template;
use dataflow_model::Impact;

use super::{Shell, connection::Rotation, dependents::DependentLine, parts::Pages};

#[derive(Debug, Template)]
#[template(path = "history.html")]
pub struct History {
    pub shell: Shell,
    pub name: String,
    /// The number of the current version.
    pub newest: i64,
    /// A rotation that is not settled: until then nothing is restored.
    pub rotation: Option<Rotation>,
    pub lines: Vec<Line>,
    pub pages: Pages,
    /// The two versions to compare, as they were asked for.
    pub from: String,
    pub to: String,
    pub compared: Option<Compared>,
    /// Why the two cannot be compared.
    pub problem: Option<String>,
    pub may_purge: bool,
}

/// One version.
#[derive(Debug)]
pub struct Line {
    pub version: i64,
    pub is_current: bool,
    pub restored_from: Option<i64>,
    /// Whether clients connect with something else than before; not told of the oldest.
    pub changes_clients: bool,
    pub is_altered: bool,
    pub changes: Changes,
    pub ago: String,
    pub at: String,
    pub by: String,
}

#[derive(Debug)]
pub struct Compared {
    pub from: i64,
    pub to: i64,
    pub changes_clients: bool,
    pub changes: Changes,
}

/// What changed, field by field.
#[derive(Debug, Default, Template)]
#[template(path = "changes.html")]
pub struct Changes(pub Vec<Change>);

impl askama::filters::HtmlSafe for Changes {}

#[derive(Debug)]
pub struct Change {
    pub label: String,
    pub told: Told,
}

#[derive(Debug)]
pub enum Told {
    /// What the oldest version has.
    Value(String),
    /// `None`: not set.
    Both(Option<String>, Option<String>),
    /// A text of many lines before and after, to unfold.
    Long(Option<String>, Option<String>),
    /// What became of a secret: `set`, `changed`, `cleared`.
    Secret(&'static str),
}

/// The dialog that shows what a restore will change.
#[derive(Debug, Template)]
#[template(path = "restore.html")]
pub struct Restore {
    pub shell: Shell,
    pub name: String,
    pub version: i64,
    /// The connection's entity tag that the dialog speaks of; a newer version refuses the restore.
    pub etag: String,
    /// From the current version to this one.
    pub changes: Changes,
    pub changes_clients: bool,
    /// Who uses the connection, where clients will connect with something else.
    pub shown: Vec<DependentLine>,
    /// How many workflows depend on it, those beyond `shown` too.
    pub impact: Impact,
    /// Whether it is tested before it serves, where it changes what clients connect with and the caller may have one run.
    pub test_first: Option<bool>,
    pub error: Option<String>,
}

impl Restore {
    fn more(&self) -> i64 {
        self.impact.total - i64::try_from(self.shown.len()).unwrap_or_default()
    }
}

/// The dialog before a version goes for good.
#[derive(Debug, Template)]
#[template(path = "purge.html")]
pub struct Purge {
    pub shell: Shell,
    pub name: String,
    pub version: i64,
    pub etag: String,
    pub saved: String,
    /// Other versions that hold one of its secrets.
    pub secrets_also_in: Vec<i64>,
    pub error: Option<&'static str>,
}

impl Purge {
    /// `2, 3 and 7`, of many the first eight.
    fn others(&self) -> String {
        const NAMED: usize = 8;
        let named: Vec<_> = self.secrets_also_in.iter().take(NAMED).map(ToString::to_string).collect();
        let more = self.secrets_also_in.len().saturating_sub(NAMED);
        match (named.split_last(), more) {
            (Some((last, [])), 0) => last.clone(),
            (Some((last, first)), 0) => format!("{} and {last}", first.join(", ")),
            _ => format!("{} and {more} more", named.join(", ")),
        }
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

    fn changes() -> Changes {
        let change = |label: &str, told| Change { label: label.to_owned(), told };
        let text = |text: &str| Some(text.to_owned());
        Changes(vec![
            change("Description", Told::Both(None, text(SHARP))),
            change("Host", Told::Both(text("db.sales.internal"), text("replica.sales.internal"))),
            change("Connect timeout", Told::Both(text("5 s"), None)),
            change("Password", Told::Secret("Changed")),
            change("Server CA", Told::Long(None, text("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----"))),
        ])
    }

    fn line(version: i64, changes: Changes) -> Line {
        Line {
            version,
            is_current: version == 7,
            restored_from: (version == 7).then_some(3),
            changes_clients: version == 7,
            is_altered: version == 6,
            changes,
            ago: "3 min ago".into(),
            at: "2026-11-22T16:00:00Z".into(),
            by: SHARP.into(),
        }
    }

    fn rotation() -> Rotation {
        Rotation { sentence: SHARP.into(), end: "It ends by itself.", may_give_up: true }
    }

    fn history() -> History {
        let oldest = Changes(vec![Change { label: "Host".into(), told: Told::Value("db.sales.internal".into()) }]);
        History {
            shell: shell("History of sales", Here::Connections),
            name: "sales".into(),
            newest: 7,
            rotation: None,
            lines: vec![line(7, changes()), line(6, Changes::default()), line(5, Changes::default()), line(1, oldest)],
            pages: Pages::of("/w/analytics/connections/sales/versions", "", "", Some("c")),
            from: "6".into(),
            to: "7".into(),
            compared: None,
            problem: None,
            may_purge: true,
        }
    }

    #[test]
    fn pages() {
        keep("history", &history());
        let compared = Compared { from: 3, to: 7, changes_clients: true, changes: changes() };
        let page = History { compared: Some(compared), may_purge: false, ..history() };
        let html = page.render().expect("it renders");
        assert!(html.contains("From version 3 to version 7") && !html.contains("/purge"), "{html}");
        let page = History { rotation: Some(rotation()), ..history() };
        let html = page.render().expect("it renders");
        assert!(html.contains("Until that is over no version is restored.") && !html.contains("/restore"), "{html}");
        let page = History { problem: Some(SHARP.into()), lines: Vec::new(), ..history() };
        let html = page.render().expect("it renders");
        assert!(html.contains("No older versions") && !html.contains("<b>sharp"), "{html}");
    }

    #[test]
    fn dialogs() {
        let dependent = DependentLine {
            icon: "notebook",
            kind: "notebook",
            name: SHARP.into(),
            seen: "last seen 6 h ago".into(),
            title: String::new(),
            tone: "",
            code: None,
            more: 0,
            alias: None,
        };
        let total = |total| Impact { total, ..Impact::default() };
        let restore = || Restore {
            shell: shell("Restore sales", Here::Connections),
            name: "sales".into(),
            version: 3,
            etag: "\"id.7\"".into(),
            changes: changes(),
            changes_clients: true,
            shown: vec![dependent.clone()],
            impact: total(11),
            test_first: Some(true),
            error: None,
        };
        keep("restore", &restore());
        for (page, words) in [
            (Restore { changes_clients: false, ..restore() }, "Clients notice nothing of it."),
            (Restore { changes: Changes::default(), ..restore() }, "nothing would change"),
            (Restore { impact: total(1), ..restore() }, "1 workflow uses it"),
            (Restore { impact: total(0), shown: Vec::new(), ..restore() }, "No workflow has been seen"),
            (Restore { error: Some("It cannot be restored".into()), ..restore() }, "It cannot be restored"),
        ] {
            let html = page.render().expect("it renders");
            assert!(html.contains(words), "{html}");
        }
        let purge = |secrets_also_in: &[i64]| Purge {
            shell: shell("Purge sales", Here::Connections),
            name: "sales".into(),
            version: 3,
            etag: "\"id.3\"".into(),
            saved: format!("saved 3 min ago by {SHARP}"),
            secrets_also_in: secrets_also_in.to_vec(),
            error: None,
        };
        keep("purge", &purge(&[7, 5]));
        for (others, words) in [
            (&[7][..], "Version 7 holds one of its secrets, too, and keeps it."),
            (&[7, 6, 5], "Versions 7, 6 and 5 hold one of its secrets, too, and keep it."),
            (&[20, 19, 18, 17, 16, 15, 14, 13, 12], "Versions 20, 19, 18, 17, 16, 15, 14, 13 and 1 more hold"),
        ] {
            let html = purge(others).render().expect("it renders");
            assert!(html.contains(words), "{html}");
        }
    }
}
