//! A test of a connection, as the API gives it, beside what it stands for: connect, sign in by SCRAM, `SELECT 1`, close.
//!
//! The comparison runs in this process, through tokio-postgres. The test is one HTTP request on an open connection, and includes the
//! child process that it runs in.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::{
    http::Client,
    postgres::Postgres,
    report::{Line, Promise, quantile},
    server::{CONNECTIONS, Server, create},
};

/// Pairs that are measured.
const ROUNDS: usize = 150;
/// Between two measurements, so that what one leaves to be done (a check to keep, the next child to start) is not in the other.
const PAUSE: Duration = Duration::from_millis(60);

pub fn measure(postgres: &Postgres) -> anyhow::Result<Vec<Line>> {
    let server = Server::start()?;
    create(&mut server.client("editor", "editor")?, &postgres.connection("local"))?;
    let mut user = server.client("user", "user")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut bare, mut paced, mut at_once) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS + 5 {
        let pair = (runtime.block_on(postgres.connect_and_select())?, pause(), test(&mut user)?, pause());
        // The first ones fill caches on both sides.
        if round >= 5 {
            bare.push(pair.0);
            paced.push(pair.2);
        }
    }
    for _ in 0..ROUNDS {
        at_once.push(test(&mut user)?);
    }
    let (bare_p50, bare_p99) = (quantile(&mut bare, 0.5), quantile(&mut bare, 0.99));
    let beside = format!("tokio-postgres connect, SELECT 1, close {bare_p50:.2} ms (p99 {bare_p99:.2})");
    let at_once_p50 = quantile(&mut at_once, 0.5);
    Ok(vec![
        Line::new("connection test, PostgreSQL with SCRAM, child included", quantile(&mut paced, 0.5), "ms", &beside)
            .p99(quantile(&mut paced, 0.99))
            .promise_beside(bare_p50, Promise::AtMost(1.5)),
        Line::new("the same, one right after the other", at_once_p50, "ms", beside).p99(quantile(&mut at_once, 0.99)),
    ])
}

fn pause() {
    std::thread::sleep(PAUSE);
}

/// One test; how long its answer took, in milliseconds.
fn test(user: &mut Client) -> anyhow::Result<f64> {
    let begun = Instant::now();
    let answer = user.send("POST", &format!("{CONNECTIONS}/local/test"), "")?;
    let took = begun.elapsed().as_secs_f64() * 1000.0;
    let report: Value = serde_json::from_slice(&answer.body).context("read a report")?;
    ensure!(report.get("status").and_then(Value::as_str) == Some("ok"), "the test did not pass: {report}");
    Ok(took)
}
