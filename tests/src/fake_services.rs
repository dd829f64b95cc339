//! Fakes of services that are asked over HTTP, for those of which no real server can be had. Each is strict about what it takes and cites
//! what it follows: one that lets any password in would prove nothing.

mod api;
mod cases;
mod clouds;
mod databases;
mod platforms;
mod query_engines;
mod registries;
mod search;
mod signatures;

use std::io::{self, Write as _};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

pub use self::{
    api::{api, oauth_endpoint, vault},
    cases::{ServiceCase, SignIn, service_case, service_cases},
    clouds::{SAS, account_key, athena, aws, azure, google, google_key, s3, wasb},
    databases::{clickhouse, influxdb},
    platforms::{git, kubernetes, neo4j, slack, snowflake},
    query_engines::{databricks, druid, presto, trino},
    registries::{docker_registry, package_index, schema_registry, token_service},
    search::{elasticsearch, opensearch},
    signatures::RsaPair,
};
use crate::{
    scripted::{Peer, Scripted},
    scripted_http::{Asked, read_request},
    tls::Identity,
};

/// Whom the fakes know.
pub const USER: &str = "anna";
/// The password, the token and the key that they take.
pub const PASSWORD: &str = "planted-secret-of-a-service";

/// Whether a fake looks at passwords.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    Guarded,
    /// Whoever comes is let in, with any password or none, in the way in which that service does it.
    Open,
}

/// What a fake answers, whether or not it looks at passwords.
pub type Answers = fn(&Asked, Door) -> Reply;

/// An answer.
#[derive(Debug, Clone)]
pub struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: String,
}

impl Reply {
    pub fn new(status: u16, body: impl Into<String>) -> Self {
        Self { status, headers: Vec::new(), body: body.into() }
    }

    /// JSON, as its type says.
    pub fn json(status: u16, body: &Value) -> Self {
        Self::new(status, body.to_string()).with("content-type", "application/json")
    }

    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// What is asked, as fakes look at it.
impl Asked {
    /// Whether the sign-in is that of [`USER`] by the scheme Basic.
    pub fn is_basic(&self) -> bool {
        self.header("authorization") == format!("Basic {}", STANDARD.encode(format!("{USER}:{PASSWORD}")))
    }

    /// Whether it is the token, under this scheme.
    pub fn is_token(&self, scheme: &str) -> bool {
        self.header("authorization") == format!("{scheme} {PASSWORD}")
    }

    /// The path, without its query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The method and path, to be matched.
    pub fn line(&self) -> (&str, &str) {
        (&self.method, self.path())
    }

    /// The value of this name in the query, as it is escaped.
    pub fn query(&self, name: &str) -> Option<&str> {
        let (_, query) = self.target.split_once('?')?;
        query.split('&').find_map(|part| part.split_once('=').filter(|(key, _)| *key == name).map(|(_, value)| value))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A listening fake, which answers each request as its service would.
#[derive(Debug)]
pub struct FakeService(Scripted);

impl FakeService {
    /// On clear HTTP, or with this certificate. `answer` is given the port, too.
    ///
    /// # Panics
    /// If no port is free.
    pub fn start(identity: Option<Identity>, answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        Self(Scripted::start(move |peer| {
            if let Some(identity) = &identity {
                peer.begin_tls(identity)?;
            }
            loop {
                let asked = match read_request(peer) {
                    Ok(asked) => asked,
                    Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                        return send(peer, &Asked::default(), &Reply::new(400, "Bad Request"));
                    }
                    Err(error) => return Err(error),
                };
                send(peer, &asked, &answer(&asked))?;
            }
        }))
    }

    pub fn port(&self) -> u16 {
        self.0.port()
    }

    /// Whether any client has sent this, inside TLS or outside of it.
    pub fn has_heard(&self, text: &str) -> bool {
        self.0.has_heard(text)
    }

    /// How often any client has sent this.
    pub fn count(&self, text: &str) -> usize {
        String::from_utf8_lossy(&self.0.heard()).matches(text).count()
    }
}

fn send(peer: &mut Peer, asked: &Asked, reply: &Reply) -> io::Result<()> {
    let mut out = Vec::new();
    write!(out, "HTTP/1.1 {} Whatever\r\ncontent-length: {}\r\n", reply.status, reply.body.len())?;
    for (name, value) in &reply.headers {
        write!(out, "{name}: {value}\r\n")?;
    }
    out.extend_from_slice(b"\r\n");
    if asked.method != "HEAD" {
        out.extend_from_slice(reply.body.as_bytes());
    }
    peer.send(&out)
}
