//! A check in words: the short status of the list, and the line above a test's steps.

use dataflow_model::{Cause, StepName, StepStatus, TestReport, TestStatus};
use serde::Serialize;

use super::parts::duration;
use crate::ops::checks::HEALTHY;

/// A state in words and tone. The tone is a class of the style sheet: `ok`, `warn`, `bad`, `none`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    pub tone: &'static str,
    pub words: String,
}

impl Status {
    #[must_use]
    pub fn untested() -> Self {
        Self { tone: "none", words: "Not tested yet".to_owned() }
    }

    /// While a rotation is not settled: what a test says of the old password is not the whole of it.
    #[must_use]
    pub fn rotating(is_stuck: bool) -> Self {
        Self { tone: "warn", words: if is_stuck { "Rotation not settled" } else { "Rotating" }.to_owned() }
    }

    /// The state that the last test left, with its summary. One that passed is amber if there is more to say than that all is well.
    #[must_use]
    pub fn last(status: TestStatus, summary: Option<&str>) -> Self {
        let usual = Self::of(status, None);
        let Some(words) = summary.filter(|words| !words.is_empty()) else { return usual };
        let tone = if status == TestStatus::Ok && words != HEALTHY { "warn" } else { usual.tone };
        Self { tone, words: words.to_owned() }
    }

    /// The state after a test, as the list shows it.
    #[must_use]
    pub fn of(status: TestStatus, cause: Option<Cause>) -> Self {
        match status {
            TestStatus::Ok => Self { tone: "ok", words: HEALTHY.to_owned() },
            TestStatus::Unproven => Self { tone: "warn", words: "Reached, not proven".to_owned() },
            TestStatus::Failed => Self { tone: "bad", words: cause.map_or("Failing", Cause::label).to_owned() },
        }
    }
}

/// The line above the steps: `Stopped at sign-in · 48 ms`.
#[must_use]
pub fn headline(report: &TestReport) -> Status {
    let time = duration(report.duration_ms);
    match report.status {
        TestStatus::Ok => Status { tone: "ok", words: format!("All in order · {time}") },
        TestStatus::Unproven => Status { tone: "warn", words: format!("Reached, not proven · {time}") },
        TestStatus::Failed => {
            let at = report.steps.iter().find(|step| step.status == StepStatus::Failed).map(|step| noun(step.step));
            Status { tone: "bad", words: at.map_or(format!("Failed · {time}"), |at| format!("Stopped at {at} · {time}")) }
        }
    }
}

fn noun(step: StepName) -> &'static str {
    match step {
        StepName::Hop => "the hop",
        StepName::Resolve => "the name",
        StepName::Reach => "the host",
        StepName::Secure => "TLS",
        StepName::SignIn => "sign-in",
        StepName::OpenDatabase => "the database",
        StepName::Read => "reading",
        StepName::Send => "sending",
        StepName::SetPassword => "the new password",
    }
}

/// What a test has not proven, and what to do about it.
#[derive(Debug, Serialize)]
pub struct Doubt {
    pub message: &'static str,
    pub hint: &'static str,
}

impl Doubt {
    fn about(report: &TestReport) -> Self {
        if report.steps.iter().any(|step| step.step == StepName::SignIn && step.status == StepStatus::Skipped) {
            return Self {
                message: "It was reached, and nothing was signed in to.",
                hint: "Nothing to sign in with is set, or the service has nothing that can be tried without changing something there.",
            };
        }
        Self {
            message: "Nothing there checked the password.",
            hint: "With any other this test ends the same. If none is needed, clear it here; otherwise have the server ask for one.",
        }
    }
}

/// What is sent beside a report to the page that watches: the same words that the server would render.
#[derive(Debug, Serialize)]
pub struct Shown {
    pub headline: Status,
    pub status: Status,
    /// `12 ms · just now`.
    pub detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub doubt: Option<Doubt>,
}

impl From<&TestReport> for Shown {
    fn from(report: &TestReport) -> Self {
        let time = if report.status == TestStatus::Failed { "—".to_owned() } else { duration(report.duration_ms) };
        Self {
            headline: headline(report),
            status: Status::of(report.status, report.error.as_ref().map(|error| error.code)),
            detail: format!("{time} · just now"),
            doubt: (report.status == TestStatus::Unproven).then(|| Doubt::about(report)),
        }
    }
}
