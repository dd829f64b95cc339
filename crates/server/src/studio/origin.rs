//! The rule against forged requests: a change comes from a page of this server, and the browser says so.

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, Method, Response, header},
    middleware::Next,
    response::IntoResponse,
};

use super::{
    answer::PageError,
    session::{authority, loopback_port},
};
use crate::error::Error;

/// Refuses a change whose `Origin` is not the host that was asked. Browsers send `Origin` with every POST; where an old one does
/// not, `Sec-Fetch-Site` must say the same. What tells neither is no browser with a session.
///
/// A page of the same host that came without TLS is somebody's on the way, but for this machine's own.
pub async fn same_origin(request: Request, next: Next) -> Response<Body> {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    if reads || is_ours(request.headers()) {
        return next.run(request).await;
    }
    PageError::from(Error::OriginNotAllowed).into_response()
}

fn is_ours(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).map(|value: &axum::http::HeaderValue| value.to_str().unwrap_or("null"));
    match text(header::ORIGIN) {
        Some(origin) => origin
            .split_once("://")
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("https") || loopback_port(headers).is_some())
            .is_some_and(|(_, from)| authority(headers).is_some_and(|host| host.eq_ignore_ascii_case(from))),
        None => headers.get("sec-fetch-site").is_some_and(|site| site == "same-origin"),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn only_a_page_of_the_same_host_and_port_may_change() {
        let asks = |origin: Option<&'static str>| {
            let mut headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_static("dataflow.example.org:8443"))]);
            headers.extend(origin.map(|origin| (header::ORIGIN, HeaderValue::from_static(origin))));
            is_ours(&headers)
        };
        assert!(asks(Some("https://dataflow.example.org:8443")) && asks(Some("https://DATAFLOW.example.org:8443")));
        for other in [
            "null",
            "",
            "https://dataflow.example.org",
            "https://evil.example.org:8443",
            "https://dataflow.example.org:8443.evil.org",
            "http://dataflow.example.org:8443",
            "ws://dataflow.example.org:8443",
        ] {
            assert!(!asks(Some(other)), "{other}");
        }
        assert!(!asks(None));
        let same = [
            (header::HOST, HeaderValue::from_static("h")),
            ("sec-fetch-site".parse().expect("a name"), HeaderValue::from_static("same-origin")),
        ];
        assert!(is_ours(&HeaderMap::from_iter(same)));
        let here = [
            (header::HOST, HeaderValue::from_static("127.0.0.1:8080")),
            (header::ORIGIN, HeaderValue::from_static("http://127.0.0.1:8080")),
        ];
        assert!(is_ours(&HeaderMap::from_iter(here)), "on this machine there is no TLS");
    }
}
