//! What answers SQL over HTTP, and is no database by itself.

use serde_json::{Value, json};

use super::{Asked, Door, PASSWORD, Reply, USER};

/// Trino's client protocol: <https://trino.io/docs/current/develop/client-protocol.html>. Without a way to check passwords it takes none
/// (`InsecureAuthenticator` in its source), and takes everybody by name.
pub fn trino(asked: &Asked, door: Door) -> Reply {
    engine(asked, door, "trino", "476")
}

/// Presto's: <https://prestodb.io/docs/current/develop/client-protocol.html>.
pub fn presto(asked: &Asked, door: Door) -> Reply {
    engine(asked, door, "presto", "0.294-7c5a25c")
}

fn engine(asked: &Asked, door: Door, name: &str, version: &str) -> Reply {
    if asked.line() == ("GET", "/v1/info") {
        return Reply::json(
            200,
            &json!({"nodeVersion": {"version": version}, "environment": "test", "coordinator": true, "starting": false}),
        );
    }
    let challenge = format!("Basic realm=\"{name}\"");
    let signs_in = !asked.header("authorization").is_empty();
    if door == Door::Open && signs_in {
        return Reply::new(401, "Password not allowed for insecure authentication").with("www-authenticate", challenge);
    }
    if door == Door::Guarded && !asked.is_basic() && !asked.is_token("Bearer") {
        return Reply::new(401, format!("Access Denied: Invalid credentials {}", asked.header("authorization")))
            .with("www-authenticate", challenge);
    }
    if asked.header(&format!("x-{name}-user")) != USER {
        return Reply::new(401, "Basic authentication or user must be sent").with("www-authenticate", challenge);
    }
    let sql = asked.text();
    let stage = |number: u8, more: Value| {
        let mut result = json!({"id": "20261130_090000_00001_abcde", "infoUri": "http://elsewhere/ui/query.html", "stats": {"state": "QUEUED"}});
        result.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        // As a load balancer leads to it; who follows the host sends the password to another one.
        let next = |to: u8, about: &str| json!(format!("https://elsewhere.example.org/v1/statement/executing/{about}/{to}"));
        let about =
            if number == 0 { kind(&sql).to_owned() } else { asked.path().split('/').nth(4).unwrap_or_default().to_owned() };
        if number < 2 {
            result["nextUri"] = next(number + 1, &about);
        }
        Reply::json(200, &result)
    };
    match (asked.method.as_str(), asked.path().rsplit_once('/')) {
        ("POST", Some(("/v1", "statement"))) if sql.is_empty() => Reply::new(400, "SQL statement is empty"),
        ("POST", Some(("/v1", "statement"))) => stage(0, json!({})),
        ("GET", Some(("/v1/statement/executing/one", "1"))) => stage(1, json!({"columns": [{"name": "_col0"}], "data": [[1]]})),
        ("GET", Some(("/v1/statement/executing/catalogs", "1"))) => stage(1, json!({"data": [["hive"], ["system"]]})),
        ("GET", Some(("/v1/statement/executing/schemas", "1"))) => stage(1, json!({"data": [["web"]]})),
        ("GET", Some(("/v1/statement/executing/none", "1"))) => stage(1, json!({"data": []})),
        ("GET", Some(("/v1/statement/executing/wrong", "1"))) => {
            stage(2, json!({"error": {"message": "line 1:1: mismatched input", "errorName": "SYNTAX_ERROR"}}))
        }
        ("GET", Some((_, "2"))) => stage(2, json!({})),
        _ => Reply::new(404, "not found"),
    }
}

fn kind(sql: &str) -> &'static str {
    match sql {
        "SELECT 1" => "one",
        "SHOW CATALOGS" => "catalogs",
        "SELECT schema_name FROM \"hive\".information_schema.schemata WHERE schema_name = 'web'" => "schemas",
        _ if sql.contains("information_schema") => "none",
        _ => "wrong",
    }
}

/// Druid's SQL API (<https://druid.apache.org/docs/latest/api-reference/sql-api/>), guarded as `druid-basic-security` does it
/// (<https://druid.apache.org/docs/latest/operations/security-overview/>).
pub fn druid(asked: &Asked, door: Door) -> Reply {
    if door == Door::Guarded && !asked.is_basic() {
        return Reply::new(401, "").with("www-authenticate", "Basic");
    }
    match asked.line() {
        ("POST", "/druid/v2/sql") => match serde_json::from_slice::<Value>(&asked.body) {
            Ok(body) if body["query"] == "SELECT 1 AS one" => Reply::json(200, &json!([{"one": 1}])),
            _ => Reply::json(
                400,
                &json!({"error": "druidException", "errorCode": "invalidInput", "errorMessage": "Received an unexpected token"}),
            ),
        },
        ("GET", "/status") => Reply::json(200, &json!({"version": "34.0.0", "modules": [], "memory": {}})),
        _ => Reply::new(404, ""),
    }
}

/// “Get warehouse info” of Databricks: <https://docs.databricks.com/api/workspace/warehouses/get>. What is open is a proxy that adds a token.
pub fn databricks(asked: &Asked, door: Door) -> Reply {
    let refuse = |status, code: &str, words: &str| Reply::json(status, &json!({"error_code": code, "message": words}));
    if door == Door::Guarded && asked.header("authorization").is_empty() {
        return refuse(401, "UNAUTHENTICATED", "Credential was not sent or was of an unsupported type for this API.");
    }
    if door == Door::Guarded && asked.header("authorization") != format!("Bearer {PASSWORD}") {
        return Reply::new(403, "Invalid access token.");
    }
    match asked.line() {
        ("GET", "/api/2.0/sql/warehouses/abc123") => {
            Reply::json(200, &json!({"id": "abc123", "name": "Starter", "cluster_size": "Small", "state": "STOPPED"}))
        }
        ("GET", "/api/2.0/sql/warehouses/forbidden") => {
            refuse(403, "PERMISSION_DENIED", "You do not have permission to view it.")
        }
        _ => refuse(404, "RESOURCE_DOES_NOT_EXIST", "SQL warehouse does not exist."),
    }
}
