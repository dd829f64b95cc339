//! Why somebody who came back from the sign-in provider is not let in: statuses, codes, texts and hints, as a part of the table of errors.

use anyhow::anyhow;
use axum::http::StatusCode;
use dataflow_model::Code;

use crate::oidc::ProviderFault;

/// Nothing of what the provider said is in it but in the causes, which only the log is told.
#[derive(Debug)]
pub enum NotLetIn {
    /// The browser began no such sign-in, or too long ago, or it was ended already.
    FlowGone,
    /// The provider says that he did not sign in there.
    Denied,
    Away(anyhow::Error),
    Wrong(anyhow::Error),
    /// The provider told no address that it has verified.
    NoEmail,
    /// There is an account of his address, which a password opens.
    HasPassword,
    /// There is an account of his address, and it is linked to somebody else at the provider.
    OfAnother,
    Disabled,
    /// Nothing that the provider says of him grants a role.
    NoAccess,
    /// He was to show again who he is, and somebody else did.
    IsOther,
    /// He was, and the provider did not ask him.
    NotAsked,
    /// To be linked: he is not in the session any more that it was begun in.
    OtherSession,
    /// To be linked: his account is linked already, or the one at the provider is.
    Linked,
}

impl From<ProviderFault> for NotLetIn {
    fn from(fault: ProviderFault) -> Self {
        let cause = |text: String| anyhow!("the sign-in provider: {text}");
        match fault {
            ProviderFault::Away(text) => Self::Away(cause(text)),
            ProviderFault::Wrong(text) => Self::Wrong(cause(text)),
        }
    }
}

impl NotLetIn {
    pub(super) fn describe(&self) -> (StatusCode, Code, &'static str, &'static str) {
        use StatusCode as S;
        match self {
            Self::FlowGone => (
                S::BAD_REQUEST,
                Code::MalformedRequest,
                "This sign-in was begun in another browser, more than ten minutes ago, or it is over already.",
                "Begin it again, with the button of the provider on the page “Sign in”.",
            ),
            Self::Denied => (
                S::FORBIDDEN,
                Code::Forbidden,
                "The sign-in provider says that nobody signed in there, or that this was not permitted.",
                "Try again; ask whoever runs the provider if it stays so.",
            ),
            Self::Away(_) => (
                S::SERVICE_UNAVAILABLE,
                Code::Unavailable,
                "The sign-in provider does not answer.",
                "Try again in a while, or sign in with your password. For the operator: “dataflow doctor” says what is wrong.",
            ),
            Self::Wrong(_) => (
                S::BAD_GATEWAY,
                Code::Internal,
                "The sign-in provider gave an answer that is not to be trusted; nobody was signed in.",
                "Sign in with your password. For the operator: the log and “dataflow doctor” say what is wrong.",
            ),
            Self::NoEmail => (
                S::FORBIDDEN,
                Code::Forbidden,
                "The sign-in provider knows you, and does not say which e-mail address of yours it has verified.",
                "Verify your address there, and sign in again; or ask an owner of this server for an account with a password.",
            ),
            Self::HasPassword => (
                S::FORBIDDEN,
                Code::Forbidden,
                "There is an account with your e-mail address, and it has a password.",
                "Sign in with the password, then link the account to the provider under your name at the foot of the sidebar.",
            ),
            Self::OfAnother => (
                S::FORBIDDEN,
                Code::Forbidden,
                "The account with your e-mail address belongs to somebody else at the sign-in provider.",
                "Ask an owner of this server.",
            ),
            Self::Disabled => (
                S::FORBIDDEN,
                Code::Forbidden,
                "Your account is disabled.",
                "Ask an admin of your workspace, or an owner of this server.",
            ),
            Self::NoAccess => (
                S::FORBIDDEN,
                Code::Forbidden,
                "The sign-in provider knows you, and nobody has given you access to this server.",
                "Ask an owner of this server to add you, or whoever runs the provider for the group that may use it.",
            ),
            Self::IsOther => (
                S::FORBIDDEN,
                Code::Forbidden,
                "You showed at the sign-in provider that you are somebody else than is signed in here.",
                "Try again as the one who is signed in here, or sign out.",
            ),
            Self::NotAsked => (
                S::FORBIDDEN,
                Code::Forbidden,
                "The sign-in provider did not ask you again who you are, or does not say when it did.",
                "Sign out there and try again. For the operator: it has to heed “max_age”, and say “auth_time”.",
            ),
            Self::OtherSession => (
                S::FORBIDDEN,
                Code::Forbidden,
                "Somebody else is signed in here than when this was begun, or nobody; nothing was linked.",
                "Sign in, and link your account under your name at the foot of the sidebar.",
            ),
            Self::Linked => (
                S::CONFLICT,
                Code::NameTaken,
                "Your account here or the one at the sign-in provider is linked already; nothing was changed.",
                "Unlink what is linked, under your name at the foot of the sidebar, and try again.",
            ),
        }
    }

    pub(super) fn cause(&self) -> Option<&anyhow::Error> {
        match self {
            Self::Away(cause) | Self::Wrong(cause) => Some(cause),
            _ => None,
        }
    }
}
