//! Dependents: the workflows that were seen using a name, and those that a scan found naming it.

pub mod settle;

use dataflow_model::{Certainty, Dependent, Found, Impact, Seen, WorkflowKind};

use super::{
    access::{Action, Caller, authorise_name},
    paging::{Page, Paging, Place, bad_cursor},
};
use crate::{
    app::{App, Workspace},
    clock::{SECOND, rfc3339},
    error::{Error, Result},
    store::{self, ConnectionRow, Handle, PlaceRow, Seer, SightingRow},
};

/// A workflow that used a name so lately is taken to be running: the SDK asks anew every five seconds while it is used.
const LIVE: i64 = 60 * SECOND;
/// Places in code that are told of one dependent.
const PLACES: usize = 20;
/// Places that are read to tell which of them are of workflows that were seen.
const PLACES_READ: i64 = 1_000;
/// Dependents that a refused delete tells.
const TOLD: usize = 20;
/// In a cursor, in the place of a time: the page is of what was found alone.
const FOUND: &str = "found";

/// A page of dependents, and how many there are.
#[derive(Debug)]
pub struct Dependents {
    pub page: Page<Dependent>,
    /// Its own dependents are empty: they are the page's.
    pub impact: Impact,
}

/// Who depends on a name: who was seen using it, the latest first, then who was found in code alone. Of a deleted connection, too. What is
/// used at this moment shows at once.
pub async fn list(app: &App, caller: &Caller, workspace: &str, name: &str, paging: &Paging) -> Result<Dependents> {
    let workspace = authorise_name(app, caller, workspace, name, Action::SeeConnections).await?;
    app.uses.flush(&app.store).await?;
    let mut read = app.store.read().await?;
    let row = newest(app, &mut read, &workspace, name).await?;
    let of = Of::new(app, caller, &workspace, &row);
    let impact = of.counts(&mut read).await?;
    let page = of.page(&mut read, paging).await?;
    Ok(Dependents { page, impact })
}

/// What the deletion of a live connection breaks, in words of the one who asks. Flush what is counted before.
pub(super) async fn impact(
    app: &App,
    caller: &Caller,
    handle: &mut impl Handle,
    workspace: &Workspace,
    row: &ConnectionRow,
) -> Result<Impact> {
    let of = Of::new(app, caller, workspace, row);
    let counts = of.counts(handle).await?;
    let dependents = of.page(handle, &Paging { cursor: None, limit: Some(TOLD) }).await?.rows;
    Ok(Impact { dependents, ..counts })
}

async fn newest(app: &App, handle: &mut impl Handle, workspace: &Workspace, name: &str) -> Result<ConnectionRow> {
    use super::rows::Sealed as _;
    let row = store::newest_connection(handle, &workspace.id.to_string(), name, &name.to_ascii_lowercase()).await?;
    row.ok_or(Error::NotFound("connection"))?.checked(&app.vault)
}

/// Whose dependents are asked for, and by whom.
struct Of<'o> {
    app: &'o App,
    workspace_id: String,
    row: &'o ConnectionRow,
    /// Pipelines and apps run for everybody; a notebook, a script and a shell are somebody's: those who may edit see them all, others their
    /// own.
    all: bool,
    identity: String,
    now: i64,
}

impl<'o> Of<'o> {
    fn new(app: &'o App, caller: &Caller, workspace: &Workspace, row: &'o ConnectionRow) -> Self {
        Self {
            app,
            workspace_id: workspace.id.to_string(),
            row,
            all: caller.may(Action::NameWorkflows, workspace.id),
            identity: caller.identity().into_owned(),
            now: app.clock.now(),
        }
    }

    fn name(&self) -> (&str, &str) {
        (&self.workspace_id, &self.row.name_key)
    }

    fn seer(&self) -> Seer<'_> {
        if self.all { Seer::All } else { Seer::Only(&self.identity) }
    }

    async fn counts(&self, handle: &mut impl Handle) -> Result<Impact> {
        let counted = store::dependents(handle, self.name()).await?;
        let total = counted.seen + counted.found;
        if total == 0 {
            return Ok(Impact::default());
        }
        let hidden = match self.seer() {
            Seer::All => 0,
            only @ Seer::Only(_) => {
                let (seen, found) = store::count_visible(handle, self.name(), only).await?;
                total - seen - found
            }
        };
        let live = store::count_since(handle, self.name(), self.now - LIVE).await?;
        let parts = [counted.seen, counted.found, counted.changes, self.row.version].map(i64::to_be_bytes);
        let [seen, found, changes, version] = &parts;
        let hash = self.app.vault.lookup_hash("impact", &[self.row.id.as_bytes(), seen, found, changes, version]);
        let token = hash.first_chunk::<16>().map(hex::encode).filter(|_| self.row.deleted_at.is_none());
        Ok(Impact { total, found_only: counted.found, live, hidden, dependents: Vec::new(), token })
    }

    async fn page(&self, handle: &mut impl Handle, paging: &Paging) -> Result<Page<Dependent>> {
        let wanted = paging.rows_to_read()?;
        let mut rows = Vec::new();
        let mut after_found = None;
        match paging.after()? {
            Some((first, last)) if first == FOUND => after_found = Some(split(&last)?),
            after => {
                let (at, last) =
                    after.map_or_else(|| Ok((i64::MAX, String::new())), |(at, last)| read_time(&at).map(|at| (at, last)))?;
                let (kind, workflow) = if last.is_empty() { Default::default() } else { split(&last)? };
                let seen = store::list_sightings(handle, self.name(), self.seer(), (at, &kind, &workflow), wanted).await?;
                rows.extend(seen.into_iter().map(|row| Line::Seen(Box::new(row))));
            }
        }
        let missing = wanted - i64::try_from(rows.len()).unwrap_or(wanted);
        if missing > 0 {
            let (kind, workflow) = after_found.unwrap_or_default();
            let found = store::list_found(handle, self.name(), self.seer(), (&kind, &workflow), missing).await?;
            rows.extend(found.into_iter().map(|(kind, workflow)| Line::Found { kind, workflow }));
        }
        let page = paging.page(rows, Line::place)?;
        let rows = self.told(handle, page.rows).await?;
        Ok(Page { rows, next: page.next })
    }

    async fn told(&self, handle: &mut impl Handle, lines: Vec<Line>) -> Result<Vec<Dependent>> {
        let workflows: Vec<_> = lines.iter().filter_map(Line::seen).map(|row| row.workflow.as_str()).collect();
        let given = store::versions_given(handle, self.name(), &self.row.id, &workflows).await?;
        let places = if workflows.is_empty() { Vec::new() } else { store::places_seen(handle, self.name(), PLACES_READ).await? };
        let mut told = Vec::with_capacity(lines.len());
        for line in lines {
            told.push(match line {
                Line::Seen(row) => {
                    let is_its = |place: &&PlaceRow| settle::is_same((&row.kind, &row.workflow), (&place.kind, &place.workflow));
                    let found = places.iter().filter(is_its).take(PLACES).cloned().map(place).collect();
                    let versions = given.iter().filter(|(kind, workflow, _)| (kind, workflow) == (&row.kind, &row.workflow));
                    let versions = versions.map(|(.., version)| *version).collect();
                    Dependent {
                        kind: WorkflowKind::parse(&row.kind),
                        found,
                        seen: Some(self.seen(&row, versions)),
                        name: row.workflow,
                    }
                }
                Line::Found { kind, workflow } => {
                    let limit = i64::try_from(PLACES).unwrap_or_default();
                    let places = store::places_of(handle, self.name(), (&kind, &workflow), limit).await?;
                    let found = places.into_iter().map(place).collect();
                    Dependent { kind: WorkflowKind::parse(&kind), name: workflow, seen: None, found }
                }
            });
        }
        Ok(told)
    }

    fn seen(&self, row: &SightingRow, mut versions: Vec<i64>) -> Seen {
        let is_of_this = row.connection_id == self.row.id;
        // Of a workflow that was forgotten and came back, the node may not have told it again.
        if is_of_this && !versions.contains(&row.version) {
            versions.push(row.version);
        }
        Seen {
            first_at: rfc3339(row.first_at),
            last_at: rfc3339(row.last_at),
            uses: row.uses,
            version: Some(row.version).filter(|_| is_of_this),
            versions,
            by: row.used_by.clone(),
            host: row.host.clone(),
            failed_at: row.failed_at.filter(|_| is_of_this).map(rfc3339),
            failed_version: row.failed_version.filter(|_| is_of_this),
            live: row.last_at >= self.now - LIVE,
        }
    }
}

enum Line {
    Seen(Box<SightingRow>),
    Found { kind: String, workflow: String },
}

impl Line {
    fn seen(&self) -> Option<&SightingRow> {
        match self {
            Self::Seen(row) => Some(row),
            Self::Found { .. } => None,
        }
    }

    fn place(&self) -> Place {
        match self {
            Self::Seen(row) => (row.last_at.to_string(), format!("{}\n{}", row.kind, row.workflow)),
            Self::Found { kind, workflow } => (FOUND.to_owned(), format!("{kind}\n{workflow}")),
        }
    }
}

fn read_time(text: &str) -> Result<i64> {
    text.parse().map_err(|_| bad_cursor())
}

fn split(text: &str) -> Result<(String, String)> {
    text.split_once('\n').map(|(kind, workflow)| (kind.to_owned(), workflow.to_owned())).ok_or_else(bad_cursor)
}

fn place(row: PlaceRow) -> Found {
    let certainty = if row.is_certain { Certainty::Certain } else { Certainty::Maybe };
    Found { project: row.project, revision: row.revision, file: row.file, line: row.line, certainty }
}
