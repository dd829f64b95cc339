//! The API's description: complete, and the one that was agreed on.

use std::collections::BTreeSet;

use dataflow_model::Code;
use dataflow_tests::{
    http::Request,
    openapi::Operation,
    schema,
    stored::{Engine, Stored},
};
use serde_json::Value;

/// Codes that stand at no operation, and why.
const ELSEWHERE: &[(&str, &str)] = &[
    ("method_not_allowed", "answers methods that are not described; `components.responses` has it"),
    ("host_not_allowed", "the API answers under any host name: only the Studio keeps a list"),
    ("origin_not_allowed", "keeps forged requests from the Studio's cookie, which the API does not take"),
    ("second_look_required", "asks the person of a session, which the API does not take"),
    ("setup_done", "answers one-time links, which belong to the Studio and the shell"),
];

#[test]
fn the_description_is_whole() {
    let stored = Stored::start(Engine::Sqlite);
    // It is public: who writes a client has no token yet.
    let answer = Request::new(stored.server.port(), "GET", "/api/v1/openapi.json").send();
    let mut document = answer.expect(200).json();
    assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")), "{}", document["openapi"]);
    let text = document["info"]["description"].as_str().expect("a text");
    for code in Code::ALL {
        assert!(text.contains(&format!("`{code}`")), "the description does not name the code {code}");
    }
    let operations = Operation::all(&document);
    let ids: BTreeSet<_> = operations.iter().map(|operation| &operation.id).collect();
    assert_eq!(ids.len(), operations.len(), "an operation id stands twice");
    for Operation { id, method, path, description } in &operations {
        let responses = description["responses"].as_object().unwrap_or_else(|| panic!("{id} has no responses"));
        assert!(responses.keys().any(|status| status.starts_with('2')), "{id} never succeeds");
        for common in ["400", "401", "431", "500", "503"] {
            assert!(responses.contains_key(common), "{id} says nothing of {common}");
        }
        assert_eq!(responses["431"].get("content"), None, "{id}");
        for (status, response) in responses {
            assert!(response["description"].as_str().is_some_and(|text| !text.is_empty()), "{id} {status} says nothing");
        }
        for (status, response) in responses.iter().filter(|(status, _)| status.starts_with('5')) {
            assert!(response["headers"].get("Request-Id").is_some(), "{id} {status}");
        }
        let refusals = responses.iter().filter(|(status, _)| status.starts_with(['4', '5']) && *status != "431");
        for (status, response) in refusals {
            let contents = response["content"].as_object().unwrap_or_else(|| panic!("{id} {status} has no body"));
            let media: Vec<_> = contents.keys().collect();
            assert_eq!(media, ["application/problem+json"], "{id} {status}");
            let schema = &contents["application/problem+json"]["schema"]["$ref"];
            assert_eq!(schema, "#/components/schemas/Problem", "{id} {status}");
        }
        let declared: Vec<_> = description["parameters"].as_array().into_iter().flatten().collect();
        for name in path.split(['{', '}']).skip(1).step_by(2) {
            let is_there = declared.iter().any(|parameter| parameter["in"] == "path" && parameter["name"] == name);
            assert!(is_there, "{method} {path} does not declare {name}");
        }
    }
    // Whether members stand in order is up to a feature of serde_json that the tests' own crates switch on.
    document.sort_all_objects();
    insta::assert_json_snapshot!("openapi", document);
}

/// The bodies of an operation, each as `ID STATUS MEDIA` or `ID request MEDIA`.
fn bodies(operation: &Operation) -> Vec<(String, &Value)> {
    let responses = operation.description["responses"].as_object().expect("responses");
    let holders = responses.iter().map(|(status, response)| (status.as_str(), response));
    let holders = holders.chain(operation.description.get("requestBody").map(|body| ("request", body)));
    let named = holders.flat_map(|(holder, body)| {
        let contents = body["content"].as_object().into_iter().flatten();
        contents.map(move |(media, content)| (format!("{} {holder} {media}", operation.id), content))
    });
    named.collect()
}

/// The examples of a body, by name; one that is alone has none.
fn examples(content: &Value) -> Vec<(&str, &Value)> {
    let alone = content.get("example").map(|example| ("", example));
    let named = content["examples"].as_object().into_iter().flatten();
    alone.into_iter().chain(named.map(|(name, example)| (name.as_str(), &example["value"]))).collect()
}

#[test]
fn every_body_has_an_example_that_its_schema_accepts() {
    let stored = Stored::start(Engine::Sqlite);
    let document = Request::new(stored.server.port(), "GET", "/api/v1/openapi.json").send().expect(200).json();
    let operations = Operation::all(&document);
    let mut bodies: Vec<_> = operations.iter().flat_map(bodies).collect();
    assert!(bodies.len() > 2 * operations.len(), "{} bodies", bodies.len());
    let not_allowed = &document["components"]["responses"]["MethodNotAllowed"]["content"]["application/problem+json"];
    bodies.push(("components 405 application/problem+json".to_owned(), not_allowed));
    for (body, content) in &bodies {
        assert!(!examples(content).is_empty(), "{body} has no example");
        for (name, example) in examples(content) {
            let accepted = schema::accepts(&document, &content["schema"], example);
            assert_eq!(accepted, Ok(()), "{body} {name}: the example is not of its schema");
            if body.contains("problem+json") {
                assert_eq!(example["code"], name, "{body}: an example is called by its code");
                assert!(body.contains(&format!(" {} ", example["status"])), "{body}: {name} has status {}", example["status"]);
            }
        }
    }
    // Wherever a type is used: in a list, in another body.
    for (name, component) in document["components"]["schemas"].as_object().expect("schemas") {
        let Some(example) = component.get("example") else { continue };
        assert_eq!(schema::accepts(&document, component, example), Ok(()), "the example of {name}");
    }
}

#[test]
fn every_code_stands_where_it_is_answered() {
    let stored = Stored::start(Engine::Sqlite);
    let document = Request::new(stored.server.port(), "GET", "/api/v1/openapi.json").send().expect(200).json();
    let operations = Operation::all(&document);
    let mut standing = BTreeSet::new();
    for operation in &operations {
        for (_, content) in bodies(operation) {
            standing.extend(content["examples"].as_object().into_iter().flatten().map(|(code, _)| code.clone()));
        }
        for (status, response) in operation.description["responses"].as_object().expect("responses") {
            let codes = response["content"]["application/problem+json"]["examples"].as_object().into_iter().flatten();
            for (code, _) in codes {
                let text = response["description"].as_str().expect("a text");
                assert!(text.contains(&format!("`{code}`: ")), "{} {status} does not say what {code} is", operation.id);
            }
        }
    }
    for code in Code::ALL {
        match ELSEWHERE.iter().find(|(elsewhere, _)| *elsewhere == code.as_str()) {
            None => assert!(standing.contains(code.as_str()), "{code} stands at no operation"),
            Some((_, why)) => assert!(!standing.contains(code.as_str()), "{code} stands at an operation, although it {why}"),
        }
    }
}

/// What no operation decides by itself: the head, the body's size, the method.
#[test]
fn what_is_answered_to_any_request_is_described() {
    let stored = Stored::start(Engine::Sqlite);
    let port = stored.server.port();
    let document = Request::new(port, "GET", "/api/v1/openapi.json").send().expect(200).json();
    let operations = Operation::all(&document);
    for Operation { id, method, path, description } in &operations {
        let path = path.replace("{workspace}", "default").replace("{name}", "sales");
        let request = Request::new(port, method, &path).token(&stored.admin);
        let described = |status: u16| {
            assert!(description["responses"].get(status.to_string()).is_some(), "{id} answers {status} and does not say so");
        };
        let long = request.clone().header("x-long", &"x".repeat(40_000)).send();
        assert!(long.expect(431).body.is_empty(), "{id}");
        described(431);
        request.clone().header("host", "twice").send().refused(400, "malformed_request");
        described(400);
        if method != "GET" {
            let keyed = request.header("idempotency-key", "k").body("application/json", vec![b' '; 64 * 1024 + 1]);
            keyed.send().refused(413, "body_too_large");
            described(413);
        }
    }
    let not_allowed = &document["components"]["responses"]["MethodNotAllowed"]["content"];
    assert_eq!(not_allowed["application/problem+json"]["schema"]["$ref"], "#/components/schemas/Problem");
    let paths: BTreeSet<_> = operations.iter().map(|operation| operation.path.as_str()).collect();
    for path in paths {
        let other = Request::new(port, "PUT", path.replace("{workspace}", "default").replace("{name}", "sales"));
        if !operations.iter().any(|operation| operation.path == path && operation.method == "PUT") {
            other.token(&stored.admin).send().refused(405, "method_not_allowed");
        }
    }
}
