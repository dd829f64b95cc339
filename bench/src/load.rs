//! Load from `wrk`, on loopback, bounded in time.

use std::{path::Path, process::Command};

use anyhow::{Context, ensure};

/// Open connections of one run.
pub const CONNECTIONS: u32 = 64;
/// Seconds of one run.
const SECONDS: u32 = 6;

/// Requests per second that `url` answers under the requests that `script` makes.
pub fn requests_per_second(url: &str, script: &Path) -> anyhow::Result<f64> {
    let output = Command::new("wrk")
        .args(["--threads", "1", "--connections", &CONNECTIONS.to_string(), "--duration", &format!("{SECONDS}s"), "--script"])
        .arg(script)
        .arg(url)
        .output()
        .context("run wrk")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "wrk failed: {text}");
    ensure!(!text.contains("Non-2xx"), "some requests were refused:\n{text}");
    let line = text.lines().find_map(|line| line.strip_prefix("Requests/sec:")).context("wrk printed no rate")?;
    line.trim().parse().context("read wrk's rate")
}
