//! What keeps schemas, images and packages.

use serde_json::json;

use super::{Asked, Door, PASSWORD, Reply, USER};

/// Confluent's Schema Registry: <https://docs.confluent.io/platform/current/schema-registry/develop/api.html>.
pub fn schema_registry(asked: &Asked, door: Door) -> Reply {
    let reply = |status, body: &serde_json::Value| {
        Reply::new(status, body.to_string()).with("content-type", "application/vnd.schemaregistry.v1+json")
    };
    if door == Door::Guarded && !asked.is_basic() {
        return reply(401, &json!({"error_code": 401, "message": "Unauthorized"}))
            .with("www-authenticate", "Basic realm=\"SchemaRegistry\"");
    }
    match asked.line() {
        ("GET", "/subjects") if asked.query("limit") == Some("1") => reply(200, &json!(["orders-value"])),
        ("GET", "/v1/metadata/version") => reply(200, &json!({"version": "8.1.0-ccs", "commitId": "abc"})),
        _ => reply(404, &json!({"error_code": 404, "message": "HTTP 404 Not Found"})),
    }
}

/// A Python package index in HTML (<https://packaging.python.org/en/latest/specifications/simple-repository-api/>), under `/simple`.
pub fn package_index(asked: &Asked, door: Door) -> Reply {
    if door == Door::Guarded && !asked.is_basic() {
        return Reply::new(401, "<html><title>Unauthorized</title></html>")
            .with("content-type", "text/html")
            .with("www-authenticate", "Basic realm=\"index\"");
    }
    let page = |title: &str, links: &str| {
        Reply::new(200, format!("<!DOCTYPE html>\n<html><head><meta name=\"pypi:repository-version\" content=\"1.0\"><title>{title}</title></head><body>{links}</body></html>"))
            .with("content-type", "text/html")
    };
    match asked.line() {
        ("GET", "/simple/") => page("Simple index", "<a href=\"/simple/sample-project/\">sample-project</a>"),
        ("GET", "/simple/sample-project/") => page("Links for sample-project", "<a href=\"x-1.0.whl\">x-1.0.whl</a>"),
        _ => Reply::new(404, "Not Found"),
    }
}

/// A registry of images that looks at names and passwords itself (`auth: htpasswd`):
/// <https://distribution.github.io/distribution/spec/api/>, “API version check”.
pub fn docker_registry(asked: &Asked, door: Door) -> Reply {
    if door == Door::Guarded && !asked.is_basic() {
        return unauthorised("Basic realm=\"registry\"");
    }
    version_check(asked)
}

fn version_check(asked: &Asked) -> Reply {
    match asked.line() {
        ("GET", "/v2/") => Reply::json(200, &json!({})).with("docker-distribution-api-version", "registry/2.0"),
        _ => Reply::new(404, ""),
    }
}

fn unauthorised(challenge: &str) -> Reply {
    Reply::json(401, &json!({"errors": [{"code": "UNAUTHORIZED", "message": "authentication required", "detail": null}]}))
        .with("docker-distribution-api-version", "registry/2.0")
        .with("www-authenticate", challenge)
}

/// What the token service gives.
const TOKEN: &str = "token-of-the-registry";

/// A registry with a token service of its own, at `realm`: <https://distribution.github.io/distribution/spec/auth/token>. The service gives a token to
/// whoever names nobody, too, as Docker Hub's does.
pub fn token_service(asked: &Asked, door: Door, realm: &str) -> Reply {
    match asked.line() {
        ("GET", "/token") => {
            let is_known = asked.is_basic() || asked.header("authorization").is_empty() || door == Door::Open;
            if !is_known {
                return Reply::json(401, &json!({"details": format!("incorrect username or password {USER} {PASSWORD}")}));
            }
            if asked.query("service") != Some("registry.example.org") {
                return Reply::json(400, &json!({"details": "unknown service"}));
            }
            Reply::json(200, &json!({"token": TOKEN, "expires_in": 300}))
        }
        _ if asked.header("authorization") == format!("Bearer {TOKEN}") => version_check(asked),
        _ => unauthorised(&format!("Bearer realm=\"{realm}\",service=\"registry.example.org\"")),
    }
}
