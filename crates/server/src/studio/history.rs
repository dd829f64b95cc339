//! `/w/{workspace}/connections/{name}/versions`: what the connection was before, and the dialogs that restore and purge a version.

use std::sync::Arc;

use axum::{
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode},
};
use dataflow_model::{Catalogue, Field, FieldKind, FieldValue, Impact};

use super::{
    answer::{PageResult, go, page},
    dependents::first,
    fields::Fields,
    form::{did_not_pass, refuse_while_rotating},
    second_look::Sent,
    session::SignedIn,
    shell::{Place, inside},
    view::{
        connection::Rotation,
        history::{Change, Changes, Compared, History, Line, Purge, Restore, Told},
        parts::{Here, Pages, ago, rfc3339},
    },
};
use crate::{
    api::extract::{Named, Versioned},
    app::App,
    error::{Error, Result},
    ops::{
        Action, Caller,
        connections::{self, Precondition},
        history::{self, Diff, Difference, Entry, FieldChange, SecretDifference, Value},
        own_types::catalogue_of,
        paging::Paging,
        safe_change::Trial,
        users,
    },
};

/// How many workflows the dialog names; the others are counted.
const SHOWN: usize = 5;

pub async fn show(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    named: Named,
    RawQuery(asked): RawQuery,
) -> PageResult {
    let Named { workspace, name } = &named;
    let place = inside(&app, &caller, workspace, Here::Connections, &format!("History of {name}")).await?;
    let catalogue = catalogue_of(&app, &place.workspace).await?;
    let Place { mut shell, roles, .. } = place;
    let fields = Fields::parse(asked.unwrap_or_default().as_bytes());
    let cursor = fields.text("cursor");
    let paging = Paging { cursor: Some(cursor.to_owned()).filter(|cursor| !cursor.is_empty()), limit: None };
    let found = history::list(&app, &caller, workspace, name, &paging).await;
    let found = found.map_err(|error| if matches!(error, Error::Invalid(_)) { Error::NotFound("page") } else { error })?;
    let connection = connections::show(&app, &caller, workspace, name).await?;
    let newest = connection.row.version;
    let (from, to) = (fields.text("from").trim(), fields.text("to").trim());
    let (compared, problem) = match (from.parse(), to.parse()) {
        _ if from.is_empty() && to.is_empty() => (None, None),
        (Ok(from), Ok(to)) => match history::diff(&app, &caller, workspace, name, (Some(from), to)).await {
            Ok(diff) => (Some(compared(&catalogue, &diff)), None),
            Err(Error::NotFound("version")) => (None, Some("One of the two is not kept, or never was.".to_owned())),
            Err(other) => return Err(other.into()),
        },
        _ => (None, Some("Give the numbers of two versions.".to_owned())),
    };
    shell.notice = (fields.text("done") == "purged").then(|| "Purged. It is gone for good.".to_owned());
    let now = app.clock.now();
    let address = format!("{}/{name}/versions", shell.at("connections"));
    let view = History {
        newest,
        rotation: connection.rotation.as_ref().map(Rotation::from),
        pages: Pages::of(&address, "", cursor, found.next.as_deref()),
        lines: found.rows.into_iter().map(|entry| line(&catalogue, entry, now)).collect(),
        from: if from.is_empty() && newest > 1 { (newest - 1).to_string() } else { from.to_owned() },
        to: if to.is_empty() { newest.to_string() } else { to.to_owned() },
        compared,
        problem,
        may_purge: Action::PurgeVersions.allowed_to(roles),
        name: name.clone(),
        shell,
    };
    Ok(page(StatusCode::OK, &view))
}

fn compared(catalogue: &Catalogue, diff: &Diff) -> Compared {
    let from = diff.from.unwrap_or_default();
    Compared { from, to: diff.to, changes_clients: diff.changes_clients, changes: changes(catalogue, &diff.changes, false) }
}

fn line(catalogue: &Catalogue, entry: Entry, now: i64) -> Line {
    let is_oldest = entry.since.is_none();
    Line {
        version: entry.version,
        is_current: entry.is_current,
        restored_from: entry.restored_from,
        changes_clients: entry.changes_clients && !is_oldest,
        is_altered: entry.is_altered,
        changes: changes(catalogue, &entry.changes, is_oldest),
        ago: ago(now, entry.saved_at),
        at: rfc3339(entry.saved_at),
        by: entry.saved_by,
    }
}

/// In words of the form. Of the oldest version that is kept each is only what it has.
fn changes(catalogue: &Catalogue, differences: &[Difference], are_of_the_oldest: bool) -> Changes {
    let told = |difference: &Difference| {
        let words = |value: &Option<Value>| value.as_ref().map(|value| words(catalogue, &difference.field, value));
        let is_long = |value: &Option<Value>| matches!(value, Some(Value::Field(FieldValue::Text(text))) if text.contains('\n'));
        match &difference.change {
            FieldChange::Secret(SecretDifference::Set) => Told::Secret("Set"),
            FieldChange::Secret(SecretDifference::Changed) => Told::Secret("Changed"),
            FieldChange::Secret(SecretDifference::Cleared) => Told::Secret("Cleared"),
            FieldChange::Public { before, after } if is_long(before) || is_long(after) => Told::Long(words(before), words(after)),
            FieldChange::Public { after: Some(after), .. } if are_of_the_oldest => {
                Told::Value(self::words(catalogue, &difference.field, after))
            }
            FieldChange::Public { before, after } => Told::Both(words(before), words(after)),
        }
    };
    Changes(differences.iter().map(|difference| Change { label: difference.label.clone(), told: told(difference) }).collect())
}

/// A value as the form shows it.
pub(super) fn words(catalogue: &Catalogue, path: &str, value: &Value) -> String {
    let value = match value {
        Value::Tags(tags) => return tags.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        Value::Field(value) => value,
    };
    if path == "type" {
        let id = value.to_string();
        return catalogue.get(&id).map_or(id, |kind| kind.label.clone());
    }
    let mut fields = catalogue.all().into_iter().filter_map(|kind| kind.field(path));
    let choice = |field: &Field| {
        let chosen = field.choices.iter().find(|choice| field.kind == FieldKind::Choice && choice.value == value.to_string());
        chosen.map(|choice| choice.label.clone())
    };
    match value {
        FieldValue::Boolean(on) => if *on { "On" } else { "Off" }.to_owned(),
        FieldValue::Text(text) => fields.find_map(choice).unwrap_or_else(|| text.clone()),
        FieldValue::Integer(number) => match fields.find_map(|field| field.unit.as_ref()) {
            Some(unit) => format!("{number} {unit}"),
            None => number.to_string(),
        },
    }
}

/// Shows the dialog that restores a version.
pub async fn ask(State(app): State<Arc<App>>, SignedIn(caller): SignedIn, at: Versioned) -> PageResult {
    let dialog = restore_dialog(&app, &caller, &at, (None, true)).await?;
    refuse_while_rotating(&connections::show(&app, &caller, &at.workspace, &at.name).await?)?;
    Ok(page(StatusCode::OK, &dialog))
}

/// Restores, if nobody saved another version since the dialog was opened.
pub async fn restore(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    at: Versioned,
    headers: HeaderMap,
    sent: Sent,
) -> PageResult {
    let caller = sent.by(caller);
    let test_first = sent.fields.text("test_first") == "on";
    let wanted = history::Restore {
        version: at.version,
        precondition: Precondition::Tags(vec![sent.fields.text("etag").to_owned()]),
        trial: Trial::if_asked(test_first),
    };
    let again = |error| restore_dialog(&app, &caller, &at, (Some(error), test_first));
    match history::restore(&app, &caller, &at.workspace, &at.name, wanted).await {
        Ok(restored) => {
            let to = format!("/w/{}/connections/{}?done=restored", at.workspace, restored.row.name);
            Ok(go(&headers, &to))
        }
        Err(Error::VersionConflict) => {
            let error = "Somebody saved another version meanwhile. Look at what would change now, then restore.".to_owned();
            Ok(page(StatusCode::PRECONDITION_FAILED, &again(error).await?))
        }
        Err(Error::Invalid(errors)) => {
            let told: Vec<_> = errors.iter().map(|error| format!("{} {}.", error.field, error.message)).collect();
            let error = format!("It cannot be restored: {}", told.join(" "));
            Ok(page(StatusCode::UNPROCESSABLE_ENTITY, &again(error).await?))
        }
        Err(Error::TestFailed(report)) => Ok(page(StatusCode::CONFLICT, &again(did_not_pass(&report)).await?)),
        Err(other) => Err(sent.refused(&caller, other, &["etag", "test_first"])),
    }
}

/// For those alone who may edit.
async fn restore_dialog(
    app: &App,
    caller: &Caller,
    at: &Versioned,
    (error, test_first): (Option<String>, bool),
) -> Result<Restore> {
    let Versioned { workspace, name, version } = at;
    let place = inside(app, caller, workspace, Here::Connections, &format!("Restore {name}")).await?;
    if !place.shell.may.edit {
        return Err(Error::Forbidden(Action::EditConnections.words()));
    }
    let catalogue = catalogue_of(app, &place.workspace).await?;
    let connection = connections::show(app, caller, workspace, name).await?;
    let diff = history::diff(app, caller, workspace, name, (Some(connection.row.version), *version)).await?;
    let (shown, impact) =
        if diff.changes_clients { first(app, caller, workspace, name, SHOWN).await? } else { (Vec::new(), Impact::default()) };
    let offered = diff.changes_clients && app.tests.is_enabled() && users::admits(app, caller, workspace, name).await?;
    Ok(Restore {
        shell: place.shell,
        name: name.clone(),
        version: *version,
        etag: connection.etag(),
        changes: changes(&catalogue, &diff.changes, false),
        changes_clients: diff.changes_clients,
        shown,
        impact,
        test_first: offered.then_some(test_first),
        error,
    })
}

/// Shows the dialog that purges a version.
pub async fn ask_purge(State(app): State<Arc<App>>, SignedIn(caller): SignedIn, at: Versioned) -> PageResult {
    Ok(page(StatusCode::OK, &purge_dialog(&app, &caller, &at, None).await?))
}

/// Purges, if the version was typed.
pub async fn purge(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    at: Versioned,
    headers: HeaderMap,
    sent: Sent,
) -> PageResult {
    let caller = sent.by(caller);
    if sent.fields.text("confirm") != at.version.to_string() {
        let error = Some("What was typed is not the version. Type it as it stands above.");
        return Ok(page(StatusCode::UNPROCESSABLE_ENTITY, &purge_dialog(&app, &caller, &at, error).await?));
    }
    let seen = Precondition::Tags(vec![sent.fields.text("etag").to_owned()]);
    match history::purge(&app, &caller, &at.workspace, &at.name, (at.version, seen)).await {
        Ok(()) => Ok(go(&headers, &format!("/w/{}/connections/{}/versions?done=purged", at.workspace, at.name))),
        Err(other) => Err(sent.refused(&caller, other, &["confirm", "etag"])),
    }
}

/// For those alone who may purge.
async fn purge_dialog(app: &App, caller: &Caller, at: &Versioned, error: Option<&'static str>) -> Result<Purge> {
    let Versioned { workspace, name, version } = at;
    let place = inside(app, caller, workspace, Here::Connections, &format!("Purge {name}")).await?;
    if !Action::PurgeVersions.allowed_to(place.roles) {
        return Err(Error::Forbidden(Action::PurgeVersions.words()));
    }
    let version = history::show(app, caller, workspace, name, *version).await?;
    let saved = format!("saved {} by {}", ago(app.clock.now(), version.row.saved_at), version.row.saved_by);
    Ok(Purge {
        shell: place.shell,
        name: name.clone(),
        version: version.row.version,
        etag: version.etag(),
        saved,
        secrets_also_in: version.secrets_also_in,
        error,
    })
}
