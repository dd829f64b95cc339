//! What a connection goes through on its way: another connection of its workspace, which it names.
//!
//! Whoever leads a hop elsewhere would hear what goes through it. So a connection whose own TLS does not say who answers keeps, beside the hop's name,
//! where that led when it was saved; it is a field of its endpoint like any other, and a hop that leads elsewhere is not taken.

use std::sync::Arc;

use dataflow_connectors::{
    Target, causes,
    hops::{CONNECTORS, Hop, Way},
};
use dataflow_model::{
    ConnectionType, Draft, FieldError, FieldInput, FieldPath, FieldValue, PublicFields, SecretFields, TestError,
    settle::{THROUGH, THROUGH_PIN},
};

use super::{
    access::Caller,
    checks,
    credentials::{Servable, servable, servable_by},
    list::{self, ListQuery},
    own_types,
    paging::PAGE_MAX,
};
use crate::{
    app::{App, Workspace},
    error::{Error, Result},
    store::Handle,
    tests::Fields,
};

/// Digits of the digest in a pin.
const DIGITS: usize = 16;

/// Values in clear with the way that they name, for a test. That it sends the secrets of what lies on the way is audited as of any other.
///
/// # Errors
/// `NoRole` for a caller who may not use what lies on the way. That there is no way is no error: it is what a test finds.
pub(super) async fn fields(
    app: &App,
    caller: &Caller,
    workspace: &Workspace,
    (public, secrets): (PublicFields, SecretFields),
) -> Result<Fields> {
    let way = match Box::pin(hop(app, caller, workspace, &public)).await? {
        None => None,
        Some(Err(error)) => Some(Way::Closed(error)),
        Some(Ok(hop)) => {
            checks::audit_use(app, caller, workspace, &hop.name, hop.version).await?;
            Some(Way::Through(Box::new(Hop {
                name: hop.name.clone(),
                connector: hop.connector().to_owned(),
                target: Target { public: hop.public.clone(), secrets: hop.open_secrets()?, ..Target::default() },
            })))
        }
    };
    Ok(Fields { public, secrets, way: way.map(Arc::new) })
}

/// The connection that these values go through, or why there is none.
pub(super) async fn hop(
    app: &App,
    caller: &Caller,
    workspace: &Workspace,
    public: &PublicFields,
) -> Result<Option<std::result::Result<Arc<Servable>, TestError>>> {
    let Some(name) = public.text(THROUGH) else { return Ok(None) };
    // Who does not see it is not told what became of it either.
    if !caller.is_stand_in() && !caller.may_see_name(name) {
        return Err(not_named());
    }
    let hop = match servable(app, workspace, name).await {
        Ok(hop) => hop,
        Err(Error::NotFound(_)) => return Ok(Some(Err(causes::hop_missing(name)))),
        Err(Error::Deleted(tombstone)) => {
            return Ok(Some(Err(causes::hop_deleted(name, &tombstone.deleted_by, &tombstone.deleted_at))));
        }
        Err(other) => return Err(other),
    };
    admit(caller, workspace, name, &hop)?;
    Ok(Some(if !CONNECTORS.contains(&hop.connector()) {
        Err(causes::hop_is_none(hop.connector()))
    } else if (needs_pin(public) || public.text(THROUGH_PIN).is_some()) && public.text(THROUGH_PIN) != Some(&pin_of(&hop)) {
        Err(causes::hop_changed(name))
    } else {
        Ok(hop)
    }))
}

fn not_named() -> Error {
    Error::NoRole(
        "This connection goes through another one, which your token does not name.",
        "Ask an admin for a token that names that connection, too.",
    )
}

/// Who uses a connection gets what it goes through with it, its secrets included. Of what the server does by itself nobody gets anything.
fn admit(caller: &Caller, workspace: &Workspace, asked: &str, hop: &Servable) -> Result<()> {
    if caller.is_stand_in() {
        return Ok(());
    }
    if !caller.may_see_name(asked) || !caller.may_see_name(&hop.name) {
        return Err(not_named());
    }
    hop.admit(caller, workspace, asked).map_err(|_| {
        Error::NoRole(
            "This connection goes through another one, which is not for you to use.",
            "Ask an admin to admit you to that connection, too.",
        )
    })
}

/// Whether who listens on the way could hear or answer what is meant for the host: unless TLS says who answers, and nothing is asked in the clear.
fn needs_pin(public: &PublicFields) -> bool {
    let is_clear = |value: &FieldValue| matches!(value, FieldValue::Text(text) if text.trim_start().to_ascii_lowercase().starts_with("http://"));
    public.text("tls.mode") != Some("verify-full") || public.0.values().any(is_clear)
}

/// Where a hop leads: its address for people, and a digest of all that directs what is sent to it.
fn pin_of(hop: &Servable) -> String {
    let digest = hex::encode(hop.endpoint().as_bytes());
    let address = super::connections::address(&hop.public);
    format!("{address} {}", digest.get(..DIGITS).unwrap_or(&digest))
}

/// What a draft is to have for where its hop leads.
pub(super) enum Pin {
    /// It goes through none.
    None,
    Is(String),
    Refused(FieldError),
}

impl Pin {
    /// Puts it where it is kept, of values that are settled. What a program opens by a URL of its type's own has TLS as that says, whatever stands in
    /// the field that the test goes by.
    pub(super) fn put(self, kind: &ConnectionType, public: &mut PublicFields) -> std::result::Result<(), FieldError> {
        match self {
            Self::Refused(error) => return Err(error),
            Self::Is(pin) if public.text(THROUGH).is_some() && (needs_pin(public) || kind.own.is_some()) => {
                public.0.insert(FieldPath::from(THROUGH_PIN), FieldValue::Text(pin));
            }
            Self::Is(_) | Self::None => {}
        }
        Ok(())
    }
}

/// Looks up the hop that a draft names, over the values that it is made over. One that has been there before, and that this caller may not use or
/// that is gone, keeps what it had: it serves as before, or not at all. Who may not use it leads nothing else through it, either.
pub(super) async fn pin(
    app: &App,
    caller: &Caller,
    handle: &mut impl Handle,
    (workspace, draft): (&Workspace, &Draft),
    before: Option<&PublicFields>,
) -> Result<Pin> {
    let had = before.and_then(|before| before.text(THROUGH));
    let name = match draft.fields.get(THROUGH) {
        Some(FieldInput::Text(name)) => Some(name.expose_secret()),
        Some(_) => None,
        None => had,
    };
    let Some(name) = name.filter(|name| !name.is_empty()) else { return Ok(Pin::None) };
    let refused = |message: &str| Pin::Refused(FieldError::new(THROUGH, "invalid", message));
    let as_before = || before.and_then(|before| before.text(THROUGH_PIN)).map_or(Pin::None, |pin| Pin::Is(pin.to_owned()));
    match Box::pin(servable_by(app, handle, workspace, name)).await {
        Ok(hop) if admit(caller, workspace, name, &hop).is_err() => Ok(match before.filter(|_| had == Some(name)) {
            Some(before) if !leads_elsewhere(draft, before) => as_before(),
            Some(_) => refused(
                "names a connection that you may not use, so that what goes through it stays as it is but for who signs in",
            ),
            None => refused("names a connection that you may not use"),
        }),
        Ok(hop) if !CONNECTORS.contains(&hop.connector()) => {
            Ok(refused("names a connection that nothing goes through: only one to an SSH server or to a proxy leads on"))
        }
        Ok(hop) => Ok(Pin::Is(pin_of(&hop))),
        Err(Error::NotFound(_) | Error::Deleted(_)) if had == Some(name) => Ok(as_before()),
        Err(Error::NotFound(_) | Error::Deleted(_)) => Ok(refused("names no connection of this workspace")),
        Err(other) => Err(other),
    }
}

/// Whether a draft sets a field that is no secret to something else than it was, who signs in aside.
fn leads_elsewhere(draft: &Draft, before: &PublicFields) -> bool {
    let differs = |(path, input): (&FieldPath, &FieldInput)| match (input, before.get(path.as_str())) {
        (FieldInput::Keep { .. }, _) | (FieldInput::Null, None) => false,
        (FieldInput::Boolean(new), Some(FieldValue::Boolean(old))) => new != old,
        (FieldInput::Integer(new), Some(FieldValue::Integer(old))) => new != old,
        (FieldInput::Text(new), Some(FieldValue::Text(old))) => new.expose_secret() != old,
        (FieldInput::Text(new), None) => !new.expose_secret().is_empty(),
        _ => true,
    };
    let is_own = |path: &FieldPath| matches!(path.as_str(), "username" | "password" | THROUGH_PIN);
    draft.type_id.is_some() || draft.fields.iter().filter(|(path, _)| !is_own(path)).any(differs)
}

/// Connections of the workspace that one of this type may go through, by name: as many as a page has of each type.
pub async fn offered(app: &App, caller: &Caller, workspace: &str, kind: &ConnectionType) -> Result<Vec<String>> {
    if kind.field(THROUGH).is_none() {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    for kind in own_types::all(app, caller, workspace)
        .await?
        .all()
        .into_iter()
        .filter(|kind| CONNECTORS.contains(&kind.connector.as_str()))
    {
        let query = ListQuery { type_id: Some(kind.id.clone()), limit: Some(PAGE_MAX), ..ListQuery::default() };
        names.extend(list::list(app, caller, workspace, &query).await?.rows.into_iter().map(|row| row.name));
    }
    names.sort();
    Ok(names)
}

/// The word by which connections are found that go through one of this name.
pub(super) fn word(name: &str) -> String {
    format!(":through:{}", name.to_ascii_lowercase())
}
