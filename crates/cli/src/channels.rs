//! `dataflow health channel`, `channels` and `ends`: whom a workspace tells what becomes of its connections, and what ends soon.

use std::process::ExitCode;

use dataflow_client::{ApiRequest, Client};
use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::{
    args::{Channel, Output},
    connections::{accepted, accepted_as, ask, items},
    health::text,
    output,
};

pub fn list(client: &Client, form: Output) -> anyhow::Result<()> {
    let items = items(client, "notification-channels", &[])?;
    if form == Output::Json {
        return output::data(&serde_json::to_string_pretty(&items)?);
    }
    let columns = ["name", "through", "to", "of what", "tag", "last message", "problem"];
    output::data(&output::table(&columns, items.iter().map(row).collect()))?;
    if items.is_empty() {
        output::say("Nobody is told what becomes of connections; see `dataflow health channel --help`.");
    }
    Ok(())
}

fn addresses(channel: &Value) -> String {
    let all = channel.get("addresses").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    all.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
}

fn problem(channel: &Value) -> String {
    if channel.get("is_sound").and_then(Value::as_bool) == Some(false) {
        return "It was changed outside of this program, and tells nothing. Set it again, or remove it.".to_owned();
    }
    text(channel, "problem")
}

fn row(channel: &Value) -> Vec<String> {
    let [name, through, tells, tag, told] = ["name", "connection", "tells", "tag", "told_at"].map(|member| text(channel, member));
    vec![name, through, addresses(channel), tells, tag, told, problem(channel)]
}

pub fn ends(client: &Client, form: Output) -> anyhow::Result<()> {
    let items = items(client, "ends", &[])?;
    if form == Output::Json {
        return output::data(&serde_json::to_string_pretty(&items)?);
    }
    let row = |item: &Value| ["connection", "type", "about", "ends_at"].map(|member| text(item, member)).to_vec();
    output::data(&output::table(&["name", "type", "what", "ends"], items.iter().map(row).collect()))?;
    if items.is_empty() {
        output::say("No certificate and no password ends within 30 days, as far as the last tests learnt.");
    }
    Ok(())
}

/// Shows a channel, after changing it where something was asked for.
pub fn channel(client: &Client, form: Output, arguments: &Channel) -> anyhow::Result<ExitCode> {
    let Channel { name, through, to, tag, no_tag, tells, try_out, remove } = arguments;
    let path = format!("notification-channels/{}", utf8_percent_encode(name, NON_ALPHANUMERIC));
    if *try_out {
        return tried(form, &accepted(&ask(client, &ApiRequest::new(Method::POST, &format!("{path}/test")))?)?);
    }
    let found = ask(client, &ApiRequest::new(Method::GET, &path))?;
    let is_new = found.status == 404 && through.is_some();
    let before = if is_new { Value::Null } else { accepted(&found)? };
    let etag = found.etag.clone().filter(|_| !is_new).unwrap_or_else(|| format!("\"{}.0\"", name.to_ascii_lowercase()));
    if *remove {
        accepted(&ask(client, &ApiRequest::new(Method::DELETE, &path).header("If-Match", &etag))?)?;
        output::say(&format!("The channel “{name}” is removed."));
        return Ok(ExitCode::SUCCESS);
    }
    let is_asked = through.is_some() || !to.is_empty() || tag.is_some() || *no_tag || tells.is_some();
    let standing = if is_asked {
        // What is not asked for stays as it is.
        let kept = |member: &str| before.get(member).cloned().unwrap_or(Value::Null);
        let body = json!({
            "connection": through.as_ref().map_or_else(|| kept("connection"), |name| json!(name)),
            // Those of another connection may be of another kind.
            "addresses": if to.is_empty() && through.is_none() { before.get("addresses").cloned().unwrap_or_else(|| json!([])) } else { json!(to) },
            "tag": if *no_tag { Value::Null } else { tag.as_ref().map_or_else(|| kept("tag"), |tag| json!(tag)) },
            "tells": tells.as_ref().map_or_else(|| before.get("tells").cloned().unwrap_or_else(|| json!("all")), |tells| json!(tells)),
        });
        let body = serde_json::to_vec(&body)?;
        accepted_as(&ask(client, &ApiRequest::new(Method::PUT, &path).json(&body).header("If-Match", &etag))?, flag)?
    } else {
        before
    };
    if form == Output::Json {
        output::data(&serde_json::to_string_pretty(&standing)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let told = [
        ("through", text(&standing, "connection")),
        ("to", addresses(&standing)),
        ("of what", text(&standing, "tells")),
        ("tag", text(&standing, "tag")),
        ("set", text(&standing, "set_at")),
        ("by", text(&standing, "set_by")),
        ("last message", text(&standing, "told_at")),
        ("problem", problem(&standing)),
    ];
    let rows = told.into_iter().filter(|(_, value)| !value.is_empty()).map(|(what, value)| vec![what.to_owned(), value]);
    output::data(&output::table(&["what", "value"], rows.collect()))?;
    Ok(ExitCode::SUCCESS)
}

/// What a trial came to.
fn tried(form: Output, report: &Value) -> anyhow::Result<ExitCode> {
    let is_taken = report.get("status").and_then(Value::as_str) != Some("failed");
    if form == Output::Json {
        output::data(&serde_json::to_string_pretty(report)?)?;
    } else if is_taken {
        output::say("The message was taken. Look whether it got there.");
    } else {
        let error = |member: &str| report.pointer(&format!("/error/{member}")).and_then(Value::as_str).unwrap_or_default();
        output::say(&format!("The message was not taken. {}\n{}", error("message"), error("hint")));
    }
    Ok(if is_taken { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What the shell calls a member of a channel.
fn flag(member: &str) -> String {
    match member {
        "connection" => "--through".to_owned(),
        "addresses" => "--to".to_owned(),
        "tag" | "tells" => format!("--{member}"),
        other => other.to_owned(),
    }
}
