//! Who may do what: callers, sets of roles, and the one table of actions.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::IpAddr,
    sync::Arc,
};

use dataflow_model::{ConnectionName, Secret, Workflow};
use uuid::Uuid;

use super::{
    Role,
    idempotency::{IdempotencyKey, refuse_repeat},
    names, second_look,
};
use crate::{
    app::{App, Workspace},
    error::{Error, Result},
};

/// A set of roles. Empty: not in the workspace at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Roles(u8);

impl Roles {
    pub const NONE: Self = Self(0);

    #[must_use]
    pub fn of(roles: &[Role]) -> Self {
        Self(roles.iter().fold(0, |bits, role| bits | role.bit()))
    }

    #[must_use]
    pub fn all() -> Self {
        Self::of(&Role::ALL)
    }

    /// Reads `user,editor`; unknown words are left out, so that a damaged row grants less, never more.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Self(text.split(',').filter_map(Role::parse).fold(0, |bits, role| bits | role.bit()))
    }

    #[must_use]
    pub fn has(self, role: Role) -> bool {
        self.0 & role.bit() != 0
    }

    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn iter(self) -> impl Iterator<Item = Role> {
        Role::ALL.into_iter().filter(move |role| self.has(*role))
    }

    /// These roles and `other`.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What these roles and `other` may both do: the roles that each of them covers.
    #[must_use]
    pub fn capped_by(self, other: Self) -> Self {
        let both = |role: &Role| self.cover(Self::of(&[*role])) && other.cover(Self::of(&[*role]));
        Self::of(&Role::ALL.into_iter().filter(both).collect::<Vec<_>>())
    }

    /// Whether these roles may do everything that `other` may: nobody grants more than he has.
    #[must_use]
    pub fn cover(self, other: Self) -> bool {
        TABLE
            .iter()
            .all(|(_, allowed, _)| !allowed.iter().any(|role| other.has(*role)) || allowed.iter().any(|role| self.has(*role)))
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.iter().map(Role::as_str).collect();
        formatter.write_str(&names.join(","))
    }
}

/// What can be done in a workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    SeeConnections,
    UseCredentials,
    TestConnections,
    CreateConnections,
    EditConnections,
    RotatePasswords,
    DeleteConnections,
    ScheduleTests,
    SeeChannels,
    SetChannels,
    SilenceLint,
    DefineTypes,
    PurgeVersions,
    HaveTokens,
    CreateOwnTokens,
    ManageTokens,
    SeePeople,
    ManagePeople,
    SetAdminFields,
    CarrySecrets,
    SeeActivity,
    SeeUsers,
    NarrowConnections,
    SeeSettings,
    NameWorkflows,
    ReportScans,
    ForgetScans,
}

/// Whether a person must show again that he is who he was, before he does it: his session alone, which somebody else may have come by,
/// neither grants nor directs anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    None,
    /// Unless he did a short while ago: [`second_look::CONFIRMED_FOR`].
    Lately,
    EachTime,
}

use Role::{Admin, Editor, User, Viewer};

/// The table: each action with the roles that may do it, and whether it takes a second look.
pub const TABLE: &[(Action, &[Role], Look)] = &[
    (Action::SeeConnections, &[Viewer, User, Editor, Admin], Look::None),
    (Action::UseCredentials, &[User, Admin], Look::None),
    (Action::TestConnections, &[User, Editor, Admin], Look::None),
    (Action::CreateConnections, &[Editor, Admin], Look::None),
    (Action::EditConnections, &[Editor, Admin], Look::None),
    (Action::RotatePasswords, &[Editor, Admin], Look::Lately),
    (Action::DeleteConnections, &[Editor, Admin], Look::None),
    (Action::ScheduleTests, &[Admin], Look::None),
    (Action::SeeChannels, &[Admin], Look::None),
    (Action::SetChannels, &[Admin], Look::Lately),
    (Action::SilenceLint, &[Admin], Look::None),
    (Action::DefineTypes, &[Admin], Look::Lately),
    (Action::PurgeVersions, &[Admin], Look::Lately),
    (Action::HaveTokens, &[Viewer, User, Editor, Admin], Look::None),
    (Action::CreateOwnTokens, &[Viewer, User, Editor, Admin], Look::Lately),
    (Action::ManageTokens, &[Admin], Look::None),
    (Action::SeePeople, &[Admin], Look::None),
    (Action::ManagePeople, &[Admin], Look::Lately),
    (Action::SetAdminFields, &[Admin], Look::Lately),
    (Action::CarrySecrets, &[Admin], Look::EachTime),
    (Action::SeeActivity, &[Admin], Look::None),
    (Action::SeeUsers, &[Admin], Look::None),
    (Action::NarrowConnections, &[Admin], Look::Lately),
    (Action::SeeSettings, &[Admin], Look::None),
    (Action::NameWorkflows, &[Editor, Admin], Look::None),
    (Action::ReportScans, &[User, Editor, Admin], Look::None),
    (Action::ForgetScans, &[Editor, Admin], Look::None),
];

impl Action {
    /// Whether it is over the workspace as a whole, so that a token narrowed to some connections cannot widen itself by it.
    fn is_over_workspace(self) -> bool {
        matches!(
            self,
            Self::ScheduleTests
                | Self::SeeChannels
                | Self::SetChannels
                | Self::SilenceLint
                | Self::DefineTypes
                | Self::ManageTokens
                | Self::SeePeople
                | Self::ManagePeople
                | Self::SeeActivity
                | Self::SeeSettings
                | Self::ReportScans
                | Self::ForgetScans
        )
    }

    /// The act in the sentence “Your role does not allow to …”.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::SeeConnections => "see connections",
            Self::UseCredentials => "use connections from code",
            Self::TestConnections => "test connections",
            Self::CreateConnections => "create connections",
            Self::EditConnections => "edit connections",
            Self::RotatePasswords => "rotate passwords",
            Self::DeleteConnections => "delete connections",
            Self::ScheduleTests => "decide how often connections are tested by themselves",
            Self::SeeChannels => "see whom this workspace tells what becomes of its connections",
            Self::SetChannels => "decide whom this workspace tells what becomes of its connections",
            Self::SilenceLint => "silence a rule of the lint for all connections",
            Self::DefineTypes => "define connection types of this workspace’s own",
            Self::PurgeVersions => "purge older versions",
            Self::HaveTokens => "see and revoke one's own tokens",
            Self::CreateOwnTokens => "create tokens",
            Self::ManageTokens => "see and revoke the tokens of others",
            Self::SeePeople => "see people and groups",
            Self::ManagePeople => "manage people and groups",
            Self::SetAdminFields => "set fields that are for admins",
            Self::CarrySecrets => "keep a secret that will be sent elsewhere",
            Self::SeeActivity => "see what others did",
            Self::SeeUsers => "see who may use a connection",
            Self::NarrowConnections => "decide who may use a connection",
            Self::SeeSettings => "see the settings of this server",
            Self::NameWorkflows => "see the notebooks and scripts of others by name",
            Self::ReportScans => "report what code names",
            Self::ForgetScans => "forget what was found in code",
        }
    }

    /// Whether one of `roles` stands beside this action in the table.
    #[must_use]
    pub fn allowed_to(self, roles: Roles) -> bool {
        TABLE.iter().any(|(action, allowed, _)| *action == self && allowed.iter().any(|role| roles.has(*role)))
    }

    fn look(self) -> Look {
        TABLE.iter().find(|(action, ..)| *action == self).map_or(Look::EachTime, |(.., look)| *look)
    }
}

/// Who asks.
#[derive(Debug, Clone)]
pub enum Who {
    Person(Arc<Person>),
    Token(Arc<TokenIdentity>),
    /// A shell on the server's machine, through the admin socket or with the data folder in hand.
    Shell,
}

/// A signed-in person. `roles` by workspace id; an owner is admin everywhere.
#[derive(Debug, Clone)]
pub struct Person {
    pub id: Uuid,
    pub email: String,
    pub is_owner: bool,
    /// Or else he shows at the sign-in provider who he is.
    pub has_password: bool,
    pub roles: BTreeMap<Uuid, Roles>,
    /// The names of the workspaces that he is a member of.
    pub workspaces: BTreeSet<String>,
    /// The one that he asks in; nothing where he only stands in an event.
    pub session: Option<OpenSession>,
}

/// The session of a request.
#[derive(Debug, Clone)]
pub struct OpenSession {
    /// What it is stored under.
    pub hash: Vec<u8>,
    /// When its person last showed in it that he is who he was, in microseconds UTC.
    pub confirmed_at: Option<i64>,
}

/// What a valid token stands for.
#[derive(Debug, Clone)]
pub struct TokenIdentity {
    pub id: Uuid,
    /// As events call it; see [`Caller::label`].
    pub label: String,
    /// See [`Caller::identity`].
    pub identity: String,
    pub workspace_id: Uuid,
    /// The workspace's name.
    pub workspace: String,
    /// Who is behind it, and stops it when he is removed or disabled; nobody behind those that a shell made.
    pub person_id: Option<Uuid>,
    /// Those that it was made with, as far as the person behind it has them now.
    pub roles: Roles,
    /// Names that it is narrowed to; `None`: all of the workspace.
    pub connections: Option<Vec<String>>,
    /// Microseconds UTC.
    pub expires_at: i64,
}

/// One request's caller: who, from where, for which workflow.
#[derive(Debug, Clone)]
pub struct Caller {
    pub who: Who,
    pub workflow: Option<Workflow>,
    pub address: Option<IpAddr>,
    /// Given with a change that may be sent again.
    pub idempotency: Option<IdempotencyKey>,
    /// His own password, where he typed it with what he asks for; see [`second_look`].
    pub own_password: Option<Arc<Secret>>,
}

impl Caller {
    #[must_use]
    pub fn of(who: Who) -> Self {
        Self { who, workflow: None, address: None, idempotency: None, own_password: None }
    }

    /// The same caller, looking at what his repeated change did.
    #[must_use]
    pub fn without_key(&self) -> Self {
        Self { idempotency: None, ..self.clone() }
    }

    #[must_use]
    pub fn shell() -> Self {
        Self::of(Who::Shell)
    }

    /// The name in audit events and “by whom” columns, for show: another may bear it later.
    #[must_use]
    pub fn label(&self) -> Cow<'_, str> {
        match &self.who {
            Who::Person(person) => Cow::Borrowed(&person.email),
            Who::Token(token) => Cow::Borrowed(&token.label),
            Who::Shell => Cow::Borrowed("shell"),
        }
    }

    /// Who asks, in a form that no two callers ever share.
    #[must_use]
    pub fn identity(&self) -> Cow<'_, str> {
        match &self.who {
            Who::Person(person) => Cow::Owned(format!("person {}", person.id)),
            Who::Token(token) => Cow::Borrowed(&token.identity),
            Who::Shell => Cow::Borrowed("shell"),
        }
    }

    #[must_use]
    pub fn is_owner(&self) -> bool {
        match &self.who {
            Who::Person(person) => person.is_owner,
            Who::Shell => true,
            Who::Token(_) => false,
        }
    }

    #[must_use]
    pub fn roles_in(&self, workspace_id: Uuid) -> Roles {
        match &self.who {
            Who::Person(person) if person.is_owner => Roles::all(),
            Who::Person(person) => person.roles.get(&workspace_id).copied().unwrap_or(Roles::NONE),
            Who::Token(token) if token.workspace_id == workspace_id => token.roles,
            Who::Token(_) => Roles::NONE,
            Who::Shell => Roles::all(),
        }
    }

    /// The person who asks or stands behind the token that does.
    #[must_use]
    pub fn person_id(&self) -> Option<Uuid> {
        match &self.who {
            Who::Person(person) => Some(person.id),
            Who::Token(token) => token.person_id,
            Who::Shell => None,
        }
    }

    /// Whether he may be in a workspace of this name, as far as he himself tells without a look at the store.
    fn may_be_in(&self, workspace: &str) -> bool {
        match &self.who {
            Who::Person(person) => person.is_owner || person.workspaces.contains(workspace),
            Who::Token(token) => token.workspace == workspace,
            Who::Shell => true,
        }
    }

    /// Whether the caller's roles in the workspace allow the act, and no narrowing of his token forbids it.
    #[must_use]
    pub fn may(&self, action: Action, workspace_id: Uuid) -> bool {
        action.allowed_to(self.roles_in(workspace_id)) && !(self.narrowed_to().is_some() && action.is_over_workspace())
    }

    /// The names that the caller's token is for; `None`: all.
    #[must_use]
    pub fn narrowed_to(&self) -> Option<&[String]> {
        match &self.who {
            Who::Token(token) => token.connections.as_deref(),
            Who::Person(_) | Who::Shell => None,
        }
    }

    /// Whether it is the server itself, which goes on with what somebody has begun or asked to be done by itself.
    #[must_use]
    pub fn is_stand_in(&self) -> bool {
        matches!(&self.who, Who::Token(token) if token.id.is_nil())
    }

    /// Whether a narrowed token names this connection; everybody else sees all.
    #[must_use]
    pub fn may_see_name(&self, name: &str) -> bool {
        self.narrowed_to().is_none_or(|names| names.iter().any(|allowed| allowed == name))
    }
}

/// The workspace, if the caller may do `action` there. A workspace that he is not in looks absent, and takes as long: neither is looked for.
///
/// # Errors
/// Besides those of who may not: those of [`second_look::required`], where the table says that it is.
pub async fn authorise(app: &App, caller: &Caller, workspace: &str, action: Action) -> Result<Arc<Workspace>> {
    if !caller.may_be_in(workspace) {
        return Err(Error::NotFound("workspace"));
    }
    let workspace = app.workspace(workspace).await?.ok_or(Error::NotFound("workspace"))?;
    if caller.roles_in(workspace.id).is_empty() {
        return Err(Error::NotFound("workspace"));
    }
    if !caller.may(action, workspace.id) {
        return Err(Error::Forbidden(action.words()));
    }
    if action.look() == Look::Lately {
        second_look::required(app, caller).await?;
    }
    refuse_repeat(app, caller).await?;
    Ok(workspace)
}

/// The same over one connection's name: what cannot be a name, and what a narrowed token does not name, looks absent.
pub async fn authorise_name(app: &App, caller: &Caller, workspace: &str, name: &str, action: Action) -> Result<Arc<Workspace>> {
    let workspace = authorise(app, caller, workspace, action).await?;
    if ConnectionName::new(name).is_err() || !caller.may_see_name(name) {
        return Err(Error::NotFound("connection"));
    }
    // Who asks for credentials is held against what he is given.
    if caller.narrowed_to().is_some() && action != Action::UseCredentials {
        Box::pin(names::admit_asked(app, caller, &workspace, name)).await?;
    }
    Ok(workspace)
}

#[cfg(test)]
mod tests;
