//! The lint: what is wrong with connections that nobody has complained of yet, each with how bad it is, why, and what mends it.
//!
//! Nothing of it is kept but what somebody silenced. A list holds connections against the rules as it is read, by their names; so that it costs what its
//! page looks through, however many there are. Nothing is opened for it: that two passwords are equal is told by their marks (`shared`).

pub mod rules;
pub mod shared;
pub mod silence;

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use dataflow_model::{Catalogue, Tag, TestReport};

use self::{
    rules::{Facts, Found, Rule, Severity, Sharing, UNUSED_DAYS, Used, find},
    shared::Peers,
    silence::{Scope, Silence},
};
use super::{
    access::{Action, Caller, authorise, authorise_name},
    compare::{LOOKED_THROUGH, Serving},
    connections::current,
    notices::channel::CHANNELS_MAX,
    paging::{Page, Paging, Place, write_cursor},
    rows::{Sealed as _, VersionContent},
    settings::{self, Retention},
};
use crate::{
    app::{App, Workspace},
    clock::DAY,
    error::Result,
    ops::own_types::catalogue_by,
    store::{self, Names, Read},
};

/// Connections that are looked at together.
const AT_ONCE: usize = 200;

/// What the lint finds of a connection.
#[derive(Debug)]
pub struct Finding {
    pub connection: String,
    pub type_id: String,
    pub found: Found,
    /// By what it is silenced.
    pub silenced: Option<Silence>,
}

/// Which findings are asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted {
    pub severity: Option<Severity>,
    /// Those that are silenced, too.
    pub silenced: bool,
}

impl Wanted {
    #[must_use]
    pub fn takes(self, finding: &Finding) -> bool {
        self.severity.is_none_or(|severity| severity == finding.found.severity) && (self.silenced || finding.silenced.is_none())
    }
}

/// A page of what is found, by the connections' names and then by the rules' ids. It looks through [`LOOKED_THROUGH`] names, and then gives what
/// it has found: a page with fewer findings than were asked for is the last one only if no other follows.
pub async fn list(app: &App, caller: &Caller, workspace: &str, wanted: Wanted, paging: &Paging) -> Result<Page<Finding>> {
    let workspace = authorise(app, caller, workspace, Action::SeeConnections).await?;
    let limit = paging.limit()?;
    let (key, rule) = paging.after()?.unwrap_or_default();
    // As searches do, since it reads far for few rows.
    let _turn = app.turns.take(&caller.identity()).await?;
    // What was used until this moment counts.
    app.uses.flush_to_read(&app.store).await;
    let mut read = app.store.read().await?;
    let names = NamesOf::new(caller, &workspace);
    let mut look = Look::begin(app, caller, &workspace, &mut read).await?;
    let mut rows: Vec<(Place, Finding)> = Vec::new();
    // The connection that the page before ended in may have more.
    let mut batch = if rule.is_empty() { names.after(&mut read, &key).await? } else { names.at(&mut read, &key).await? };
    let (mut last, mut looked) = (key.clone(), 0);
    loop {
        looked += batch.len();
        for (name_key, finding) in look.examine(&mut read, &batch).await? {
            let is_told = name_key == key && finding.found.rule.as_str() <= rule.as_str();
            if !is_told && wanted.takes(&finding) {
                rows.push(((name_key, finding.found.rule.as_str().to_owned()), finding));
            }
        }
        if let Some((row, _)) = batch.last() {
            last.clone_from(&row.name_key);
        }
        if rows.len() > limit {
            break;
        }
        if looked >= LOOKED_THROUGH {
            let rows = rows.into_iter().map(|(_, finding)| finding).collect();
            return Ok(Page { rows, next: Some(write_cursor(&(last, String::new()))) });
        }
        batch = names.after(&mut read, &last).await?;
        if batch.is_empty() {
            break;
        }
    }
    let page = paging.page(rows, |(place, _)| place.clone())?;
    Ok(page.map(|(_, finding)| finding))
}

/// All that is found of one connection, the worst first, what is silenced included.
pub async fn of_connection(app: &App, caller: &Caller, workspace: &str, name: &str) -> Result<Vec<Finding>> {
    let workspace = authorise_name(app, caller, workspace, name, Action::SeeConnections).await?;
    app.uses.flush_to_read(&app.store).await;
    let mut read = app.store.read().await?;
    let serving = current(app, &mut read, &workspace, name).await?;
    let mut look = Look::begin(app, caller, &workspace, &mut read).await?;
    let mut found: Vec<_> = look.examine(&mut read, &[serving]).await?.into_iter().map(|(_, finding)| finding).collect();
    found.sort_by_key(|finding| (std::cmp::Reverse(finding.found.severity), finding.found.rule));
    Ok(found)
}

/// The names that the caller sees, in their order.
struct NamesOf<'c> {
    workspace_id: String,
    /// Those that his token names, with their keys; nothing for all.
    named: Option<BTreeSet<(String, &'c str)>>,
}

impl<'c> NamesOf<'c> {
    fn new(caller: &'c Caller, workspace: &Workspace) -> Self {
        let named =
            caller.narrowed_to().map(|names| names.iter().map(|name| (name.to_ascii_lowercase(), name.as_str())).collect());
        Self { workspace_id: workspace.id.to_string(), named }
    }

    /// Those that come after a key; of a token's few names, each by itself.
    async fn after(&self, read: &mut Read, key: &str) -> Result<Vec<Serving>> {
        let Some(named) = &self.named else {
            let limit = i64::try_from(AT_ONCE).unwrap_or(i64::MAX);
            return Ok(store::serving_after(read, &self.workspace_id, key, limit).await?);
        };
        for (name_key, name) in named.iter().filter(|(name_key, _)| name_key.as_str() > key) {
            let found = store::serving(read, &self.workspace_id, name_key).await?.filter(|(row, _)| row.name == *name);
            if let Some(found) = found {
                return Ok(vec![found]);
            }
        }
        Ok(Vec::new())
    }

    /// The one of a key.
    async fn at(&self, read: &mut Read, key: &str) -> Result<Vec<Serving>> {
        let found = store::serving(read, &self.workspace_id, key).await?;
        let is_seen = |name: &str| self.named.as_ref().is_none_or(|named| named.contains(&(key.to_owned(), name)));
        Ok(found.into_iter().filter(|(row, _)| is_seen(&row.name)).collect())
    }
}

/// What is the same for all connections that one request looks at.
struct Look<'a> {
    app: &'a App,
    catalogue: Arc<Catalogue>,
    caller: &'a Caller,
    workspace: &'a Arc<Workspace>,
    now: i64,
    knows_uses: bool,
    /// For how many days uses are kept; nothing: for ever.
    uses_kept: Option<i64>,
    /// Connections that people are told through.
    tells: HashSet<String>,
    of_all: HashMap<Rule, Silence>,
    peers: Peers,
}

impl<'a> Look<'a> {
    async fn begin(app: &'a App, caller: &'a Caller, workspace: &'a Arc<Workspace>, read: &mut Read) -> Result<Self> {
        let id = workspace.id.to_string();
        let kept = settings::in_force::<Retention>(app).await?.workflow_days;
        let rows = store::lint_silences_of_all(read, &id).await?;
        let of_all = rows.into_iter().filter_map(|row| silence::in_force(app, Scope::All, row)).collect();
        let knows_uses = app.uses.is_on() && kept.is_none_or(|days| days >= UNUSED_DAYS);
        let channels = store::channels(read, &id, "", CHANNELS_MAX).await?;
        let tells = channels.into_iter().map(|row| row.connection).collect();
        Ok(Self {
            app,
            catalogue: catalogue_by(app, read, workspace).await?,
            caller,
            workspace,
            now: app.clock.now(),
            knows_uses,
            uses_kept: kept,
            tells,
            of_all,
            peers: Peers::default(),
        })
    }

    /// What is found of these, which are all that lie between the first and the last of them, and of which there may be one.
    async fn examine(&mut self, read: &mut Read, servings: &[Serving]) -> Result<Vec<(String, Finding)>> {
        let (Some((first, _)), Some((last, _))) = (servings.first(), servings.last()) else { return Ok(Vec::new()) };
        let id = self.workspace.id.to_string();
        let names = Names { workspace_id: &id, first: &first.name_key, last: &last.name_key };
        let mut uses: HashMap<String, i64> = HashMap::new();
        for (id, at) in store::last_uses_among(read, names).await? {
            let Some(at) = at else { continue };
            let last = uses.entry(id).or_insert(at);
            *last = at.max(*last);
        }
        let reports = store::last_reports_among(read, names).await?;
        let reports: HashMap<_, _> = reports.into_iter().map(|(id, report, at)| (id, (report, at))).collect();
        let marks: HashMap<_, _> = store::shared_marks_among(read, names).await?.into_iter().collect();
        let mut own: HashMap<String, Vec<store::LintSilenceRow>> = HashMap::new();
        for row in store::lint_silences_among(read, names).await? {
            own.entry(row.scope.clone()).or_default().push(row);
        }
        let mut all = Vec::new();
        for (row, version) in servings {
            let (row, version) = (row.clone(), version.clone());
            let (row_id, name_key) = (row.id.clone(), row.name_key.clone());
            let sound = row.checked(&self.app.vault).and_then(|row| Ok((row, version.checked(&self.app.vault)?)));
            let (row, version) = match sound {
                Ok(sound) => sound,
                Err(error) => {
                    let cause = error.cause().map(|cause| format!("{cause:#}")).unwrap_or_default();
                    tracing::error!(
                        row.id = row_id,
                        error.cause = cause,
                        "a connection was not held against the rules of the lint"
                    );
                    continue;
                }
            };
            let content = VersionContent::read(&version)?;
            let report = reports.get(&row.id).and_then(|(text, at)| Some((serde_json::from_str::<TestReport>(text).ok()?, *at)));
            let tags: Vec<Tag> = serde_json::from_str(&row.tags).unwrap_or_default();
            let sharing = match marks.get(&row.id) {
                Some(mark) => {
                    let of = (&row, &content.public);
                    self.peers.of((self.app, self.caller, self.workspace), read, (of, mark)).await?
                }
                None => Sharing::default(),
            };
            let facts = Facts {
                now: self.now,
                name: &row.name,
                workspace: &self.workspace.name,
                kind: self.catalogue.get(&row.type_id),
                tags: &tags,
                public: &content.public,
                has_secret: !content.secrets.is_empty(),
                created_at: row.created_at,
                is_tested: row.checked_at.is_some(),
                are_tests_on: self.app.tests.is_enabled(),
                learned: report.as_ref().map(|(report, at)| (&report.learned, *at)),
                used: match uses.get(&row.id) {
                    // What this program tells people through is no use of a workflow, and one all the same.
                    _ if !self.knows_uses || self.tells.contains(&row.name) => Used::NotKnown,
                    None => match self.uses_kept {
                        Some(days) if row.created_at < self.now.saturating_sub(days.saturating_mul(DAY)) => Used::NotWithin(days),
                        _ => Used::Never,
                    },
                    Some(at) => Used::Last(*at),
                },
                sharing: &sharing,
            };
            let scope = Scope::Connection { id: row.id.clone(), name: row.name.clone() };
            let own = own.remove(&scope.key()).unwrap_or_default();
            let own: HashMap<_, _> = own.into_iter().filter_map(|row| silence::in_force(self.app, scope.clone(), row)).collect();
            all.extend(find(&facts).into_iter().map(|found| {
                let silenced = own.get(&found.rule).or_else(|| self.of_all.get(&found.rule)).cloned();
                let (connection, type_id) = (row.name.clone(), row.type_id.clone());
                (name_key.clone(), Finding { connection, type_id, found, silenced })
            }));
        }
        Ok(all)
    }
}
