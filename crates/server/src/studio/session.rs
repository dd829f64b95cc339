//! The session's cookie, and the person behind it.

use std::{convert::Infallible, sync::Arc};

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderValue, Method, header, request::Parts},
};
use dataflow_model::{Secret, settle::is_loopback};

use super::answer::PageError;
use crate::{
    api::extract::{admit, as_stranger},
    app::App,
    error::Error,
    listen::PeerAddress,
    ops::{
        Caller, Who,
        sessions::{self, Device},
    },
    throttle::Kind,
};

/// The caller of a page: a signed-in person. Without one, the answer leads to the sign-in page.
pub struct SignedIn(pub Caller);

impl FromRequestParts<Arc<App>> for SignedIn {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, PageError> {
        let nobody = |parts: &Parts| PageError::sign_in(&parts.uri, &parts.headers, parts.method == Method::GET);
        let Some(cookie) = read(&parts.headers) else { return Err(nobody(parts)) };
        let (address, now) = (PeerAddress::of(parts), app.clock.now());
        app.throttle.take_at(Kind::Address, address, now)?;
        match Box::pin(as_stranger(app, address, cookie, sessions::session(app, cookie))).await {
            Ok(person) => {
                let caller = Caller { address, ..Caller::of(Who::Person(person)) };
                admit(app, &caller, parts, now)?;
                Ok(Self(caller))
            }
            Err(Error::Unauthenticated) => Err(nobody(parts)),
            Err(other) => Err(other.into()),
        }
    }
}

/// What a request comes from; a reverse proxy's address where there is one.
pub struct OnDevice(pub Device);

impl<S: Send + Sync> FromRequestParts<S> for OnDevice {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let agent = parts.headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).map(str::to_owned);
        Ok(Self(Device { address: PeerAddress::of(parts), agent }))
    }
}

/// The secret of the session that a signed-in person asks in.
pub struct OwnCookie(pub Secret);

impl<S: Send + Sync> FromRequestParts<S> for OwnCookie {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, PageError> {
        read(&parts.headers).map(|cookie| Self(Secret::new(cookie.to_owned()))).ok_or(Error::Unauthenticated.into())
    }
}

/// The session's secret, as the request carries it.
#[must_use]
pub fn read(headers: &HeaderMap) -> Option<&str> {
    read_cookie(headers, &cookie_name(headers))
}

fn read_cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let cookies =
        headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(';'));
    cookies.filter_map(|pair| pair.trim().split_once('=')).find(|(found, _)| *found == name).map(|(_, value)| value)
}

/// The header that begins a session. The cookie ends with the browser; the server ends the session by its own clock.
pub fn set(headers: &HeaderMap, session: &Secret) -> Result<HeaderValue, Error> {
    header_value(&cookie_name(headers), session.expose_secret(), "SameSite=Strict")
}

/// The header that takes the cookie away.
pub fn clear(headers: &HeaderMap) -> Result<HeaderValue, Error> {
    header_value(&cookie_name(headers), "", "SameSite=Strict; Max-Age=0")
}

/// What this browser keeps of the sign-in with a provider that it began last.
#[must_use]
pub fn read_flow(headers: &HeaderMap) -> Option<&str> {
    read_cookie(headers, &flow_name(headers))
}

/// The header that has a browser keep it for as long as that may take. It comes back with the provider's answer, from another site.
pub fn set_flow(headers: &HeaderMap, flow: &Secret) -> Result<HeaderValue, Error> {
    header_value(&flow_name(headers), flow.expose_secret(), "SameSite=Lax; Max-Age=600")
}

pub fn clear_flow(headers: &HeaderMap) -> Result<HeaderValue, Error> {
    header_value(&flow_name(headers), "", "SameSite=Lax; Max-Age=0")
}

fn flow_name(headers: &HeaderMap) -> String {
    cookie_name(headers) + "-flow"
}

fn header_value(name: &str, value: &str, more: &str) -> Result<HeaderValue, Error> {
    let secure = if name.starts_with("__Host-") { "; Secure" } else { "" };
    HeaderValue::from_str(&format!("{name}={value}; Path=/; HttpOnly{secure}; {more}"))
        .map(|mut header| {
            header.set_sensitive(true);
            header
        })
        .map_err(|error| Error::Internal(error.into()))
}

/// `__Host-dataflow`, which browsers take over TLS alone. On loopback, where the server speaks plain HTTP and cookies are shared by
/// all ports, a plain name with the port; such a name is read on loopback only, so nobody on the network can plant one.
fn cookie_name(headers: &HeaderMap) -> String {
    loopback_port(headers).map_or_else(|| "__Host-dataflow".to_owned(), |port| format!("dataflow-{port}"))
}

/// The port, if the browser asked this machine itself: what it asks for elsewhere comes over TLS.
pub fn loopback_port(headers: &HeaderMap) -> Option<&str> {
    let authority = authority(headers).unwrap_or_default();
    let (host, port) = authority.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')).unwrap_or((authority, "80"));
    (is_loopback(host) && port.chars().all(|c| c.is_ascii_digit())).then_some(port)
}

/// The host and port that the browser asked for.
#[must_use]
pub fn authority(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::HOST).and_then(|host| host.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(host: &'static str, cookie: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::HOST, HeaderValue::from_static(host)), (header::COOKIE, HeaderValue::from_static(cookie))])
    }

    #[test]
    fn a_plain_cookie_counts_on_loopback_alone() {
        assert_eq!(read(&headers("127.0.0.1:8080", "a=b; dataflow-8080=x")), Some("x"));
        assert_eq!(read(&headers("[::1]:8080", "dataflow-8080=x")), Some("x"));
        assert_eq!(read(&headers("127.0.0.1:8081", "dataflow-8080=x")), None);
        assert_eq!(read(&headers("dataflow.example.org", "dataflow-80=x; dataflow-443=y")), None);
        assert_eq!(read(&headers("dataflow.example.org", "__Host-dataflow=x")), Some("x"));
    }

    #[test]
    fn the_cookie_is_out_of_reach_of_scripts_and_other_sites() {
        let set = set(&headers("dataflow.example.org", ""), &Secret::new("s".to_owned())).expect("a header");
        assert_eq!(set.to_str().ok(), Some("__Host-dataflow=s; Path=/; HttpOnly; Secure; SameSite=Strict"));
        assert!(set.is_sensitive());
    }
}
