//! Why the client cannot give what was asked. Texts say what happened, then what to do.

use std::{fmt, path::PathBuf, sync::Arc};

use dataflow_model::NameError;
use serde::Deserialize;

/// An error of the client. No variant holds a secret, so every text may be shown and logged.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Nothing says where the server is or which token to use.
    #[error(
        "Not signed in to a Dataflow server: {missing}. Set DATAFLOW_URL and DATAFLOW_TOKEN, or run “dataflow login --url URL” once."
    )]
    NotSignedIn { missing: &'static str },
    /// A setting was found and cannot be used.
    #[error("{origin} {problem}")]
    InvalidConfig { origin: String, problem: String },
    /// The name breaks the rule for names, so that no connection can have it.
    #[error("“{name}” cannot be the name of a connection: it {rule}.")]
    InvalidName { name: String, rule: NameError },
    /// The text that was found as the token cannot be one.
    #[error(
        "The token {origin} is not a Dataflow token: one is a single word that begins with “dfc_”. Copy it again, whole and alone, or run “dataflow login --url URL”."
    )]
    NotAToken { origin: TokenOrigin },
    /// 401: no such token, or it has expired or was revoked.
    #[error(
        "{url} does not accept the token {origin}{problem}. It was mistyped, has expired or was revoked. Sign in again: run “dataflow login --url {url}”, or set DATAFLOW_TOKEN."
    )]
    Unauthenticated { url: String, origin: TokenOrigin, problem: Box<Problem> },
    /// 403: the caller may see the connection but not use it.
    #[error("The token may not use “{name}” from code{problem}. Ask an admin of the workspace for the role “user”.")]
    Forbidden { name: String, problem: Box<Problem> },
    /// 404: absent, or not to be seen by this caller.
    #[error(
        "The workspace “{workspace}” at {url} has no connection named “{name}” that this token may see. Check the name (case counts), or create it in the Studio."
    )]
    NotFound { name: String, workspace: String, url: String },
    /// 410: deleted. A connection of the same name mends every program that uses the name.
    #[error(
        "The connection “{name}” was deleted{tombstone}. {instead}Create a connection named “{name}” again, and this program works without a change.",
        instead = .tombstone.instead()
    )]
    Deleted { name: String, tombstone: Tombstone },
    /// The server is away: no network, a time-out, 5xx, 429.
    #[error("{url} does not answer: {reason}. Check that the server runs and that this machine reaches it.")]
    Unavailable {
        url: String,
        reason: String,
        #[source]
        source: Option<Arc<ureq::Error>>,
    },
    /// The server's certificate is not one that this machine trusts for this host. Nothing was sent: neither token nor name.
    #[error("The certificate of {url} is not accepted: {problem}.")]
    CertificateRefused {
        url: String,
        /// What is wrong with it, then what to do.
        problem: &'static str,
    },
    /// An answer that is not Dataflow's: a proxy's or another service's page, whatever its status.
    #[error("What answers at {url} is not a Dataflow server of a version that this client knows. Check the URL.")]
    NotDataflow { url: String },
    /// Any other refusal.
    #[error("{url} refused the request with status {status}{problem}.")]
    Refused { url: String, status: u16, problem: Box<Problem> },
}

impl ClientError {
    /// Whether the server is away, as opposed to having said no.
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::CertificateRefused { .. } | Self::NotDataflow { .. })
    }
}

/// Where the token was found. Shows as “in `DATAFLOW_TOKEN`”.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenOrigin {
    /// The caller gave it.
    Caller,
    /// `DATAFLOW_TOKEN`
    Environment,
    /// A file that a sign-in left.
    File(PathBuf),
}

impl fmt::Display for TokenOrigin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Caller => formatter.write_str("that was given"),
            Self::Environment => formatter.write_str("in DATAFLOW_TOKEN"),
            Self::File(path) => write!(formatter, "in {}", path.display()),
        }
    }
}

/// What a server says of an error (RFC 9457). Shows as “: detail” or as nothing.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Problem {
    pub code: Option<String>,
    pub detail: Option<String>,
    pub hint: Option<String>,
    #[serde(flatten)]
    pub tombstone: Tombstone,
}

impl Problem {
    /// Reads a body; one that is not a problem document is an empty problem.
    pub fn read(body: &[u8]) -> Self {
        serde_json::from_slice(body).unwrap_or_default()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.detail.as_deref().map(|detail| detail.trim_end_matches('.')) {
            Some(detail) if !detail.is_empty() => write!(formatter, ": {detail}"),
            _ => Ok(()),
        }
    }
}

/// What a deleted connection leaves. Shows as “ by ann@example.org on 2026-11-22T10:00:00Z (reason)”, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Tombstone {
    pub deleted_by: Option<String>,
    /// RFC 3339, UTC.
    pub deleted_at: Option<String>,
    pub reason: Option<String>,
    /// The connection that whoever deleted it named in its place.
    pub use_instead: Option<String>,
}

impl Tombstone {
    /// “Use “warehouse” instead. ”, or nothing.
    fn instead(&self) -> String {
        self.use_instead.as_deref().map(|other| format!("Use “{other}” instead. ")).unwrap_or_default()
    }
}

impl fmt::Display for Tombstone {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(who) = &self.deleted_by {
            write!(formatter, " by {who}")?;
        }
        if let Some(when) = &self.deleted_at {
            write!(formatter, " on {when}")?;
        }
        match self.reason.as_deref() {
            Some(reason) if !reason.is_empty() => write!(formatter, " ({reason})"),
            _ => Ok(()),
        }
    }
}
