//! The client: names in, credentials out; and any other request of the API for the shell.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use dataflow_model::{ConnectionName, Workflow};
use ureq::{
    http::{HeaderMap, Method, StatusCode, header},
    tls::TlsConfig,
};
use zeroize::Zeroizing;

use crate::{
    ClientConfig, ClientError, Problem, Resolved,
    cache::{Decision, Said, Slot, Want, jittered, teller},
    process::PerProcess,
    transport::{self, Answer, Request, certificate_problem, describe, tls_refusal},
};

/// How often a request that met a broken or refused connection is tried while nothing is held: a server that is being
/// restarted answers again within a second.
const ATTEMPTS: u32 = 3;
const FIRST_RETRY: Duration = Duration::from_millis(150);

/// Resolves names of connections of one workspace of one server. Share one among all threads.
pub struct Client {
    config: Arc<ClientConfig>,
    tls: Option<TlsConfig>,
    slots: PerProcess<Mutex<HashMap<ConnectionName, Arc<Mutex<Slot>>>>>,
}

impl Client {
    /// Makes no request. For an https server it reads the system's certificate authorities.
    pub fn new(config: impl Into<Arc<ClientConfig>>) -> Self {
        let config = config.into();
        let tls = config.url.is_https().then(transport::system_tls);
        Self { config, tls, slots: PerProcess::new() }
    }

    pub fn config(&self) -> &ClientConfig {
        &self.config
    }

    /// What `name` resolves to, no older than the freshness time; while the server is away, the last good answer of up to an hour.
    /// Returns within 5 s.
    ///
    /// # Errors
    /// [`ClientError::NotFound`], [`ClientError::Deleted`], [`ClientError::Forbidden`] and [`ClientError::Unauthenticated`] as the
    /// server says; [`ClientError::Unavailable`] if it is away and nothing is held.
    pub fn credentials(&self, name: &str) -> Result<Arc<Resolved>, ClientError> {
        self.look_up(name, Want::Fresh, self.config.workflow.as_ref())
    }

    /// As [`Client::credentials`], told for a workflow other than the configured one.
    pub fn credentials_for(&self, name: &str, workflow: &Workflow) -> Result<Arc<Resolved>, ClientError> {
        self.look_up(name, Want::Fresh, Some(workflow))
    }

    /// What is held, if it is fresh: never waits for the network or another thread. For callers that must not block, such as an
    /// event loop; on `None` they call [`Client::credentials`] elsewhere.
    pub fn fresh(&self, name: &str) -> Option<Arc<Resolved>> {
        let slots = self.slots.get().try_lock().ok()?;
        let slot = slots.get(name)?.try_lock().ok()?;
        slot.fresh(Instant::now(), &self.config.timing)
    }

    /// Whether what is held is fresh and of this fingerprint; as [`Client::fresh`], it never waits.
    pub fn is_current(&self, name: &str, fingerprint: &str) -> bool {
        self.fresh(name).is_some_and(|held| held.fingerprint() == fingerprint)
    }

    /// The same, and the server was told within the freshness time that this workflow uses it.
    pub fn is_current_for(&self, name: &str, fingerprint: &str, workflow: &Workflow) -> bool {
        let is_current = || {
            let slots = self.slots.get().try_lock().ok()?;
            let slot = slots.get(name)?.try_lock().ok()?;
            slot.fresh_for(&teller(Some(workflow)), Instant::now(), &self.config.timing)
        };
        is_current().is_some_and(|held| held.fingerprint() == fingerprint)
    }

    /// Asks the server even if the answer held is fresh: for a database that has just refused it. At most 5 times in 5 s a name;
    /// beyond that, what is held is returned.
    ///
    /// # Errors
    /// As [`Client::credentials`].
    pub fn refresh(&self, name: &str) -> Result<Arc<Resolved>, ClientError> {
        self.look_up(name, Want::Now, self.config.workflow.as_ref())
    }

    /// As [`Client::refresh`], told for a workflow other than the configured one.
    pub fn refresh_for(&self, name: &str, workflow: &Workflow) -> Result<Arc<Resolved>, ClientError> {
        self.look_up(name, Want::Now, Some(workflow))
    }

    fn look_up(&self, name: &str, want: Want, workflow: Option<&Workflow>) -> Result<Arc<Resolved>, ClientError> {
        let asked = Instant::now();
        let name = ConnectionName::new(name).map_err(|rule| ClientError::InvalidName { name: shortened(name), rule })?;
        let (slot, teller) = (self.slot(&name), teller(workflow));
        // Held while the server is asked: that is what makes the others wait for this request instead of sending their own.
        let mut slot = lock(&slot);
        let began = Instant::now();
        match slot.decide(want, &teller, (asked, began), &self.config.timing) {
            Decision::Settled(outcome) => outcome,
            Decision::Ask(held) => {
                let said = self.ask(&name, (held, want), workflow, began);
                slot.settle(said, teller, (began, Instant::now()), &self.config.timing)
            }
        }
    }

    fn slot(&self, name: &ConnectionName) -> Arc<Mutex<Slot>> {
        let mut slots = lock(self.slots.get());
        if let Some(slot) = slots.get(name) {
            return Arc::clone(slot);
        }
        Arc::clone(slots.entry(name.clone()).or_default())
    }

    fn ask(
        &self,
        name: &ConnectionName,
        (held, want): (Option<Arc<Resolved>>, Want),
        workflow: Option<&Workflow>,
        began: Instant,
    ) -> Said {
        let url = self.url(&format!("connections/{name}/credentials"));
        let mut headers = self.headers(workflow);
        if let Some(held) = &held {
            headers.push(("If-None-Match", Zeroizing::new(format!("\"{}\"", held.fingerprint()))));
            if want == Want::Now {
                // A structured field's “true” (RFC 9651): the database did not take it.
                headers.push(("Dataflow-Failed", Zeroizing::new("?1".to_owned())));
            }
        }
        let request = Request { headers, ..self.request_of(Method::GET, &url, began, self.config.timing.whole) };
        let attempts = if held.is_some() { 2 } else { ATTEMPTS };
        match Self::send_again(&request, attempts) {
            Ok(answer) => self.understand(name, held, &answer),
            Err(error) => Said::Away { error: self.unavailable(error), retry_after: None },
        }
    }

    /// The first retry is for a kept socket that the server has closed; it follows at once.
    fn send_again(request: &Request<'_>, attempts: u32) -> Result<Answer, ureq::Error> {
        let mut attempt = 1;
        loop {
            match transport::send(request) {
                Err(error) if attempt < attempts && is_broken_connection(&error) => {
                    let pause = if attempt == 1 { Duration::ZERO } else { jittered(FIRST_RETRY.saturating_mul(attempt)) };
                    if Instant::now() + pause >= request.deadline {
                        return Err(error);
                    }
                    thread::sleep(pause);
                    attempt += 1;
                }
                outcome => return outcome,
            }
        }
    }

    fn understand(&self, name: &ConnectionName, held: Option<Arc<Resolved>>, answer: &Answer) -> Said {
        let status = answer.status;
        if let (StatusCode::NOT_MODIFIED, Some(held)) = (status, held) {
            return match version(&answer.headers) {
                Some(version) if version != held.version() => Said::New(held.at_version(version)),
                _ => Said::Same(held),
            };
        }
        match status {
            StatusCode::OK => match Resolved::read(&self.shown_url(), &answer.body) {
                Ok(resolved) => Said::New(resolved),
                Err(error) => Said::Away { error, retry_after: None },
            },
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => self.away(answer),
            _ if status.is_server_error() => self.away(answer),
            // A proxy's sign-in page or its own “404 Not Found”, say: the server itself never redirects, and each of its refusals
            // has a code.
            _ if !status.is_client_error() || Problem::read(&answer.body).code.is_none() => {
                Said::Away { error: ClientError::NotDataflow { url: self.shown_url() }, retry_after: None }
            }
            _ => Said::Refused(self.refusal(name.as_str(), answer)),
        }
    }

    fn away(&self, answer: &Answer) -> Said {
        let problem = Problem::read(&answer.body);
        let error = ClientError::Unavailable {
            url: self.shown_url(),
            reason: format!("it answered with status {}{problem}", answer.status.as_u16()),
            source: None,
        };
        Said::Away { error, retry_after: retry_after(&answer.headers) }
    }

    fn refusal(&self, name: &str, answer: &Answer) -> ClientError {
        let (url, name) = (self.shown_url(), name.to_owned());
        let problem = Box::new(Problem::read(&answer.body));
        match answer.status {
            StatusCode::UNAUTHORIZED => self.refused_token(problem),
            StatusCode::FORBIDDEN => ClientError::Forbidden { name, problem },
            StatusCode::NOT_FOUND => ClientError::NotFound { name, workspace: self.config.workspace.to_string(), url },
            StatusCode::GONE => ClientError::Deleted { name, tombstone: problem.tombstone },
            status => ClientError::Refused { url, status: status.as_u16(), problem },
        }
    }

    fn refused_token(&self, problem: Box<Problem>) -> ClientError {
        let origin = self.config.token_origin.clone();
        if looks_like_a_token(self.config.token.expose_secret()) {
            ClientError::Unauthenticated { url: self.shown_url(), origin, problem }
        } else {
            ClientError::NotAToken { origin }
        }
    }

    /// Any request of the workspace's API. Sent once, never from the cache; the answer is returned whatever its status, but for 401.
    ///
    /// # Errors
    /// [`ClientError::Unavailable`] if no answer came within the request's time; [`ClientError::Unauthenticated`] or
    /// [`ClientError::NotAToken`] if the server does not accept the token.
    pub fn request(&self, request: &ApiRequest<'_>) -> Result<ApiAnswer, ClientError> {
        let url = self.url(request.path.trim_start_matches('/'));
        let mut headers = self.headers(self.config.workflow.as_ref());
        for (name, value) in &request.headers {
            headers.push((name, Zeroizing::new((*value).to_owned())));
        }
        if request.body.is_some() {
            headers.push(("Content-Type", Zeroizing::new("application/json".to_owned())));
        }
        let sent = Request {
            headers,
            body: request.body,
            ..self.request_of(request.method.clone(), &url, Instant::now(), request.within)
        };
        let answer = transport::send(&sent).map_err(|error| self.unavailable(error))?;
        if answer.status == StatusCode::UNAUTHORIZED {
            return Err(self.refused_token(Box::new(Problem::read(&answer.body))));
        }
        let etag = answer.headers.get(header::ETAG).and_then(|etag| etag.to_str().ok()).map(str::to_owned);
        Ok(ApiAnswer { status: answer.status.as_u16(), etag, body: answer.body })
    }

    fn request_of<'a>(&'a self, method: Method, url: &'a str, began: Instant, within: Duration) -> Request<'a> {
        Request {
            method,
            url,
            headers: Vec::new(),
            body: None,
            connect_within: self.config.timing.connect,
            deadline: began + within,
            tls: self.tls.as_ref(),
        }
    }

    fn headers(&self, workflow: Option<&Workflow>) -> Vec<(&'static str, Zeroizing<String>)> {
        let mut headers = vec![
            ("Authorization", Zeroizing::new(format!("Bearer {}", self.config.token.expose_secret()))),
            ("Accept", Zeroizing::new("application/json".to_owned())),
        ];
        if let Some(workflow) = workflow {
            let host = workflow.host.as_ref().or(self.config.host.as_ref()).cloned();
            let told = Workflow { host, ..workflow.clone() };
            headers.push(("Dataflow-Workflow", Zeroizing::new(told.header())));
        }
        headers
    }

    fn url(&self, path: &str) -> String {
        format!("{}/api/v1/workspaces/{}/{path}", self.config.url, self.config.workspace)
    }

    fn shown_url(&self) -> String {
        self.config.url.to_string()
    }

    fn unavailable(&self, error: ureq::Error) -> ClientError {
        let url = self.shown_url();
        match certificate_problem(&error) {
            Some(problem) => ClientError::CertificateRefused { url, problem },
            None => ClientError::Unavailable { url, reason: describe(&error), source: Some(Arc::new(error)) },
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Client")
            .field("url", &self.config.url.as_str())
            .field("workspace", &self.config.workspace.as_str())
            .finish_non_exhaustive()
    }
}

/// A request of the workspace's API: `ApiRequest::new("PATCH", "connections/sales").json(body).header("If-Match", etag)`.
pub struct ApiRequest<'a> {
    method: Method,
    path: &'a str,
    body: Option<&'a [u8]>,
    headers: Vec<(&'static str, &'a str)>,
    within: Duration,
}

impl<'a> ApiRequest<'a> {
    /// `path` is below `/api/v1/workspaces/{workspace}/` and already percent-encoded.
    pub fn new(method: Method, path: &'a str) -> Self {
        Self { method, path, body: None, headers: Vec::new(), within: Duration::from_secs(30) }
    }

    /// JSON, as bytes: the caller wipes them if they hold a secret.
    #[must_use]
    pub fn json(mut self, body: &'a [u8]) -> Self {
        self.body = Some(body);
        self
    }

    #[must_use]
    pub fn header(mut self, name: &'static str, value: &'a str) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The longest time for the whole answer; 30 s unless said otherwise.
    #[must_use]
    pub fn within(mut self, time: Duration) -> Self {
        self.within = time;
        self
    }
}

/// The answer to an [`ApiRequest`]. The body is wiped when dropped.
pub struct ApiAnswer {
    pub status: u16,
    pub etag: Option<String>,
    pub body: Zeroizing<Vec<u8>>,
}

impl ApiAnswer {
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The problem document of an answer that is no success.
    pub fn problem(&self) -> Problem {
        Problem::read(&self.body)
    }
}

/// Whether a text that was refused has at least a token's shape, of which the server keeps the rule: `dfc_`, a kind, and 49 letters
/// and digits.
fn looks_like_a_token(text: &str) -> bool {
    let parts = text.strip_prefix("dfc_").and_then(|rest| rest.split_once('_'));
    parts
        .is_some_and(|(kind, body)| !kind.is_empty() && body.len() == 49 && body.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// A poisoned lock only means that another thread panicked between two whole states.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_broken_connection(error: &ureq::Error) -> bool {
    let settled = matches!(error, ureq::Error::Timeout(_) | ureq::Error::BodyExceedsLimit(_) | ureq::Error::HostNotFound);
    !settled && tls_refusal(error).is_none()
}

fn version(headers: &HeaderMap) -> Option<u64> {
    headers.get("dataflow-connection-version")?.to_str().ok()?.parse().ok()
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

fn shortened(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(60).collect()
}
