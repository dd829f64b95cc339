//! `dataflow connections versions`, `diff`, `restore`, `purge-version`: what a connection was before.

use anyhow::bail;
use dataflow_client::{ApiRequest, Client};
use http::Method;
use serde_json::Value;

use super::{accepted, ask, items, path, read, show, tried};
use crate::{
    args::{DiffVersions, Output, PurgeVersion},
    output,
};

fn text(value: &Value, member: &str) -> String {
    match value.get(member) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
        Some(other) => other.to_string(),
    }
}

fn is(value: &Value, member: &str) -> bool {
    value.get(member).and_then(Value::as_bool).unwrap_or_default()
}

fn number(value: &Value, member: &str) -> Option<i64> {
    value.get(member).and_then(Value::as_i64)
}

pub(super) fn list(client: &Client, form: Output, name: &str) -> anyhow::Result<()> {
    let items = items(client, &format!("{}/versions", path(name)), &[])?;
    if form == Output::Json {
        return output::data(&serde_json::to_string_pretty(&items)?);
    }
    let row = |item: &Value| {
        let mut notes = Vec::new();
        if is(item, "current") {
            notes.push("current".to_owned());
        }
        notes.extend(number(item, "restored_from").map(|from| format!("restored from {from}")));
        if is(item, "altered") {
            notes.push("changed outside of this program".to_owned());
        }
        let changed = if number(item, "since").is_some() { text(item, "changed") } else { "(the first that is kept)".to_owned() };
        let clients = if is(item, "changes_clients") { "yes" } else { "" };
        let saved_at = text(item, "saved_at");
        let saved_at = saved_at.split_once('.').map_or(saved_at.clone(), |(seconds, _)| format!("{seconds}Z"));
        vec![text(item, "version"), saved_at, text(item, "saved_by"), changed, clients.to_owned(), notes.join(", ")]
    };
    let rows = items.iter().map(row).collect();
    output::data(&output::table(&["version", "saved at", "saved by", "changed", "clients reconnect", "note"], rows))
}

pub(super) fn diff(client: &Client, form: Output, arguments: &DiffVersions) -> anyhow::Result<()> {
    let to = match arguments.to {
        Some(to) => to,
        None => number(&read(client, &arguments.name)?.0, "version").unwrap_or_default(),
    };
    let query = arguments.from.map(|from| format!("?from={from}")).unwrap_or_default();
    let path = format!("{}/versions/{to}/diff{query}", path(&arguments.name));
    let diff = accepted(&ask(client, &ApiRequest::new(Method::GET, &path))?)?;
    if form == Output::Json {
        return output::data(&serde_json::to_string_pretty(&diff)?);
    }
    let changes = diff.get("changes").and_then(Value::as_array).cloned().unwrap_or_default();
    let since = number(&diff, "from").map_or_else(|| "nothing".to_owned(), |from| format!("version {from}"));
    if changes.is_empty() {
        output::say(&format!("From {since} to version {to} nothing changed."));
        return Ok(());
    }
    let clients = if is(&diff, "changes_clients") { "Clients connect with something else." } else { "Clients notice nothing." };
    output::say(&format!("From {since} to version {to}. {clients}"));
    let row = |change: &Value| {
        let secret = text(change, "secret");
        let after = if secret.is_empty() { text(change, "after") } else { format!("({secret})") };
        vec![text(change, "field"), text(change, "before"), after]
    };
    output::data(&output::table(&["field", "before", "after"], changes.iter().map(row).collect()))
}

pub(super) fn restore(client: &Client, form: Output, name: &str, (version, test): (i64, bool)) -> anyhow::Result<()> {
    let (before, etag) = read(client, name)?;
    let path = format!("{}/versions/{version}/restore?test={test}", path(name));
    let restored = tried(&ask(client, &ApiRequest::new(Method::POST, &path).header("If-Match", &etag))?)?;
    let (old, new) = (number(&before, "version"), number(&restored, "version").unwrap_or_default());
    if old == Some(new) {
        output::say(&format!("Version {new} equals version {version} already. Nothing was changed."));
    } else {
        output::say(&format!("Restored version {version} as version {new}."));
    }
    show(&restored, form)
}

pub(super) fn purge(client: &Client, arguments: &PurgeVersion) -> anyhow::Result<()> {
    let PurgeVersion { name, version, yes } = arguments;
    let path = format!("{}/versions/{version}", path(name));
    let answer = ask(client, &ApiRequest::new(Method::GET, &path))?;
    let etag = answer.etag.clone().unwrap_or_default();
    let shown = accepted(&answer)?;
    let also: Vec<_> =
        shown.get("secrets_also_in").and_then(Value::as_array).into_iter().flatten().map(Value::to_string).collect();
    if !also.is_empty() {
        output::say(&format!("Of its secrets, some are in other versions, too, and stay there: {}.", also.join(", ")));
    }
    if !yes {
        if !output::is_terminal() {
            bail!("Nobody can be asked here. Say --yes to purge version {version} of “{name}” without a question.");
        }
        let question = format!("Version {version} of “{name}” and its secrets go for good. Type the version to purge it:");
        let typed = output::answered(inquire::Text::new(&question).prompt())?;
        if typed.trim() != version.to_string() {
            bail!("That is another version. Nothing was purged.");
        }
    }
    accepted(&ask(client, &ApiRequest::new(Method::DELETE, &path).header("If-Match", &etag))?)?;
    output::say(&format!("Purged version {version} of “{name}”."));
    Ok(())
}
