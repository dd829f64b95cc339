//! Errors of the rules, and the one table that decides what of them leaves the process.
//!
//! An [`Error`] has no `Display`: its public half is [`Error::problem`], its private half goes to the log by way of a [`Fault`](crate::faults::Fault).

mod answer;
mod not_let_in;
mod page;

use axum::http::StatusCode;
use dataflow_model::{Code, FieldError, Impact, Laggards, TestReport};
use serde::{Deserialize, Serialize};

pub use self::not_let_in::NotLetIn;
use crate::{
    ops::rotations::{UnderWay, second_login::NotRetired},
    store::StoreError,
};

/// What a deleted connection left, as told to those who may see it.
#[derive(Debug, Clone)]
pub struct Tombstone {
    pub name: String,
    pub deleted_by: String,
    /// RFC 3339, UTC.
    pub deleted_at: String,
    pub reason: Option<String>,
    pub use_instead: Option<String>,
}

/// Why an act did not happen.
#[derive(Debug)]
pub enum Error {
    Malformed(&'static str),
    BodyTooLarge,
    UnsupportedMediaType,
    Invalid(Vec<FieldError>),
    Unauthenticated,
    /// The caller sees the thing but lacks the right to `act`.
    Forbidden(&'static str),
    /// What to `act` on is the whole server's, not one workspace's.
    OwnersOnly(&'static str),
    /// No role would allow it: what happened, and what to do instead.
    NoRole(&'static str, &'static str),
    /// The act takes the caller's own password, since he gave it too long ago.
    SecondLook,
    /// He gave another one.
    WrongOwnPassword,
    NotFound(&'static str),
    MethodNotAllowed,
    Deleted(Box<Tombstone>),
    /// Workflows depend on what is to be deleted, and the request does not say that this is known.
    HasDependents(Box<Impact>),
    /// What the connection goes through is not there, or not what it was; the words say which.
    HopUnavailable(String),
    /// What a change would have put in force did not pass its test.
    TestFailed(Box<TestReport>),
    /// A tombstone of which nothing is left to bring back.
    NotRestorable(Box<Tombstone>),
    NameTaken(String),
    /// What would become of the connections of a type of the workspace's own: what is refused, and what to do.
    TypeInUse(String, &'static str),
    /// The connection's password is being rotated, or whether it was is not known yet.
    RotationUnderWay(Box<UnderWay>),
    /// The login that served before the last switch still works, and may be used.
    LoginNotRetired(Box<NotRetired>),
    PreconditionRequired,
    VersionConflict,
    /// The secrets that must be typed again, by path.
    SecretReentry(Vec<String>),
    IdempotencyConflict,
    /// This very request, under its `Idempotency-Key`, took effect before. Handlers answer with what there is now.
    Repeated,
    TestsDisabled,
    TooManyRequests(&'static str),
    /// Attempts to sign in; the next is let through after so many seconds.
    TooManyAttempts(u32),
    /// What was too fast, and in how many seconds it may go on.
    TooFast(&'static str, u32),
    HostNotAllowed,
    OriginNotAllowed,
    SetupDone,
    /// Set-up, where there is a first admin already.
    HasAdmin,
    /// The act would leave the server without an admin.
    LastAdmin,
    NotLetIn(NotLetIn),
    SecretUnreadable(anyhow::Error),
    SettingsUnreadable(anyhow::Error),
    /// The type of a connection that cannot be read, by its id.
    TypeUnreadable(String, anyhow::Error),
    Unavailable(anyhow::Error),
    Internal(anyhow::Error),
}

pub type Result<T> = std::result::Result<T, Error>;

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) | StoreError::KeyEnded => Self::Unavailable(error.into()),
            StoreError::Gone(_) => Self::NotFound("workspace"),
            _ => Self::Internal(error.into()),
        }
    }
}

/// An RFC 9457 problem document. Members besides the standard ones are stable.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(example = json!({
    "type": "about:blank", "title": "Unprocessable Entity", "status": 422, "code": "invalid_fields",
    "detail": "Some fields were refused; nothing was changed.", "hint": "Correct the fields in “errors” and send it again.",
    "errors": [{"field": "port", "code": "out_of_range", "message": "must be from 1 to 65535"}]
}))]
pub struct Problem {
    /// Always `about:blank`; `code` tells problems apart.
    #[serde(rename = "type")]
    #[schema(example = "about:blank")]
    pub type_uri: String,
    pub title: String,
    #[schema(example = 422)]
    pub status: u16,
    #[schema(example = "invalid_fields")]
    pub code: String,
    pub detail: String,
    /// What to do about it.
    pub hint: String,
    /// Each refused field, for `invalid_fields` and `secret_reentry_required`.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub errors: Vec<FieldError>,
    /// Who deleted the connection, when (RFC 3339) and why, for `connection_deleted`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub deleted_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub deleted_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// What to use instead, if whoever deleted it said so, for `connection_deleted`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub use_instead: Option<String>,
    /// What a delete would break, for `has_dependents`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub impact: Option<Box<Impact>>,
    /// What the test of a change has found, for `test_failed`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub report: Option<Box<TestReport>>,
    /// Who is waited for, for `login_not_retired`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub laggards: Option<Box<Laggards>>,
    /// With statuses 500 and 503, by which the operator finds the cause in the log; the header `Request-Id` says the same.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub request_id: Option<String>,
}

const RETIRED_BY_ITSELF: &str = "It is retired by itself once each of them has asked for the connection again, or has not been given it for a day; one with \
     a time is waited for until then, since it may be several. To wait for nobody, retire it with “anyway” (“dataflow connections retire NAME --anyway”): who \
     still signs in as it fails until he asks again.";
/// Of one that is not retired and no longer signs in.
const NOT_GIVEN_AGAIN: &str = "Until it is given again, whoever has its password still gets in.";

impl Error {
    /// Status, code, text and hint: the table. Nothing in it repeats a secret or an internal cause.
    #[must_use]
    #[expect(clippy::too_many_lines, reason = "a table: one row for each error")]
    pub fn describe(&self) -> (StatusCode, Code, String, &'static str) {
        use StatusCode as S;
        let (status, code, detail, hint) = match self {
            Self::Malformed(what) => (
                S::BAD_REQUEST,
                Code::MalformedRequest,
                *what,
                "Send what the API's description at /api/v1/openapi.json asks for.",
            ),
            Self::BodyTooLarge => (
                S::PAYLOAD_TOO_LARGE,
                Code::BodyTooLarge,
                "The request's body is larger than 64 KiB.",
                "Send less; a connection fits with room to spare.",
            ),
            Self::UnsupportedMediaType => (
                S::UNSUPPORTED_MEDIA_TYPE,
                Code::UnsupportedMediaType,
                "The request's body is not declared as JSON.",
                "Send it with “Content-Type: application/json”.",
            ),
            Self::Invalid(_) => (
                S::UNPROCESSABLE_ENTITY,
                Code::InvalidFields,
                "Some fields were refused; nothing was changed.",
                "Correct the fields in “errors” and send it again.",
            ),
            Self::Unauthenticated => (
                S::UNAUTHORIZED,
                Code::Unauthenticated,
                "The request carries no valid token.",
                "Send “Authorization: Bearer TOKEN” with a token that is neither expired nor revoked.",
            ),
            Self::Forbidden(act) => {
                return (
                    S::FORBIDDEN,
                    Code::Forbidden,
                    format!("Your role does not allow to {act}."),
                    "Ask an admin of the workspace for the role that does.",
                );
            }
            Self::OwnersOnly(act) => {
                return (
                    S::FORBIDDEN,
                    Code::Forbidden,
                    format!("Only an owner of this server may {act}."),
                    "Ask an owner, or do it in a shell on the server's machine.",
                );
            }
            Self::NoRole(detail, hint) => (S::FORBIDDEN, Code::Forbidden, *detail, *hint),
            Self::SecondLook => (
                S::FORBIDDEN,
                Code::SecondLookRequired,
                "This takes your own password, which you gave too long ago; nothing was changed.",
                "Sign in again, and repeat the step.",
            ),
            Self::WrongOwnPassword => (
                S::FORBIDDEN,
                Code::SecondLookRequired,
                "That is not the password that you sign in with; nothing was changed.",
                "Type it again, or sign in again and repeat the step.",
            ),
            Self::NotFound(what) => {
                return (
                    S::NOT_FOUND,
                    Code::NotFound,
                    format!("There is no such {what} here, or none that you may see."),
                    match *what {
                        "second login" | "login to retire" | "rotation" | "rotation policy" => "The connection has none.",
                        _ => "Check the spelling, upper and lower case included, and the workspace.",
                    },
                );
            }
            Self::MethodNotAllowed => (
                S::METHOD_NOT_ALLOWED,
                Code::MethodNotAllowed,
                "This address does not take this method.",
                "See the API's description at /api/v1/openapi.json.",
            ),
            Self::Deleted(tombstone) => {
                return (
                    S::GONE,
                    Code::ConnectionDeleted,
                    format!(
                        "The connection “{}” was deleted by {} at {}.",
                        tombstone.name, tombstone.deleted_by, tombstone.deleted_at
                    ),
                    "Bring it back, or create a connection of the same name: everything that used this one then works again, without a restart.",
                );
            }
            Self::HasDependents(impact) => {
                let uses = match (impact.total, impact.through_total) {
                    (1, _) => "1 workflow depends".to_owned(),
                    (0, 1) => "1 connection depends".to_owned(),
                    (0, more) => format!("{more} connections depend"),
                    (more, _) => format!("{more} workflows depend"),
                };
                return (
                    S::CONFLICT,
                    Code::HasDependents,
                    format!("{uses} on this name; nothing was changed."),
                    "Look at “impact”: it says what becomes of them. To do it all the same, send it again with “impact_token”.",
                );
            }
            Self::HopUnavailable(words) => {
                return (
                    S::CONFLICT,
                    Code::HopUnavailable,
                    words.clone(),
                    "Mend what it goes through, or give the connection another one under “Through”. A test of it says whether that is all.",
                );
            }
            Self::TestFailed(report) => {
                let why =
                    report.error.as_ref().map(|error| format!(": {}", error.message.trim_end_matches('.'))).unwrap_or_default();
                return (
                    S::CONFLICT,
                    Code::TestFailed,
                    format!("The change did not pass its test{why}; nothing was saved."),
                    "Look at “report”, correct it and send it again. What was sent with “?test=true” is saved untested without that.",
                );
            }
            Self::NotRestorable(tombstone) => {
                return (
                    S::GONE,
                    Code::ConnectionDeleted,
                    format!(
                        "The connection “{}” was deleted by {} at {}, too long ago to be brought back.",
                        tombstone.name, tombstone.deleted_by, tombstone.deleted_at
                    ),
                    "Create a connection of the same name: everything that used this one then works again, without a restart.",
                );
            }
            Self::NameTaken(name) => {
                return (
                    S::CONFLICT,
                    Code::NameTaken,
                    format!("The name “{name}” is taken."),
                    "Choose another name. Names differ by more than upper and lower case, and an alias of a connection takes one, too.",
                );
            }
            Self::TypeInUse(detail, hint) => return (S::CONFLICT, Code::TypeInUse, detail.clone(), hint),
            Self::RotationUnderWay(rotation) => {
                return (
                    S::CONFLICT,
                    Code::RotationUnderWay,
                    format!("{} Nothing was changed.", rotation.sentence()),
                    rotation.hint(),
                );
            }
            Self::LoginNotRetired(login) => {
                return (
                    S::CONFLICT,
                    Code::LoginNotRetired,
                    format!("{} Nothing was changed.", login.sentence()),
                    if login.is_refused() { NOT_GIVEN_AGAIN } else { RETIRED_BY_ITSELF },
                );
            }
            Self::PreconditionRequired => (
                S::PRECONDITION_REQUIRED,
                Code::PreconditionRequired,
                "A change must name the version that it changes.",
                "Read it, and send its ETag as “If-Match”.",
            ),
            Self::VersionConflict => (
                S::PRECONDITION_FAILED,
                Code::VersionConflict,
                "Somebody changed it since you read it; nothing was changed.",
                "Read it again, look at what is new, and repeat your change.",
            ),
            Self::SecretReentry(_) => (
                S::UNPROCESSABLE_ENTITY,
                Code::SecretReentryRequired,
                "This change would send the stored secret elsewhere; nothing was changed.",
                "Type the secrets in “errors” again, or clear them with null.",
            ),
            Self::IdempotencyConflict | Self::Repeated => (
                S::CONFLICT,
                Code::IdempotencyConflict,
                "This Idempotency-Key was used before, for another request or for an answer that is given once.",
                "Use a new key for each change.",
            ),
            Self::TestsDisabled => (
                S::FORBIDDEN,
                Code::TestsDisabled,
                "Tests of connections are switched off on this server.",
                "The operator can switch them on: start it without --no-tests.",
            ),
            Self::TooManyRequests(what) => {
                (S::TOO_MANY_REQUESTS, Code::TooManyRequests, *what, "Wait a few seconds and try again.")
            }
            Self::TooManyAttempts(_) => (
                S::TOO_MANY_REQUESTS,
                Code::TooManyRequests,
                "Too many attempts to sign in have failed.",
                "Wait as long as Retry-After says, in seconds, and try again.",
            ),
            Self::TooFast(what, _) => (
                S::TOO_MANY_REQUESTS,
                Code::TooManyRequests,
                *what,
                "Wait as long as Retry-After says, in seconds, and go on; an operator can raise the limit.",
            ),
            Self::HostNotAllowed => (
                S::MISDIRECTED_REQUEST,
                Code::HostNotAllowed,
                "This server does not answer to that host name.",
                "Use the address that the operator gave in --public-url.",
            ),
            Self::OriginNotAllowed => (
                S::FORBIDDEN,
                Code::OriginNotAllowed,
                "The request came from another web site.",
                "Open the Studio at its own address and repeat the step there. A proxy before the server must pass the Host header on.",
            ),
            Self::SetupDone => (
                S::GONE,
                Code::SetupDone,
                "This link was used, or it has expired.",
                "Sign in with e-mail and password, or ask an owner of the server for a new link; a shell makes one with “dataflow sign-in-link”.",
            ),
            Self::HasAdmin => (
                S::GONE,
                Code::SetupDone,
                "The server is set up already: it has its first admin.",
                "Sign in with e-mail and password, or make a link in a shell with “dataflow sign-in-link”.",
            ),
            Self::LastAdmin => (
                S::CONFLICT,
                Code::LastAdmin,
                "This is the only admin of the whole server; nothing was changed.",
                "Keep this account: without it nobody could manage the server.",
            ),
            Self::NotLetIn(why) => why.describe(),
            Self::SecretUnreadable(_) => (
                S::INTERNAL_SERVER_ERROR,
                Code::SecretUnreadable,
                "The stored connection does not open: its row or its key is not what it was.",
                "Save it again with its secrets; ask the operator to look at the server's log.",
            ),
            Self::SettingsUnreadable(_) => (
                S::INTERNAL_SERVER_ERROR,
                Code::SettingsUnreadable,
                "What tests may reach was changed outside of this program, so no test runs.",
                "An owner of this server looks at the page Settings and saves it again; the server's log has the cause.",
            ),
            Self::TypeUnreadable(id, _) => {
                return (
                    S::INTERNAL_SERVER_ERROR,
                    Code::TypeUnreadable,
                    format!("The definition of the connection type “{id}” is gone, or was changed outside of this program."),
                    "An admin of the workspace defines the type again; ask the operator to look at the server's log.",
                );
            }
            Self::Unavailable(_) => (
                S::SERVICE_UNAVAILABLE,
                Code::Unavailable,
                "The server's store does not answer.",
                "Try again in a moment; ask the operator if it stays so.",
            ),
            Self::Internal(_) => (
                S::INTERNAL_SERVER_ERROR,
                Code::Internal,
                "The server failed at this request.",
                "Try again; ask the operator to look at the server's log if it stays so.",
            ),
        };
        (status, code, detail.to_owned(), hint)
    }

    /// The private cause, for the log alone.
    #[must_use]
    pub fn cause(&self) -> Option<&anyhow::Error> {
        match self {
            Self::SecretUnreadable(cause)
            | Self::SettingsUnreadable(cause)
            | Self::TypeUnreadable(_, cause)
            | Self::Unavailable(cause)
            | Self::Internal(cause) => Some(cause),
            Self::NotLetIn(why) => why.cause(),
            _ => None,
        }
    }

    /// Seconds after which it may be tried again, for `Retry-After`.
    #[must_use]
    pub fn retry_after(&self) -> Option<u32> {
        match self {
            Self::TooManyRequests(_) | Self::Unavailable(_) | Self::NotLetIn(NotLetIn::Away(_)) => Some(2),
            Self::TooManyAttempts(seconds) | Self::TooFast(_, seconds) => Some(*seconds),
            _ => None,
        }
    }

    /// The public half as a document.
    #[must_use]
    pub fn problem(self) -> Problem {
        let (status, code, detail, hint) = self.describe();
        let mut problem = Problem {
            type_uri: "about:blank".to_owned(),
            title: status.canonical_reason().unwrap_or_default().to_owned(),
            status: status.as_u16(),
            code: code.as_str().to_owned(),
            detail,
            hint: hint.to_owned(),
            errors: Vec::new(),
            deleted_by: None,
            deleted_at: None,
            reason: None,
            use_instead: None,
            impact: None,
            report: None,
            laggards: None,
            request_id: None,
        };
        match self {
            Self::Invalid(errors) => problem.errors = errors,
            Self::SecretReentry(paths) => {
                problem.errors =
                    paths.into_iter().map(|path| FieldError::new(path, code.as_str(), "must be typed again")).collect();
            }
            Self::HasDependents(impact) => problem.impact = Some(impact),
            Self::TestFailed(report) => problem.report = Some(report),
            Self::LoginNotRetired(login) => problem.laggards = Some(Box::new(login.laggards)),
            Self::Deleted(tombstone) | Self::NotRestorable(tombstone) => {
                let tombstone = *tombstone;
                problem.deleted_by = Some(tombstone.deleted_by);
                problem.deleted_at = Some(tombstone.deleted_at);
                problem.reason = tombstone.reason;
                problem.use_instead = tombstone.use_instead;
            }
            _ => {}
        }
        problem
    }
}

#[cfg(test)]
pub(crate) mod tests;
