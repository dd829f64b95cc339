//! One HTTP request and its answer, within a deadline. Knows nothing of connections.

use std::{
    cell::RefCell,
    sync::Arc,
    time::{Duration, Instant},
};

use rustls::crypto::aws_lc_rs;
use ureq::{
    Agent,
    http::{self, HeaderMap, Method, StatusCode},
    tls::{Certificate, RootCerts, TlsConfig, TlsProvider},
};
use zeroize::Zeroizing;

use crate::process::Owned;

/// Largest answer that is read. The server caps a connection at 64 KiB; lists are paged.
const ANSWER_MAX: u64 = 4 * 1024 * 1024;
/// An idle socket older than this is not used again. Below the server's own idle deadline.
const IDLE_MAX: Duration = Duration::from_secs(10);

thread_local! {
    /// One agent per thread, so that no lock is taken. A forked child replaces what it inherited: two processes on one socket get
    /// each other's answers (20 of 97 children, when it was tried).
    static AGENT: RefCell<Option<Owned<Agent>>> = const { RefCell::new(None) };
}

/// What is sent. The body may hold a password and is wiped by its owner.
pub(crate) struct Request<'a> {
    pub method: Method,
    pub url: &'a str,
    pub headers: Vec<(&'static str, Zeroizing<String>)>,
    pub body: Option<&'a [u8]>,
    pub connect_within: Duration,
    pub deadline: Instant,
    /// Used for https alone.
    pub tls: Option<&'a TlsConfig>,
}

pub(crate) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Zeroizing<Vec<u8>>,
}

/// Sends and reads the whole answer, whatever its status. Follows no redirect: the token goes to the named server alone.
pub(crate) fn send(request: &Request<'_>) -> Result<Answer, ureq::Error> {
    let left = request.deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(ureq::Error::Timeout(ureq::Timeout::Global));
    }
    let mut builder = http::Request::builder().method(request.method.clone()).uri(request.url);
    for (name, value) in &request.headers {
        builder = builder.header(*name, value.as_str());
    }
    let agent = agent();
    let mut response = match request.body {
        Some(body) => agent.run(configure(&agent, builder.body(body)?, request, left))?,
        None => agent.run(configure(&agent, builder.body(())?, request, left))?,
    };
    let body = Zeroizing::new(response.body_mut().with_config().limit(ANSWER_MAX).read_to_vec()?);
    Ok(Answer { status: response.status(), headers: std::mem::take(response.headers_mut()), body })
}

fn configure<B: ureq::AsSendBody>(
    agent: &Agent,
    request: http::Request<B>,
    limits: &Request<'_>,
    left: Duration,
) -> http::Request<B> {
    let mut config =
        agent.configure_request(request).timeout_connect(Some(limits.connect_within.min(left))).timeout_global(Some(left));
    if let Some(tls) = limits.tls {
        config = config.tls_config(tls.clone());
    }
    config.build()
}

fn agent() -> Agent {
    AGENT.with_borrow_mut(|slot| match slot {
        Some(agent) if agent.is_of_this_process() => Agent::clone(agent),
        _ => {
            let agent = new_agent();
            *slot = Some(Owned::new(agent.clone()));
            agent
        }
    })
}

fn new_agent() -> Agent {
    Agent::config_builder()
        .user_agent(concat!("dataflow-client/", env!("CARGO_PKG_VERSION")))
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .no_delay(true)
        .max_idle_connections_per_host(1)
        .max_idle_age(IDLE_MAX)
        .build()
        .new_agent()
}

/// TLS under the system's certificate authorities (or those in `SSL_CERT_FILE`). Reads them from disk, some milliseconds.
pub(crate) fn system_tls() -> TlsConfig {
    let found = rustls_native_certs::load_native_certs();
    let roots: Vec<_> = found.certs.iter().map(|root| Certificate::from_der(root).to_owned()).collect();
    TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(Arc::new(aws_lc_rs::default_provider()))
        .root_certs(RootCerts::Specific(Arc::new(roots)))
        .build()
}

/// What rustls said against the server. The HTTP library hands on what it met in the handshake inside an error of input or output.
pub(crate) fn tls_refusal(error: &ureq::Error) -> Option<&rustls::Error> {
    match error {
        ureq::Error::Rustls(error) => Some(error),
        ureq::Error::Io(error) => error.get_ref()?.downcast_ref(),
        _ => None,
    }
}

/// What is wrong with the server's certificate and what to do; `None` if it was something else that ended the request.
pub(crate) fn certificate_problem(error: &ureq::Error) -> Option<&'static str> {
    use rustls::CertificateError::{
        BadSignature, Expired, ExpiredContext, NotValidForName, NotValidForNameContext, NotValidYet, NotValidYetContext,
        UnknownIssuer,
    };
    let rustls::Error::InvalidCertificate(problem) = tls_refusal(error)? else { return None };
    Some(match problem {
        // Signed by another key than that of the trusted authority of this name.
        UnknownIssuer | BadSignature => {
            "no authority that this machine trusts has issued it. Name a PEM file with the authority's certificate in SSL_CERT_FILE, or have it added to the certificates of this machine"
        }
        NotValidForName | NotValidForNameContext { .. } => {
            "it is for another host. Use the name that it was issued for in the URL, or give the server one for this name"
        }
        Expired | ExpiredContext { .. } => {
            "it has expired. Give the server a new one; if it is in order, set this machine's clock"
        }
        NotValidYet | NotValidYetContext { .. } => "it is not valid yet. Check this machine's clock",
        _ => "it is damaged, revoked or not made for a server. Give the server another one",
    })
}

/// Why a request got no answer, for a person. Never more than is in this table: an error's own text may quote what was sent.
pub(crate) fn describe(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve) => "connecting took too long".to_owned(),
        ureq::Error::Timeout(_) => "the answer took too long".to_owned(),
        ureq::Error::HostNotFound => "its host name is not known".to_owned(),
        ureq::Error::ConnectionFailed => "no connection could be made".to_owned(),
        _ if tls_refusal(error).is_some() => "no secure connection could be agreed on".to_owned(),
        ureq::Error::Tls(_) => "no secure connection could be agreed on".to_owned(),
        ureq::Error::Io(error) => error.kind().to_string(),
        ureq::Error::BodyExceedsLimit(_) => "the answer is too large".to_owned(),
        _ => "the connection broke, or what answers does not speak HTTP".to_owned(),
    }
}
