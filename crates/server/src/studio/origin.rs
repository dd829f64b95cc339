//! The rule against forged requests: a change comes from a page of this server, and the browser says so.

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, Method, Response, header},
    middleware::Next,
    response::IntoResponse,
};

use super::{answer::PageError, session::authority};
use crate::error::Error;

/// Refuses a change whose `Origin` is not the host that was asked. Browsers send `Origin` with every POST; where an old one does
/// not, `Sec-Fetch-Site` must say the same. What tells neither is no browser with a session.
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
        ] {
            assert!(!asks(Some(other)), "{other}");
        }
        assert!(!asks(None));
        let same = [
            (header::HOST, HeaderValue::from_static("h")),
            ("sec-fetch-site".parse().expect("a name"), HeaderValue::from_static("same-origin")),
        ];
        assert!(is_ours(&HeaderMap::from_iter(same)));
    }
}
