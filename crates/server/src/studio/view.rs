//! What the pages show: plain structs made from the model's types, each with its template. No rules, no HTTP, no store.

pub mod activity;
pub mod admin;
pub mod channels;
pub mod compare;
pub mod connection;
pub mod delete;
pub mod deleted;
pub mod dependents;
pub mod entry;
pub mod form;
pub mod gallery;
pub mod health;
pub mod history;
pub mod lint;
pub mod list;
pub mod names;
pub mod own_type_form;
pub mod own_types;
pub mod parts;
#[cfg(test)]
mod picture;
pub mod rotate;
pub mod rotation_policy;
#[cfg(test)]
mod samples;
pub mod second_login;
pub mod settings;
pub mod words;

pub use parts::{Glyph, Icon, Shell, asset, icon};
