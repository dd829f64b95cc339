//! Who asks: the header `Dataflow-Workflow: kind=notebook; name="churn.ipynb"; run="…"; host="worker-1"`.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// Longest name, run or host, in characters; longer ones are cut.
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
    /// The machine it runs on. An event of a use is kept without it, as it was before clients told it.
    #[serde(skip)]
    pub host: Option<String>,
}

impl Workflow {
    /// One that tells neither run nor host.
    #[must_use]
    pub fn new(kind: WorkflowKind, name: impl Into<String>) -> Self {
        Self { kind, name: name.into(), run: None, host: None }
    }

    /// Reads the header's value. `None` for anything that is not of its form: a client's mistake here never fails a request.
    #[must_use]
    pub fn parse(header: &str) -> Option<Self> {
        let (mut kind, mut name, mut run, mut host) = (None, None, None, None);
        for (key, value) in parameters(header)? {
            match key.as_str() {
                "kind" => kind = WorkflowKind::parse(&value),
                "name" => name = Some(cut(&value)),
                "run" => run = Some(cut(&value)),
                "host" => host = Some(cut(&value)),
                _ => {}
            }
        }
        let told = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
        Some(Self { kind: kind?, name: told(name)?, run: told(run), host: told(host) })
    }

    /// The header's value. Characters that a header cannot carry are percent-encoded in UTF-8, as in RFC 8187 but in place.
    #[must_use]
    pub fn header(&self) -> String {
        let mut out = format!("kind={}; name=\"{}\"", self.kind.as_str(), quote(&self.name));
        for (key, text) in [("run", &self.run), ("host", &self.host)] {
            if let Some(text) = text {
                let _ = write!(out, "; {key}=\"{}\"", quote(text));
            }
        }
        out
    }
}

fn cut(text: &str) -> String {
    let decoded = percent_encoding::percent_decode_str(text).decode_utf8_lossy();
    let is_shown = |c: &char| {
        // What turns the text around it, or cannot be seen.
        let is_hidden = matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
        !c.is_control() && !is_hidden
    };
    decoded.chars().filter(is_shown).take(WORKFLOW_TEXT_MAX).collect()
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

    const ODD: [&str; 7] = [
        "churn.ipynb",
        "a \"b\"; run=\"x",
        "100%",
        "naïve 漢",
        "back\\slash",
        " a blank on either side ",
        "x\"; kind=cli; host=\"y",
    ];

    #[test]
    fn a_header_round_trips_whatever_its_texts_hold() {
        for odd in ODD {
            for (name, run, host) in [(odd, Some("r;1"), None), ("n", Some(odd), Some("worker-1")), ("n", None, Some(odd))] {
                let (run, host) = (run.map(str::to_owned), host.map(str::to_owned));
                let workflow = Workflow { run, host, ..Workflow::new(WorkflowKind::Notebook, name) };
                assert!(workflow.header().is_ascii());
                assert_eq!(Workflow::parse(&workflow.header()), Some(workflow));
            }
        }
    }

    #[test]
    fn what_is_not_of_the_form_is_nobody() {
        for header in [
            "",
            "kind=notebook",
            "kind=alien; name=\"x\"",
            "name=\"x",
            "kind=app; name=\"x\" junk",
            "=;=",
            "host=\"a\"",
            "kind=app; name=\"x\"; host=\"a",
            "kind=app; name=\"x\"; host=\"a\"b\"",
        ] {
            assert_eq!(Workflow::parse(header), None, "{header}");
        }
    }

    #[test]
    fn a_host_is_cut_and_cleaned_as_a_name_is_and_may_be_left_out() {
        let host = |header: &str| Workflow::parse(&format!("kind=app; name=\"x\"{header}")).expect("of the form").host;
        assert_eq!(host(""), None);
        assert_eq!(host("; host=\"   \""), None, "a host of blanks is none");
        assert_eq!(host("; host=\"a%E2%80%AEb\"").as_deref(), Some("ab"), "nothing turns the text around it");
        assert_eq!(host("; host="), None);
        assert_eq!(host("; host=\"\""), None);
        assert_eq!(host("; host=worker-1; later=\"y\"").as_deref(), Some("worker-1"));
        assert_eq!(host("; host=\"a%0D%0Ab%00%1b[31m\"").as_deref(), Some("ab[31m"));
        assert_eq!(host("; host=\"%ff%fe\"").as_deref(), Some("\u{fffd}\u{fffd}"));
        assert_eq!(host("; host=first; host=second").as_deref(), Some("second"));
        let long = "é".repeat(WORKFLOW_TEXT_MAX + 1);
        assert_eq!(host(&format!("; host=\"{}\"", quote(&long))).map(|host| host.chars().count()), Some(WORKFLOW_TEXT_MAX));
    }

    #[test]
    fn what_is_kept_of_an_event_has_no_host() {
        let workflow = Workflow { host: Some("worker-1".to_owned()), ..Workflow::new(WorkflowKind::App, "shop") };
        let kept = serde_json::to_string(&workflow).expect("JSON");
        assert_eq!(kept, r#"{"kind":"app","name":"shop","run":null}"#);
        let read: Workflow = serde_json::from_str(&kept).expect("a workflow");
        assert_eq!(read, Workflow { host: None, ..workflow });
    }
}
