//! Who depends on a connection; deleted ones, and bringing them back.

use std::fmt::Write as _;

use anyhow::{Context, bail};
use dataflow_client::{ApiAnswer, ApiRequest, Client};
use dataflow_model::{ByAlias, Certainty, Code, Dependent, Impact, WorkflowKind};
use dataflow_server::clock::{minute, parse_rfc3339};
use http::Method;
use serde::Deserialize;
use serde_json::Value;

use super::{accepted, ask, items, path, show};
use crate::{args::Output, output};

/// Dependents that are named before a delete.
const NAMED: usize = 10;

#[derive(Debug, Deserialize)]
struct Answer {
    items: Vec<Dependent>,
    next: Option<String>,
    total: i64,
    found_only: i64,
    live: i64,
    hidden: i64,
    #[serde(default)]
    aliases: Vec<ByAlias>,
    impact_token: Option<String>,
    #[serde(default)]
    channels: Vec<String>,
    #[serde(default)]
    through: Vec<String>,
    #[serde(default)]
    through_total: i64,
}

fn read(client: &Client, name: &str, cursor: Option<&str>) -> anyhow::Result<(Answer, Vec<Value>)> {
    let mut query = url::form_urlencoded::Serializer::new(String::from("limit=200&"));
    if let Some(cursor) = cursor {
        query.append_pair("cursor", cursor);
    }
    let path = format!("{}/dependents?{}", path(name), query.finish());
    let json = accepted(&ask(client, &ApiRequest::new(Method::GET, &path))?)?;
    let items = json.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
    Ok((serde_json::from_value(json).context("read the server's answer")?, items))
}

/// What deleting it would break.
pub fn impact(client: &Client, name: &str) -> anyhow::Result<Impact> {
    let Answer { items, total, found_only, live, hidden, aliases, impact_token, channels, through, through_total, .. } =
        read(client, name, None)?.0;
    let token = impact_token;
    Ok(Impact {
        total,
        found_only,
        live,
        hidden,
        dependents: items,
        token,
        aliases,
        repointing: None,
        channels,
        through,
        through_total,
    })
}

pub fn list(client: &Client, form: Output, name: &str) -> anyhow::Result<()> {
    let (first, mut items) = read(client, name, None)?;
    let (mut dependents, mut next) = (first.items, first.next);
    while let Some(cursor) = next {
        let (page, more) = read(client, name, Some(&cursor))?;
        dependents.extend(page.items);
        items.extend(more);
        next = page.next;
    }
    if form == Output::Json {
        return output::data(&serde_json::to_string_pretty(&items)?);
    }
    if first.hidden > 0 {
        output::say(&format!("{} more, which this token may not see.", first.hidden));
    }
    if !first.through.is_empty() {
        output::say(&through(&first.through, first.through_total));
    }
    if !first.channels.is_empty() {
        output::say(&channels(&first.channels));
    }
    if dependents.is_empty() {
        output::say(&format!("No workflow was seen using “{name}”, and no scan found it in code."));
        return Ok(());
    }
    let rows = dependents.iter().map(row).collect();
    output::data(&output::table(&["kind", "workflow", "last use", "uses", "version", "by", "in code"], rows))
}

fn row(dependent: &Dependent) -> Vec<String> {
    let kind = kind(dependent).to_owned();
    let code = dependent.found.first().map(|place| {
        let maybe = if place.certainty == Certainty::Maybe { " (maybe)" } else { "" };
        format!("{}: {}:{}{maybe}", place.project, place.file, place.line)
    });
    let [last, uses, version, by] = match &dependent.seen {
        None => ["never", "", "", ""].map(str::to_owned),
        Some(seen) => {
            let last = if seen.live { "now".to_owned() } else { seen.last_at.clone() };
            [last, seen.uses.to_string(), seen.version.map(|version| version.to_string()).unwrap_or_default(), seen.by.clone()]
        }
    };
    let name =
        dependent.alias.as_ref().map_or_else(|| dependent.name.clone(), |alias| format!("{} (by “{alias}”)", dependent.name));
    vec![kind, name, last, uses, version, by, code.unwrap_or_default()]
}

/// Who is told nothing any more without the connection.
fn channels(names: &[String]) -> String {
    format!("People are told through it what becomes of connections, by: {}.", names.join(", "))
}

/// What leads nowhere without the connection.
fn through(names: &[String], total: i64) -> String {
    let more = total.saturating_sub(i64::try_from(names.len()).unwrap_or_default());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("Connections go through it, and lead nowhere without it: {}{more}.", names.join(", "))
}

fn kind(dependent: &Dependent) -> &'static str {
    dependent.kind.map_or("unknown", WorkflowKind::as_str)
}

/// What a delete breaks, as lines.
pub fn in_words(name: &str, impact: &Impact) -> String {
    let depend = if impact.total == 1 { "1 workflow depends".to_owned() } else { format!("{} workflows depend", impact.total) };
    let mut text = format!("{depend} on “{name}”");
    for (count, what) in [(impact.live, "in use now"), (impact.found_only, "found only in code")] {
        if count > 0 {
            let _ = write!(text, ", {count} {what}");
        }
    }
    for alias in &impact.aliases {
        let _ = write!(text, ", {} by “{}”", alias.total, alias.name);
    }
    text.push(if impact.total == 0 { '.' } else { ':' });
    for dependent in impact.dependents.iter().take(NAMED) {
        let last = dependent.seen.as_ref().map_or_else(
            || {
                dependent
                    .found
                    .first()
                    .map(|place| format!("{}: {}:{}", place.project, place.file, place.line))
                    .unwrap_or_default()
            },
            |seen| if seen.live { "in use now".to_owned() } else { format!("last seen {}", seen.last_at) },
        );
        let _ = write!(text, "\n  {} {} ({last})", kind(dependent), dependent.name);
    }
    let more = impact.total - i64::try_from(impact.dependents.len().min(NAMED)).unwrap_or_default();
    if more > 0 {
        let _ = write!(text, "\n  and {more} more: “dataflow connections dependents {name}” lists them");
    }
    if !impact.through.is_empty() {
        let _ = write!(text, "\n{}", through(&impact.through, impact.through_total));
    }
    if !impact.channels.is_empty() {
        let _ = write!(text, "\n{}", channels(&impact.channels));
    }
    text
}

/// What there is to say of a connection that was deleted: who, when, why, what to use instead, and how it comes back.
pub fn gone(name: &str, answer: &ApiAnswer) -> anyhow::Result<String> {
    let problem: Value = serde_json::from_slice(&answer.body).context("read the server's answer")?;
    let member = |member: &str| problem.get(member).and_then(Value::as_str).filter(|text| !text.is_empty());
    let mut text = format!("The connection “{name}” was deleted");
    if let Some(by) = member("deleted_by") {
        let _ = write!(text, " by {by}");
    }
    if let Some(at) = member("deleted_at") {
        let _ = write!(text, " on {}", parse_rfc3339(at).map_or_else(|| at.to_owned(), minute));
    }
    text.push('.');
    if let Some(reason) = member("reason") {
        let _ = write!(text, " Why: {}{}", reason, if reason.ends_with(['.', '!', '?']) { "" } else { "." });
    }
    if let Some(other) = member("use_instead") {
        let _ = write!(text, " Use “{other}” instead.");
    }
    let _ = write!(
        text,
        " “dataflow connections restore {name}” brings it back; a new connection of the same name also serves all that used it."
    );
    Ok(text)
}

pub fn deleted(client: &Client, form: Output) -> anyhow::Result<()> {
    let items = items(client, "tombstones", &[])?;
    if form == Output::Json {
        return output::data(&serde_json::to_string_pretty(&items)?);
    }
    if items.is_empty() {
        output::say("Nothing was deleted.");
        return Ok(());
    }
    let keys = ["name", "type", "deleted_at", "deleted_by", "reason", "use_instead", "restorable_until"];
    let text = |item: &Value, key: &str| item.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let rows = items.iter().map(|item| keys.map(|key| text(item, key)).to_vec()).collect();
    output::data(&output::table(&["name", "type", "deleted", "by", "reason", "use instead", "can be restored until"], rows))
}

pub fn restore(client: &Client, form: Output, name: &str) -> anyhow::Result<()> {
    let path = format!("{}/restore", path(name));
    let answer = ask(client, &ApiRequest::new(Method::POST, &path).header("If-Match", "*"))?;
    if answer.problem().code.as_deref() == Some(Code::NameTaken.as_str()) {
        bail!(
            "There is a connection “{name}”, which serves. To make a new version of it that equals an older one, say --version N: \
             “dataflow connections versions {name}” lists them. To bring a deleted one back in its place, delete it first, or remove \
             the name with “dataflow connections remove-alias {name}” if it is an alias."
        );
    }
    let restored = accepted(&answer)?;
    output::say(&format!(
        "“{name}” is back as it was, and programs find it again. “dataflow connections test {name}” says whether they get in."
    ));
    if form == Output::Json { output::data(&serde_json::to_string_pretty(&restored)?) } else { show(&restored, form) }
}
