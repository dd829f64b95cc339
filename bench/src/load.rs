//! Load from `wrk`, on loopback, bounded in time.

use std::{path::Path, process::Command};

use anyhow::{Context, bail, ensure};

/// Open connections of one run.
pub const CONNECTIONS: u32 = 64;
/// Seconds of one run.
const SECONDS: u32 = 6;

/// What one run saw.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    pub per_second: f64,
    /// What 99 of 100 requests did not exceed, in milliseconds.
    pub p99: f64,
}

/// Sends the requests that `script` makes to `url`, one after the other on each connection.
pub fn run(url: &str, script: &Path) -> anyhow::Result<Load> {
    let output = Command::new("wrk")
        .args(["--threads", "1", "--connections", &CONNECTIONS.to_string(), "--duration", &format!("{SECONDS}s"), "--latency"])
        .arg("--script")
        .arg(script)
        .arg(url)
        .output()
        .context("run wrk")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "wrk failed: {text}");
    ensure!(!text.contains("Non-2xx"), "some requests were refused:\n{text}");
    let after = |start: &str| text.lines().find_map(|line| line.trim().strip_prefix(start)).map(str::trim);
    let per_second = after("Requests/sec:").context("wrk printed no rate")?.parse().context("read wrk's rate")?;
    Ok(Load { per_second, p99: milliseconds(after("99%").context("wrk printed no quantiles")?)? })
}

/// A time as wrk writes it: `812.00us`, `2.51ms`, `1.02s`.
fn milliseconds(text: &str) -> anyhow::Result<f64> {
    for (unit, factor) in [("us", 0.001), ("ms", 1.0), ("s", 1000.0)] {
        if let Some(number) = text.strip_suffix(unit) {
            return Ok(number.parse::<f64>().with_context(|| format!("read wrk's time {text}"))? * factor);
        }
    }
    bail!("wrk wrote the time {text}")
}
