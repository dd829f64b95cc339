//! A check in words: the short status of the list, and the line above a test's steps.

use dataflow_model::{Cause, Step, StepName, StepStatus, TestReport, TestStatus};
use serde::Serialize;

use super::parts::duration;

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

    /// The state after a test, as the list shows it.
    #[must_use]
    pub fn of(status: TestStatus, cause: Option<Cause>) -> Self {
        match status {
            TestStatus::Ok => Self { tone: "ok", words: "Healthy".to_owned() },
            TestStatus::Unproven => Self { tone: "warn", words: "Reached, password unproven".to_owned() },
            TestStatus::Failed => Self { tone: "bad", words: cause.map_or("Failing", short).to_owned() },
        }
    }
}

/// A cause in at most four words.
#[must_use]
pub fn short(cause: Cause) -> &'static str {
    match cause {
        Cause::NameNotFound => "Name not found",
        Cause::AddressNotAllowed => "Address not allowed",
        Cause::HostUnreachable => "Host unreachable",
        Cause::PortClosed => "Port closed",
        Cause::TimedOut => "Timed out",
        Cause::NotThatDatabase => "Not that database",
        Cause::TlsNotOffered => "TLS not offered",
        Cause::CertificateUntrusted => "Certificate untrusted",
        Cause::CertificateExpired => "Certificate expired",
        Cause::CertificateWrongHost => "Certificate of another host",
        Cause::ClientCertificateRefused => "Client certificate refused",
        Cause::CredentialsRefused => "Sign-in refused",
        Cause::InsecureAuthenticationRefused => "Sign-in not secure",
        Cause::AddressNotPermitted => "Server refuses this address",
        Cause::DatabaseMissing => "Database missing",
        Cause::NoRightToConnect => "No right to connect",
        Cause::TooManyConnections => "Too many connections",
        Cause::ServerStarting => "Server starting up",
        Cause::ProtocolTooOld => "Server too old",
        Cause::FileMissing => "File missing",
        Cause::FileOutsideFolder => "File outside the folder",
        Cause::FileNotADatabase => "File is no database",
        Cause::ReadRefused => "Reading refused",
        Cause::InvalidSettings => "Settings refused",
        Cause::Cancelled => "Cancelled",
        Cause::ConnectionLost => "Connection lost",
        Cause::TestBroken => "Test did not run",
        _ => "Server error",
    }
}

/// The line above the steps: `Stopped at sign-in · 48 ms`.
#[must_use]
pub fn headline(report: &TestReport) -> Status {
    let time = duration(report.duration_ms);
    match report.status {
        TestStatus::Ok => Status { tone: "ok", words: format!("All in order · {time}") },
        TestStatus::Unproven => Status { tone: "warn", words: format!("Reached, password unproven · {time}") },
        TestStatus::Failed => {
            let at = report.steps.iter().find(|step| step.status == StepStatus::Failed).map(|step| noun(step.step));
            Status { tone: "bad", words: at.map_or(format!("Failed · {time}"), |at| format!("Stopped at {at} · {time}")) }
        }
    }
}

fn noun(step: StepName) -> &'static str {
    match step {
        StepName::Resolve => "the name",
        StepName::Reach => "the host",
        StepName::Secure => "TLS",
        StepName::SignIn => "sign-in",
        StepName::OpenDatabase => "the database",
        StepName::Read => "reading",
    }
}

/// What is sent beside a report to the page that watches: the same words that the server would render.
#[derive(Debug, Serialize)]
pub struct Shown {
    pub headline: Status,
    pub status: Status,
    /// `12 ms · just now`.
    pub detail: String,
}

impl From<&TestReport> for Shown {
    fn from(report: &TestReport) -> Self {
        let time = if report.status == TestStatus::Failed { "—".to_owned() } else { duration(report.duration_ms) };
        Self {
            headline: headline(report),
            status: Status::of(report.status, report.error.as_ref().map(|error| error.code)),
            detail: format!("{time} · just now"),
        }
    }
}

/// The time of one step, or nothing where it did not run.
#[must_use]
pub fn step_time(step: &Step) -> String {
    step.duration_ms.map(duration).unwrap_or_default()
}
