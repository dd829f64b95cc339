//! Rules that are silenced: of one connection, or of all of a workspace; with why, by whom, and until when.

use dataflow_model::FieldError;

use super::{
    super::{
        access::{Action, Caller, authorise, authorise_name},
        connections::{Precondition, current, hold_current},
        idempotency::begin,
        paging::{Page, Paging},
        rows::Sealed as _,
        tombstones::check_reason,
    },
    rules::Rule,
};
use crate::{
    app::App,
    audit::{self, Event},
    clock::rfc3339,
    error::{Error, Result},
    store::{self, Handle, LintSilenceRow, Write},
};

/// Of which connections a rule is silenced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    All,
    Connection { id: String, name: String },
}

impl Scope {
    /// As the store has it.
    pub(super) fn key(&self) -> String {
        match self {
            Self::All => ":all".to_owned(),
            Self::Connection { id, .. } => format!(":connection:{id}"),
        }
    }

    /// As it is read: `all` or `connection:sales`.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::All => "all".to_owned(),
            Self::Connection { name, .. } => format!("connection:{name}"),
        }
    }
}

/// A rule that is silenced.
#[derive(Debug, Clone)]
pub struct Silence {
    pub scope: Scope,
    /// Its id, which may be of a rule that this build no longer has.
    pub rule: String,
    pub reason: String,
    pub until: Option<i64>,
    pub set_at: i64,
    pub set_by: String,
    /// Whether its time is over.
    pub is_over: bool,
    /// Whether it is what somebody set. If not, it silences nothing until somebody sets one again.
    pub is_sound: bool,
    pub etag: String,
}

/// Of which connections, as it is asked for.
#[derive(Debug, Clone, Copy)]
pub enum Of<'o> {
    All,
    Connection(&'o str),
}

/// What is asked for.
#[derive(Debug, Clone)]
pub struct NewSilence {
    pub reason: String,
    /// In microseconds UTC; for ever if there is none.
    pub until: Option<i64>,
}

fn etag_of(scope: &Scope, rule: Rule, set_at: i64) -> String {
    let scope = scope.key();
    format!("\"{}.{}.{set_at}\"", scope.trim_start_matches(':').replace(':', "."), rule.as_str())
}

fn stands(app: &App, scope: Scope, row: LintSilenceRow) -> Silence {
    let etag = Rule::parse(&row.rule).map(|rule| etag_of(&scope, rule, row.set_at)).unwrap_or_default();
    let is_over = row.until_at.is_some_and(|until| until <= app.clock.now());
    let LintSilenceRow { rule, reason, until_at: until, set_at, set_by, .. } = row.clone();
    let is_sound = row.checked(&app.vault).inspect_err(|error| {
        let cause = error.cause().map(|cause| format!("{cause:#}")).unwrap_or_default();
        tracing::error!(lint.scope = scope.key(), lint.rule = rule, error.cause = cause, "a silence of the lint was refused");
    });
    let is_sound = is_sound.is_ok();
    Silence { scope, rule, reason, until, set_at, set_by, is_over, is_sound, etag }
}

/// The rule that a row silences, if it does.
pub(super) fn in_force(app: &App, scope: Scope, row: LintSilenceRow) -> Option<(Rule, Silence)> {
    let silence = stands(app, scope, row);
    let rule = Rule::parse(&silence.rule)?;
    (silence.is_sound && !silence.is_over).then_some((rule, silence))
}

/// The rule of this id.
///
/// # Errors
/// `NotFound` if there is none.
pub fn rule_of(id: &str) -> Result<Rule> {
    Rule::parse(id).ok_or(Error::NotFound("rule of the lint"))
}

/// A page of what is silenced in a workspace, of all connections first.
pub async fn list(app: &App, caller: &Caller, workspace: &str, paging: &Paging) -> Result<Page<Silence>> {
    let workspace = authorise(app, caller, workspace, Action::SeeConnections).await?;
    let wanted = paging.rows_to_read()?;
    let (mut place, id) = (paging.after()?.unwrap_or_default(), workspace.id.to_string());
    let mut read = app.store.read().await?;
    let mut rows = Vec::new();
    // Of a narrowed token's names there may be few in many.
    while rows.len() < usize::try_from(wanted).unwrap_or_default() {
        let more = store::lint_silences(&mut read, &id, (&place.0, &place.1), wanted).await?;
        let Some(last) = more.last() else { break };
        place = (last.silence.scope.clone(), last.silence.rule.clone());
        rows.extend(more.into_iter().filter(|row| row.name.as_ref().is_none_or(|name| caller.may_see_name(name))));
    }
    let page = paging.page(rows, |row| (row.silence.scope.clone(), row.silence.rule.clone()))?;
    Ok(page.map(|row| {
        let scope = match row.silence.scope.strip_prefix(":connection:") {
            Some(id) => Scope::Connection { id: id.to_owned(), name: row.name.unwrap_or_default() },
            None => Scope::All,
        };
        stands(app, scope, row.silence)
    }))
}

/// What silences a rule, if it is silenced, and what a change of that names.
pub async fn show(app: &App, caller: &Caller, workspace: &str, of: Of<'_>, rule: &str) -> Result<(Option<Silence>, String)> {
    let (workspace, scope) = match of {
        Of::All => (authorise(app, caller, workspace, Action::SeeConnections).await?, None),
        Of::Connection(name) => (authorise_name(app, caller, workspace, name, Action::SeeConnections).await?, Some(name)),
    };
    let mut read = app.store.read().await?;
    let scope = match scope {
        None => Scope::All,
        Some(name) => {
            let (row, _) = current(app, &mut read, &workspace, name).await?;
            Scope::Connection { id: row.id, name: row.name }
        }
    };
    let rule = rule_of(rule)?;
    standing(app, &mut read, (&workspace.id.to_string(), scope, rule)).await
}

async fn standing(
    app: &App,
    handle: &mut impl Handle,
    (workspace_id, scope, rule): (&str, Scope, Rule),
) -> Result<(Option<Silence>, String)> {
    let row = store::lint_silence(handle, workspace_id, (&scope.key(), rule.as_str())).await?;
    let etag = etag_of(&scope, rule, row.as_ref().map_or(0, |row| row.set_at));
    Ok((row.map(|row| stands(app, scope, row)), etag))
}

/// What a change is about, held until it is over.
struct Held {
    workspace_id: String,
    scope: Scope,
    rule: Rule,
    write: Write,
}

async fn hold(app: &App, caller: &Caller, workspace: &str, of: Of<'_>, rule: &str) -> Result<Held> {
    match of {
        Of::All => {
            let workspace = authorise(app, caller, workspace, Action::SilenceLint).await?;
            let rule = rule_of(rule)?;
            let mut write = begin(app, caller).await?;
            let workspace_id = workspace.id.to_string();
            store::hold_workspace(&mut write, &workspace_id).await?;
            Ok(Held { workspace_id, scope: Scope::All, rule, write })
        }
        Of::Connection(name) => {
            let workspace = authorise_name(app, caller, workspace, name, Action::EditConnections).await?;
            let mut write = begin(app, caller).await?;
            let (row, _) = hold_current(app, caller, &mut write, &workspace, name).await?;
            let rule = rule_of(rule)?;
            store::share_workspace(&mut write, &row.workspace_id).await?;
            let scope = Scope::Connection { id: row.id, name: row.name };
            Ok(Held { workspace_id: row.workspace_id, scope, rule, write })
        }
    }
}

fn errors_of(app: &App, asked: &NewSilence) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if asked.reason.trim().is_empty() {
        errors.push(FieldError::new("reason", "required", "is needed: whoever reads this later asks why"));
    }
    if let Err(Error::Invalid(refused)) = check_reason(Some(&asked.reason)) {
        errors.extend(refused);
    }
    if asked.until.is_some_and(|until| until <= app.clock.now()) {
        errors.push(FieldError::new("until", "out_of_range", "must be a time to come"));
    }
    errors
}

/// Silences a rule: what it finds is not listed any more unless somebody asks for it.
///
/// # Errors
/// `Invalid` without a reason, too.
pub async fn set(
    app: &App,
    caller: &Caller,
    workspace: &str,
    (of, rule): (Of<'_>, &str),
    (asked, precondition): (NewSilence, &Precondition),
) -> Result<Silence> {
    let Held { workspace_id, scope, rule, mut write } = hold(app, caller, workspace, of, rule).await?;
    let (before, etag) = standing(app, &mut write, (&workspace_id, scope.clone(), rule)).await?;
    precondition.holds(&etag)?;
    let errors = errors_of(app, &asked);
    if !errors.is_empty() {
        return Err(Error::Invalid(errors));
    }
    let reason = asked.reason.trim().to_owned();
    if let Some(before) = before.filter(|before| before.is_sound && before.reason == reason && before.until == asked.until) {
        write.commit_quietly().await?;
        return Ok(before);
    }
    let row = LintSilenceRow {
        workspace_id,
        scope: scope.key(),
        rule: rule.as_str().to_owned(),
        reason,
        until_at: asked.until,
        set_at: app.clock.now(),
        set_by: caller.label().into_owned(),
        set_by_id: caller.identity().into_owned(),
        mac: Vec::new(),
    }
    .sealed(&app.vault);
    store::put_lint_silence(&mut write, &row).await?;
    let mut detail = serde_json::json!({"rule": row.rule, "reason": row.reason});
    audit::note(&mut detail, "until", row.until_at.map(rfc3339));
    record(app, &mut write, caller, (&row.workspace_id, &scope, rule), ("silenced", detail)).await?;
    write.commit_quietly().await?;
    Ok(stands(app, scope, row))
}

/// Has a rule find again what it finds.
///
/// # Errors
/// `NotFound` if it is not silenced.
pub async fn lift(
    app: &App,
    caller: &Caller,
    workspace: &str,
    (of, rule): (Of<'_>, &str),
    precondition: &Precondition,
) -> Result<()> {
    let Held { workspace_id, scope, rule, mut write } = hold(app, caller, workspace, of, rule).await?;
    let (_, etag) = standing(app, &mut write, (&workspace_id, scope.clone(), rule)).await?;
    precondition.holds(&etag)?;
    if !store::delete_lint_silence(&mut write, &workspace_id, (&scope.key(), rule.as_str())).await? {
        return Err(Error::NotFound("silence of the lint"));
    }
    let detail = serde_json::json!({"rule": rule.as_str()});
    record(app, &mut write, caller, (&workspace_id, &scope, rule), ("lifted", detail)).await?;
    Ok(write.commit_quietly().await?)
}

async fn record(
    app: &App,
    write: &mut Write,
    caller: &Caller,
    (workspace_id, scope, rule): (&str, &Scope, Rule),
    (act, detail): (&'static str, serde_json::Value),
) -> Result<()> {
    let (action, object) = match (scope, act) {
        (Scope::All, "silenced") => ("lint.silenced", rule.as_str()),
        (Scope::All, _) => ("lint.lifted", rule.as_str()),
        (Scope::Connection { name, .. }, "silenced") => ("connection.lint_silenced", name.as_str()),
        (Scope::Connection { name, .. }, _) => ("connection.lint_lifted", name.as_str()),
    };
    let event = Event { at: app.clock.now(), workspace_id: Some(workspace_id.to_owned()), action, object, detail };
    Ok(audit::record(write, &app.vault, caller, event).await?)
}
