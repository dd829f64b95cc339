//! `/w/{workspace}/connections/{name}/rotate`: the dialog that says what will happen, the rotation, and how it went.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode};
use dataflow_model::{Step, StepStatus, TestReport};

use super::{
    answer::{PageResult, page},
    dependents::first,
    second_look::Sent,
    session::SignedIn,
    shell::inside,
    view::{
        parts::{Here, duration},
        rotate::{Part, Rotate, Rotated, StepLine},
        words::headline,
    },
};
use crate::{
    api::extract::Named,
    app::App,
    error::{Error, Result},
    ops::{
        Action, Caller,
        connections::{self, Precondition},
        rotations::{
            self, State as Outcome,
            second_login::{SecondLogin, Standing},
        },
    },
};

/// How many dependents the dialog names; the others are counted.
const SHOWN: usize = 5;

/// Shows the dialog.
pub async fn ask(State(app): State<Arc<App>>, SignedIn(caller): SignedIn, named: Named) -> PageResult {
    Ok(page(StatusCode::OK, &dialog(&app, &caller, &named, None).await?))
}

/// Rotates, if nobody saved another version since the dialog was opened, and shows how it went. Or gives up what cannot be settled.
pub async fn rotate(State(app): State<Arc<App>>, SignedIn(caller): SignedIn, named: Named, sent: Sent) -> PageResult {
    let caller = sent.by(caller);
    let seen = Precondition::Tags(vec![sent.fields.text("etag").to_owned()]);
    let gives_up = sent.fields.text("give_up") == "yes";
    let came_to = if gives_up {
        rotations::give_up(&app, &caller, &named.workspace, &named.name, &seen).await.map(|connection| (None, connection))
    } else {
        let rotated = rotations::rotate(&app, &caller, &named.workspace, &named.name, &seen).await;
        rotated.map(|rotated| (Some((rotated.state, rotated.set, rotated.test, rotated.retires)), rotated.connection))
    };
    let (outcome, connection) = match came_to {
        Ok(came_to) => came_to,
        Err(Error::VersionConflict) => {
            let error = "Somebody saved another version meanwhile. Look at it, then rotate.".to_owned();
            return Ok(page(StatusCode::PRECONDITION_FAILED, &dialog(&app, &caller, &named, Some(error)).await?));
        }
        Err(Error::RotationUnderWay(rotation)) => {
            return Ok(page(StatusCode::CONFLICT, &dialog(&app, &caller, &named, Some(rotation.sentence())).await?));
        }
        Err(Error::LoginNotRetired(login)) => {
            return Ok(page(StatusCode::CONFLICT, &dialog(&app, &caller, &named, Some(login.sentence())).await?));
        }
        Err(Error::Invalid(errors)) => {
            let told: Vec<_> =
                errors.iter().map(|error| format!("The {} {}.", error.field.replace('_', " "), error.message)).collect();
            return Ok(page(StatusCode::UNPROCESSABLE_ENTITY, &dialog(&app, &caller, &named, Some(told.join(" "))).await?));
        }
        Err(other) => return Err(sent.refused(&caller, other, &["etag", "give_up"])),
    };
    let place = inside(&app, &caller, &named.workspace, Here::Connections, &format!("Rotate {}", named.name)).await?;
    let (came_to, setting, testing, retires) =
        outcome.map_or((None, None, None, None), |(state, set, test, retires)| (Some(state), set, test, retires));
    // A second login that no longer signs in says itself what to do.
    let refused = match came_to {
        Some(Outcome::Unchanged) => refused_login(&app, &caller, &named).await?,
        _ => None,
    };
    let reports = [(setting, "Setting the new password"), (testing, "Testing with it")];
    let parts = reports.into_iter().filter_map(|(report, title)| Some(part(title, &report?, refused.is_some()))).collect();
    let version = connection.row.version;
    let (title, text, tone) = match (came_to, retires) {
        (Some(Outcome::Rotated), Some(before)) => (
            "Switched over to the second login",
            format!("Version {version} signs in as “{}”. “{before}” works on, and is retired once every workflow that used it has moved.", connection.public.text("username").unwrap_or_default()),
            "ok",
        ),
        (Some(Outcome::Rotated), None) => (
            "Password rotated",
            format!("Version {version} has the new password, and the database takes it. Programs go on with it by themselves."),
            "ok",
        ),
        (Some(Outcome::Unchanged), _) => {
            let told = refused.unwrap_or_else(|| "The old password is in force, here and on the database.".to_owned());
            ("Password not rotated", told, "bad")
        }
        (Some(Outcome::Unsettled), _) => (
            "Not known yet",
            "Whether the database has the new password is not known yet. It is found out by itself, and nothing is lost; the connection’s page says how that goes.".to_owned(),
            "warn",
        ),
        (None, _) => ("Rotation given up", "The new password was forgotten. Test the connection, and save the password that the database has.".to_owned(), "warn"),
    };
    Ok(page(StatusCode::OK, &Rotated { shell: place.shell, name: named.name, title, text, tone, parts }))
}

/// For those alone who may rotate.
async fn dialog(app: &App, caller: &Caller, named: &Named, error: Option<String>) -> Result<Rotate> {
    let Named { workspace, name } = named;
    let place = inside(app, caller, workspace, Here::Connections, &format!("Rotate {name}")).await?;
    if !Action::RotatePasswords.allowed_to(place.roles) {
        return Err(Error::Forbidden(Action::RotatePasswords.words()));
    }
    let connection = connections::show(app, caller, workspace, name).await?;
    let second = connection.second_login.as_ref();
    let waits = second.filter(|login| login.standing != Standing::StandsBy);
    let (shown, impact) = first(app, caller, workspace, name, SHOWN).await?;
    Ok(Rotate {
        shell: place.shell,
        name: name.clone(),
        etag: connection.etag(),
        username: connection.public.text("username").unwrap_or_default().to_owned(),
        may_give_up: connection.rotation.as_ref().is_some_and(rotations::UnderWay::may_be_given_up),
        under_way: connection.rotation.as_ref().map(rotations::UnderWay::sentence).or_else(|| Some(waits?.sentence())),
        waits: waits.is_some(),
        second: second.filter(|login| login.standing == Standing::StandsBy).map(|login| login.username.clone()),
        shown,
        impact,
        error: error.or_else(|| second.filter(|login| login.is_refused()).map(SecondLogin::sentence)),
    })
}

/// What there is to say of a second login that no longer signs in.
async fn refused_login(app: &App, caller: &Caller, named: &Named) -> Result<Option<String>> {
    let connection = connections::show(app, caller, &named.workspace, &named.name).await?;
    Ok(connection.second_login.filter(SecondLogin::is_refused).map(|login| login.sentence()))
}

fn part(title: &'static str, report: &TestReport, is_told: bool) -> Part {
    let error = report.error.as_ref();
    Part {
        title,
        status: headline(report),
        steps: report.steps.iter().map(step).collect(),
        message: error.map(|error| error.message.clone()).unwrap_or_default(),
        hint: error.filter(|_| !is_told).map(|error| error.hint.clone()).unwrap_or_default(),
    }
}

fn step(step: &Step) -> StepLine {
    let (icon, tone, said) = match step.status {
        StepStatus::Ok => ("check", "ok", ""),
        StepStatus::Failed => ("x", "bad", "failed"),
        StepStatus::Skipped => ("minus", "none", "not tried"),
    };
    StepLine {
        icon,
        tone,
        label: step.step.label(),
        detail: step.detail.clone().unwrap_or_else(|| said.to_owned()),
        time: step.duration_ms.map(duration).unwrap_or_default(),
    }
}
