//! What is asked of the provider: its discovery document, its keys, the tokens for a code, and what it says of a user.

use std::time::Instant;

use dataflow_model::Secret;
use serde::Deserialize;
use serde_json::{Map, Value};
use ureq::{Body, http::Response};
use url::{Url, form_urlencoded};
use zeroize::Zeroizing;

use super::{Identity, Metadata, Oidc, ProviderFault, keys, keys::SigningKey};
use crate::outbound::{self, SecretFileError};

/// What a code was exchanged for.
#[derive(Deserialize)]
pub(super) struct Tokens {
    pub id_token: String,
    access_token: Option<Secret>,
}

/// What of the discovery document counts (OpenID Connect Discovery 1.0, section 3).
#[derive(Deserialize)]
struct Discovered {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    userinfo_endpoint: Option<String>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

impl Discovered {
    fn read(self) -> Option<Metadata> {
        let url = |text: &str| Url::parse(text).ok();
        let methods = self.token_endpoint_auth_methods_supported;
        let takes = |method: &str| methods.as_ref().is_some_and(|methods| methods.iter().any(|own| own == method));
        Some(Metadata {
            issuer: self.issuer,
            authorization_endpoint: url(&self.authorization_endpoint)?,
            token_endpoint: url(&self.token_endpoint)?,
            jwks_uri: url(&self.jwks_uri)?,
            userinfo_endpoint: match self.userinfo_endpoint {
                Some(text) => Some(url(&text)?),
                None => None,
            },
            secret_in_form: takes("client_secret_post") && !takes("client_secret_basic"),
            says_issuer: self.authorization_response_iss_parameter_supported,
        })
    }
}

/// An error by RFC 6749, section 5.2.
#[derive(Deserialize)]
struct Refusal {
    error: String,
}

fn wrong(text: impl Into<String>) -> ProviderFault {
    ProviderFault::Wrong(text.into())
}

/// The discovery document (OpenID Connect Discovery 1.0, section 4).
pub(super) fn metadata(oidc: &Oidc, deadline: Instant) -> Result<Metadata, ProviderFault> {
    let url = format!("{}/.well-known/openid-configuration", oidc.config.issuer.trim_end_matches('/'));
    let (status, body) = get(oidc, &url, None, deadline)?;
    if status != 200 {
        return Err(no_answer("its discovery document", status));
    }
    let metadata = serde_json::from_slice::<Discovered>(&body).ok().and_then(Discovered::read);
    let metadata = metadata.ok_or_else(|| wrong("what answers has no discovery document of OpenID Connect; check the issuer"))?;
    if metadata.issuer != oidc.config.issuer {
        return Err(wrong(
            "it calls itself by another issuer than is configured; copy the issuer exactly, the slash at its end too",
        ));
    }
    let endpoints = [&metadata.authorization_endpoint, &metadata.token_endpoint, &metadata.jwks_uri];
    if !endpoints.into_iter().chain(&metadata.userinfo_endpoint).all(outbound::is_private) {
        return Err(wrong("it names an address that would be asked over the network in the clear"));
    }
    Ok(metadata)
}

pub(super) fn keys(oidc: &Oidc, metadata: &Metadata, deadline: Instant) -> Result<Vec<SigningKey>, ProviderFault> {
    let (status, body) = get(oidc, metadata.jwks_uri.as_str(), None, deadline)?;
    if status != 200 {
        return Err(no_answer("its keys", status));
    }
    keys::read(&body).map_err(|_| wrong("what it names as its keys is no set of keys"))
}

/// Gives the code back, with what proves that it was given to this server and this browser.
pub(super) fn tokens(
    oidc: &Oidc,
    metadata: &Metadata,
    (code, verifier): (&str, &str),
    deadline: Instant,
) -> Result<Tokens, ProviderFault> {
    let config = &oidc.config;
    let secret = secret(oidc)?;
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "authorization_code")
        .append_pair("code", code)
        .append_pair("redirect_uri", &oidc.redirect_uri)
        .append_pair("code_verifier", verifier);
    let mut request = outbound::agent(config.tls.clone(), deadline)
        .post(metadata.token_endpoint.as_str())
        .header("accept", "application/json")
        .content_type("application/x-www-form-urlencoded");
    match &secret {
        Some(secret) if metadata.secret_in_form => {
            form.append_pair("client_id", &config.client_id).append_pair("client_secret", secret);
        }
        Some(secret) => request = request.header("authorization", basic(&config.client_id, secret).as_str()),
        None => {
            form.append_pair("client_id", &config.client_id);
        }
    }
    let form = Zeroizing::new(form.finish());
    let (status, body) = answer(request.send(form.as_bytes()))?;
    if status == 200 {
        return serde_json::from_slice(&body).map_err(|_| wrong("it gave no ID token for the code"));
    }
    let error = serde_json::from_slice::<Refusal>(&body).map(|refusal| refusal.error).unwrap_or_default();
    Err(match error.as_str() {
        "invalid_client" | "unauthorized_client" => wrong("it does not know this client, or its secret is another one"),
        "invalid_grant" => {
            wrong("it does not take the code: it was used, or is too old, or for another address than is registered")
        }
        _ => no_answer("a token for the code", status),
    })
}

/// HTTP Basic over both parts as a form has them (RFC 6749, section 2.3.1).
fn basic(client_id: &str, secret: &str) -> Zeroizing<String> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let part = |text: &str| Zeroizing::new(form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>());
    let (client_id, secret) = (part(client_id), part(secret));
    let pair = Zeroizing::new(format!("{}:{}", *client_id, *secret));
    Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())))
}

fn secret(oidc: &Oidc) -> Result<Option<Zeroizing<String>>, ProviderFault> {
    let Some(path) = &oidc.config.client_secret_file else { return Ok(None) };
    let read = outbound::read_secret(path).map_err(|error| {
        let path = path.display();
        wrong(match error {
            SecretFileError::Unread(error) => format!("the client_secret_file {path} cannot be read ({error})"),
            SecretFileError::OpenToAll(mode) => {
                format!("the client_secret_file {path} is open to every user (mode {mode:03o}); run: chmod o= {path}")
            }
        })
    });
    read.map(Some)
}

/// Adds what the provider says of the user beside the token (OpenID Connect Core 1.0, section 5.3). What was signed counts first, and of
/// another subject nothing counts.
pub(super) fn add_user_info(
    oidc: &Oidc,
    metadata: &Metadata,
    (tokens, identity): (&Tokens, &mut Identity),
    deadline: Instant,
) -> Result<(), ProviderFault> {
    let (Some(url), Some(token)) = (&metadata.userinfo_endpoint, &tokens.access_token) else { return Ok(()) };
    let (status, body) = get(oidc, url.as_str(), Some(token.expose_secret()), deadline)?;
    if status != 200 {
        return Err(no_answer("what it knows of the user", status));
    }
    let said: Map<String, Value> = serde_json::from_slice(&body).map_err(|_| wrong("what it says of the user does not parse"))?;
    if said.get("sub").and_then(Value::as_str) != Some(&identity.subject) {
        return Err(wrong("it says something of another user than signed in"));
    }
    // Whether an address is verified is said of that one alone.
    let is_of_another = identity.claims.get("email").is_some_and(|email| said.get("email") != Some(email));
    for (name, value) in said {
        if !(is_of_another && name == "email_verified") {
            identity.claims.entry(name).or_insert(value);
        }
    }
    Ok(())
}

fn get(oidc: &Oidc, url: &str, token: Option<&str>, deadline: Instant) -> Result<(u16, Zeroizing<Vec<u8>>), ProviderFault> {
    let mut request = outbound::agent(oidc.config.tls.clone(), deadline).get(url).header("accept", "application/json");
    if let Some(token) = token {
        let bearer = Zeroizing::new(format!("Bearer {token}"));
        request = request.header("authorization", bearer.as_str());
    }
    answer(request.call())
}

fn answer(sent: Result<Response<Body>, ureq::Error>) -> Result<(u16, Zeroizing<Vec<u8>>), ProviderFault> {
    outbound::read(sent).map_err(|error| match &error {
        _ if outbound::is_certificate(&error) => {
            ProviderFault::Away("its certificate was refused; name the file of its authority as ca_file".to_owned())
        }
        ureq::Error::BodyExceedsLimit(_) => wrong("its answer is larger than 64 KiB"),
        ureq::Error::Timeout(_) => ProviderFault::Away("it took longer than five seconds".to_owned()),
        ureq::Error::Io(error) => ProviderFault::Away(format!("it cannot be reached ({})", error.kind())),
        ureq::Error::HostNotFound => ProviderFault::Away("the name of its host is not known".to_owned()),
        _ => ProviderFault::Away("it cannot be reached, or does not speak HTTP".to_owned()),
    })
}

fn no_answer(what: &str, status: u16) -> ProviderFault {
    let text = format!("it did not give {what} (status {status})");
    match status {
        429 | 500.. => ProviderFault::Away(text),
        300..400 => wrong(format!("{text}; redirects are not followed")),
        _ => wrong(text),
    }
}
