//! The server's address.

use std::fmt;

use dataflow_model::settle::is_loopback;
use ureq::http::Uri;

use crate::ClientError;

/// An `https` URL, or an `http` one on loopback, without user, query or trailing slash: a token may be sent there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerUrl(String);

impl ServerUrl {
    /// # Errors
    /// [`ClientError::InvalidConfig`], which does not repeat a URL that may hold a password.
    pub fn parse(text: &str) -> Result<Self, ClientError> {
        let refuse = |problem: &str| ClientError::InvalidConfig {
            origin: "The URL of the Dataflow server".to_owned(),
            problem: problem.to_owned(),
        };
        let text = text.trim().trim_end_matches('/');
        let uri: Uri = text.parse().map_err(|_| refuse("cannot be read. Write it like https://dataflow.example.org."))?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(refuse("has no scheme or no host. Write it like https://dataflow.example.org."));
        };
        if authority.as_str().contains('@') || uri.query().is_some() || text.contains('#') {
            return Err(refuse("must hold no user, password or query. The token has a place of its own: DATAFLOW_TOKEN."));
        }
        match scheme {
            "https" => Ok(Self(text.to_owned())),
            "http" if is_loopback(authority.host()) => Ok(Self(text.to_owned())),
            "http" => Err(refuse(
                "is plain http, which would send the token in clear over the network. Use https; plain http is for this machine alone.",
            )),
            _ => Err(refuse("must begin with https://.")),
        }
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn is_https(&self) -> bool {
        self.0.starts_with("https:")
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}
