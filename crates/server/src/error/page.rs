//! What a page says of an error where the API's words name what only a program can do. Status and code stay those of the table.

use super::{Error, Problem};

impl Error {
    /// The public half, in words for a person at a page.
    #[must_use]
    pub fn page_problem(self) -> Problem {
        let (text, hint) = self.page_words();
        let problem = self.problem();
        Problem {
            detail: text.map_or(problem.detail, ToOwned::to_owned),
            hint: hint.map_or(problem.hint, ToOwned::to_owned),
            ..problem
        }
    }

    /// Text and hint, each only where the table's does not do for people.
    fn page_words(&self) -> (Option<&'static str>, Option<&'static str>) {
        match self {
            Self::Malformed(_) => (None, Some("Open the page again from the menu, and repeat the step there.")),
            Self::BodyTooLarge => (
                Some("The form holds more than 64 KiB; nothing was changed."),
                Some("Shorten its longest texts: of a bundle of certificates, keep the one that is needed."),
            ),
            Self::UnsupportedMediaType => (
                Some("The server could not read the form; nothing was changed."),
                Some("Open the page again, and repeat the step there."),
            ),
            Self::Invalid(_) => (None, Some("Correct what was refused, and try again.")),
            Self::Unauthenticated => (Some("You are signed out."), Some("Sign in, then repeat the step.")),
            Self::MethodNotAllowed => (Some("There is no page at this address."), Some("Open it from the menu.")),
            Self::PreconditionRequired => (
                Some("The page did not say which version it changes; nothing was changed."),
                Some("Open the page again, and repeat your change there."),
            ),
            Self::VersionConflict => (
                Some("Somebody changed it since you opened the page; nothing was changed."),
                Some("Open the page again, look at what is new, and repeat your change."),
            ),
            Self::HasDependents(_) => (
                Some("Workflows depend on it; nothing was changed."),
                Some("Open the step from the connection's page again, look at who uses it, and confirm it there."),
            ),
            Self::TestFailed(_) => (None, Some("Correct what the test has found, or untick “Test before it serves”.")),
            Self::RotationUnderWay(_) => (
                None,
                Some(
                    "Wait until it is over, and try again. What cannot be settled is given up on the connection's page, or by “dataflow connections rotate NAME --give-up”.",
                ),
            ),
            Self::LoginNotRetired(login) if login.is_refused() => (None, None),
            Self::LoginNotRetired(_) => (
                None,
                Some(
                    "It is retired by itself once they have moved. The page of the second login retires it now: who still signs in as it fails until he asks again.",
                ),
            ),
            Self::SecretReentry(_) => (None, Some("Type the secrets again, or clear them.")),
            Self::IdempotencyConflict | Self::Repeated => {
                (Some("This was done before."), Some("Open the page again to see what there is now."))
            }
            Self::TooManyAttempts(_) => (None, Some("Wait a while, and try again.")),
            Self::TooFast(..) => (
                Some("More came from your account or your address than may come in a time."),
                Some("Wait a few seconds, and try again; the operator of this server can raise the limit."),
            ),
            Self::Forbidden(_)
            | Self::OwnersOnly(_)
            | Self::NoRole(_, _)
            | Self::SecondLook
            | Self::WrongOwnPassword
            | Self::NotFound(_)
            | Self::Deleted(_)
            | Self::NotRestorable(_)
            | Self::NameTaken(_)
            | Self::HopUnavailable(_)
            | Self::TypeInUse(..)
            | Self::TestsDisabled
            | Self::TooManyRequests(_)
            | Self::HostNotAllowed
            | Self::OriginNotAllowed
            | Self::SetupDone
            | Self::HasAdmin
            | Self::LastAdmin
            | Self::NotLetIn(_)
            | Self::SecretUnreadable(_)
            | Self::SettingsUnreadable(_)
            | Self::TypeUnreadable(..)
            | Self::Unavailable(_)
            | Self::Internal(_) => (None, None),
        }
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;
    use crate::{
        error::{NotLetIn, Tombstone},
        ops::rotations::{UnderWay, second_login::NotRetired},
    };

    /// One of each.
    fn all() -> Vec<Error> {
        let tombstone = || Tombstone {
            name: "sales".into(),
            deleted_by: "ada".into(),
            deleted_at: "…".into(),
            reason: None,
            use_instead: None,
        };
        vec![
            Error::Malformed("The address is not valid UTF-8."),
            Error::BodyTooLarge,
            Error::UnsupportedMediaType,
            Error::Invalid(Vec::new()),
            Error::Unauthenticated,
            Error::Forbidden("create connections"),
            Error::OwnersOnly("create workspaces"),
            Error::SecondLook,
            Error::WrongOwnPassword,
            Error::NotFound("connection"),
            Error::MethodNotAllowed,
            Error::Deleted(Box::new(tombstone())),
            Error::HasDependents(Box::default()),
            Error::HopUnavailable("The connection “bastion” is not there.".into()),
            Error::TestFailed(Box::new(crate::error::tests::failed_report())),
            Error::NotRestorable(Box::new(tombstone())),
            Error::NameTaken("sales".into()),
            Error::RotationUnderWay(Box::new(UnderWay::example())),
            Error::LoginNotRetired(Box::new(NotRetired::example())),
            Error::PreconditionRequired,
            Error::VersionConflict,
            Error::SecretReentry(vec!["password".into()]),
            Error::IdempotencyConflict,
            Error::Repeated,
            Error::TestsDisabled,
            Error::TooManyRequests("Too many tests of connections are under way."),
            Error::TooManyAttempts(40),
            Error::TooFast("More requests came from this token than may.", 3),
            Error::HostNotAllowed,
            Error::OriginNotAllowed,
            Error::SetupDone,
            Error::HasAdmin,
            Error::LastAdmin,
            Error::NotLetIn(NotLetIn::FlowGone),
            Error::NotLetIn(NotLetIn::Denied),
            Error::NotLetIn(NotLetIn::Away(anyhow!("x"))),
            Error::NotLetIn(NotLetIn::Wrong(anyhow!("x"))),
            Error::NotLetIn(NotLetIn::NoEmail),
            Error::NotLetIn(NotLetIn::HasPassword),
            Error::NotLetIn(NotLetIn::OfAnother),
            Error::NotLetIn(NotLetIn::Disabled),
            Error::NotLetIn(NotLetIn::NoAccess),
            Error::NotLetIn(NotLetIn::IsOther),
            Error::NotLetIn(NotLetIn::NotAsked),
            Error::NotLetIn(NotLetIn::OtherSession),
            Error::NotLetIn(NotLetIn::Linked),
            Error::SecretUnreadable(anyhow!("x")),
            Error::SettingsUnreadable(anyhow!("x")),
            Error::TypeInUse("x".to_owned(), "y"),
            Error::TypeUnreadable("x".to_owned(), anyhow!("x")),
            Error::Unavailable(anyhow!("x")),
            Error::Internal(anyhow!("x")),
        ]
    }

    #[test]
    fn a_page_asks_nobody_for_what_only_a_program_can_do() {
        let programs = [
            "API",
            "/api/",
            "JSON",
            "token",
            "Bearer",
            "“errors”",
            "null",
            "If-Match",
            "ETag",
            "Idempotency",
            "method",
            "request's",
        ];
        for error in all() {
            let (status, code, ..) = error.describe();
            let name = format!("{error:?}");
            let problem = error.page_problem();
            assert_eq!((problem.status, problem.code.as_str()), (status.as_u16(), code.as_str()), "{name}");
            assert!(!problem.detail.is_empty() && !problem.hint.is_empty(), "{name}");
            for word in programs {
                assert!(!problem.detail.contains(word) && !problem.hint.contains(word), "{name}: “{word}” in {problem:?}");
            }
        }
    }
}
