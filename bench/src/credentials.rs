//! `GET …/credentials` with everything on, beside the bare server, and beside the product without its audit.

use std::{fmt::Write as _, path::Path, process::Command};

use anyhow::Context;
use serde_json::json;
use tempfile::TempDir;

use crate::{
    bare,
    http::Client,
    load::{self, CONNECTIONS, Load},
    report::{Line, Promise, median},
    server::{Running, Server, create, free_port, sample, wait},
};

/// Connections that are asked for in turn.
pub const NAMES: u32 = 1_000;
/// Where the product answers.
const ADDRESS: &str = "/api/v1/workspaces/default/connections/name_%d/credentials";
/// Tokens that ask.
const TOKENS: usize = 100;
/// Runs of each server, one after the other by turns.
const ROUNDS: usize = 5;

/// What a slowest of 100 requests may take longer than without the audit, in milliseconds.
const SLOWER: f64 = 1.0;
/// What share of the requests the counts of who uses what may cost.
const COUNTING: f64 = 0.03;

/// Requests per second through the product, through the bare server and through the product without its audit, and without its counts of uses,
/// by turns, and the slowest of them; what is compared is the medians.
pub fn measure() -> anyhow::Result<Vec<Line>> {
    let scripts = TempDir::new()?;
    let server = Server::start()?;
    let tokens = fill(&server)?;
    let ours = scripts.path().join("ours.lua");
    std::fs::write(&ours, script(ADDRESS, &tokens))?;

    let unaudited = Server::start_without("unaudited")?;
    let without = scripts.path().join("unaudited.lua");
    std::fs::write(&without, script(ADDRESS, &fill(&unaudited)?))?;

    let uncounted = Server::start_without("uncounted")?;
    let uncounted_script = scripts.path().join("uncounted.lua");
    std::fs::write(&uncounted_script, script(ADDRESS, &fill(&uncounted)?))?;

    let folder = TempDir::new()?;
    bare::prepare(folder.path())?;
    let port = free_port()?;
    let _bare = Running::start(Command::new(std::env::current_exe()?).args(["bare", path(folder.path())?, &port.to_string()]))?;
    wait(port, "/name_1")?;
    let theirs = scripts.path().join("bare.lua");
    std::fs::write(&theirs, script("/name_%d", &tokens))?;

    let (mut product, mut comparison, mut off, mut not_counted) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        comparison.push(load::run(&format!("http://127.0.0.1:{port}"), &theirs)?);
        product.push(load::run(&server.url(), &ours)?);
        off.push(load::run(&unaudited.url(), &without)?);
        not_counted.push(load::run(&uncounted.url(), &uncounted_script)?);
    }
    let median_of = |loads: &[Load], what: fn(&Load) -> f64| median(loads.iter().map(what).collect());
    let rate = |loads: &[Load]| median_of(loads, |load| load.per_second);
    let p99 = |loads: &[Load]| median_of(loads, |load| load.p99);
    let beside = format!("bare axum {:.0} /s; {CONNECTIONS} connections of wrk", rate(&comparison));
    let what = format!("GET …/credentials, audit on, {NAMES} names, {TOKENS} tokens");
    let beside_off = format!("audit off {:.2} ms, {:.0} /s; bare axum {:.2} ms", p99(&off), rate(&off), p99(&comparison));
    let counted = format!("the same without them {:.0} /s", rate(&not_counted));
    Ok(vec![
        Line::new(what, rate(&product), "/s", beside).promise_beside(rate(&comparison), Promise::AtLeast(0.6)),
        Line::new("the same, p99", p99(&product), "ms", beside_off).promise(Promise::AtMost(p99(&off) + SLOWER)),
        Line::new(format!("the same, {TOKENS} workflows counted"), rate(&product), "/s", counted)
            .promise_beside(rate(&not_counted), Promise::AtLeast(1.0 - COUNTING)),
    ])
}

/// Makes the connections and tokens, and gives wrk's script that asks for them.
pub fn prepare(server: &Server) -> anyhow::Result<String> {
    Ok(script(ADDRESS, &fill(server)?))
}

/// Makes the connections, and gives the tokens that ask for them.
fn fill(server: &Server) -> anyhow::Result<Vec<String>> {
    let mut editor = server.client("editor", "editor")?;
    for number in 0..NAMES {
        create(&mut editor, &sample(number))?;
    }
    let mut admin = server.client("admin", "admin")?;
    (0..TOKENS).map(|number| user_token(&mut admin, number)).collect()
}

fn path(path: &Path) -> anyhow::Result<&str> {
    path.to_str().context("a folder's name is UTF-8")
}

fn user_token(admin: &mut Client, number: usize) -> anyhow::Result<String> {
    let body = json!({"name": format!("user {number}"), "roles": ["user"]});
    let answer = admin.send("POST", "/api/v1/workspaces/default/tokens", &body.to_string())?;
    let token: serde_json::Value = serde_json::from_slice(&answer.body).context("read a token")?;
    token.get("token").and_then(serde_json::Value::as_str).map(str::to_owned).context("an answer with a token")
}

/// A wrk script that asks for one name after the other, each with the next token; the bare server looks at none, and is sent as much.
fn script(address: &str, tokens: &[String]) -> String {
    let mut lua = String::from("local tokens = {");
    for token in tokens {
        let _ = write!(lua, "\"Bearer {token}\",");
    }
    let _ = write!(
        lua,
        "}}\nlocal n = 0\nlocal headers = {{}}\nrequest = function()\n  n = n + 1\n  headers[\"Authorization\"] = tokens[n % #tokens + 1]\n  \
         headers[\"Dataflow-Workflow\"] = \"kind=pipeline; name=\\\"nightly_\" .. n % #tokens .. \"\\\"; run=\\\"7\\\"\"\n  \
         return wrk.format(\"GET\", string.format(\"{address}\", n % {NAMES}), headers)\nend\n"
    );
    lua
}
