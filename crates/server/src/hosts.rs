//! What host a request asks for, and the names that the Studio answers to: a page of another site that points its own name at this
//! machine (DNS rebinding) gets nothing.

use std::{net::SocketAddr, sync::Arc};

use axum::http::{HeaderMap, HeaderValue, Request, Uri, Version, header, uri::Authority};

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

    /// Refuses a request that names no host or several, and a Studio request to a name that is not on the list. The API needs no such
    /// list: a browser does not send its tokens by itself.
    ///
    /// All that comes after finds the host that counts in the header `Host`.
    pub fn admit<B>(&self, request: &mut Request<B>) -> Result<(), Error> {
        let host = asked_host(request.headers(), request.uri(), request.version())?;
        let open = ["/api/", "/healthz", "/readyz", "/metrics"].iter().any(|prefix| request.uri().path().starts_with(prefix));
        if !open && !self.allows(host.to_str().unwrap_or_default()) {
            return Err(Error::HostNotAllowed);
        }
        if request.uri().authority().is_some() {
            request.headers_mut().insert(header::HOST, host);
        }
        Ok(())
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

/// The host of a request by RFC 9112, section 3.2: `Host` stands there once, and the authority of an absolute target counts in its place.
fn asked_host(headers: &HeaderMap, target: &Uri, version: Version) -> Result<HeaderValue, Error> {
    let mut lines = headers.get_all(header::HOST).iter();
    let host = match (lines.next(), lines.next()) {
        (Some(_), Some(_)) => return Err(Error::Malformed("The request has more than one “Host” header.")),
        (None, _) if version >= Version::HTTP_11 => return Err(Error::Malformed("The request has no “Host” header.")),
        (host, _) => host.cloned().unwrap_or(HeaderValue::from_static("")),
    };
    let is_host = |text: &str| !text.contains('@') && text.parse::<Authority>().is_ok();
    // Empty where what is asked for has no host (RFC 9110, section 7.2).
    if !host.is_empty() && !host.to_str().is_ok_and(is_host) {
        return Err(Error::Malformed("The “Host” header is not a host, with or without a port."));
    }
    match target.authority().map(Authority::as_str) {
        None => Ok(host),
        Some(authority) if is_host(authority) => HeaderValue::from_str(authority).map_err(|error| Error::Internal(error.into())),
        Some(_) => Err(Error::Malformed("The request's target is not for a host alone.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(listen: &str, public_url: Option<&str>) -> HostAllowlist {
        HostAllowlist::of(&PublicConfig {
            listen: listen.parse().expect("an address"),
            public_url: public_url.map(str::to_owned),
            tls: None,
            trusted_proxies: Vec::new(),
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

    fn host(hosts: &[&'static [u8]], target: &'static str, version: Version) -> Option<String> {
        let values = hosts.iter().map(|host| HeaderValue::from_bytes(host).expect("a value"));
        let headers = values.map(|value| (header::HOST, value)).collect();
        let host = asked_host(&headers, &Uri::from_static(target), version).ok()?;
        Some(host.to_str().expect("ASCII").to_owned())
    }

    #[test]
    fn a_request_names_one_host() {
        let asks = |hosts: &[&'static [u8]]| host(hosts, "/", Version::HTTP_11);
        for one in ["db.example.org", "DB.example.org:8443", "127.0.0.1:1", "[::1]:8080", "under_score", ""] {
            assert_eq!(asks(&[one.as_bytes()]).as_deref(), Some(one));
        }
        assert_eq!(asks(&[]), None);
        assert_eq!(asks(&[b"a", b"b"]), None);
        assert_eq!(asks(&[b"a", b"a"]), None);
        for none in [b"a b".as_slice(), b"u@a", b"a/b", b"http://a", b"\xc3\xa9", b"a:b:c"] {
            assert_eq!(asks(&[none]), None, "{}", String::from_utf8_lossy(none));
        }
        assert_eq!(host(&[], "/", Version::HTTP_10).as_deref(), Some(""), "HTTP/1.0 knows no Host");
        assert_eq!(host(&[b"a", b"b"], "/", Version::HTTP_10), None);
    }

    #[test]
    fn an_absolute_target_says_which_host_is_asked_for() {
        let target = "http://evil.example.org:81/sign-in";
        assert_eq!(host(&[b"localhost"], target, Version::HTTP_11).as_deref(), Some("evil.example.org:81"));
        assert_eq!(host(&[], target, Version::HTTP_10).as_deref(), Some("evil.example.org:81"));
        assert_eq!(host(&[], target, Version::HTTP_11), None, "the header is needed all the same");
        assert_eq!(host(&[b"localhost"], "http://localhost@evil.example.org/", Version::HTTP_11), None);
    }
}
