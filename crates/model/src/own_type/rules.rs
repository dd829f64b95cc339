//! What a definition may say: nothing in it takes away what protects a secret, or makes a test look better than it is.

use std::{
    cell::OnceCell,
    collections::{BTreeSet, HashSet},
};

use super::{DEFINITION_MAX, FIELDS_MAX, GENERIC, ID_MAX, OwnDefinition, OwnField, UrlTemplate, names::is_secret_field};
use crate::{
    Catalogue, ConnectionType, Field, FieldError, FieldKind, FieldPath,
    catalogue::{Choice, Glyph, OwnTest, Section, Tested, check},
    settle::{THROUGH, check_value},
};

const LABEL_MAX: usize = 60;
const SUMMARY_MAX: usize = 200;
const TAGS_MAX: usize = 20;
const TAG_MAX: usize = 40;
const LINK_MAX: usize = 500;
const CHOICES_MAX: usize = 50;
const HELP_MAX: usize = 500;
const WORDS_MAX: usize = 100;
const KEY_MAX: usize = 50;
const TEXT_MAX: usize = 4_000;
/// Colours on which white text can be read, for a type that says none.
const COLORS: &[&str] = &["#0f5f6b", "#6b3f0f", "#4b3f8f", "#2f6b2f", "#8f2f4b", "#37474f", "#1f4f8f", "#6b2f8f"];
const SECRET_ADMIN: &str = "goes with no secret: whoever may edit a connection may set its secrets";

/// Whether a type could be called so.
#[must_use]
pub fn is_id(id: &str) -> bool {
    id.starts_with(|first: char| first.is_ascii_lowercase())
        && id.len() <= ID_MAX
        && id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// Reads a new definition.
///
/// # Errors
/// Every rule that it breaks, each with the member of the definition that does: `id`, `label`, `url`, `fields.extra.schema.kind`, or `definition`
/// where the text as a whole is none.
pub fn read(id: &str, text: &str, built_in: &Catalogue) -> Result<ConnectionType, Vec<FieldError>> {
    let mut errors = Vec::new();
    if !is_id(id) {
        let text = format!("must be 1 to {ID_MAX} of a-z, 0-9 and _, the first a letter");
        errors.push(FieldError::new("id", "invalid", text));
    } else if built_in.get(id).is_some() {
        errors.push(FieldError::new("id", "name_taken", "is that of a built-in type; choose another one"));
    }
    match compile(id, text, built_in) {
        Err(more) => errors.extend(more),
        Ok(kind) => {
            let label = kind.label.to_lowercase();
            if built_in.types().any(|other| other.label.to_lowercase() == label) {
                errors.push(FieldError::new("label", "name_taken", "is that of a built-in type; choose another one"));
            }
            if errors.is_empty() {
                return Ok(kind);
            }
        }
    }
    Err(errors)
}

/// Reads a definition that was saved: of its names nobody asks any more whether they are free.
///
/// # Errors
/// As [`read`].
pub fn compile(id: &str, text: &str, built_in: &Catalogue) -> Result<ConnectionType, Vec<FieldError>> {
    let definition = OwnDefinition::from_toml(text)?;
    let Some(base) = built_in.get(&definition.extends).filter(|base| base.own.is_none()) else {
        let message = "must be the id of a built-in type, or `generic` for one that is only reached; “dataflow types” lists them";
        return Err(vec![FieldError::new("extends", "not_a_choice", message)]);
    };
    let mut rules = Rules { base, built_in, others: OnceCell::new(), errors: Vec::new() };
    let kind = rules.kind(id, &definition);
    if rules.errors.is_empty()
        && let Err(error) = check(&kind)
    {
        rules.refuse("definition", "invalid", error.to_string());
    }
    if rules.errors.is_empty() { Ok(kind) } else { Err(rules.errors) }
}

/// Whether a type that extends the one of this field may do without it. What is needed, and what a connector would take for something else where
/// it is absent, stays; so does the password that a test proves.
#[must_use]
pub fn may_be_left_out(field: &Field) -> bool {
    let path = field.path.as_str();
    let stays = field.required || field.default.is_some() || field.default_on_loopback.is_some() || field.computed;
    !stays && path != "password" && path != "tls.mode"
}

struct Rules<'r> {
    base: &'r ConnectionType,
    built_in: &'r Catalogue,
    /// See [`Rules::is_of_another`]; only known where something is added.
    others: OnceCell<HashSet<&'r str>>,
    errors: Vec<FieldError>,
}

impl Rules<'_> {
    fn refuse(&mut self, member: impl Into<String>, code: &str, message: impl Into<String>) {
        self.errors.push(FieldError::new(member, code, message));
    }

    /// One line of text of at most so many characters.
    fn line(&mut self, member: &str, text: &str, max: usize) {
        if text.chars().count() > max {
            self.refuse(member, "too_long", format!("must have at most {max} characters"));
        } else if text.chars().any(char::is_control) {
            self.refuse(member, "invalid", "must be one line without control characters");
        }
    }

    fn kind(&mut self, id: &str, definition: &OwnDefinition) -> ConnectionType {
        let OwnDefinition { extends, label, summary, category, tags, docs, url, glyph, remove, fields } = definition;
        self.words(label, summary.as_deref(), tags);
        if docs.as_deref().is_some_and(|docs| !docs.starts_with("https://") || docs.len() > LINK_MAX || !is_link(docs)) {
            self.refuse("docs", "invalid", format!("must be a link that begins with https://, of at most {LINK_MAX} characters"));
        }
        if let Some(glyph) = glyph {
            self.glyph(glyph);
        }
        let like = OwnTest { like: self.base.label.clone(), reaches_only: extends == GENERIC };
        let mut kind = ConnectionType {
            id: id.to_owned(),
            extends: Some(extends.clone()),
            label: label.clone(),
            summary: summary.clone().unwrap_or_else(|| format!("A type of this workspace’s own, over {}", self.base.label)),
            category: category.unwrap_or(self.base.category),
            tags: tags.clone(),
            airflow: None,
            docs: docs.clone().unwrap_or_else(|| self.base.docs.clone()),
            tested: Tested::Own(like),
            glyph: glyph.clone().unwrap_or_else(|| glyph_of(id, label)),
            url_schemes: Vec::new(),
            rotates: false,
            url: None,
            own: Some(0),
            fields: self.fields(remove, fields),
            ..self.base.clone()
        };
        match url.as_deref().map(|url| UrlTemplate::read(url, &kind)) {
            None => {}
            Some(Err(error)) => self.errors.push(error),
            Some(Ok(url)) => {
                let dialect = url.dialect().to_owned();
                let scheme = dialect.to_lowercase();
                let is_free = |kind: &ConnectionType| kind.id != scheme && !kind.url_schemes.contains(&scheme);
                if self.built_in.types().all(is_free) && self.built_in.of_airflow(&scheme).is_none() {
                    kind.url_schemes.push(scheme);
                }
                (kind.dialect, kind.url) = (Some(dialect), Some(url));
            }
        }
        if kind.fields.len() > FIELDS_MAX {
            let count = kind.fields.len();
            self.refuse(
                "fields",
                "too_many",
                format!("would be {count} with those of {}: at most {FIELDS_MAX}", self.base.label),
            );
        }
        kind
    }

    fn words(&mut self, label: &str, summary: Option<&str>, tags: &[String]) {
        self.line("label", label, LABEL_MAX);
        if label.trim().is_empty() && !self.errors.iter().any(|error| error.field == "label") {
            self.refuse("label", "required", "is needed: it is what people read");
        }
        self.line("summary", summary.unwrap_or_default(), SUMMARY_MAX);
        let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.' | '+');
        let is_tag = |tag: &String| !tag.is_empty() && tag.len() <= TAG_MAX && tag.chars().all(is_word);
        if tags.len() > TAGS_MAX || !tags.iter().all(is_tag) {
            let text = format!(
                "must be at most {TAGS_MAX} words in lower case, each of at most {TAG_MAX} of a-z, 0-9, “-”, “.” and “+”"
            );
            self.refuse("tags", "invalid", text);
        }
    }

    fn glyph(&mut self, glyph: &Glyph) {
        if !(1..=2).contains(&glyph.text.chars().count()) || !glyph.text.chars().all(char::is_alphanumeric) {
            self.refuse("glyph.text", "invalid", "must be one or two letters");
        }
        match glyph.contrast() {
            None => self.refuse("glyph.color", "invalid", "must be a colour as #1f4f8f"),
            Some(contrast) if contrast < 4.5 => {
                let text = format!("is too light for the white letters on it ({contrast:.1}:1): choose one with 4.5:1 at least");
                self.refuse("glyph.color", "invalid", text);
            }
            Some(_) => {}
        }
    }

    /// The fields of the base with what is said of them, those added last, all of them endpoints that are no secrets.
    fn fields(&mut self, remove: &[String], own: &[OwnField]) -> Vec<Field> {
        let mut fields = self.base.fields.clone();
        for path in remove {
            match self.base.field(path) {
                None => self.refuse(
                    "remove",
                    "not_a_choice",
                    format!("names “{}”, and {} has no such field", shown(path), self.base.label),
                ),
                Some(field) if !may_be_left_out(field) => {
                    self.refuse(
                        "remove",
                        "invalid",
                        format!("names “{path}”, which cannot be left out: {} needs it", self.base.label),
                    );
                }
                Some(_) => fields.retain(|field| field.path.as_str() != path),
            }
        }
        let mut seen = BTreeSet::new();
        for field in own {
            let at = format!("fields.{}", shown(&field.path));
            if !seen.insert(field.path.as_str()) {
                self.refuse(at, "duplicate_field", "stands twice in the definition");
            } else if let Some(place) = fields.iter().position(|other| other.path.as_str() == field.path) {
                match fields.get_mut(place) {
                    Some(computed) if computed.computed => {
                        self.refuse(at, "invalid", "is set by the server, and by nobody else");
                    }
                    Some(overlaid) => self.overlay(&at, field, overlaid),
                    None => {}
                }
            } else if self.base.field(&field.path).is_some() {
                self.refuse(at, "invalid", "is one of `remove`, too");
            } else if let Some(added) = self.added(&at, field) {
                fields.push(added);
            }
        }
        for field in &mut fields {
            field.endpoint = !field.secret;
        }
        fields
    }

    /// What is said otherwise of a field of the base: words, a narrower choice, a default, and what makes it stricter.
    fn overlay(&mut self, at: &str, own: &OwnField, field: &mut Field) {
        let fixed = [
            ("kind", own.kind.is_some_and(|kind| kind != field.kind)),
            ("secret", own.secret.is_some_and(|secret| secret != field.secret)),
            ("section", own.section.is_some_and(|section| section != field.section)),
            ("min", own.min.is_some()),
            ("max", own.max.is_some()),
            ("unit", own.unit.is_some()),
        ];
        for (member, _) in fixed.into_iter().filter(|(_, differs)| *differs) {
            self.refuse(format!("{at}.{member}"), "invalid", format!("is what {} has it: leave it out", self.base.label));
        }
        let marks = [
            ("required", own.required, field.required),
            ("admin", own.admin, field.admin),
            ("endpoint", own.endpoint, !field.secret),
        ];
        for (member, said, is) in marks {
            if said == Some(false) && is {
                self.refuse(
                    format!("{at}.{member}"),
                    "invalid",
                    "cannot be taken off: it protects what this connection is, or its secret",
                );
            }
        }
        if own.endpoint == Some(true) && field.secret {
            self.refuse(format!("{at}.endpoint"), "invalid", "goes with no secret");
        }
        if own.admin == Some(true) && !field.admin {
            self.admin(at, field);
        }
        field.required |= own.required.unwrap_or_default();
        field.admin |= own.admin.unwrap_or_default();
        if own.max_length.is_some_and(|max| max == 0 || max > field.length_limit()) {
            let limit = field.length_limit();
            self.refuse(
                format!("{at}.max_length"),
                "out_of_range",
                format!("must be from 1 to {limit}: {} takes no more", self.base.label),
            );
        }
        field.max_length = own.max_length.or(field.max_length);
        self.narrow(at, own, field);
        self.say(at, own, field);
        self.default(at, own, field);
    }

    /// Whether a field may be one that only an admin sets.
    fn admin(&mut self, at: &str, field: &Field) {
        if field.secret {
            self.refuse(format!("{at}.admin"), "invalid", SECRET_ADMIN);
        } else if field.default.is_some() || field.default_on_loopback.is_some() {
            let text = format!(
                "goes with no field that has a default, as {} has for it: nobody else could create a connection",
                self.base.label
            );
            self.refuse(format!("{at}.admin"), "invalid", text);
        }
    }

    /// Of the choices of the base some may be left out, and be called otherwise.
    fn narrow(&mut self, at: &str, own: &OwnField, field: &mut Field) {
        if own.choices.is_empty() {
            return;
        }
        let mut choices = Vec::new();
        for Choice { value, label, .. } in &own.choices {
            if let Some(known) = field.choices.iter().find(|choice| choice.value == *value) {
                choices.push(Choice { label: label.clone(), ..known.clone() });
            } else {
                let text = format!("has “{}”, and {} has no such choice", shown(value), self.base.label);
                self.refuse(format!("{at}.choices"), "not_a_choice", text);
            }
            self.line(&format!("{at}.choices"), label, WORDS_MAX);
        }
        if choices.len() < own.choices.len() {
            return;
        }
        field.choices = choices;
        let remains = |value: &Option<_>, field: &Field| {
            value
                .as_ref()
                .is_none_or(|value: &crate::FieldValue| field.choices.iter().any(|choice| choice.value == value.to_string()))
        };
        if !remains(&field.default, field) && own.default.is_none() {
            self.refuse(
                format!("{at}.choices"),
                "invalid",
                "leaves out the default: give the field another one of them as `default`",
            );
        }
        if !remains(&field.default_on_loopback, field) {
            field.default_on_loopback = None;
        }
    }

    fn say(&mut self, at: &str, own: &OwnField, field: &mut Field) {
        for (member, text, max) in [
            ("label", &own.label, LABEL_MAX),
            ("help", &own.help, HELP_MAX),
            ("placeholder", &own.placeholder, WORDS_MAX),
            ("unit", &own.unit, 20),
        ] {
            self.line(&format!("{at}.{member}"), text.as_deref().unwrap_or_default(), max);
        }
        if own.label.as_deref().is_some_and(|label| label.trim().is_empty()) {
            self.refuse(format!("{at}.label"), "required", "is needed: it is what people read");
        }
        if own.span.is_some_and(|span| !(1..=6).contains(&span)) {
            self.refuse(format!("{at}.span"), "out_of_range", "must be from 1 to 6: that many of the form’s six columns");
        }
        let text =
            |said: &Option<String>, was: &Option<String>| said.clone().or_else(|| was.clone()).filter(|text| !text.is_empty());
        field.label = own.label.clone().unwrap_or_else(|| field.label.clone());
        field.help = text(&own.help, &field.help);
        field.placeholder = text(&own.placeholder, &field.placeholder);
        field.span = own.span.unwrap_or(field.span);
    }

    fn default(&mut self, at: &str, own: &OwnField, field: &mut Field) {
        let Some(default) = &own.default else { return };
        let at = format!("{at}.default");
        if field.secret {
            return self.refuse(at, "invalid", "goes with no secret: a definition can be read by everybody in the workspace");
        }
        if field.admin {
            return self.refuse(at, "invalid", "goes with no field that only an admin may set");
        }
        if field.kind == FieldKind::Connection {
            return self.refuse(at, "invalid", "goes with no connection: which one it goes through is to be said of each");
        }
        if field.choices.iter().any(|choice| choice.weak && choice.value == default.to_string()) {
            return self.refuse(
                at,
                "invalid",
                "would weaken how the secret is protected, unasked; it can be chosen on each connection",
            );
        }
        match check_value(field, default) {
            Err(error) => self.refuse(at, &error.code, error.message),
            Ok(()) => field.default = Some(default.clone()),
        }
    }

    fn added(&mut self, at: &str, own: &OwnField) -> Option<Field> {
        let key = own.path.strip_prefix("extra.").unwrap_or_default();
        let is_key = key.starts_with(|first: char| first.is_ascii_lowercase())
            && key.len() <= KEY_MAX
            && key.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if !is_key {
            let text = format!(
                "must be a field of {}, or a new one called “extra.” and 1 to {KEY_MAX} of a-z, 0-9 and _, the first a letter",
                self.base.label
            );
            self.refuse(format!("{at}.path"), "invalid", text);
            return None;
        }
        if self.is_of_another(&own.path) {
            self.refuse(format!("{at}.path"), "name_taken", "is what a connector here acts on; choose another name");
        }
        let Some(kind) = own.kind else {
            self.refuse(format!("{at}.kind"), "required", "is needed: text, choice, integer, boolean, password …");
            return None;
        };
        if kind == FieldKind::Connection {
            let text =
                "goes with no field of one’s own: what a connection goes through is `extra.through`, where its base has that";
            self.refuse(format!("{at}.kind"), "invalid", text);
        }
        let is_secret = kind.is_secret();
        if own.secret.is_some_and(|secret| secret != is_secret) {
            let text = "follows from the kind: `password` and `private_key` are secret, and no other";
            self.refuse(format!("{at}.secret"), "invalid", text);
        }
        if own.endpoint.is_some_and(|endpoint| endpoint == is_secret) {
            let text = "follows from the kind: every field of a type of one’s own is an endpoint but a secret";
            self.refuse(format!("{at}.endpoint"), "invalid", text);
        }
        if !is_secret && is_secret_field(key) {
            let text = "is called like a secret, and everybody in the workspace could read it: give it the kind `password`, or another name";
            self.refuse(format!("{at}.kind"), "invalid", text);
        }
        if is_secret && own.required == Some(true) {
            self.refuse(format!("{at}.required"), "invalid", "goes with no secret: it may be given later");
        }
        if own.label.is_none() {
            self.refuse(format!("{at}.label"), "required", "is needed: it is what people read");
        }
        if is_secret && own.admin == Some(true) {
            self.refuse(format!("{at}.admin"), "invalid", SECRET_ADMIN);
        }
        self.choices(at, own, kind);
        self.bounds(at, own, kind);
        let mut field = Field {
            computed: false,
            path: FieldPath::new(own.path.clone()),
            label: own.label.clone().unwrap_or_default(),
            kind,
            section: own.section.unwrap_or(if is_secret { Section::Main } else { Section::Extra }),
            required: own.required.unwrap_or_default(),
            secret: is_secret,
            endpoint: !is_secret,
            admin: own.admin.unwrap_or_default(),
            default: None,
            default_on_loopback: None,
            choices: own.choices.clone(),
            min: own.min,
            max: own.max,
            max_length: own.max_length,
            unit: own.unit.clone(),
            help: None,
            placeholder: None,
            span: 3,
        };
        self.say(at, own, &mut field);
        self.default(at, own, &mut field);
        Some(field)
    }

    /// Whether the connector behind the base may read it, though the base has no such field, or whether it is for admins somewhere.
    fn is_of_another(&self, path: &str) -> bool {
        let (built_in, connector) = (self.built_in, &self.base.connector);
        let others = self.others.get_or_init(|| {
            let fields = built_in.types().flat_map(|kind| kind.fields.iter().map(move |field| (kind, field)));
            fields
                .filter(|(kind, field)| field.admin || kind.connector == *connector)
                .map(|(_, field)| field.path.as_str())
                .collect()
        });
        path == THROUGH || others.contains(path)
    }

    fn choices(&mut self, at: &str, own: &OwnField, kind: FieldKind) {
        let at = format!("{at}.choices");
        if (kind == FieldKind::Choice) == own.choices.is_empty() {
            return self.refuse(at, "invalid", "go with the kind `choice`, which has at least one");
        }
        let mut seen = BTreeSet::new();
        if own.choices.len() > CHOICES_MAX || !own.choices.iter().all(|choice| seen.insert(&choice.value)) {
            self.refuse(at.as_str(), "invalid", format!("must be at most {CHOICES_MAX}, each once"));
        }
        for choice in &own.choices {
            if choice.value.is_empty() {
                self.refuse(at.as_str(), "invalid", "must each have a value");
            }
            self.line(&at, &choice.value, WORDS_MAX);
            self.line(&at, &choice.label, WORDS_MAX);
        }
    }

    fn bounds(&mut self, at: &str, own: &OwnField, kind: FieldKind) {
        for (member, bound) in [("min", own.min), ("max", own.max)] {
            if bound.is_some() && kind != FieldKind::Integer {
                self.refuse(format!("{at}.{member}"), "invalid", "goes with the kind `integer`");
            }
        }
        if let (Some(min), Some(max)) = (own.min, own.max)
            && min > max
        {
            self.refuse(format!("{at}.max"), "out_of_range", "is less than `min`");
        }
        if own.max_length.is_some_and(|max| kind != FieldKind::Text || !(1..=TEXT_MAX).contains(&max)) {
            self.refuse(format!("{at}.max_length"), "out_of_range", format!("goes with the kind `text`, from 1 to {TEXT_MAX}"));
        }
    }
}

/// A name out of a definition as an error repeats it.
fn shown(text: &str) -> String {
    debug_assert!(text.len() <= DEFINITION_MAX, "longer texts are not read");
    text.chars().filter(|c| !c.is_control()).take(64).collect()
}

fn is_link(text: &str) -> bool {
    text.len() > "https://".len() && text.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '"' | '<' | '>' | '\\' | '`'))
}

/// Two letters of the label, on a colour that the id decides.
fn glyph_of(id: &str, label: &str) -> Glyph {
    let initials: String =
        label.split_whitespace().filter_map(|word| word.chars().find(|c| c.is_alphanumeric())).take(2).collect();
    let letters = label.chars().filter(|c| c.is_alphanumeric()).take(2).collect();
    let text: String = if initials.chars().count() == 2 { initials } else { letters };
    let at = id.bytes().fold(0, |sum, byte| (sum * 31 + usize::from(byte)) % COLORS.len());
    let text = if text.is_empty() { "?".to_owned() } else { text };
    Glyph { text, color: COLORS.get(at).copied().unwrap_or("#37474f").to_owned() }
}
