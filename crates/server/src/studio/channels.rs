//! `/w/{workspace}/health/channel`: whom a workspace tells what becomes of its connections.

use std::sync::Arc;

use axum::{
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode},
};
use dataflow_connectors::connector;
use dataflow_model::FieldError;

use super::{
    answer::{PageResult, go, page},
    fields::Fields,
    second_look::Sent,
    session::SignedIn,
    shell::{Place, inside},
    view::{
        channels::{ChannelForm, ChannelLine, EndLine},
        parts::{Here, ago},
    },
};
use crate::{
    api::extract::InWorkspace,
    app::App,
    error::{Error, Result},
    ops::{
        Action, Caller,
        connections::Precondition,
        list::{ListQuery, list},
        notices::{
            Tells,
            channel::{self, CHANNELS_MAX, Channel, none_yet},
            ends, send,
        },
        own_types,
        paging::Paging,
    },
};

const FIELDS: [&str; 5] = ["name", "connection", "addresses", "tag", "tells"];
/// Ends that the page Health shows.
const ENDS: usize = 20;
/// Connections of a type that the form offers.
const OFFERED: usize = 50;

/// The channels of a workspace, for those who may see them.
pub(super) async fn lines(app: &App, caller: &Caller, workspace: &str) -> Result<Vec<ChannelLine>> {
    let all = Paging { cursor: None, limit: usize::try_from(CHANNELS_MAX).ok() };
    let now = app.clock.now();
    let channels = channel::list(app, caller, workspace, &all).await?.rows;
    Ok(channels.into_iter().map(|standing| ChannelLine::of(standing, now)).collect())
}

/// What ends soon.
pub(super) async fn ending(app: &App, caller: &Caller, workspace: &str) -> Result<Vec<EndLine>> {
    let now = app.clock.now();
    let rows = ends::list(app, caller, workspace, &Paging { cursor: None, limit: Some(ENDS) }).await?.rows;
    let catalogue = own_types::all(app, caller, workspace).await?;
    let line = |row: crate::store::EndOfRow| {
        let label = catalogue.get(&row.type_id).map_or_else(|| row.type_id.clone(), |kind| kind.label.clone());
        EndLine::of(row, label, now)
    };
    Ok(rows.into_iter().map(line).collect())
}

/// The form of the channel that `?name=` names; without it one for a new channel.
pub async fn show(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    InWorkspace(workspace): InWorkspace,
    RawQuery(query): RawQuery,
) -> PageResult {
    let query = Fields::parse(query.unwrap_or_default().as_bytes());
    let name = Some(query.text("name")).filter(|name| !name.is_empty());
    Ok(page(StatusCode::OK, &form(&app, &caller, &workspace, name).await?))
}

/// Saves or removes it, unless somebody else did since the form was opened.
pub async fn set(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    InWorkspace(workspace): InWorkspace,
    headers: HeaderMap,
    sent: Sent,
) -> PageResult {
    let (caller, fields) = (sent.by(caller), &sent.fields);
    let (name, etag) = (fields.text("name").trim(), fields.text("etag"));
    let is_there = !etag.is_empty();
    let seen = if is_there { Precondition::Tags(vec![etag.to_owned()]) } else { none_yet(name) };
    let came_to = if fields.text("remove") == "yes" {
        channel::remove(&app, &caller, &workspace, name, &seen).await.map(|()| "untold")
    } else {
        match read(fields) {
            Ok(asked) => channel::set(&app, &caller, &workspace, name, (asked, &seen)).await.map(|_| "told"),
            Err(error) => may(&app, &caller, &workspace).await.and(Err(Error::Invalid(vec![error]))),
        }
    };
    let (status, errors) = match came_to {
        Ok(done) => return Ok(go(&headers, &format!("/w/{workspace}/health?done={done}"))),
        Err(Error::Invalid(errors)) => (StatusCode::UNPROCESSABLE_ENTITY, errors),
        Err(Error::VersionConflict) if is_there => {
            let text = "Somebody changed this meanwhile. What you typed still stands below; save again to put it in place.";
            (StatusCode::PRECONDITION_FAILED, vec![FieldError::new("etag", "version_conflict", text)])
        }
        Err(Error::VersionConflict) => {
            let text = "is taken by another channel";
            (StatusCode::PRECONDITION_FAILED, vec![FieldError::new("name", "version_conflict", text)])
        }
        Err(other) => {
            let kept: Vec<_> = ["etag", "remove"].into_iter().chain(FIELDS).collect();
            return Err(sent.refused(&caller, other, &kept));
        }
    };
    let now = form(&app, &caller, &workspace, is_there.then_some(name)).await?;
    let [name, connection, addresses, tag, tells] = FIELDS.map(|name| fields.text(name).to_owned());
    Ok(page(status, &ChannelForm { name, connection, addresses, tag, tells, errors, ..now }))
}

/// Sends a message through it.
pub async fn try_out(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    InWorkspace(workspace): InWorkspace,
    headers: HeaderMap,
    fields: Fields,
) -> PageResult {
    let name = fields.text("name");
    let Some(error) = send::try_out(&app, &caller, &workspace, name).await?.error else {
        return Ok(go(&headers, &format!("/w/{workspace}/health?done=tried")));
    };
    let now = form(&app, &caller, &workspace, Some(name)).await?;
    Ok(page(StatusCode::OK, &ChannelForm { tried: Some((error.message, error.hint)), ..now }))
}

fn read(fields: &Fields) -> std::result::Result<Channel, FieldError> {
    let tells = Tells::parse(fields.text("tells"))
        .ok_or_else(|| FieldError::new("tells", "not_a_choice", "must be one of those that are offered"))?;
    let addresses = fields.text("addresses").lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned);
    Ok(Channel {
        connection: fields.text("connection").trim().to_owned(),
        addresses: addresses.collect(),
        tag: Some(fields.text("tag").trim().to_owned()).filter(|tag| !tag.is_empty()),
        tells,
    })
}

/// Where the form stands, for those who may send it.
async fn may(app: &App, caller: &Caller, workspace: &str) -> Result<Place> {
    let place = inside(app, caller, workspace, Here::Health, "Whom to tell").await?;
    if Action::SetChannels.allowed_to(place.roles) { Ok(place) } else { Err(Error::Forbidden(Action::SetChannels.words())) }
}

async fn form(app: &App, caller: &Caller, workspace: &str, name: Option<&str>) -> Result<ChannelForm> {
    let place = may(app, caller, workspace).await?;
    let standing = match name {
        Some(name) => Some(channel::show(app, caller, workspace, name).await?),
        None => None,
    };
    let now = app.clock.now();
    let offered = offered(app, caller, workspace).await?;
    let Some(standing) = standing else {
        return Ok(ChannelForm {
            shell: place.shell,
            name: String::new(),
            connection: offered.first().cloned().unwrap_or_default(),
            addresses: String::new(),
            tag: String::new(),
            tells: Tells::All.as_str().to_owned(),
            is_there: false,
            offered,
            etag: String::new(),
            set: String::new(),
            is_sound: true,
            tried: None,
            errors: Vec::new(),
        });
    };
    let (at, by) = standing.set;
    Ok(ChannelForm {
        shell: place.shell,
        name: standing.name,
        connection: standing.channel.connection,
        addresses: standing.channel.addresses.join("\n"),
        tag: standing.channel.tag.unwrap_or_default(),
        tells: standing.channel.tells.as_str().to_owned(),
        is_there: true,
        offered,
        etag: standing.etag,
        set: format!("Set {} by {by}.", ago(now, at)),
        is_sound: standing.is_sound,
        tried: None,
        errors: Vec::new(),
    })
}

/// Names of connections that messages go through.
async fn offered(app: &App, caller: &Caller, workspace: &str) -> Result<Vec<String>> {
    let sends = |name: &str| connector(name).is_some_and(|connector| connector.messenger().is_some());
    let mut names = Vec::new();
    let catalogue = own_types::all(app, caller, workspace).await?;
    for kind in catalogue.all().into_iter().filter(|kind| sends(&kind.connector)) {
        let query = ListQuery { type_id: Some(kind.id.clone()), limit: Some(OFFERED), ..ListQuery::default() };
        names.extend(list(app, caller, workspace, &query).await?.rows.into_iter().map(|row| row.name));
    }
    names.sort();
    Ok(names)
}
