//! The roles by name. What they may do is in [`super::access`].

use serde::{Deserialize, Deserializer, de::Error as _};

/// The four roles of a workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Sees public fields.
    Viewer,
    /// Viewer, and tests and uses connections from code.
    User,
    /// Viewer, and tests, creates, edits and deletes; cannot read a stored secret.
    Editor,
    /// Everything in the workspace.
    Admin,
}

impl Role {
    pub const ALL: [Self; 4] = [Self::Viewer, Self::User, Self::Editor, Self::Admin];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::User => "user",
            Self::Editor => "editor",
            Self::Admin => "admin",
        }
    }

    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }

    pub(super) fn bit(self) -> u8 {
        match self {
            Self::Viewer => 1,
            Self::User => 2,
            Self::Editor => 4,
            Self::Admin => 8,
        }
    }
}

const NAMES: [&str; 4] = [Role::Viewer.as_str(), Role::User.as_str(), Role::Editor.as_str(), Role::Admin.as_str()];

/// As a text first: where serde wants an enum, `serde_json` calls a `null` no JSON at all, and not a member of the wrong type.
impl<'de> Deserialize<'de> for Role {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::unknown_variant(&text, &NAMES))
    }
}
