//! The second login of a connection. A rotation in two-user fashion gives it a new password, has the connection sign in as it, and keeps the login
//! of before, which works on; that one gets a password that nobody knows once no program lags behind, and stands by for the next rotation.
//!
//! No password is changed while clients sign in with it. So nothing has to be settled in a hurry: whoever was cut off left a password that may be
//! in force beside the one that was, and the next who comes tries both.

mod act;
mod exchange;
mod give;
#[cfg(test)]
pub(crate) mod planted;
mod retire;
mod sealing;
mod switch;

use dataflow_model::{FieldError, Laggard, Laggards};

pub(super) use self::switch::switch_over;
pub(in crate::ops) use self::{
    exchange::{By, Exchange, exchange, refuse_unlooked},
    sealing::resealed,
};
pub use self::{
    give::{NewLogin, put, remove},
    retire::{Retired, look_after, retire},
};
use super::{Problem, Task, UnderWay, settle::DECIDED};
use crate::{
    app::{App, Workspace},
    clock::{SECOND, minute, parse_rfc3339},
    error::{Error, Result},
    ops::{
        access::{Action, Caller, authorise_name},
        connections::{current, etag},
        dependents,
        rows::{Sealed as _, VersionContent},
    },
    store::{self, ConnectionRow, Handle, RESTS, SecondLoginRow, VersionRow},
};

/// The field that a login is named in.
const USERNAME: &str = "username";
/// So long after a switch nothing is retired: by then every program at work has asked for the connection again.
const AFTER_SWITCH: i64 = dependents::LIVE;
/// How often it is looked whether somebody still lags behind.
const LOOK_EVERY: i64 = 10 * SECOND;
/// Longest pause between two tries.
const LONGEST_PAUSE: i64 = 300 * SECOND;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The next rotation switches over to it.
    StandsBy,
    /// It served until the last switch, and works until nobody lags behind.
    Retiring,
    /// It was given for another address than the connection has now, and is sent nowhere.
    AnotherAddress,
}

impl Standing {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::StandsBy => "stands_by",
            Self::Retiring => "retiring",
            Self::AnotherAddress => "another_address",
        }
    }

    fn of(row: &SecondLoginRow, (version, content): (&VersionRow, &VersionContent)) -> Self {
        if row.endpoint != sealing::in_words(&sealing::endpoint_as(version, content, &row.username)) {
            Self::AnotherAddress
        } else if row.retires_from.is_some() {
            Self::Retiring
        } else {
            Self::StandsBy
        }
    }
}

/// The second login of a connection, as whoever sees that sees it.
#[derive(Debug, Clone)]
pub struct SecondLogin {
    pub username: String,
    pub standing: Standing,
    /// When it was given, or switched over from, and by whom.
    pub since: i64,
    pub by: String,
    /// The version that took its place.
    pub retires_from: Option<i64>,
    /// Its password is being changed at this moment.
    pub is_at_it: bool,
    /// A job looks at it: it is to be retired, or may have a password that is not known to be in force.
    pub is_looked_after: bool,
    /// The entity tag of the connection, which every change of it names.
    pub etag: String,
    /// How often setting a password has failed, when that is tried again, and what stood in the way.
    pub tries: i64,
    pub next_at: i64,
    problem: Option<Problem>,
    pub laggards: Laggards,
}

impl SecondLogin {
    /// What it is about, for who is woken by it.
    #[must_use]
    pub fn sentence(&self) -> String {
        let Self { username, standing, laggards, problem, is_looked_after, .. } = self;
        let problem = problem.as_ref().filter(|_| !self.is_at_it);
        told(
            username,
            *standing,
            laggards,
            problem.map(|problem| Found { problem, rests: self.next_at == RESTS, is_looked_after: *is_looked_after }),
        )
    }

    /// Whether the database refuses it with the password that is kept: then it has to be given again.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        !self.is_at_it
            && self.standing != Standing::AnotherAddress
            && self.problem.as_ref().is_some_and(|problem| problem.is_refused)
    }
}

/// What to do about a second login that does not sign in.
pub(super) fn give_again(username: &str) -> String {
    format!(
        "Give it again with the password that it has now, on the page “Second login” or by “dataflow connections second-login NAME --username {username}”."
    )
}

/// What stood in the way of a new password for it.
#[derive(Clone, Copy)]
struct Found<'p> {
    problem: &'p Problem,
    /// Nothing is done about it until somebody says a word.
    rests: bool,
    /// It is tried again by itself.
    is_looked_after: bool,
}

/// How a second login stands, and what to do about it: one thing.
fn told(username: &str, standing: Standing, laggards: &Laggards, found: Option<Found<'_>>) -> String {
    let is_retiring = standing == Standing::Retiring;
    let beside = if is_retiring { "is not retired yet" } else { "stands by" };
    match found {
        _ if standing == Standing::AnotherAddress => {
            format!("“{username}” was given for another address than the connection has now. {}", give_again(username))
        }
        None if is_retiring => waits(username, laggards),
        None => format!("“{username}” stands by: the next rotation switches over to it."),
        Some(Found { problem: Problem { message, hint, .. }, rests: true, .. }) => {
            format!("“{username}” waits for a word. {message} {hint}")
        }
        Some(Found { problem: Problem { message, is_refused: true, .. }, .. }) if is_retiring => format!(
            "“{username}” is not retired yet, and no longer signs in with the password that is kept: {message} Forget it, on the page “Second login” or by \
             “dataflow connections second-login NAME --remove --anyway”, and give it again with the password that it has now."
        ),
        Some(Found { problem: Problem { message, is_refused: true, .. }, .. }) => {
            format!("“{username}” no longer signs in with the password that is kept: {message} {}", give_again(username))
        }
        Some(Found { problem: Problem { message, hint, .. }, is_looked_after: true, .. }) => format!(
            "“{username}” {beside}. A new password could not be set for it, which is tried again by itself. The last time: {message} {hint}"
        ),
        Some(Found { problem: Problem { message, hint, .. }, .. }) => format!(
            "“{username}” {beside}. The last rotation could not set a new password for it; the next one tries again. What stood in the way: {message} {hint}"
        ),
    }
}

/// A login that still has to be retired, and who is waited for.
#[derive(Debug)]
pub struct NotRetired {
    pub username: String,
    pub laggards: Laggards,
    problem: Option<Problem>,
    rests: bool,
}

impl NotRetired {
    fn new(row: &SecondLoginRow, laggards: Laggards) -> Self {
        let problem = row.problem.as_deref().and_then(|problem| serde_json::from_str(problem).ok());
        Self { username: row.username.clone(), laggards, problem, rests: row.next_at == RESTS }
    }

    /// As of [`SecondLogin::is_refused`].
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.problem.as_ref().is_some_and(|problem| problem.is_refused)
    }

    /// One for the API's description.
    #[must_use]
    pub fn example() -> Self {
        Self { username: "analytics".to_owned(), laggards: Laggards::example(), problem: None, rests: false }
    }

    #[must_use]
    pub fn sentence(&self) -> String {
        let Self { username, laggards, problem, rests } = self;
        let found = problem.as_ref().map(|problem| Found { problem, rests: *rests, is_looked_after: true });
        told(username, Standing::Retiring, laggards, found)
    }
}

/// Laggards that a sentence names.
const NAMED: usize = 5;

fn waits(username: &str, laggards: &Laggards) -> String {
    if laggards.total == 0 {
        return format!("“{username}” is not retired yet: that happens within the next minutes, since nobody lags behind.");
    }
    let lag = if laggards.total == 1 { "1 program".to_owned() } else { format!("{} programs", laggards.total) };
    let told_as = |laggard: &Laggard| {
        let on = laggard.host.as_ref().map(|host| format!(" on {host}")).unwrap_or_default();
        let until = laggard.until.as_deref().and_then(parse_rfc3339).map(|until| format!(" until {}", minute(until)));
        format!("{}{on}{}", laggard.name, until.unwrap_or_default())
    };
    let mut names: Vec<_> = laggards.workflows.iter().take(NAMED).map(told_as).collect();
    let told = i64::try_from(names.len()).unwrap_or_default();
    if laggards.total > told {
        names.push(if told == 0 { "none that you may see".to_owned() } else { format!("{} more", laggards.total - told) });
    }
    format!("“{username}” is not retired yet: {lag} may still hold it ({}).", names.join(", "))
}

impl UnderWay {
    /// Of a second login whose password is being changed.
    pub(super) fn at_second_login(row: &SecondLoginRow) -> Self {
        Self { second: Some(row.username.clone()), ..Self::example() }
    }
}

/// Whether somebody is at a login, or was at it so lately that what he has sent to the database may still happen: until then nobody may forget the
/// password that it would have.
fn is_in_hand(row: &SecondLoginRow, now: i64) -> bool {
    let last = row.leased_until.max(row.tried_at.unwrap_or_default());
    row.leased_until > now || (row.candidate.is_some() && last + DECIDED > now)
}

/// The second login of a connection, if it has one. Callers authorise first.
pub(in crate::ops) async fn of(
    app: &App,
    caller: &Caller,
    handle: &mut impl Handle,
    workspace: &Workspace,
    (connection, version): (&ConnectionRow, &VersionRow),
) -> Result<Option<SecondLogin>> {
    let Some(row) = store::second_login(handle, &connection.id).await? else { return Ok(None) };
    // One that somebody bent is shown, so that it can be removed; nothing else is done with it.
    let standing = Standing::of(&row, (version, &VersionContent::read(version)?));
    let laggards = match row.retires_from {
        Some(from) if standing == Standing::Retiring => {
            dependents::lagging(app, caller, handle, (workspace, connection), (&row.username, from)).await?
        }
        _ => Laggards::default(),
    };
    Ok(Some(SecondLogin {
        standing,
        since: row.switched_at.unwrap_or(row.set_at),
        retires_from: row.retires_from,
        is_at_it: row.leased_until > app.clock.now(),
        is_looked_after: row.retires_from.is_some() || row.candidate.is_some(),
        etag: etag(&connection.id, connection.version),
        tries: row.tries,
        next_at: row.next_at,
        problem: row.problem.as_deref().and_then(|problem| serde_json::from_str(problem).ok()),
        username: row.username,
        by: row.set_by,
        laggards,
    }))
}

/// The second login of a connection.
///
/// # Errors
/// `NotFound` if there is none.
pub async fn show(app: &App, caller: &Caller, workspace: &str, name: &str) -> Result<SecondLogin> {
    let workspace = authorise_name(app, caller, workspace, name, Action::SeeConnections).await?;
    app.uses.flush_to_read(&app.store).await;
    let mut read = app.store.read().await?;
    let (connection, version) = current(app, &mut read, &workspace, name).await?;
    of(app, caller, &mut read, &workspace, (&connection, &version)).await?.ok_or(NONE)
}

const NONE: Error = Error::NotFound("second login");

/// A row to be acted upon, at the address of the version that serves.
fn usable(app: &App, row: SecondLoginRow, (version, content): (&VersionRow, &VersionContent)) -> Result<SecondLoginRow> {
    let row = row.checked(&app.vault)?;
    let refused = |code, text: &str| Err(Error::Invalid(vec![FieldError::new("second_login", code, text)]));
    if Standing::of(&row, (version, content)) == Standing::AnotherAddress {
        return refused("another_address", "was given for another address; give it again");
    }
    if content.public.text(USERNAME) == Some(row.username.as_str()) {
        // Such as a restored backup may have.
        return refused("same_login", "is what the connection signs in as; give another one");
    }
    Ok(row)
}
