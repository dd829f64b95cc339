//! Roles that the sign-in provider's claims give: kept apart from those given by hand, and replaced at each sign-in. Both count.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    access::{Caller, Roles},
    rows::Sealed as _,
    sessions::as_caller,
    tokens, users,
};
use crate::{
    app::App,
    audit::{self, Event},
    error::Result,
    oidc::Identity,
    store::{self, Handle, MemberRow, PersonRow, Write},
};

/// All that a member may do.
pub(super) fn roles_of(member: &MemberRow) -> Roles {
    Roles::parse(&member.roles).and(Roles::parse(&member.claimed_roles))
}

/// Ends a membership with all that hangs on it; `false` if there was none.
pub(super) async fn leave(
    app: &App,
    caller: &Caller,
    write: &mut Write,
    (workspace_id, person_id): (&str, &str),
) -> Result<bool> {
    // From here on he makes no token more.
    if !store::hold_member(write, workspace_id, person_id).await? {
        return Ok(false);
    }
    tokens::revoke_of_person(app, caller, write, (workspace_id, person_id)).await?;
    users::forget_person(app, write, workspace_id, person_id).await?;
    // Last, so that the event of this tells of it, and none of a token.
    store::remove_member(write, workspace_id, person_id).await?;
    Ok(true)
}

/// What the sign-in provider gives a member; empty for whoever is none.
pub(super) async fn claimed_roles(app: &App, write: &mut Write, person_id: &str, workspace_id: &str) -> Result<String> {
    let memberships = store::memberships(write, person_id).await?;
    let member = memberships.into_iter().find(|member| member.workspace_id == workspace_id);
    Ok(member.map(|member| member.checked(&app.vault)).transpose()?.map(|member| member.claimed_roles).unwrap_or_default())
}

/// What the claims of somebody grant now, by workspace id. A workspace that is not there grants nothing.
pub(super) async fn granted(app: &App, handle: &mut impl Handle, identity: &Identity) -> Result<BTreeMap<String, Roles>> {
    let mut granted = BTreeMap::new();
    let Some(oidc) = &app.oidc else { return Ok(granted) };
    for (name, roles) in oidc.config.granted(&identity.claims) {
        if let Some(workspace) = store::workspace_by_name(handle, name).await? {
            granted.insert(workspace.checked(&app.vault)?.id, roles);
        } else {
            tracing::warn!(workspace.name = name, "a mapping of claims names a workspace that is not there");
        }
    }
    Ok(granted)
}

/// Has a person whose row is held be given by claims what is `granted` and nothing else. Whether he is in a workspace afterwards.
pub(super) async fn replace_claims(
    app: &App,
    write: &mut Write,
    person: &PersonRow,
    granted: &BTreeMap<String, Roles>,
) -> Result<bool> {
    let (himself, now) = (as_caller(person)?, app.clock.now());
    let mut memberships = BTreeMap::new();
    for member in store::memberships(write, &person.id).await? {
        let member = member.checked(&app.vault)?;
        memberships.insert(member.workspace_id.clone(), member);
    }
    let (mut belongs, mut has_changed) = (false, false);
    let places: BTreeSet<_> = memberships.keys().chain(granted.keys()).cloned().collect();
    for workspace_id in places {
        let before = memberships.remove(&workspace_id);
        let claimed = granted.get(&workspace_id).copied().unwrap_or_default();
        let (by_hand, claimed_before) =
            before.as_ref().map(|row| (row.roles.clone(), Roles::parse(&row.claimed_roles))).unwrap_or_default();
        let stays = !claimed.is_empty() || !by_hand.is_empty();
        belongs |= stays;
        if claimed == claimed_before {
            continue;
        }
        has_changed = true;
        if stays {
            let row = MemberRow {
                workspace_id: workspace_id.clone(),
                person_id: person.id.clone(),
                roles: by_hand,
                claimed_roles: claimed.to_string(),
                added_at: before.as_ref().map_or(now, |before| before.added_at),
                added_by: before.map_or_else(|| person.email.clone(), |before| before.added_by),
                mac: Vec::new(),
            };
            store::put_member(write, &row.sealed(&app.vault)).await?;
        } else {
            leave(app, &himself, write, (&workspace_id, &person.id)).await?;
        }
        let detail = serde_json::json!({"roles": claimed.to_string(), "before": claimed_before.to_string()});
        let workspace_id = Some(workspace_id);
        let event = Event { at: now, workspace_id, action: "member.claims", object: &person.email, detail };
        audit::record(write, &app.vault, &himself, event).await?;
    }
    if has_changed {
        app.caches.forget_tokens(write);
    }
    Ok(belongs)
}
