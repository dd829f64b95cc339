//! `/w/{workspace}/connections/{name}/second-login`: the login that rotations switch over to, and the one that served before.

use std::sync::Arc;

use axum::{
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode},
};
use dataflow_model::{Code, FieldError, Laggard, Secret, WorkflowKind};

use super::{
    answer::{PageResult, go, page},
    fields::Fields,
    second_look::{Sent, by},
    session::SignedIn,
    shell::inside,
    view::{
        connection::Rotation,
        dependents::DependentLine,
        parts::{Here, ago, plural},
        second_login::{Kept, SecondLogin},
        words::Status,
    },
};
use crate::{
    api::extract::Named,
    app::App,
    clock::parse_rfc3339,
    error::{Error, Result},
    ops::{
        Action, Caller,
        connections::{self, Precondition},
        rotations::second_login::{self, NewLogin, Standing},
    },
};

const CHANGED: &str = "Somebody saved another version meanwhile. Look at it, then do it again.";

/// What was refused, beside what was typed.
#[derive(Default)]
struct Refused {
    username: String,
    looks_again: bool,
    errors: Vec<FieldError>,
    error: Option<String>,
}

pub async fn show(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    named: Named,
    RawQuery(asked): RawQuery,
) -> PageResult {
    let mut view = view(&app, &caller, &named, Refused::default()).await?;
    let asked = Fields::parse(asked.unwrap_or_default().as_bytes());
    view.shell.notice = match asked.text("done") {
        "given" => Some("Kept. The next rotation switches over to it.".to_owned()),
        "removed" => Some("Removed. At the database it is still there.".to_owned()),
        "retired" => Some("Retired. Nobody knows its password, and the next rotation switches over to it.".to_owned()),
        _ => None,
    };
    Ok(page(StatusCode::OK, &view))
}

/// Keeps a login, if it passes the test. The form holds its password, so it asks itself who it is that sends it.
pub async fn give(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    named: Named,
    headers: HeaderMap,
    fields: Fields,
) -> PageResult {
    let caller = by(caller, &fields);
    let username = fields.text("username").trim().to_owned();
    let password = fields.get("password").map_or_else(|| Secret::new(String::new()), Secret::duplicate_secret);
    let new = NewLogin { username: username.clone(), password };
    let seen = Precondition::Tags(vec![fields.text("etag").to_owned()]);
    let given = second_login::put(&app, &caller, &named.workspace, &named.name, (new, &seen)).await;
    let own = |text: &str| vec![FieldError::new("own_password", Code::SecondLookRequired.as_str(), text)];
    let (status, refused) = match given {
        Ok(_) => return Ok(go(&headers, &format!("{}?done=given", address(&named)))),
        Err(Error::SecondLook) => {
            let errors = own("is asked for, since you gave it too long ago. Type both passwords.");
            (StatusCode::FORBIDDEN, Refused { looks_again: true, errors, ..Refused::default() })
        }
        Err(Error::WrongOwnPassword) => {
            let errors = own("is not the one that you sign in with. Type both passwords.");
            (StatusCode::FORBIDDEN, Refused { looks_again: true, errors, ..Refused::default() })
        }
        Err(Error::Invalid(errors)) => (StatusCode::UNPROCESSABLE_ENTITY, Refused { errors, ..Refused::default() }),
        Err(other) => told(other)?,
    };
    Ok(page(status, &view(&app, &caller, &named, Refused { username, ..refused }).await?))
}

/// Forgets it.
pub async fn remove(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    named: Named,
    headers: HeaderMap,
    sent: Sent,
) -> PageResult {
    let caller = sent.by(caller);
    let seen = Precondition::Tags(vec![sent.fields.text("etag").to_owned()]);
    match second_login::remove(&app, &caller, &named.workspace, &named.name, (sent.fields.text("anyway") == "yes", &seen)).await {
        Ok(()) => Ok(go(&headers, &format!("{}?done=removed", address(&named)))),
        Err(error) => again(&app, &caller, &named, (&sent, error)).await,
    }
}

/// Gives the login of before a password that nobody knows.
pub async fn retire(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    named: Named,
    headers: HeaderMap,
    sent: Sent,
) -> PageResult {
    let caller = sent.by(caller);
    let seen = Precondition::Tags(vec![sent.fields.text("etag").to_owned()]);
    let anyway = sent.fields.text("anyway") == "yes";
    match second_login::retire(&app, &caller, &named.workspace, &named.name, (anyway, &seen)).await {
        Ok(retired) if retired.is_done => Ok(go(&headers, &format!("{}?done=retired", address(&named)))),
        // How it stands says what was in the way.
        Ok(_) => Ok(go(&headers, &address(&named))),
        Err(error) => again(&app, &caller, &named, (&sent, error)).await,
    }
}

fn address(named: &Named) -> String {
    format!("/w/{}/connections/{}/second-login", named.workspace, named.name)
}

/// What is said on the page itself.
fn told(error: Error) -> std::result::Result<(StatusCode, Refused), Error> {
    let (status, _, detail, _) = error.describe();
    let text = match &error {
        Error::VersionConflict => CHANGED.to_owned(),
        Error::TestFailed(report) => {
            let why = report.error.as_ref().map(|error| format!("{} {}", error.message, error.hint)).unwrap_or_default();
            format!("It did not pass the test, and is not kept. {why}")
        }
        Error::LoginNotRetired(_) | Error::RotationUnderWay(_) => detail,
        _ => return Err(error),
    };
    Ok((status, Refused { error: Some(text), ..Refused::default() }))
}

async fn again(app: &App, caller: &Caller, named: &Named, (sent, error): (&Sent, Error)) -> PageResult {
    match told(error) {
        Ok((status, refused)) => Ok(page(status, &view(app, caller, named, refused).await?)),
        Err(error) => Err(sent.refused(caller, error, &["etag", "anyway"])),
    }
}

async fn view(app: &App, caller: &Caller, named: &Named, refused: Refused) -> Result<SecondLogin> {
    let Named { workspace, name } = named;
    let place = inside(app, caller, workspace, Here::Connections, &format!("Second login of {name}")).await?;
    let connection = connections::show(app, caller, workspace, name).await?;
    let kept = match second_login::show(app, caller, workspace, name).await {
        Ok(login) => Some(kept(login, app.clock.now())),
        Err(Error::NotFound("second login")) => None,
        Err(other) => return Err(other),
    };
    let Refused { username, looks_again, errors, error } = refused;
    let is_free = connection.rotation.is_none() && connection.second_login.as_ref().is_none_or(|login| !login.is_at_it);
    Ok(SecondLogin {
        may_change: Action::RotatePasswords.allowed_to(place.roles) && app.tests.is_enabled() && is_free,
        rotation: connection.rotation.as_ref().map(Rotation::from),
        shell: place.shell,
        etag: connection.etag(),
        own: connection.public.text("username").unwrap_or_default().to_owned(),
        name: connection.row.name,
        kept,
        username,
        looks_again,
        errors,
        error,
    })
}

/// How it stands, in short.
pub(super) fn standing(login: &second_login::SecondLogin) -> Status {
    let (tone, words) = match login.standing {
        _ if login.is_refused() => ("bad", "no longer signs in".to_owned()),
        Standing::StandsBy => ("ok", "stands by".to_owned()),
        Standing::Retiring if login.laggards.total > 0 => {
            ("warn", format!("not retired yet: {}", plural(login.laggards.total, "program")))
        }
        Standing::Retiring => ("warn", "not retired yet".to_owned()),
        Standing::AnotherAddress => ("bad", "given for another address".to_owned()),
    };
    Status { tone, words }
}

fn kept(login: second_login::SecondLogin, now: i64) -> Kept {
    let lagging = login.laggards.total;
    let shown: Vec<_> = login.laggards.workflows.iter().map(|laggard| line(laggard, now)).collect();
    Kept {
        status: standing(&login),
        since: format!("since {}", ago(now, login.since)),
        sentence: login.sentence(),
        retires: login.standing == Standing::Retiring,
        more: lagging - i64::try_from(shown.len()).unwrap_or_default(),
        username: login.username,
        shown,
        lagging,
    }
}

/// As “Used by” has it.
fn line(laggard: &Laggard, now: i64) -> DependentLine {
    let kind = laggard.kind.map(WorkflowKind::as_str);
    let at = parse_rfc3339(&laggard.last_at).unwrap_or_default();
    DependentLine {
        icon: kind.unwrap_or("key"),
        kind: kind.unwrap_or("tells no workflow"),
        name: laggard.name.clone(),
        seen: format!(
            "given version {} {}{}",
            laggard.version,
            ago(now, at),
            laggard.host.as_ref().map(|host| format!(" on {host}")).unwrap_or_default()
        ),
        title: format!("{}, as {}", laggard.last_at, laggard.by),
        tone: "",
        code: None,
        more: 0,
        alias: laggard.alias.clone(),
    }
}
