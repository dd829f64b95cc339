//! Why a database that somebody named with `--database-url` does not become the store: what happened, what to do, and after that
//! the technical cause. The URL itself is never repeated, for it holds a password.

use std::{io, time::Duration};

use sqlx::{
    Error,
    migrate::MigrateError,
    postgres::{PgConnectOptions, PgDatabaseError},
};

use super::StoreError;

/// Who was asked, as far as it may be shown.
pub(super) struct Asked {
    address: String,
    username: String,
    database: String,
    /// What no text may hold.
    password: Option<String>,
}

impl Asked {
    pub(super) fn new(url: &str, options: &PgConnectOptions) -> Self {
        let address = match options.get_socket() {
            Some(socket) => socket.display().to_string(),
            None => format!("{}:{}", options.get_host(), options.get_port()),
        };
        let username = options.get_username().to_owned();
        let password = url::Url::parse(url).ok().and_then(|url| {
            let in_query = url.query_pairs().find(|(name, _)| name == "password").map(|(_, password)| password.into_owned());
            let before_host =
                url.password().map(|text| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned());
            in_query.or(before_host).filter(|password| !password.is_empty())
        });
        Self { address, database: options.get_database().unwrap_or(&username).to_owned(), username, password }
    }

    /// `patience` has passed without a sign-in.
    pub(super) fn silent(&self, patience: Duration) -> StoreError {
        let sentence = format!(
            "{} does not answer as a PostgreSQL server does. Check host and port in --database-url, and that no firewall stands between.",
            self.address
        );
        self.refuse(sentence, format!("no sign-in within {} s", patience.as_secs()))
    }

    pub(super) fn not_connected(&self, error: &Error) -> StoreError {
        let Self { address, .. } = self;
        let sentence = match error {
            Error::Database(error) => return self.said_no(error.try_downcast_ref()),
            Error::Io(error) => match error.kind() {
                io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => {
                    format!("Nothing answers at {address}. Start PostgreSQL there, or correct host and port in --database-url.")
                }
                // What goes wrong inside TLS comes as this.
                io::ErrorKind::InvalidData => format!(
                    "TLS with {address} was refused, because its certificate or its TLS does not hold. Give its authority with sslrootcert=FILE in --database-url, and the host as the certificate names it."
                ),
                io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => format!(
                    "{address} closed the connection. Check in --database-url that host and port are a PostgreSQL server's; if they are, look at its log."
                ),
                _ => format!("{address} cannot be reached. Check host and port in --database-url, and the network."),
            },
            Error::Tls(_) => format!(
                "{address} offers no TLS, or its settings in --database-url cannot be used. Turn TLS on at the server; only in a network that you trust, add sslmode=disable to the URL."
            ),
            Error::Configuration(_) => "The settings in --database-url cannot be used. Check the files that it names.".to_owned(),
            Error::Protocol(_) => {
                format!("What answers at {address} is not PostgreSQL. Correct host and port in --database-url.")
            }
            _ => format!("The store at {address} cannot be opened. Look at the server's log."),
        };
        // The driver's own words before these say less than the sentence does.
        let cause = match error {
            Error::Io(error) => error.to_string(),
            Error::Tls(error) | Error::Configuration(error) => error.to_string(),
            Error::Protocol(problem) => problem.clone(),
            error => error.to_string(),
        };
        self.refuse(sentence, cause)
    }

    /// The tables could not be brought up to this version.
    pub(super) fn not_migrated(&self, error: MigrateError) -> StoreError {
        match error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => self.not_connected(&error),
            MigrateError::VersionMissing(_) => newer(error),
            error => StoreError::Open { doing: "bring its tables up to this version", source: error.into() },
        }
    }

    fn said_no(&self, error: Option<&PgDatabaseError>) -> StoreError {
        let Self { address, username, database, .. } = self;
        let (code, message) = error.map(|error| (error.code(), error.message())).unwrap_or_default();
        let sentence = match code {
            "28P01" => format!("{address} refused the password of “{username}”. Correct user and password in --database-url."),
            "28000" => format!(
                "{address} does not let “{username}” sign in. Check the user in --database-url, and that pg_hba.conf lets it in from this machine."
            ),
            "3D000" => format!("{address} has no database “{database}”. Create it (CREATE DATABASE), or correct --database-url."),
            "42501" => format!(
                "“{username}” may not make tables in the database “{database}” at {address}. Make it the database's owner, or grant it CREATE on the schema."
            ),
            "53300" => format!("{address} has no connection left to give. End idle ones, or raise its limit, then start again."),
            "57P03" => format!("{address} is starting up or shutting down. Wait until it is ready, then start again."),
            _ => format!("{address} refused to be the store. Look up its answer, or ask its administrator."),
        };
        self.refuse(sentence, format!("PostgreSQL says: {message} ({code})"))
    }

    fn refuse(&self, sentence: String, cause: String) -> StoreError {
        let cause = match &self.password {
            Some(password) => cause.replace(password.as_str(), "(withheld)"),
            None => cause,
        };
        StoreError::Refused { sentence, source: cause.into() }
    }
}

/// The URL is not one of a PostgreSQL database that a password may be sent to.
pub(super) fn unusable(problem: &str) -> StoreError {
    let sentence = format!("--database-url cannot be used: {problem}.");
    StoreError::Refused { sentence, source: "the URL itself is not shown, for it may hold a password".into() }
}

/// A later version of the product has been here.
pub(in crate::store) fn newer(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
    let sentence = "The store belongs to a newer version of Dataflow Connections. Start that version, or a later one.".to_owned();
    StoreError::Refused { sentence, source: source.into() }
}
