//! Search engines.

use serde_json::{Value, json};

use super::{Asked, Door, Reply, USER};

/// Elasticsearch, by `GET /_security/_authenticate`
/// (<https://www.elastic.co/guide/en/elasticsearch/reference/8.19/security-api-authenticate.html>) and `GET /`. It takes the password and, for the same
/// user, an API key. With security switched off (`xpack.security.enabled: false`) there is no such handler, and nobody is looked at.
pub fn elasticsearch(asked: &Asked, door: Door) -> Reply {
    let product = |reply: Reply| reply.with("x-elastic-product", "Elasticsearch");
    let error = |status: u16, kind: &str, reason: &str| {
        product(Reply::json(status, &json!({"error": {"root_cause": [], "type": kind, "reason": reason}, "status": status})))
    };
    if door == Door::Guarded && !asked.is_basic() && !asked.is_token("ApiKey") {
        let reason = format!("unable to authenticate with provided credentials [{}]", asked.header("authorization"));
        return error(401, "security_exception", &reason)
            .with("www-authenticate", "Basic realm=\"security\" charset=\"UTF-8\"")
            .with("www-authenticate", "ApiKey");
    }
    match asked.line() {
        ("GET", "/_security/_authenticate") if door == Door::Guarded => {
            product(Reply::json(200, &json!({"username": USER, "roles": ["reader"], "authentication_type": "realm"})))
        }
        ("GET", "/") => product(Reply::json(
            200,
            &json!({"name": "node-1", "cluster_name": "logs", "version": {"number": "8.19.2", "build_flavor": "default"},
                    "tagline": "You Know, for Search"}),
        )),
        ("GET", "/orders/_search") => product(Reply::json(200, &hits())),
        ("GET", path) if path.ends_with("/_search") => error(404, "index_not_found_exception", "no such index [missing]"),
        _ => error(400, "illegal_argument_exception", "no handler found for uri [/_security/_authenticate] and method [GET]"),
    }
}

/// OpenSearch, by `GET /_plugins/_security/authinfo`
/// (<https://docs.opensearch.org/latest/security/api/authentication/auth-info/>) and `GET /`. Without the security plugin there is no such handler.
pub fn opensearch(asked: &Asked, door: Door) -> Reply {
    if door == Door::Guarded && !asked.is_basic() {
        return Reply::new(401, "Unauthorized").with("www-authenticate", "Basic realm=\"OpenSearch Security\"");
    }
    match asked.line() {
        ("GET", "/_plugins/_security/authinfo") if door == Door::Guarded => Reply::json(
            200,
            &json!({"user": format!("User [name={USER}]"), "user_name": USER, "backend_roles": [], "roles": ["reader"]}),
        ),
        ("GET", "/") => Reply::json(
            200,
            &json!({"name": "node-1", "cluster_name": "logs", "version": {"distribution": "opensearch", "number": "3.5.0"},
                    "tagline": "The OpenSearch Project: https://opensearch.org/"}),
        ),
        ("GET", "/orders/_search") => Reply::json(200, &hits()),
        ("GET", path) if path.ends_with("/_search") => Reply::json(
            404,
            &json!({"error": {"type": "index_not_found_exception", "reason": "no such index [missing]"}, "status": 404}),
        ),
        _ => Reply::json(400, &json!({"error": "no handler found for uri [/x] and method [GET]"})),
    }
}

fn hits() -> Value {
    json!({"took": 1, "timed_out": false, "hits": {"total": {"value": 3, "relation": "eq"}, "max_score": null, "hits": []}})
}
