//! An OpenID Connect provider that says whatever a test wants: for what no real one can be made to do. The code that it takes is the nonce
//! that its token is to have, so that a test needs no browser.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::{Value, json};

use crate::{
    folder::TempDir,
    http::Answer,
    scripted::{Peer, Scripted},
    scripted_http::{Asked, read_request, send_answer},
    server::TestServer,
    session::Session,
    signer::Signer,
};

/// The client that it knows, and its secret.
pub const CLIENT: &str = "dataflow";
pub const CLIENT_SECRET: &str = "pl4nted-client-secret";
/// What it says where it should say something else: no page may show it.
pub const FOREIGN: &str = "pl4nted-foreign-words";

/// Claim, value, workspace and roles.
pub type Mapping<'m> = (&'m str, &'m str, &'m str, &'m [&'m str]);

/// Makes the ID token out of the claims that it should have.
type Forge = Arc<dyn Fn(Value) -> String + Send + Sync>;

/// What it answers in place of what it should.
#[derive(Debug, Clone)]
pub enum Instead {
    /// This status with this text.
    Status(&'static str, String),
    /// It takes a request and says nothing for eight seconds.
    Silence,
    /// It leads elsewhere.
    Redirect(String),
}

/// A listening provider.
#[derive(Debug)]
pub struct FakeOidc {
    server: Scripted,
    state: Arc<Mutex<State>>,
    folder: TempDir,
}

struct State {
    signer: Signer,
    /// Put over the claims of each token; `null` takes one away.
    claims: Value,
    user_info: Option<Value>,
    /// Put over the discovery document.
    metadata: Value,
    keys: Option<Value>,
    forge: Option<Forge>,
    instead: BTreeMap<&'static str, Instead>,
    asked: Vec<String>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("State").field("claims", &self.claims).finish_non_exhaustive()
    }
}

impl State {
    fn subject(&self) -> Value {
        self.claims.get("sub").cloned().unwrap_or_else(|| json!("u-1"))
    }
}

/// Seconds since 1970.
#[expect(clippy::disallowed_methods, reason = "a provider has a clock of its own")]
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_secs()).expect("in time")
}

/// Puts the members of one object over those of another.
fn over(below: &mut Value, above: &Value) {
    let (Some(below), Some(above)) = (below.as_object_mut(), above.as_object()) else { return };
    for (name, value) in above {
        if value.is_null() {
            below.remove(name);
        } else {
            below.insert(name.clone(), value.clone());
        }
    }
}

impl FakeOidc {
    /// # Panics
    /// If no port is free.
    pub fn start() -> Self {
        let state = Arc::new(Mutex::new(State {
            signer: Signer::new("ES256", "first"),
            claims: json!({}),
            user_info: None,
            metadata: json!({}),
            keys: None,
            forge: None,
            instead: BTreeMap::new(),
            asked: Vec::new(),
        }));
        let shared = state.clone();
        let server = Scripted::start(move |peer| answer(peer, &shared));
        Self { server, state, folder: TempDir::new() }
    }

    pub fn issuer(&self) -> String {
        format!("http://127.0.0.1:{}", self.server.port())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("not poisoned")
    }

    /// What its tokens say besides, or instead: `null` takes a claim away.
    pub fn says(&self, claims: Value) {
        self.state().claims = claims;
    }

    pub fn says_of_user(&self, claims: Option<Value>) {
        self.state().user_info = claims;
    }

    /// What its discovery document says instead.
    pub fn describes_itself(&self, members: Value) {
        self.state().metadata = members;
    }

    /// What it publishes as its keys; `None`: those that it has.
    pub fn publishes(&self, keys: Option<Value>) {
        self.state().keys = keys;
    }

    /// Signs with another key from now on, which it publishes.
    pub fn signs_with(&self, signer: Signer) {
        self.state().signer = signer;
    }

    pub fn signer(&self) -> Signer {
        self.state().signer.clone()
    }

    /// Has its ID tokens made by something else.
    pub fn forges(&self, forge: impl Fn(Value) -> String + Send + Sync + 'static) {
        self.state().forge = Some(Arc::new(forge));
    }

    /// Answers at a path with something else.
    pub fn answers(&self, path: &'static str, instead: Instead) {
        self.state().instead.insert(path, instead);
    }

    /// Is honest again, whatever it was told to be.
    pub fn is_honest(&self) {
        let mut state = self.state();
        (state.claims, state.user_info, state.metadata, state.keys, state.forge) = (json!({}), None, json!({}), None, None);
        state.instead.clear();
    }

    /// How often it was asked at a path.
    pub fn asked(&self, path: &str) -> usize {
        self.state().asked.iter().filter(|asked| *asked == path).count()
    }

    /// A file for `dataflow serve --oidc`.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn file(&self, mappings: &[Mapping<'_>]) -> String {
        let secret = self.folder.join("secret");
        fs::write(&secret, format!("{CLIENT_SECRET}\n")).expect("own folder");
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("own file");
        let text = oidc_file(&self.issuer(), CLIENT, Some(&secret), mappings);
        let path = self.folder.join("oidc.toml");
        fs::write(&path, text).expect("own folder");
        path.display().to_string()
    }
}

/// What `dataflow serve --oidc` reads; mappings are claim, value, workspace and roles.
pub fn oidc_file(issuer: &str, client: &str, secret: Option<&PathBuf>, mappings: &[Mapping<'_>]) -> String {
    let mut text = format!("label = \"Example\"\nissuer = \"{issuer}\"\nclient_id = \"{client}\"\n");
    if let Some(secret) = secret {
        let _ = writeln!(text, "client_secret_file = \"{}\"", secret.display());
    }
    for (claim, value, workspace, roles) in mappings {
        let _ = writeln!(
            text,
            "[[mappings]]\nclaim = \"{claim}\"\nvalue = \"{value}\"\nworkspace = \"{workspace}\"\nroles = {roles:?}"
        );
    }
    text
}

fn answer(peer: &mut Peer, state: &Mutex<State>) -> io::Result<()> {
    let asked = read_request(peer)?;
    let path = asked.target.split('?').next().unwrap_or_default().to_owned();
    let mut state = state.lock().expect("not poisoned");
    state.asked.push(path.clone());
    if let Some(instead) = state.instead.get(path.as_str()).cloned() {
        drop(state);
        return match instead {
            Instead::Status(status, text) => send_answer(peer, status, &[], &text),
            Instead::Redirect(to) => send_answer(peer, "302 Found", &[("location", &to)], ""),
            Instead::Silence => {
                thread::sleep(Duration::from_secs(8));
                Ok(())
            }
        };
    }
    let issuer = format!("http://{}", asked.header("host"));
    let (status, text) = match path.as_str() {
        "/.well-known/openid-configuration" => {
            let mut metadata = json!({
                "issuer": issuer, "authorization_endpoint": format!("{issuer}/authorize"), "token_endpoint": format!("{issuer}/token"),
                "jwks_uri": format!("{issuer}/keys"), "userinfo_endpoint": format!("{issuer}/userinfo"),
            });
            over(&mut metadata, &state.metadata);
            ("200 OK", metadata.to_string())
        }
        "/keys" => ("200 OK", state.keys.clone().unwrap_or_else(|| json!({"keys": [state.signer.jwk()]})).to_string()),
        "/token" => token(&asked, &issuer, &state),
        "/userinfo" => ("200 OK", state.user_info.clone().unwrap_or_else(|| json!({"sub": state.subject()})).to_string()),
        _ => ("404 Not Found", "{}".to_owned()),
    };
    drop(state);
    send_answer(peer, status, &[], &text)
}

fn token(asked: &Asked, issuer: &str, state: &State) -> (&'static str, String) {
    let body = String::from_utf8_lossy(&asked.body).into_owned();
    let field = |name: &str| {
        let pair = body.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}=")));
        percent_decode_str(&pair.unwrap_or_default().replace('+', " ")).decode_utf8_lossy().into_owned()
    };
    let known = format!("Basic {}", base64(&format!("{CLIENT}:{CLIENT_SECRET}")));
    let sound = field("grant_type") == "authorization_code"
        && field("code_verifier").len() == 43
        && field("redirect_uri").ends_with("/sign-in/callback");
    if asked.header("authorization") != known || !sound {
        return ("401 Unauthorized", json!({"error": "invalid_client", "error_description": FOREIGN}).to_string());
    }
    let time = now();
    let mut claims = json!({
        "iss": issuer, "aud": CLIENT, "sub": "u-1", "nonce": field("code"), "iat": time, "exp": time + 300,
        "email": "grace@example.org", "email_verified": true,
    });
    over(&mut claims, &state.claims);
    let id_token = match &state.forge {
        Some(forge) => forge(claims),
        None => state.signer.sign(&claims),
    };
    ("200 OK", json!({"id_token": id_token, "access_token": "pl4nted-access-token", "token_type": "Bearer"}).to_string())
}

fn base64(text: &str) -> String {
    use ::base64::{Engine as _, engine::general_purpose::STANDARD};
    STANDARD.encode(text)
}

/// A sign-in that a browser has begun.
#[derive(Debug, Clone)]
pub struct Trip {
    pub state: String,
    pub nonce: String,
    pub cookie: String,
    browser: Session,
}

impl Trip {
    /// Begins one that leads to `next`.
    ///
    /// # Panics
    /// If it does not lead to a provider.
    pub fn begin(server: &TestServer, next: &str) -> Self {
        let next = utf8_percent_encode(next, NON_ALPHANUMERIC);
        let nobody = Session::nobody(server);
        Self::of(&nobody.get(&format!("/sign-in/provider?next={next}")).expect(303).clone(), nobody)
    }

    /// What an answer that leads to the provider began: by a redirect, or a page that goes on by itself.
    ///
    /// # Panics
    /// If it does not.
    pub fn of(answer: &Answer, browser: Session) -> Self {
        let text = answer.text().replace("&#38;", "&").replace("&amp;", "&");
        let url = match answer.header("location") {
            "" => text.split("0;url=").nth(1).and_then(|rest| rest.split('"').next()).expect("it goes on").to_owned(),
            location => location.to_owned(),
        };
        let of = |name: &str| {
            let pair = url.split(['?', '&']).find_map(|pair| pair.strip_prefix(&format!("{name}=")));
            pair.unwrap_or_else(|| panic!("{name} in {url}")).to_owned()
        };
        assert_eq!(of("code_challenge_method"), "S256");
        let cookie = cookie(answer, "-flow").expect("it is kept by the browser");
        Self { state: of("state"), nonce: of("nonce"), cookie, browser }
    }

    /// The same in a browser that has another cookie for it.
    #[must_use]
    pub fn with(&self, cookie: &str) -> Self {
        Self { cookie: cookie.to_owned(), ..self.clone() }
    }

    /// Comes back from the provider with a code for this trip.
    pub fn end(&self) -> Answer {
        self.end_with(&self.nonce, &self.state)
    }

    /// Comes back to a browser in which `session` is signed in. Its cookie does not come along from the provider's site, but from the page
    /// that this leads to.
    ///
    /// # Panics
    /// If it leads nowhere.
    pub fn end_in(&self, session: &Session) -> Answer {
        let came = self.end();
        let text = came.expect(200).text().replace("&#38;", "&");
        let next = text.split("0;url=").nth(1).and_then(|rest| rest.split('"').next()).expect("it goes on");
        session.and(&self.cookie).get(next)
    }

    /// Comes back with this code and this state.
    pub fn end_with(&self, code: &str, state: &str) -> Answer {
        self.browser.with(&self.cookie).get(&format!("/sign-in/callback?code={code}&state={state}"))
    }
}

/// The session that an answer begins.
pub fn session(answer: &Answer, server: &TestServer) -> Option<Session> {
    cookie(answer, "").map(|cookie| Session::nobody(server).with(&cookie))
}

/// A cookie that an answer sets, with a value, by the end of its name.
fn cookie(answer: &Answer, end: &str) -> Option<String> {
    let set = answer.header("set-cookie").lines().filter_map(|line| line.split(';').next());
    let mut found = set.filter(|pair| {
        pair.split_once('=')
            .is_some_and(|(name, value)| !value.is_empty() && name.strip_prefix("dataflow-80").is_some_and(|rest| rest == end))
    });
    found.next().map(ToOwned::to_owned)
}
