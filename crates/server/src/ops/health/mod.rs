//! Tests that run by themselves, and how connections stand by them.
//!
//! A schedule is for one connection, for those with a tag, or for all; of several the one connection's own counts, else the one that tests most
//! often. Each connection that one is for has a row that says when it is tested next and how it stands (`store::follow_schedules` keeps these rows,
//! in the transaction of whatever changes what a schedule is for).

pub mod gauges;
pub mod run;
pub mod schedule;
pub mod state;

use std::collections::BTreeSet;

use dataflow_model::Tag;

use super::{
    access::{Action, Caller, authorise, authorise_name},
    connections::current,
    paging::{Page, Paging},
};
use crate::{
    app::App,
    error::Result,
    store::{self, ActivityQuery, ConnectionRow, HealthChangeRow, HealthOfRow, HealthRow, Layer, Write},
};
use schedule::{Schedule, Scope, Standing};
pub use state::State;

/// How soon what is new to a schedule is tested first, at the latest.
const FIRST_WITHIN: i64 = 60 * crate::clock::SECOND;
/// Changes of state that a connection shows.
const CHANGES: i64 = 20;
/// Failures of workflows that stand beside its tests.
const FAILURES: i64 = 100;

/// How a connection of a list stands.
#[derive(Debug)]
pub struct Listed {
    pub row: HealthOfRow,
    /// Of which schedule its tests are.
    pub scope: Scope,
    pub state: State,
}

/// A page of how the connections stand that a schedule is for, by name; of one state if that is asked for.
pub async fn list(app: &App, caller: &Caller, workspace: &str, state: Option<State>, paging: &Paging) -> Result<Page<Listed>> {
    let workspace = authorise(app, caller, workspace, Action::SeeConnections).await?;
    let (name_key, id) = paging.after()?.unwrap_or_default();
    let of = (&*workspace.id.to_string(), state.map_or("", State::as_str));
    let mut read = app.store.read().await?;
    let rows = match caller.narrowed_to() {
        None => store::list_health(&mut read, of, (&name_key, &id), paging.rows_to_read()?).await?,
        // Its names are few and the workspace is large: each is looked up.
        Some(names) => {
            let mut rows = Vec::new();
            for name in names.iter().collect::<BTreeSet<_>>() {
                rows.extend(store::health_by_name(&mut read, of, (name, &name.to_ascii_lowercase())).await?);
            }
            rows.retain(|row| (row.name_key.as_str(), row.health.connection_id.as_str()) > (name_key.as_str(), id.as_str()));
            rows.sort_by(|one, other| one.name_key.cmp(&other.name_key));
            rows
        }
    };
    let page = paging.page(rows, |row| (row.name_key.clone(), row.health.connection_id.clone()))?;
    let Page { rows, next } = page;
    let rows = rows.into_iter().map(|row| {
        let scope = Scope::read(&row.health.scope).named(&row.name);
        let state = State::parse(&row.health.state);
        Listed { row, scope, state }
    });
    Ok(Page { rows: rows.collect(), next })
}

/// How many connections of a workspace are in each state, and how many no schedule is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub unhealthy: i64,
    pub healthy: i64,
    /// Scheduled, and not tested often enough to tell.
    pub unknown: i64,
    pub unscheduled: i64,
}

pub async fn count(app: &App, caller: &Caller, workspace: &str) -> Result<Counts> {
    let workspace = authorise(app, caller, workspace, Action::SeeConnections).await?;
    let mut counts = Counts::default();
    for (state, count) in store::count_health(&mut app.store.read().await?, &workspace.id.to_string()).await? {
        match state.as_str() {
            "unhealthy" => counts.unhealthy = count,
            "healthy" => counts.healthy = count,
            "unscheduled" => counts.unscheduled = count,
            _ => counts.unknown += count,
        }
    }
    Ok(counts)
}

/// How one connection stands, and by what it is tested.
#[derive(Debug)]
pub struct Health {
    /// Nothing where no schedule is for it.
    pub row: Option<HealthRow>,
    /// The schedule that counts.
    pub by: Option<Standing>,
    /// Its own one, which may be none.
    pub own: Standing,
    /// How its state changed, newest first.
    pub changes: Vec<HealthChangeRow>,
}

pub async fn show(app: &App, caller: &Caller, workspace: &str, name: &str) -> Result<Health> {
    let workspace = authorise_name(app, caller, workspace, name, Action::SeeConnections).await?;
    let mut read = app.store.read().await?;
    let (connection, _) = current(app, &mut read, &workspace, name).await?;
    let row = store::health(&mut read, &connection.id).await?;
    let changes = store::health_changes(&mut read, &connection.id, CHANGES).await?;
    let own = Scope::Connection { id: connection.id.clone(), name: connection.name.clone() };
    let by = match &row {
        None => None,
        Some(row) => {
            let scope = Scope::read(&row.scope).named(&connection.name);
            Some(schedule::standing(app, &mut read, &connection.workspace_id, scope).await?)
        }
    };
    let own = schedule::standing(app, &mut read, &connection.workspace_id, own).await?;
    Ok(Health { row, by, own, changes })
}

/// A test as the chart of a connection has it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mark {
    pub at: i64,
    pub status: dataflow_model::TestStatus,
    pub took_micros: Option<i64>,
}

/// The last tests of a connection that ran here, newest first.
pub async fn marks(app: &App, caller: &Caller, workspace: &str, name: &str, limit: i64) -> Result<Vec<Mark>> {
    let workspace = authorise_name(app, caller, workspace, name, Action::SeeConnections).await?;
    let mut read = app.store.read().await?;
    let (connection, _) = current(app, &mut read, &workspace, name).await?;
    let rows = store::check_marks(&mut read, &connection.id, limit).await?;
    let mark = |(at, status, took_micros): (i64, String, Option<i64>)| {
        Some(Mark { at, status: dataflow_model::TestStatus::parse(&status)?, took_micros })
    };
    Ok(rows.into_iter().filter_map(mark).collect())
}

/// When workflows could not connect by the name of a connection since then, newest first: of each the last time.
pub async fn failures_at_work(app: &App, caller: &Caller, workspace: &str, name: &str, since: i64) -> Result<Vec<i64>> {
    let workspace = authorise_name(app, caller, workspace, name, Action::SeeConnections).await?;
    let mut read = app.store.read().await?;
    let (connection, _) = current(app, &mut read, &workspace, name).await?;
    let query = ActivityQuery {
        workspace_id: &connection.workspace_id,
        actor: "",
        connection: &connection.name,
        action: "",
        workflow: "",
        since,
        before: (i64::MAX, ""),
        limit: FAILURES,
    };
    Ok(store::list_failures(&mut read, &query).await?.into_iter().map(|row| row.at).collect())
}

/// Has a connection that is made, brought back, or gets other tags or a schedule of its own, be tested by the schedule that is for it now.
pub(in crate::ops) async fn follow_one(app: &App, write: &mut Write, connection: &ConnectionRow) -> Result<()> {
    // Whoever sets a schedule of many meanwhile is waited for, or waits.
    store::share_workspace(write, &connection.workspace_id).await?;
    let own = Scope::Connection { id: connection.id.clone(), name: String::new() }.key();
    let of_many = store::health_schedules(write, &connection.workspace_id, "", schedule::SCHEDULES_MAX).await?;
    let tags: Vec<Tag> = serde_json::from_str(&connection.tags).unwrap_or_default();
    let tags: Vec<_> = tags.iter().map(Tag::key).collect();
    let is_for = |scope: &Scope| match scope {
        Scope::All => true,
        Scope::Tag(tag) => tags.contains(tag),
        Scope::Connection { .. } => false,
    };
    let nearest = in_order(&of_many).into_iter().find(|(scope, _)| is_for(scope)).map(|(scope, _)| scope.key());
    let has_own = store::health_schedule(write, &connection.workspace_id, &own).await?.is_some();
    match if has_own { Some(own) } else { nearest } {
        None => Ok(store::leave_schedules(write, &connection.id).await?),
        Some(scope) => {
            let place = (connection.workspace_id.as_str(), connection.id.as_str());
            Ok(store::follow_schedule(write, place, &scope, app.clock.now()).await?)
        }
    }
}

/// Has the connections of a workspace be tested by the schedules as they stand in this transaction, which holds the workspace; `changed` is the one
/// that is set or removed in it.
async fn follow_all(app: &App, write: &mut Write, workspace_id: &str, changed: &Scope) -> Result<()> {
    let rows = store::health_schedules(write, workspace_id, "", schedule::SCHEDULES_MAX).await?;
    let layer = |(scope, schedule): (Scope, Schedule)| {
        let every = schedule.every_seconds.saturating_mul(crate::clock::SECOND).max(1);
        let within = FIRST_WITHIN.min(every);
        Layer { word: scope.word(), within, spread: every / within, is_new: scope == *changed, scope: scope.key() }
    };
    let layers: Vec<_> = in_order(&rows).into_iter().map(layer).collect();
    Ok(store::follow_schedules(write, workspace_id, &layers, app.clock.now()).await?)
}

/// The schedules of more than one connection, those first that go before others: of tags the one that tests most often, and that of all last.
fn in_order(rows: &[store::HealthScheduleRow]) -> Vec<(Scope, Schedule)> {
    let mut schedules: Vec<_> = rows.iter().map(|row| (Scope::read(&row.scope), Schedule::of(row))).collect();
    schedules.retain(|(scope, _)| !matches!(scope, Scope::Connection { .. }));
    schedules.sort_by_key(|(scope, schedule)| (matches!(scope, Scope::All), schedule.every_seconds, scope.key()));
    schedules
}

/// The connection, for who may use it: a test sends its secret.
async fn admitted(app: &App, caller: &Caller, workspace: &str, name: &str) -> Result<std::sync::Arc<crate::app::Workspace>> {
    let workspace = authorise_name(app, caller, workspace, name, Action::EditConnections).await?;
    super::credentials::servable(app, &workspace, name).await?.admit(caller, &workspace, name)?;
    Ok(workspace)
}

impl Scope {
    /// The search word of those that it is for; nothing for all.
    fn word(&self) -> String {
        match self {
            Self::All | Self::Connection { .. } => String::new(),
            Self::Tag(tag) => format!(":tag:{tag}"),
        }
    }
}

/// Reads what follows `tag:` in a scope.
fn read_tag(text: &str) -> Option<String> {
    Tag::new(text).ok().map(|tag| tag.key())
}
