//! The digest that binds a secret to where it may be sent.

use aws_lc_rs::digest;
use dataflow_model::endpoint::{ENDPOINT_LIST_VERSION, Endpoint};

use crate::format;

/// SHA-256 over an endpoint; part of the associated data of every sealed field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndpointDigest([u8; 32]);

impl EndpointDigest {
    /// The digest of an endpoint as it was stored with its version: list version, type id, then path, presence and value of
    /// each field in the endpoint's order, every part length-prefixed.
    ///
    /// # Panics
    /// Never: SHA-256 gives 32 bytes.
    #[must_use]
    pub fn of(endpoint: &Endpoint) -> Self {
        let list_version = ENDPOINT_LIST_VERSION.to_be_bytes();
        let mut parts: Vec<&[u8]> = vec![&list_version, endpoint.type_id.as_bytes()];
        for (path, value) in &endpoint.values {
            let presence: &[u8] = if value.is_some() { &[1] } else { &[0] };
            parts.extend([path.as_str().as_bytes(), presence, value.as_deref().unwrap_or_default().as_bytes()]);
        }
        let digest = digest::digest(&digest::SHA256, &format::frame(&parts));
        Self(digest.as_ref().try_into().expect("SHA-256 gives 32 bytes"))
    }

    /// One that was kept beside what is sealed for it. Whatever its bytes are, only what was sealed for them opens with it.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}
