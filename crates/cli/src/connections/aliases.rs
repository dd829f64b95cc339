//! Other names of a connection: renaming it, its aliases, and leading its names to another connection.

use anyhow::{Context, bail};
use dataflow_client::{ApiAnswer, ApiRequest, Client};
use dataflow_model::{Code, Impact};
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{accepted, ask, dependents, path, read, show};
use crate::{
    args::{Output, RemoveAlias, RenameConnection, RepointConnection},
    output,
};

pub fn rename(client: &Client, form: Output, arguments: &RenameConnection) -> anyhow::Result<()> {
    let RenameConnection { name, new_name, no_alias, yes } = arguments;
    let (before, etag) = read(client, name)?;
    let own = own_name(&before, name);
    if own == *new_name {
        bail!("“{own}” is its name already. Nothing was changed.");
    }
    let send = |token: Option<String>| -> anyhow::Result<ApiAnswer> {
        let body = serde_json::to_vec(&json!({"name": new_name, "keep_alias": !no_alias, "impact_token": token}))?;
        let path = format!("{}/rename", path(name));
        ask(client, &ApiRequest::new(Method::POST, &path).json(&body).header("If-Match", &etag))
    };
    let mut answer = send(None)?;
    if let Some(impact) = broken(&answer)? {
        output::say(&dependents::in_words(&own, &impact));
        confirm(*yes, &own, &format!("They fail from then on. Type “{own}” to rename it without an alias:"), "renamed")?;
        answer = send(impact.token)?;
    }
    let connection = accepted(&answer)?;
    let end = if *no_alias { "no connection is found by" } else { "programs go on using it by" };
    output::say(&format!("“{own}” is “{new_name}” from now on; {end} “{own}”."));
    show(&connection, form)
}

#[derive(Debug, Deserialize)]
struct Alias {
    name: String,
    made_at: String,
    made_by: String,
    total: i64,
    last_used_at: Option<String>,
    idle: bool,
}

pub fn list(client: &Client, form: Output, name: &str) -> anyhow::Result<()> {
    let json = accepted(&ask(client, &ApiRequest::new(Method::GET, &format!("{}/aliases", path(name))))?)?;
    let items = json.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
    if form == Output::Json {
        return output::data(&serde_json::to_string_pretty(&items)?);
    }
    if items.is_empty() {
        output::say(&format!("“{name}” has no other name."));
        return Ok(());
    }
    let all: Vec<Alias> = serde_json::from_value(Value::Array(items)).context("read the server's answer")?;
    let rows = all.into_iter().map(|alias| {
        let advice = if alias.idle { "unused for 30 days: it can be removed" } else { "" };
        let last = alias.last_used_at.unwrap_or_else(|| "never".to_owned());
        vec![alias.name, alias.total.to_string(), last, alias.made_at, alias.made_by, advice.to_owned()]
    });
    output::data(&output::table(&["alias", "used by", "last use", "made", "by", ""], rows.collect()))
}

pub fn remove(client: &Client, RemoveAlias { alias, yes }: &RemoveAlias) -> anyhow::Result<()> {
    let (connection, _) = read(client, alias)?;
    let own = own_name(&connection, alias);
    if own == *alias {
        bail!("“{alias}” is the connection's own name and no alias. “dataflow connections rename” gives it another one.");
    }
    let of =
        format!("{}/aliases/{}", path(&own), percent_encoding::utf8_percent_encode(alias, percent_encoding::NON_ALPHANUMERIC));
    let send = |token: Option<String>| -> anyhow::Result<ApiAnswer> {
        let query = token.map(|token| format!("?impact_token={token}")).unwrap_or_default();
        ask(client, &ApiRequest::new(Method::DELETE, &format!("{of}{query}")))
    };
    let mut answer = send(None)?;
    if let Some(impact) = broken(&answer)? {
        output::say(&dependents::in_words(alias, &impact));
        confirm(*yes, alias, &format!("They fail from then on. Type “{alias}” to remove it:"), "removed")?;
        answer = send(impact.token)?;
    }
    accepted(&answer)?;
    output::say(&format!("“{alias}” leads nowhere any more. The connection is “{own}”."));
    Ok(())
}

pub fn repoint(client: &Client, form: Output, arguments: &RepointConnection) -> anyhow::Result<()> {
    let RepointConnection { name, to, reason, yes } = arguments;
    let (before, etag) = read(client, name)?;
    let own = own_name(&before, name);
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("to", to);
    let asked = format!("{}/repoint?{}", path(&own), query.finish());
    let impact: Impact = serde_json::from_value(accepted(&ask(client, &ApiRequest::new(Method::GET, &asked))?)?)
        .context("read the server's answer")?;
    if impact.total > 0 {
        output::say(&dependents::in_words(&own, &impact));
    }
    for line in impact.repointing.as_deref().map(warnings).unwrap_or_default() {
        output::say(&line);
    }
    confirm(*yes, &own, &format!("“{own}” is deleted, and its names lead to “{to}”. Type “{own}” to do it:"), "changed")?;
    let body = serde_json::to_vec(&json!({"to": to, "reason": reason, "impact_token": impact.token}))?;
    let path = format!("{}/repoint", path(&own));
    let connection = accepted(&ask(client, &ApiRequest::new(Method::POST, &path).json(&body).header("If-Match", &etag))?)?;
    output::say(&format!("“{own}” leads to “{to}” from now on; programs get it from their next question on."));
    show(&connection, form)
}

/// What is not as it was for those who are led elsewhere.
fn warnings(repointing: &dataflow_model::Repointing) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some([from, to]) = &repointing.types {
        lines.push(format!(
            "The type changes from {from} to {to}: code that was written for the one may not work with the other."
        ));
    }
    if repointing.failed {
        lines.push(format!("The last test of “{}” failed: programs that come there may not get in.", repointing.to));
    }
    if !repointing.lose.is_empty() {
        lines.push(format!("These may not use “{}”, and fail: {}.", repointing.to, repointing.lose.join(", ")));
    }
    lines
}

fn own_name(connection: &Value, asked: &str) -> String {
    connection.get("name").and_then(Value::as_str).unwrap_or(asked).to_owned()
}

/// What a refusal says that it breaks.
fn broken(answer: &ApiAnswer) -> anyhow::Result<Option<Impact>> {
    if answer.is_success() || answer.problem().code.as_deref() != Some(Code::HasDependents.as_str()) {
        return Ok(None);
    }
    let body: Value = serde_json::from_slice(&answer.body).context("read the server's answer")?;
    let impact = body.get("impact").cloned().unwrap_or_default();
    Ok(Some(serde_json::from_value(impact).context("read the server's answer")?))
}

/// Has the name typed by whoever is there.
fn confirm(yes: bool, name: &str, question: &str, done: &str) -> anyhow::Result<()> {
    if yes {
        return Ok(());
    }
    if !output::is_terminal() {
        bail!("Nobody can be asked here. Say --yes to do it without a question. Nothing was {done}.");
    }
    if output::answered(inquire::Text::new(question).prompt())? != name {
        bail!("That is another name. Nothing was {done}.");
    }
    Ok(())
}
