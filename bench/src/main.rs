//! `make bench`: what the product does beside what a user would pick instead, each pair measured in one run on one machine.
//!
//! Prints a table on standard output, and writes the same as JSON where `--json PATH` says.

mod bare;
mod connection_test;
mod credentials;
mod http;
mod list;
mod load;
mod many_tests;
mod postgres;
mod report;
mod rest;
mod scan;
mod sdk;
mod server;
mod without;

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail, ensure};
use postgres::Postgres;

/// What can be measured alone, in the order of a whole run.
const PARTS: [&str; 7] = ["start", "credentials", "tests", "many-tests", "sdk", "list", "scan"];
const USAGE: &str = "usage: dataflow-bench --python PATH [--json PATH] [start|credentials|tests|many-tests|sdk|list|scan]…";

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
    if let [mode, folder, port] = arguments
        && let Some(serve) = comparison(mode)
    {
        return serve(Path::new(folder), port.parse().context("read the port")?);
    }
    let (mut json, mut python, mut parts) = (None, None, Vec::new());
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--json" => json = arguments.next().map(PathBuf::from),
            "--python" => python = arguments.next().map(PathBuf::from),
            part if PARTS.contains(&part) => parts.push(part),
            _ => bail!(USAGE),
        }
    }
    // It is run from another folder.
    let python = std::path::absolute::<PathBuf>(python.context(USAGE)?)?;
    measure(&python, json, if parts.is_empty() { &PARTS } else { &parts })
}

/// What is measured beside the product, in a process of its own.
fn comparison(mode: &str) -> Option<fn(&Path, u16) -> anyhow::Result<()>> {
    match mode {
        "bare" => Some(bare::serve),
        "unaudited" => Some(without::serve_unaudited),
        "uncounted" => Some(without::serve_uncounted),
        _ => None,
    }
}

fn measure(python: &Path, json: Option<PathBuf>, parts: &[&str]) -> anyhow::Result<()> {
    let postgres = Postgres::start()?;
    let mut lines = Vec::new();
    for part in parts {
        let _ = writeln!(std::io::stderr(), "==> Measuring: {part}");
        lines.extend(match *part {
            "start" => rest::few()?,
            "credentials" => credentials::measure()?,
            "tests" => connection_test::measure(&postgres)?,
            "many-tests" => many_tests::measure(&postgres)?,
            "sdk" => sdk::measure(python, &postgres)?,
            "list" => list::measure()?,
            _ => scan::measure(python)?,
        });
    }
    report::print(&lines)?;
    if let Some(path) = json {
        std::fs::write(&path, serde_json::to_string_pretty(&lines)?).with_context(|| format!("write {}", path.display()))?;
    }
    let missed = lines.iter().filter(|line| line.holds == Some(false)).count();
    ensure!(missed == 0, "{missed} of the promises did not hold on this machine, at this time");
    Ok(())
}
