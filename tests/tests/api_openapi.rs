//! The API's description: complete, and the one that was agreed on.

use std::collections::BTreeSet;

use dataflow_model::Code;
use dataflow_tests::{
    http::Request,
    openapi::Operation,
    stored::{Engine, Stored},
};

#[test]
fn the_description_is_whole() {
    let stored = Stored::start(Engine::Sqlite);
    // It is public: who writes a client has no token yet.
    let answer = Request::new(stored.server.port(), "GET", "/api/v1/openapi.json").send();
    let document = answer.expect(200).json();
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
        for common in ["400", "401", "500", "503"] {
            assert!(responses.contains_key(common), "{id} says nothing of {common}");
        }
        for (status, response) in responses.iter().filter(|(status, _)| status.starts_with(['4', '5'])) {
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
    insta::assert_json_snapshot!("openapi", document);
}
