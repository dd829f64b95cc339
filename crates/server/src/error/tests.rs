//! The table of errors, pinned: a status, a code and a header are a promise to programs, a text and a hint one to people.

use std::{collections::BTreeSet, fmt::Write as _};

use anyhow::anyhow;
use axum::{http::header, response::IntoResponse as _};
use dataflow_model::{Cause, Learned, TestError, TestStatus};

use super::*;

pub fn failed_report() -> TestReport {
    let error = TestError {
        code: Cause::CredentialsRefused,
        message: "The server refused the password for “anna”.".to_owned(),
        hint: "Type the password again.".to_owned(),
        field: Some("password".to_owned()),
        certificates: Vec::new(),
    };
    TestReport {
        status: TestStatus::Failed,
        duration_ms: 48.1,
        server_version: None,
        checked_at: "2026-11-02T09:00:00Z".to_owned(),
        from: "server".to_owned(),
        host: None,
        steps: Vec::new(),
        error: Some(error),
        learned: Learned::default(),
    }
}

/// One error of each variant, in their order. A new variant does not compile until it has its place here.
fn after(error: Option<&Error>) -> Option<Error> {
    let tombstone = || Tombstone {
        name: "sales".to_owned(),
        deleted_by: "ada@example.org".to_owned(),
        deleted_at: "2026-11-02T09:00:00Z".to_owned(),
        reason: Some("moved".to_owned()),
        use_instead: Some("warehouse".to_owned()),
    };
    let refused = || vec![FieldError::new("port", "out_of_range", "must be from 1 to 65535")];
    Some(match error {
        None => Error::Malformed("WHAT."),
        Some(Error::Malformed(_)) => Error::BodyTooLarge,
        Some(Error::BodyTooLarge) => Error::UnsupportedMediaType,
        Some(Error::UnsupportedMediaType) => Error::Invalid(refused()),
        Some(Error::Invalid(_)) => Error::Unauthenticated,
        Some(Error::Unauthenticated) => Error::Forbidden("ACT"),
        Some(Error::Forbidden(_)) => Error::OwnersOnly("ACT"),
        Some(Error::OwnersOnly(_)) => Error::NoRole("WHAT.", "HINT."),
        Some(Error::NoRole(..)) => Error::SecondLook,
        Some(Error::SecondLook) => Error::WrongOwnPassword,
        Some(Error::WrongOwnPassword) => Error::NotFound("THING"),
        Some(Error::NotFound(_)) => Error::MethodNotAllowed,
        Some(Error::MethodNotAllowed) => Error::Deleted(Box::new(tombstone())),
        Some(Error::Deleted(_)) => Error::HasDependents(Box::new(Impact { total: 11, ..Impact::default() })),
        Some(Error::HasDependents(_)) => Error::HopUnavailable("WHAT.".to_owned()),
        Some(Error::HopUnavailable(_)) => Error::TestFailed(Box::new(failed_report())),
        Some(Error::TestFailed(_)) => Error::NotRestorable(Box::new(tombstone())),
        Some(Error::NotRestorable(_)) => Error::NameTaken("sales".to_owned()),
        Some(Error::NameTaken(_)) => Error::TypeInUse("WHAT.".to_owned(), "HINT."),
        Some(Error::TypeInUse(..)) => Error::RotationUnderWay(Box::new(UnderWay::example())),
        Some(Error::RotationUnderWay(_)) => Error::LoginNotRetired(Box::new(NotRetired::example())),
        Some(Error::LoginNotRetired(_)) => Error::PreconditionRequired,
        Some(Error::PreconditionRequired) => Error::VersionConflict,
        Some(Error::VersionConflict) => Error::SecretReentry(vec!["password".to_owned()]),
        Some(Error::SecretReentry(_)) => Error::IdempotencyConflict,
        Some(Error::IdempotencyConflict) => Error::Repeated,
        Some(Error::Repeated) => Error::TestsDisabled,
        Some(Error::TestsDisabled) => Error::TooManyRequests("WHAT."),
        Some(Error::TooManyRequests(_)) => Error::TooManyAttempts(40),
        Some(Error::TooManyAttempts(_)) => Error::TooFast("WHAT.", 40),
        Some(Error::TooFast(..)) => Error::HostNotAllowed,
        Some(Error::HostNotAllowed) => Error::OriginNotAllowed,
        Some(Error::OriginNotAllowed) => Error::SetupDone,
        Some(Error::SetupDone) => Error::HasAdmin,
        Some(Error::HasAdmin) => Error::LastAdmin,
        Some(Error::LastAdmin) => Error::NotLetIn(NotLetIn::FlowGone),
        Some(Error::NotLetIn(why)) => match why {
            NotLetIn::FlowGone => Error::NotLetIn(NotLetIn::Denied),
            NotLetIn::Denied => Error::NotLetIn(NotLetIn::Away(anyhow!("CAUSE"))),
            NotLetIn::Away(_) => Error::NotLetIn(NotLetIn::Wrong(anyhow!("CAUSE"))),
            NotLetIn::Wrong(_) => Error::NotLetIn(NotLetIn::NoEmail),
            NotLetIn::NoEmail => Error::NotLetIn(NotLetIn::HasPassword),
            NotLetIn::HasPassword => Error::NotLetIn(NotLetIn::OfAnother),
            NotLetIn::OfAnother => Error::NotLetIn(NotLetIn::Disabled),
            NotLetIn::Disabled => Error::NotLetIn(NotLetIn::NoAccess),
            NotLetIn::NoAccess => Error::NotLetIn(NotLetIn::IsOther),
            NotLetIn::IsOther => Error::NotLetIn(NotLetIn::NotAsked),
            NotLetIn::NotAsked => Error::NotLetIn(NotLetIn::OtherSession),
            NotLetIn::OtherSession => Error::NotLetIn(NotLetIn::Linked),
            NotLetIn::Linked => Error::SecretUnreadable(anyhow!("CAUSE")),
        },
        Some(Error::SecretUnreadable(_)) => Error::SettingsUnreadable(anyhow!("CAUSE")),
        Some(Error::SettingsUnreadable(_)) => Error::TypeUnreadable("exasol".to_owned(), anyhow!("CAUSE")),
        Some(Error::TypeUnreadable(..)) => Error::Unavailable(anyhow!("CAUSE")),
        Some(Error::Unavailable(_)) => Error::Internal(anyhow!("CAUSE")),
        Some(Error::Internal(_)) => return None,
    })
}

fn every() -> Vec<Error> {
    let mut every = Vec::new();
    while let Some(error) = after(every.last()) {
        every.push(error);
    }
    every
}

fn name(error: &Error) -> String {
    format!("{error:?}").chars().take_while(|c| c.is_alphanumeric()).collect()
}

#[test]
fn every_error_has_its_status_code_text_and_hint() {
    let mut table = String::new();
    for error in every() {
        let name = name(&error);
        let (status, code, text, hint) = error.describe();
        writeln!(table, "{name}: {} {code}\n  {text}\n  {hint}", status.as_u16()).expect("a String takes all");
    }
    insta::with_settings!({prepend_module_to_snapshot => false}, { insta::assert_snapshot!("errors", table) });
}

#[test]
fn every_code_is_the_answer_to_some_error() {
    let answered: BTreeSet<_> = every().iter().map(|error| error.describe().1.as_str()).collect();
    let codes: BTreeSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(answered, codes, "a code that no error has is never answered");
    for code in Code::ALL {
        assert_eq!(Code::parse(code.as_str()), Some(*code));
        assert!(code.meaning().ends_with('.'), "{code}: {}", code.meaning());
    }
}

#[test]
fn the_public_half_is_a_document_and_the_private_half_stays() {
    // What is told is used up, so each is needed twice.
    for (error, same) in every().into_iter().zip(every()) {
        let name = name(&error);
        let (status, code, text, hint) = error.describe();
        let is_private = error.cause().is_some();
        let (wants_retry, wants_token) = match code {
            _ if matches!(error, Error::TooManyAttempts(_) | Error::TooFast(..)) => (Some("40"), None),
            Code::TooManyRequests | Code::Unavailable => (Some("2"), None),
            Code::Unauthenticated => (None, Some("Bearer")),
            _ => (None, None),
        };
        let fields: &[&str] = match &error {
            Error::Invalid(_) => &["port"],
            Error::SecretReentry(_) => &["password"],
            _ => &[],
        };
        let is_deleted = matches!(error, Error::Deleted(_) | Error::NotRestorable(_));
        let problem = same.problem();
        assert_eq!((problem.status, problem.code.as_str()), (status.as_u16(), code.as_str()), "{name}");
        assert_eq!((problem.detail.as_str(), problem.hint.as_str()), (text.as_str(), hint), "{name}");
        assert!(!format!("{problem:?}").contains("CAUSE"), "{name}");
        assert_eq!(problem.errors.iter().map(|error| error.field.as_str()).collect::<Vec<_>>(), fields, "{name}");
        assert_eq!(problem.impact.is_some(), matches!(error, Error::HasDependents(_)), "{name}");
        assert_eq!(
            problem.deleted_by.is_some() && problem.deleted_at.is_some() && problem.reason.is_some(),
            is_deleted,
            "{name}"
        );

        let response = error.into_response();
        let header = |name: header::HeaderName| response.headers().get(name).and_then(|value| value.to_str().ok());
        assert_eq!(response.status(), status, "{name}");
        assert_eq!(header(header::CONTENT_TYPE), Some("application/problem+json"), "{name}");
        assert_eq!(header(header::CACHE_CONTROL), Some("no-store"), "{name}");
        assert_eq!(header(header::RETRY_AFTER), wants_retry, "{name}");
        assert_eq!(header(header::WWW_AUTHENTICATE), wants_token, "{name}");
        assert_eq!(header(crate::faults::REQUEST_ID).is_some(), is_private, "{name}");
    }
}
