//! A connection's own page.

use askama::Template;
use dataflow_model::{Impact, Snippet};

use super::{
    Shell,
    activity::Line,
    dependents::DependentLine,
    form::Waiting,
    health::{Chart, ScheduleFact},
    lint::LintPanel,
    names::AliasLine,
    rotation_policy::PolicyFact,
    words::Status,
};
use crate::ops::rotations::UnderWay;

/// Something that a test found out.
#[derive(Debug)]
pub struct Found {
    pub label: &'static str,
    pub words: String,
    /// Somebody should look at it.
    pub is_weak: bool,
}

#[expect(clippy::struct_excessive_bools, reason = "each is true or not of a connection, whatever the others are")]
#[derive(Debug, Template)]
#[template(path = "connection.html")]
pub struct Connection {
    pub shell: Shell,
    pub name: String,
    pub description: String,
    pub tags: Vec<String>,
    pub type_label: String,
    /// Of this workspace, which has a page of them.
    pub is_own_type: bool,
    pub status: Status,
    pub detail: String,
    /// Label and value of every public field that is set, in the catalogue's order.
    pub facts: Vec<Fact>,
    pub version: i64,
    /// `Saved 3 min ago by you@example.org`.
    pub saved: String,
    pub snippets: Vec<Snippet>,
    pub steps: Vec<Waiting>,
    pub checks: Vec<CheckLine>,
    /// Where it works and where it does not, if clients and the server differ.
    pub elsewhere: Option<String>,
    /// The first of those who depend on it, and how many there are.
    pub used_by: Vec<DependentLine>,
    pub impact: Impact,
    /// The last that happened to it; nothing for those who may not see that.
    pub activity: Vec<Line>,
    pub failing: Option<FailingNotice>,
    /// Its other names.
    pub aliases: Vec<AliasLine>,
    /// Only some may use it.
    pub narrowed: bool,
    /// Its password can be rotated from here.
    pub rotates: bool,
    /// A rotation that is not settled: until then nothing else changes it.
    /// By which schedule it is tested, and whether the person may give it one of its own.
    pub health: ScheduleFact,
    pub may_schedule: bool,
    pub chart: Option<Chart>,
    /// What the last test of this version found out beside whether it works.
    pub found: Vec<Found>,
    /// What is wrong with it.
    pub lint: LintPanel,
    pub rotation: Option<Rotation>,
    /// Its second login, and how that stands.
    pub second_login: Option<(String, Status)>,
    /// How often that is done by itself; nothing where it cannot be done.
    pub policy: Option<PolicyFact>,
}

impl Connection {
    /// Those who depend on it and are not shown.
    fn more(&self) -> i64 {
        self.impact.total - i64::try_from(self.used_by.len()).unwrap_or_default()
    }
}

/// What there is to say of a rotation that is not settled.
#[derive(Debug)]
pub struct Rotation {
    pub sentence: String,
    /// What ends it.
    pub end: &'static str,
    pub may_give_up: bool,
}

impl From<&UnderWay> for Rotation {
    fn from(rotation: &UnderWay) -> Self {
        Self { sentence: rotation.sentence(), end: rotation.end(), may_give_up: rotation.may_be_given_up() }
    }
}

/// That what serves fails for clients, and the version that may be restored.
#[derive(Debug)]
pub struct FailingNotice {
    pub words: String,
    pub good: Option<i64>,
}

#[derive(Debug)]
pub struct Fact {
    pub label: String,
    pub value: FactValue,
}

#[derive(Debug)]
pub enum FactValue {
    Text(String),
    /// A setting that weakens the protection of the secret.
    Weak(String),
    /// A secret: whether it is set, and no more.
    Secret(bool),
    /// Another connection, by name.
    Connection(String),
    /// A certificate: how many lines there are to unfold.
    Long(String),
}

/// One run of a test.
#[derive(Debug)]
pub struct CheckLine {
    pub status: Status,
    pub message: String,
    pub time: String,
    pub ago: String,
    pub at: String,
    pub by: String,
    /// The machine that it was run on, if not the server.
    pub host: Option<String>,
    pub version: i64,
}
