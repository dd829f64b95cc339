//! A thousand tests of a healthy PostgreSQL, sixteen at a time, and what they leave behind; and what tests that run by themselves cost whoever asks
//! for credentials meanwhile.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    credentials,
    http::Client,
    load::{self, Load},
    postgres::Postgres,
    report::{Line, Promise, median, quantile},
    server::{CONNECTIONS, Server, create},
};

const TESTS: usize = 1_000;
/// Four workspaces, each with two callers, of which each has two under way: as many as a node runs at a time.
const WORKSPACES: usize = 4;
const CALLERS: usize = 2;
const OF_A_CALLER: usize = 2;
/// How long what tests leave may take to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(10);

/// Connections that are tested by themselves, every thirty seconds: ten thousand tests an hour.
const SCHEDULED: u32 = 84;
const EVERY_SECONDS: u32 = 30;
/// The first test of each comes within a minute, the second one within thirty seconds of that.
const UNTIL_SPREAD: Duration = Duration::from_secs(70);
/// Runs of wrk before, while and after they are tested.
const ROUNDS: usize = 5;
/// What the slowest of 100 requests may take longer meanwhile.
const SLOWER: f64 = 1.2;

pub fn measure(postgres: &Postgres) -> anyhow::Result<Vec<Line>> {
    let mut lines = thousand(postgres)?;
    lines.extend(scheduled(postgres)?);
    Ok(lines)
}

fn thousand(postgres: &Postgres) -> anyhow::Result<Vec<Line>> {
    let server = Server::start()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut browser = server.form_sender()?;
    let mut clients = Vec::new();
    for number in 0..WORKSPACES {
        let workspace = format!("bench{number}");
        browser.send("POST", "/workspaces", &format!("name={workspace}"))?;
        let path = format!("/api/v1/workspaces/{workspace}/connections");
        for caller in 0..CALLERS {
            let token = server.token_in(&workspace, &format!("caller {caller}"))?;
            if caller == 0 {
                Client::with_token(server.port, &token)?.send("POST", &path, &postgres.connection("local").to_string())?;
            }
            for _ in 0..OF_A_CALLER {
                clients.push((Client::with_token(server.port, &token)?, format!("{path}/local/test")));
            }
        }
    }
    // The first ones fill caches, and start what waits for a test.
    for (client, path) in &mut clients {
        test(client, path)?;
    }
    let at_once = clients.len();
    let before = left(&server, postgres, &runtime, None)?;
    let begun = Instant::now();
    let took = thread::scope(|scope| {
        let each = |(client, path): (Client, String)| {
            let mut client = client;
            move || (0..TESTS / at_once).map(|_| test(&mut client, &path)).collect::<anyhow::Result<Vec<f64>>>()
        };
        let running: Vec<_> = clients.into_iter().map(|client| scope.spawn(each(client))).collect();
        let mut took = Vec::new();
        for one in running {
            let Ok(times) = one.join() else { bail!("a client broke off") };
            took.extend(times?);
        }
        Ok(took)
    })?;
    let seconds = begun.elapsed().as_secs_f64();
    let tests = took.len();
    let mut took = took;
    let after = left(&server, postgres, &runtime, Some(before))?;
    let more = after.descriptors.saturating_sub(before.descriptors)
        + after.processes.saturating_sub(before.processes)
        + after.sessions.saturating_sub(before.sessions);
    let count = |count: usize| u32::try_from(count).map_or(f64::MAX, f64::from);
    let beside =
        format!("one of them p50 {:.1} ms; {WORKSPACES} workspaces, {} tokens", quantile(&mut took, 0.5), WORKSPACES * CALLERS);
    let held =
        format!("{} descriptors, {} processes, {} sessions of PostgreSQL", after.descriptors, after.processes, after.sessions);
    Ok(vec![
        Line::new(format!("{tests} tests of PostgreSQL, {at_once} at a time"), count(tests) / seconds, "/s", beside)
            .p99(quantile(&mut took, 0.99)),
        Line::new("processes, sockets and files that they left", count(more), "", held).promise(Promise::AtMost(0.0)),
    ])
}

/// What a server holds, and PostgreSQL for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Held {
    descriptors: usize,
    processes: usize,
    sessions: usize,
}

/// What is held once it is no more than before, or does not become less.
fn left(server: &Server, postgres: &Postgres, runtime: &tokio::runtime::Runtime, before: Option<Held>) -> anyhow::Result<Held> {
    let begun = Instant::now();
    loop {
        let (descriptors, processes) = server.held()?;
        let held = Held { descriptors, processes, sessions: runtime.block_on(postgres.sessions())? };
        let is_gone = before.is_some_and(|before| {
            held.descriptors <= before.descriptors && held.processes <= before.processes && held.sessions <= before.sessions
        });
        let waited = begun.elapsed();
        if is_gone || waited > GONE_WITHIN || (before.is_none() && waited > Duration::from_secs(3)) {
            return Ok(held);
        }
        thread::sleep(Duration::from_millis(200));
    }
}

/// One test; how long its answer took, in milliseconds.
fn test(client: &mut Client, path: &str) -> anyhow::Result<f64> {
    let begun = Instant::now();
    let answer = client.send("POST", path, "")?;
    let took = begun.elapsed().as_secs_f64() * 1000.0;
    let report: Value = serde_json::from_slice(&answer.body).context("read a report")?;
    ensure!(report.get("status").and_then(Value::as_str) == Some("ok"), "the test did not pass: {report}");
    Ok(took)
}

fn scheduled(postgres: &Postgres) -> anyhow::Result<Vec<Line>> {
    let server = Server::start()?;
    let folder = TempDir::new()?;
    let script = folder.path().join("credentials.lua");
    std::fs::write(&script, credentials::prepare(&server)?)?;
    let token = server.token("admin", "scheduler")?;
    let mut admin = Client::with_token(server.port, &token)?;
    let mut whatever_stands = Client::new(server.port, &[("Authorization", &format!("Bearer {token}")), ("If-Match", "*")])?;
    for number in 0..SCHEDULED {
        let mut body = postgres.connection(&format!("tested_{number}"));
        if let Some(fields) = body.as_object_mut() {
            fields.insert("tags".to_owned(), json!(["tested"]));
        }
        create(&mut admin, &body)?;
    }
    let rounds = |count: usize| (0..count).map(|_| load::run(&server.url(), &script)).collect::<anyhow::Result<Vec<Load>>>();
    let path = CONNECTIONS.replace("/connections", "/health-schedules/tag:tested");
    // Both sides are warm.
    rounds(1)?;
    let mut idle = rounds(ROUNDS)?;
    whatever_stands.send("PUT", &path, &json!({"every_seconds": EVERY_SECONDS, "jitter_percent": 10}).to_string())?;
    thread::sleep(UNTIL_SPREAD);
    let (before, begun) = (tested(&mut admin)?, Instant::now());
    let busy = rounds(ROUNDS * 2)?;
    let an_hour = (tested(&mut admin)? - before) / begun.elapsed().as_secs_f64() * 3_600.0;
    whatever_stands.send("DELETE", &path, "")?;
    thread::sleep(Duration::from_secs(12));
    idle.extend(rounds(ROUNDS)?);
    let p99 = |loads: &[Load]| median(loads.iter().map(|load| load.p99).collect());
    let rate = |loads: &[Load]| median(loads.iter().map(|load| load.per_second).collect());
    let beside = format!("without them {:.2} ms, {:.0} /s; with them {:.0} /s", p99(&idle), rate(&idle), rate(&busy));
    Ok(vec![
        Line::new(format!("GET …/credentials p99, {an_hour:.0} scheduled tests an hour"), p99(&busy), "ms", beside)
            .promise_beside(p99(&idle), Promise::AtMost(SLOWER)),
    ])
}

/// How many tests of PostgreSQL have run.
fn tested(admin: &mut Client) -> anyhow::Result<f64> {
    let text = String::from_utf8(admin.get("/metrics")?.body).context("read the metrics")?;
    let counts = text.lines().filter(|line| line.starts_with("dataflow_connection_tests_total{connector=\"postgres\""));
    counts.map(|line| line.rsplit(' ').next().unwrap_or_default().parse::<f64>().context("read a count")).sum()
}
