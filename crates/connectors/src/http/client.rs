//! Asks one host over HTTP, through the guarded dialer and the same TLS as everything else here.

use std::error::Error as _;

use bytes::Bytes;
use dataflow_model::{Cause, StepName, TestError};
use http_body_util::Full;
use hyper::{
    Method, Uri,
    header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, HOST, HeaderName, HeaderValue, USER_AGENT},
};

use super::{
    Answer, Credentials,
    line::Line,
    tap::{First, Kind, Tap},
};
use crate::{
    Dialer, Steps, Target, causes,
    dialer::{Checked, Duplex},
    scrub::Scrubber,
    tls::{self, TlsMode, TlsSettings},
};

const AGENT: &str = concat!("dataflow/", env!("CARGO_PKG_VERSION"));

/// What is asked, without the sign-in.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    method: Method,
    path: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
    credentials: Credentials,
}

impl Request {
    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self::of(Method::GET, path)
    }

    pub(crate) fn of(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), headers: Vec::new(), body: Bytes::new(), credentials: Credentials::default() }
    }

    pub(crate) fn post(path: impl Into<String>, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let request = Self { body: body.into(), ..Self::of(Method::POST, path) };
        request.header(CONTENT_TYPE, HeaderValue::from_static(content_type))
    }

    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// A header whose value stands in the connection's field of this path; nothing if that is empty.
    pub(crate) fn header_of(self, name: &'static str, target: &Target, field: &str) -> Result<Self, TestError> {
        match target.text(field) {
            "" => Ok(self),
            value => {
                let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| causes::unspeakable(field))?;
                Ok(self.header(HeaderName::from_static(name), value))
            }
        }
    }

    pub(crate) fn method(&self) -> &str {
        self.method.as_str()
    }

    /// With its query.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    pub(crate) fn body(&self) -> &[u8] {
        &self.body
    }

    pub(crate) fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
    }

    /// The same request at another path.
    pub(crate) fn at(self, path: String) -> Self {
        Self { path, ..self }
    }

    pub(crate) fn with(self, credentials: Credentials) -> Self {
        Self { credentials, ..self }
    }
}

/// A conversation with one host.
pub(crate) struct Client<'a> {
    pub(crate) target: &'a Target,
    pub(crate) dialer: &'a Dialer,
    pub(crate) scrubber: Scrubber,
    pub(crate) step: StepName,
    product: &'static str,
    tls: TlsSettings<'a>,
    authority: HeaderValue,
    checked: Checked,
    first: First,
    line: Option<Line>,
    asked: String,
}

impl<'a> Client<'a> {
    /// The steps `resolve`, `reach` and `secure`.
    pub(crate) async fn connect(
        target: &'a Target,
        dialer: &'a Dialer,
        product: &'static str,
        steps: &mut Steps,
    ) -> Result<Self, TestError> {
        let (host, tls) = (target.text("host"), TlsSettings::of(target));
        let port = target.port(usual_port(target));
        let (stream, checked) = dialer.dial_checked(host, port, steps).await?;
        let authority = authority(target).ok_or_else(|| causes::unspeakable("host"))?;
        let (first, step, scrubber) = (First::default(), StepName::Secure, Scrubber::of(target));
        let mut client =
            Self { target, dialer, scrubber, step, product, tls, authority, checked, first, line: None, asked: String::new() };
        match client.tls.mode() {
            TlsMode::Disable => steps.skip(StepName::Secure, "no TLS".to_owned()),
            _ => steps.begin(StepName::Secure),
        }
        let (line, agreed) = client.begin_line(stream).await?;
        if let Some(agreed) = agreed {
            steps.secured(agreed);
        }
        client.line = Some(line);
        Ok(client)
    }

    pub(crate) fn begin(&mut self, step: StepName, steps: &mut Steps) {
        self.step = step;
        steps.begin(step);
    }

    /// Refuses unless nobody on the way can read the sign-in, or an admin allowed that.
    pub(crate) fn require_unheard(&self) -> Result<(), TestError> {
        if self.target.is_unheard(self.tls.is_verified()) || self.target.text("extra.insecure_auth") == "password" {
            return Ok(());
        }
        Err(causes::sign_in_would_be_heard())
    }

    /// The path of what was asked last.
    pub(crate) fn asked_path(&self) -> &str {
        &self.asked
    }

    /// Asks, and reads the answer, whatever its status is.
    pub(crate) async fn ask(&mut self, request: &Request) -> Result<Answer, TestError> {
        self.asked.clone_from(&request.path);
        let kept = self.line.take().filter(Line::is_open);
        let mut line = match kept {
            Some(line) => line,
            None => self.reach_again().await?,
        };
        let asked = match line.ask(self.written(request)?).await {
            // The server may end a connection in the moment in which it is used again.
            Err(error) if line.is_used && !error.is_parse() => {
                line = self.reach_again().await?;
                line.ask(self.written(request)?).await
            }
            asked => asked,
        };
        let (answer, is_reusable) = asked.map_err(|error| self.fault(&error))?;
        self.line = is_reusable.then_some(line);
        Ok(answer)
    }

    async fn reach_again(&mut self) -> Result<Line, TestError> {
        let stream = self.dialer.reach(self.target.text("host"), &self.checked).await?;
        self.first = First::default();
        self.begin_line(stream).await.map(|(line, _)| line)
    }

    /// TLS where it is asked for, and what was agreed on.
    async fn begin_line(&self, stream: Box<dyn Duplex>) -> Result<(Line, Option<tls::Agreed>), TestError> {
        let stream = Tap::new(stream, self.first.clone());
        let (stream, agreed): (Box<dyn Duplex>, _) = if self.tls.mode() == TlsMode::Disable {
            (Box::new(stream), None)
        } else {
            let host = self.target.text("host");
            let secured = tls::secure(&self.tls, self.dialer.system_roots(), host, self.product, stream).await;
            let secured = secured.map_err(|error| match (error.code, self.first.kind()) {
                (Cause::NotThatDatabase, Kind::Http) => causes::plain_http(),
                (Cause::NotThatDatabase, Kind::Named(what)) => causes::another_service(self.product, what),
                _ => error,
            })?;
            let agreed = tls::agreed(&secured);
            (Box::new(secured), Some(agreed))
        };
        let line = Line::begin(stream).await.map_err(|error| self.fault(&error))?;
        Ok((line, agreed))
    }

    fn written(&self, request: &Request) -> Result<hyper::Request<Full<Bytes>>, TestError> {
        let path = Uri::try_from(request.path.as_str()).ok().filter(|uri| uri.authority().is_none());
        let path = path.ok_or_else(|| causes::unspeakable("extra.path"))?;
        let mut written = hyper::Request::new(Full::new(request.body.clone()));
        *written.method_mut() = request.method.clone();
        *written.uri_mut() = path;
        let headers = written.headers_mut();
        headers.insert(HOST, self.authority.clone());
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, */*;q=0.5"));
        // Nothing is unpacked here.
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        for (name, value) in request.headers.iter().chain(request.credentials.headers()) {
            headers.insert(name.clone(), value.clone());
        }
        Ok(written)
    }

    fn fault(&self, error: &hyper::Error) -> TestError {
        let io = error.source().and_then(|source| source.downcast_ref::<std::io::Error>());
        if let Some(refused) = io.and_then(|io| tls::refused_by_server(io, &self.tls)) {
            return refused;
        }
        match self.first.kind() {
            Kind::Tls if self.tls.mode() == TlsMode::Disable => causes::https_demanded(),
            Kind::Named(what) if self.tls.mode() == TlsMode::Disable => causes::another_service(self.product, what),
            _ if error.is_parse_too_large() => causes::too_long(),
            _ if error.is_parse() => causes::not_that_database(self.product),
            _ => causes::connection_lost(self.step),
        }
    }
}

fn usual_port(target: &Target) -> u16 {
    if TlsSettings::of(target).mode() == TlsMode::Disable { 80 } else { 443 }
}

/// The header `Host`.
pub(crate) fn authority(target: &Target) -> Option<HeaderValue> {
    let (host, usual) = (target.text("host"), usual_port(target));
    let port = Some(target.port(usual)).filter(|port| *port != usual);
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let host = if bare.contains(':') { format!("[{bare}]") } else { bare.to_owned() };
    let text = port.map_or_else(|| host.clone(), |port| format!("{host}:{port}"));
    HeaderValue::from_str(&text).ok()
}
