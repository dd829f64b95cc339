//! Databases.

use serde_json::json;

use super::{Asked, Door, PASSWORD, Reply, USER};

/// ClickHouse's HTTP interface: <https://clickhouse.com/docs/interfaces/http>. The codes are of `src/Common/ErrorCodes.cpp`, their statuses of
/// `exceptionCodeToHTTPStatus` in its source. A user without a password is let in with any.
pub fn clickhouse(asked: &Asked, door: Door) -> Reply {
    let refuse = |status, code: u32, words: &str| {
        Reply::new(status, format!("Code: {code}. DB::Exception: {words} (version 26.3.1.896 (official build))\n"))
            .with("x-clickhouse-exception-code", code.to_string())
    };
    if asked.line() != ("POST", "/") {
        return Reply::new(404, "There is no handle /. Use / or /ping for health checks.\n");
    }
    let user = asked.header("x-clickhouse-user");
    if user != USER || (door == Door::Guarded && asked.header("x-clickhouse-key") != PASSWORD) {
        let key = asked.header("x-clickhouse-key");
        return refuse(
            403,
            516,
            &format!("{user}: Authentication failed: password is incorrect (it was {key}), or there is no user."),
        );
    }
    match asked.header("x-clickhouse-database") {
        "" | "sales" => {}
        "private" => return refuse(403, 497, "anna: Not enough privileges."),
        other => return refuse(404, 81, &format!("Database {other} does not exist. (UNKNOWN_DATABASE)")),
    }
    let answer = match asked.text().as_str() {
        "SELECT version()" => "26.3.1.896\n",
        "SELECT 1" => "1\n",
        _ => return refuse(400, 62, "Syntax error: failed at position 1."),
    };
    Reply::new(200, answer)
        .with("content-type", "text/tab-separated-values; charset=UTF-8")
        .with("x-clickhouse-query-id", "f1b4d5a2-0000-4000-8000-000000000001")
}

/// InfluxDB 2: <https://docs.influxdata.com/influxdb/v2/api/v2/>, “List buckets”. It always asks for a token; what is open is a proxy that adds one.
pub fn influxdb(asked: &Asked, door: Door) -> Reply {
    let version = |reply: Reply| reply.with("x-influxdb-version", "v2.7.11");
    let refuse = |status, code: &str, words: &str| version(Reply::json(status, &json!({"code": code, "message": words})));
    if door == Door::Guarded && !asked.is_token("Token") {
        return refuse(401, "unauthorized", "unauthorized access");
    }
    if asked.line() != ("GET", "/api/v2/buckets") {
        return refuse(404, "not found", "path not found");
    }
    if asked.query("org").is_some_and(|name| name != "acme") {
        return refuse(404, "not found", "organization name not found");
    }
    let all = json!([{"id": "0000000000000001", "name": "metrics", "type": "user", "retentionRules": []}]);
    let found = if asked.query("name").is_none_or(|name| name == "metrics") { all } else { json!([]) };
    version(Reply::json(200, &json!({"links": {"self": "/api/v2/buckets"}, "buckets": found})))
}
