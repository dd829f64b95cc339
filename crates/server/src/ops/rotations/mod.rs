//! New passwords for what connections sign in as: made here, set on the database, tested, saved as a version.
//!
//! Before a database is asked for anything, the new password is a row of the store, sealed. So whatever ends this process, or the database, or the
//! line between them, both passwords are there, and whoever comes next finds out by signing in which of them is in force ([`settle`]).

mod act;
pub(super) mod candidate;
pub mod policy;
pub mod rules;
mod schedule;
pub mod second_login;
mod settle;
mod wait;

use std::{collections::BTreeMap, sync::Arc};

use anyhow::Context;
use dataflow_model::{Catalogue, Cause, ConnectionType, FieldError, PublicFields, SecretFields, TestReport, settle::Settled};
use serde::{Deserialize, Serialize};

pub(in crate::ops) use self::settle::stand_in;
use self::{act::Act, rules::Rules};
pub use self::{schedule::rotate_due, settle::settle_due, wait::wait_for};
use super::{
    access::{Action, Caller, authorise_name},
    checks,
    connections::{self, Connection, Precondition, current, hold_current},
    credentials::servable,
    hops,
    idempotency::begin,
    own_types::catalogue_of,
    rows::{Sealed as _, VersionContent},
    save::{self, Next},
    settings,
    versions::{Content, SealedVersion, Sealing, json},
};
use crate::{
    app::{App, Workspace},
    audit::{self, Event},
    clock::{SECOND, minute},
    error::{Error, Result},
    store::{self, ConnectionRow, Handle, RotationRow, VersionRow, Write},
    throttle::Kind,
};

/// The field whose secret is replaced.
pub(super) const PASSWORD: &str = "password";
/// How long a node is taken to be at a rotation that it does not tell of any more: three times what it tells it by.
const LEASE: i64 = 6 * SECOND;

/// What a rotation came to.
#[derive(Debug)]
pub struct Rotated {
    pub state: State,
    /// The login of before, where the connection signs in as another one now.
    pub retires: Option<String>,
    /// How setting the password went, and the test with it after that; nothing of what did not come to it.
    pub set: Option<TestReport>,
    pub test: Option<TestReport>,
    /// The connection as it is now.
    pub connection: Connection,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The database has the new password, and so has the connection.
    Rotated,
    /// Both have the old one.
    Unchanged,
    /// Which one the database has is not known; it is found out.
    Unsettled,
}

impl State {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rotated => "rotated",
            Self::Unchanged => "unchanged",
            Self::Unsettled => "unsettled",
        }
    }
}

/// A rotation that is not settled, as whoever sees the connection sees it.
#[derive(Debug, Clone)]
pub struct UnderWay {
    pub begun_by: String,
    pub begun_at: i64,
    /// Somebody is at it at this moment.
    pub is_at_it: bool,
    pub tries: i64,
    /// When it is tried again.
    pub next_at: i64,
    problem: Option<Problem>,
    /// The database may still do what it was asked for last.
    may_still_happen: bool,
    /// Whose it is, if not what the connection signs in as.
    second: Option<String>,
}

/// What stood in the way the last time, scrubbed.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Problem {
    message: String,
    hint: String,
    /// The database refused the login with the password that is kept.
    #[serde(default)]
    is_refused: bool,
}

impl UnderWay {
    /// One for the API's description.
    #[must_use]
    pub fn example() -> Self {
        let begun_at = 1_793_610_000 * SECOND;
        let begun_by = "ada@example.org".to_owned();
        Self {
            begun_by,
            begun_at,
            is_at_it: true,
            tries: 0,
            next_at: begun_at,
            problem: None,
            may_still_happen: true,
            second: None,
        }
    }

    fn of(app: &App, row: &RotationRow) -> Self {
        let now = app.clock.now();
        Self {
            begun_by: row.begun_by.clone(),
            begun_at: row.begun_at,
            is_at_it: row.leased_until > now,
            tries: row.tries,
            next_at: row.next_at,
            problem: row.problem.as_deref().and_then(|problem| serde_json::from_str(problem).ok()),
            may_still_happen: now < settle::decided_at(app, row),
            second: None,
        }
    }

    /// It was tried to settle it, in vain.
    #[must_use]
    pub fn is_stuck(&self) -> bool {
        self.tries > 0
    }

    /// Whether somebody may give it up: not before it is certain that the new password does not come into force after it was forgotten.
    #[must_use]
    pub fn may_be_given_up(&self) -> bool {
        !self.is_at_it && self.is_stuck() && !self.may_still_happen
    }

    /// What to do, for whom it stands in the way.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        if self.second.is_some() {
            "Wait until it is over, mostly seconds, and do it again."
        } else if self.is_stuck() && self.may_still_happen {
            "It ends by itself once one of the two passwords signs in. The database may still do what it was asked for last, so it can be given up in \
             twenty seconds, not now."
        } else {
            "Wait until it is over, and do it again. What cannot be settled an editor can give up: on the connection's page, or by “dataflow \
             connections rotate NAME --give-up”."
        }
    }

    /// What ends it, for who would change the connection meanwhile.
    #[must_use]
    pub fn end(&self) -> &'static str {
        if self.may_be_given_up() {
            "It ends by itself once one of the two passwords signs in. Who knows which one the database has can give it up, here or by “dataflow \
             connections rotate NAME --give-up”."
        } else {
            "It ends by itself, mostly within seconds."
        }
    }

    /// What it is about, for who is woken by it.
    #[must_use]
    pub fn sentence(&self) -> String {
        if let Some(username) = &self.second {
            return format!("The password of “{username}”, the connection's second login, is being changed.");
        }
        let begun = format!("{} began to rotate the password on {}", self.begun_by, minute(self.begun_at));
        match &self.problem {
            None => format!("{begun}, and it is under way."),
            Some(Problem { message, hint, .. }) => format!(
                "{begun}. It is not known yet whether the database has the new password or still the old one; code gets the old one until then. \
                 Nothing is lost: both are kept, and they are tried again by themselves until one signs in. The last time: {message} {hint}"
            ),
        }
    }
}

/// What is to be rotated.
struct Task {
    workspace: Arc<Workspace>,
    before: ConnectionRow,
    version: VersionRow,
    content: VersionContent,
    kind: Arc<ConnectionType>,
    old: SecretFields,
}

impl Task {
    /// Opens what the current version holds.
    async fn of(app: &App, workspace: &Arc<Workspace>, (before, version): (ConnectionRow, VersionRow)) -> Result<Self> {
        let content = VersionContent::read(&version)?;
        let newer = app.workspace_of_now(workspace, content.newest_key()).await?;
        let workspace = newer.unwrap_or_else(|| workspace.clone());
        let kind = kind_that_rotates(&*catalogue_of(app, &workspace).await?, &before.type_id)?;
        let id = super::rows::uuid(&before.id)?;
        let sealing = Sealing { workspace: &workspace, id, version: before.version, kept: Some(&content) };
        let old = sealing.open_all(&content)?;
        if old.get(PASSWORD).is_none() {
            let text = "is not set, so there is none to rotate";
            return Err(Error::Invalid(vec![FieldError::new(PASSWORD, "required", text)]));
        }
        Ok(Self { workspace, before, version, content, kind, old })
    }

    fn public(&self) -> &PublicFields {
        &self.content.public
    }

    /// The workspace with its keys up to this one, where a rotation of keys has gone on.
    async fn with_key(&self, app: &App, newest: u32) -> Result<Arc<Workspace>> {
        Ok(app.workspace_of_now(&self.workspace, newest).await?.unwrap_or_else(|| self.workspace.clone()))
    }

    /// What the next version holds, and its sealed secrets; those that it keeps are `kept`'s.
    fn next_version(&self, settled: Settled, kept: Option<&VersionContent>) -> Result<(Content, SealedVersion)> {
        let before = &self.before;
        let id = super::rows::uuid(&before.id)?;
        let sealed = Sealing { workspace: &self.workspace, id, version: before.version + 1, kept }.apply(&self.kind, &settled)?;
        let tags = serde_json::from_str(&before.tags).context("a connection's tags do not parse").map_err(Error::Internal)?;
        Ok((Content { description: before.description.clone(), tags, settled }, sealed))
    }

    /// Saves the next version of what this was made of in the transaction that holds it, which ends with that; `test` passed with it.
    async fn save(
        self,
        app: &App,
        caller: &Caller,
        write: Write,
        ((content, sealed), test): ((Content, SealedVersion), &TestReport),
    ) -> Result<Connection> {
        let Self { workspace, before, version, content: old, kind, .. } = self;
        let act = save::Act::Rotate { test };
        let next = Next { workspace: &workspace, kind: &kind, before: (before, version, old), content, sealed, act };
        save::save(app, caller, write, next).await
    }
}

/// Does what is due with each of these rows, all at the same time, and waits for it; with how many it succeeded. One that fails is logged by its
/// connection's id, and holds up no other.
async fn all_at_once<R, F>(app: &Arc<App>, rows: Vec<R>, what: &'static str, act: impl Fn(Arc<App>, R) -> F) -> usize
where
    F: Future<Output = (String, Result<()>)> + Send + 'static,
{
    let mut all = tokio::task::JoinSet::new();
    for row in rows {
        all.spawn(act(app.clone(), row));
    }
    let mut done = 0;
    while let Some(ended) = all.join_next().await {
        match ended {
            Ok((_, Ok(()))) => done += 1,
            Ok((id, Err(error))) => {
                let cause = error.cause().map(|cause| format!("{cause:#}")).unwrap_or_default();
                let code = error.describe().1.as_str();
                tracing::error!(connection.id = id, error.code = code, error.cause = cause, "could not {what}");
            }
            Err(panicked) => tracing::error!(error.cause = panicked.to_string(), "could not {what}"),
        }
    }
    done
}

fn kind_that_rotates(catalogue: &Catalogue, type_id: &str) -> Result<Arc<ConnectionType>> {
    catalogue.shared(type_id).filter(|kind| kind.rotates).ok_or_else(|| {
        let text = "is one whose passwords cannot be rotated from here: set a new one at the database, then save it";
        Error::Invalid(vec![FieldError::new("type", "not_rotatable", text)])
    })
}

/// Gives what a connection signs in as a new password that nobody has seen, and saves it as the next version. Goes on to its end whoever still
/// waits for it.
///
/// # Errors
/// `RotationUnderWay` if there is one already. Once it has begun it is no error that it fails: see [`State`].
pub async fn rotate(
    app: &Arc<App>,
    caller: &Caller,
    workspace: &str,
    name: &str,
    precondition: &Precondition,
) -> Result<Rotated> {
    let workspace = authorise_name(app, caller, workspace, name, Action::RotatePasswords).await?;
    app.throttle.look(Kind::Tests, &*caller.identity(), app.clock.now())?;
    servable(app, &workspace, name).await?.admit(caller, &workspace, name)?;
    Box::pin(rotate_as(app, caller, &workspace, name, precondition)).await
}

/// The same, for callers of whom it is known that they may.
async fn rotate_as(
    app: &Arc<App>,
    caller: &Caller,
    workspace: &Arc<Workspace>,
    name: &str,
    precondition: &Precondition,
) -> Result<Rotated> {
    let mut read = app.store.read().await?;
    let found = current(app, &mut read, workspace, name).await?;
    precondition.check(&found.0)?;
    refuse_while_under_way(app, &mut read, &found.0.id).await?;
    if let Some(second) = store::second_login(&mut read, &found.0.id).await? {
        drop(read);
        return Box::pin(second_login::switch_over(app, caller, workspace, (found, second), precondition)).await;
    }
    let new = policy::rules(app, &mut read, &found.0.id).await?.make();
    drop(read);
    let task = Task::of(app, workspace, found).await?;
    // A version that could not be saved afterwards is refused now.
    candidate::next_version(&task, &new)?;
    app.throttle.take(Kind::Tests, &*caller.identity(), app.clock.now())?;
    let at = (task.public().clone(), SecretFields::default());
    let at = hops::fields(app, caller, &task.workspace, at).await?;
    let placed = app.tests.plan((&*caller.identity(), task.workspace.id), &task.kind.connector, &app.clock, at).await?;
    let planned = placed.within(settings::in_force(app).await?);
    checks::audit_use(app, caller, &task.workspace, name, task.before.version).await?;

    let mut write = begin(app, caller).await?;
    let (held, _) = hold_current(app, caller, &mut write, workspace, name).await?;
    precondition.check(&held)?;
    refuse_while_under_way(app, &mut write, &held.id).await?;
    if (&held.id, held.version) != (&task.before.id, task.before.version) {
        return Err(Error::VersionConflict);
    }
    if let Some(second) = store::second_login(&mut write, &held.id).await? {
        // Given this moment: whoever asks again switches over to it.
        return Err(Error::RotationUnderWay(Box::new(UnderWay::at_second_login(&second))));
    }
    let row = candidate::row(app, caller, &task, &new)?;
    store::insert_rotation(&mut write, &row).await?;
    let detail = serde_json::json!({"version": held.version});
    tell(app, caller, &mut write, (&held, "connection.rotate", detail)).await?;
    write.commit_quietly().await?;

    let caller = caller.without_key();
    let act = Act { app: app.clone(), caller, task, row, new };
    let under_way = app.under_way.begin();
    let done = tokio::spawn(async move {
        let rotated = Box::pin(planned.hold(|runs| act.run(runs))).await;
        drop(under_way);
        rotated
    });
    done.await.context("a rotation was cut off").map_err(Error::Internal)?
}

/// What serves, and what it is to: deleted ones, too.
async fn served(app: &App, handle: &mut impl Handle, connection_id: &str) -> Result<(ConnectionRow, VersionRow)> {
    let connection = store::connection_by_id(handle, connection_id).await?.ok_or(Error::NotFound("connection"))?;
    let connection = connection.checked(&app.vault)?;
    let version = store::version(handle, connection_id, connection.version).await?.ok_or(Error::NotFound("version"))?;
    Ok((connection, version.checked(&app.vault)?))
}

/// The same with its workspace, for who goes on with what somebody else began.
async fn loaded(app: &App, (workspace_id, connection_id): (&str, &str)) -> Result<(Arc<Workspace>, (ConnectionRow, VersionRow))> {
    let mut read = app.store.read().await?;
    let workspace = store::workspace(&mut read, workspace_id).await?.ok_or(Error::NotFound("workspace"))?;
    let served = served(app, &mut read, connection_id).await?;
    drop(read);
    let workspace = app.workspace(&workspace.name).await?.ok_or(Error::NotFound("workspace"))?;
    Ok((workspace, served))
}

/// Leaves an event of a connection.
async fn tell(
    app: &App,
    caller: &Caller,
    write: &mut Write,
    (connection, action, detail): (&ConnectionRow, &'static str, serde_json::Value),
) -> Result<()> {
    let workspace_id = Some(connection.workspace_id.clone());
    let event = Event { at: app.clock.now(), workspace_id, action, object: &connection.name, detail };
    Ok(audit::record(write, &app.vault, caller, event).await?)
}

/// Refuses what would change a connection while its password is being rotated: callers hold it.
pub(super) async fn refuse_while_under_way(app: &App, handle: &mut impl Handle, connection_id: &str) -> Result<()> {
    if let Some(row) = store::rotation(handle, connection_id).await? {
        return Err(Error::RotationUnderWay(Box::new(UnderWay::of(app, &row))));
    }
    // A switch would be lost on a version that is not the one that it began at.
    match store::second_login(handle, connection_id).await? {
        Some(row) if row.retires_from.is_none() && row.leased_until > app.clock.now() => {
            Err(Error::RotationUnderWay(Box::new(UnderWay::at_second_login(&row))))
        }
        _ => Ok(()),
    }
}

/// The rotation of a connection that is not settled, if there is one. Callers authorise first.
pub(super) async fn under_way(app: &App, handle: &mut impl Handle, connection_id: &str) -> Result<Option<UnderWay>> {
    Ok(store::rotation(handle, connection_id).await?.map(|row| UnderWay::of(app, &row)))
}

/// Gives up a rotation that cannot be settled: its new password is forgotten, and the connection can be changed again. For who knows which
/// password the database has, or will set one there.
///
/// # Errors
/// `NotFound` if there is none, `RotationUnderWay` while somebody is at it or the database may still do what it was asked for.
pub async fn give_up(app: &App, caller: &Caller, workspace: &str, name: &str, precondition: &Precondition) -> Result<Connection> {
    let workspace = authorise_name(app, caller, workspace, name, Action::RotatePasswords).await?;
    let mut write = begin(app, caller).await?;
    let (held, version) = hold_current(app, caller, &mut write, &workspace, name).await?;
    precondition.check(&held)?;
    let row = store::rotation(&mut write, &held.id).await?.ok_or(Error::NotFound("rotation"))?;
    let under_way = UnderWay::of(app, &row);
    if !under_way.may_be_given_up() || !settle::end(app, &mut write, caller, (&row, &held), "given_up").await? {
        return Err(Error::RotationUnderWay(Box::new(under_way)));
    }
    write.commit_quietly().await?;
    let catalogue = catalogue_of(app, &workspace).await?;
    connections::view(catalogue.get(&held.type_id), held, &version)
}

/// The same, of what waits in a store that was restored.
#[must_use]
pub fn rests_since_a_restore() -> String {
    let message = "This store was restored from a backup, and may be a copy of one at work: no password is changed by itself.";
    let hint = "Where it is the one at work, save the policy again, or retire the login.";
    serde_json::json!({"message": message, "hint": hint}).to_string()
}

/// A JSON column of what stood in the way.
fn problem(error: &dataflow_model::TestError) -> Result<String> {
    let is_refused = error.code == Cause::CredentialsRefused;
    json(&Problem { message: error.message.clone(), hint: error.hint.clone(), is_refused })
}

/// The same secrets, of which this password is one.
fn with_password(secrets: &SecretFields, password: &dataflow_model::Secret) -> SecretFields {
    let others = secrets.0.iter().filter(|(path, _)| path.as_str() != PASSWORD);
    let mut all: BTreeMap<_, _> = others.map(|(path, secret)| (path.clone(), secret.duplicate_secret())).collect();
    all.insert(PASSWORD.into(), password.duplicate_secret());
    SecretFields(all)
}
