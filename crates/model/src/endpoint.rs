//! What directs a secret: the values that are bound to it, so that it cannot be sent elsewhere.

use crate::{ConnectionType, FieldPath, PublicFields};

/// The version of the list of endpoint fields. It is part of every digest; a new rule for the list takes the next number.
pub const ENDPOINT_LIST_VERSION: u32 = 1;

/// The endpoint of one stored version: the type and the endpoint fields with their stored values, sorted by path. Built from
/// what was stored with the version (`paths`), never from today's catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub type_id: String,
    /// Path and value as text; an unset field is `None`, which differs from an empty text.
    pub values: Vec<(FieldPath, Option<String>)>,
}

impl Endpoint {
    #[must_use]
    pub fn of(type_id: &str, paths: &[FieldPath], public: &PublicFields) -> Self {
        let mut values: Vec<_> =
            paths.iter().map(|path| (path.clone(), public.get(path.as_str()).map(ToString::to_string))).collect();
        values.sort();
        Self { type_id: type_id.to_owned(), values }
    }
}

impl ConnectionType {
    /// The paths that the catalogue marks `endpoint` today; stored with each version that is saved. Secrets are not among
    /// them: they are what the endpoint protects.
    #[must_use]
    pub fn endpoint_paths(&self) -> Vec<FieldPath> {
        self.fields.iter().filter(|field| field.endpoint && !field.secret).map(|field| field.path.clone()).collect()
    }
}
