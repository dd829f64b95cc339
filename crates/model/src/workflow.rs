//! Who asks: the header `Dataflow-Workflow: kind=notebook; name="churn.ipynb"; run="…"`.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// Longest name or run, in characters; longer ones are cut.
pub const WORKFLOW_TEXT_MAX: usize = 250;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkflowKind {
    Pipeline,
    Notebook,
    App,
    Script,
    Cli,
}

impl WorkflowKind {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pipeline => "pipeline",
            Self::Notebook => "notebook",
            Self::App => "app",
            Self::Script => "script",
            Self::Cli => "cli",
        }
    }

    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Pipeline, Self::Notebook, Self::App, Self::Script, Self::Cli].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// A workflow as the client tells it. Told, not proven: it attributes a use, it grants nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Workflow {
    pub kind: WorkflowKind,
    pub name: String,
    pub run: Option<String>,
}

impl Workflow {
    /// Reads the header's value. `None` for anything that is not of its form: a client's mistake here never fails a request.
    #[must_use]
    pub fn parse(header: &str) -> Option<Self> {
        let (mut kind, mut name, mut run) = (None, None, None);
        for (key, value) in parameters(header)? {
            match key.as_str() {
                "kind" => kind = WorkflowKind::parse(&value),
                "name" => name = Some(cut(&value)),
                "run" => run = Some(cut(&value)),
                _ => {}
            }
        }
        Some(Self { kind: kind?, name: name.filter(|n| !n.is_empty())?, run: run.filter(|r| !r.is_empty()) })
    }

    /// The header's value. Characters that a header cannot carry are percent-encoded in UTF-8, as in RFC 8187 but in place.
    #[must_use]
    pub fn header(&self) -> String {
        let mut out = format!("kind={}; name=\"{}\"", self.kind.as_str(), quote(&self.name));
        if let Some(run) = &self.run {
            let _ = write!(out, "; run=\"{}\"", quote(run));
        }
        out
    }
}

fn cut(text: &str) -> String {
    let decoded = percent_encoding::percent_decode_str(text).decode_utf8_lossy();
    decoded.chars().filter(|c| !c.is_control()).take(WORKFLOW_TEXT_MAX).collect()
}

fn quote(text: &str) -> String {
    const KEEP: &percent_encoding::AsciiSet = &percent_encoding::CONTROLS.add(b'"').add(b'\\').add(b'%');
    percent_encoding::utf8_percent_encode(text, KEEP).to_string()
}

fn parameters(header: &str) -> Option<Vec<(String, String)>> {
    let mut found = Vec::new();
    let mut rest = header.trim();
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=')?;
        let (value, after) = if let Some(quoted) = after.strip_prefix('"') {
            quoted.split_once('"')?
        } else {
            let (value, after) = after.find(';').map_or((after, ""), |at| after.split_at(at));
            (value.trim(), after)
        };
        found.push((key.trim().to_owned(), value.to_owned()));
        rest = after.trim_start();
        rest = match rest.strip_prefix(';') {
            Some(more) => more.trim_start(),
            None if rest.is_empty() => rest,
            None => return None,
        };
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_round_trips_whatever_the_name_holds() {
        for name in ["churn.ipynb", "a \"b\"; run=\"x", "100%", "naïve 漢", "back\\slash", " a blank on either side "] {
            let workflow = Workflow { kind: WorkflowKind::Notebook, name: name.to_owned(), run: Some("r;1".to_owned()) };
            assert!(workflow.header().is_ascii());
            assert_eq!(Workflow::parse(&workflow.header()), Some(workflow));
        }
    }

    #[test]
    fn what_is_not_of_the_form_is_nobody() {
        for header in ["", "kind=notebook", "kind=alien; name=\"x\"", "name=\"x", "kind=app; name=\"x\" junk", "=;="] {
            assert_eq!(Workflow::parse(header), None, "{header}");
        }
    }
}
