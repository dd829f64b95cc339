//! Fixtures: real servers, certificates and the product's own binary, for tests that go through the doors users use.
//!
//! What belongs here starts something or makes something that several test files need, or is a table that they share. What does not: assertions about the
//! product, which stand in `tests/tests/`, and unit tests, which stand beside their code.
//!
//! Every server is unprivileged, listens on 127.0.0.1 and a port of its own, keeps its data in a folder of its own, and ends with
//! the value that holds it, or with the test's process if that is killed first. A server that cannot be started panics with
//! what to do; no fixture ever skips.

pub mod accessibility;
pub mod binary;
pub mod browser;
pub mod cable;
pub mod chance;
pub mod connection;
pub mod described;
pub mod disk;
pub mod duckdb;
pub mod environment;
pub mod fake_oidc;
pub mod fake_oracle;
pub mod fake_services;
pub mod fake_sql_server;
pub mod fake_transit;
pub mod fake_wires;
pub mod folder;
pub mod http;
pub mod machine;
pub mod malformed;
pub mod mariadb;
pub mod matrix;
pub mod mysql;
pub mod mysql_protocol;
pub mod nodes;
pub mod oidc_provider;
pub mod openapi;
pub mod pages;
pub mod planted;
pub mod port;
pub mod postgres;
pub mod process;
pub mod python;
pub mod real_services;
pub mod relay;
pub mod schema;
pub mod scripted;
pub mod scripted_http;
pub mod server;
pub mod session;
pub mod shell;
pub mod shim;
pub mod signer;
pub mod silent;
pub mod steadiness;
pub mod stored;
pub mod studio;
pub mod terminal;
pub mod tls;
pub mod wires;
pub mod writers;
