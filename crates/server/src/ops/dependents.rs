//! Dependents: the workflows that were seen using a name, and those that a scan found naming it.

pub mod settle;

use std::collections::{HashMap, HashSet};

use dataflow_model::{ByAlias, Certainty, Dependent, Found, Impact, Laggard, Laggards, Seen, WorkflowKind};

use super::{
    access::{Action, Caller, authorise_name},
    hops, names, notices,
    paging::{Page, Paging, Place, bad_cursor},
    rows::{Sealed as _, VersionContent},
};
use crate::{
    app::{App, Workspace},
    clock::{DAY, SECOND, rfc3339},
    error::Result,
    store::{self, Begins, ConnectionRow, Handle, PlaceRow, Seer, SightingRow, VersionRow},
};

/// A workflow that used a name so lately is taken to be running: the SDK asks anew every five seconds while it is used.
pub(super) const LIVE: i64 = 60 * SECOND;
/// A workflow that has not used a connection for so long is not waited for when what it was given is taken out of use.
pub const LAGGING: i64 = DAY;
/// A program that was given the same version again is noted no more often than this.
pub const NOTED_AGAIN: i64 = 600 * SECOND;
/// For how long it is kept what a program was given.
pub const HELD: i64 = LAGGING + NOTED_AGAIN;
/// A failure that is older says nothing of now.
const FAILING: i64 = 3_600 * SECOND;
/// Places in code that are told of one dependent.
const PLACES: usize = 20;
/// Places that are read to tell which of them are of workflows that were seen.
const PLACES_READ: i64 = 1_000;
/// What stands in the place of a name where more programs were seen than are noted one by one.
const TOO_MANY: &str = "more programs than are noted one by one";
/// Dependents that a refused delete tells.
const TOLD: usize = 20;
/// Connections that are told which go through it.
const THROUGH_MAX: i64 = 200;
/// In a cursor, in the place of a time: the page is of what was found alone.
const FOUND: &str = "found";

/// A page of dependents, and how many there are.
#[derive(Debug)]
pub struct Dependents {
    pub page: Page<Dependent>,
    /// Its own dependents are empty: they are the page's.
    pub impact: Impact,
}

/// Who depends on a connection: who was seen using its name, the latest first, then who was found in code alone, and after them the same of
/// each of its aliases. Of a deleted connection, too. What is used at this moment shows at once.
pub async fn list(app: &App, caller: &Caller, workspace: &str, name: &str, paging: &Paging) -> Result<Dependents> {
    let workspace = authorise_name(app, caller, workspace, name, Action::SeeConnections).await?;
    app.uses.flush_to_read(&app.store).await;
    let mut read = app.store.read().await?;
    let row = names::find(app, &mut read, &workspace, name).await?;
    let of = Of::all(app, caller, &mut read, (&workspace, &row)).await?;
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
    Of::all(app, caller, handle, (workspace, row)).await?.impact(handle).await
}

/// The same of one of its names, which is taken away alone: its own, or an alias.
pub(super) async fn impact_of_name(
    app: &App,
    caller: &Caller,
    handle: &mut impl Handle,
    (workspace, row): (&Workspace, &ConnectionRow),
    alias: Option<&str>,
) -> Result<Impact> {
    let key = alias.map_or_else(|| row.name_key.clone(), str::to_ascii_lowercase);
    let name = Name { key, alias: alias.map(str::to_owned) };
    Of::new(app, caller, (workspace, row), vec![name]).impact(handle).await
}

/// A version that workflows cannot connect with.
#[derive(Debug)]
pub struct Failing {
    pub workflows: i64,
    /// When the last of them could not.
    pub last_at: i64,
    /// The last version before it that clients connect with otherwise and whose last test passed; else the last such one that was never tested.
    pub good: Option<i64>,
}

/// Whether the version that serves fails for clients: some could not connect with it lately, and no test has passed since.
pub(super) async fn failing(
    app: &App,
    caller: &Caller,
    handle: &mut impl Handle,
    workspace: &Workspace,
    (row, version): (&ConnectionRow, &VersionRow),
) -> Result<Option<Failing>> {
    let of = Of::all(app, caller, handle, (workspace, row)).await?;
    let (mut workflows, mut last_at) = (0, None);
    for name in &of.names {
        let (more, at) = store::count_failing(handle, of.of(name), (&row.id, row.version), of.now - FAILING).await?;
        workflows += more;
        last_at = last_at.max(at);
    }
    let passed_at = row.checked_at.filter(|_| row.check_status.as_deref() == Some("ok"));
    let Some(last_at) = last_at.filter(|last_at| passed_at.is_none_or(|passed_at| passed_at < *last_at)) else { return Ok(None) };
    let good = store::good_before(handle, (&row.id, row.version), &version.fingerprint).await?;
    Ok(Some(Failing { workflows, last_at, good }))
}

/// The programs that may hold this login of a connection, which version `before` took the place of: those that were given it within the last day, by
/// whichever name the connection had then. A program is a workflow on one host under one token or person. Once it was given another login it holds
/// that one: it asks anew every five seconds while it is used. Callers that tell no workflow, or not their host, may be several, of which one was given
/// the other login and another was not; so they are waited for. Flush what is counted before.
pub(super) async fn lagging(
    app: &App,
    caller: &Caller,
    handle: &mut impl Handle,
    (workspace, row): (&Workspace, &ConnectionRow),
    (login, before): (&str, i64),
) -> Result<Laggards> {
    let of = Of::all(app, caller, handle, (workspace, row)).await?;
    let mut laggards = Laggards::default();
    let (mut programs, mut logins) = (HashSet::new(), HashMap::new());
    for held in store::holders(handle, &row.id, of.now - HELD).await? {
        let is_known = !held.kind.is_empty() && !held.host.is_empty();
        if is_known && !programs.insert(held.program()) {
            // What it was given later is what it holds.
            continue;
        }
        let is_this_login = match logins.get(&held.version) {
            _ if held.version >= before => false,
            Some(known) => *known,
            None => {
                let signs_in = signs_in_as(app, handle, &row.id, held.version, login).await?;
                logins.insert(held.version, signs_in);
                signs_in
            }
        };
        if !is_this_login || (!is_known && !programs.insert(held.program())) {
            continue;
        }
        laggards.total += 1;
        let is_unknown = held.name_key.is_empty();
        let is_shown = of.all || is_unknown || matches!(held.kind.as_str(), "pipeline" | "app") || held.used_by_id == of.identity;
        if !is_shown {
            laggards.hidden += 1;
        } else if laggards.workflows.len() < TOLD {
            let by_name = of.names.iter().find(|name| name.key == held.name_key);
            laggards.workflows.push(Laggard {
                kind: WorkflowKind::parse(&held.kind),
                name: if is_unknown { TOO_MANY.to_owned() } else { held.workflow },
                alias: by_name.and_then(|name| name.alias.clone()),
                last_at: rfc3339(held.given_at),
                version: held.version,
                by: held.used_by,
                host: Some(held.host).filter(|host| !host.is_empty()),
                until: (!is_known).then(|| rfc3339(held.given_at + HELD)),
            });
        }
    }
    Ok(laggards)
}

/// Whether a version signs in as this login; of one that is purged, or bent, it is not known.
async fn signs_in_as(app: &App, handle: &mut impl Handle, connection_id: &str, version: i64, login: &str) -> Result<bool> {
    let Some(row) = store::version(handle, connection_id, version).await? else { return Ok(true) };
    let Ok(row) = row.checked(&app.vault) else { return Ok(true) };
    Ok(VersionContent::read(&row)?.public.text("username") == Some(login))
}

/// A name that a connection is used by.
struct Name {
    key: String,
    /// As it is written, unless it is the connection's own.
    alias: Option<String>,
}

/// Whose dependents are asked for, and by whom.
struct Of<'o> {
    app: &'o App,
    workspace_id: String,
    row: &'o ConnectionRow,
    names: Vec<Name>,
    /// Pipelines and apps run for everybody; a notebook, a script and a shell are somebody's: those who may edit see them all, others their
    /// own.
    all: bool,
    /// The connections that a narrowed token names: it is told of no other ones.
    narrowed_to: Option<Vec<String>>,
    identity: String,
    now: i64,
}

impl<'o> Of<'o> {
    fn new(app: &'o App, caller: &Caller, (workspace, row): (&Workspace, &'o ConnectionRow), names: Vec<Name>) -> Self {
        Self {
            app,
            workspace_id: workspace.id.to_string(),
            row,
            names,
            all: caller.may(Action::NameWorkflows, workspace.id),
            narrowed_to: caller.narrowed_to().map(<[String]>::to_vec),
            identity: caller.identity().into_owned(),
            now: app.clock.now(),
        }
    }

    /// By every name that it has.
    async fn all(
        app: &'o App,
        caller: &Caller,
        handle: &mut impl Handle,
        (workspace, row): (&Workspace, &'o ConnectionRow),
    ) -> Result<Self> {
        let mut names = vec![Name { key: row.name_key.clone(), alias: None }];
        for alias in store::aliases_of(handle, &row.id).await? {
            // What was seen tells no upper and lower case.
            if names.iter().all(|name| name.key != alias.name_key) {
                names.push(Name { key: alias.name_key, alias: Some(alias.name) });
            }
        }
        Ok(Self::new(app, caller, (workspace, row), names))
    }

    /// Its own name and its aliases, as they are written.
    fn known_as(&self) -> Vec<&str> {
        std::iter::once(self.row.name.as_str()).chain(self.names.iter().filter_map(|name| name.alias.as_deref())).collect()
    }

    fn of<'n>(&'n self, name: &'n Name) -> (&'n str, &'n str) {
        (&self.workspace_id, &name.key)
    }

    fn seer(&self) -> Seer<'_> {
        if self.all { Seer::All } else { Seer::Only(&self.identity) }
    }

    async fn impact(&self, handle: &mut impl Handle) -> Result<Impact> {
        let counts = self.counts(handle).await?;
        let dependents = self.page(handle, &Paging { cursor: None, limit: Some(TOLD) }).await?.rows;
        Ok(Impact { dependents, ..counts })
    }

    async fn counts(&self, handle: &mut impl Handle) -> Result<Impact> {
        // Whom a workspace tells is for those who may edit, at most.
        let channels =
            if self.all { notices::channel::through(handle, &self.workspace_id, &self.known_as()).await? } else { Vec::new() };
        let (mut through, mut through_total) = (Vec::new(), 0);
        for name in &self.names {
            let word = hops::word(&name.key);
            through_total += store::count_up_to(handle, &self.workspace_id, &Begins::and_ends(&word), i64::MAX).await?;
            through.extend(store::names_with_word(handle, &self.workspace_id, &word, THROUGH_MAX).await?);
        }
        through.sort();
        let mut impact = Impact { channels, through_total, ..Impact::default() };
        let mut parts = vec![self.row.id.as_bytes().to_vec(), self.row.version.to_be_bytes().to_vec()];
        for name in &self.names {
            let counted = store::dependents(handle, self.of(name)).await?;
            parts.push(name.key.as_bytes().to_vec());
            parts.extend([counted.seen, counted.found, counted.changes].map(|count| count.to_be_bytes().to_vec()));
            let total = counted.seen + counted.found;
            if total == 0 {
                continue;
            }
            if let only @ Seer::Only(_) = self.seer() {
                let (seen, found) = store::count_visible(handle, self.of(name), only).await?;
                impact.hidden += total - seen - found;
            }
            impact.total += total;
            impact.found_only += counted.found;
            impact.live += store::count_since(handle, self.of(name), self.now - LIVE).await?;
            impact.aliases.extend(name.alias.clone().map(|name| ByAlias { name, total }));
        }
        parts.push(through_total.to_be_bytes().to_vec());
        parts.extend(through.iter().map(|name| name.as_bytes().to_vec()));
        if (impact.total > 0 || through_total > 0) && self.row.deleted_at.is_none() {
            impact.token = Some(token(self.app, &parts));
        }
        impact.through =
            through.into_iter().filter(|name| self.narrowed_to.as_ref().is_none_or(|only| only.contains(name))).collect();
        Ok(impact)
    }

    async fn page(&self, handle: &mut impl Handle, paging: &Paging) -> Result<Page<Dependent>> {
        let wanted = paging.rows_to_read()?;
        let mut rows = Vec::new();
        let mut begin = paging.after()?.map(|place| After::read(&place)).transpose()?;
        let first = match &begin {
            None => 0,
            Some(after) => self.names.iter().position(|name| name.key == after.key).ok_or_else(bad_cursor)?,
        };
        for name in self.names.iter().skip(first) {
            let After { at, kind, workflow, .. } = begin.take().unwrap_or_default();
            let missing = |rows: &Vec<Line>| wanted - i64::try_from(rows.len()).unwrap_or(wanted);
            let after_found = if let Some(at) = at {
                let after = (at, kind.as_str(), workflow.as_str());
                let seen = store::list_sightings(handle, self.of(name), self.seer(), after, missing(&rows)).await?;
                rows.extend(seen.into_iter().map(|row| Line::Seen(Box::new(row))));
                Default::default()
            } else {
                (kind, workflow)
            };
            if missing(&rows) > 0 {
                let after: (&str, &str) = (&after_found.0, &after_found.1);
                let found = store::list_found(handle, self.of(name), self.seer(), after, missing(&rows)).await?;
                let line = |(kind, workflow)| Line::Found { key: name.key.clone(), kind, workflow };
                rows.extend(found.into_iter().map(line));
            }
            if missing(&rows) <= 0 {
                break;
            }
        }
        let page = paging.page(rows, Line::place)?;
        let (mut lines, mut rows) = (page.rows, Vec::new());
        for name in &self.names {
            let (own, others): (Vec<Line>, Vec<Line>) = lines.into_iter().partition(|line| line.key() == name.key);
            rows.extend(self.told(handle, name, own).await?);
            lines = others;
        }
        Ok(Page { rows, next: page.next })
    }

    async fn told(&self, handle: &mut impl Handle, name: &Name, lines: Vec<Line>) -> Result<Vec<Dependent>> {
        let workflows: Vec<_> = lines.iter().filter_map(Line::seen).map(|row| row.workflow.as_str()).collect();
        let given = store::versions_given(handle, self.of(name), &self.row.id, &workflows).await?;
        let places =
            if workflows.is_empty() { Vec::new() } else { store::places_seen(handle, self.of(name), PLACES_READ).await? };
        let mut told = Vec::with_capacity(lines.len());
        for line in lines {
            let alias = name.alias.clone();
            told.push(match line {
                Line::Seen(row) => {
                    let is_its = |place: &&PlaceRow| settle::is_same((&row.kind, &row.workflow), (&place.kind, &place.workflow));
                    let found = places.iter().filter(is_its).take(PLACES).cloned().map(place).collect();
                    let versions = given.iter().filter(|(kind, workflow, _)| (kind, workflow) == (&row.kind, &row.workflow));
                    let versions = versions.map(|(.., version)| *version).collect();
                    let seen = Some(self.seen(&row, versions));
                    Dependent { kind: WorkflowKind::parse(&row.kind), found, seen, name: row.workflow, alias }
                }
                Line::Found { kind, workflow, .. } => {
                    let limit = i64::try_from(PLACES).unwrap_or_default();
                    let places = store::places_of(handle, self.of(name), (&kind, &workflow), limit).await?;
                    let found = places.into_iter().map(place).collect();
                    Dependent { kind: WorkflowKind::parse(&kind), name: workflow, seen: None, found, alias }
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

/// Of what an act is told to know: the beginning of a MAC over all of it.
pub(super) fn token(app: &App, parts: &[Vec<u8>]) -> String {
    let parts: Vec<_> = parts.iter().map(Vec::as_slice).collect();
    let hash = app.vault.lookup_hash("impact", &parts);
    hash.first_chunk::<16>().map(hex::encode).unwrap_or_default()
}

enum Line {
    Seen(Box<SightingRow>),
    Found { key: String, kind: String, workflow: String },
}

impl Line {
    fn seen(&self) -> Option<&SightingRow> {
        match self {
            Self::Seen(row) => Some(row),
            Self::Found { .. } => None,
        }
    }

    fn key(&self) -> &str {
        match self {
            Self::Seen(row) => &row.name_key,
            Self::Found { key, .. } => key,
        }
    }

    fn place(&self) -> Place {
        match self {
            Self::Seen(row) => (row.last_at.to_string(), format!("{}\n{}\n{}", row.name_key, row.kind, row.workflow)),
            Self::Found { key, kind, workflow } => (FOUND.to_owned(), format!("{key}\n{kind}\n{workflow}")),
        }
    }
}

/// The place of the last line of the page before.
struct After {
    /// The name that it uses.
    key: String,
    /// `None`: among what was found alone.
    at: Option<i64>,
    kind: String,
    workflow: String,
}

/// Before the first line of a name.
impl Default for After {
    fn default() -> Self {
        Self { key: String::new(), at: Some(i64::MAX), kind: String::new(), workflow: String::new() }
    }
}

impl After {
    fn read((at, last): &Place) -> Result<Self> {
        let at = if at == FOUND { None } else { Some(at.parse().map_err(|_| bad_cursor())?) };
        let mut parts = last.splitn(3, '\n').map(str::to_owned);
        let (Some(key), Some(kind), Some(workflow)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(bad_cursor());
        };
        Ok(Self { key, at, kind, workflow })
    }
}

fn place(row: PlaceRow) -> Found {
    let certainty = if row.is_certain { Certainty::Certain } else { Certainty::Maybe };
    Found { project: row.project, revision: row.revision, file: row.file, line: row.line, certainty }
}
