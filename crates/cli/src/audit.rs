//! `dataflow audit`

use std::process::ExitCode;

use anyhow::{Context, bail};
use dataflow_server::{
    admin::{AdminAnswer, AdminRequest},
    audit::{checkpoint::Checkpoint, verify::Report},
};

use crate::{
    admin::{ask, unexpected},
    args::{Audit, AuditCommand, Output},
    output,
};

pub fn run(arguments: Audit) -> anyhow::Result<ExitCode> {
    let AuditCommand::Verify { data, checkpoints, output } = arguments.command;
    let checkpoints = match checkpoints {
        None => Vec::new(),
        Some(path) => {
            let text = std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
            let found = Checkpoint::newest(&String::from_utf8_lossy(&text));
            if found.is_empty() {
                bail!(
                    "There is no checkpoint in {}. Name the file that --audit-checkpoints wrote, or a system's log.",
                    path.display()
                );
            }
            found
        }
    };
    let AdminAnswer::Audit(report) = ask(data, AdminRequest::VerifyAudit { checkpoints })? else { return Err(unexpected()) };
    if output == Output::Json {
        output::data(&serde_json::to_string_pretty(&report)?)?;
    } else {
        show(&report)?;
    }
    Ok(if report.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn show(report: &Report) -> anyhow::Result<()> {
    let rows = report.chains.iter().map(|chain| {
        let name = if chain.node.is_empty() { "changes".to_owned() } else { format!("reads of {}", chain.node) };
        let checkpoint = match chain.checkpoint {
            None if chain.older_checkpoint.is_some() => "older",
            None => "none",
            Some(true) => "agrees",
            Some(false) => "does not agree",
        };
        let state = if chain.problem.is_some() { "broken" } else { "holds" };
        vec![name, state.to_owned(), chain.events.to_string(), chain.seq.to_string(), checkpoint.to_owned()]
    });
    output::data(&output::table(&["chain", "state", "events", "last", "checkpoint"], rows.collect()))?;
    for chain in &report.chains {
        let name = if chain.node.is_empty() { "Changes" } else { "Reads" };
        if chain.expired > 0 {
            let since = chain.since.as_deref().map(|since| format!(", which began at {since}")).unwrap_or_default();
            output::say(&format!(
                "{name}, chain {}: kept from event {} on{since}; older ones were dropped for their age.",
                chain.chain,
                chain.expired + 1
            ));
        }
        if let Some(seq) = chain.older_checkpoint {
            output::say(&format!("{name}, chain {}: the checkpoint saw event {seq}, which is kept no longer.", chain.chain));
        }
        if let Some(problem) = &chain.problem {
            output::say(&format!("{name}, chain {}: {problem}.", chain.chain));
        }
    }
    let rows = report.rows.iter().flat_map(|rows| &rows.problems);
    let others = report.rows.as_ref().map_or(0, |rows| rows.others);
    for problem in rows {
        output::say(&format!("Rights: {problem}."));
    }
    if others > 0 {
        output::say(&format!("Rights: {others} other rows are not as their last events left them either."));
    }
    if let Some(counts) = &report.counts {
        output::say(&format!(
            "Counts: {counts}. What the page Activity shows there was changed in the store; the events are as they were."
        ));
    }
    if report.holds() {
        output::say("No event was changed, taken out or put in, and no row that grants was put back.");
    } else if report.chains.iter().any(|chain| chain.problem.is_some()) {
        output::say(
            "Nothing behind the first bad event of a chain was looked at. Keep the data folder as it is for who looks into it; a backup \
             tells what stood there before.",
        );
    } else if report.rows.iter().any(|rows| !rows.problems.is_empty()) {
        output::say(
            "No event was changed, taken out or put in; but somebody put these rows back as they once were, or changed them by other means. \
             Do again what the events tell (revoke the token, remove the person, sign out everywhere, save what was saved), and find out who can \
             write the store.",
        );
    }
    Ok(())
}
