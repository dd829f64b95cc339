//! `dataflow health`: tests that run by themselves, and how connections stand by them, over the server's API.

use std::process::ExitCode;

use dataflow_client::{ApiRequest, Client, ClientConfig, Explicit};
use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

use crate::{
    args::{Health, HealthCommand, Output, Schedule},
    channels,
    connections::{accepted, accepted_as, ask, items},
    output,
};

pub fn run(arguments: Health) -> anyhow::Result<ExitCode> {
    let explicit = Explicit { url: arguments.server.url, workspace: arguments.server.workspace, ..Explicit::default() };
    let client = Client::new(ClientConfig::discover(&explicit)?);
    let form = arguments.server.output;
    match arguments.command {
        HealthCommand::List { state } => list(&client, form, state)?,
        HealthCommand::Schedules => schedules(&client, form)?,
        HealthCommand::Schedule(arguments) => schedule(&client, form, &arguments)?,
        HealthCommand::Ends => channels::ends(&client, form)?,
        HealthCommand::Channels => channels::list(&client, form)?,
        HealthCommand::Channel(arguments) => return channels::channel(&client, form, &arguments),
    }
    Ok(ExitCode::SUCCESS)
}

pub fn text(item: &Value, member: &str) -> String {
    item.get(member).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn number(item: &Value, member: &str) -> i64 {
    item.get(member).and_then(Value::as_i64).unwrap_or_default()
}

fn list(client: &Client, form: Output, state: Option<String>) -> anyhow::Result<()> {
    let items = items(client, "health", &[("state", state)])?;
    if form == Output::Json {
        return output::data(&serde_json::to_string_pretty(&items)?);
    }
    let row = |item: &Value| {
        let failures = Some(number(item, "failed_in_a_row")).filter(|count| *count > 0).map(|count| count.to_string());
        let changed = item.get("changed_version").and_then(Value::as_i64).map(|version| format!("version {version}"));
        vec![
            text(item, "connection"),
            text(item, "state"),
            text(item, "since"),
            text(item, "summary"),
            failures.unwrap_or_default(),
            changed.unwrap_or_default(),
            text(item, "scope"),
            text(item, "next_at"),
        ]
    };
    let columns = ["name", "state", "since", "last test", "failures in a row", "saved just before", "tested as", "next"];
    output::data(&output::table(&columns, items.iter().map(row).collect()))?;
    if items.is_empty() {
        output::say("No connection is tested by itself, or none is in that state; see `dataflow health schedule --help`.");
    }
    Ok(())
}

fn schedules(client: &Client, form: Output) -> anyhow::Result<()> {
    let items = items(client, "health-schedules", &[])?;
    if form == Output::Json {
        return output::data(&serde_json::to_string_pretty(&items)?);
    }
    let row = |item: &Value| vec![text(item, "scope"), in_words(item), text(item, "set_at"), text(item, "set_by")];
    output::data(&output::table(&["of", "how often", "set", "by"], items.iter().map(row).collect()))?;
    for item in items.iter().filter(|item| item.get("is_sound").and_then(Value::as_bool) == Some(false)) {
        output::say(&format!(
            "The schedule of {} was changed outside of this program, and nothing is tested by it. Set it again, or remove it.",
            text(item, "scope")
        ));
    }
    Ok(())
}

/// `every 300 s ± 10 %, unhealthy after 2, healthy after 1, not from 22:00 to 06:00 UTC`.
fn in_words(schedule: &Value) -> String {
    let [every, jitter, unhealthy, healthy] =
        ["every_seconds", "jitter_percent", "unhealthy_after", "healthy_after"].map(|member| number(schedule, member));
    let quiet = |end: &str| schedule.pointer(&format!("/quiet_hours/{end}")).and_then(Value::as_str);
    let quiet = quiet("from").zip(quiet("to")).map(|(from, to)| format!(", not from {from} to {to} UTC")).unwrap_or_default();
    format!("every {every} s ± {jitter} %, unhealthy after {unhealthy}, healthy after {healthy}{quiet}")
}

/// Shows a schedule, after changing it where something was asked for.
fn schedule(client: &Client, form: Output, arguments: &Schedule) -> anyhow::Result<()> {
    let Schedule { name, all: _, tag, every, jitter, unhealthy_after, healthy_after, quiet, no_quiet, remove } = arguments;
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let (shown, put, what) = match (name, tag) {
        (Some(name), _) => {
            let path = format!("connections/{}", encoded(name));
            (format!("{path}/health"), format!("{path}/health-schedule"), format!("“{name}”"))
        }
        (None, Some(tag)) => {
            let path = format!("health-schedules/{}", encoded(&format!("tag:{tag}")));
            (path.clone(), path, format!("the tag “{tag}”"))
        }
        (None, None) => {
            let path = "health-schedules/all".to_owned();
            (path.clone(), path, "all connections".to_owned())
        }
    };
    let answer = ask(client, &ApiRequest::new(Method::GET, &shown))?;
    let etag = answer.etag.clone().unwrap_or_default();
    let before = accepted(&answer)?;
    if *remove {
        accepted(&ask(client, &ApiRequest::new(Method::DELETE, &put).header("If-Match", &etag))?)?;
        output::say(&format!("The schedule of {what} is removed."));
        return Ok(());
    }
    let quiet = quiet.as_ref().map(|(from, to)| json!({"from": from, "to": to})).or_else(|| no_quiet.then_some(Value::Null));
    let asked = [
        ("every_seconds", every.map(|every| json!(every))),
        ("jitter_percent", jitter.map(|jitter| json!(jitter))),
        ("unhealthy_after", unhealthy_after.map(|count| json!(count))),
        ("healthy_after", healthy_after.map(|count| json!(count))),
        ("quiet_hours", quiet),
    ];
    if asked.iter().all(|(_, value)| value.is_none()) {
        return show(form, &what, &before, name.is_some());
    }
    // What is not asked for stays as it is; of a connection that has none of its own, as the one has it that is for it.
    let own = before.get("own_schedule").filter(|own| !own.is_null());
    let kept = own.or_else(|| before.get("schedule").filter(|by| !by.is_null())).unwrap_or(&before);
    let mut body = Map::new();
    for (member, value) in asked {
        if let Some(value) = value.or_else(|| kept.get(member).cloned()) {
            body.insert(member.to_owned(), value);
        }
    }
    let body = serde_json::to_vec(&body)?;
    let answer = ask(client, &ApiRequest::new(Method::PUT, &put).json(&body).header("If-Match", &etag))?;
    let set = accepted_as(&answer, flag)?;
    show(form, &what, &set, false)
}

/// What the shell calls a member of a schedule.
fn flag(member: &str) -> String {
    match member {
        "every_seconds" => "--every".to_owned(),
        "jitter_percent" => "--jitter".to_owned(),
        "unhealthy_after" | "healthy_after" => format!("--{}", member.replace('_', "-")),
        "quiet_hours" => "--quiet".to_owned(),
        "scope" => "--tag".to_owned(),
        other => other.to_owned(),
    }
}

fn show(form: Output, what: &str, answer: &Value, is_of_connection: bool) -> anyhow::Result<()> {
    if form == Output::Json {
        return output::data(&serde_json::to_string_pretty(answer)?);
    }
    let schedule = if is_of_connection { answer.get("schedule").unwrap_or(&Value::Null) } else { answer };
    let mut rows = Vec::new();
    if !schedule.is_null() {
        rows.extend([("tested", in_words(schedule)), ("as", text(schedule, "scope"))]);
        rows.extend([("set", text(schedule, "set_at")), ("by", text(schedule, "set_by"))]);
    }
    if is_of_connection {
        rows.extend(["state", "since", "next_at", "passed_at"].map(|member| (member, text(answer, member))));
    }
    let rows = rows.into_iter().filter(|(_, value)| !value.is_empty());
    output::data(&output::table(&["what", "value"], rows.map(|(what, value)| vec![what.to_owned(), value]).collect()))?;
    if schedule.is_null() {
        output::say(&format!("No schedule is for {what}: it is tested when somebody asks for it."));
    } else if schedule.get("is_sound").and_then(Value::as_bool) == Some(false) {
        output::say("It was changed outside of this program, and nothing is tested by it. Set it again, or remove it.");
    } else if schedule.get("is_set").and_then(Value::as_bool) == Some(false) {
        output::say(&format!("No schedule is set for {what}; this is what one has unless you say otherwise."));
    }
    Ok(())
}
