//! A provider that lies, stalls, or is somebody else, and browsers that bring what is not theirs: nobody is signed in, nothing is stored, and
//! nothing foreign is shown.

use dataflow_tests::{
    fake_oidc::{CLIENT_SECRET, FOREIGN, FakeOidc, Instead, Mapping, Trip, now, session},
    http::Answer,
    server::ADMIN_EMAIL,
    session::Session,
    signer::{Signer, encoded, unsigned},
    stored::{Engine, Stored},
};
use serde_json::{Value, json};

const MAPPINGS: &[Mapping<'_>] = &[("groups", "engineers", "default", &["editor"])];

struct Trial {
    provider: FakeOidc,
    stored: Stored,
    before: String,
    tried: usize,
}

impl Trial {
    fn start() -> Self {
        let provider = FakeOidc::start();
        let stored = Stored::start_with(Engine::Sqlite, &["--oidc", &provider.file(MAPPINGS)]);
        let mut trial = Self { provider, stored, before: String::new(), tried: 0 };
        trial.before = trial.state();
        trial
    }

    fn state(&self) -> String {
        let tables = ["people", "members", "identities", "sessions", "tokens", "audit_events", "idempotency_keys"];
        let counts = tables.map(|table| format!("SELECT count(*) FROM {table}"));
        self.stored.sql(&counts.join("; "))
    }

    /// The answer has this status, begins no session, shows nothing foreign, and nothing was stored.
    fn refused(&mut self, what: &str, answer: &Answer, status: u16) {
        assert_eq!(answer.status, status, "{what}: {}", answer.text());
        assert!(session(answer, &self.stored.server).is_none(), "{what}: {:?}", answer.headers);
        assert!(
            !answer.text().contains("pl4nted") && !format!("{:?}", answer.headers).contains("pl4nted"),
            "{what}: {}",
            answer.text()
        );
        assert_eq!(self.state(), self.before, "{what} left something");
        self.tried += 1;
    }

    /// A provider that cannot even be led to.
    fn not_found(&mut self, what: &str, arrange: impl Fn(&FakeOidc), status: u16) {
        arrange(&self.provider);
        let answer = Session::nobody(&self.stored.server).get("/sign-in/provider");
        self.refused(what, &answer, status);
        assert_eq!(answer.header("location"), "", "{what}");
        self.provider.is_honest();
    }

    /// A provider that one comes back from.
    fn comes_back(&mut self, what: &str, arrange: impl Fn(&FakeOidc), status: u16) {
        let trip = Trip::begin(&self.stored.server, "/");
        self.provider.says(json!({"groups": ["engineers"]}));
        arrange(&self.provider);
        let answer = trip.end();
        self.refused(what, &answer, status);
        self.provider.is_honest();
    }

    /// An honest provider whose token says this, or is made so.
    fn says(&mut self, what: &str, claims: Value, status: u16) {
        self.comes_back(what, |provider| provider.says(claims.clone()), status);
    }

    fn forged(&mut self, what: &str, forge: impl Fn(Value) -> String + Send + Sync + Clone + 'static) {
        self.comes_back(what, |provider| provider.forges(forge.clone()), 502);
    }
}

const DISCOVERY: &str = "/.well-known/openid-configuration";

fn instead(at: &'static str, answer: Instead) -> impl Fn(&FakeOidc) {
    move |provider: &FakeOidc| provider.answers(at, answer.clone())
}

fn big(status: &'static str) -> Instead {
    Instead::Status(status, format!("{{\"issuer\": \"{}\"}}", FOREIGN.repeat(4_000)))
}

fn html() -> Instead {
    Instead::Status("200 OK", format!("<html><script>{FOREIGN}</script></html>"))
}

#[test]
fn a_hostile_provider_signs_nobody_in() {
    let mut trial = Trial::start();
    discovery(&mut trial);
    keys(&mut trial);
    let trip = Trip::begin(&trial.stored.server, "/");
    trial.provider.says(json!({"groups": ["engineers"]}));
    session(&trip.end(), &trial.stored.server).expect("an honest one signs somebody in");
    trial.provider.is_honest();
    trial.before = trial.state();
    tokens(&mut trial);
    claims(&mut trial);
    people(&mut trial);
    browsers(&mut trial);
    trial.provider.says(json!({"groups": ["engineers"]}));
    session(&Trip::begin(&trial.stored.server, "/").end(), &trial.stored.server).expect("and still does");
    let log = trial.stored.server.log();
    for planted in [CLIENT_SECRET, "pl4nted", "panicked"] {
        assert!(!log.contains(planted), "{planted}: {log}");
    }
    assert!(trial.tried >= 60, "{}", trial.tried);
    println!(
        "promise: hostile sign-in providers and browsers: {} ways, 0 signed in, 0 stored, 0 foreign words shown",
        trial.tried
    );
}

/// While none is known.
fn discovery(trial: &mut Trial) {
    let elsewhere = format!("{}/elsewhere", trial.provider.issuer());
    trial.not_found("discovery: redirect", instead(DISCOVERY, Instead::Redirect(elsewhere)), 502);
    trial.not_found("discovery: html", instead(DISCOVERY, html()), 502);
    trial.not_found("discovery: too large", instead(DISCOVERY, big("200 OK")), 502);
    trial.not_found("discovery: absent", instead(DISCOVERY, Instead::Status("404 Not Found", FOREIGN.into())), 502);
    trial.not_found("discovery: failing", instead(DISCOVERY, Instead::Status("500 Oh", FOREIGN.into())), 503);
    for (what, members) in [
        ("another issuer", json!({"issuer": "https://pl4nted.example.org"})),
        ("no token endpoint", json!({"token_endpoint": null})),
        ("a token endpoint in the clear", json!({"token_endpoint": "http://pl4nted.example.org/token"})),
        ("keys in the clear", json!({"jwks_uri": "http://pl4nted.example.org/keys"})),
        ("people led into the clear", json!({"authorization_endpoint": "http://pl4nted.example.org/"})),
        ("people led into a script", json!({"authorization_endpoint": "javascript:alert(1)"})),
        ("an endpoint that is no URL", json!({"userinfo_endpoint": FOREIGN})),
    ] {
        trial.not_found(what, |provider| provider.describes_itself(members.clone()), 502);
    }
}

/// While none are known.
fn keys(trial: &mut Trial) {
    trial.comes_back("keys: html", instead("/keys", html()), 502);
    trial.comes_back("keys: too large", instead("/keys", big("200 OK")), 502);
    trial.comes_back("keys: failing", instead("/keys", Instead::Status("503 Oh", FOREIGN.into())), 503);
    trial.comes_back("keys: no set", |provider| provider.publishes(Some(json!({"key": FOREIGN}))), 502);
}

fn tokens(trial: &mut Trial) {
    let signer = trial.provider.signer();
    let other = Signer::new("ES256", &signer.id);
    let rsa = Signer::new("RS256", &signer.id);
    trial.forged("alg none", |claims| unsigned(&claims));
    let of = signer.clone();
    trial.forged("alg none under the key's name", move |claims| {
        let token = of.sign_under(&json!({"alg": "none", "kid": of.id}), &claims);
        format!("{}.", token.rsplit_once('.').expect("three parts").0)
    });
    let of = signer.clone();
    trial.forged("HS256 with the public key", move |claims| of.mac_under_public_key(&claims));
    trial.forged("another key of the same name", move |claims| other.sign(&claims));
    let of = rsa.clone();
    trial.forged("a key of another kind under the same name", move |claims| of.sign(&claims));
    trial.forged("its key given along", move |claims| {
        rsa.sign_under(
            &json!({"alg": "RS256", "kid": rsa.id, "jwk": rsa.jwk(), "jku": "http://127.0.0.1:1/", "x5u": "http://127.0.0.1:1/"}),
            &claims,
        )
    });
    let of = signer.clone();
    trial.forged("the key by another algorithm", move |claims| of.sign_under(&json!({"alg": "RS256", "kid": of.id}), &claims));
    let unknown = Signer::new("ES256", "unknown");
    trial.forged("an unknown key", move |claims| unknown.sign(&claims));
    let of = signer.clone();
    trial.forged("an extension that has to be known", move |claims| {
        of.sign_under(&json!({"alg": "ES256", "kid": of.id, "crit": ["x"], "x": 1}), &claims)
    });
    let of = signer.clone();
    trial.forged("claims changed after signing", move |claims| {
        let token = of.sign(&claims);
        let mut claims = claims;
        claims["groups"] = json!(["engineers", "owners"]);
        let parts: Vec<_> = token.split('.').collect();
        format!("{}.{}.{}", parts[0], encoded(claims.to_string()), parts[2])
    });
    let of = signer.clone();
    trial.forged("no signature", move |claims| format!("{}.", of.sign(&claims).rsplit_once('.').expect("three parts").0));
    let of = signer;
    trial.forged("a part too many", move |claims| format!("{}.x", of.sign(&claims)));
    trial.forged("words", |_| FOREIGN.to_owned());
    trial.forged("nothing", |_| String::new());
    trial.comes_back("token: html", instead("/token", html()), 502);
    trial.comes_back("token: too large", instead("/token", big("200 OK")), 502);
    trial.comes_back("token: redirect", instead("/token", Instead::Redirect("http://169.254.169.254/".into())), 502);
    trial.comes_back("token: slow", instead("/token", Instead::Silence), 503);
    let refusal = json!({"error": "invalid_grant", "error_description": FOREIGN}).to_string();
    trial.comes_back("token: refused", instead("/token", Instead::Status("400 Bad Request", refusal)), 502);
    let empty = json!({"access_token": FOREIGN}).to_string();
    trial.comes_back("token: none", instead("/token", Instead::Status("200 OK", empty)), 502);
}

fn with(mut claims: Value, more: &Value) -> Value {
    claims.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    claims
}

fn claims(trial: &mut Trial) {
    let time = now();
    for (what, claims) in [
        ("another issuer", json!({"iss": "https://pl4nted.example.org"})),
        ("another issuer by a slash", json!({"iss": format!("{}/", trial.provider.issuer())})),
        ("no issuer", json!({"iss": null})),
        ("another audience", json!({"aud": "pl4nted"})),
        ("no audience", json!({"aud": null})),
        ("for several, and nobody in particular", json!({"aud": ["dataflow", "pl4nted"]})),
        ("given to another", json!({"azp": "pl4nted"})),
        ("another nonce", json!({"nonce": "pl4nted"})),
        ("no nonce", json!({"nonce": null})),
        ("expired", json!({"exp": time - 120})),
        ("without an end", json!({"exp": null})),
        ("from the future", json!({"iat": time + 600, "exp": time + 900})),
        ("without a time", json!({"iat": null})),
        ("not yet", json!({"nbf": time + 600})),
        ("no subject", json!({"sub": null})),
        ("a subject with a line's end", json!({"sub": "u\npl4nted"})),
        ("a subject that is too long", json!({"sub": "pl4nted".repeat(40)})),
    ] {
        trial.says(what, with(json!({"groups": ["engineers"]}), &claims), 502);
    }
}

/// Honest providers, and people who are not to come in.
fn people(trial: &mut Trial) {
    let new = |more: Value| with(json!({"sub": "u-9", "email": "eve@example.org", "groups": ["engineers"]}), &more);
    for (what, claims) in [
        ("no address", new(json!({"email": null}))),
        ("an address that is not verified", new(json!({"email_verified": false}))),
        ("an address of which nothing is said", new(json!({"email_verified": null}))),
        ("an address that is verified in words", new(json!({"email_verified": "true"}))),
        ("what is no address", new(json!({"email": "pl4nted"}))),
        ("an address with a line's end", new(json!({"email": "eve@example.org\r\nBcc: pl4nted@example.org"}))),
        ("the address of somebody with a password", new(json!({"email": ADMIN_EMAIL}))),
        ("the same in capitals", new(json!({"email": ADMIN_EMAIL.to_uppercase()}))),
        ("the address of somebody who came before", new(json!({"email": "grace@example.org"}))),
        ("nobody's group", new(json!({"groups": ["pl4nted"]}))),
        ("who says that he is the owner", new(json!({"groups": [], "owner": true, "is_owner": true, "roles": ["admin"]}))),
    ] {
        trial.says(what, claims, 403);
    }
    let of_another =
        json!({"sub": "u-1", "email": "eve@example.org", "email_verified": true, "groups": ["engineers"]}).to_string();
    trial.comes_back(
        "what is said of another user",
        |provider| {
            provider.says(json!({"sub": "u-9", "email": null}));
            provider.answers("/userinfo", Instead::Status("200 OK", of_another.clone()));
        },
        502,
    );
}

/// What a browser brings back that is not its own.
fn browsers(trial: &mut Trial) {
    let server = &trial.stored.server;
    let nobody = Session::nobody(server);
    let (own, victim) = (Trip::begin(server, "/"), Trip::begin(server, "/"));
    let path = |query: &str| format!("/sign-in/callback?{query}");
    let mine = own.cookie.clone();
    let with = |cookie: &str, query: &str| nobody.with(cookie).get(&path(query));
    let (state, code) = (own.state.clone(), own.nonce.clone());
    let answers = [
        ("a code without a sign-in", with("", &format!("code={code}&state={state}")), 400),
        ("another's cookie", with(&victim.cookie, &format!("code={code}&state={state}")), 400),
        ("another's state", with(&mine, &format!("code={code}&state={}", victim.state)), 400),
        ("no state", with(&mine, &format!("code={code}")), 400),
        ("an empty state", with(&mine, &format!("code={code}&state=")), 400),
        ("no code", with(&mine, &format!("state={state}")), 403),
        ("a stolen code", with(&mine, &format!("code={}&state={state}", victim.nonce)), 502),
        (
            "another issuer's answer",
            with(&mine, &format!("code={code}&state={state}&iss=https%3A%2F%2Fpl4nted.example.org")),
            502,
        ),
        ("an error in foreign words", with(&mine, &format!("error=pl4nted&error_description=pl4nted&state={state}")), 403),
        ("a cookie that is none", with("dataflow-80-flow=pl4nted.pl4nted", &format!("code={code}&state={state}")), 400),
        ("nothing", with(&mine, ""), 400),
    ];
    for (what, answer, status) in answers {
        trial.refused(what, &answer, status);
    }
}

/// As the same address comes again and again.
#[test]
fn whoever_tries_too_often_waits() {
    let provider = FakeOidc::start();
    let arguments = ["--oidc", &provider.file(MAPPINGS), "--trusted-proxy", "127.0.0.1"];
    let stored = Stored::start_with(Engine::Sqlite, &arguments);
    let from = |address: &str| {
        let path = "/sign-in/callback?code=x&state=y";
        Session::nobody(&stored.server).request_from("GET", path, address).send().status
    };
    let tried: Vec<_> = (0..31).map(|_| from("203.0.113.7")).collect();
    assert!(tried[..30].iter().all(|status| *status == 400), "{tried:?}");
    assert_eq!(tried[30], 429);
    assert_eq!(from("203.0.113.8"), 400, "another address");
    // It is the same count as that of passwords.
    let body = "email=admin%40example.org&password=correct+horse+battery+staple";
    let form = "application/x-www-form-urlencoded";
    let sign_in = |address: &str| {
        let request =
            Session::nobody(&stored.server).request_from("POST", "/sign-in", address).header("origin", "http://127.0.0.1");
        request.body(form, body).send().status
    };
    assert_eq!((sign_in("203.0.113.7"), sign_in("203.0.113.8")), (429, 303));
}
