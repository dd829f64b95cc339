//! Every answer of the API, held against its description: a status, a code or a body that is not described fails the test that met it.

use std::sync::LazyLock;

use serde_json::Value;

use crate::{
    http::{Answer, Request},
    openapi::Operation,
    schema,
};

/// What was agreed on; `api_openapi.rs` holds it against what the server says.
static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    let kept = include_str!("../tests/snapshots/api_openapi__openapi.snap");
    let json = kept.splitn(3, "---\n").last().unwrap_or_default();
    serde_json::from_str(json).unwrap_or_else(|error| panic!("the kept description is no JSON: {error}"))
});
static OPERATIONS: LazyLock<Vec<Operation>> = LazyLock::new(|| Operation::all(&DOCUMENT));

/// Holds one answer against the operation that was asked for. Nothing is said of other addresses and methods.
///
/// # Panics
/// If the answer, or a request that was accepted, is not as described.
pub fn hold(request: &Request, answer: &Answer) {
    let Some(operation) = asked_for(&request.method, &request.target) else { return };
    if answer.header("content-length").parse().is_ok_and(|whole: usize| whole != answer.body.len()) {
        return; // Cut off, as by a server that was killed.
    }
    let what = format!("{} ({} {})", operation.id, operation.method, operation.path);
    let status = answer.status;
    let response = operation.description["responses"].get(status.to_string());
    let response = response.unwrap_or_else(|| {
        panic!("{what} answers {status} and its description does not say so: list it at the handler. {}", answer.text())
    });
    let media = answer.header("content-type").split(';').next().unwrap_or_default();
    let Some(contents) = response.get("content") else {
        assert!(answer.body.is_empty(), "{what} answers {status} with a body and its description does not say so");
        return;
    };
    let content = contents.get(media).unwrap_or_else(|| panic!("{what} answers {status} as “{media}”, described is {contents}"));
    if media.ends_with("json") {
        let body = answer.json();
        schema::accepts(&DOCUMENT, &content["schema"], &body).unwrap_or_else(|fault| panic!("{what} answers {status}: {fault}"));
        if let Some(code) = body["code"].as_str().filter(|_| status >= 400) {
            let is_described = content["examples"].get(code).is_some();
            assert!(
                is_described,
                "{what} answers {status} `{code}` and its description does not say so: see api/openapi/refusals.rs"
            );
        }
    }
    if status < 300 {
        hold_request(operation, request, &what);
    }
}

/// What the server accepts, the description must not refuse.
fn hold_request(operation: &Operation, request: &Request, what: &str) {
    let described = operation.description.pointer("/requestBody/content");
    let media = request.media();
    if !media.is_empty() && !media.ends_with("json") {
        let is_described = described.is_some_and(|contents| contents.get(media).is_some());
        return assert!(is_described, "{what} accepted “{media}”, and its description does not say so");
    }
    let schema = described.and_then(|contents| contents.pointer("/application~1json/schema"));
    if let (Some(schema), Some(body)) = (schema, &request.body)
        && !body.is_empty()
    {
        let body = serde_json::from_slice(body).unwrap_or_else(|error| panic!("{what} accepted what is no JSON: {error}"));
        schema::accepts(&DOCUMENT, schema, &body)
            .unwrap_or_else(|fault| panic!("{what} accepted what is described otherwise: {fault}"));
    }
}

/// The operation whose address is the nearest: one without a name in braces before one with it.
fn asked_for(method: &str, target: &[u8]) -> Option<&'static Operation> {
    let path = str::from_utf8(target).ok()?.split('?').next()?;
    let asked: Vec<_> = path.split('/').collect();
    let fits = |operation: &&Operation| {
        let described: Vec<_> = operation.path.split('/').collect();
        let same = |(described, asked): (&&str, &&str)| described == asked || (described.starts_with('{') && !asked.is_empty());
        operation.method == method && described.len() == asked.len() && described.iter().zip(&asked).all(same)
    };
    OPERATIONS.iter().filter(fits).min_by_key(|operation| operation.path.matches('{').count())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn id(method: &str, target: &str) -> Option<&'static str> {
        asked_for(method, target.as_bytes()).map(|operation| operation.id.as_str())
    }

    #[test]
    fn an_address_is_found_in_the_description() {
        let at = |rest: &str| format!("/api/v1/workspaces/default{rest}");
        assert_eq!(id("GET", &at("/connections?search=x")), Some("list_connections"));
        assert_eq!(id("POST", &at("/connections/test")), Some("test_unsaved_connection"));
        assert_eq!(id("PATCH", &at("/connections/test")), Some("edit_connection"));
        assert_eq!(id("POST", &at("/connections/a%2Fb/test")), Some("test_connection"));
        for (method, other) in
            [("PUT", at("/connections")), ("GET", at("/connections/")), ("GET", at("")), ("GET", "/healthz".into())]
        {
            assert_eq!(id(method, &other), None, "{method} {other}");
        }
    }

    fn held(target: &str, status: u16, code: &str) -> bool {
        let body =
            serde_json::json!({"type": "about:blank", "title": "x", "status": status, "code": code, "detail": "x", "hint": "x"});
        let headers = BTreeMap::from([("content-type".to_owned(), "application/problem+json".to_owned())]);
        let answer = Answer { status, headers, body: body.to_string().into_bytes() };
        std::panic::catch_unwind(|| hold(&Request::new(1, "GET", target), &answer)).is_ok()
    }

    #[test]
    fn what_is_not_described_fails() {
        assert!(held("/api/v1/types", 401, "unauthenticated"));
        assert!(!held("/api/v1/types", 401, "forbidden"), "a code that this status does not have");
        assert!(!held("/api/v1/types", 418, "unauthenticated"), "a status that no operation has");
        assert!(held("/elsewhere", 418, "unauthenticated"));
    }
}
