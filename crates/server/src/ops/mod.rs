//! The rules, one file per noun. API, Studio, jobs and the admin socket share them, so a rule stands once.
//!
//! Every function takes the caller first and authorises in its first statement; then it acts, and audits in the same transaction.

pub mod access;
pub mod checks;
pub mod connections;
pub mod credentials;
pub mod dependents;
pub mod idempotency;
pub mod list;
pub mod people;
pub mod rows;
pub mod setup;
pub mod tokens;
mod versions;
pub mod workspaces;

pub use access::{Action, Caller, Role, Roles, Who};
