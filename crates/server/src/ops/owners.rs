//! What is the whole server's and an owner's alone, whatever his roles: the second table beside that of [`super::access`].

use super::{
    access::{Caller, Look},
    idempotency::refuse_repeat,
    second_look,
};
use crate::{
    app::App,
    error::{Error, Result},
};

/// What an owner alone may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnersAct {
    CreateWorkspaces,
    DeleteWorkspaces,
    MakeLinks,
    ChangeSettings,
}

/// The table: each act, and whether it takes a second look.
pub const OWNERS: &[(OwnersAct, Look)] = &[
    (OwnersAct::CreateWorkspaces, Look::None),
    (OwnersAct::DeleteWorkspaces, Look::Lately),
    (OwnersAct::MakeLinks, Look::Lately),
    (OwnersAct::ChangeSettings, Look::Lately),
];

impl OwnersAct {
    /// The act in the sentence “Only an owner of this server may …”.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::CreateWorkspaces => "create workspaces",
            Self::DeleteWorkspaces => "delete workspaces",
            Self::MakeLinks => "make a link for somebody",
            Self::ChangeSettings => "change the settings of this server",
        }
    }

    fn look(self) -> Look {
        OWNERS.iter().find(|(act, _)| *act == self).map_or(Look::EachTime, |(_, look)| *look)
    }

    /// Whether the caller is an owner.
    ///
    /// # Errors
    /// `OwnersOnly`.
    pub fn permit(self, caller: &Caller) -> Result<()> {
        if caller.is_owner() { Ok(()) } else { Err(Error::OwnersOnly(self.words())) }
    }
}

/// Lets an owner do it.
///
/// # Errors
/// `OwnersOnly`, and those of [`second_look::required`] where the table says that it is.
pub async fn authorise_owner(app: &App, caller: &Caller, act: OwnersAct) -> Result<()> {
    act.permit(caller)?;
    if act.look() == Look::Lately {
        second_look::required(app, caller).await?;
    }
    refuse_repeat(app, caller).await
}
