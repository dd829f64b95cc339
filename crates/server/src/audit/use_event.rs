//! What is kept of a machine read.

use serde::Serialize;

/// One answer with a secret, or one 304 in its place.
#[derive(Debug, Serialize)]
pub struct UseEvent<'e> {
    pub at: i64,
    pub action: &'static str,
    pub workspace: &'e str,
    pub connection: &'e str,
    pub version: i64,
    pub actor: &'e str,
    pub actor_id: &'e str,
    pub address: Option<std::net::IpAddr>,
    pub workflow: Option<&'e dataflow_model::Workflow>,
}
