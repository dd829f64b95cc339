//! What came back.

use std::borrow::Cow;

use bytes::Bytes;
use hyper::{HeaderMap, StatusCode, header};
use serde_json::Value;

/// The head of an answer, and as much of its body as is read.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// There was more of the body.
    pub(crate) is_cut: bool,
}

impl Answer {
    /// The header's value; empty if it is not there, or no text.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.headers.contains_key(name)
    }

    pub(crate) fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }

    /// The whole body as JSON; `None` if it is none, or cut.
    pub(crate) fn json(&self) -> Option<Value> {
        if self.is_cut { None } else { serde_json::from_slice(&self.body).ok() }
    }

    /// The text at `pointer` (RFC 6901) of the body's JSON.
    pub(crate) fn json_text(&self, pointer: &str) -> Option<String> {
        self.json()?.pointer(pointer)?.as_str().map(str::to_owned)
    }

    /// Whether it is a page for people.
    pub(crate) fn is_page(&self) -> bool {
        let declared = self.header(header::CONTENT_TYPE.as_str()).to_ascii_lowercase();
        let start: Vec<u8> = self.body.iter().skip_while(|byte| byte.is_ascii_whitespace()).take(9).copied().collect();
        let start = start.to_ascii_lowercase();
        declared.starts_with("text/html") || start.starts_with(b"<!doctype") || start.starts_with(b"<html")
    }

    /// The reason that an error's body gives, as most services write one: a text, or JSON with a message in it.
    pub(crate) fn reason(&self) -> String {
        const MESSAGES: [&str; 8] = [
            "/message",
            "/error/reason",
            "/error/message",
            "/errorMessage",
            "/error_description",
            "/errors/0",
            "/errors/0/message",
            "/error",
        ];
        if self.is_page() {
            return String::new();
        }
        match self.json() {
            Some(json) => {
                let said = MESSAGES.iter().find_map(|pointer| json.pointer(pointer).and_then(Value::as_str));
                said.unwrap_or_default().to_owned()
            }
            None => self.text().lines().next().unwrap_or_default().to_owned(),
        }
    }

    /// The kinds of sign-in that the server asks for (RFC 9110, section 11.6.1), in lower case.
    pub(crate) fn challenges(&self) -> Vec<String> {
        let values = self.headers.get_all(header::WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(schemes).collect()
    }
}

/// The schemes of one header, which may hold several challenges: what begins with a word that no equals sign follows.
fn schemes(header: &str) -> Vec<String> {
    let mut is_quoted = false;
    let parts = header.split(move |character| {
        is_quoted ^= character == '"';
        character == ',' && !is_quoted
    });
    let names = parts.filter_map(|part| {
        let part = part.trim();
        let end =
            part.find(|character: char| !character.is_ascii_alphanumeric() && !"-_.".contains(character)).unwrap_or(part.len());
        let (word, rest) = part.split_at(end);
        let is_scheme = !word.is_empty() && (rest.is_empty() || (rest.starts_with(' ') && !rest.trim_start().starts_with('=')));
        is_scheme.then(|| word.to_ascii_lowercase())
    });
    names.collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An answer of these parts.
    pub(crate) fn answer(status: u16, headers: &[(&'static str, &str)], body: &str) -> Answer {
        let headers = headers.iter().map(|(name, value)| {
            (hyper::header::HeaderName::from_static(name), hyper::header::HeaderValue::from_str(value).expect("a value"))
        });
        Answer {
            status: StatusCode::from_u16(status).expect("a status"),
            headers: headers.collect(),
            body: Bytes::copy_from_slice(body.as_bytes()),
            is_cut: false,
        }
    }

    #[test]
    fn the_reason_is_found_where_services_write_it() {
        for (body, reason) in [
            (r#"{"error":{"reason":"unable to authenticate"}}"#, "unable to authenticate"),
            (r#"{"errors":["permission denied"]}"#, "permission denied"),
            (r#"{"error_code":40101,"message":"Unauthorized"}"#, "Unauthorized"),
            (r#"{"error":7}"#, ""),
            ("Code: 516. DB::Exception\nmore", "Code: 516. DB::Exception"),
            ("<html><body>secret page</body></html>", ""),
            ("", ""),
        ] {
            assert_eq!(answer(500, &[], body).reason(), reason, "{body}");
        }
    }

    #[test]
    fn a_page_is_known_by_its_type_or_its_beginning() {
        assert!(answer(200, &[("content-type", "text/html; charset=utf-8")], "x").is_page());
        assert!(answer(200, &[], "\n <!DOCTYPE html>").is_page());
        assert!(!answer(200, &[("content-type", "application/json")], "{}").is_page());
    }

    #[test]
    fn every_challenge_of_a_header_is_read() {
        let of = |header: &str| answer(401, &[("www-authenticate", header)], "").challenges();
        assert_eq!(of("Negotiate, Basic realm=\"a, Digest b\", charset = \"UTF-8\", ApiKey"), ["negotiate", "basic", "apikey"]);
        assert_eq!(of("Bearer realm=\"https://x/token\",service=\"y\""), ["bearer"]);
        assert_eq!(of("Negotiate YII=, NTLM"), ["negotiate", "ntlm"]);
        assert_eq!(of(", ,=,\"Basic"), Vec::<String>::new());
    }

    proptest::proptest! {
        #[test]
        fn whatever_comes_has_a_reason_and_challenges(body: String, challenge in "[ -~]{0,40}") {
            let answer = answer(401, &[("www-authenticate", &challenge)], &body);
            let _ = (answer.reason(), answer.is_page(), answer.challenges(), answer.json_text("/a/0"));
        }
    }
}
