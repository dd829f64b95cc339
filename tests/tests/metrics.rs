//! What the operator's monitoring reads.

use std::{
    thread,
    time::{Duration, Instant},
};

use dataflow_tests::{
    http::Request,
    stored::{Engine, Stored},
};
use serde_json::json;

fn metrics(stored: &Stored) -> String {
    let answer = Request::new(stored.server.port(), "GET", "/metrics").token(&stored.admin).send();
    assert!(answer.expect(200).header("content-type").starts_with("text/plain"));
    String::from_utf8(answer.body).expect("text")
}

#[test]
fn answers_and_tests_are_counted_and_nothing_is_named() {
    let stored = Stored::start(Engine::Sqlite);
    stored.create("planted-name", "planted-secret");
    for _ in 0..3 {
        stored.credentials("planted-name").expect(200);
    }
    stored.credentials("planted-absent").expect(404);
    let closed = json!({"name": "x", "type": "sqlite", "database": "planted.db"});
    stored.admin("POST", "/connections/test").json(&closed).send().expect(200);
    Request::new(stored.server.port(), "BREW", "/planted-path").send().expect(404);

    let text = metrics(&stored);
    let route = "/api/v1/workspaces/{workspace}/connections/{name}/credentials";
    for line in [
        format!("dataflow_http_requests_total{{method=\"GET\",route=\"{route}\",status=\"200\"}} 3"),
        format!("dataflow_http_requests_total{{method=\"GET\",route=\"{route}\",status=\"404\"}} 1"),
        "dataflow_http_requests_total{method=\"other\",route=\"none\",status=\"404\"} 1".to_owned(),
        format!("dataflow_http_request_duration_seconds_count{{route=\"{route}\"}} 4"),
        "dataflow_connection_tests_total{connector=\"sqlite\",status=\"failed\"} 1".to_owned(),
        "dataflow_connection_test_duration_seconds_count{connector=\"sqlite\"} 1".to_owned(),
        "dataflow_connection_test_wait_seconds_count 1".to_owned(),
    ] {
        assert!(text.lines().any(|found| found == line), "“{line}” is not in\n{text}");
    }
    assert!(text.lines().any(|line| line == "dataflow_audit_failures_total 0"), "{text}");
    let begun = Instant::now();
    while !metrics(&stored).contains("dataflow_audit_sync_duration_seconds_count ") {
        assert!(begun.elapsed() < Duration::from_secs(20), "three reads are synced");
        thread::sleep(Duration::from_millis(20));
    }
    assert!(text.contains("dataflow_build_info{version=\""), "{text}");
    assert!(!text.contains("planted"), "{text}");
}

#[test]
fn metrics_are_for_those_with_a_token() {
    let stored = Stored::start(Engine::Sqlite);
    let answer = Request::new(stored.server.port(), "GET", "/metrics").send();
    assert_eq!(answer.expect(401).json()["code"], "unauthenticated");
}
