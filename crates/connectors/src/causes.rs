//! Every way in which a test can fail, as a user reads it: what happened, then what to do, and the field that would mend it.
//!
//! This is the only place with such texts. Their arguments are public fields, or words of the other side that went through
//! [`crate::scrub::Scrubber`]; a secret is never among them.

use dataflow_model::{Cause, StepName, TestError, report::Certificate};

fn because(code: Cause, message: impl Into<String>, hint: impl Into<String>) -> TestError {
    TestError { code, message: message.into(), hint: hint.into(), field: None, certificates: Vec::new() }
}

fn at(field: &str, code: Cause, message: impl Into<String>, hint: impl Into<String>) -> TestError {
    TestError { field: Some(field.to_owned()), ..because(code, message, hint) }
}

// Reaching the host.

pub fn name_not_found(host: &str) -> TestError {
    at(
        "host",
        Cause::NameNotFound,
        format!("No address is known for the name “{host}”."),
        "Check the spelling. If the name is only known inside a network, the machine that runs the test must use that network's name servers.",
    )
}

pub fn address_not_allowed(host: &str) -> TestError {
    at(
        "host",
        Cause::AddressNotAllowed,
        format!("This server may not connect to “{host}”."),
        "Its address is outside of what the operator allows. Ask the operator to add it to the allowed addresses, or use another host.",
    )
}

pub fn host_unreachable(host: &str) -> TestError {
    at(
        "host",
        Cause::HostUnreachable,
        format!("The host “{host}” cannot be reached."),
        "Check that it is switched on and that a network route leads there from the machine that runs the test (VPN, firewall, subnet).",
    )
}

pub fn port_closed(host: &str, port: u16) -> TestError {
    at(
        "port",
        Cause::PortClosed,
        format!("“{host}” refused the connection on port {port}."),
        "Nothing listens there, or a firewall rejects it. Check the port, that the database runs, and that it listens on this address and not only on its own loopback.",
    )
}

/// The deadline passed during `step`.
pub fn timed_out(step: StepName) -> TestError {
    let (message, hint, field) = match step {
        StepName::Resolve => (
            "The name servers did not answer in time.",
            "Try again. If it stays so, check the name servers of the machine that runs the test.",
            Some("host"),
        ),
        StepName::Reach => (
            "The host did not answer in time.",
            "Often a firewall drops the packets in silence. Check host and port, and that the database's network lets the machine that runs the test in.",
            Some("host"),
        ),
        StepName::Secure => (
            "The connection was accepted, but the server did not answer the request for TLS in time.",
            "Check that the port is the database's. If a proxy stands in front of it, check that it reaches the database.",
            Some("port"),
        ),
        StepName::SignIn => (
            "The connection was accepted, but the sign-in was not answered in time.",
            "Check that the port is the database's. If it is, the server is overloaded or hangs: look at its log.",
            Some("port"),
        ),
        StepName::OpenDatabase => (
            "Signed in, but the database was not opened in time.",
            "The server is overloaded, or the database is locked or being recovered. Look at the server's log, then try again.",
            None,
        ),
        StepName::Read => (
            "Signed in, but reading one row took too long.",
            "The server is overloaded, or something holds a lock. Look at its running queries, then try again.",
            None,
        ),
    };
    TestError { field: field.map(str::to_owned), ..because(Cause::TimedOut, message, hint) }
}

/// `product` as a person calls it: `PostgreSQL`. What the other side sent is not repeated: it belongs to another service.
pub fn not_that_database(product: &str) -> TestError {
    at(
        "port",
        Cause::NotThatDatabase,
        format!("Something answers there, but it is not {product}."),
        format!("Check host and port: another service listens on this port, or a proxy that does not speak {product}."),
    )
}

pub fn connection_lost(step: StepName) -> TestError {
    let during = match step {
        StepName::Resolve | StepName::Reach => "right after it was opened",
        StepName::Secure => "while TLS was being set up",
        StepName::SignIn => "during the sign-in",
        StepName::OpenDatabase => "while the database was being opened",
        StepName::Read => "while one row was being read",
    };
    because(
        Cause::ConnectionLost,
        format!("The other side closed the connection {during}."),
        "Try again. If it stays so, look at the server's log; a proxy or firewall in between may also close it, or the port is another service's.",
    )
}

// TLS.

pub fn tls_not_offered() -> TestError {
    at(
        "tls.mode",
        Cause::TlsNotOffered,
        "The server does not offer TLS.",
        "Switch TLS on at the server. Without it, anyone on the way can read what is sent; an internal network that you trust may use the mode “No TLS”.",
    )
}

pub fn tls_too_old() -> TestError {
    at(
        "tls.mode",
        Cause::TlsNotOffered,
        "The server offers TLS only in versions or ciphers that are no longer safe.",
        "Let the server offer TLS 1.2 or 1.3; for that, its TLS library or its settings must be brought up to date.",
    )
}

/// Bytes stood in the clear before encryption began; what comes after could be forged (CVE-2021-23222).
pub fn early_bytes() -> TestError {
    because(
        Cause::ServerError,
        "The server sent data before the encryption began. The connection was given up, and nothing was sent.",
        "Somebody on the way may be tampering with the connection, or a proxy is broken. Ask who runs the network between here and the server.",
    )
}

pub fn certificate_untrusted(chain: Vec<Certificate>, custom_ca: bool) -> TestError {
    let hint = if custom_ca {
        "Paste the CA certificate that signed it into “Server CA”. A certificate may be pinned there itself only if it is self-signed; compare its fingerprint with the server's administrator first."
    } else {
        "It is signed by no authority that this machine knows. Paste the CA certificate that signed it into “Server CA”, or pin it if it is self-signed; compare its fingerprint with the server's administrator first."
    };
    let error = at("tls.ca", Cause::CertificateUntrusted, "The server's certificate is not trusted.", hint);
    TestError { certificates: chain, ..error }
}

/// `when` says it in words: `since 2024-05-01`, `before 2027-01-01`.
pub fn certificate_expired(chain: Vec<Certificate>, when: &str) -> TestError {
    let error = because(
        Cause::CertificateExpired,
        format!("The server's certificate is not valid {when}."),
        "The server needs a new certificate. If its dates look right, check the clock of the machine that runs the test.",
    );
    TestError { certificates: chain, ..error }
}

/// `names` are those that the certificate is made for.
pub fn certificate_wrong_host(chain: Vec<Certificate>, host: &str, names: &[String]) -> TestError {
    let made_for = match names {
        [] => "no name at all".to_owned(),
        [one] => format!("“{one}”"),
        [first, rest @ ..] => format!("“{first}” and {} more", rest.len()),
    };
    let error = at(
        "host",
        Cause::CertificateWrongHost,
        format!("The server's certificate is made for {made_for}, not for “{host}”."),
        "Use a name that the certificate has as the host. If the server's name cannot match, “Verify server, any host name” checks the certificate without its name.",
    );
    TestError { certificates: chain, ..error }
}

pub fn client_certificate_missing() -> TestError {
    at(
        "tls.cert",
        Cause::ClientCertificateRefused,
        "The server demands a client certificate, and none is set.",
        "Paste the client certificate and its key that the server's administrator gave you.",
    )
}

pub fn client_certificate_refused() -> TestError {
    at(
        "tls.cert",
        Cause::ClientCertificateRefused,
        "The server refused the client certificate.",
        "Check that it has not expired, is signed by the authority that the server expects, and is made for this username.",
    )
}

/// A certificate or key that was pasted cannot be used. `what` says why, in words.
pub fn invalid_tls_material(field: &str, what: &str) -> TestError {
    at(field, Cause::InvalidSettings, what, "Paste it in PEM form, from -----BEGIN to -----END, with every line.")
}

// Signing in.

pub fn credentials_refused(username: &str) -> TestError {
    at(
        "password",
        Cause::CredentialsRefused,
        format!("The server refused the password for “{username}”."),
        "Type the password again, and check the username: many servers say the same when the user does not exist or may not sign in this way.",
    )
}

/// As [`credentials_refused`], from a server that ties users to the address they come from and names it. `seen_as` is scrubbed.
pub fn credentials_refused_from(username: &str, seen_as: &str) -> TestError {
    let hint = format!(
        "Type the password again, and check the username. The server says the same to a user that may not come from “{seen_as}”, as which it sees the machine that ran the test, or may come only with TLS."
    );
    TestError { hint, ..credentials_refused(username) }
}

pub fn password_missing(username: &str) -> TestError {
    at(
        "password",
        Cause::CredentialsRefused,
        format!("The server asks for a password for “{username}”, and none is set."),
        "Type the password.",
    )
}

pub fn user_refused(username: &str) -> TestError {
    at(
        "username",
        Cause::CredentialsRefused,
        format!("The server does not let “{username}” sign in."),
        "Check the username: the server does not know it, or it may not sign in. Some servers name users with regard to case.",
    )
}

/// The server could not prove that it knows the password, so it may be an impostor.
pub fn server_unproven() -> TestError {
    because(
        Cause::InsecureAuthenticationRefused,
        "The server did not prove that it knows the password.",
        "It may not be the server that it claims to be. Check the host, and use verified TLS.",
    )
}

/// The server asks for the password in a form (`asked`) that a third party could read or replay. `better` says what the
/// server could do instead; `insecure` is the choice of `extra.insecure_auth` that would allow it, if there is one.
pub fn insecure_authentication_refused(asked: &str, better: &str, insecure: Option<&str>) -> TestError {
    let mut hint = format!("Nothing was sent. Use TLS that is verified, or {better}.");
    if let Some(choice) = insecure {
        hint.push_str(" If neither can be had, an admin may allow “");
        hint.push_str(choice);
        hint.push_str("” under “Weaker sign-in without verified TLS”.");
    }
    at(
        "tls.mode",
        Cause::InsecureAuthenticationRefused,
        format!("The server asks for {asked} over a connection that is not verified."),
        hint,
    )
}

/// The server wants the password hashed so often that it is an attack on the time of whoever signs in.
pub fn too_many_rounds(rounds: u64, most: u64) -> TestError {
    because(
        Cause::ServerError,
        format!("The server asks to hash the password {rounds} times; at most {most} are answered."),
        "Lower the server's SCRAM iterations and set the password anew. If you did not raise them, the server may be hostile: check the host.",
    )
}

pub fn authentication_unsupported(asked: &str) -> TestError {
    because(
        Cause::ServerError,
        format!("The server asks to sign in by {asked}, which is not supported here."),
        "Ask the server's administrator for a user that signs in with a password.",
    )
}

pub fn address_not_permitted(username: &str) -> TestError {
    because(
        Cause::AddressNotPermitted,
        format!("The server does not let “{username}” sign in from this address."),
        "Ask the server's administrator to let the address of the machine that runs the test in, for this user and database.",
    )
}

/// As [`address_not_permitted`], where the connection had no TLS and that may be the reason.
pub fn address_not_permitted_without_tls(username: &str) -> TestError {
    at(
        "tls.mode",
        Cause::AddressNotPermitted,
        format!("The server does not let “{username}” sign in from this address without TLS."),
        "Choose a TLS mode that encrypts, best “Verify server and host name”. If that does not help, ask the server's administrator to let the address of the machine that runs the test in.",
    )
}

pub fn address_blocked() -> TestError {
    because(
        Cause::AddressNotPermitted,
        "The server has blocked this address after too many broken connections.",
        "Ask the server's administrator to unblock it (FLUSH HOSTS) and to look for what broke them.",
    )
}

pub fn account_locked(username: &str) -> TestError {
    at(
        "username",
        Cause::CredentialsRefused,
        format!("The account of “{username}” is locked."),
        "Ask the server's administrator to unlock it, or use another user.",
    )
}

pub fn password_expired(username: &str) -> TestError {
    at(
        "password",
        Cause::CredentialsRefused,
        format!("The password of “{username}” has expired."),
        "Set a new password at the server, then type it here.",
    )
}

/// The account's password is kept in the form of before MySQL 4.1, whose proof tells the password.
pub fn old_password(username: &str) -> TestError {
    at(
        "username",
        Cause::ProtocolTooOld,
        format!("The server keeps the password of “{username}” in a form from before MySQL 4.1, which is not safe to use."),
        "Set the password again at the server, so that it is kept in a newer form.",
    )
}

pub fn tls_demanded() -> TestError {
    at(
        "tls.mode",
        Cause::InvalidSettings,
        "The server takes only connections with TLS.",
        "Choose a TLS mode that encrypts, best “Verify server and host name”.",
    )
}

// The database.

pub fn database_missing(database: &str) -> TestError {
    at(
        "database",
        Cause::DatabaseMissing,
        format!("The server has no database “{database}”."),
        "Check the spelling, also upper and lower case. The sign-in itself worked.",
    )
}

pub fn no_right_to_connect(username: &str, database: &str) -> TestError {
    at(
        "username",
        Cause::NoRightToConnect,
        format!("“{username}” signed in, but has no right to connect to the database “{database}”."),
        "Ask the database's owner to grant the right to connect, or use another user.",
    )
}

/// As [`no_right_to_connect`], from a server that says the same where the database does not exist.
pub fn no_right_or_missing(username: &str, database: &str) -> TestError {
    at(
        "database",
        Cause::NoRightToConnect,
        format!("“{username}” signed in, but has no right to use the database “{database}”, or it does not exist."),
        "Check the spelling, also upper and lower case. If it is right, ask the database's owner to grant the right.",
    )
}

pub fn too_many_connections() -> TestError {
    because(
        Cause::TooManyConnections,
        "The server has no connection left to give.",
        "Try again in a moment. If it stays so, end idle connections, or raise the limit of the server, the database or the user.",
    )
}

pub fn server_starting() -> TestError {
    because(
        Cause::ServerStarting,
        "The server is starting up, shutting down or recovering, and takes no connections yet.",
        "Wait a moment, then test again. If it stays so, look at the server's log.",
    )
}

pub fn protocol_too_old(product: &str) -> TestError {
    because(
        Cause::ProtocolTooOld,
        format!("The server speaks a version of the {product} protocol that is too old."),
        "Upgrade the server, or check that the port is that of the newer one.",
    )
}

/// `said` is the server's scrubbed reason.
pub fn read_refused(said: &str) -> TestError {
    because(
        Cause::ReadRefused,
        format!("Signed in, but the server refused to read one row: {said}"),
        "Ask the database's owner for the right to read.",
    )
}

/// A server that asks a client for a file is hostile, or tampered with: none was offered.
pub fn file_asked_for() -> TestError {
    because(
        Cause::ServerError,
        "The server asked for a file of the machine that ran the test. It was not given.",
        "No server does this by itself. Ask its administrator what answers there before you use the connection.",
    )
}

/// A session setting that the server does not take. `said` is its scrubbed reason.
pub fn invalid_settings(field: Option<&str>, said: &str) -> TestError {
    let error = because(
        Cause::InvalidSettings,
        format!("The server does not accept an extra setting: {said}"),
        "Correct the setting, or clear it.",
    );
    TestError { field: field.map(str::to_owned), ..error }
}

/// `said` is the server's scrubbed reason.
pub fn server_error(said: &str) -> TestError {
    because(
        Cause::ServerError,
        format!("The server answered with an error: {said}"),
        "The words are the server's own. Look them up in its manual, or ask its administrator.",
    )
}

// Files.

/// `folder` is where this machine looks; `None` if it keeps no files.
pub fn file_missing(file: &str, folder: Option<&str>) -> TestError {
    let message = match folder {
        Some(folder) => format!("There is no file “{file}” in {folder} on the machine that ran the test."),
        None => format!("The machine that ran the test keeps no folder for files, so “{file}” cannot be looked for."),
    };
    at(
        "database",
        Cause::FileMissing,
        message,
        "The file must exist there; it is never created. If it lives on the machine that runs your code, test the connection there with the command “dataflow connections test”.",
    )
}

pub fn file_outside_folder(file: &str) -> TestError {
    at(
        "database",
        Cause::FileOutsideFolder,
        format!("“{file}” leads out of the folder for files."),
        "Give a path inside the folder, without “..”, and without a link that leads out of it.",
    )
}

pub fn file_not_a_database(file: &str) -> TestError {
    at(
        "database",
        Cause::FileNotADatabase,
        format!("“{file}” is not an SQLite database."),
        "Check that it is the right file, complete, and not encrypted.",
    )
}

pub fn file_unreadable(file: &str) -> TestError {
    at(
        "database",
        Cause::ReadRefused,
        format!("The machine that ran the test may not open “{file}” for reading and writing."),
        "Give the user that runs the test the right to read and write the file and its folder.",
    )
}

pub fn file_busy(file: &str) -> TestError {
    because(
        Cause::ReadRefused,
        format!("“{file}” is locked by another program."),
        "Wait until that program has finished writing, or raise the busy timeout.",
    )
}

// The test itself.

/// `why` is for the log of whoever runs the test; it holds nothing of the target.
pub fn test_broken(why: &str) -> TestError {
    because(
        Cause::TestBroken,
        format!("The test itself broke: {why}. This says nothing about the database."),
        "Try again. If it stays so, tell whoever runs this server.",
    )
}
