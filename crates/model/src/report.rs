//! What a test of a connection says, as it is answered, streamed and kept.

use serde::{Deserialize, Serialize};

/// The steps of a test, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StepName {
    /// Before the others, where the connection goes through another one.
    Hop,
    Resolve,
    Reach,
    Secure,
    SignIn,
    OpenDatabase,
    Read,
    /// Instead of `Read`, where a login gets a new password.
    SetPassword,
    /// Instead of `OpenDatabase` and `Read`, where a message is handed over.
    Send,
}

impl StepName {
    /// The steps of a test.
    pub const ALL: [Self; 6] = [Self::Resolve, Self::Reach, Self::Secure, Self::SignIn, Self::OpenDatabase, Self::Read];
    /// The same through another connection.
    pub const ALL_THROUGH: [Self; 7] =
        [Self::Hop, Self::Resolve, Self::Reach, Self::Secure, Self::SignIn, Self::OpenDatabase, Self::Read];
    /// Those of setting a new password.
    pub const RENEWAL: [Self; 6] =
        [Self::Resolve, Self::Reach, Self::Secure, Self::SignIn, Self::OpenDatabase, Self::SetPassword];
    /// The same through another connection.
    pub const RENEWAL_THROUGH: [Self; 7] =
        [Self::Hop, Self::Resolve, Self::Reach, Self::Secure, Self::SignIn, Self::OpenDatabase, Self::SetPassword];
    /// Those of handing a message over.
    pub const DELIVERY: [Self; 5] = [Self::Resolve, Self::Reach, Self::Secure, Self::SignIn, Self::Send];
    /// The same through another connection.
    pub const DELIVERY_THROUGH: [Self; 6] = [Self::Hop, Self::Resolve, Self::Reach, Self::Secure, Self::SignIn, Self::Send];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hop => "hop",
            Self::Resolve => "resolve",
            Self::Reach => "reach",
            Self::Secure => "secure",
            Self::SignIn => "sign_in",
            Self::OpenDatabase => "open_database",
            Self::Read => "read",
            Self::SetPassword => "set_password",
            Self::Send => "send",
        }
    }

    /// The step as a person reads it, once it is done.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Hop => "Hop passed",
            Self::Resolve => "Name found",
            Self::Reach => "Host reached",
            Self::Secure => "Connection secured",
            Self::SignIn => "Signed in",
            Self::OpenDatabase => "Database opened",
            Self::Read => "Read one row",
            Self::SetPassword => "New password set",
            Self::Send => "Message taken",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StepStatus {
    Ok,
    Failed,
    Skipped,
}

/// One step. `duration_ms` is absent for a step that was skipped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Step {
    pub step: StepName,
    pub status: StepStatus,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub duration_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub detail: Option<String>,
}

/// `ok`: signed in and read. `failed`: see the error. `unproven`: reached, but nothing there checks the password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TestStatus {
    Ok,
    Failed,
    Unproven,
}

impl TestStatus {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Unproven => "unproven",
        }
    }

    /// The status of this word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Ok, Self::Failed, Self::Unproven].into_iter().find(|status| status.as_str() == word)
    }
}

/// Why a test failed, in one stable word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Cause {
    /// The connection that it goes through is not there, or nothing goes through it.
    HopMissing,
    /// The connection that it goes through failed itself.
    HopFailed,
    /// The connection that it goes through was refused its sign-in.
    HopRefused,
    /// The connection that it goes through leads to another place than when this one was saved.
    HopChanged,
    NameNotFound,
    AddressNotAllowed,
    HostUnreachable,
    PortClosed,
    TimedOut,
    NotThatDatabase,
    TlsNotOffered,
    CertificateUntrusted,
    CertificateExpired,
    CertificateWrongHost,
    ClientCertificateRefused,
    CredentialsRefused,
    InsecureAuthenticationRefused,
    AddressNotPermitted,
    DatabaseMissing,
    NoRightToConnect,
    TooManyConnections,
    ServerStarting,
    ProtocolTooOld,
    FileMissing,
    FileOutsideFolder,
    FileNotADatabase,
    ReadRefused,
    InvalidSettings,
    ConnectionLost,
    /// The login has the password that it had: the new one was not set, or the old one was set again.
    PasswordNotSet,
    /// The same, since the server does not let this login set it, or no such password: it came to the question.
    PasswordRefused,
    /// The same, since something at the server was in the way for as long as it was waited for.
    PasswordNotSetInTime,
    /// The server said something that no other cause covers; the message carries its scrubbed words.
    ServerError,
    /// The test itself broke (its process died, or could not start); says nothing about the database.
    TestBroken,
}

impl Cause {
    /// Whether it says that the login has the password that it had.
    #[must_use]
    pub fn is_password_unchanged(self) -> bool {
        matches!(self, Self::PasswordNotSet | Self::PasswordRefused | Self::PasswordNotSetInTime)
    }

    /// The cause in at most four words, as a list shows it.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::HopMissing => "Hop missing",
            Self::HopFailed => "Hop failed",
            Self::HopRefused => "Hop refused sign-in",
            Self::HopChanged => "Hop leads elsewhere",
            Self::NameNotFound => "Name not found",
            Self::AddressNotAllowed => "Address not allowed",
            Self::HostUnreachable => "Host unreachable",
            Self::PortClosed => "Port closed",
            Self::TimedOut => "Timed out",
            Self::NotThatDatabase => "Not that database",
            Self::TlsNotOffered => "TLS not offered",
            Self::CertificateUntrusted => "Certificate untrusted",
            Self::CertificateExpired => "Certificate expired",
            Self::CertificateWrongHost => "Certificate of another host",
            Self::ClientCertificateRefused => "Client certificate refused",
            Self::CredentialsRefused => "Sign-in refused",
            Self::InsecureAuthenticationRefused => "Sign-in not secure",
            Self::AddressNotPermitted => "Server refuses this address",
            Self::DatabaseMissing => "Database missing",
            Self::NoRightToConnect => "No right to connect",
            Self::TooManyConnections => "Too many connections",
            Self::ServerStarting => "Server starting up",
            Self::ProtocolTooOld => "Server too old",
            Self::FileMissing => "File missing",
            Self::FileOutsideFolder => "File outside the folder",
            Self::FileNotADatabase => "File is no database",
            Self::ReadRefused => "Reading refused",
            Self::InvalidSettings => "Settings refused",
            Self::ConnectionLost => "Connection lost",
            Self::PasswordNotSet | Self::PasswordRefused | Self::PasswordNotSetInTime => "Password not changed",
            Self::TestBroken => "Test did not run",
            Self::ServerError => "Server error",
        }
    }
}

/// One certificate of a refused chain, leaf first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Certificate {
    pub subject: String,
    pub issuer: String,
    /// Host names and addresses it is made for.
    pub names: Vec<String>,
    /// RFC 3339, UTC.
    pub not_before: String,
    /// RFC 3339, UTC.
    pub not_after: String,
    /// SHA-256 of the DER form, lower-case hex in pairs with colons.
    pub fingerprint: String,
    /// The certificate itself, so that it can be pinned.
    pub pem: String,
    /// Whether it may stand in `tls.ca` itself: drivers take no certificate there that another one signed.
    #[serde(default)]
    pub pinnable: bool,
}

/// What went wrong and what to do. `field` is the catalogue path to change, where one field would mend it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TestError {
    pub code: Cause,
    pub message: String,
    pub hint: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub field: Option<String>,
    /// The chain that was refused, leaf first; empty for causes that are not about a certificate.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub certificates: Vec<Certificate>,
}

/// The whole answer of a test. `checked_at` is RFC 3339 in UTC; durations are milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(example = json!({
    "status": "failed", "duration_ms": 48.1, "server_version": null, "checked_at": "2026-11-02T09:00:00Z", "from": "server",
    "steps": [
        {"step": "resolve", "status": "ok", "duration_ms": 3.0, "detail": "10.4.2.17"}, {"step": "reach", "status": "ok", "duration_ms": 0.4},
        {"step": "secure", "status": "ok", "duration_ms": 12.3, "detail": "TLS 1.3"}, {"step": "sign_in", "status": "failed", "duration_ms": 32.4},
        {"step": "open_database", "status": "skipped"}, {"step": "read", "status": "skipped"}
    ],
    "error": {
        "code": "credentials_refused", "message": "The server refused the password for “analytics”.", "hint": "Type the password again.",
        "field": "password"
    }
}))]
pub struct TestReport {
    pub status: TestStatus,
    pub duration_ms: f64,
    pub server_version: Option<String>,
    pub checked_at: String,
    /// Where the test ran: `server` or `client`.
    pub from: String,
    /// Which machine that was, of a client that tells it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub host: Option<String>,
    pub steps: Vec<Step>,
    pub error: Option<TestError>,
    #[serde(default, skip_serializing_if = "Learned::is_nothing")]
    pub learned: Learned,
}

/// What a test found out beside whether it works. What the server does not tell this login is absent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(example = json!({
    "certificate_ends_at": "2027-03-01T00:00:00Z", "password_ends_at": "2027-01-01T00:00:00Z", "is_superuser": false,
    "privileges": ["creates databases"], "connections": {"open": 12, "allowed": 100}
}))]
pub struct Learned {
    /// When the server's certificate ends. RFC 3339, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_ends_at: Option<String>,
    /// When the login's password ends. RFC 3339, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_ends_at: Option<String>,
    /// Whether the login may do whatever it wants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_superuser: Option<bool>,
    /// What it may do beyond what one that reads may, in a few words each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub privileges: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<OpenConnections>,
}

/// How many connections the server has open, of how many that it allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct OpenConnections {
    pub open: u32,
    pub allowed: u32,
}

impl Learned {
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}
