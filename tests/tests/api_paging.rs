//! Every list comes in pages: walked by its cursor it is whole and in order. On both stores.

use std::{
    thread,
    time::{Duration, Instant},
};

use dataflow_tests::stored::{Engine, Stored, sample};
use rstest::rstest;
use serde_json::{Value, json};

/// The items of a list, read with pages of at most `limit`.
fn walk(stored: &Stored, path: &str, limit: usize) -> Vec<Value> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = stored.admin("GET", &format!("{path}?limit={limit}{cursor}")).send().expect(200).json();
        let items = page["items"].as_array().expect("a list");
        assert!(items.len() <= limit, "{path}: {page}");
        all.extend(items.iter().cloned());
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn every_list_is_walked_by_its_cursor(#[case] engine: Engine) {
    let stored = Stored::start(engine);
    let mut connection = sample("sales", "planted");
    connection["host"] = json!("127.0.0.1");
    connection["port"] = json!(1);
    stored.admin("POST", "/connections").json(&connection).send().expect(201);
    for number in 0..5 {
        stored.token(&format!("token {number}"), "viewer", None);
        stored.create(&format!("more_{number}"), "planted");
        stored.add_member(&format!("Person{number}@example.org"));
        stored.admin("POST", "/connections/sales/test").send().expect(200);
    }
    // Checks are kept after the answer.
    let (begun, kept) = (Instant::now(), || stored.sql("SELECT count(*) FROM checks"));
    while kept() != "5" {
        assert!(begun.elapsed() < Duration::from_secs(30), "5 checks were to be kept, not {}", kept());
        thread::sleep(Duration::from_millis(20));
    }
    // With the admin's own token, the owner, and the connection that was tested.
    for (path, count) in [("/tokens", 6), ("/members", 6), ("/connections/sales/checks", 5), ("/connections", 6)] {
        let whole = walk(&stored, path, 200);
        assert_eq!(whole.len(), count, "{path}");
        for limit in [1, 2, count] {
            assert_eq!(walk(&stored, path, limit), whole, "{path} by {limit}");
        }
        for limit in ["0", "201"] {
            stored.admin("GET", &format!("{path}?limit={limit}")).send().refused_field("invalid_fields", "limit");
        }
        for cursor in ["?", "bm8", "YQBiCmM"] {
            stored.admin("GET", &format!("{path}?cursor={cursor}")).send().refused_field("invalid_fields", "cursor");
        }
        stored.admin("GET", &format!("{path}?page=2")).send().refused(400, "malformed_request");
    }
    // A token is in one workspace.
    let workspaces = |query: &str| stored.request(&stored.admin, "GET", &format!("/workspaces?{query}")).send();
    let page = workspaces("limit=1").expect(200).json();
    assert_eq!((page["items"].as_array().map(Vec::len), &page["next"]), (Some(1), &Value::Null));
    workspaces("limit=0").refused_field("invalid_fields", "limit");
    workspaces("cursor=%3F").refused_field("invalid_fields", "cursor");
    workspaces("page=2").refused(400, "malformed_request");
    let newest: Vec<_> = walk(&stored, "/tokens", 2).iter().map(|token| token["name"].clone()).collect();
    assert_eq!(newest, ["token 4", "token 3", "token 2", "token 1", "token 0", "admin"]);
    let by_time = |check: &Value| check["report"]["checked_at"].as_str().map(ToOwned::to_owned);
    let checks = walk(&stored, "/connections/sales/checks", 2);
    assert!(checks.is_sorted_by_key(|check| std::cmp::Reverse(by_time(check))), "{checks:?}");
}
