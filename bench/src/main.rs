//! `make bench`: what the product does beside what a user would pick instead, each pair measured in one run on one machine.
//!
//! Prints a table on standard output, and writes the same as JSON where `--json PATH` says.

mod bare;
mod credentials;
mod load;
mod server;

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail};
use serde::Serialize;

/// One measured number beside its comparison.
#[derive(Debug, Serialize)]
pub struct Line {
    pub what: &'static str,
    pub measured: f64,
    pub unit: &'static str,
    /// What it is held against, measured in the same run; or the promised number.
    pub beside: String,
    pub ratio: Option<f64>,
    pub promise: &'static str,
    pub holds: bool,
}

fn main() -> ExitCode {
    match run(&std::env::args().skip(1).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "dataflow-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> anyhow::Result<()> {
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["bare", folder, port] => bare::serve(Path::new(folder), port.parse().context("read the port")?),
        [] => measure(None),
        ["--json", path] => measure(Some(PathBuf::from(path))),
        _ => bail!("usage: dataflow-bench [--json PATH]"),
    }
}

fn measure(json: Option<PathBuf>) -> anyhow::Result<()> {
    let mut lines = Vec::new();
    lines.extend(server::start_and_rest()?);
    lines.push(credentials::throughput()?);
    let mut out = std::io::stdout().lock();
    writeln!(out, "{:<58} {:>12} {:<5} {:<34} {:>7}  promise", "what", "measured", "unit", "beside", "ratio")?;
    for line in &lines {
        let ratio = line.ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default();
        let holds = if line.holds { "holds" } else { "MISSED" };
        writeln!(
            out,
            "{:<58} {:>12.1} {:<5} {:<34} {:>7}  {} {holds}",
            line.what, line.measured, line.unit, line.beside, ratio, line.promise
        )?;
    }
    if let Some(path) = json {
        std::fs::write(&path, serde_json::to_string_pretty(&lines)?).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}
