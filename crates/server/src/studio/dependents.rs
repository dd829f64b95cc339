//! `/w/{workspace}/connections/{name}/dependents`: who depends on a connection; and how every page shows them.

use std::sync::Arc;

use axum::{
    extract::{RawQuery, State},
    http::StatusCode,
};
use dataflow_model::{Certainty, Dependent, Found, Impact, WorkflowKind};

use super::{
    answer::{PageResult, page},
    fields::Fields,
    session::SignedIn,
    shell::inside,
    view::{
        dependents::{DependentLine, Dependents},
        parts::{Here, Pages, ago},
    },
};
use crate::{
    api::extract::Named,
    app::App,
    clock::{SECOND, parse_rfc3339},
    error::{Error, Result},
    ops::{
        Caller,
        dependents::{self, list},
        paging::Paging,
    },
};

/// One that could not connect, and was not seen for longer after that, still cannot.
const FAILING: i64 = 60 * SECOND;

pub async fn show(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    named: Named,
    RawQuery(asked): RawQuery,
) -> PageResult {
    let title = format!("Who uses {}", named.name);
    let place = inside(&app, &caller, &named.workspace, Here::Connections, &title).await?;
    let cursor = Fields::parse(asked.unwrap_or_default().as_bytes()).text("cursor").to_owned();
    let paging = Paging { cursor: Some(cursor.clone()).filter(|cursor| !cursor.is_empty()), limit: None };
    let found = list(&app, &caller, &named.workspace, &named.name, &paging).await;
    // A page that it cannot read is not there.
    let dependents::Dependents { page: found, impact } =
        found.map_err(|error| if matches!(error, Error::Invalid(_)) { Error::NotFound("page") } else { error })?;
    let address = place.shell.at(&format!("connections/{}/dependents", named.name));
    let pages = Pages::of(&address, "", &cursor, found.next.as_deref());
    let lines = lines(found.rows, app.clock.now());
    Ok(page(StatusCode::OK, &Dependents { shell: place.shell, name: named.name, lines, impact, pages }))
}

/// The first dependents of a connection as pages show them, and how many there are.
pub async fn first(
    app: &App,
    caller: &Caller,
    workspace: &str,
    name: &str,
    limit: usize,
) -> Result<(Vec<DependentLine>, Impact)> {
    let paging = Paging { cursor: None, limit: Some(limit) };
    let found = list(app, caller, workspace, name, &paging).await?;
    Ok((lines(found.page.rows, app.clock.now()), found.impact))
}

pub fn lines(dependents: Vec<Dependent>, now: i64) -> Vec<DependentLine> {
    dependents.into_iter().map(|dependent| line(dependent, now)).collect()
}

fn line(dependent: Dependent, now: i64) -> DependentLine {
    let kind = dependent.kind.map(WorkflowKind::as_str);
    let code: Vec<_> = dependent.found.iter().map(place).collect();
    let (seen, tone, title) = match &dependent.seen {
        None => (String::new(), "", String::new()),
        Some(seen) => {
            let at = parse_rfc3339(&seen.last_at).unwrap_or_default();
            let failed_at = seen.failed_at.as_deref().and_then(parse_rfc3339).filter(|failed_at| at - failed_at <= FAILING);
            let (when, tone) = match failed_at {
                Some(failed_at) => (format!("could not connect {}", ago(now, failed_at)), "bad"),
                None if seen.live => ("in use now".to_owned(), "ok"),
                None => (format!("last seen {}", ago(now, at)), ""),
            };
            let version = seen.version.map(|version| format!(" · version {version}")).unwrap_or_default();
            let host = seen.host.as_deref().map(|host| format!(" on {host}")).unwrap_or_default();
            (format!("{when}{version}"), tone, format!("{}, as {}{host}", seen.last_at, seen.by))
        }
    };
    DependentLine {
        icon: kind.unwrap_or("key"),
        kind: kind.unwrap_or("tells no workflow"),
        name: dependent.name,
        seen,
        title,
        tone,
        alias: dependent.alias,
        more: code.len().saturating_sub(1),
        code: code.into_iter().next(),
    }
}

/// `etl: dags/daily.py, line 12`.
fn place(found: &Found) -> String {
    let maybe = if found.certainty == Certainty::Maybe { ", maybe" } else { "" };
    format!("{}: {}, line {}{maybe}", found.project, found.file, found.line)
}
