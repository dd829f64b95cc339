//! Tests that run by themselves, and how connections stand by them.
//!
//! A schedule is for one connection, for those with a tag, or for all; of several the one connection's own counts, else the one that tests most
//! often. Each connection that one is for has a row that says when it is tested next and how it stands (`store::follow_schedules` keeps these rows,
//! in the transaction of whatever changes what a schedule is for).

pub mod gauges;
pub mod run;
pub mod schedule;
pub mod state;

use dataflow_model::Tag;

use super::{
    access::{Action, Caller, authorise, authorise_name},
    connections::current,
    paging::{Page, Paging},
};
use crate::{
    app::App,
    error::Result,
    store::{self, ConnectionRow, HealthChangeRow, HealthOfRow, HealthRow, Layer, Write},
};
use schedule::{Schedule, Scope, Standing};
pub use state::State;

/// How soon what is new to a schedule is tested first, at the latest.
const FIRST_WITHIN: i64 = 60 * crate::clock::SECOND;
/// Changes of state that a connection shows.
const CHANGES: i64 = 20;

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
    let rows = store::list_health(&mut read, of, (&name_key, &id), paging.rows_to_read()?).await?;
    let page = paging.page(rows, |row| (row.name_key.clone(), row.health.connection_id.clone()))?;
    let Page { rows, next } = page;
    let rows = rows.into_iter().filter(|row| caller.may_see_name(&row.name)).map(|row| {
        let scope = Scope::read(&row.health.scope).named(|_| row.name.clone());
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
            let scope = Scope::read(&row.scope).named(|_| connection.name.clone());
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

/// Has a connection that is made, brought back, or gets other tags, be tested by the schedules that are for it.
pub(in crate::ops) async fn follow_one(app: &App, write: &mut Write, connection: &ConnectionRow) -> Result<()> {
    store::share_workspace(write, &connection.workspace_id).await?;
    follow(app, write, &connection.workspace_id, &connection.id).await
}

/// Has the connections of a workspace, or the one with this id, be tested by the schedules as they stand in this transaction.
pub(in crate::ops) async fn follow(app: &App, write: &mut Write, workspace_id: &str, connection_id: &str) -> Result<()> {
    let rows = store::health_schedules(write, workspace_id, "", schedule::SCHEDULES_MAX).await?;
    let mut schedules: Vec<_> = rows.iter().map(|row| (Scope::read(&row.scope), Schedule::of(row))).collect();
    // The last one counts: all come first, and of tags the one that tests most often comes last.
    schedules.sort_by_key(|(scope, schedule)| (!matches!(scope, Scope::All), std::cmp::Reverse(schedule.every_seconds)));
    let layer = |(scope, schedule): (Scope, Schedule)| Layer {
        word: scope.word(),
        within: FIRST_WITHIN.min(schedule.every_seconds.saturating_mul(crate::clock::SECOND)).max(1),
        scope: scope.key(),
    };
    let layers: Vec<_> = schedules.into_iter().map(layer).collect();
    Ok(store::follow_schedules(write, (workspace_id, connection_id), &layers, app.clock.now()).await?)
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
