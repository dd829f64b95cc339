//! The server: rules (`ops`), their two faces (`api`, `studio`), the store, jobs, and the accept loop.

pub mod admin;
pub mod api;
pub mod app;
pub mod attempts;
pub mod audit;
pub mod backup;
pub mod clock;
pub mod config;
pub mod doctor;
pub mod dumps;
pub mod error;
pub mod faults;
mod firsts;
#[cfg(test)]
mod fixture;
pub mod hosts;
pub mod jobs;
pub mod keys;
pub mod listen;
pub mod metrics;
pub mod oidc;
pub mod ops;
mod outbound;
pub mod passwords;
pub mod recover;
pub mod router;
pub mod serve;
mod shares;
pub mod store;
pub mod studio;
pub mod tests;
pub mod throttle;
pub mod transit;
mod turns;
mod under_way;
pub mod uses;
