//! What a scan finds: names and places, and nothing else of what the files hold.

use std::fmt;

use dataflow_model::{ConnectionName, WorkflowKind};
use serde::{Serialize, Serializer};

use crate::pattern::Pattern;

/// A computed name that more connections than this would fit says nothing of any of them.
const FITTING_MAX: usize = 50;

/// Ways in which one name may be computed.
const PATTERNS_MAX: usize = 8;

/// How sure it is that this very name is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Certainty {
    Certain,
    /// One of several values, a default, a guess from the shape of a call or a key.
    Maybe,
}

impl Certainty {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Certain => "certain",
            Self::Maybe => "maybe",
        }
    }
}

/// A place that names a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub connection: ConnectionName,
    pub kind: WorkflowKind,
    /// What would be seen running: the id of the DAG, else the file.
    pub workflow: String,
    /// From the scanned folder, with `/`.
    pub file: String,
    pub line: u32,
    pub certainty: Certainty,
}

/// A place that asks for a connection whose name is computed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unresolved {
    pub kind: WorkflowKind,
    pub workflow: String,
    pub file: String,
    pub line: u32,
    /// What is known of the name; several where it may be computed in several ways.
    #[serde(skip)]
    pub(crate) patterns: Vec<Pattern>,
}

/// Something that was not read, or not to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unreadable {
    pub file: String,
    pub reason: Reason,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    TooLarge,
    Binary,
    NotUtf8,
    UnknownEncoding,
    Forbidden,
    Gone,
    Failed,
    NotAFile,
    LinkOutside,
    LinkNowhere,
    NotANotebook,
    NotYaml { line: u32 },
    Syntax { line: u32 },
    TooSlow,
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => formatter.write_str("is too large"),
            Self::Binary => formatter.write_str("is not text"),
            Self::NotUtf8 => formatter.write_str("is not UTF-8 and names no other encoding"),
            Self::UnknownEncoding => formatter.write_str("is in an encoding that is not read"),
            Self::Forbidden => formatter.write_str("may not be read"),
            Self::Gone => formatter.write_str("is no longer there"),
            Self::Failed => formatter.write_str("could not be read"),
            Self::NotAFile => formatter.write_str("is a pipe, a socket or a device"),
            Self::LinkOutside => formatter.write_str("is a link out of the folder"),
            Self::LinkNowhere => formatter.write_str("is a link that leads nowhere"),
            Self::NotANotebook => formatter.write_str("is not a notebook of version 4"),
            Self::NotYaml { line } => write!(formatter, "is not YAML from line {line} on"),
            Self::Syntax { line } => write!(formatter, "has a syntax error at line {line}: names near it may be missing"),
            Self::TooSlow => formatter.write_str("took too long to read"),
        }
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// All that a scan found, in the order of files and lines.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// How many files were read.
    pub files: u32,
    pub findings: Vec<Finding>,
    pub unresolved: Vec<Unresolved>,
    pub unreadable: Vec<Unreadable>,
}

impl Report {
    /// Whether [`Report::resolve`] could find something if it were given names.
    pub fn has_patterns(&self) -> bool {
        self.unresolved.iter().flat_map(|open| &open.patterns).any(Pattern::says_something)
    }

    /// Holds what is computed against the names that there are: `f"sales_{region}"` may be each of them that begins with `sales_`.
    pub fn resolve(&mut self, known: &[ConnectionName]) {
        let (mut open, mut found) = (Vec::new(), Vec::new());
        for place in std::mem::take(&mut self.unresolved) {
            let telling: Vec<_> = place.patterns.iter().filter(|pattern| pattern.says_something()).collect();
            let fits = |name: &&ConnectionName| telling.iter().any(|pattern| pattern.fits(name.as_str()));
            let fitting: Vec<_> = known.iter().filter(fits).take(FITTING_MAX + 1).collect();
            if fitting.is_empty() || fitting.len() > FITTING_MAX {
                open.push(place);
                continue;
            }
            found.extend(fitting.into_iter().map(|name| Finding {
                connection: name.clone(),
                kind: place.kind,
                workflow: place.workflow.clone(),
                file: place.file.clone(),
                line: place.line,
                certainty: Certainty::Maybe,
            }));
        }
        self.unresolved = open;
        self.findings.extend(found);
        self.settle();
    }

    /// Brings all in order; a name is told once for each line, at its surest.
    pub(crate) fn settle(&mut self) {
        self.findings.sort_by(|one, other| {
            let key = |finding: &Finding| (finding.line, finding.connection.key(), finding.certainty);
            one.file.cmp(&other.file).then_with(|| key(one).cmp(&key(other)))
        });
        self.findings.dedup_by(|later, first| {
            (&later.file, later.line, &later.connection) == (&first.file, first.line, &first.connection)
        });
        self.unresolved.sort_by(|one, other| (&one.file, one.line).cmp(&(&other.file, other.line)));
        self.unresolved.dedup_by(|later, first| {
            let is_same = (&later.file, later.line) == (&first.file, first.line);
            if is_same && first.patterns.len() < PATTERNS_MAX {
                first.patterns.append(&mut later.patterns);
            }
            is_same
        });
        self.unreadable.sort_by(|one, other| one.file.cmp(&other.file));
    }
}
