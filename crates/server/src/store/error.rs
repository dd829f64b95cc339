//! What can go wrong between us and the database, and whether it passes by itself.

/// What can go wrong between us and the database.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the store did not answer")]
    Unavailable(#[source] sqlx::Error),
    #[error("the store refused a row that must be unique")]
    Unique(#[source] sqlx::Error),
    /// What whoever named the store can mend; a sentence of what happened, and one of what to do.
    #[error("{sentence}")]
    Refused {
        sentence: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("the store could not {doing}")]
    Open {
        doing: &'static str,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A key was rotated while a change was under way that had sealed something under its old version. Nothing was changed.
    #[error("a key ended while the change was under way")]
    KeyEnded,
    /// What the row belongs to is gone: only the end of a whole workspace takes away what others refer to.
    #[error("the store refused a row of a workspace that is gone")]
    Gone(#[source] sqlx::Error),
    #[error("the store failed")]
    Query(#[source] sqlx::Error),
}

impl StoreError {
    /// What is stored is not what this program left there.
    pub(crate) fn damaged(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Refused { sentence: DAMAGED.to_owned(), source: source.into() }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(database) if database.is_unique_violation() => Self::Unique(error),
            sqlx::Error::Database(database) if database.is_foreign_key_violation() => Self::Gone(error),
            sqlx::Error::Database(database) if is_damage(database.code().as_deref().unwrap_or_default()) => Self::damaged(error),
            sqlx::Error::Database(database) if passes(database.code().as_deref().unwrap_or_default()) => Self::Unavailable(error),
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => {
                Self::Unavailable(error)
            }
            _ => Self::Query(error),
        }
    }
}

pub type Result<T> = std::result::Result<T, StoreError>;

const DAMAGED: &str =
    "The store is damaged. Stop every server on it, keep a copy of it, and restore a backup with “dataflow restore --replace”.";

/// Whether the database says that what is stored is broken: SQLite's CORRUPT and NOTADB, PostgreSQL's `data_corrupted` and `index_corrupted`.
fn is_damage(code: &str) -> bool {
    if code.len() == 5 {
        return matches!(code, "XX001" | "XX002");
    }
    code.parse::<i32>().is_ok_and(|code| matches!(code & 0xff, 11 | 26))
}

/// Whether an error with this code may be over at the next try: PostgreSQL's classes 40 (deadlock, serialization), 53 (out of
/// something) and 57P (going down, coming up), 57014 (cancelled at `statement_timeout`) and 55P03 (not had within `lock_timeout`); SQLite's
/// BUSY, LOCKED, IOERR and FULL, which are the last byte of its extended codes.
fn passes(code: &str) -> bool {
    if code.len() == 5 {
        return ["40", "53", "57P", "57014", "55P03"].iter().any(|class| code.starts_with(class));
    }
    code.parse::<i32>().is_ok_and(|code| matches!(code & 0xff, 5 | 6 | 10 | 13))
}
