//! How the connections of a token's workspace stand, in Prometheus' text form.

use std::fmt::Write as _;

use super::{Listed, State, list};
use crate::{
    app::App,
    error::Result,
    ops::{
        access::{Caller, Who},
        paging::{PAGE_MAX, Paging},
    },
};

/// Most connections that are told of.
const CONNECTIONS: usize = 10_000;
/// Each with what it means.
const GAUGES: [(&str, &str); 4] = [
    ("dataflow_connection_healthy", "Whether a connection that is tested by itself is healthy: 1, or 0 if it is unhealthy."),
    ("dataflow_connection_failures_in_a_row", "How many of its last tests failed, one after another."),
    ("dataflow_connection_last_test_timestamp_seconds", "When it was tested last."),
    ("dataflow_connection_last_test_duration_seconds", "How long that test took."),
];

/// For whoever asks with a token, of the workspace that it is for, as far as it names them; nothing for anybody else.
pub async fn render(app: &App, caller: &Caller) -> Result<String> {
    let Who::Token(token) = &caller.who else { return Ok(String::new()) };
    // It costs more than what else is rendered: one at a time.
    let _turn = app.turns.take(&caller.identity()).await?;
    let mut rows: Vec<Listed> = Vec::new();
    let mut paging = Paging { cursor: None, limit: Some(PAGE_MAX) };
    loop {
        let page = list(app, caller, &token.workspace, None, &paging).await?;
        rows.extend(page.rows);
        match page.next.filter(|_| rows.len() < CONNECTIONS) {
            Some(next) => paging.cursor = Some(next),
            None => break,
        }
    }
    let mut text = String::new();
    let [healthy, failures, tested, took] = GAUGES;
    gauge(&mut text, healthy, &rows, &token.workspace, |listed| match listed.state {
        State::Healthy => Some(1.0),
        State::Unhealthy => Some(0.0),
        State::Unknown => None,
    });
    gauge(&mut text, failures, &rows, &token.workspace, |listed| {
        let health = &listed.row.health;
        Some(if health.is_failing { u32::try_from(health.streak).map_or(f64::MAX, f64::from) } else { 0.0 })
    });
    gauge(&mut text, tested, &rows, &token.workspace, |listed| listed.row.checked_at.map(seconds));
    gauge(&mut text, took, &rows, &token.workspace, |listed| listed.row.check_micros.map(seconds));
    Ok(text)
}

fn seconds(micros: i64) -> f64 {
    std::time::Duration::from_micros(micros.unsigned_abs()).as_secs_f64()
}

/// Names and types need no escape: neither may hold a quote, a backslash or a line end.
fn gauge(
    text: &mut String,
    (name, help): (&str, &str),
    rows: &[Listed],
    workspace: &str,
    value: impl Fn(&Listed) -> Option<f64>,
) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
    for listed in rows {
        if let Some(value) = value(listed) {
            let (connection, kind) = (&listed.row.name, &listed.row.type_id);
            let _ = writeln!(text, "{name}{{workspace=\"{workspace}\",connection=\"{connection}\",type=\"{kind}\"}} {value}");
        }
    }
}
