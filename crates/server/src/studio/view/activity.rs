//! What happened in a workspace.

use askama::Template;

use super::{Shell, parts::Pages};
use crate::ops::activity::FILTER_MAX;

#[derive(Debug, Template)]
#[template(path = "activity.html")]
pub struct Activity {
    pub shell: Shell,
    pub asked: Asked,
    pub actions: Vec<Words>,
    pub lines: Vec<Line>,
    pub pages: Pages,
    /// `Changes are kept since 3 Mar 2027.`; empty where all is.
    pub since: String,
    /// Why nothing could be looked for.
    pub problem: Option<String>,
}

/// What was asked for; an empty text asks for all.
#[derive(Debug, Default)]
pub struct Asked {
    pub actor: String,
    pub connection: String,
    pub workflow: String,
    pub action: String,
}

impl Asked {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.query().is_empty()
    }

    /// The query that asks for it again.
    #[must_use]
    pub fn query(&self) -> String {
        let members =
            [("actor", &self.actor), ("connection", &self.connection), ("workflow", &self.workflow), ("action", &self.action)];
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for (name, text) in members.into_iter().filter(|(_, text)| !text.is_empty()) {
            query.append_pair(name, text);
        }
        query.finish()
    }
}

/// One kind of event to choose.
#[derive(Debug)]
pub struct Words {
    pub value: &'static str,
    pub label: &'static str,
    pub on: bool,
}

#[derive(Debug)]
pub struct Line {
    pub at: String,
    pub instant: String,
    pub actor: String,
    pub address: String,
    /// `Connection edited`
    pub words: String,
    /// `version 4 · fields: host`
    pub facts: String,
    pub object: String,
    /// Whether there may be a page of it.
    pub is_connection: bool,
    /// Whether it is not what this program wrote.
    pub is_bent: bool,
    /// Kind and name.
    pub workflow: Option<(String, String)>,
}

impl Line {
    /// `the pipeline nightly · version 4`: the workflow, where one did it, else the caller; and what else is known.
    #[must_use]
    pub fn who_and_facts(&self) -> String {
        let who = self.workflow.as_ref().map_or_else(|| self.actor.clone(), |(kind, name)| format!("the {kind} {name}"));
        [who, self.facts.clone()].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" · ")
    }
}

impl Activity {
    /// The address of the same entries as a file.
    fn export(&self) -> String {
        let query = self.asked.query();
        let mark = if query.is_empty() { "" } else { "?" };
        format!("{}{mark}{query}", self.shell.at("activity/export"))
    }
}
