//! The ID token: who signed in, on the word of the provider's key (OpenID Connect Core 1.0, section 3.1.3.7).

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use dataflow_vault::SignatureAlgorithm;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{LEEWAY, keys::SigningKey};

/// Longest subject, in bytes (OpenID Connect Core 1.0, section 2).
const SUBJECT_MAX: usize = 255;

/// What the token has to say.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'e> {
    pub issuer: &'e str,
    pub client_id: &'e str,
    pub nonce: &'e str,
    /// Seconds since 1970.
    pub now: i64,
}

/// What it says, all of it signed.
#[derive(Debug, Clone, PartialEq)]
pub struct IdToken {
    pub subject: String,
    pub claims: Map<String, Value>,
}

/// Why it is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenFault {
    /// The set of keys has none of this id; a newer one may.
    UnknownKey,
    /// What is wrong with it, for the log.
    Wrong(&'static str),
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<Value>,
}

/// Reads a token whose signature and claims hold.
///
/// # Errors
/// The first thing that is wrong. Nothing is believed before the signature is verified.
pub fn verify(token: &str, keys: &[SigningKey], expected: Expected<'_>) -> Result<IdToken, TokenFault> {
    let wrong = TokenFault::Wrong;
    let (signed, signature) = token.rsplit_once('.').ok_or(wrong("it is no signed token"))?;
    let (header, payload) = signed.split_once('.').ok_or(wrong("it is no signed token"))?;
    let part = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| wrong("it is no signed token"));
    let (header, payload_bytes, signature) = (part(header)?, part(payload)?, part(signature)?);
    let header: Header = serde_json::from_slice(&header).map_err(|_| wrong("its header does not parse"))?;
    if header.crit.is_some() {
        return Err(wrong("its header asks for what is not known here"));
    }
    let algorithm = SignatureAlgorithm::named(&header.alg).ok_or(wrong("its algorithm is none that is taken"))?;
    let key = choose(keys, header.kid.as_deref(), algorithm)?;
    if !key.verifies(algorithm, signed.as_bytes(), &signature) {
        return Err(wrong("its signature does not hold"));
    }
    let claims: Map<String, Value> = serde_json::from_slice(&payload_bytes).map_err(|_| wrong("its claims do not parse"))?;
    hold(&claims, expected)?;
    let subject = text(&claims, "sub").filter(|subject| is_subject(subject)).ok_or(wrong("it names no subject"))?;
    Ok(IdToken { subject: subject.to_owned(), claims })
}

/// The key that a header names; of a set whose token names none, the only one for its algorithm.
fn choose<'k>(keys: &'k [SigningKey], id: Option<&str>, algorithm: SignatureAlgorithm) -> Result<&'k SigningKey, TokenFault> {
    let named: Vec<_> = match id {
        Some(id) => keys.iter().filter(|key| key.id.as_deref() == Some(id)).collect(),
        None => keys.iter().filter(|key| key.is_for(algorithm)).collect(),
    };
    if named.is_empty() {
        return Err(TokenFault::UnknownKey);
    }
    // Two sets of one id are told apart by what they are for (RFC 7517, section 4.5).
    let mut fitting = named.into_iter().filter(|key| key.is_for(algorithm));
    match (fitting.next(), fitting.next()) {
        (Some(key), None) => Ok(key),
        (None, _) => Err(TokenFault::Wrong("its key is for another algorithm")),
        (Some(_), Some(_)) => Err(TokenFault::Wrong("it does not say which key signed it")),
    }
}

fn hold(claims: &Map<String, Value>, expected: Expected<'_>) -> Result<(), TokenFault> {
    let holds = |holds: bool, fault: &'static str| if holds { Ok(()) } else { Err(TokenFault::Wrong(fault)) };
    holds(text(claims, "iss") == Some(expected.issuer), "it is of another issuer")?;
    let audience: Vec<_> = match claims.get("aud") {
        Some(Value::Array(several)) => several.iter().map(Value::as_str).collect(),
        other => vec![other.and_then(Value::as_str)],
    };
    holds(audience.contains(&Some(expected.client_id)), "it is for another client")?;
    let party = claims.get("azp").map(Value::as_str);
    // Of several audiences one was signed in for.
    let asked_for_us = party.map_or(audience.len() == 1, |party| party == Some(expected.client_id));
    holds(asked_for_us, "it was given to another client")?;
    let time = |name: &str| claims.get(name).and_then(seconds);
    let now = expected.now;
    holds(time("exp").is_some_and(|ends| now < ends.saturating_add(LEEWAY)), "it has expired, or does not say when it does")?;
    holds(time("iat").is_some_and(|made| made <= now + LEEWAY), "it is from the future, or does not say of when")?;
    holds(!claims.contains_key("nbf") || time("nbf").is_some_and(|from| from <= now + LEEWAY), "it does not hold yet")?;
    holds(text(claims, "nonce") == Some(expected.nonce), "it was made for another sign-in")
}

fn text<'c>(claims: &'c Map<String, Value>, name: &str) -> Option<&'c str> {
    claims.get(name).and_then(Value::as_str)
}

/// A `NumericDate` (RFC 7519, section 2): seconds, which may have a fraction.
fn seconds(value: &Value) -> Option<i64> {
    let text = value.as_number()?.to_string();
    let whole = text.split('.').next().unwrap_or_default();
    whole.parse().ok()
}

pub(super) fn is_subject(subject: &str) -> bool {
    (1..=SUBJECT_MAX).contains(&subject.len()) && subject.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ')
}

#[cfg(test)]
mod tests;
