//! `/w/{workspace}/activity`: who did what, and which code used which connection.

use std::sync::Arc;

use axum::{
    extract::{RawQuery, State},
    http::{StatusCode, header},
    response::IntoResponse as _,
};
use serde_json::Value;

use super::{
    answer::{PageResult, page},
    fields::Fields,
    session::SignedIn,
    shell::inside,
    view::{
        activity::{Activity, Asked, Line, Words},
        parts::{Here, Pages, day, plural, rfc3339, second},
    },
};
use crate::{
    api::{
        activity::{JSON_LINES, export as lines},
        extract::InWorkspace,
    },
    app::App,
    audit::{ACTIONS, OF_CONNECTIONS, words},
    error::Error,
    ops::{
        activity::{self, Entry, Filter},
        paging::{Page, Paging},
    },
};

pub async fn show(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    InWorkspace(workspace): InWorkspace,
    RawQuery(asked): RawQuery,
) -> PageResult {
    let shell = inside(&app, &caller, &workspace, Here::Activity, "Activity").await?.shell;
    let fields = Fields::parse(asked.unwrap_or_default().as_bytes());
    let asked = asked_for(&fields);
    let cursor = fields.text("cursor");
    let paging = Paging { cursor: Some(cursor.to_owned()).filter(|cursor| !cursor.is_empty()), limit: None };
    let (found, problem) = match activity::list(&app, &caller, &workspace, &filter(&asked), &paging).await {
        Ok(found) => (found, None),
        Err(Error::Invalid(errors)) => {
            let told = errors.into_iter().map(|error| format!("The {} {}.", error.field, error.message));
            (Page { rows: Vec::new(), next: None }, Some(told.collect::<Vec<_>>().join(" ")))
        }
        Err(other) => return Err(other.into()),
    };
    let now = app.clock.now();
    let known = activity::known(&app, &caller, &workspace).await?;
    let since = [("Changes", known.changes_since), ("Reads", known.reads_since)];
    let since = since.into_iter().filter_map(|(what, since)| Some(format!("{what} are kept since {}.", day(since?))));
    let view = Activity {
        since: since.collect::<Vec<_>>().join(" "),
        actions: offered(&asked),
        pages: Pages::of(&shell.at("activity"), &asked.query(), cursor, found.next.as_deref()),
        lines: found.rows.into_iter().map(|entry| line(entry, now)).collect(),
        problem,
        asked,
        shell,
    };
    Ok(page(StatusCode::OK, &view))
}

/// What may be chosen; what is told of one connection alone, with one.
fn offered(asked: &Asked) -> Vec<Words> {
    let of_one: &[_] = if asked.connection.is_empty() { &[] } else { &OF_CONNECTIONS };
    ACTIONS.iter().chain(of_one).map(|(value, label)| Words { value, label, on: *value == asked.action }).collect()
}

/// The same entries as a file of JSON lines.
pub async fn export(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    InWorkspace(workspace): InWorkspace,
    RawQuery(asked): RawQuery,
) -> PageResult {
    let filter = filter(&asked_for(&Fields::parse(asked.unwrap_or_default().as_bytes())));
    let name = format!("attachment; filename=\"{workspace}-activity.jsonl\"");
    let body = lines(app, caller, workspace, filter).await?;
    let headers = [
        (header::CONTENT_TYPE, JSON_LINES),
        (header::CACHE_CONTROL, header::HeaderValue::from_static("no-store")),
        (header::CONTENT_DISPOSITION, header::HeaderValue::try_from(name).map_err(|_| Error::NotFound("workspace"))?),
    ];
    Ok((headers, body).into_response())
}

fn asked_for(fields: &Fields) -> Asked {
    let text = |name| fields.text(name).trim().to_owned();
    Asked { actor: text("actor"), connection: text("connection"), workflow: text("workflow"), action: text("action") }
}

fn filter(asked: &Asked) -> Filter {
    Filter {
        actor: asked.actor.clone(),
        connection: asked.connection.clone(),
        action: asked.action.clone(),
        workflow: asked.workflow.clone(),
        since: None,
    }
}

/// An entry as pages show it.
pub fn line(entry: Entry, now: i64) -> Line {
    let is_connection =
        entry.version.is_some() || (entry.action.starts_with("connection.") && entry.action != "connection.delete");
    let mut facts = Vec::new();
    if entry.count > 1 {
        facts.push(plural(entry.count, "time"));
    }
    if let Some(version) = entry.version.or_else(|| entry.detail.get("version").and_then(Value::as_i64)) {
        facts.push(format!("version {version}"));
    }
    facts.extend(detail(&entry.detail));
    Line {
        at: second(now, entry.at),
        instant: rfc3339(entry.at),
        actor: entry.actor,
        address: entry.address.unwrap_or_default(),
        words: words(&entry.action).to_owned(),
        facts: facts.join(" · "),
        object: entry.object,
        is_connection,
        is_bent: entry.is_authentic == Some(false),
        workflow: entry.workflow.map(|(kind, name, _)| (kind, name)),
    }
}

/// What else is known of a change, in words: `roles: admin`, `fields: host, password`.
fn detail(detail: &Value) -> Vec<String> {
    let told = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Array(items) => {
            Some(items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")).filter(|text| !text.is_empty())
        }
        Value::Null | Value::Bool(_) | Value::Object(_) => None,
    };
    let members = detail.as_object().into_iter().flatten().filter(|(name, _)| !matches!(name.as_str(), "version" | "id"));
    members.filter_map(|(name, value)| Some(format!("{}: {}", name.replace('_', " "), told(value)?))).collect()
}
