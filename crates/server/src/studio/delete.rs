//! `/w/{workspace}/connections/{name}/delete`: the dialog, and the delete itself.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
};
use dataflow_model::{FieldError, Impact};

use super::{
    answer::{PageResult, go, page},
    dependents::{first, lines},
    fields::Fields,
    form::refuse_while_rotating,
    session::SignedIn,
    shell::inside,
    view::{delete::Delete, parts::Here},
};
use crate::{
    api::extract::Named,
    app::App,
    error::{Error, Result},
    ops::{
        Action, Caller,
        connections::{self, Precondition},
        rotations::second_login::{self, Standing},
        settings::{self, Retention},
        tombstones::{self, Removal},
    },
};

/// How many dependents the dialog names; the others are counted.
const SHOWN: usize = 5;

/// Shows the dialog.
pub async fn ask(State(app): State<Arc<App>>, SignedIn(caller): SignedIn, named: Named, headers: HeaderMap) -> PageResult {
    let connection = connections::show(&app, &caller, &named.workspace, &named.name).await?;
    if connection.row.name != named.name {
        // By an alias it would be asked for the wrong name.
        return Ok(go(&headers, &format!("/w/{}/connections/{}/delete", named.workspace, connection.row.name)));
    }
    refuse_while_rotating(&connection)?;
    let etag = connection.etag();
    Ok(page(StatusCode::OK, &dialog(&app, &caller, &named, etag, Typed::default()).await?))
}

/// What was typed, where the dialog is shown again, and what was wrong with it.
#[derive(Debug, Default)]
struct Typed {
    reason: String,
    use_instead: String,
    error: Option<String>,
    /// What somebody else's workflow has changed meanwhile.
    impact: Option<Impact>,
}

/// Deletes, if the name was typed and nobody saved another version since the dialog was opened.
pub async fn delete(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    named: Named,
    headers: HeaderMap,
    fields: Fields,
) -> PageResult {
    let etag = fields.text("etag").to_owned();
    let text = |name: &str| fields.text(name).trim().to_owned();
    let typed = |error: &str| Typed {
        reason: text("reason"),
        use_instead: text("use_instead"),
        error: Some(error.to_owned()),
        impact: None,
    };
    if fields.text("confirm") != named.name {
        let typed = typed("What was typed is not the name. Type it as it stands above.");
        return Ok(page(StatusCode::UNPROCESSABLE_ENTITY, &dialog(&app, &caller, &named, etag, typed).await?));
    }
    let some = |name: &str| Some(text(name)).filter(|text| !text.is_empty());
    let removal = Removal {
        precondition: Precondition::Tags(vec![etag.clone()]),
        reason: some("reason"),
        use_instead: some("use_instead"),
        impact_token: some("impact"),
    };
    match tombstones::delete(&app, &caller, &named.workspace, &named.name, removal).await {
        Ok(()) => Ok(go(&headers, &format!("/w/{}/connections?done=deleted", named.workspace))),
        Err(Error::VersionConflict) => {
            let etag = connections::show(&app, &caller, &named.workspace, &named.name).await?.etag();
            let typed = typed("Somebody saved another version meanwhile. Look at it, then delete again.");
            Ok(page(StatusCode::PRECONDITION_FAILED, &dialog(&app, &caller, &named, etag, typed).await?))
        }
        Err(Error::Invalid(errors)) => {
            let typed = typed(&errors.first().map(in_words).unwrap_or_default());
            Ok(page(StatusCode::UNPROCESSABLE_ENTITY, &dialog(&app, &caller, &named, etag, typed).await?))
        }
        Err(Error::HasDependents(impact)) => {
            let typed = Typed {
                impact: Some(*impact),
                ..typed("Who uses it has changed since you looked. Look at the list, then type the name again.")
            };
            Ok(page(StatusCode::CONFLICT, &dialog(&app, &caller, &named, etag, typed).await?))
        }
        Err(other) => Err(other.into()),
    }
}

/// For those alone who may delete.
async fn dialog(app: &App, caller: &Caller, named: &Named, etag: String, typed: Typed) -> Result<Delete> {
    let place = inside(app, caller, &named.workspace, Here::Connections, &format!("Delete {}", named.name)).await?;
    if !Action::DeleteConnections.allowed_to(place.roles) {
        return Err(Error::Forbidden(Action::DeleteConnections.words()));
    }
    let (shown, impact) = match typed.impact {
        None => first(app, caller, &named.workspace, &named.name, SHOWN).await?,
        Some(mut impact) => {
            let mut dependents = std::mem::take(&mut impact.dependents);
            dependents.truncate(SHOWN);
            (lines(dependents, app.clock.now()), impact)
        }
    };
    let second = match second_login::show(app, caller, &named.workspace, &named.name).await {
        Err(Error::NotFound(_)) => None,
        second => Some(second?).filter(|second| second.standing == Standing::Retiring),
    };
    let days = settings::in_force::<Retention>(app).await?.restore_days;
    Ok(Delete {
        shell: place.shell,
        name: named.name.clone(),
        etag,
        shown,
        impact,
        not_retired: second.map(|second| second.username),
        restorable: days,
        reason: typed.reason,
        use_instead: typed.use_instead,
        error: typed.error,
    })
}

fn in_words(error: &FieldError) -> String {
    match error.field.as_str() {
        "use_instead" => format!("What to use instead {}.", error.message),
        field => format!("The {field} {}.", error.message),
    }
}
