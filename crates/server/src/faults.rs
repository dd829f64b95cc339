//! Failures of the server's own, on their way from the answer to the log: there, each says at which route, and bears the id that the
//! client was given. What was the client's doing is logged nowhere.

use std::sync::Arc;

use axum::{
    http::{HeaderName, HeaderValue, Method},
    response::Response,
};
use dataflow_model::Code;
use dataflow_vault::random_uuid;

use crate::error::Error;

/// In answers with status 500 and 503 alone: other requests get no id, since nothing is written down about them.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");

/// A failure with a cause that only the log is told.
#[derive(Debug, Clone)]
pub struct Fault {
    /// Random; it tells nothing of the request.
    pub request_id: String,
    code: Code,
    cause: Arc<str>,
}

impl Fault {
    /// Nothing, where the error is the client's doing.
    #[must_use]
    pub fn of(error: &Error) -> Option<Self> {
        let cause = format!("{:#}", error.cause()?);
        Some(Self { request_id: random_uuid().to_string(), code: error.describe().1, cause: cause.into() })
    }

    /// Gives the answer its id, and takes the cause along to [`log`].
    pub fn mark(self, response: &mut Response) {
        if let Ok(id) = HeaderValue::from_str(&self.request_id) {
            response.headers_mut().insert(REQUEST_ID, id);
        }
        response.extensions_mut().insert(self);
    }
}

/// Writes down the failure that an answer bears. `route` is the pattern that matched: an address may name what a log should not.
pub fn log(response: &Response, method: &Method, route: &str) {
    if let Some(fault) = response.extensions().get::<Fault>() {
        tracing::error!(
            request.id = fault.request_id,
            request.method = method.as_str(),
            request.route = route,
            error.code = fault.code.as_str(),
            error.cause = &*fault.cause,
            "a request failed"
        );
    }
}
