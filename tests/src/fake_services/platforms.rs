//! Snowflake, Kubernetes, git, Neo4j and Slack.

use serde_json::{Value, json};

use super::{Asked, Door, PASSWORD, Reply, USER, signatures::RsaPair};
use crate::fake_oidc::now;

/// Snowflake's SQL API: <https://docs.snowflake.com/en/developer-guide/sql-api/reference>, signed as
/// <https://docs.snowflake.com/en/developer-guide/sql-api/authenticating#using-key-pair-authentication> has it.
pub fn snowflake(asked: &Asked, door: Door) -> Reply {
    let refuse = |status, code: &str, words: &str| Reply::json(status, &json!({"code": code, "message": words}));
    if door == Door::Guarded {
        let token = asked.header("authorization").strip_prefix("Bearer ").unwrap_or_default();
        match asked.header("x-snowflake-authorization-token-type") {
            "KEYPAIR_JWT" => {
                let issuer = format!("ACME-MAIN.ANNA.{}", RsaPair::known().fingerprint());
                let claims = RsaPair::known().claims(token).unwrap_or_default();
                let (made, until) = (claims["iat"].as_i64().unwrap_or_default(), claims["exp"].as_i64().unwrap_or_default());
                let is_now = (made - now()).abs() < 60 && until > made && until - made <= 3_600;
                if claims["iss"] != issuer || claims["sub"] != "ACME-MAIN.ANNA" || !is_now {
                    return refuse(401, "390144", &format!("JWT token is invalid. {token}"));
                }
            }
            "PROGRAMMATIC_ACCESS_TOKEN" if token == PASSWORD => {}
            _ => return refuse(401, "390303", "Invalid OAuth access token."),
        }
    }
    if asked.line() != ("POST", "/api/v2/statements") {
        return refuse(404, "391404", "not found");
    }
    let body: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
    if body["statement"] != "SELECT CURRENT_VERSION(), CURRENT_DATABASE(), CURRENT_SCHEMA(), CURRENT_WAREHOUSE(), CURRENT_ROLE()"
    {
        return refuse(422, "001003", "SQL compilation error");
    }
    if body["role"] == "NOBODY" {
        return refuse(422, "390189", "Role 'NOBODY' specified in the connect string does not exist or not authorized.");
    }
    // What is not there is not current.
    let current = |name: &str| if body[name] == "NOWHERE" { Value::Null } else { body[name].clone() };
    Reply::json(
        200,
        &json!({
            "code": "090001", "statementHandle": "01b", "message": "Statement executed successfully.",
            "data": [["9.33.1", current("database"), current("schema"), current("warehouse"), current("role")]],
        }),
    )
}

/// Kubernetes' API, of which a review and the version are asked:
/// <https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/self-subject-review-v1/>. What is open is an authorizer that allows everybody
/// everything (`--authorization-mode=AlwaysAllow`), behind a proxy that signs in.
pub fn kubernetes(asked: &Asked, door: Door) -> Reply {
    let status = |code: u16, reason: &str, words: &str| {
        Reply::json(
            code,
            &json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": words, "reason": reason, "code": code}),
        )
    };
    let signed_in = door == Door::Open || asked.is_token("Bearer");
    match asked.line() {
        ("GET", "/version") => Reply::json(200, &json!({"major": "1", "minor": "34", "gitVersion": "v1.34.2"})),
        _ if !signed_in && !asked.header("authorization").is_empty() => status(401, "Unauthorized", "Unauthorized"),
        _ if !signed_in => status(
            403,
            "Forbidden",
            "selfsubjectreviews.authentication.k8s.io is forbidden: User \"system:anonymous\" cannot create resource",
        ),
        ("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews") if asked.text().contains("\"SelfSubjectReview\"") => {
            Reply::json(
                201,
                &json!({"kind": "SelfSubjectReview", "status": {"userInfo": {"username": "system:serviceaccount:etl:anna"}}}),
            )
        }
        _ => status(404, "NotFound", "the server could not find the requested resource"),
    }
}

/// A host of repositories (<https://git-scm.com/docs/http-protocol#_smart_clients>).
pub fn git(asked: &Asked, door: Door) -> Reply {
    if door == Door::Guarded && !asked.is_basic() {
        return Reply::new(401, "Authentication required").with("www-authenticate", "Basic realm=\"Git\"");
    }
    match (asked.line(), asked.query("service")) {
        (("GET", "/acme/pipelines.git/info/refs"), Some("git-upload-pack")) => Reply::new(
            200,
            "001e# service=git-upload-pack\n0000004895dcfa3633004da0049d3d0fa03f80589cbcaf31 refs/heads/main\0multi_ack\n0000",
        )
        .with("content-type", "application/x-git-upload-pack-advertisement"),
        _ => Reply::new(404, "Not Found"),
    }
}

/// Neo4j's Query API: <https://neo4j.com/docs/query-api/current/query/>, and what it refuses
/// (<https://neo4j.com/docs/query-api/current/authentication-authorization/>).
pub fn neo4j(asked: &Asked, door: Door) -> Reply {
    let error = |status, code: &str, words: &str| Reply::json(status, &json!({"errors": [{"code": code, "message": words}]}));
    if asked.line() == ("GET", "/") {
        return Reply::json(
            200,
            &json!({"neo4j_version": "5.26.1", "neo4j_edition": "community", "query": "http://h/db/{databaseName}/query/v2"}),
        );
    }
    if door == Door::Guarded && asked.header("authorization").is_empty() {
        return error(401, "Neo.ClientError.Security.Unauthorized", "No authentication header supplied.")
            .with("www-authenticate", "Basic realm=\"Neo4j\", Bearer realm=\"Neo4j\"");
    }
    if door == Door::Guarded && !asked.is_basic() {
        return error(401, "Neo.ClientError.Security.Unauthorized", "Invalid credential.");
    }
    match asked.line() {
        ("POST", "/db/graph/query/v2") if asked.text().contains("RETURN 1 AS one") => {
            Reply::json(202, &json!({"data": {"fields": ["one"], "values": [[1]]}, "bookmarks": ["b"]}))
        }
        _ => error(404, "Neo.ClientError.Database.DatabaseNotFound", "Database does not exist."),
    }
}

/// Slack's API: <https://docs.slack.dev/reference/methods/auth.test>. What is open is a proxy that adds a token.
pub fn slack(asked: &Asked, door: Door) -> Reply {
    let refuse = |code: &str| Reply::json(200, &json!({"ok": false, "error": code}));
    if asked.line() != ("POST", "/api/auth.test") {
        return refuse("unknown_method");
    }
    match asked.header("authorization") {
        _ if door == Door::Open || asked.is_token("Bearer") => Reply::json(
            200,
            &json!({"ok": true, "url": "https://acme.slack.com/", "team": "Acme", "user": USER, "team_id": "T1", "user_id": "U1"}),
        ),
        "" => refuse("not_authed"),
        _ => refuse("invalid_auth"),
    }
}
