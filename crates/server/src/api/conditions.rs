//! `If-Match` and `If-None-Match` as RFC 9110 has them (sections 8.8.3 and 13.1): lists of entity tags, or `*`; and what else a change may be made to
//! depend on.

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderName, header, request::Parts},
};
use serde::Deserialize;

use super::extract::Asked;
use crate::{
    error::{Error, Result},
    ops::{connections::Precondition, safe_change::Trial},
};

/// `If-Match`, as a change must have it.
pub struct IfMatch(pub Precondition);

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        if_match(&parts.headers).map(Self)
    }
}

/// `If-Match`, or `If-None-Match: *` for what must not be there yet.
pub enum IfMatchOrNew {
    If(Precondition),
    New,
}

impl<S: Send + Sync> FromRequestParts<S> for IfMatchOrNew {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        let precondition = if_match(&parts.headers)?;
        if precondition == Precondition::Missing && is_any(&parts.headers, &header::IF_NONE_MATCH) {
            return Ok(Self::New);
        }
        Ok(Self::If(precondition))
    }
}

/// Whether a change is tried first.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TrialParams {
    /// Tests what the change puts in force before it serves, if it changes what clients connect with: if that fails, nothing is saved. The
    /// answer takes as long as the test, at most ten seconds, and five in which it waits for its turn.
    #[serde(default)]
    pub test: bool,
}

/// `If-Match`, and whether the change is tested first.
pub struct Conditions {
    pub precondition: Precondition,
    pub trial: Trial,
}

impl<S: Send + Sync> FromRequestParts<S> for Conditions {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let IfMatch(precondition) = IfMatch::from_request_parts(parts, state).await?;
        let Asked(TrialParams { test }) = Asked::from_request_parts(parts, state).await?;
        Ok(Self { precondition, trial: Trial::if_asked(test) })
    }
}

/// Compares strongly: a weak tag names no version, so it holds for none.
fn if_match(headers: &HeaderMap) -> Result<Precondition> {
    if !headers.contains_key(header::IF_MATCH) {
        return Ok(Precondition::Missing);
    }
    if is_any(headers, &header::IF_MATCH) {
        return Ok(Precondition::Any);
    }
    let tags: Option<Vec<Tag<'_>>> = tags(headers, &header::IF_MATCH).collect();
    let tags = tags
        .filter(|tags| !tags.is_empty())
        .ok_or(Error::Malformed("“If-Match” is neither “*” nor a list of entity tags, each in double quotes."))?;
    let strong = tags.into_iter().filter(|tag| !tag.is_weak);
    // A tag of other bytes than UTF-8 is none of ours.
    Ok(Precondition::Tags(strong.filter_map(|tag| str::from_utf8(tag.opaque).ok()).map(|tag| format!("\"{tag}\"")).collect()))
}

/// Whether `If-None-Match` says that the client holds what bears the entity tag `"current"`; give it without quotes. Compares weakly.
///
/// Where it does, the answer to GET is 304. A malformed one says nothing: the whole answer is never wrong.
#[must_use]
pub fn client_holds(headers: &HeaderMap, current: &str) -> bool {
    is_any(headers, &header::IF_NONE_MATCH)
        || tags(headers, &header::IF_NONE_MATCH).flatten().any(|tag| tag.opaque == current.as_bytes())
}

fn is_any(headers: &HeaderMap, name: &HeaderName) -> bool {
    let mut lines = headers.get_all(name).iter();
    lines.next().is_some_and(|line| line.as_bytes().trim_ascii() == b"*") && lines.next().is_none()
}

/// An entity tag, without its quotes.
#[derive(Debug, PartialEq, Eq)]
struct Tag<'h> {
    is_weak: bool,
    opaque: &'h [u8],
}

/// The entity tags of all lines of a header; `None`, and no more of that line, where one is malformed.
fn tags<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = Option<Tag<'h>>> {
    headers.get_all(name).into_iter().flat_map(|line| Tags(line.as_bytes()))
}

/// What is left to read of one line.
struct Tags<'h>(&'h [u8]);

impl<'h> Iterator for Tags<'h> {
    type Item = Option<Tag<'h>>;

    fn next(&mut self) -> Option<Self::Item> {
        // A list may have empty elements (RFC 9110, section 5.6.1.2).
        while let [b' ' | b'\t' | b',', rest @ ..] = self.0 {
            self.0 = rest;
        }
        if self.0.is_empty() {
            return None;
        }
        let (tag, rest) = read_tag(self.0).unzip();
        self.0 = rest.unwrap_or_default();
        Some(tag)
    }
}

/// The tag that `list` begins with, and what follows its comma.
fn read_tag(list: &[u8]) -> Option<(Tag<'_>, &[u8])> {
    let (is_weak, quoted) = match list {
        [b'W', b'/', b'"', quoted @ ..] => (true, quoted),
        [b'"', quoted @ ..] => (false, quoted),
        _ => return None,
    };
    let (opaque, rest) = quoted.split_at_checked(quoted.iter().position(|byte| *byte == b'"')?)?;
    let is_tag = opaque.iter().all(|byte| matches!(byte, 0x21..=0x7e | 0x80..));
    let rest = rest.get(1..)?.trim_ascii_start();
    (is_tag && matches!(rest, [] | [b',', ..])).then_some((Tag { is_weak, opaque }, rest))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn lines(name: &HeaderName, lines: &[&[u8]]) -> HeaderMap {
        lines.iter().map(|line| (name.clone(), HeaderValue::from_bytes(line).expect("a line"))).collect()
    }

    #[test]
    fn if_match_is_a_list_of_strong_tags() {
        let read = |values: &[&[u8]]| if_match(&lines(&header::IF_MATCH, values)).ok();
        let tags = |tags: &[&str]| Some(Precondition::Tags(tags.iter().map(|tag| (*tag).to_owned()).collect()));
        assert_eq!(read(&[]), Some(Precondition::Missing));
        assert_eq!(read(&[b" * "]), Some(Precondition::Any));
        assert_eq!(read(&[b"\"a.1\""]), tags(&["\"a.1\""]));
        assert_eq!(read(&[b"\"a\" ,\t\"b,c\",, \"\""]), tags(&["\"a\"", "\"b,c\"", "\"\""]));
        assert_eq!(read(&[b"\"a\"", b"\"b\""]), tags(&["\"a\"", "\"b\""]));
        assert_eq!(read(&[b"W/\"a\", \"b\""]), tags(&["\"b\""]));
        assert_eq!(read(&[b"W/\"a\""]), tags(&[]), "holds for nothing");
        assert_eq!(read(&["\"é\"".as_bytes()]), tags(&["\"é\""]), "RFC 9110 lets a tag have such bytes");
        assert_eq!(read(&[b"\"\xff\""]), tags(&[]));
    }

    #[test]
    fn what_is_no_list_is_said_to_be_malformed() {
        let malformed: [&[&[u8]]; 13] = [
            &[b""],
            &[b","],
            &[b"a"],
            &["é".as_bytes()],
            &[b"\xff"],
            &[b"\"a"],
            &[b"\"a b\""],
            &[b"\"a\" \"b\""],
            &[b"\"a\"b"],
            &[b"w/\"a\""],
            &[b"*, \"a\""],
            &[b"*", b"\"a\""],
            &[b"\"a\"", b"b"],
        ];
        for values in malformed {
            let read = if_match(&lines(&header::IF_MATCH, values));
            assert!(matches!(read, Err(Error::Malformed(_))), "{values:?}: {read:?}");
        }
    }

    #[test]
    fn if_none_match_compares_weakly_and_what_is_malformed_holds_nothing() {
        let holds = |values: &[&[u8]]| client_holds(&lines(&header::IF_NONE_MATCH, values), "now");
        let current: [&[&[u8]]; 6] =
            [&[b"*"], &[b"\"now\""], &[b"W/\"now\""], &[b"\"old\", W/\"now\""], &[b"\"old\"", b"\"now\""], &[b"bad", b"\"now\""]];
        assert!(current.iter().all(|values| holds(values)));
        let other: [&[&[u8]]; 8] =
            [&[], &[b""], &[b"now"], &[b"\"old\""], &[b"\"\"now\"\""], &[b"\"now"], &[b"\"NOW\""], &[b"*, *"]];
        assert!(!other.iter().any(|values| holds(values)));
    }

    #[test]
    fn fuzz_conditions() {
        let corpus: [&[u8]; 4] = [b"\"a\"", b"W/\"a\", \"b\" ,\"\"", b"*", b"\"a,b\",, \"\xff\""];
        dataflow_fuzz::fuzz(&corpus, |bytes| {
            if HeaderValue::from_bytes(bytes).is_ok() {
                let _ = if_match(&lines(&header::IF_MATCH, &[bytes]));
                let _ = client_holds(&lines(&header::IF_NONE_MATCH, &[bytes, b"*"]), "a");
            }
        });
    }
}
