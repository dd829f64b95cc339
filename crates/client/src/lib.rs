//! A blocking client of Dataflow Connections: credentials by name.
//!
//! ```no_run
//! use dataflow_client::{Client, ClientConfig, Explicit};
//!
//! # fn main() -> Result<(), dataflow_client::ClientError> {
//! let client = Client::new(ClientConfig::discover(&Explicit::default())?);
//! let sales = client.credentials("sales")?;
//! println!("{} is at {:?}", sales.name(), sales.expose_text("host"));
//! # Ok(())
//! # }
//! ```
//!
//! What it promises:
//!
//! * Answers stay in memory only. An answer is fresh for 5 s; then the server is asked whether it still holds, and so it is for each workflow that
//!   uses the name, of which it would not know otherwise. While the server
//!   is away, the last good answer serves for up to an hour. A refusal (401, 403, 404, 410) purges it at once.
//! * One request per name, workflow and process, however many threads ask; 2 s to connect and 5 s in all, even from a server that trickles.
//! * A forked child starts with an empty cache, new locks and new sockets; it never touches its parent's.
//! * No runtime. The only thread it ever starts is the one that bounds a look-up of a host name in time.
//!
//! What does not belong here: anything asynchronous, anything that speaks to a database, and rules of the server.

mod cache;
mod client;
pub mod config;
mod error;
#[cfg(test)]
mod fuzz;
mod process;
mod resolved;
mod transport;

pub use client::{ApiAnswer, ApiRequest, Client};
pub use config::{ClientConfig, Explicit, ServerUrl, Timing};
pub use dataflow_model::{Secret, Workflow, WorkflowKind, credentials::ClearValue};
pub use error::{ClientError, Problem, TokenOrigin, Tombstone};
pub use resolved::Resolved;
pub use ureq::http::Method;
