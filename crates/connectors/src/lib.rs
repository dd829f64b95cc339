//! What speaks to databases and services: one file per wire protocol, and per service over HTTP, the guarded dialer, TLS, and both ends of a test
//! in a process of its own.
//!
//! What belongs here opens a socket or a file that a connection names. What does not: SQL of our own store, what answers HTTP, rules about
//! who may test what (server).
//!
//! A test goes through [`child::Pool::run`]; connectors are called directly only inside that child.

pub mod causes;
pub mod child;
pub mod connector;
pub mod dialer;
mod duckdb;
mod files;
pub mod hops;
mod http;
mod local_path;
pub mod message;
mod mysql;
pub mod policy;
mod postgres;
mod reach;
pub mod registry;
pub mod scrub;
mod services;
mod signing;
mod sqlite;
mod ssh;
pub mod steps;
pub mod tls;
mod wires;

pub use connector::{Connector, Outcome, Target};
pub use dialer::Dialer;
pub use message::{Addressing, Message, Messenger};
pub use policy::{AddressLists, Cidr, DialPolicy};
pub use registry::connector;
pub use steps::Steps;
