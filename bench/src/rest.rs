//! How long a start takes, and what a server holds in memory when nobody asks for anything.

use std::time::Duration;

use crate::{
    report::{Line, Promise, median},
    server::{Server, create, sample},
};

/// Starts of each server.
const STARTS: usize = 7;
/// After which a server that was asked nothing more is at rest.
const REST: Duration = Duration::from_secs(1);

/// With 14 connections.
pub fn few() -> anyhow::Result<Vec<Line>> {
    let mut server = Server::start()?;
    let mut editor = server.client("editor", "editor")?;
    for number in 0..14 {
        create(&mut editor, &sample(number))?;
    }
    measure(&mut server, "14 connections", 50.0)
}

/// Starts a server again and again on the store it has: the time to its first answer from the store, and its memory at rest.
pub fn measure(server: &mut Server, with: &str, milliseconds: f64) -> anyhow::Result<Vec<Line>> {
    let (mut times, mut memory) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        times.push(server.restart()?);
        std::thread::sleep(REST);
        memory.push(server.running.resident()?);
    }
    let slowest = times.iter().copied().fold(0.0, f64::max);
    let most = memory.iter().copied().fold(0.0, f64::max);
    Ok(vec![
        Line::new(format!("start to first answer, {with}"), median(times), "ms", format!("slowest of {STARTS}: {slowest:.1} ms"))
            .promise(Promise::Below(milliseconds)),
        Line::new(format!("memory at rest, {with}"), median(memory), "MiB", format!("most of {STARTS}: {most:.1} MiB"))
            .promise(Promise::Below(30.0)),
    ])
}
