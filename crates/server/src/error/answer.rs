//! An error as an answer: its document, and the headers that belong to it.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::{Error, Problem};
use crate::faults::Fault;

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        self.answer(Self::problem)
    }
}

impl Error {
    /// The answer whose document says the public half as `told`: [`Error::problem`] or [`Error::page_problem`].
    pub fn answer(self, told: fn(Self) -> Problem) -> Response {
        let fault = Fault::of(&self);
        let retry = self.retry_after();
        let challenge = matches!(self, Self::Unauthenticated);
        let problem = Problem { request_id: fault.as_ref().map(|fault| fault.request_id.clone()), ..told(self) };
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(problem)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = retry {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if challenge {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(fault) = fault {
            fault.mark(&mut response);
        }
        response
    }
}
