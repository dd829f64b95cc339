//! What stands around every page, for this caller.

use std::sync::Arc;

use super::view::parts::{Here, May, Shell};
use crate::{
    app::{App, Workspace},
    error::Result,
    ops::{Action, Caller, Roles, Who, access::authorise, workspaces},
};

/// A page's place: the open workspace and what the caller may do there.
pub struct Place {
    pub workspace: Arc<Workspace>,
    pub roles: Roles,
    pub shell: Shell,
    /// Connections that others may go through, by name, on pages with a form of one.
    pub hops: Vec<String>,
}

/// The shell inside a workspace. A workspace that the caller is not in looks absent.
pub async fn inside(app: &App, caller: &Caller, workspace: &str, here: Here, title: &str) -> Result<Place> {
    let workspace = authorise(app, caller, workspace, Action::SeeConnections).await?;
    let roles = caller.roles_in(workspace.id);
    let mut shell = outside(app, caller, here, title).await?;
    shell.workspace = Some(workspace.name.clone());
    shell.role = words(roles);
    shell.may = May {
        edit: Action::EditConnections.allowed_to(roles),
        test: app.tests.is_enabled() && Action::TestConnections.allowed_to(roles),
        manage_tokens: Action::CreateOwnTokens.allowed_to(roles),
        manage_people: Action::ManagePeople.allowed_to(roles),
        narrow: Action::NarrowConnections.allowed_to(roles),
        see_activity: Action::SeeActivity.allowed_to(roles),
        ..shell.may
    };
    Ok(Place { workspace, roles, shell, hops: Vec::new() })
}

/// The shell of a page above workspaces.
pub async fn outside(app: &App, caller: &Caller, here: Here, title: &str) -> Result<Shell> {
    let workspaces = workspaces::list_all(app, caller).await?;
    Ok(Shell {
        title: title.to_owned(),
        here,
        workspace: None,
        workspaces: workspaces.into_iter().map(|row| row.name).collect(),
        who: caller.label().into_owned(),
        role: String::new(),
        may: May {
            manage_workspaces: caller.is_owner(),
            change_settings: caller.is_owner(),
            shows_at_provider: matches!(&caller.who, Who::Person(person) if !person.has_password),
            ..May::default()
        },
        connections: None,
        notice: None,
    })
}

/// `editor and user`; an admin has all, so the others need no words.
#[must_use]
pub fn words(roles: Roles) -> String {
    if roles.has(crate::ops::Role::Admin) {
        return "admin".to_owned();
    }
    roles.iter().map(crate::ops::Role::as_str).collect::<Vec<_>>().join(" and ")
}
