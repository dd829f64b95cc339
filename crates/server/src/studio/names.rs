//! `/w/{workspace}/connections/{name}/rename`, `…/repoint` and `…/aliases/{alias}/remove`: a connection's names, in dialogs.

use std::sync::Arc;

use axum::{
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode},
};
use dataflow_model::{FieldError, Impact};

use super::{
    answer::{PageResult, go, page},
    dependents::lines,
    fields::Fields,
    form::refuse_while_rotating,
    session::SignedIn,
    shell::{Place, inside},
    view::{
        dependents::DependentLine,
        names::{AliasLine, RemoveAlias, Rename, Repoint},
        parts::{Here, ago, plural},
    },
};
use crate::{
    api::{aliases::OfAlias, extract::Named},
    app::App,
    error::{Error, Result},
    ops::{
        Action, Caller,
        connections::{self, Precondition},
        names::{self, Alias},
        own_types, rename, repoint,
    },
};

/// How many dependents a dialog names; the others are counted.
const SHOWN: usize = 5;

/// The aliases of a connection, for its page.
pub(super) async fn alias_lines(app: &App, caller: &Caller, workspace: &str, name: &str) -> Result<Vec<AliasLine>> {
    let now = app.clock.now();
    let aliases = names::list(app, caller, workspace, name).await?;
    Ok(aliases.iter().map(|alias| alias_line(alias, now)).collect())
}

fn alias_line(alias: &Alias, now: i64) -> AliasLine {
    let last = alias.last_used_at.map(|at| format!(", last {}", ago(now, at))).unwrap_or_default();
    let (words, tone) = match alias.total {
        _ if alias.is_altered => ("changed outside of this server, and leads nowhere".to_owned(), "warn"),
        _ if alias.is_idle => ("unused for 30 days: it can be removed".to_owned(), ""),
        _ if alias.live > 0 => (format!("used by {}, {} now", plural(alias.total, "workflow"), alias.live), ""),
        0 => ("used by nobody so far".to_owned(), ""),
        total => (format!("still used by {}{last}", plural(total, "workflow")), ""),
    };
    AliasLine { name: alias.row.name.clone(), words, tone }
}

/// For those alone who may do it, the page that a dialog stands on.
async fn place(app: &App, caller: &Caller, workspace: &str, title: &str, action: Action) -> Result<Place> {
    let place = inside(app, caller, workspace, Here::Connections, title).await?;
    if !action.allowed_to(place.roles) {
        return Err(Error::Forbidden(action.words()));
    }
    Ok(place)
}

fn shown(app: &App, impact: &mut Impact) -> Vec<DependentLine> {
    let mut dependents = std::mem::take(&mut impact.dependents);
    dependents.truncate(SHOWN);
    lines(dependents, app.clock.now())
}

fn text(fields: &Fields, name: &str) -> String {
    fields.text(name).trim().to_owned()
}

fn some(fields: &Fields, name: &str) -> Option<String> {
    Some(text(fields, name)).filter(|text| !text.is_empty())
}

fn in_words(errors: &[FieldError]) -> String {
    let words = |error: &FieldError| match error.field.as_str() {
        "reason" => format!("The reason {}.", error.message),
        _ => format!("That name {}.", error.message),
    };
    errors.first().map(words).unwrap_or_default()
}

const CHANGED: &str = "Somebody saved another version meanwhile. Look at it, then do it again.";
const OTHERS: &str = "Who uses it has changed since you looked. Look at the list, then type the name again.";
const NOT_THE_NAME: &str = "What was typed is not the name. Type it as it stands above.";

/// Shows the dialog that renames.
pub async fn ask_rename(State(app): State<Arc<App>>, SignedIn(caller): SignedIn, named: Named) -> PageResult {
    let dialog = rename_dialog(&app, &caller, &named, (&Fields::parse(b""), true), (Impact::default(), None)).await?;
    refuse_while_rotating(&connections::show(&app, &caller, &named.workspace, &named.name).await?)?;
    Ok(page(StatusCode::OK, &dialog))
}

/// Renames, if nobody saved another version since the dialog was opened. Without the alias it says first who fails.
pub async fn rename(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    named: Named,
    headers: HeaderMap,
    fields: Fields,
) -> PageResult {
    let keep_alias = match fields.text("keep_alias") {
        "yes" => true,
        "" => false,
        _ => return Err(Error::Invalid(vec![FieldError::new("keep_alias", "not_a_choice", "must be yes, or left out")]).into()),
    };
    let confirmed = fields.text("confirm") == named.name;
    let asked = rename::Rename {
        to: text(&fields, "name"),
        keep_alias,
        precondition: Precondition::Tags(vec![fields.text("etag").to_owned()]),
        impact_token: some(&fields, "impact").filter(|_| confirmed),
    };
    let typed = (&fields, keep_alias);
    let (status, impact, error) = match rename::rename(&app, &caller, &named.workspace, &named.name, asked).await {
        Ok(renamed) => {
            return Ok(go(&headers, &format!("/w/{}/connections/{}?done=renamed", named.workspace, renamed.row.name)));
        }
        Err(Error::HasDependents(impact)) => {
            let error = if fields.text("impact").is_empty() {
                None
            } else if confirmed {
                Some(OTHERS.to_owned())
            } else {
                Some(NOT_THE_NAME.to_owned())
            };
            (StatusCode::CONFLICT, *impact, error)
        }
        Err(Error::VersionConflict) => (StatusCode::PRECONDITION_FAILED, Impact::default(), Some(CHANGED.to_owned())),
        Err(Error::NameTaken(name)) => {
            let error = format!("The name “{name}” is taken, by a connection or an alias of one. Choose another one.");
            (StatusCode::CONFLICT, Impact::default(), Some(error))
        }
        Err(Error::Invalid(errors)) => (StatusCode::UNPROCESSABLE_ENTITY, Impact::default(), Some(in_words(&errors))),
        Err(other) => return Err(other.into()),
    };
    Ok(page(status, &rename_dialog(&app, &caller, &named, typed, (impact, error)).await?))
}

async fn rename_dialog(
    app: &App,
    caller: &Caller,
    named: &Named,
    (fields, keep_alias): (&Fields, bool),
    (mut impact, error): (Impact, Option<String>),
) -> Result<Rename> {
    let Place { shell, .. } =
        place(app, caller, &named.workspace, &format!("Rename {}", named.name), Action::EditConnections).await?;
    let connection = connections::show(app, caller, &named.workspace, &named.name).await?;
    let shown = shown(app, &mut impact);
    let etag = connection.etag();
    let new_name = text(fields, "name");
    Ok(Rename { shell, name: connection.row.name, etag, new_name, keep_alias, shown, impact, error })
}

/// Shows the dialog that takes an alias away.
pub async fn ask_removal(State(app): State<Arc<App>>, SignedIn(caller): SignedIn, of: OfAlias) -> PageResult {
    Ok(page(StatusCode::OK, &removal_dialog(&app, &caller, &of, None).await?))
}

/// Takes it away, if its name was typed.
pub async fn remove(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    of: OfAlias,
    headers: HeaderMap,
    fields: Fields,
) -> PageResult {
    if fields.text("confirm") != of.alias {
        let dialog = removal_dialog(&app, &caller, &of, Some(NOT_THE_NAME)).await?;
        return Ok(page(StatusCode::UNPROCESSABLE_ENTITY, &dialog));
    }
    let OfAlias { named, alias } = &of;
    match names::remove(&app, &caller, &named.workspace, &named.name, (alias, some(&fields, "impact"))).await {
        Ok(()) => {
            // By the alias itself there is no page any more; by the connection's own name there is.
            let to = if named.name == *alias { String::new() } else { format!("/{}", named.name) };
            Ok(go(&headers, &format!("/w/{}/connections{to}?done=unaliased", named.workspace)))
        }
        Err(Error::HasDependents(_)) => Ok(page(StatusCode::CONFLICT, &removal_dialog(&app, &caller, &of, Some(OTHERS)).await?)),
        Err(other) => Err(other.into()),
    }
}

async fn removal_dialog(app: &App, caller: &Caller, of: &OfAlias, error: Option<&str>) -> Result<RemoveAlias> {
    let OfAlias { named, alias } = of;
    let Place { shell, .. } = place(app, caller, &named.workspace, &format!("Remove {alias}"), Action::DeleteConnections).await?;
    let (found, mut impact) = names::show(app, caller, &named.workspace, &named.name, alias).await?;
    let connection = connections::show(app, caller, &named.workspace, &named.name).await?;
    // All of them go by the one name that the dialog is about.
    impact.dependents.iter_mut().for_each(|dependent| dependent.alias = None);
    let shown = shown(app, &mut impact);
    let words = alias_line(&found, app.clock.now()).words;
    let error = error.map(str::to_owned);
    Ok(RemoveAlias { shell, name: connection.row.name, alias: alias.clone(), words, shown, impact, error })
}

/// Shows the dialog that leads the names elsewhere: it asks whereto, and then says what that does.
pub async fn ask_repoint(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    named: Named,
    RawQuery(asked): RawQuery,
) -> PageResult {
    let fields = Fields::parse(asked.unwrap_or_default().as_bytes());
    refuse_while_rotating(&connections::show(&app, &caller, &named.workspace, &named.name).await?)?;
    Ok(page(StatusCode::OK, &repoint_dialog(&app, &caller, &named, &fields, None).await?))
}

/// Leads them there, if the name was typed and what was seen is what there is.
pub async fn repoint(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    named: Named,
    headers: HeaderMap,
    fields: Fields,
) -> PageResult {
    let again = async |status, error: &str| -> PageResult {
        Ok(page(status, &repoint_dialog(&app, &caller, &named, &fields, Some(error.to_owned())).await?))
    };
    if fields.text("confirm") != named.name {
        return again(StatusCode::UNPROCESSABLE_ENTITY, NOT_THE_NAME).await;
    }
    let asked = repoint::Repoint {
        to: text(&fields, "to"),
        precondition: Precondition::Tags(vec![fields.text("etag").to_owned()]),
        reason: some(&fields, "reason"),
        impact_token: some(&fields, "impact"),
    };
    match repoint::repoint(&app, &caller, &named.workspace, &named.name, asked).await {
        Ok(other) => Ok(go(&headers, &format!("/w/{}/connections/{}?done=repointed", named.workspace, other.row.name))),
        Err(Error::HasDependents(_)) => again(StatusCode::CONFLICT, OTHERS).await,
        Err(Error::VersionConflict) => again(StatusCode::PRECONDITION_FAILED, CHANGED).await,
        Err(Error::Invalid(errors)) => again(StatusCode::UNPROCESSABLE_ENTITY, &in_words(&errors)).await,
        Err(other) => Err(other.into()),
    }
}

async fn repoint_dialog(app: &App, caller: &Caller, named: &Named, fields: &Fields, error: Option<String>) -> Result<Repoint> {
    let Place { shell, .. } =
        place(app, caller, &named.workspace, &format!("Re-point {}", named.name), Action::DeleteConnections).await?;
    let connection = connections::show(app, caller, &named.workspace, &named.name).await?;
    let (etag, to) = (connection.etag(), text(fields, "to"));
    let (mut impact, mut problem) = (None, error);
    if !to.is_empty() {
        match repoint::impact(app, caller, &named.workspace, &named.name, &to).await {
            Ok(known) => impact = Some(known),
            Err(Error::Invalid(errors)) => problem = Some(in_words(&errors)),
            Err(other) => return Err(other),
        }
    }
    let is_known = impact.is_some();
    let mut impact = impact.unwrap_or_default();
    let shown = shown(app, &mut impact);
    let repointing = impact.repointing.take().unwrap_or_default();
    let catalogue = own_types::all(app, caller, &named.workspace).await?;
    let label = |id: String| catalogue.get(&id).map_or(id, |kind| kind.label.clone());
    Ok(Repoint {
        shell,
        name: connection.row.name,
        etag,
        to,
        types: repointing.types.map(|types| types.map(label)),
        failed: repointing.failed,
        lose: repointing.lose,
        shown,
        impact,
        is_known,
        reason: text(fields, "reason"),
        error: problem,
    })
}
