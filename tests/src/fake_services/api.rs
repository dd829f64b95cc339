//! Any API, the endpoint that gives OAuth's tokens, and Vault.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{Asked, Door, PASSWORD, Reply, USER};

/// What the endpoint gives.
const TOKEN: &str = "token-of-the-endpoint";

/// An API that takes the password, the token, the key, or what the endpoint gives (RFC 9110, section 11.6; RFC 6750, section 3).
pub fn api(asked: &Asked, door: Door) -> Reply {
    let is_known = asked.is_basic()
        || asked.is_token("Bearer")
        || asked.header("x-api-key") == PASSWORD
        || asked.header("authorization") == format!("Bearer {TOKEN}");
    if door == Door::Guarded && !is_known {
        let kind = if asked.header("authorization").starts_with("Basic") { "Basic realm=\"api\"" } else { "Bearer" };
        return Reply::json(401, &json!({"message": format!("who are you, {}?", asked.header("authorization"))}))
            .with("www-authenticate", kind);
    }
    match asked.line() {
        ("GET", "/v1/me") => Reply::json(200, &json!({"name": USER})),
        ("GET", "/v1/page") => {
            Reply::new(200, "<html><form><input type=\"password\"></form></html>").with("content-type", "text/html")
        }
        ("GET", "/v1/moved") => Reply::new(302, "").with("location", "https://elsewhere.example.org/login?next=/v1/me"),
        ("GET", "/v1/forbidden") => Reply::json(403, &json!({"message": "not for you"})),
        ("GET", "/v1/broken") => Reply::json(500, &json!({"message": format!("lost {PASSWORD}")})),
        _ => Reply::json(404, &json!({"message": "no such thing"})),
    }
}

/// The endpoint for client credentials (RFC 6749, sections 2.3.1, 4.4 and 5.2). `in_body` takes the secret there alone, as section 2.3.1 allows it to.
pub fn oauth_endpoint(asked: &Asked, door: Door, in_body: bool) -> Reply {
    let error =
        |status, code: &str| Reply::json(status, &json!({"error": code, "error_description": format!("sent {}", asked.text())}));
    if asked.line() != ("POST", "/oauth/token") || asked.header("content-type") != "application/x-www-form-urlencoded" {
        return Reply::new(404, "");
    }
    let text = asked.text();
    let has = |part: &str| text.split('&').any(|one| one == part);
    let is_known = if in_body {
        has(&format!("client_id={USER}")) && has(&format!("client_secret={PASSWORD}"))
    } else {
        asked.header("authorization") == format!("Basic {}", STANDARD.encode(format!("{USER}:{PASSWORD}")))
    };
    if door == Door::Guarded && !is_known {
        return error(401, "invalid_client").with("www-authenticate", "Basic realm=\"oauth\"");
    }
    if !has("grant_type=client_credentials") {
        return error(400, "unsupported_grant_type");
    }
    if text.contains("scope=") && !has("scope=read%20all") {
        return error(400, "invalid_scope");
    }
    Reply::json(200, &json!({"access_token": TOKEN, "token_type": "Bearer", "expires_in": 3600}))
}

/// Vault's API: <https://developer.hashicorp.com/vault/api-docs/system/health>, `…/auth/token`, `…/auth/approle`. What is open is an agent that adds a
/// token of its own, and a role with `bind_secret_id=false`, whose secret id nobody looks at.
pub fn vault(asked: &Asked, door: Door) -> Reply {
    const GIVEN: &str = "hvs.token-of-the-role";
    let refuse = |status, words: &str| Reply::json(status, &json!({"errors": [words]}));
    let token = asked.header("x-vault-token");
    match asked.line() {
        ("GET", "/v1/sys/health") => Reply::json(
            200,
            &json!({"initialized": true, "sealed": false, "standby": false, "version": "1.20.4", "cluster_name": "vault"}),
        ),
        ("POST", "/v1/auth/approle/login") => {
            let body: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
            match (body["role_id"].as_str(), body["secret_id"].as_str()) {
                (Some(USER), _) if door == Door::Open => {}
                (Some(USER), Some(PASSWORD)) => {}
                (Some(USER), None) => return refuse(400, "missing secret_id"),
                _ => return refuse(400, "invalid role or secret ID"),
            }
            Reply::json(200, &json!({"auth": {"client_token": GIVEN, "policies": ["default"], "lease_duration": 1200}}))
        }
        _ if token != PASSWORD && token != GIVEN && door == Door::Guarded => refuse(403, "permission denied"),
        ("GET", "/v1/auth/token/lookup-self") => {
            Reply::json(200, &json!({"data": {"id": token, "policies": ["default"], "ttl": 1200, "display_name": "token"}}))
        }
        ("POST", "/v1/auth/token/revoke-self") => Reply::new(204, ""),
        _ => Reply::json(404, &json!({"errors": []})),
    }
}
