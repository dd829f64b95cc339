//! `/w/{workspace}/connections`: the list.

use std::{collections::BTreeSet, sync::Arc};

use axum::{
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode},
};
use dataflow_model::{Catalogue, ConnectionType, Tag, TestStatus};

use super::{
    answer::{PageResult, page},
    fields::Fields,
    session::SignedIn,
    shell::{Place, inside},
    view::{
        Glyph,
        form::Waiting,
        list::{Chip, Choice, Filter, List, Row, Spark, detail},
        parts::{Here, Pages, ago, rfc3339},
        words::Status,
    },
};
use crate::{
    api::{connections::millis, extract::InWorkspace},
    app::App,
    error::Error,
    ops::{
        counts::{Counts, counts},
        list::{self, ListQuery},
        own_types,
        paging::Page,
    },
    store::{ListSort, ListedRow},
};

/// Shows a page of the list. While somebody types a search, htmx takes the rows alone, so the counts are not read.
pub async fn show(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    InWorkspace(workspace): InWorkspace,
    RawQuery(asked): RawQuery,
    headers: HeaderMap,
) -> PageResult {
    let Place { mut shell, .. } = inside(&app, &caller, &workspace, Here::Connections, "Connections").await?;
    let rows_alone = headers.get("hx-target").is_some_and(|target| target == "results");
    let counts = if rows_alone { Arc::default() } else { counts(&app, &caller, &workspace).await? };
    shell.connections = Some(counts.all).filter(|_| !rows_alone);
    // What is unknown in the address is left out: one that somebody kept still opens.
    let asked = Fields::parse(asked.unwrap_or_default().as_bytes());
    let text = |name| asked.text(name).to_owned();
    shell.notice = (text("done") == "deleted").then(|| "Deleted. Code that names it now fails, and says so.".to_owned());
    let cursor = text("cursor");
    let filter = Filter {
        search: text("q").trim().to_owned(),
        status: text("status"),
        type_id: text("type"),
        tag: text("tag"),
        sort: text("sort"),
    };
    let (found, problem) = match list::list(&app, &caller, &workspace, &query(&filter, &cursor)).await {
        Ok(found) => (found, None),
        Err(Error::Invalid(errors)) => {
            let problem =
                errors.into_iter().map(|error| format!("The {} {}.", error.field, error.message)).collect::<Vec<_>>().join(" ");
            (Page { rows: Vec::new(), next: None }, Some(problem))
        }
        Err(other) => return Err(other.into()),
    };
    let now = app.clock.now();
    let catalogue = own_types::all(&app, &caller, &workspace).await?;
    let weakened = list::weakened(&app, &caller, &workspace, &found.rows).await?;
    let list = List {
        chips: chips(&counts, &filter),
        types: choices(&counts.types, &filter.type_id, |id| {
            catalogue.get(id).map_or_else(|| id.to_owned(), |kind| kind.label.clone())
        }),
        tags: choices(&counts.tags, &filter.tag, ToOwned::to_owned),
        pages: Pages::of(&shell.at("connections"), &filter.query(), &cursor, found.next.as_deref()),
        steps: Waiting::all(),
        rows: found.rows.into_iter().map(|row| line(&catalogue, row, &weakened, now)).collect(),
        problem,
        filter,
        shell,
    };
    Ok(page(StatusCode::OK, &list))
}

fn query(filter: &Filter, cursor: &str) -> ListQuery {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    ListQuery {
        search: some(&filter.search),
        type_id: some(&filter.type_id),
        tag: some(&filter.tag),
        status: some(&filter.status),
        sort: match filter.sort.as_str() {
            "-name" => ListSort::NameDescending,
            "-updated" => ListSort::Updated,
            _ => ListSort::Name,
        },
        cursor: some(cursor),
        limit: None,
    }
}

/// A chip for each status that some connection has; “All” and “Failing” always, so that nothing failing is said too.
pub(super) fn chips(counts: &Counts, filter: &Filter) -> Vec<Chip> {
    [
        ("All", "", counts.all),
        ("Failing", "failed", counts.failed),
        ("Not proven", "unproven", counts.unproven),
        ("Not tested", "untested", counts.untested),
    ]
    .into_iter()
    .filter(|(_, value, count)| *count > 0 || matches!(*value, "" | "failed") || filter.status == *value)
    .map(|(label, value, count)| Chip { label, value, count, on: filter.status == value })
    .collect()
}

pub(super) fn choices(counts: &[(String, i64)], chosen: &str, label: impl Fn(&str) -> String) -> Vec<Choice> {
    let known = counts.iter().map(|(value, count)| Choice {
        value: value.clone(),
        label: format!("{} ({count})", label(value)),
        on: value == chosen,
    });
    let mut all: Vec<_> = known.collect();
    if !chosen.is_empty() && !all.iter().any(|choice| choice.on) {
        all.push(Choice { value: chosen.to_owned(), label: label(chosen), on: true });
    }
    all
}

/// What a row says of a setting by which its secret is less well protected.
fn weak_words(kind: Option<&ConnectionType>, path: &str) -> String {
    match path {
        "tls.mode" => "TLS not verified".to_owned(),
        "extra.insecure_auth" => "Weaker sign-in".to_owned(),
        path => {
            let label = kind.and_then(|kind| kind.field(path)).map_or(path, |field| field.label.as_str());
            format!("{label} (weak)")
        }
    }
}

fn line(catalogue: &Catalogue, row: ListedRow, weakened: &BTreeSet<(String, String)>, now: i64) -> Row {
    let kind = catalogue.get(&row.type_id);
    let status = row.check_status.as_deref().and_then(TestStatus::parse);
    let checks: Vec<(TestStatus, f64)> = serde_json::from_str(&row.recent_checks).unwrap_or_default();
    let tags: Vec<Tag> = serde_json::from_str(&row.tags).unwrap_or_default();
    Row {
        type_label: kind.map_or_else(|| row.type_id.clone(), |kind| kind.label.clone()),
        glyph: kind.map_or_else(|| Glyph { text: "?".to_owned(), color: "#555555".to_owned() }, Glyph::from),
        status: last_status(&row),
        is_rotating: row.rotation_tries.is_some(),
        detail: status
            .zip(row.checked_at)
            .map(|(status, at)| detail(status, row.check_micros.map(millis), &ago(now, at)))
            .unwrap_or_default(),
        checked_at: row.checked_at.map(rfc3339).unwrap_or_default(),
        spark: Spark::new(&checks),
        dependents: row.dependents,
        tags: tags.into_iter().map(String::from).collect(),
        weak: weakened.iter().filter(|(key, _)| *key == row.name_key).rev().map(|(_, path)| weak_words(kind, path)).collect(),
        name: row.name,
        description: row.description,
        address: row.address,
    }
}

/// The state after the last check, in the words that were kept with it; while a rotation is not settled, that.
#[must_use]
pub fn last_status(row: &ListedRow) -> Status {
    if let Some(tries) = row.rotation_tries {
        return Status::rotating(tries > 0);
    }
    let Some(status) = row.check_status.as_deref().and_then(TestStatus::parse) else { return Status::untested() };
    Status::last(status, row.check_summary.as_deref())
}
