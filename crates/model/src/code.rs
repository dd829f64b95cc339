//! The stable codes of problem documents (RFC 9457). Status and text of each stand in the server's `error.rs`.

use std::fmt;

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident => $text:literal,)*) => {
        /// What went wrong, in one stable word. Codes are only ever added.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Code { $($(#[$doc])* $variant,)* }

        impl Code {
            /// Every code, in the order of this file.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
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
    /// The body is larger than the limit.
    BodyTooLarge => "body_too_large",
    /// The content type is not JSON.
    UnsupportedMediaType => "unsupported_media_type",
    /// One or more fields were refused; `errors` lists them.
    InvalidFields => "invalid_fields",
    /// No, an unknown, an expired or a revoked credential.
    Unauthenticated => "unauthenticated",
    /// The caller may see the thing but not do this to it.
    Forbidden => "forbidden",
    /// Absent, or not to be seen by this caller.
    NotFound => "not_found",
    /// The path exists but not for this method.
    MethodNotAllowed => "method_not_allowed",
    /// A deleted connection's name; says who and when.
    ConnectionDeleted => "connection_deleted",
    /// The name is taken.
    NameTaken => "name_taken",
    /// A change without `If-Match`.
    PreconditionRequired => "precondition_required",
    /// `If-Match` names an older version.
    VersionConflict => "version_conflict",
    /// An endpoint field changed and the secret was not typed again.
    SecretReentryRequired => "secret_reentry_required",
    /// The same `Idempotency-Key` was used for another request.
    IdempotencyConflict => "idempotency_conflict",
    /// Dependents exist and the request names no current impact token.
    ImpactUnconfirmed => "impact_unconfirmed",
    /// Tests are switched off on this server.
    TestsDisabled => "tests_disabled",
    /// A limit on tests under way, or on requests.
    TooManyRequests => "too_many_requests",
    /// The connection type has no use for what was asked.
    UnsupportedByType => "unsupported_by_type",
    /// The host name in the request is not one this server answers to.
    HostNotAllowed => "host_not_allowed",
    /// A browser request from another origin.
    OriginNotAllowed => "origin_not_allowed",
    /// Set-up has been done already, or its link was used.
    SetupDone => "setup_done",
    /// The stored secret could not be opened: a key or a row is not what it was.
    SecretUnreadable => "secret_unreadable",
    /// The store or another needed part does not answer.
    Unavailable => "unavailable",
    /// A defect of the server; the log has the cause under the same request id.
    Internal => "internal",
}

impl fmt::Display for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}
