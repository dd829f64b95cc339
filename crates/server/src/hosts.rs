//! The names that the Studio answers to. A page of another site that points its own name at this machine (DNS rebinding) gets nothing.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    extract::{Request, State},
    http::header,
    middleware::Next,
    response::Response,
};

use crate::{config::PublicConfig, error::Error};

/// The host names, without ports, that requests may name; `None`: any, where neither loopback nor a public URL says which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostAllowlist(Option<Arc<[String]>>);

impl HostAllowlist {
    /// The host of the public URL, and this machine's own names where it listens on loopback.
    #[must_use]
    pub fn of(public: &PublicConfig) -> Self {
        let loopback = public.listen.ip().is_loopback();
        let named = public
            .public_url
            .as_deref()
            .and_then(|url| url::Url::parse(url).ok())
            .and_then(|url| url.host_str().map(str::to_owned));
        if !loopback && named.is_none() {
            return Self(None);
        }
        let own = ["localhost", "127.0.0.1", "[::1]"].map(str::to_owned).into_iter().chain([host_of(public.listen)]);
        Self(Some(named.into_iter().chain(own.filter(|_| loopback)).collect()))
    }

    fn allows(&self, authority: &str) -> bool {
        let name = match authority.rsplit_once(':') {
            Some((name, port)) if port.chars().all(|c| c.is_ascii_digit()) => name,
            _ => authority,
        };
        self.0.as_ref().is_none_or(|names| names.iter().any(|allowed| allowed.eq_ignore_ascii_case(name)))
    }
}

fn host_of(address: SocketAddr) -> String {
    if address.is_ipv6() { format!("[{}]", address.ip()) } else { address.ip().to_string() }
}

/// Refuses a Studio request to a name that is not on the list. The API needs no such rule: a browser does not send its tokens by itself.
pub async fn allow(State(hosts): State<HostAllowlist>, request: Request, next: Next) -> Result<Response, Error> {
    let open = ["/api/", "/healthz", "/readyz"].iter().any(|prefix| request.uri().path().starts_with(prefix));
    let authority = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    if open || hosts.allows(authority) { Ok(next.run(request).await) } else { Err(Error::HostNotAllowed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(listen: &str, public_url: Option<&str>) -> HostAllowlist {
        HostAllowlist::of(&PublicConfig {
            listen: listen.parse().expect("an address"),
            public_url: public_url.map(str::to_owned),
            tls: None,
        })
    }

    #[test]
    fn only_names_that_the_operator_knows_are_answered() {
        let local = list("127.0.0.1:8080", None);
        for host in ["127.0.0.1:8080", "localhost", "LOCALHOST:1", "[::1]:8080"] {
            assert!(local.allows(host), "{host}");
        }
        for host in ["evil.example.org", "evil.example.org:8080", "127.0.0.1.evil.example.org", ""] {
            assert!(!local.allows(host), "{host}");
        }
        let named = list("0.0.0.0:8443", Some("https://dataflow.example.org:8443/"));
        assert!(named.allows("dataflow.example.org:8443") && !named.allows("localhost") && !named.allows("10.0.0.1:8443"));
        assert!(list("10.0.0.1:8443", None).allows("anything.example.org"));
    }
}
