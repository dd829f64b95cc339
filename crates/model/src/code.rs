//! The stable codes of problem documents (RFC 9457). Status and text of each stand in the server's `error.rs`.

use std::fmt;

macro_rules! codes {
    ($(#[doc = $meaning:literal] $variant:ident => $text:literal,)*) => {
        /// What went wrong, in one stable word. Codes are only ever added.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Code { $(#[doc = $meaning] $variant,)* }

        impl Code {
            /// Every code, in the order of this file.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// What it says, in one sentence: the API's description has it beside each code.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning.trim_ascii(),)* }
            }

            /// The code spelled `text`; `None` for one that this build does not know.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

codes! {
    /// The request could not be understood at all.
    MalformedRequest => "malformed_request",
    /// The body is larger than 64 KiB.
    BodyTooLarge => "body_too_large",
    /// The body is not declared as `application/json`.
    UnsupportedMediaType => "unsupported_media_type",
    /// One or more fields were refused; `errors` lists them.
    InvalidFields => "invalid_fields",
    /// No token, or one that is unknown, expired or revoked.
    Unauthenticated => "unauthenticated",
    /// The caller may see the thing but not do this to it.
    Forbidden => "forbidden",
    /// The person of the session must give his own password again before this.
    SecondLookRequired => "second_look_required",
    /// Absent, or not to be seen by this caller.
    NotFound => "not_found",
    /// The address is described, and this method is not described at it.
    MethodNotAllowed => "method_not_allowed",
    /// The connection was deleted; `deleted_by`, `deleted_at` and `reason` say by whom, when and why.
    ConnectionDeleted => "connection_deleted",
    /// Workflows depend on the connection; `impact` says which, and the token in it that lets the delete through.
    HasDependents => "has_dependents",
    /// What the connection goes through is not there, or leads elsewhere than when the connection was saved.
    HopUnavailable => "hop_unavailable",
    /// The name is taken, in any case.
    NameTaken => "name_taken",
    /// Connections are of the type of the workspace's own that was to go, or to become another; `detail` names some of them.
    TypeInUse => "type_in_use",
    /// The password of the connection is being rotated, or whether it was is not known yet; `detail` says by whom and since when.
    RotationUnderWay => "rotation_under_way",
    /// The login that served before the last switch is not retired yet; `laggards` says who is waited for.
    LoginNotRetired => "login_not_retired",
    /// A change without `If-Match`.
    PreconditionRequired => "precondition_required",
    /// `If-Match` names an older version.
    VersionConflict => "version_conflict",
    /// The change would send a stored secret elsewhere, and the secret does not stand in it again.
    SecretReentryRequired => "secret_reentry_required",
    /// The `Idempotency-Key` was used for another request, or for an answer that is given once.
    IdempotencyConflict => "idempotency_conflict",
    /// The change was tried before it would have served, and did not pass; `report` says why.
    TestFailed => "test_failed",
    /// Tests are switched off on this server.
    TestsDisabled => "tests_disabled",
    /// Too much of the kind is under way; `Retry-After` says in how many seconds to try again.
    TooManyRequests => "too_many_requests",
    /// The host name in the request is not one this server answers to.
    HostNotAllowed => "host_not_allowed",
    /// A browser request from another origin.
    OriginNotAllowed => "origin_not_allowed",
    /// The only admin of the server cannot be disabled or removed.
    LastAdmin => "last_admin",
    /// Set-up has been done already, or its link was used.
    SetupDone => "setup_done",
    /// The stored secret could not be opened: a key or a row is not what it was.
    SecretUnreadable => "secret_unreadable",
    /// What an owner set for the whole server is not what the store has now; until an owner saves it again, no test runs.
    SettingsUnreadable => "settings_unreadable",
    /// The definition of the connection's type is gone, or is not what an admin left; until an admin defines it again, it is not given.
    TypeUnreadable => "type_unreadable",
    /// The store does not answer; `Retry-After` says in how many seconds to try again.
    Unavailable => "unavailable",
    /// A defect of the server; its log has the cause under `request_id`.
    Internal => "internal",
}

impl fmt::Display for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}
