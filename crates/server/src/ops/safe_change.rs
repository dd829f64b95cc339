//! A change that is tested before it serves: what it would put in force is tried first, and saved only if it passes. Edits and restores come
//! through here alike, from whichever face.

use std::sync::Arc;

use dataflow_model::{FieldPath, PublicFields, SecretFields, TestReport, TestStatus};
use tokio::sync::mpsc;

use super::{
    Roles,
    access::{Action, Caller, Who},
    checks, people,
    rows::Sealed as _,
    second_look,
    users::Allowed,
};
use crate::{
    app::{App, Workspace},
    audit::{self, Event},
    error::{Error, Result},
    store::{self, ConnectionRow, VersionRow},
};

/// More steps than a test has: nobody reads them.
const STEPS: usize = 16;

/// Whether a change is tested before it serves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Trial {
    /// If it changes what clients connect with.
    First,
    /// Saved as it is.
    #[default]
    None,
}

impl Trial {
    #[must_use]
    pub fn if_asked(asked: bool) -> Self {
        if asked { Self::First } else { Self::None }
    }
}

/// What a change would put in force, in clear.
pub(super) struct Candidate<'c> {
    pub workspace: &'c Arc<Workspace>,
    pub connector: &'c str,
    pub fields: (PublicFields, SecretFields),
    pub fingerprint: &'c str,
    /// What serves meanwhile, and whom it is narrowed to.
    pub serving: (&'c ConnectionRow, &'c VersionRow),
    pub users: Option<Allowed>,
    pub carried: Carried<'c>,
}

/// The kept secrets that the change sends elsewhere, and the fields that say where; none unless an admin decided so after a second look.
#[derive(Default)]
pub(super) struct Carried<'c> {
    pub secrets: &'c [FieldPath],
    pub fields: Vec<&'c String>,
}

/// A change that may be saved.
#[derive(Debug)]
pub(super) struct Tried {
    fingerprint: String,
    /// Nothing where clients would connect with what they connect with now.
    pub report: Option<TestReport>,
    /// What was kept of the connection's second login, sealed, before the test.
    pub second: Option<String>,
    /// The test sent kept secrets elsewhere, and has used up the second look that this took.
    pub has_carried: bool,
}

impl Tried {
    /// Whether this is what was tried: somebody may have saved meanwhile what this change is made over now.
    ///
    /// # Errors
    /// `VersionConflict` if clients would connect with something that was not tested.
    pub fn covers(&self, serving: &VersionRow, next: &str) -> Result<()> {
        if next == self.fingerprint || next == serving.fingerprint { Ok(()) } else { Err(Error::VersionConflict) }
    }
}

/// Tests what a change would put in force, unless clients connect with the same now. Nothing that checks the password (`unproven`) passes:
/// clients get in there. No transaction is open: it takes as long as the test, at most ten seconds, and five in which it waits for its place.
///
/// # Errors
/// `TestFailed` with the report; those of a test; `Unauthenticated` and `Forbidden` for who has lost his rights while it ran.
pub(super) async fn try_first(app: &App, caller: &Caller, candidate: Candidate<'_>) -> Result<Tried> {
    let Candidate { workspace, connector, fields, fingerprint, serving: (row, version), users, carried } = candidate;
    let fingerprint = fingerprint.to_owned();
    if fingerprint == version.fingerprint {
        return Ok(Tried { fingerprint, report: None, second: None, has_carried: false });
    }
    let second = store::second_login(&mut app.store.read().await?, &row.id).await?.map(|second| second.password);
    if let Some(users) = users {
        users.admit(caller, workspace)?;
    }
    let test = checks::plan(app, caller, workspace, connector, fields).await?;
    if !carried.secrets.is_empty() {
        carry(app, caller, row, &carried).await?;
    }
    checks::audit_use(app, caller, workspace, &row.name, row.version).await?;
    let (sender, _steps) = mpsc::channel(STEPS);
    let report = Box::pin(test.run(sender)).await;
    if report.status == TestStatus::Failed {
        return Err(Error::TestFailed(Box::new(report)));
    }
    authorise_anew(app, caller, workspace, Action::EditConnections).await?;
    Ok(Tried { fingerprint, report: Some(report), second, has_carried: !carried.secrets.is_empty() })
}

/// Has the audit say, before a test sends kept secrets elsewhere, who decided so: whatever the test comes to, they were sent.
async fn carry(app: &App, caller: &Caller, row: &ConnectionRow, carried: &Carried<'_>) -> Result<()> {
    let mut write = app.store.write().await?;
    second_look::use_up(app, &mut write, caller).await?;
    let event = Event {
        at: app.clock.now(),
        workspace_id: Some(row.workspace_id.clone()),
        action: "connection.carry_secret",
        object: &row.name,
        detail: serde_json::json!({"test": true, "fields": carried.fields, "secrets": carried.secrets}),
    };
    audit::record(&mut write, &app.vault, caller, event).await?;
    write.commit().await?;
    Ok(())
}

/// Asks again, once a test is over, what a request is asked as it comes: a token may be revoked by then, a session ended, a role taken away.
pub(super) async fn authorise_anew(app: &App, caller: &Caller, workspace: &Workspace, action: Action) -> Result<()> {
    let id = workspace.id.to_string();
    let mut read = app.store.read().await?;
    let roles = match &caller.who {
        Who::Shell => Roles::all(),
        Who::Token(token) => {
            let row = store::token(&mut read, &id, &token.id.to_string()).await?.ok_or(Error::Unauthenticated)?;
            let row = row.checked(&app.vault)?;
            if row.revoked_at.is_some() || row.expires_at <= app.clock.now() {
                return Err(Error::Unauthenticated);
            }
            match &row.person_id {
                Some(person) => Roles::parse(&row.roles).capped_by(people::current_roles(app, &mut read, person, &id).await?),
                None => Roles::parse(&row.roles),
            }
        }
        Who::Person(person) => {
            if let Some(session) = &person.session {
                store::session(&mut read, &session.hash).await?.ok_or(Error::Unauthenticated)?;
            }
            people::current_roles(app, &mut read, &person.id.to_string(), &id).await?
        }
    };
    if action.allowed_to(roles) { Ok(()) } else { Err(Error::Forbidden(action.words())) }
}
