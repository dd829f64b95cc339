//! Two workspaces side by side, by the names of their connections: what is missing on a side, and what has drifted apart.
//!
//! Names bind, so code that runs in both finds by one name what is compared here. Of a secret it counts whether there is one: two workspaces have
//! different passwords, and neither is opened.

use std::{collections::BTreeSet, sync::Arc};

use dataflow_model::{Catalogue, ConnectionName, ConnectionType, FieldError};

use super::{
    access::{Action, Caller, authorise},
    connections::etag,
    history::{Difference, FieldChange, Held, differences},
    names,
    paging::{PAGE_MAX, Page, Paging, write_cursor},
    rows::{Sealed as _, VersionContent},
};
use crate::{
    app::{App, Workspace},
    error::{Error, Result},
    ops::own_types::catalogue_of,
    store::{self, ConnectionRow, Read, VersionRow},
};

/// Names that one request looks through for those that differ; then it gives what it has found, and a cursor.
pub const LOOKED_THROUGH: usize = 1_000;

/// Who asks on each side: a person is the same on both; a token is for one workspace, so that it takes two.
#[derive(Debug, Clone)]
pub struct Callers {
    pub here: Caller,
    pub there: Caller,
}

impl Callers {
    #[must_use]
    pub fn both(caller: Caller) -> Self {
        Self { there: caller.clone(), here: caller }
    }

    /// See [`Caller::without_key`].
    #[must_use]
    pub fn without_key(&self) -> Self {
        Self { here: self.here.without_key(), there: self.there.without_key() }
    }

    /// The names that these are narrowed to, with their keys, in the order of lists; `None`: all. What one of them does not see is not compared:
    /// it would look missing.
    fn names(&self) -> Option<BTreeSet<(String, &str)>> {
        let narrowed = self.here.narrowed_to().or(self.there.narrowed_to())?;
        let seen = narrowed.iter().filter(|name| self.here.may_see_name(name) && self.there.may_see_name(name));
        Some(seen.map(|name| (name.to_ascii_lowercase(), name.as_str())).collect())
    }
}

/// How what a name stands for on one side is to what it stands for on the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Same,
    Differs,
    OnlyHere,
    OnlyThere,
    /// A row of one of them is not what this program wrote: nothing of it is compared.
    Altered,
}

impl State {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Differs => "differs",
            Self::OnlyHere => "only_here",
            Self::OnlyThere => "only_there",
            Self::Altered => "altered",
        }
    }
}

/// A name of either workspace.
#[derive(Debug)]
pub struct Pair {
    pub name: String,
    pub state: State,
    pub here: Option<Side>,
    pub there: Option<Side>,
    /// Where it is on one side alone: the name of the connection on the other side that it is by an alias, which one of the two has.
    pub elsewhere: Option<String>,
    /// What a copy from here would find other there; `before` is there, and `after` is here.
    pub drifts: Vec<Drift>,
    key: String,
}

impl Pair {
    /// Whether clients connect elsewhere, or as somebody else.
    #[must_use]
    pub fn leads_elsewhere(&self) -> bool {
        self.drifts.iter().any(|drift| drift.directs)
    }
}

/// What stands on one side.
#[derive(Debug)]
pub struct Side {
    id: String,
    pub version: i64,
    pub type_id: String,
    pub address: String,
    pub etag: String,
}

impl Side {
    fn of(row: &ConnectionRow) -> Self {
        Self {
            id: row.id.clone(),
            version: row.version,
            type_id: row.type_id.clone(),
            address: row.address.clone(),
            etag: etag(&row.id, row.version),
        }
    }
}

/// One member that differs.
#[derive(Debug)]
pub struct Drift {
    pub difference: Difference,
    /// It says where a secret is sent, or as whom.
    pub directs: bool,
}

impl Drift {
    /// Whether a copy may take it along. Over a connection that is there it leaves alone what directs that one's secrets.
    #[must_use]
    pub fn copies(&self, is_there: bool) -> bool {
        let is_public = matches!(self.difference.change, FieldChange::Public { .. });
        is_public && self.difference.field != "name" && !(is_there && self.directs)
    }
}

/// A connection and the version of it that serves.
pub(super) type Serving = (ConnectionRow, VersionRow);

/// A page of the names of both workspaces, in their order; with `drift_only` of those that do not stand for the same on both sides.
pub async fn compare(
    app: &App,
    callers: &Callers,
    workspaces: (&str, &str),
    drift_only: bool,
    paging: &Paging,
) -> Result<Page<Pair>> {
    let sides = Sides::authorise(app, callers, workspaces).await?;
    let limit = paging.limit()?;
    let mut last = paging.after()?.map(|(key, _)| key).unwrap_or_default();
    let at_once = if drift_only { PAGE_MAX } else { limit } + 1;
    let (mut rows, mut looked) = (Vec::new(), 0);
    // As searches do, since it reads far for few rows.
    let _turn = if drift_only { Some(app.turns.take(&callers.here.identity()).await?) } else { None };
    loop {
        let mut read = app.store.read().await?;
        let names = sides.after(&mut read, &last, at_once).await?;
        drop(read);
        let is_end = names.len() < at_once;
        for (key, here, there) in names {
            let pair = pair(app, &sides.catalogue, (key, here, there))?;
            let is_asked = !drift_only || pair.state != State::Same;
            if looked == LOOKED_THROUGH || (is_asked && rows.len() == limit) {
                sides.find_elsewhere(app, callers, &mut rows).await?;
                return Ok(Page { rows, next: Some(write_cursor(&(last, String::new()))) });
            }
            looked += 1;
            last.clone_from(&pair.key);
            if is_asked {
                rows.push(pair);
            }
        }
        if is_end {
            sides.find_elsewhere(app, callers, &mut rows).await?;
            return Ok(Page { rows, next: None });
        }
    }
}

/// One name of both workspaces; of a connection that is here only, all that is set is other there.
pub async fn compare_one(app: &App, callers: &Callers, workspaces: (&str, &str), name: &str) -> Result<Pair> {
    let sides = Sides::authorise(app, callers, workspaces).await?;
    let visible = callers.here.may_see_name(name) && callers.there.may_see_name(name);
    if !visible || ConnectionName::new(name).is_err() {
        return Err(Error::NotFound("connection"));
    }
    let key = name.to_ascii_lowercase();
    let mut read = app.store.read().await?;
    let here = store::serving(&mut read, &sides.here.id.to_string(), &key).await?;
    let there = store::serving(&mut read, &sides.there.id.to_string(), &key).await?;
    drop(read);
    if here.is_none() && there.is_none() {
        return Err(Error::NotFound("connection"));
    }
    let whole = here.clone();
    let mut pairs = [pair(app, &sides.catalogue, (key, here, there))?];
    sides.find_elsewhere(app, callers, &mut pairs).await?;
    let [pair] = pairs;
    match whole {
        Some((_, version)) if pair.state == State::OnlyHere => {
            Ok(Pair { drifts: drifts(&sides.catalogue, None, &version)?, ..pair })
        }
        _ => Ok(pair),
    }
}

/// Both workspaces, for callers who may see the connections of each.
struct Sides<'c> {
    here: Arc<Workspace>,
    there: Arc<Workspace>,
    /// The types of both; of two that are called alike, that of here.
    catalogue: Catalogue,
    names: Option<BTreeSet<(String, &'c str)>>,
}

impl<'c> Sides<'c> {
    async fn authorise(app: &App, callers: &'c Callers, (here, there): (&str, &str)) -> Result<Self> {
        let here = authorise(app, &callers.here, here, Action::SeeConnections).await?;
        let there = authorise(app, &callers.there, there, Action::SeeConnections).await?;
        if here.id == there.id {
            return Err(Error::Invalid(vec![FieldError::new("with", "invalid", "is this workspace itself; name another one")]));
        }
        let catalogue = catalogue_of(app, &here).await?.with_missing_of(&*catalogue_of(app, &there).await?);
        Ok(Self { here, there, catalogue, names: callers.names() })
    }

    /// The first names of both after a key. Each side is read as far as all of them may lie in it.
    async fn after(&self, read: &mut Read, after: &str, most: usize) -> Result<Vec<(String, Option<Serving>, Option<Serving>)>> {
        let mut here = self.rows(read, &self.here, after, most).await?.into_iter().peekable();
        let mut there = self.rows(read, &self.there, after, most).await?.into_iter().peekable();
        let mut names = Vec::new();
        while names.len() < most {
            let heads = [&mut here, &mut there].map(|side| side.peek().map(|(row, _)| row.name_key.clone()));
            let Some(key) = heads.into_iter().flatten().min() else { break };
            let of_key = |serving: &Serving| serving.0.name_key == key;
            let (here, there) = (here.next_if(of_key), there.next_if(of_key));
            names.push((key, here, there));
        }
        Ok(names)
    }

    /// Looks for what is on one side alone under another name on the other side.
    async fn find_elsewhere(&self, app: &App, callers: &Callers, pairs: &mut [Pair]) -> Result<()> {
        let mut read = app.store.read().await?;
        let mut has_any = false;
        for workspace in [&self.here, &self.there] {
            has_any |= store::has_aliases(&mut read, &workspace.id.to_string()).await?;
        }
        for pair in pairs.iter_mut().filter(|_| has_any) {
            let (other, caller, side) = match pair.state {
                State::OnlyHere => (&self.there, &callers.there, &pair.here),
                State::OnlyThere => (&self.here, &callers.here, &pair.there),
                State::Same | State::Differs | State::Altered => continue,
            };
            let Some(side) = side else { continue };
            let found = elsewhere(app, &mut read, other, (&side.id, &pair.name, &pair.key)).await?;
            pair.elsewhere = found.filter(|name| caller.may_see_name(name));
        }
        Ok(())
    }

    async fn rows(&self, read: &mut Read, workspace: &Workspace, after: &str, most: usize) -> Result<Vec<Serving>> {
        let id = workspace.id.to_string();
        let Some(names) = &self.names else {
            return Ok(store::serving_after(read, &id, after, i64::try_from(most).unwrap_or(i64::MAX)).await?);
        };
        let mut rows = Vec::new();
        for (key, name) in names.iter().filter(|(key, _)| key.as_str() > after) {
            if rows.len() == most {
                break;
            }
            rows.extend(store::serving(read, &id, key).await?.filter(|(row, _)| row.name == *name));
        }
        Ok(rows)
    }
}

/// The name of the live connection of another workspace that has this name as an alias, or else has one of this connection's aliases as its own.
async fn elsewhere(app: &App, read: &mut Read, other: &Workspace, (id, name, key): (&str, &str, &str)) -> Result<Option<String>> {
    let other = other.id.to_string();
    match names::led(app, read, (&other, key), name).await {
        // One that was bent leads nowhere.
        Ok(None) | Err(Error::SecretUnreadable(_)) => {}
        Ok(Some(row)) => return Ok(Some(row.name)),
        Err(error) => return Err(error),
    }
    for alias in store::aliases_of(read, id).await? {
        let row = store::newest_connection(read, &other, &alias.name, &alias.name_key).await?;
        if let Some(row) = row.filter(|row| row.deleted_at.is_none()) {
            return Ok(Some(row.name));
        }
    }
    Ok(None)
}

fn pair(app: &App, catalogue: &Catalogue, (key, here, there): (String, Option<Serving>, Option<Serving>)) -> Result<Pair> {
    let sides = [&here, &there].map(|serving| serving.as_ref().map(|(row, _)| Side::of(row)));
    let name = here.as_ref().or(there.as_ref()).map(|(row, _)| row.name.clone()).unwrap_or_default();
    let sound = |serving: Option<Serving>| serving.map(|serving| checked(app, serving)).transpose();
    let (state, drifts) = match (sound(here), sound(there)) {
        (Ok(Some(here)), Ok(Some(there))) => {
            let mut found = drifts(catalogue, Some(&there.1), &here.1)?;
            if here.0.name != there.0.name {
                let [before, after] = [&there.0.name, &here.0.name].map(|name| Held::text(name));
                let change = FieldChange::Public { before, after };
                let difference = Difference { field: "name".to_owned(), label: "Connection Name".to_owned(), change };
                found.insert(0, Drift { difference, directs: false });
            }
            (if found.is_empty() { State::Same } else { State::Differs }, found)
        }
        (Ok(Some(_)), Ok(None)) => (State::OnlyHere, Vec::new()),
        (Ok(None), Ok(_)) => (State::OnlyThere, Vec::new()),
        (Err(_), _) | (_, Err(_)) => (State::Altered, Vec::new()),
    };
    let [here, there] = sides;
    Ok(Pair { name, state, here, there, elsewhere: None, drifts, key })
}

/// The operator learns why one is not compared.
fn checked(app: &App, (row, version): Serving) -> Result<Serving> {
    let id = row.id.clone();
    let both = row.checked(&app.vault).and_then(|row| Ok((row, version.checked(&app.vault)?)));
    both.inspect_err(|error| {
        let cause = error.cause().map(|cause| format!("{cause:#}")).unwrap_or_default();
        tracing::error!(row.id = id, error.cause = cause, "a connection was not compared");
    })
}

/// What a version holds otherwise than one of another workspace; over none, all that is set.
pub(super) fn drifts(catalogue: &Catalogue, there: Option<&VersionRow>, here: &VersionRow) -> Result<Vec<Drift>> {
    let mut directing = BTreeSet::from(["type".to_owned()]);
    for version in [Some(here), there].into_iter().flatten() {
        let of_today = catalogue.get(&version.type_id).map(ConnectionType::endpoint_paths).unwrap_or_default();
        let paths = VersionContent::read(version)?.endpoint_paths.into_iter().chain(of_today);
        directing.extend(paths.map(|path| path.as_str().to_owned()));
    }
    let there = there.map(Held::read_beside).transpose()?;
    let found = differences(catalogue, there.as_ref(), &Held::read_beside(here)?)?;
    let told = found.into_iter().map(|difference| Drift { directs: directing.contains(&difference.field), difference });
    Ok(told.collect())
}
