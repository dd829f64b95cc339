//! The form that defines a type: what was typed, and what of a definition it can show.

use std::collections::BTreeSet;

use askama::Template;
use dataflow_model::{
    Catalogue, Category, ConnectionType, Field, FieldError, FieldKind,
    catalogue::Section,
    own_type::{self, GENERIC},
};

use super::{
    Shell,
    form::{Control, Input, Opt},
    parts::plural,
};

/// What the form holds, as typed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Typed {
    pub label: String,
    pub summary: String,
    pub category: String,
    pub extends: String,
    /// Separated by blanks or commas.
    pub tags: String,
    pub docs: String,
    /// The default of the base's port, where it is another one.
    pub port: String,
    pub glyph_text: String,
    pub glyph_color: String,
    pub url: String,
    /// Paths of the base's fields that are left out.
    pub removed: BTreeSet<String>,
    pub rows: Vec<Row>,
}

impl Typed {
    /// Whether another field fits.
    fn may_grow(&self) -> bool {
        self.rows.len() < own_type::FIELDS_MAX
    }
}

/// A field of the type's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// After `extra.`.
    pub path: String,
    pub label: String,
    pub kind: String,
    pub section: String,
    /// `yes`, or nothing.
    pub required: String,
    pub default: String,
    pub placeholder: String,
    pub help: String,
    /// One on a line: `value`, or `value = Label`.
    pub choices: String,
}

impl Default for Row {
    fn default() -> Self {
        let (kind, section) = ("text".to_owned(), "extra".to_owned());
        let [path, label, required, default, placeholder, help, choices] = [const { String::new() }; 7];
        Self { path, label, kind, section, required, default, placeholder, help, choices }
    }
}

/// Kinds of a field that the form offers; what is secret is so by its kind.
pub const KINDS: [(FieldKind, &str, &str); 9] = [
    (FieldKind::Text, "text", "Text"),
    (FieldKind::Integer, "integer", "Whole number"),
    (FieldKind::Boolean, "boolean", "On or off"),
    (FieldKind::Choice, "choice", "One of a list"),
    (FieldKind::Password, "password", "Secret, one line"),
    (FieldKind::PrivateKey, "private_key", "Secret, private key (PEM)"),
    (FieldKind::Certificate, "certificate", "Certificate (PEM)"),
    (FieldKind::Host, "host", "Host"),
    (FieldKind::Port, "port", "Port"),
];
pub const SECTIONS: [(Section, &str, &str); 3] =
    [(Section::Main, "main", "On top"), (Section::Security, "security", "Security"), (Section::Extra, "extra", "Extra settings")];
const REQUIRED: [(&str, &str); 2] = [("", "May be empty"), ("yes", "Must be set")];

/// How much a browser lets somebody type. What may be saved the rules say, in words.
const LINE_MAX: usize = 500;
const AREA_MAX: usize = 4_000;

/// The type whose form is shown: the one that it extends.
#[derive(Debug)]
pub struct Base {
    pub label: String,
    /// How its connector was itself tested.
    pub tested: String,
    pub is_generic: bool,
    pub fields: Vec<BaseField>,
}

#[derive(Debug)]
pub struct BaseField {
    pub path: String,
    pub label: String,
    pub is_secret: bool,
    pub is_required: bool,
    /// Whether it is left out, if it may be.
    pub left_out: Option<bool>,
}

impl Base {
    #[must_use]
    pub fn of(kind: &ConnectionType, removed: &BTreeSet<String>) -> Self {
        let field = |field: &Field| BaseField {
            path: field.path.as_str().to_owned(),
            label: field.label.clone(),
            is_secret: field.secret,
            is_required: field.required,
            left_out: own_type::may_be_left_out(field).then(|| removed.contains(field.path.as_str())),
        };
        Self {
            label: kind.label.clone(),
            tested: kind.tested_words(),
            is_generic: kind.id == GENERIC,
            fields: kind.fields.iter().filter(|field| !field.computed).map(field).collect(),
        }
    }
}

/// What a URL template comes to.
#[derive(Debug, Default)]
pub struct Preview {
    /// What is wrong keeps it from being read.
    pub is_read: bool,
    /// Name and text of each part; nothing without a template.
    pub parts: Vec<(String, String)>,
    /// What SQLAlchemy opens it with, if anything.
    pub dialect: Option<String>,
    /// Names that may stand between braces.
    pub names: Vec<String>,
}

/// A type that is there already.
#[derive(Debug, Clone)]
pub struct Saved {
    pub version: i64,
    /// `Saved 3 days ago by ada@example.org.`
    pub words: String,
    pub connections: i64,
}

impl Preview {
    /// Of a definition that nothing is wrong with.
    #[must_use]
    pub fn of(kind: &ConnectionType) -> Self {
        let mut parts = Vec::new();
        if let Some(url) = &kind.url {
            parts.push(("Driver".to_owned(), url.drivername.clone()));
            let named = [
                ("Username", &url.username),
                ("Password", &url.password),
                ("Host", &url.host),
                ("Port", &url.port),
                ("Database", &url.database),
            ];
            parts.extend(named.into_iter().filter_map(|(name, part)| Some((name.to_owned(), part.clone()?))));
            parts.extend(url.query.iter().map(|(name, part)| (format!("?{name}"), part.clone())));
        }
        let is_short = |field: &&Field| !field.computed && !matches!(field.kind, FieldKind::Certificate | FieldKind::PrivateKey);
        Self {
            is_read: true,
            parts,
            dialect: kind.dialect.clone(),
            names: kind.fields.iter().filter(is_short).map(|field| format!("{{{}}}", field.path.as_str())).collect(),
        }
    }
}

impl Saved {
    fn used(&self) -> String {
        match self.connections {
            0 => "No connection is of it yet.".to_owned(),
            count => format!(
                "{} of it. They go on as they are; their form and their next save go by what is saved here. Another URL template reaches \
                 code within five seconds.",
                if count == 1 { "1 connection is".to_owned() } else { format!("{} are", plural(count, "connection")) }
            ),
        }
    }
}

/// How the definition is written at this moment.
#[derive(Debug)]
pub enum Written {
    Form(Box<Typed>),
    /// As TOML; and why it cannot be shown as a form, if so.
    Toml {
        text: String,
        alone: Option<&'static str>,
    },
}

#[derive(Debug, Template)]
#[template(path = "own_type.html")]
pub struct OwnTypeForm {
    pub shell: Shell,
    /// As typed; given where it is there.
    pub id: String,
    pub saved: Option<Saved>,
    pub written: Written,
    /// Whether what is typed differs from what is saved.
    pub is_unsaved: bool,
    /// Whether a comment of the TOML is lost if the form is saved.
    pub has_comments: bool,
    pub types: Vec<(String, String)>,
    pub base: Option<Base>,
    pub preview: Preview,
    pub errors: Vec<FieldError>,
    /// Why nothing was saved, where no field is to blame.
    pub refusal: Option<String>,
}

/// What may be extended, by label: what tests it stands beside it where that is another's connector.
#[must_use]
pub fn bases(catalogue: &Catalogue) -> Vec<(String, String)> {
    let mut all: Vec<_> = catalogue.all().into_iter().filter(|kind| kind.id != GENERIC).collect();
    all.sort_by_key(|kind| kind.label.to_lowercase());
    let words = |kind: &ConnectionType| {
        let by = catalogue.get(&kind.connector).filter(|by| by.id != kind.id);
        let words = by.map_or_else(|| kind.label.clone(), |by| format!("{} (tested as {})", kind.label, by.label));
        (kind.id.clone(), words)
    };
    let generic = (GENERIC.to_owned(), "Generic: reach and TLS only".to_owned());
    [generic].into_iter().chain(all.into_iter().map(words)).collect()
}

/// The value of a category in a definition: `search_and_nosql`.
#[must_use]
pub fn category_value(category: Category) -> String {
    category.anchor().replace('-', "_")
}

struct Line<'a> {
    name: &'a str,
    label: &'a str,
    value: &'a str,
    max: usize,
    span: u8,
    placeholder: &'a str,
    help: &'a str,
}

impl OwnTypeForm {
    fn action(&self) -> String {
        match &self.saved {
            Some(_) => format!("{}/{}/edit", self.shell.at("types"), self.id),
            None => self.shell.at("types/new"),
        }
    }

    fn fault(&self, field: &str) -> Option<&str> {
        self.errors.iter().find(|error| error.field == field).map(|error| error.message.as_str())
    }

    fn control(&self, name: &str, (label, span): (&str, u8), input: Input, (placeholder, help): (&str, &str)) -> Control {
        Control {
            path: name.to_owned(),
            id: id_of(name),
            label: label.to_owned(),
            help: Some(help.to_owned()).filter(|help| !help.is_empty()),
            placeholder: placeholder.to_owned(),
            error: self.fault(name).map(ToOwned::to_owned),
            span,
            required: false,
            endpoint: false,
            input,
        }
    }

    fn line(&self, Line { name, label, value, max, span, placeholder, help }: Line<'_>) -> Control {
        let input = Input::Line { value: value.to_owned(), max, is_number: false, unit: None, is_code: true, of: Vec::new() };
        self.control(name, (label, span), input, (placeholder, help))
    }

    fn select(
        &self,
        name: &str,
        (label, span): (&str, u8),
        (value, options): (&str, &[(String, String)]),
        help: &str,
    ) -> Control {
        let options = options.iter().map(|(option, words)| Opt {
            value: option.clone(),
            label: words.clone(),
            weak: false,
            on: option == value,
        });
        let input = Input::Select { options: options.collect(), on_loopback: None, has_weak: false };
        self.control(name, (label, span), input, ("", help))
    }

    /// What every type has.
    fn about(&self, typed: &Typed) -> Vec<Control> {
        let as_base = (String::new(), "That of the type that it is based on".to_owned());
        let all = Category::ALL.iter().map(|category| (category_value(*category), category.label().to_owned()));
        let categories: Vec<_> = [as_base].into_iter().chain(all).collect();
        let based = "Its connector tests connections of this type, and its fields are where yours begin. Generic reaches the host and looks \
                     at its TLS: such a test is amber, since nothing there checks the password.";
        let mut all = vec![self.line(Line {
            name: "label",
            label: "Label",
            value: &typed.label,
            max: LINE_MAX,
            span: 3,
            placeholder: "Exasol",
            help: "",
        })];
        if self.saved.is_none() {
            all.push(self.id_control());
        }
        let line = |name, label, value, max, span, placeholder, help| {
            self.line(Line { name, label, value, max, span, placeholder, help })
        };
        all.extend([
            line("summary", "Summary", &typed.summary, LINE_MAX, 6, "The analytics database in Frankfurt", ""),
            self.select("category", ("Category", 3), (&typed.category, &categories), ""),
            self.select("extends", ("Based on", 3), (&typed.extends, &self.types), based),
            line("tags", "Tags", &typed.tags, LINE_MAX, 3, "sql analytics", "Words that somebody looks for it by. Optional."),
            line(
                "docs",
                "Documentation",
                &typed.docs,
                LINE_MAX,
                3,
                "https://docs.example.org/",
                "A link that begins with https. Optional: else that of the type that it is based on.",
            ),
            line("port", "Usual port", &typed.port, 5, 2, "8563", "Optional: else that of the type that it is based on."),
            line(
                "glyph_text",
                "Letters",
                &typed.glyph_text,
                2,
                2,
                "Ex",
                "Two at most, for its picture. Optional: else of the label.",
            ),
            line(
                "glyph_color",
                "Colour",
                &typed.glyph_color,
                7,
                2,
                "#155e75",
                "Behind the letters, which are white: dark enough. Optional.",
            ),
        ]);
        all
    }

    fn id_control(&self) -> Control {
        let help =
            "In API and shell; it cannot be changed later. Small letters, digits and “_”. Left empty, it is made of the label.";
        let id = &self.id;
        self.line(Line { name: "id", label: "Id", value: id, max: own_type::ID_MAX, span: 3, placeholder: "exasol", help })
    }

    fn url(&self, typed: &Typed) -> Control {
        let help = "What code opens it with. A field stands in braces, as {host} or {extra.schema}; {{ and }} are braces. A part whose \
                    fields are all unset is left out. Optional: without it, the URL is that of the type that it is based on.";
        let input = Input::Area { value: typed.url.clone(), max: AREA_MAX };
        let placeholder = "exa+websocket://{username}:{password}@{host}:{port}/{database}";
        self.control("url", ("URL template", 6), input, (placeholder, help))
    }

    fn rows<'t>(&self, typed: &'t Typed) -> Vec<RowForm<'t>> {
        typed.rows.iter().enumerate().map(|(number, row)| RowForm { number, row, controls: self.row(number, row) }).collect()
    }

    fn row(&self, number: usize, row: &Row) -> Vec<Control> {
        let name = |part: &str| format!("fields.{number}.{part}");
        let pair = |value: &str, words: &str| (value.to_owned(), words.to_owned());
        let kinds = KINDS.map(|(_, value, words)| pair(value, words));
        let sections = SECTIONS.map(|(_, value, words)| pair(value, words));
        let required = REQUIRED.map(|(value, words)| pair(value, words));
        let line = |part: &str, label, value, max, span, placeholder, help| {
            self.line(Line { name: &name(part), label, value, max, span, placeholder, help })
        };
        let one_of = Input::Area { value: row.choices.clone(), max: AREA_MAX };
        let secret = "A secret is sealed when it is saved, and shown to nobody.";
        vec![
            line("path", "Name, after “extra.”", &row.path, LINE_MAX, 2, "schema", ""),
            line("label", "Label", &row.label, LINE_MAX, 2, "Schema", ""),
            self.select(&name("kind"), ("Kind", 2), (&row.kind, &kinds), secret),
            self.select(&name("section"), ("Where it stands", 2), (&row.section, &sections), ""),
            self.select(&name("required"), ("Required", 2), (&row.required, &required), ""),
            line("default", "Default", &row.default, LINE_MAX, 2, "", "Filled in for a new connection. Optional."),
            line(
                "placeholder",
                "Placeholder",
                &row.placeholder,
                LINE_MAX,
                3,
                "",
                "An example, shown while it is empty. Optional.",
            ),
            line("help", "Help", &row.help, LINE_MAX, 3, "", "Stands below the field. Optional."),
            self.control(
                &name("choices"),
                ("Choices", 6),
                one_of,
                ("prod = Production", "One on a line: the value, or the value = its label."),
            ),
        ]
    }

    /// An entry of the summary of what was refused: its label, and the id of the control that holds it.
    fn place(&self, error: &FieldError) -> (String, Option<String>) {
        let known = match error.field.as_str() {
            "id" => ("Id".to_owned(), Some("field-id".to_owned())),
            "version" => ("The type".to_owned(), None),
            "definition" => ("The definition".to_owned(), Some("field-definition".to_owned())),
            "fields" => ("Fields".to_owned(), Some("fields".to_owned())),
            "remove" => ("Leave out".to_owned(), Some("base-title".to_owned())),
            other => (other.to_owned(), Some("field-definition".to_owned())),
        };
        let Written::Form(typed) = &self.written else { return known };
        let found = |controls: Vec<Control>, of: &str| {
            let control = controls.into_iter().find(|control| control.path == error.field)?;
            Some((format!("{of}{}", control.label), Some(control.id)))
        };
        let own = || {
            typed
                .rows
                .iter()
                .enumerate()
                .find_map(|(number, row)| found(self.row(number, row), &format!("Field {}, ", number + 1)))
        };
        let heading = self.about(typed).into_iter().chain([self.url(typed)]).collect();
        let (label, target) = known;
        found(heading, "").or_else(own).unwrap_or((label, target.filter(|target| target != "field-definition")))
    }
}

/// The id of the control of a field of the form.
fn id_of(name: &str) -> String {
    format!("field-{}", name.replace(['.', '_'], "-"))
}

/// A field of the type's own, with its controls.
struct RowForm<'t> {
    number: usize,
    row: &'t Row,
    controls: Vec<Control>,
}

impl RowForm<'_> {
    fn title(&self) -> String {
        let of = if self.row.path.is_empty() { String::new() } else { format!(": extra.{}", self.row.path) };
        format!("Field {}{of}", self.number + 1)
    }

    /// The controls but for the choices, which are of one kind alone.
    fn always(&self) -> impl Iterator<Item = &Control> {
        self.controls.iter().filter(|control| !control.path.ends_with(".choices"))
    }

    fn choices(&self) -> Option<&Control> {
        self.controls.iter().find(|control| control.path.ends_with(".choices"))
    }
}

#[cfg(test)]
mod tests;
