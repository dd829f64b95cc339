//! A workspace's own connection types: a definition in TOML, written by an admin, over a type that is built in.
//!
//! Here is how a definition is read and written. What it may say is in [`rules`], what is called like a secret in [`names`], the template of its URL
//! in [`url`].

mod names;
mod rules;
mod url;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub use self::{
    rules::{compile, is_id, may_be_left_out, read},
    url::UrlTemplate,
};
use crate::{
    Category, FieldError, FieldKind, FieldValue,
    catalogue::{Choice, Glyph, Section},
};

/// Longest definition, in bytes.
pub const DEFINITION_MAX: usize = 32 * 1024;
/// Longest id, in characters.
pub const ID_MAX: usize = 50;
/// Most fields of the form of an own type, those of its base included.
pub const FIELDS_MAX: usize = 60;
/// The base of a type of which nobody here knows what it speaks.
pub const GENERIC: &str = "generic";

/// What an admin writes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnDefinition {
    /// The built-in type whose form it has, and whose connector tests it.
    pub extends: String,
    pub label: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// That of the base, if it says none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<Category>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// The service's own documentation; that of the base, if it says none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub docs: Option<String>,
    /// As [`UrlTemplate::parse`] reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub glyph: Option<Glyph>,
    /// Fields of the base that it does not have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<OwnField>,
}

/// A field that is added, or what is said otherwise of one of the base's.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnField {
    pub path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<FieldKind>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub section: Option<Section>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub required: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<FieldValue>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<Choice>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_length: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placeholder: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span: Option<u8>,
}

/// What a catalogue file says and no definition may, with the reason.
const NOT_SAID: &[(&str, &str)] = &[
    ("id", "is the name in the address, and not in the definition"),
    ("connector", "cannot be chosen: the connector of the type in `extends` tests it"),
    ("tested", "cannot be claimed: how a type of one’s own is tested follows from `extends`"),
    ("rotates", "cannot be said: passwords of a type of one’s own are not rotated from here"),
    ("airflow", "cannot be said: Airflow knows no type of one’s own"),
    ("url_schemes", "cannot be said: it follows from `url`"),
    ("dialect", "cannot be said: it is what stands before “://” in `url`"),
];

impl OwnDefinition {
    /// Reads a definition as far as its form goes.
    ///
    /// # Errors
    /// Every member that cannot be read: `label`, `fields.extra.schema.kind`, or `definition` with the line where the text is no TOML.
    pub fn from_toml(text: &str) -> Result<Self, Vec<FieldError>> {
        let whole = |code: &str, message: String| vec![FieldError::new("definition", code, message)];
        if text.len() > DEFINITION_MAX {
            return Err(whole("too_long", format!("must have at most {} KiB", DEFINITION_MAX / 1024)));
        }
        let table: toml::Table = text.parse().map_err(|error| whole("invalid", no_toml(text, &error)))?;
        let mut errors = Vec::new();
        let mut members = Members { table, at: String::new(), errors: &mut errors };
        let read = Self {
            extends: members.needed("extends"),
            label: members.needed("label"),
            summary: members.take("summary"),
            category: members.take("category"),
            tags: members.take("tags").unwrap_or_default(),
            docs: members.take("docs"),
            url: members.take("url"),
            glyph: members.take("glyph"),
            remove: members.take("remove").unwrap_or_default(),
            fields: members.fields(),
        };
        members.end();
        if errors.is_empty() { Ok(read) } else { Err(errors) }
    }

    /// The definition as somebody would write it.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        let mut line = |key: &str, value: Option<String>| {
            text.extend(value.into_iter().flat_map(|value| [key.to_owned(), " = ".to_owned(), value, "\n".to_owned()]));
        };
        line("extends", Some(quoted(&self.extends)));
        line("label", Some(quoted(&self.label)));
        line("summary", self.summary.as_deref().map(quoted));
        line("category", self.category.and_then(word).as_deref().map(quoted));
        line("tags", list(&self.tags));
        line("docs", self.docs.as_deref().map(quoted));
        line("url", self.url.as_deref().map(quoted));
        let glyph = |glyph: &Glyph| format!("{{ text = {}, color = {} }}", quoted(&glyph.text), quoted(&glyph.color));
        line("glyph", self.glyph.as_ref().map(glyph));
        line("remove", list(&self.remove));
        for field in &self.fields {
            text.push_str("\n[[fields]]\n");
            field.write(&mut text);
        }
        text
    }
}

impl OwnField {
    fn write(&self, text: &mut String) {
        let mut line = |key: &str, value: Option<String>| {
            text.extend(value.into_iter().flat_map(|value| [key.to_owned(), " = ".to_owned(), value, "\n".to_owned()]));
        };
        line("path", Some(quoted(&self.path)));
        line("label", self.label.as_deref().map(quoted));
        line("kind", self.kind.and_then(word).as_deref().map(quoted));
        line("section", self.section.and_then(word).as_deref().map(quoted));
        let flags = [("required", self.required), ("secret", self.secret), ("endpoint", self.endpoint), ("admin", self.admin)];
        for (key, flag) in flags {
            line(key, flag.map(|flag| flag.to_string()));
        }
        line(
            "default",
            self.default.as_ref().map(|value| match value {
                FieldValue::Text(text) => quoted(text),
                other => other.to_string(),
            }),
        );
        line("min", self.min.map(|number| number.to_string()));
        line("max", self.max.map(|number| number.to_string()));
        line("max_length", self.max_length.map(|number| number.to_string()));
        line("unit", self.unit.as_deref().map(quoted));
        line("help", self.help.as_deref().map(quoted));
        line("placeholder", self.placeholder.as_deref().map(quoted));
        line("span", self.span.map(|number| number.to_string()));
        let choice = |choice: &Choice| {
            let weak = if choice.weak { ", weak = true" } else { "" };
            format!("  {{ value = {}, label = {}{weak} }},\n", quoted(&choice.value), quoted(&choice.label))
        };
        let choices: String = self.choices.iter().map(choice).collect();
        line("choices", (!choices.is_empty()).then(|| format!("[\n{choices}]")));
    }
}

/// A text as TOML has it.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn list(texts: &[String]) -> Option<String> {
    let inner: Vec<_> = texts.iter().map(|text| quoted(text)).collect();
    (!inner.is_empty()).then(|| format!("[{}]", inner.join(", ")))
}

/// The word for one of a few.
fn word(value: impl Serialize) -> Option<String> {
    toml::Value::try_from(value).ok()?.as_str().map(ToOwned::to_owned)
}

/// Where a text is no TOML, and why.
fn no_toml(text: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| text.get(..span.start)).map(|before| before.matches('\n').count() + 1);
    let place = before.map(|line| format!("line {line}: ")).unwrap_or_default();
    format!("{place}this is no TOML: {}", error.message().trim_end_matches('.').replace('\n', "; "))
}

/// The members of one table, taken out one by one.
struct Members<'e> {
    table: toml::Table,
    /// What stands before the name of a member in an error.
    at: String,
    errors: &'e mut Vec<FieldError>,
}

impl Members<'_> {
    fn refuse(&mut self, key: &str, code: &str, message: impl Into<String>) {
        self.errors.push(FieldError::new(format!("{}{key}", self.at), code, message));
    }

    fn take<T: DeserializeOwned>(&mut self, key: &str) -> Option<T> {
        let value = self.table.remove(key)?;
        match value.try_into() {
            Ok(value) => Some(value),
            Err(error) => {
                let said = error.message().replace('\n', "; ");
                self.refuse(key, "wrong_type", format!("cannot be read: {}", said.trim_end_matches([';', ' '])));
                None
            }
        }
    }

    fn needed(&mut self, key: &str) -> String {
        if !self.table.contains_key(key) {
            self.refuse(key, "required", "is needed");
        }
        self.take(key).unwrap_or_default()
    }

    /// What is left has no place.
    fn end(self) {
        for key in self.table.keys() {
            let known = NOT_SAID.iter().find(|(name, _)| name == key);
            let message = known.map_or("is no member of the definition of a type", |(_, message)| message);
            self.errors.push(FieldError::new(format!("{}{key}", self.at), "unknown_field", message));
        }
    }

    fn fields(&mut self) -> Vec<OwnField> {
        let tables = match self.table.remove("fields") {
            None => return Vec::new(),
            Some(toml::Value::Array(tables)) => tables,
            Some(_) => {
                self.refuse("fields", "wrong_type", "must be tables, each below a line “[[fields]]”");
                return Vec::new();
            }
        };
        let mut all = Vec::new();
        for (number, value) in (1..).zip(tables) {
            let toml::Value::Table(table) = value else {
                self.refuse(&format!("fields.{number}"), "wrong_type", "must be a table, below a line “[[fields]]”");
                continue;
            };
            let path = table.get("path").and_then(toml::Value::as_str).map_or_else(|| number.to_string(), ToOwned::to_owned);
            let mut members = Members { table, at: format!("fields.{path}."), errors: self.errors };
            all.push(OwnField {
                path: members.needed("path"),
                label: members.take("label"),
                kind: members.take("kind"),
                section: members.take("section"),
                required: members.take("required"),
                secret: members.take("secret"),
                endpoint: members.take("endpoint"),
                admin: members.take("admin"),
                default: members.take("default"),
                choices: members.take::<Vec<OwnChoice>>("choices").unwrap_or_default().into_iter().map(Choice::from).collect(),
                min: members.take("min"),
                max: members.take("max"),
                max_length: members.take("max_length"),
                unit: members.take("unit"),
                help: members.take("help"),
                placeholder: members.take("placeholder"),
                span: members.take("span"),
            });
            members.end();
        }
        all
    }
}

/// A choice as it may be written: its value alone, too.
#[derive(Deserialize)]
#[serde(untagged)]
enum OwnChoice {
    Value(String),
    Whole(Choice),
}

impl From<OwnChoice> for Choice {
    fn from(choice: OwnChoice) -> Self {
        match choice {
            OwnChoice::Value(value) => Self { label: value.clone(), value, weak: false },
            OwnChoice::Whole(choice) => choice,
        }
    }
}

#[cfg(test)]
mod tests;
