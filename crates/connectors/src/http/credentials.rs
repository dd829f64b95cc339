//! The sign-in as it goes along with a request. It is in a header, never in a URL.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use dataflow_model::TestError;
use hyper::header::{AUTHORIZATION, HeaderName, HeaderValue};

use crate::{Target, causes, connector::PASSWORD};

/// With which sign-in a request is asked. The same request without the right one tells whether anybody looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// The connection's own.
    Given,
    Without,
    /// One of which everybody knows that it is not the right one.
    Wrong,
}

/// What goes instead of the right password. A fixed text: whoever reads the service's log can look it up here.
pub(crate) const WRONG: &str = "dataflow-tests-that-a-wrong-password-is-refused";

/// The connection's password with this access; empty without one.
pub(crate) fn secret(target: &Target, access: Access) -> &str {
    match access {
        Access::Given => target.expose_secret(PASSWORD),
        Access::Without => "",
        Access::Wrong => WRONG,
    }
}

/// Headers; none if there is no sign-in.
#[derive(Debug, Clone, Default)]
pub(crate) struct Credentials(Vec<(HeaderName, HeaderValue)>);

impl Credentials {
    /// The scheme Basic (RFC 7617), in UTF-8.
    pub(crate) fn basic(username: &str, password: &str) -> Result<Self, TestError> {
        if username.contains(':') {
            return Err(causes::unspeakable("username"));
        }
        Self::default().and(AUTHORIZATION, &format!("Basic {}", STANDARD.encode(format!("{username}:{password}"))), PASSWORD)
    }

    /// `Authorization: scheme token`, as Bearer (RFC 6750) has it; nothing without a token.
    pub(crate) fn token(scheme: &str, token: &str) -> Result<Self, TestError> {
        if token.is_empty() {
            return Ok(Self::default());
        }
        Self::default().and(AUTHORIZATION, &format!("{scheme} {token}"), PASSWORD)
    }

    /// One more header. `field` is to blame if its value cannot be sent.
    pub(crate) fn and(mut self, name: HeaderName, value: &str, field: &str) -> Result<Self, TestError> {
        let mut value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| causes::unspeakable(field))?;
        value.set_sensitive(true);
        self.0.push((name, value));
        Ok(self)
    }

    pub(super) fn headers(&self) -> &[(HeaderName, HeaderValue)] {
        &self.0
    }
}
