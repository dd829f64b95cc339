//! The dialog that rotates a password, and the page that says how that went.

use askama::Template;
use dataflow_model::Impact;

use super::{Shell, dependents::DependentLine, words::Status};

#[derive(Debug, Template)]
#[template(path = "rotate.html")]
pub struct Rotate {
    pub shell: Shell,
    pub name: String,
    /// The entity tag of the version that the dialog speaks of; a newer one refuses the rotation.
    pub etag: String,
    /// Whose password it is on the database.
    pub username: String,
    /// What it switches over to.
    pub second: Option<String>,
    /// The login of before that still has to be retired: then there is none to begin either.
    pub waits: bool,
    /// What there is to say of a rotation that is not settled: then there is none to begin.
    pub under_way: Option<String>,
    pub may_give_up: bool,
    pub shown: Vec<DependentLine>,
    pub impact: Impact,
    pub error: Option<String>,
}

impl Rotate {
    fn title(&self) -> String {
        let Self { name, .. } = self;
        match self.under_way {
            None => format!("Rotate the password of “{name}”?"),
            Some(_) if self.waits => format!("“{name}” cannot be rotated yet"),
            Some(_) if self.may_give_up => format!("Give up the rotation of “{name}”?"),
            Some(_) => format!("The password of “{name}” is being rotated"),
        }
    }

    /// Those who depend on it and are not shown.
    fn more(&self) -> i64 {
        self.impact.total - i64::try_from(self.shown.len()).unwrap_or_default()
    }
}

#[derive(Debug, Template)]
#[template(path = "rotated.html")]
pub struct Rotated {
    pub shell: Shell,
    pub name: String,
    pub title: &'static str,
    pub text: String,
    pub tone: &'static str,
    pub parts: Vec<Part>,
}

/// One conversation with the database.
#[derive(Debug)]
pub struct Part {
    pub title: &'static str,
    pub status: Status,
    pub steps: Vec<StepLine>,
    /// What stopped it, and what to do; empty where nothing did.
    pub message: String,
    pub hint: String,
}

#[derive(Debug)]
pub struct StepLine {
    pub icon: &'static str,
    pub tone: &'static str,
    pub label: &'static str,
    pub detail: String,
    pub time: String,
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

    fn dialog() -> Rotate {
        Rotate {
            shell: shell("Rotate sales", Here::Connections),
            name: "sales".into(),
            etag: "\"id.7\"".into(),
            username: SHARP.into(),
            second: None,
            waits: false,
            under_way: None,
            may_give_up: false,
            shown: Vec::new(),
            impact: Impact { total: 11, ..Impact::default() },
            error: None,
        }
    }

    #[test]
    fn dialogs() {
        keep("rotate", &dialog());
        keep("rotate-second", &Rotate { second: Some(SHARP.into()), ..dialog() });
        keep("rotate-waits", &Rotate { under_way: Some(SHARP.into()), waits: true, ..dialog() });
        keep("rotate-under-way", &Rotate { under_way: Some(SHARP.into()), may_give_up: true, ..dialog() });
        let total = |total| Impact { total, ..Impact::default() };
        for (page, words) in [
            (Rotate { impact: total(0), ..dialog() }, "No workflow has been seen using it"),
            (Rotate { impact: total(1), ..dialog() }, "1 workflow uses it"),
            (Rotate { error: Some("Somebody saved".into()), ..dialog() }, "Somebody saved"),
        ] {
            let html = page.render().expect("it renders");
            assert!(html.contains(words), "{html}");
        }
    }

    #[test]
    fn pages() {
        let step =
            |icon, tone, label, detail: &str| StepLine { icon, tone, label, detail: detail.to_owned(), time: "12 ms".into() };
        let part = Part {
            title: "Setting the new password",
            status: Status { tone: "bad", words: "Stopped at the new password · 48 ms".into() },
            steps: vec![step("check", "ok", "Signed in", ""), step("x", "bad", "New password set", "failed")],
            message: SHARP.into(),
            hint: "Ask the database’s administrator.".into(),
        };
        let shell = shell("Rotate sales", Here::Connections);
        let text = "The old password is in force, here and on the database.".to_owned();
        let page = Rotated { shell, name: "sales".into(), title: "Password not rotated", text, tone: "bad", parts: vec![part] };
        keep("rotated", &page);
    }
}
