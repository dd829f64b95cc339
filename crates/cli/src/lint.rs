//! `dataflow lint`: what is wrong with connections that nobody has complained of yet, over the server's API; with a status for CI.

use std::process::ExitCode;

use dataflow_client::{ApiRequest, Client, ClientConfig, Explicit};
use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::{
    args::{LiftRule, Lint, LintCommand, LintList, LintSeverity, Output, SilenceRule},
    connections::{accepted, accepted_as, ask, items},
    output,
};

pub fn run(arguments: Lint) -> anyhow::Result<ExitCode> {
    let Lint { server, found, command } = arguments;
    let explicit = Explicit { url: server.url, workspace: server.workspace, ..Explicit::default() };
    let client = Client::new(ClientConfig::discover(&explicit)?);
    let Some(command) = command else { return list(&client, server.output, found) };
    if let Some(name) = found.names.first() {
        anyhow::bail!("“{name}” stands before the command; name the connection after it");
    }
    match command {
        LintCommand::Silence(asked) => silence(&client, server.output, asked)?,
        LintCommand::Lift(asked) => lift(&client, asked)?,
        LintCommand::Silences => silences(&client, server.output)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn text(item: &Value, member: &str) -> String {
    item.get(member).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn is_silenced(item: &Value) -> bool {
    item.get("silenced").is_some_and(|silenced| !silenced.is_null())
}

fn severity(item: &Value) -> LintSeverity {
    match item.get("severity").and_then(Value::as_str) {
        Some("note") => LintSeverity::Note,
        Some("warning") => LintSeverity::Warning,
        // What this build does not know counts, so that nothing passes because it is new.
        _ => LintSeverity::Error,
    }
}

/// Status 1 if anything is found that is as bad as asked, and not silenced.
fn list(client: &Client, form: Output, arguments: LintList) -> anyhow::Result<ExitCode> {
    let LintList { names, fail_on, show_silenced } = arguments;
    let silenced = show_silenced.then(|| "true".to_owned());
    let mut found = Vec::new();
    if names.is_empty() {
        found = items(client, "lint", &[("silenced", silenced)])?;
    } else {
        for name in names {
            found.extend(items(client, "lint", &[("silenced", silenced.clone()), ("connection", Some(name))])?);
        }
    }
    let counts = found.iter().filter(|item| !is_silenced(item) && severity(item) >= fail_on).count();
    if form == Output::Json {
        output::data(&serde_json::to_string_pretty(&found)?)?;
    } else if found.is_empty() {
        output::say("Nothing found.");
    } else {
        output::data(&table(&found, show_silenced))?;
    }
    if counts > 0 {
        let findings = if counts == 1 { "1 finding".to_owned() } else { format!("{counts} findings") };
        output::say(&format!(
            "{findings} of severity “{}”{}. What is meant to be so: dataflow lint silence NAME RULE --reason …",
            word(fail_on),
            if fail_on == LintSeverity::Error { "" } else { " or worse" }
        ));
    }
    Ok(if counts > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn word(severity: LintSeverity) -> &'static str {
    match severity {
        LintSeverity::Note => "note",
        LintSeverity::Warning => "warning",
        LintSeverity::Error => "error",
    }
}

fn table(found: &[Value], show_silenced: bool) -> String {
    let row = |item: &Value| {
        let mut row: Vec<_> = ["connection", "severity", "rule", "reason", "fix"].map(|member| text(item, member)).into();
        if show_silenced {
            row.push(item.get("silenced").map(|silenced| text(silenced, "reason")).unwrap_or_default());
        }
        row
    };
    let mut columns = vec!["name", "severity", "rule", "why", "what mends it"];
    if show_silenced {
        columns.push("silenced, since");
    }
    output::table(&columns, found.iter().map(row).collect())
}

fn path(name: Option<&str>, rule: &str) -> String {
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    match name {
        Some(name) => format!("connections/{}/lint-silences/{}", encoded(name), encoded(rule)),
        None => format!("lint-silences/{}", encoded(rule)),
    }
}

fn of(name: Option<&str>) -> String {
    name.map_or_else(|| "all connections".to_owned(), |name| format!("“{name}”"))
}

fn silence(client: &Client, form: Output, asked: SilenceRule) -> anyhow::Result<()> {
    let SilenceRule { rule, name, all: _, reason, until } = asked;
    let body = serde_json::to_vec(&json!({"reason": reason, "until": until}))?;
    let path = path(name.as_deref(), &rule);
    let answer = ask(client, &ApiRequest::new(Method::PUT, &path).json(&body).header("If-Match", "*"))?;
    let set = accepted_as(&answer, |member| format!("--{member}"))?;
    if form == Output::Json {
        return output::data(&serde_json::to_string_pretty(&set)?);
    }
    let until = set.get("until").and_then(Value::as_str).map(|until| format!(" until {}", until.replace(".000000", "")));
    let until = until.unwrap_or_default();
    output::say(&format!("“{rule}” of {} is silenced{until}.", of(name.as_deref())));
    Ok(())
}

fn lift(client: &Client, asked: LiftRule) -> anyhow::Result<()> {
    let LiftRule { rule, name, all: _ } = asked;
    let path = path(name.as_deref(), &rule);
    accepted(&ask(client, &ApiRequest::new(Method::DELETE, &path).header("If-Match", "*"))?)?;
    output::say(&format!("“{rule}” of {} is in force again.", of(name.as_deref())));
    Ok(())
}

fn silences(client: &Client, form: Output) -> anyhow::Result<()> {
    let items = items(client, "lint-silences", &[])?;
    if form == Output::Json {
        return output::data(&serde_json::to_string_pretty(&items)?);
    }
    if items.is_empty() {
        output::say("Nothing is silenced.");
        return Ok(());
    }
    let row = |item: &Value| ["scope", "rule", "reason", "until", "set_at", "set_by"].map(|member| text(item, member)).into();
    output::data(&output::table(&["of", "rule", "why", "until", "set", "by"], items.iter().map(row).collect()))?;
    for item in &items {
        let what = format!("What silences “{}” of {}", text(item, "rule"), text(item, "scope"));
        if item.get("is_sound").and_then(Value::as_bool) == Some(false) {
            output::say(&format!("{what} was changed outside of this program, and silences nothing. Set it again, or lift it."));
        } else if item.get("is_over").and_then(Value::as_bool) == Some(true) {
            output::say(&format!("{what} is over, and silences nothing any more."));
        }
    }
    Ok(())
}
