//! Signing in with an OpenID Connect provider: how it is found and asked, and whether what it says is to be believed. What follows from
//! that for a person is `ops::provider`'s.
//!
//! <https://openid.net/specs/openid-connect-core-1_0.html>, by the authorization-code flow with PKCE (RFC 7636).

pub mod config;
mod exchange;
mod id_token;
mod keys;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};
use tokio::sync::Semaphore;
use url::Url;

pub use self::config::OidcConfig;
use self::{
    id_token::{Expected, TokenFault},
    keys::SigningKey,
};
use crate::{clock::SECOND, outbound::ANSWER_WITHIN};

/// Seconds by which the provider's clock may be off.
pub const LEEWAY: i64 = 60;
/// How long what the provider says of itself is believed without asking again.
const REMEMBERED: i64 = 3600 * SECOND;
/// A key that is not known is asked for no more often than this.
const KEYS_EVERY: i64 = 60 * SECOND;
/// Exchanges with the provider under way at once, each on a thread of its own, and how long one waits for a place.
const PLACES: usize = 8;
const PLACE_WITHIN: Duration = Duration::from_secs(5);

/// The provider, with what it told of itself.
pub struct Oidc {
    pub config: OidcConfig,
    /// Where it sends people back to.
    pub redirect_uri: String,
    known: Mutex<Known>,
    places: Arc<Semaphore>,
}

impl fmt::Debug for Oidc {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Oidc").field("issuer", &self.config.issuer).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Known {
    metadata: Option<(i64, Arc<Metadata>)>,
    keys: Option<(i64, Arc<Vec<SigningKey>>)>,
}

/// What the provider says of itself.
#[derive(Debug, Clone)]
struct Metadata {
    issuer: String,
    authorization_endpoint: Url,
    token_endpoint: Url,
    jwks_uri: Url,
    userinfo_endpoint: Option<Url>,
    /// Whether it takes the client's secret in the form alone.
    secret_in_form: bool,
    /// Whether it says beside each code who it is (RFC 9207).
    says_issuer: bool,
}

/// Why the provider lets nobody in; the texts are for the operator and hold nothing that the provider said but numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProviderFault {
    /// It does not answer, or not now.
    Away(String),
    /// What it answers cannot be taken, or it does not take this client.
    Wrong(String),
}

impl ProviderFault {
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Away(text) | Self::Wrong(text) => text,
        }
    }
}

/// What only one browser has, and what the provider is told of it.
#[derive(Debug)]
pub struct Asked<'a> {
    pub state: &'a str,
    pub nonce: &'a str,
    pub verifier: &'a str,
    /// Whether he has to show there once more who he is, though he is signed in there.
    pub again: bool,
}

/// Somebody whom the provider knows.
#[derive(Debug, Clone, PartialEq)]
pub struct Identity {
    pub subject: String,
    pub claims: Map<String, Value>,
}

impl Identity {
    /// When he last showed there who he is, in microseconds UTC, as far as the provider says so.
    #[must_use]
    pub fn authenticated_at(&self) -> Option<i64> {
        self.claims.get("auth_time").and_then(Value::as_i64)?.checked_mul(SECOND)
    }

    /// The e-mail address that the provider has verified.
    #[must_use]
    pub fn verified_email(&self) -> Option<&str> {
        let is_verified = self.claims.get("email_verified").and_then(Value::as_bool).unwrap_or_default();
        self.claims.get("email").and_then(Value::as_str).filter(|_| is_verified)
    }
}

impl Oidc {
    /// For a server that people open at `base`.
    #[must_use]
    pub fn new(config: OidcConfig, base: &str) -> Self {
        let redirect_uri = format!("{}/sign-in/callback", base.trim_end_matches('/'));
        Self { config, redirect_uri, known: Mutex::default(), places: Arc::new(Semaphore::new(PLACES)) }
    }

    /// The address at which the provider asks who somebody is.
    ///
    /// # Errors
    /// Those of finding the provider.
    pub async fn authorization_url(self: &Arc<Self>, asked: Asked<'_>, now: i64) -> Result<String, ProviderFault> {
        let metadata = self.work(move |oidc, deadline| oidc.metadata(now, deadline)).await?;
        let challenge = URL_SAFE_NO_PAD.encode(dataflow_vault::sha256(asked.verifier.as_bytes()));
        let mut url = metadata.authorization_endpoint.clone();
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.config.client_id)
            .append_pair("redirect_uri", &self.redirect_uri)
            .append_pair("scope", &self.config.scopes.join(" "))
            .append_pair("state", asked.state)
            .append_pair("nonce", asked.nonce)
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256");
        if asked.again {
            url.query_pairs_mut().append_pair("prompt", "login").append_pair("max_age", "0");
        }
        Ok(url.into())
    }

    /// Who signed in at the provider, for the code that it gave the browser. `issuer` is what it said of itself beside the code (RFC 9207).
    ///
    /// # Errors
    /// If it does not answer, or what it says does not hold.
    pub async fn identify(
        self: &Arc<Self>,
        (code, issuer): (String, Option<String>),
        (verifier, nonce): (String, String),
        now: i64,
    ) -> Result<Identity, ProviderFault> {
        self.work(move |oidc, deadline| {
            let metadata = oidc.metadata(now, deadline)?;
            let is_other = match issuer {
                Some(issuer) => issuer != oidc.config.issuer,
                None => metadata.says_issuer,
            };
            if is_other {
                return Err(ProviderFault::Wrong("the code came from another issuer".to_owned()));
            }
            let tokens = exchange::tokens(oidc, &metadata, (&code, &verifier), deadline)?;
            let token = oidc.verified(&tokens.id_token, &metadata, (&nonce, now), deadline)?;
            let mut identity = Identity { subject: token.subject, claims: token.claims };
            if oidc.lacks_claims(&identity) {
                exchange::add_user_info(oidc, &metadata, (&tokens, &mut identity), deadline)?;
            }
            Ok(identity)
        })
        .await
    }

    /// Finds the provider and its keys: whether it could let somebody in. Blocks for up to five seconds.
    ///
    /// # Errors
    /// What is wrong.
    pub fn look(&self, now: i64) -> Result<usize, ProviderFault> {
        let deadline = Instant::now() + ANSWER_WITHIN;
        let metadata = self.metadata(now, deadline)?;
        Ok(self.keys(&metadata, (now, REMEMBERED), deadline)?.len())
    }

    /// Whether the token says less than sign-in and mappings ask for, so that the provider may say it elsewhere.
    fn lacks_claims(&self, identity: &Identity) -> bool {
        let lacks = |claim: &str| config::member(&identity.claims, claim).is_none();
        lacks("email") || lacks("email_verified") || self.config.mappings.iter().any(|mapping| lacks(&mapping.claim))
    }

    fn verified(
        &self,
        token: &str,
        metadata: &Metadata,
        (nonce, now): (&str, i64),
        deadline: Instant,
    ) -> Result<id_token::IdToken, ProviderFault> {
        let expected =
            Expected { issuer: &self.config.issuer, client_id: &self.config.client_id, nonce, now: now.div_euclid(SECOND) };
        let wrong = |fault: &str| ProviderFault::Wrong(format!("its ID token is not taken: {fault}"));
        for no_older_than in [REMEMBERED, KEYS_EVERY] {
            let keys = self.keys(metadata, (now, no_older_than), deadline)?;
            match id_token::verify(token, &keys, expected) {
                Ok(token) => return Ok(token),
                // The provider may have a new key since.
                Err(TokenFault::UnknownKey) => {}
                Err(TokenFault::Wrong(fault)) => return Err(wrong(fault)),
            }
        }
        Err(wrong("it is signed with a key that the provider does not publish"))
    }

    fn metadata(&self, now: i64, deadline: Instant) -> Result<Arc<Metadata>, ProviderFault> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).metadata.clone();
        if let Some((_, metadata)) = known.filter(|(at, _)| now - at < REMEMBERED) {
            return Ok(metadata);
        }
        let metadata = Arc::new(exchange::metadata(self, deadline)?);
        self.known.lock().unwrap_or_else(PoisonError::into_inner).metadata = Some((now, metadata.clone()));
        Ok(metadata)
    }

    fn keys(
        &self,
        metadata: &Metadata,
        (now, no_older_than): (i64, i64),
        deadline: Instant,
    ) -> Result<Arc<Vec<SigningKey>>, ProviderFault> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).keys.clone();
        if let Some((_, keys)) = known.filter(|(at, _)| now - at < no_older_than) {
            return Ok(keys);
        }
        let keys = Arc::new(exchange::keys(self, metadata, deadline)?);
        self.known.lock().unwrap_or_else(PoisonError::into_inner).keys = Some((now, keys.clone()));
        Ok(keys)
    }

    /// Asks the provider on a thread where that may wait, for five seconds in all.
    async fn work<T: Send + 'static>(
        self: &Arc<Self>,
        ask: impl FnOnce(&Self, Instant) -> Result<T, ProviderFault> + Send + 'static,
    ) -> Result<T, ProviderFault> {
        let busy = |_| ProviderFault::Away("too many sign-ins wait for it at this moment".to_owned());
        let place = tokio::time::timeout(PLACE_WITHIN, self.places.clone().acquire_owned()).await.map_err(busy)?;
        let oidc = self.clone();
        let asked = tokio::task::spawn_blocking(move || {
            let answer = ask(&oidc, Instant::now() + ANSWER_WITHIN);
            drop(place);
            answer
        });
        asked.await.unwrap_or_else(|_| Err(ProviderFault::Away("asking it failed".to_owned())))
    }
}
