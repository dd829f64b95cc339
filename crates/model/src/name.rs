//! Names that people give: connections, workspaces, tags. A value of these types is always valid.

use std::{borrow::Borrow, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Longest connection or workspace name, in characters (all ASCII, so also in bytes).
pub const NAME_MAX: usize = 250;
/// Longest tag, in characters.
pub const TAG_MAX: usize = 50;
/// Most tags on one connection.
pub const TAGS_MAX: usize = 20;
/// Longest description, in characters.
pub const DESCRIPTION_MAX: usize = 1000;

/// Why a text is not a name. The text itself is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("must not be empty")]
    Empty,
    #[error("must have at most {max} characters")]
    TooLong { max: usize },
    #[error("must begin with a letter or a digit")]
    FirstCharacter,
    #[error("may hold only letters A-Z a-z, digits, “_”, “.” and “-”")]
    Character,
}

fn check(text: &str, max: usize) -> Result<(), NameError> {
    let first = text.chars().next().ok_or(NameError::Empty)?;
    if text.chars().count() > max {
        return Err(NameError::TooLong { max });
    }
    if !first.is_ascii_alphanumeric() {
        return Err(NameError::FirstCharacter);
    }
    if text.chars().any(|c| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))) {
        return Err(NameError::Character);
    }
    Ok(())
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $max:ident = $longest:tt) => {
        const _: () = assert!($max == $longest, "the API's description says otherwise");

        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
        #[schema(value_type = String, min_length = 1, max_length = $longest)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// # Errors
            /// Says which rule the text breaks.
            pub fn new(text: impl Into<String>) -> Result<Self, NameError> {
                let text = text.into();
                check(&text, $max)?;
                Ok(Self(text))
            }

            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The form that is unique: lower case.
            #[must_use]
            pub fn key(&self) -> String {
                self.0.to_ascii_lowercase()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        /// For looking a text up among names.
        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }
    };
}

name_type!(
    /// A connection's name (`conn_id`): 1 to 250 of `A-Z a-z 0-9 _ . -`, first a letter or digit. Unique without regard to
    /// case in its workspace, looked up exactly.
    ConnectionName,
    NAME_MAX = 250
);
name_type!(
    /// A workspace's name, under the same rule as a connection's.
    WorkspaceName,
    NAME_MAX = 250
);
name_type!(
    /// A tag, under the same rule as a name, at most 50 characters.
    Tag,
    TAG_MAX = 50
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rule_up_to_one_step_past_it() {
        assert!(ConnectionName::new("a".repeat(250)).is_ok());
        assert_eq!(ConnectionName::new("a".repeat(251)), Err(NameError::TooLong { max: 250 }));
        assert_eq!(ConnectionName::new(""), Err(NameError::Empty));
        assert_eq!(ConnectionName::new("_a"), Err(NameError::FirstCharacter));
        assert_eq!(ConnectionName::new("a b"), Err(NameError::Character));
        assert_eq!(ConnectionName::new("é"), Err(NameError::FirstCharacter));
        assert!(Tag::new("t".repeat(51)).is_err());
        assert_eq!(ConnectionName::new("Sales.DB-1_x").map(|n| n.key()), Ok("sales.db-1_x".to_owned()));
    }
}
