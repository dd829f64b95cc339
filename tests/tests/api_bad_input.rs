//! What no client should send: each thing gets its status, its code and its field, and changes nothing. On both stores.

#![expect(clippy::indexing_slicing, reason = "answers are read by name; what is absent is null and fails the test")]

use std::collections::BTreeSet;

use dataflow_tests::{
    http::{Answer, Request},
    stored::{Engine, Stored, sample},
};
use rstest::rstest;
use serde_json::{Value, json};

const JSON: &str = "application/json";
/// Largest body, in bytes.
const BODY_MAX: usize = 64 * 1024;

fn create(stored: &Stored, body: impl Into<Vec<u8>>) -> Answer {
    stored.admin("POST", "/connections").body(JSON, body).send()
}

/// A new connection with `member` set to `value`.
fn with(member: &str, value: &Value) -> Value {
    let mut body = sample("fresh", "planted");
    body[member] = value.clone();
    body
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn every_bad_request_is_refused_by_name_and_changes_nothing(#[case] engine: Engine) {
    let stored = Stored::start(engine);
    stored.create("sales", "planted");
    let before = stored.state();
    bad_bodies(&stored);
    bad_sizes(&stored);
    bad_fields(&stored);
    bad_addresses(&stored);
    bad_queries(&stored);
    bad_hosts(&stored);
    bad_tokens_and_members(&stored);
    assert_eq!(stored.state(), before);
    let log = stored.server.log();
    assert!(!log.contains("ERROR") && !log.contains("panicked"), "{log}");
}

fn bad_bodies(stored: &Stored) {
    for body in ["", "{", "{\"name\":}", "{'name':'x'}", "{\"name\":\"x\"} {}", "nonsense", "\u{feff}{}"] {
        create(stored, body).refused(400, "malformed_request");
    }
    create(stored, [b"{\"name\":\"".as_slice(), &[0xff, 0xfe], b"\"}"].concat()).refused(400, "malformed_request");
    create(stored, format!("{{\"host\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000))).refused(400, "malformed_request");
    create(stored, "{\"host\":".repeat(5_000)).refused(400, "malformed_request");
    create(stored, "{\"host\":\"\\ud800\"}").refused(400, "malformed_request");
    for body in ["[]", "null", "7", "\"text\""] {
        create(stored, body).refused(422, "invalid_fields");
    }
    for media in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonp", ""] {
        let request = stored.admin("POST", "/connections").body(media, sample("fresh", "planted").to_string());
        request.send().refused(415, "unsupported_media_type");
    }
    let bare = stored.admin("POST", "/connections").send();
    bare.refused(415, "unsupported_media_type");
    let patch = stored.admin("PATCH", "/connections/sales").header("if-match", "*");
    patch.body(JSON, "{\"host\"").send().refused(400, "malformed_request");
    stored.admin("PUT", "/connections/sales").json(&json!({})).send().refused(405, "method_not_allowed");
    stored.admin("POST", "/connections/sales").json(&json!({})).send().refused(405, "method_not_allowed");
    stored.admin("GET", "/no-such-address").send().refused(404, "not_found");
}

fn bad_sizes(stored: &Stored) {
    let padded = |size: usize| {
        let body = with("colour", &json!("")).to_string();
        body.replace("\"colour\":\"\"", &format!("\"colour\":\"{}\"", "x".repeat(size - body.len())))
    };
    assert_eq!(padded(BODY_MAX).len(), BODY_MAX);
    // The largest body is read, and refused for what it says.
    create(stored, padded(BODY_MAX)).refused_field("invalid_fields", "colour");
    create(stored, padded(BODY_MAX + 1)).refused(413, "body_too_large");
    create(stored, padded(1 << 20)).refused(413, "body_too_large");
    let patch = stored.admin("PATCH", "/connections/sales").header("if-match", "*");
    patch.body(JSON, padded(BODY_MAX + 1)).send().refused(413, "body_too_large");
    // Who has no token is told so before a byte of the body counts.
    for token in ["", "nonsense", "dfc_admin_0000000000000000000000000000000000000000000000000"] {
        let request = Request::new(stored.server.port(), "POST", "/api/v1/workspaces/default/connections").token(token);
        for body in [padded(1 << 20), "{".to_owned()] {
            let answer = request.clone().body(JSON, body).send();
            answer.refused(401, "unauthenticated");
            assert_eq!(answer.header("www-authenticate"), "Bearer");
        }
    }
}

fn bad_fields(stored: &Stored) {
    let tags = |count: usize, length: usize| (0..count).map(|number| format!("{number:0>length$}")).collect::<Vec<_>>();
    for (member, value) in [
        ("name", json!("n".repeat(251))),
        ("name", json!("")),
        ("name", json!("-x")),
        ("name", json!("a b")),
        ("name", json!("a/b")),
        ("name", json!("naïve")),
        ("name", json!("a\u{0}b")),
        ("name", json!(7)),
        ("name", Value::Null),
        ("type", json!("postgresql")),
        ("type", json!("")),
        ("type", json!(["postgres"])),
        ("description", json!("d".repeat(1001))),
        ("description", json!("a\u{0}b")),
        ("description", json!(7)),
        ("tags", json!(tags(21, 3))),
        ("tags", json!(tags(1, 51))),
        ("tags", json!(["a\u{0}b"])),
        ("tags", json!([""])),
        ("tags", json!("finance")),
        ("tags", json!({"a": "b"})),
        ("password", json!("a\nb")),
        ("password", json!("a\u{0}b")),
        ("password", json!("p".repeat(4097))),
        ("password", json!(12345)),
        ("password", json!({"set": true, "value": "x"})),
        ("host", json!("a\u{0}b")),
        ("host", json!("http://db")),
        ("host", json!({"set": "x"})),
        ("username", json!("a\u{0}b")),
        ("port", json!("5432")),
        ("port", json!(0)),
        ("port", json!(65536)),
        ("port", json!(5432.5)),
        ("port", json!(18_446_744_073_709_551_615_u64)),
        ("colour", json!("red")),
        ("Host", json!("db")),
        ("", json!("x")),
    ] {
        let answer = stored.admin("POST", "/connections").json(&with(member, &value)).send();
        assert_eq!(answer.status, 422, "{member}: {value}");
        answer.refused_field("invalid_fields", member);
        if member != "name" {
            stored.edit("sales", &json!({member: value})).refused_field("invalid_fields", member);
        }
    }
    // A copy of an answer has no secret in it; what says that there is one would be stored without.
    let copy = with("password", &json!({"set": true}));
    for path in ["/connections", "/connections/test"] {
        let problem = stored.admin("POST", path).json(&copy).send().refused_field("invalid_fields", "password");
        assert_eq!(problem["errors"][0]["code"], "required");
    }
    let two = json!({"password": {"set": true}, "tls": {"key": {"set": true}}, "name": "-", "type": "postgres", "host": "h", "username": "u"});
    let problem = stored.admin("POST", "/connections").json(&two).send().refused(422, "invalid_fields");
    let fields: BTreeSet<_> =
        problem["errors"].as_array().into_iter().flatten().filter_map(|error| error["field"].as_str()).collect();
    assert_eq!(fields, BTreeSet::from(["name", "password", "tls.key"]));
    stored.edit("sales", &json!({"name": "other"})).refused_field("invalid_fields", "name");
    stored.edit("sales", &json!({"extra": {"sslkey": "/etc/passwd"}})).refused_field("invalid_fields", "extra.sslkey");
    stored.edit("sales", &json!({"tls": {"mode": "prefer"}})).refused_field("invalid_fields", "tls.mode");
    let twice = sample("fresh", "planted").to_string().replacen('{', "{\"host\":\"a\",", 1);
    create(stored, twice).refused_field("invalid_fields", "host");
    let twice = "{\"extra\":{\"timezone\":\"a\",\"timezone\":\"b\"}}";
    let patch = stored.admin("PATCH", "/connections/sales").header("if-match", "*");
    patch.body(JSON, twice).send().refused_field("invalid_fields", "extra.timezone");
    // All that is wrong is told at once.
    let many = json!({"name": "-", "type": "postgres", "host": "a b", "port": 0, "username": "", "tags": [""], "colour": 1});
    let problem = stored.admin("POST", "/connections").json(&many).send().refused(422, "invalid_fields");
    let fields: BTreeSet<_> =
        problem["errors"].as_array().into_iter().flatten().filter_map(|error| error["field"].as_str()).collect();
    assert_eq!(fields, BTreeSet::from(["colour", "host", "name", "port", "tags", "username"]));
}

fn bad_addresses(stored: &Stored) {
    for name in ["absent", "a%00b", "a%20b", "%F0%9F%92%A9", "..%2F..%2Fetc", &"n".repeat(5_000), "SALES"] {
        for (method, rest) in
            [("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/test"), ("GET", "/checks"), ("GET", "/credentials")]
        {
            let request = stored.admin(method, &format!("/connections/{name}{rest}")).header("if-match", "*");
            request.json(&json!({})).send().refused(404, "not_found");
        }
        stored.admin("DELETE", &format!("/tokens/{name}")).send().refused(404, "not_found");
        stored.admin("DELETE", &format!("/members/{name}")).send().refused(404, "not_found");
        stored.request(&stored.admin, "GET", &format!("/workspaces/{name}/connections")).send().refused(404, "not_found");
    }
    for path in ["/connections/%FF", "/connections/%ED%A0%80/credentials", "/members/%C3%28"] {
        stored.admin("GET", path).send();
        let answer = stored.admin("DELETE", path).header("if-match", "*").send();
        assert!((400..500).contains(&answer.status), "{path}: {}", answer.text());
    }
    stored.admin("GET", "/connections/%FF").send().refused(400, "malformed_request");
    stored.request(&stored.admin, "GET", "/workspaces/%FF/connections").send().refused(400, "malformed_request");
    // Bytes that no address has.
    for raw in
        [b"/api/v1/workspaces/default/connections/\xff\xfe".as_slice(), b"/api/v1/workspaces/default/connections?search=\xff"]
    {
        let answer = Request::new(stored.server.port(), "GET", raw).token(&stored.admin).send();
        assert!(answer.status < 500, "{}", answer.text());
    }
}

fn bad_queries(stored: &Stored) {
    let list = |query: &str| stored.admin("GET", &format!("/connections?{query}")).send();
    for query in ["colour=red", "limit=7&limit=8", "limit=seven", "limit=-1", "limit=7.5", "limit=", "limit=99999999999999999999"]
    {
        list(query).refused(400, "malformed_request");
    }
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("sort=size", "sort"),
        ("status=green", "status"),
        ("status=%00", "status"),
        ("tag=a%00b", "tag"),
        ("type=a%00b", "type"),
        ("search=a+b+c+d+e+f+g", "search"),
        (&format!("search={}", "s".repeat(251)), "search"),
        (&format!("tag={}", "t".repeat(51)), "tag"),
        (&format!("type={}", "t".repeat(51)), "type"),
        ("cursor=%3F", "cursor"),
        ("cursor=QQ", "cursor"),
        ("cursor=AAo", "cursor"),
        ("cursor=gIAK", "cursor"),
        ("sort=-updated&cursor=eAp5", "cursor"),
        ("sort=-updated&cursor=MQoA", "cursor"),
    ] {
        list(query).refused_field("invalid_fields", field);
    }
    for longest in [format!("search={}", "s".repeat(250)), format!("tag={0}&type={0}", "t".repeat(50))] {
        list(&longest).expect(200);
    }
    for harmless in ["search=%00", "search=%25%5F'%22--", "search=%F0%9F%92%A9", "tag=%25", "type='%20OR%201=1", "search="] {
        list(harmless).expect(200);
    }
    let delete = |query: &str| stored.admin("DELETE", &format!("/connections/sales?{query}")).header("if-match", "*").send();
    delete("why=because").refused(400, "malformed_request");
    delete(&format!("reason={}", "r".repeat(501))).refused_field("invalid_fields", "reason");
    delete("reason=a%00b").refused_field("invalid_fields", "reason");
}

/// RFC 9112, section 3.2.
fn bad_hosts(stored: &Stored) {
    let port = stored.server.port();
    for path in ["/sign-in", "/healthz", "/api/v1/openapi.json", "/api/v1/types"] {
        let ask = |target: &str| Request::new(port, "GET", target).token(&stored.admin);
        ask(path).header("host", "127.0.0.1").send().refused(400, "malformed_request");
        ask(&format!("http://127.0.0.1:{port}{path}")).send().expect(200);
        ask(&format!("http://127.0.0.1@evil.example.org{path}")).send().refused(400, "malformed_request");
    }
    let foreign = Request::new(port, "GET", "http://evil.example.org/sign-in").send();
    foreign.refused(421, "host_not_allowed");
}

fn bad_tokens_and_members(stored: &Stored) {
    let token = |body: Value| stored.admin("POST", "/tokens").json(&body).send();
    for (body, field) in [
        (json!({"name": "", "roles": ["user"]}), "name"),
        (json!({"name": "a\u{0}b", "roles": ["user"]}), "name"),
        (json!({"name": "n".repeat(251), "roles": ["user"]}), "name"),
        (json!({"name": "x", "roles": []}), "roles"),
        (json!({"name": "x", "roles": ["user"], "expires_in_days": 0}), "expires_in_days"),
        (json!({"name": "x", "roles": ["user"], "expires_in_days": 367}), "expires_in_days"),
        (json!({"name": "x", "roles": ["user"], "expires_in_days": i64::MAX}), "expires_in_days"),
        (json!({"name": "x", "roles": ["user"], "connections": ["a b"]}), "connections"),
        (json!({"name": "x", "roles": ["user"], "connections": vec!["a"; 101]}), "connections"),
        (json!({"roles": ["user"]}), "name"),
        (json!({"name": "x", "roles": ["user"], "colour": 1}), "colour"),
        (json!({"name": 7, "roles": ["user"]}), "name"),
        (json!({"name": "x", "roles": "user"}), "roles"),
        (json!({"name": "x", "roles": ["owner"]}), "roles.0"),
        (json!({"name": "x", "roles": ["user", null]}), "roles.1"),
        (json!({"name": "x", "roles": ["user"], "expires_in_days": "7"}), "expires_in_days"),
        (json!({"name": "x", "roles": ["user"], "connections": ["sales", ["sales"]]}), "connections.1"),
        (json!(["x", ["user"], null, null]), ""),
    ] {
        token(body).refused_field("invalid_fields", field);
    }
    let member = |email: &str, body: Value| stored.admin("PUT", &format!("/members/{email}")).json(&body).send();
    for email in ["nobody", "a@", "@b", "a@b@c", "a%00@b", "a%20b@c", &format!("{}@example.org", "a".repeat(250))] {
        member(email, json!({"roles": ["user"]})).refused_field("invalid_fields", "email");
    }
    let email = |length: usize| format!("{}@example.org", "%C3%9F".repeat(length - "@example.org".len()));
    // The longest address is read, and found to be nobody's.
    member(&email(254), json!({"roles": ["user"]})).refused(403, "forbidden");
    let too_long = member(&email(255), json!({"roles": ["user"]})).refused_field("invalid_fields", "email");
    assert_eq!(too_long["errors"][0]["code"], "too_long");
    member("eve@example.org", json!({"roles": []})).refused_field("invalid_fields", "roles");
    member("eve@example.org", json!({"roles": ["owner"]})).refused_field("invalid_fields", "roles.0");
    member("eve@example.org", json!({"roles": [null]})).refused_field("invalid_fields", "roles.0");
    member("eve@example.org", json!({"roles": null})).refused_field("invalid_fields", "roles");
    member("eve@example.org", json!([["user"]])).refused_field("invalid_fields", "");
    member("eve@example.org", json!({"roles": ["user"], "owner": true})).refused_field("invalid_fields", "owner");
    // A workflow that cannot be read costs its attribution, not the request.
    for workflow in ["nonsense", "kind=alien; name=\"x\"", "kind=app; name=\"a%00b\"", "kind=app; name=\"", &"w".repeat(10_000)] {
        let request = stored.admin("GET", "/connections/sales/checks").header("dataflow-workflow", workflow);
        request.send().expect(200);
    }
}
