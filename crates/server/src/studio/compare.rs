//! `/w/{workspace}/compare`: two workspaces side by side; `…/connections/{name}/copy`: one connection from one to the other.

use std::{collections::BTreeSet, sync::Arc};

use axum::{
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode},
};
use dataflow_model::{Catalogue, FieldValue};

use super::{
    answer::{PageResult, go, page},
    fields::Fields,
    form::did_not_pass,
    history::words,
    paging::AskedPage,
    second_look::Sent,
    session::SignedIn,
    shell::inside,
    view::{
        compare::{self as view, Compare, CopyForm, Line, Row, Takes, Told},
        parts::{Here, Pages},
    },
};
use crate::{
    api::extract::Named,
    app::App,
    error::{Error, Result},
    ops::{
        Action, Caller,
        access::authorise,
        compare::{self, Callers, Pair, State as How},
        connections::Precondition,
        history::{FieldChange, SecretDifference, Value},
        own_types,
        promote::{self, Order},
        safe_change::Trial,
        users,
    },
};

pub async fn show(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    asked: AskedPage,
    RawQuery(query): RawQuery,
) -> PageResult {
    let shell = inside(&app, &caller, &asked.workspace, Here::Connections, "Compare workspaces").await?.shell;
    let query = Fields::parse(query.unwrap_or_default().as_bytes());
    let all = !query.text("all").is_empty();
    let here = asked.workspace.clone();
    let others: Vec<_> = shell.workspaces.iter().filter(|name| **name != here).cloned().collect();
    let chosen = Some(query.text("with")).filter(|with| !with.is_empty()).map(ToOwned::to_owned);
    let Some(there) = chosen.or_else(|| others.first().cloned()) else {
        let pages = Pages::default();
        let empty = Compare { shell, here, there: None, others, all, lines: Vec::new(), pages, goes_on: false };
        return Ok(page(StatusCode::OK, &empty));
    };
    let callers = Callers::both(caller.clone());
    let found = compare::compare(&app, &callers, (&here, &there), !all, &asked.paging()).await;
    let found = AskedPage::found(found)?;
    let other = authorise(&app, &caller, &there, Action::SeeConnections).await?;
    let may = [Action::CreateConnections, Action::EditConnections].map(|action| caller.may(action, other.id));
    let [catalogue, others_types] = [own_types::all(&app, &caller, &here).await?, own_types::all(&app, &caller, &there).await?];
    let catalogue = catalogue.with_missing_of(&others_types);
    let mut state = url::form_urlencoded::Serializer::new(String::new());
    state.append_pair("with", &there);
    if all {
        state.append_pair("all", "1");
    }
    let compare = Compare {
        pages: Pages::of(&shell.at("compare"), &state.finish(), &asked.cursor, found.next.as_deref()),
        goes_on: found.next.is_some(),
        lines: found.rows.into_iter().map(|pair| line(&catalogue, pair, (&here, &there), may)).collect(),
        there: Some(there),
        shell,
        here,
        others,
        all,
    };
    Ok(page(StatusCode::OK, &compare))
}

fn line(catalogue: &Catalogue, pair: Pair, (here, there): (&str, &str), [creates, edits]: [bool; 2]) -> Line {
    let (tone, words) = match pair.state {
        How::Same => ("ok", "Same".to_owned()),
        How::Differs => ("warn", "Differs".to_owned()),
        How::OnlyHere => match &pair.elsewhere {
            Some(name) => ("none", format!("In {there} it is “{name}”")),
            None => ("warn", format!("Not in {there}")),
        },
        How::OnlyThere => match &pair.elsewhere {
            Some(name) => ("none", format!("Here it is “{name}”")),
            None => ("none", format!("Only in {there}")),
        },
        How::Altered => ("bad", "Changed outside of this program".to_owned()),
    };
    let copies = match pair.state {
        How::Differs => edits && pair.drifts.iter().any(|drift| drift.copies(true)),
        How::OnlyHere => creates && pair.elsewhere.is_none(),
        How::Same | How::OnlyThere | How::Altered => false,
    };
    let sides = pair.here.as_ref().zip(pair.there.as_ref());
    Line {
        versions: sides
            .map(|(here, there)| format!("version {} here, {} there", here.version, there.version))
            .unwrap_or_default(),
        address: pair.here.as_ref().or(pair.there.as_ref()).map(|side| side.address.clone()).unwrap_or_default(),
        leads_elsewhere: pair.leads_elsewhere(),
        drifts: pair.drifts.iter().map(|drift| told(catalogue, drift)).collect(),
        page: format!("/w/{}/connections/{}", if pair.here.is_some() { here } else { there }, pair.name),
        name: pair.name,
        tone,
        words,
        copies,
    }
}

/// In words of the form.
fn told(catalogue: &Catalogue, drift: &compare::Drift) -> view::Drift {
    let field = &drift.difference.field;
    let words = |value: &Option<Value>| value.as_ref().map(|value| words(catalogue, field, value));
    let is_long = |value: &Option<Value>| matches!(value, Some(Value::Field(FieldValue::Text(text))) if text.contains('\n'));
    let told = match &drift.difference.change {
        FieldChange::Secret(change) => Told::Secret(*change != SecretDifference::Cleared),
        FieldChange::Public { before, after } if is_long(before) || is_long(after) => Told::Long(words(after), words(before)),
        FieldChange::Public { before, after } => Told::Both(words(after), words(before)),
    };
    view::Drift { label: drift.difference.label.clone(), told }
}

/// Shows what a copy would take along.
pub async fn ask(State(app): State<Arc<App>>, SignedIn(caller): SignedIn, named: Named, RawQuery(query): RawQuery) -> PageResult {
    let query = Fields::parse(query.unwrap_or_default().as_bytes());
    Ok(page(StatusCode::OK, &form(&app, &caller, &named, query.text("to"), None).await?))
}

/// Copies, if the one that is there, or that there is none, is what the form spoke of.
pub async fn copy(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    named: Named,
    headers: HeaderMap,
    sent: Sent,
) -> PageResult {
    let (caller, fields) = (sent.by(caller), &sent.fields);
    let (to, etag) = (fields.text("to"), fields.text("etag"));
    let chosen: Vec<_> = fields.all("field").map(ToOwned::to_owned).collect();
    let precondition = if etag.is_empty() { Precondition::Missing } else { Precondition::Tags(vec![etag.to_owned()]) };
    let test_first = fields.text("test_first") == "on";
    let order = Order { to: to.to_owned(), fields: Some(chosen.clone()), precondition, trial: Trial::if_asked(test_first) };
    let (status, error) = match promote::copy(&app, &Callers::both(caller.clone()), &named.workspace, &named.name, &order).await {
        Ok(copied) => {
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            query.append_pair("done", if copied.is_new { "copied" } else { "saved" });
            for (path, _) in &copied.missing_secrets {
                query.append_pair("missing", path);
            }
            return Ok(go(&headers, &format!("/w/{to}/connections/{}?{}", copied.connection.row.name, query.finish())));
        }
        Err(Error::VersionConflict | Error::PreconditionRequired | Error::NameTaken(_)) => (
            StatusCode::PRECONDITION_FAILED,
            format!("Somebody changed it in “{to}” meanwhile. Look at what differs now, then copy."),
        ),
        Err(Error::Invalid(_)) if chosen.is_empty() => {
            (StatusCode::UNPROCESSABLE_ENTITY, "Nothing was copied: tick what to copy.".to_owned())
        }
        Err(Error::Invalid(errors)) => {
            let told: Vec<_> = errors.iter().map(|error| format!("{} {}.", error.field, error.message)).collect();
            (StatusCode::UNPROCESSABLE_ENTITY, format!("It was not copied: {}", told.join(" ")))
        }
        Err(Error::TestFailed(report)) => (StatusCode::CONFLICT, did_not_pass(&report)),
        Err(other) => return Err(sent.refused(&caller, other, &["to", "etag", "field", "test_first"])),
    };
    let again = Again { error, chosen: chosen.into_iter().collect(), test_first };
    Ok(page(status, &form(&app, &caller, &named, to, Some(again)).await?))
}

/// What was sent, and why it is shown again.
struct Again {
    error: String,
    chosen: BTreeSet<String>,
    test_first: bool,
}

/// For those alone who may create it there, or edit the one that is there.
async fn form(app: &App, caller: &Caller, named: &Named, to: &str, again: Option<Again>) -> Result<CopyForm> {
    let Named { workspace, name } = named;
    let shell = inside(app, caller, workspace, Here::Connections, &format!("Copy {name}")).await?.shell;
    let pair = compare::compare_one(app, &Callers::both(caller.clone()), (workspace, to), name).await?;
    let action = if pair.there.is_some() { Action::EditConnections } else { Action::CreateConnections };
    authorise(app, caller, to, action).await?;
    if pair.here.is_none() {
        return Err(Error::NotFound("connection"));
    }
    if pair.elsewhere.is_some() {
        return Err(Error::NameTaken(name.clone()));
    }
    let catalogue = own_types::all(app, caller, workspace).await?;
    let catalogue = catalogue.with_missing_of(&*own_types::all(app, caller, to).await?);
    let is_there = pair.there.is_some();
    let offered = is_there && app.tests.is_enabled() && users::admits(app, caller, to, name).await?;
    let test_first = offered.then(|| again.as_ref().is_none_or(|again| again.test_first));
    let (error, chosen) = again.map(|again| (again.error, again.chosen)).unzip();
    let row = |drift: &compare::Drift| {
        let field = drift.difference.field.clone();
        let takes = match &drift.difference.change {
            FieldChange::Secret(_) => Takes::Told("never copied"),
            FieldChange::Public { .. } if field == "type" && !is_there => Takes::Told("always"),
            FieldChange::Public { .. } if drift.copies(is_there) => {
                Takes::Asked(chosen.as_ref().map_or(!is_there, |chosen| chosen.contains(&field)))
            }
            FieldChange::Public { .. } => Takes::Told("kept"),
        };
        Row { drift: told(&catalogue, drift), field, takes }
    };
    Ok(CopyForm {
        rows: pair.drifts.iter().map(row).collect(),
        etag: pair.there.map(|side| side.etag).unwrap_or_default(),
        name: name.clone(),
        here: workspace.clone(),
        there: to.to_owned(),
        error,
        test_first,
        shell,
    })
}
