//! The rules, one file per noun. API, Studio, jobs and the admin socket share them, so a rule stands once.
//!
//! Every function takes the caller first and authorises in its first statement; then it acts, and audits in the same transaction.

pub mod access;
pub mod activity;
mod answer_body;
pub mod backup;
pub mod checks;
mod claims;
pub mod compare;
pub mod connections;
pub mod counts;
pub mod credentials;
pub mod dependents;
pub mod groups;
pub mod health;
pub mod history;
pub mod hops;
pub mod idempotency;
pub mod keys;
pub mod links;
pub mod lint;
pub mod list;
pub mod names;
pub mod notices;
pub mod own_types;
pub mod owners;
pub mod paging;
pub mod people;
pub mod promote;
pub mod provider;
pub mod rename;
pub mod repoint;
mod role;
pub mod rotations;
pub mod rows;
pub mod safe_change;
mod save;
pub mod scans;
pub mod second_look;
pub mod sessions;
pub mod settings;
pub mod setup;
pub mod sign_in_failures;
#[cfg(test)]
mod tests;
pub mod tokens;
pub mod tombstones;
pub mod users;
mod versions;
pub mod workspaces;

pub use access::{Action, Caller, Roles, Who};
pub use role::Role;
