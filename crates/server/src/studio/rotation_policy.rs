//! `/w/{workspace}/connections/{name}/rotation-policy`: how often the password is rotated by itself, and what new ones are made of.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
};
use dataflow_model::FieldError;

use super::{
    answer::{PageResult, go, page},
    fields::Fields,
    second_look::Sent,
    session::SignedIn,
    shell::inside,
    view::{
        parts::{Here, ago},
        rotation_policy::RotationPolicyForm,
    },
};
use crate::{
    api::extract::Named,
    app::App,
    error::{Error, Result},
    ops::{
        Action, Caller,
        connections::Precondition,
        rotations::{
            policy::{self, Policy},
            rules::Rules,
        },
    },
};

const FIELDS: [&str; 4] = ["every_days", "at_hour", "length", "symbols"];

pub async fn show(State(app): State<Arc<App>>, SignedIn(caller): SignedIn, named: Named) -> PageResult {
    Ok(page(StatusCode::OK, &form(&app, &caller, &named).await?))
}

/// Saves or removes it, unless somebody else did since the form was opened.
pub async fn set(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    named: Named,
    headers: HeaderMap,
    sent: Sent,
) -> PageResult {
    let (caller, fields) = (sent.by(caller), &sent.fields);
    let seen = Precondition::Tags(vec![fields.text("etag").to_owned()]);
    let (came_to, done) = if fields.text("remove") == "yes" {
        (policy::remove(&app, &caller, &named.workspace, &named.name, &seen).await, "unplanned")
    } else {
        (save(&app, &caller, &named, (fields, &seen)).await, "planned")
    };
    let (status, errors) = match came_to {
        Ok(()) => return Ok(go(&headers, &format!("/w/{}/connections/{}?done={done}", named.workspace, named.name))),
        Err(Error::Invalid(errors)) => (StatusCode::UNPROCESSABLE_ENTITY, errors),
        Err(Error::VersionConflict) => {
            let text = "Somebody changed this meanwhile. What you typed still stands below; save again to put it in place.";
            (StatusCode::PRECONDITION_FAILED, vec![FieldError::new("etag", "version_conflict", text)])
        }
        Err(other) => {
            let kept: Vec<_> = ["etag", "remove"].into_iter().chain(FIELDS).collect();
            return Err(sent.refused(&caller, other, &kept));
        }
    };
    let text = |name: &str| fields.text(name).to_owned();
    let [every_days, at_hour, length, symbols] = FIELDS.map(text);
    let now = form(&app, &caller, &named).await?;
    Ok(page(status, &RotationPolicyForm { every_days, at_hour, length, symbols, errors, ..now }))
}

async fn save(app: &App, caller: &Caller, named: &Named, (fields, seen): (&Fields, &Precondition)) -> Result<()> {
    let mut errors = Vec::new();
    let mut number = |name: &str| match fields.text(name).trim() {
        "" => None,
        text => text.parse().map_err(|_| errors.push(FieldError::new(name, "invalid", "must be a whole number"))).ok(),
    };
    let (every_days, at_hour, length) = (number("every_days"), number("at_hour"), number("length"));
    let rules = Rules { length: length.unwrap_or(Rules::default().length), symbols: fields.text("symbols").trim().to_owned() };
    if errors.is_empty() {
        let policy = Policy { every_days, at_hour, rules };
        policy::set(app, caller, &named.workspace, &named.name, (policy, seen)).await?;
        return Ok(());
    }
    may(app, caller, named).await?;
    Err(Error::Invalid(errors))
}

/// What is wrong with a form is told to those who may send it.
async fn may(app: &App, caller: &Caller, named: &Named) -> Result<super::shell::Place> {
    let title = format!("Rotation of {}", named.name);
    let place = inside(app, caller, &named.workspace, Here::Connections, &title).await?;
    if Action::RotatePasswords.allowed_to(place.roles) {
        return Ok(place);
    }
    Err(Error::Forbidden(Action::RotatePasswords.words()))
}

async fn form(app: &App, caller: &Caller, named: &Named) -> Result<RotationPolicyForm> {
    let place = may(app, caller, named).await?;
    let standing = policy::show(app, caller, &named.workspace, &named.name).await?;
    let number = |number: Option<i64>| number.map(|number| number.to_string()).unwrap_or_default();
    let now = app.clock.now();
    Ok(RotationPolicyForm {
        shell: place.shell,
        connection: named.name.clone(),
        etag: standing.etag,
        every_days: number(standing.policy.every_days),
        at_hour: number(standing.policy.at_hour),
        length: number(Some(standing.policy.rules.length)),
        symbols: standing.policy.rules.symbols,
        set: standing.set.map(|(at, by)| format!("Set {} by {by}.", ago(now, at))).unwrap_or_default(),
        is_sound: standing.is_sound,
        errors: Vec::new(),
    })
}
