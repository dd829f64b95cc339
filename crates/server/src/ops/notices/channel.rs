//! Channels: whom a workspace tells what becomes of its connections, and through which connection of its own.

use dataflow_connectors::{Addressing, Messenger, message::SENDER};
use dataflow_model::{ConnectionName, FieldError, Tag};
use dataflow_vault::random_uuid;

use super::Tells;
use crate::{
    app::{App, Workspace},
    audit::{self, Event},
    error::{Error, Result},
    ops::{
        access::{Action, Caller, authorise},
        connections::Precondition,
        credentials::{Servable, servable},
        idempotency::begin,
        paging::{Page, Paging},
        rows::Sealed as _,
    },
    store::{self, ChannelRow},
};

/// Most channels of a workspace.
pub const CHANNELS_MAX: i64 = 20;
/// Most addresses of a channel.
pub const ADDRESSES_MAX: usize = 20;

/// A channel as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// The name of the connection through which it tells.
    pub connection: String,
    pub addresses: Vec<String>,
    /// Of connections with this tag alone.
    pub tag: Option<String>,
    pub tells: Tells,
}

impl Channel {
    pub(super) fn of(row: &ChannelRow) -> Self {
        Self {
            connection: row.connection.clone(),
            addresses: serde_json::from_str(&row.addresses).unwrap_or_default(),
            tag: row.tag.clone(),
            tells: Tells::parse(&row.tells).unwrap_or(Tells::All),
        }
    }
}

/// A channel as it stands.
#[derive(Debug)]
pub struct Standing {
    pub name: String,
    pub channel: Channel,
    /// When it was set, and by whom.
    pub set: (i64, String),
    /// Whether it is what somebody set. If not, it tells nothing until somebody sets it again.
    pub is_sound: bool,
    pub told_at: Option<i64>,
    /// Why its last message could not be handed over; nothing if it could.
    pub problem: Option<String>,
    /// What a change of it names.
    pub etag: String,
}

/// What a change names of the channel that was set then; of none that was at 0.
fn etag_of(name: &str, set_at: i64) -> String {
    format!("\"{}.{set_at}\"", name.to_ascii_lowercase())
}

/// What names that there is no channel of this name.
#[must_use]
pub fn none_yet(name: &str) -> Precondition {
    Precondition::Tags(vec![etag_of(name, 0)])
}

fn stands(app: &App, row: ChannelRow) -> Standing {
    let checked = row.clone().checked(&app.vault);
    if let Err(error) = &checked {
        let cause = error.cause().map(|cause| format!("{cause:#}")).unwrap_or_default();
        tracing::error!(channel.name = row.name, error.cause = cause, "a channel was refused");
    }
    Standing {
        channel: Channel::of(&row),
        etag: etag_of(&row.name, row.set_at),
        set: (row.set_at, row.set_by),
        is_sound: checked.is_ok(),
        told_at: row.told_at,
        problem: row.problem,
        name: row.name,
    }
}

/// How the messages are addressed that go through a connection.
///
/// # Errors
/// `Invalid` of `connection` if none go through it.
pub(super) fn addressing(connection: &Servable) -> Result<Addressing> {
    let connector = dataflow_connectors::connector(connection.connector());
    connector.and_then(|connector| connector.messenger()).map(Messenger::addressing).ok_or_else(|| {
        let text = "must be one that messages go through: a mail server (SMTP), a webhook, or Slack";
        Error::Invalid(vec![FieldError::new("connection", "not_a_choice", text)])
    })
}

/// Whose mail it is that goes through a connection.
pub(super) fn sender(connection: &Servable) -> Option<&str> {
    let named = connection.public.text(SENDER).filter(|sender| !sender.is_empty());
    // As mail programs write it: `Reports <reports@example.org>`.
    let named = named.map(|sender| match sender.trim().strip_suffix('>').and_then(|rest| rest.rsplit_once('<')) {
        Some((_, address)) => address,
        None => sender,
    });
    named.or_else(|| connection.public.text("username")).filter(|sender| Addressing::Mail.takes(sender))
}

pub(super) fn no_sender() -> FieldError {
    let text = format!("has no sender: give the connection one (Sender, `{SENDER}`)");
    FieldError::new("connection", "invalid", text)
}

/// What is wrong with a channel through this connection.
fn errors(channel: &Channel, addressing: Addressing, connection: &Servable) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let addresses = &channel.addresses;
    let mut refuse = |text: &str| errors.push(FieldError::new("addresses", "invalid", text));
    match addressing {
        Addressing::Fixed if !addresses.is_empty() => refuse("must be empty: the webhook leads to one place"),
        Addressing::Fixed => {}
        Addressing::Chat if addresses.len() != 1 => refuse("must be one channel, as #alerts"),
        Addressing::Mail if addresses.is_empty() || addresses.len() > ADDRESSES_MAX => {
            refuse(&format!("must be from 1 to {ADDRESSES_MAX} addresses"));
        }
        Addressing::Chat | Addressing::Mail => {
            if let Some(wrong) = addresses.iter().find(|address| !addressing.takes(address)) {
                refuse(&format!("must hold addresses alone; “{wrong}” is none"));
            }
        }
    }
    if addressing == Addressing::Mail && sender(connection).is_none() {
        errors.push(no_sender());
    }
    if channel.tag.as_ref().is_some_and(|tag| Tag::new(tag.as_str()).is_err()) {
        errors.push(FieldError::new("tag", "invalid", "must be a tag"));
    }
    errors
}

/// The connection of a channel, for whoever may use it: what is told is sent with its secret.
async fn served_by(app: &App, caller: &Caller, workspace: &Workspace, name: &str) -> Result<std::sync::Arc<Servable>> {
    let missing = || Error::Invalid(vec![FieldError::new("connection", "not_found", "must be a connection of this workspace")]);
    ConnectionName::new(name).map_err(|_| missing())?;
    let found = servable(app, workspace, name).await;
    let connection = found.map_err(|error| match error {
        Error::NotFound(_) | Error::Deleted(_) => missing(),
        other => other,
    })?;
    connection.admit(caller, workspace, name)?;
    Ok(connection)
}

/// A page of the channels of a workspace, by name.
pub async fn list(app: &App, caller: &Caller, workspace: &str, paging: &Paging) -> Result<Page<Standing>> {
    let workspace = authorise(app, caller, workspace, Action::SeeChannels).await?;
    let (after, _) = paging.after()?.unwrap_or_default();
    let mut read = app.store.read().await?;
    let rows = store::channels(&mut read, &workspace.id.to_string(), &after, paging.rows_to_read()?).await?;
    let page = paging.page(rows, |row| (row.name_key.clone(), String::new()))?;
    Ok(page.map(|row| stands(app, row)))
}

pub async fn show(app: &App, caller: &Caller, workspace: &str, name: &str) -> Result<Standing> {
    let workspace = authorise(app, caller, workspace, Action::SeeChannels).await?;
    let row = found(&mut app.store.read().await?, &workspace, name).await?;
    Ok(stands(app, row))
}

/// The channel of this name.
pub(super) async fn found(handle: &mut impl store::Handle, workspace: &Workspace, name: &str) -> Result<ChannelRow> {
    let key = ConnectionName::new(name).map_err(|_| Error::NotFound("channel"))?.key();
    let row = store::channel(handle, &workspace.id.to_string(), &key).await?;
    row.filter(|row| row.name == name).ok_or(Error::NotFound("channel"))
}

/// Makes a channel, or sets it anew. From then on it is the workspace's: it goes on whoever leaves.
///
/// # Errors
/// `Invalid` beyond [`CHANNELS_MAX`], too.
pub async fn set(
    app: &App,
    caller: &Caller,
    workspace: &str,
    name: &str,
    (channel, precondition): (Channel, &Precondition),
) -> Result<Standing> {
    let workspace = authorise(app, caller, workspace, Action::SetChannels).await?;
    let name =
        ConnectionName::new(name).map_err(|error| Error::Invalid(vec![FieldError::new("name", "invalid", error.to_string())]))?;
    let channel = Channel { tag: channel.tag.map(|tag| tag.to_lowercase()), ..channel };
    let connection = served_by(app, caller, &workspace, &channel.connection).await?;
    let errors = errors(&channel, addressing(&connection)?, &connection);
    let workspace_id = workspace.id.to_string();
    let mut write = begin(app, caller).await?;
    store::hold_workspace(&mut write, &workspace_id).await?;
    let before = store::channel(&mut write, &workspace_id, &name.key()).await?;
    if let Some(other) = before.as_ref().filter(|row| row.name != name.as_str()) {
        let text = format!("is taken by “{}”: names differ in more than case", other.name);
        return Err(Error::Invalid(vec![FieldError::new("name", "name_taken", text)]));
    }
    precondition.holds(&etag_of(name.as_str(), before.as_ref().map_or(0, |row| row.set_at)))?;
    if !errors.is_empty() {
        return Err(Error::Invalid(errors));
    }
    if before.is_none() && store::count_channels(&mut write, &workspace_id).await? >= CHANNELS_MAX {
        let text = format!("would be one more than the {CHANNELS_MAX} channels that a workspace may have");
        return Err(Error::Invalid(vec![FieldError::new("name", "too_many", text)]));
    }
    let now = app.clock.now();
    let row = ChannelRow {
        id: before.as_ref().map_or_else(|| random_uuid().to_string(), |row| row.id.clone()),
        workspace_id,
        name_key: name.key(),
        name: name.to_string(),
        connection: channel.connection,
        addresses: serde_json::json!(channel.addresses).to_string(),
        tag: channel.tag,
        tells: channel.tells.as_str().to_owned(),
        set_at: now,
        set_by: caller.label().into_owned(),
        set_by_id: caller.identity().into_owned(),
        mac: Vec::new(),
        next_at: now,
        in_a_row: 0,
        tries: 0,
        told_at: before.and_then(|row| row.told_at),
        failing_since: None,
        problem: None,
    }
    .sealed(&app.vault);
    store::put_channel(&mut write, &row).await?;
    let detail = serde_json::json!({
        "connection": row.connection, "addresses": channel.addresses, "tag": row.tag, "tells": row.tells
    });
    let event = Event { at: now, workspace_id: Some(row.workspace_id.clone()), action: "channel.set", object: &row.name, detail };
    audit::record(&mut write, &app.vault, caller, event).await?;
    write.commit_quietly().await?;
    Ok(stands(app, row))
}

/// Takes a channel away, with what it was still to tell.
pub async fn remove(app: &App, caller: &Caller, workspace: &str, name: &str, precondition: &Precondition) -> Result<()> {
    let workspace = authorise(app, caller, workspace, Action::SetChannels).await?;
    let mut write = begin(app, caller).await?;
    let workspace_id = workspace.id.to_string();
    store::hold_workspace(&mut write, &workspace_id).await?;
    let row = found(&mut write, &workspace, name).await?;
    precondition.holds(&etag_of(&row.name, row.set_at))?;
    store::delete_channel(&mut write, &row.id).await?;
    let (at, detail) = (app.clock.now(), serde_json::json!({"connection": row.connection}));
    let event = Event { at, workspace_id: Some(workspace_id), action: "channel.remove", object: &row.name, detail };
    audit::record(&mut write, &app.vault, caller, event).await?;
    Ok(write.commit_quietly().await?)
}

/// The channels that tell through the connection of these names, for whoever is about to delete it. Callers authorise first.
pub(in crate::ops) async fn through(handle: &mut impl store::Handle, workspace_id: &str, names: &[&str]) -> Result<Vec<String>> {
    let rows = store::channels(handle, workspace_id, "", CHANNELS_MAX).await?;
    Ok(rows.into_iter().filter(|row| names.contains(&row.connection.as_str())).map(|row| row.name).collect())
}
