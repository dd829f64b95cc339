//! A connection as somebody writes it, read from JSON strictly: wrong JSON types and duplicate keys are refused.
//!
//! No error repeats a value: it may be a secret in the wrong field. What the type has to say is in [`crate::settle`].

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, MapAccess, Visitor},
};

use crate::{FieldPath, Secret, name};

/// One refused field. `code` is stable: `unknown_field`, `duplicate_field`, `required`, `wrong_type`, `too_short`,
/// `too_long`, `out_of_range`, `not_a_choice`, `invalid`, `admin_only`, `needs`, `secret_reentry_required`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(example = json!({"field": "port", "code": "out_of_range", "message": "must be from 1 to 65535"}))]
pub struct FieldError {
    pub field: String,
    pub code: String,
    pub message: String,
}

impl FieldError {
    #[must_use]
    pub fn new(field: impl Into<String>, code: &str, message: impl Into<String>) -> Self {
        Self { field: field.into(), code: code.to_owned(), message: message.into() }
    }
}

/// One value as written. Texts are held as secrets until the catalogue says that they are none.
#[derive(Debug)]
pub enum FieldInput {
    /// `null`: clear it, back to the default.
    Null,
    Boolean(bool),
    Integer(i64),
    Text(Secret),
    /// `{"set": …}`, as read from an answer: leave it as it is.
    Keep {
        set: bool,
    },
    /// Any other JSON: a fraction, a list, a deeper object.
    Other,
}

impl FieldInput {
    fn duplicate(&self) -> Self {
        match self {
            Self::Null => Self::Null,
            Self::Boolean(value) => Self::Boolean(*value),
            Self::Integer(value) => Self::Integer(*value),
            Self::Text(text) => Self::Text(text.duplicate_secret()),
            Self::Keep { set } => Self::Keep { set: *set },
            Self::Other => Self::Other,
        }
    }
}

/// A connection as written. Absent members are `None` or not in `fields`; `""` and `null` are different.
#[derive(Debug, Default)]
pub struct Draft {
    pub name: Option<String>,
    pub type_id: Option<String>,
    pub description: Option<String>,
    pub tags: Option<Vec<String>>,
    /// By path; `tls` and `extra` are flattened.
    pub fields: BTreeMap<FieldPath, FieldInput>,
    /// What reading already refused: duplicate keys and members of the wrong JSON type.
    pub errors: Vec<FieldError>,
}

impl Draft {
    /// The same once more: what is tried before it is saved is read twice.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        let fields = self.fields.iter().map(|(path, input)| (path.clone(), input.duplicate())).collect();
        Self {
            name: self.name.clone(),
            type_id: self.type_id.clone(),
            description: self.description.clone(),
            tags: self.tags.clone(),
            fields,
            errors: self.errors.clone(),
        }
    }

    /// Whether nothing was written at all: `{}`.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Self { name, type_id, description, tags, fields, errors } = self;
        name.is_none() && type_id.is_none() && description.is_none() && tags.is_none() && fields.is_empty() && errors.is_empty()
    }
}

/// Members that an answer has and a request may send back unread.
const READ_ONLY: &[&str] = &[
    "version",
    "fingerprint",
    "created_at",
    "created_by",
    "updated_at",
    "updated_by",
    "status",
    "last_check",
    "rotation",
    "rotates_at",
    "failing",
    "second_login",
];

impl<'de> Deserialize<'de> for Draft {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(DraftVisitor)
    }
}

struct DraftVisitor;

impl<'de> Visitor<'de> for DraftVisitor {
    type Value = Draft;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a connection as an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Draft, A::Error> {
        let mut draft = Draft::default();
        let mut seen = std::collections::BTreeSet::new();
        while let Some(key) = map.next_key::<String>()? {
            if !seen.insert(key.clone()) {
                draft.errors.push(FieldError::new(&key, "duplicate_field", "stands twice in the request"));
                map.next_value::<de::IgnoredAny>()?;
                continue;
            }
            if key.contains('.') {
                draft.errors.push(FieldError::new(&key, "unknown_field", "is no member of a connection; groups are objects"));
                map.next_value::<de::IgnoredAny>()?;
                continue;
            }
            match (key.as_str(), map.next_value::<Written>()?) {
                (read_only, _) if READ_ONLY.contains(&read_only) => {}
                ("name", Written::One(FieldInput::Text(text))) => draft.name = Some(text.expose_secret().to_owned()),
                ("type", Written::One(FieldInput::Text(text))) => draft.type_id = Some(text.expose_secret().to_owned()),
                ("description", Written::One(FieldInput::Text(text))) => {
                    draft.description = Some(text.expose_secret().to_owned());
                }
                ("description", Written::One(FieldInput::Null)) => draft.description = Some(String::new()),
                ("tags", Written::One(FieldInput::Null)) => draft.tags = Some(Vec::new()),
                ("tags", Written::Texts(tags)) => draft.tags = Some(tags),
                ("name" | "type" | "description", _) => {
                    draft.errors.push(FieldError::new(&key, "wrong_type", "must be a text"));
                }
                ("tags", _) => draft.errors.push(FieldError::new(&key, "wrong_type", "must be a list of texts")),
                ("tls" | "extra", Written::Group(members)) => {
                    for (member, input) in members {
                        let path = FieldPath::new(format!("{key}.{member}"));
                        if draft.fields.contains_key(&path) {
                            draft.errors.push(FieldError::new(path.as_str(), "duplicate_field", "stands twice in the request"));
                        }
                        draft.fields.insert(path, input);
                    }
                }
                ("tls" | "extra", Written::One(FieldInput::Null)) => {}
                ("tls" | "extra", _) => draft.errors.push(FieldError::new(&key, "wrong_type", "must be an object")),
                (_, Written::One(input)) => {
                    draft.fields.insert(FieldPath::new(key), input);
                }
                (_, Written::Group(members)) => {
                    draft.fields.insert(FieldPath::new(key), inner(&members));
                }
                (_, Written::Texts(_)) => {
                    draft.fields.insert(FieldPath::new(key), FieldInput::Other);
                }
            }
        }
        Ok(draft)
    }
}

/// What an object in a field's place says.
fn inner(members: &[(String, FieldInput)]) -> FieldInput {
    match members {
        [(key, FieldInput::Boolean(set))] if key == "set" => FieldInput::Keep { set: *set },
        _ => FieldInput::Other,
    }
}

/// One JSON value, as far as a connection can hold it.
enum Written {
    One(FieldInput),
    Texts(Vec<String>),
    Group(Vec<(String, FieldInput)>),
}

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WrittenVisitor)
    }
}

struct WrittenVisitor;

impl<'de> Visitor<'de> for WrittenVisitor {
    type Value = Written;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a field's value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Written, E> {
        Ok(Written::One(FieldInput::Null))
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Written, E> {
        Ok(Written::One(FieldInput::Boolean(value)))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Written, E> {
        Ok(Written::One(FieldInput::Integer(value)))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Written, E> {
        Ok(Written::One(i64::try_from(value).map_or(FieldInput::Other, FieldInput::Integer)))
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Written, E> {
        Ok(Written::One(FieldInput::Other))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Written, E> {
        Ok(Written::One(FieldInput::Text(Secret::new(value.to_owned()))))
    }

    fn visit_string<E: de::Error>(self, value: String) -> Result<Written, E> {
        Ok(Written::One(FieldInput::Text(Secret::new(value))))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Written, A::Error> {
        let (mut texts, mut pure) = (Vec::new(), true);
        while let Some(item) = list.next_element::<Written>()? {
            match item {
                Written::One(FieldInput::Text(text)) => texts.push(text.expose_secret().to_owned()),
                _ => pure = false,
            }
        }
        Ok(if pure { Written::Texts(texts) } else { Written::One(FieldInput::Other) })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Written, A::Error> {
        let mut members = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            let input = match map.next_value::<Written>()? {
                Written::One(input) => input,
                Written::Group(members) => inner(&members),
                Written::Texts(_) => FieldInput::Other,
            };
            members.push((key, input));
        }
        Ok(Written::Group(members))
    }
}

/// Checks what is the same for every type: description and tags.
///
/// # Errors
/// The refused member.
pub fn check_description(text: &str) -> Result<(), FieldError> {
    if text.chars().count() > name::DESCRIPTION_MAX {
        return Err(FieldError::new(
            "description",
            "too_long",
            format!("must have at most {} characters", name::DESCRIPTION_MAX),
        ));
    }
    if text.chars().any(|c| c.is_control() && c != '\n') {
        return Err(FieldError::new("description", "invalid", "must hold no control characters"));
    }
    Ok(())
}

/// Reads tags: valid, without repeats (in any case), sorted.
///
/// # Errors
/// The first refused tag's rule.
pub fn check_tags(tags: &[String]) -> Result<Vec<name::Tag>, FieldError> {
    if tags.len() > name::TAGS_MAX {
        return Err(FieldError::new("tags", "too_long", format!("must be at most {} tags", name::TAGS_MAX)));
    }
    let mut read = BTreeMap::new();
    for tag in tags {
        let tag =
            name::Tag::new(tag.as_str()).map_err(|error| FieldError::new("tags", "invalid", format!("each tag {error}")))?;
        read.entry(tag.key()).or_insert(tag);
    }
    Ok(read.into_values().collect())
}
