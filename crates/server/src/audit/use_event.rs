//! What is kept of a machine read.

use serde::{Serialize, Serializer};
use uuid::Uuid;

/// One answer with a secret, or one 304 in its place.
#[derive(Debug, Serialize)]
pub struct UseEvent<'e> {
    pub at: i64,
    pub action: &'static str,
    pub workspace: &'e str,
    /// Its name may be another one's later.
    #[serde(serialize_with = "as_text")]
    pub workspace_id: Uuid,
    pub connection: &'e str,
    pub version: i64,
    pub actor: &'e str,
    pub actor_id: &'e str,
    pub address: Option<std::net::IpAddr>,
    pub workflow: Option<&'e dataflow_model::Workflow>,
}

fn as_text<S: Serializer>(id: &Uuid, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(id.hyphenated().encode_lower(&mut Uuid::encode_buffer()))
}
