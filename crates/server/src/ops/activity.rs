//! Activity: who did what in a workspace, and which code used which connection.

mod connection;

use dataflow_model::FieldError;
use dataflow_vault::Vault;
use serde_json::Value;

use super::{
    access::{Action, Caller, Who, authorise, authorise_name},
    paging::{Page, Paging},
};
use crate::{
    app::{App, Workspace},
    audit::{
        self, chain,
        checkpoint::Checkpoint,
        rows,
        verify::{self, Report},
    },
    error::{Error, Result},
    store::{self, ActivityQuery, AuditRow, ReadsRow},
};

/// Longest text of a filter, in characters.
pub const FILTER_MAX: usize = 300;

/// Which events are asked for. An empty text asks for all.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Who acted, as events call him: an e-mail, `token NAME` or `shell`.
    pub actor: String,
    /// With what happened to it and is no event, too: [`connection`].
    pub connection: String,
    pub action: String,
    /// The name of a workflow: reads alone have one.
    pub workflow: String,
    /// No earlier than this, in microseconds UTC.
    pub since: Option<i64>,
}

/// A change, or reads of one connection by one caller for one workflow within a minute.
#[derive(Debug)]
pub struct Entry {
    pub id: String,
    pub at: i64,
    /// When the last of the reads was; `at` for a change.
    pub last_at: i64,
    /// Empty where it is not kept who it was.
    pub actor: String,
    pub action: String,
    /// The name of what was acted on.
    pub object: String,
    /// Kind, name and last run.
    pub workflow: Option<(String, String, Option<String>)>,
    pub version: Option<i64>,
    pub count: i64,
    /// Where the last of the reads came from.
    pub address: Option<String>,
    /// What else is known of a change; public facts only.
    pub detail: Value,
    /// Whether a change is what this program wrote. Reads are counts, which have no MAC.
    pub is_authentic: Option<bool>,
}

/// A page of what happened, newest first. Owners see beside it what belongs to no workspace: accounts, sign-ins, keys.
pub async fn list(app: &App, caller: &Caller, workspace: &str, filter: &Filter, paging: &Paging) -> Result<Page<Entry>> {
    let workspace = authorise(app, caller, workspace, Action::SeeActivity).await?;
    check(filter)?;
    if !filter.connection.is_empty() {
        app.uses.flush_to_read(&app.store).await;
    }
    read(app, caller, &workspace, filter, (paging, true)).await
}

/// The last that happened to a connection, without the reads of it: they are many, and its dependents say who uses it.
pub async fn last(app: &App, caller: &Caller, workspace: &str, name: &str, limit: usize) -> Result<Vec<Entry>> {
    let workspace = authorise_name(app, caller, workspace, name, Action::SeeActivity).await?;
    let filter = Filter { connection: name.to_owned(), ..Filter::default() };
    let paging = Paging { cursor: None, limit: Some(limit) };
    Ok(read(app, caller, &workspace, &filter, (&paging, false)).await?.rows)
}

async fn read(
    app: &App,
    caller: &Caller,
    workspace: &Workspace,
    filter: &Filter,
    (paging, with_reads): (&Paging, bool),
) -> Result<Page<Entry>> {
    let (at, id) = paging.before()?;
    let workspace_id = workspace.id.to_string();
    let query = ActivityQuery {
        workspace_id: &workspace_id,
        actor: &filter.actor,
        connection: &filter.connection,
        action: &filter.action,
        workflow: &filter.workflow,
        since: filter.since.unwrap_or(i64::MIN),
        before: (at, &id),
        limit: paging.rows_to_read()?,
    };
    let mut read = app.store.read().await?;
    let mut entries = Vec::new();
    let former = connection::former(&mut read, &query).await?;
    let queries = || std::iter::once(query).chain(former.iter().map(|former| former.query(&query)));
    if with_reads {
        for query in queries() {
            entries.extend(store::list_reads(&mut read, &query).await?.into_iter().map(Entry::from));
        }
    }
    if !filter.connection.is_empty() {
        entries.extend(connection::list(&mut read, &query, &former).await?);
    }
    if filter.workflow.is_empty() {
        let of = |row| Entry::of(row, &app.vault);
        for query in queries() {
            entries.extend(store::list_events(&mut read, &query).await?.into_iter().map(of));
        }
        if caller.is_owner() && filter.connection.is_empty() {
            let query = ActivityQuery { workspace_id: "", ..query };
            entries.extend(store::list_events(&mut read, &query).await?.into_iter().map(of));
        }
    }
    entries.sort_unstable_by(|one, other| (other.at, &other.id).cmp(&(one.at, &one.id)));
    paging.page(entries, |entry| (entry.at.to_string(), entry.id.clone()))
}

/// From when on the audit knows; nothing where it knows all.
#[derive(Debug, Default)]
pub struct Known {
    pub changes_since: Option<i64>,
    pub reads_since: Option<i64>,
}

/// Whether events have been dropped for their age, and from when on there are some.
pub async fn known(app: &App, caller: &Caller, workspace: &str) -> Result<Known> {
    authorise(app, caller, workspace, Action::SeeActivity).await?;
    let mut read = app.store.read().await?;
    let mut known = Known::default();
    for chain in store::chains(&mut read).await?.into_iter().filter(|chain| chain.base_seq > 0) {
        if chain.name == chain::CHANGES {
            known.changes_since = store::event_time(&mut read, chain.base_seq + 1).await?;
        } else if known.reads_since.is_none() {
            known.reads_since = store::oldest_reads(&mut read).await?.or(Some(app.clock.now()));
        }
    }
    Ok(known)
}

/// Walks the chains of all that is kept, whatever workspace it belongs to, up to this moment: for the operator, at the server's own machine.
///
/// # Errors
/// `Forbidden` for everybody else; `Unavailable` where the store or a segment cannot be read.
pub async fn verify(app: &App, caller: &Caller, checkpoints: &[Checkpoint]) -> Result<Report> {
    if !matches!(caller.who, Who::Shell) {
        return Err(Error::Forbidden("verify the audit"));
    }
    // Where no server runs, nobody else brings them up to now. What hinders that is found below.
    if let Err(error) = chain::advance(app).await {
        tracing::warn!(error.cause = format!("{error:#}"), "the audit's chains could not be brought up to now");
    }
    verify::verify(app, checkpoints).await.map_err(Error::Unavailable)
}

/// PostgreSQL fails at a text with NUL, so what cannot be found is not looked for.
fn check(filter: &Filter) -> Result<()> {
    let texts = [
        ("actor", &filter.actor),
        ("connection", &filter.connection),
        ("action", &filter.action),
        ("workflow", &filter.workflow),
    ];
    let is_wrong = |text: &str| text.chars().any(char::is_control) || text.chars().count() > FILTER_MAX;
    let wrong = texts.into_iter().filter(|(_, text)| is_wrong(text));
    let errors: Vec<_> = wrong
        .map(|(name, _)| FieldError::new(name, "invalid", format!("must be one line of at most {FILTER_MAX} characters")))
        .collect();
    if errors.is_empty() { Ok(()) } else { Err(Error::Invalid(errors)) }
}

impl Entry {
    fn of(row: AuditRow, vault: &Vault) -> Self {
        let is_authentic = audit::is_authentic(vault, &row);
        let mut detail = serde_json::from_str(&row.detail).ok().filter(Value::is_object).unwrap_or_else(|| serde_json::json!({}));
        rows::without(&mut detail);
        Self {
            id: row.id,
            at: row.at,
            last_at: row.at,
            actor: row.actor,
            action: row.action,
            object: row.object,
            workflow: None,
            version: None,
            count: 1,
            address: None,
            detail,
            is_authentic: Some(is_authentic),
        }
    }
}

impl From<ReadsRow> for Entry {
    fn from(row: ReadsRow) -> Self {
        Self {
            id: row.id,
            at: row.at,
            last_at: row.last_at,
            actor: row.actor,
            action: row.action,
            object: row.connection,
            workflow: Some((row.workflow_kind, row.workflow, row.run)).filter(|(kind, ..)| !kind.is_empty()),
            version: Some(row.version),
            count: row.reads,
            address: row.address,
            detail: Value::Object(serde_json::Map::new()),
            is_authentic: None,
        }
    }
}
