//! What was typed into the form as a definition, and a definition as what the form would hold. Rules are the model's.

use std::collections::BTreeSet;

use dataflow_model::{
    Catalogue, Category, FieldError, FieldKind, FieldValue,
    catalogue::{Choice, Glyph, Section},
    own_type::{FIELDS_MAX, ID_MAX, OwnDefinition, OwnField},
};

use super::super::{
    fields::Fields,
    view::own_type_form::{KINDS, Row, SECTIONS, Typed, Written, category_value},
};

/// What stands in the form but for its fields.
const HEAD: [&str; 16] = [
    "act",
    "view",
    "version",
    "id",
    "definition",
    "label",
    "summary",
    "category",
    "extends",
    "tags",
    "docs",
    "port",
    "glyph_text",
    "glyph_color",
    "url",
    "remove",
];
/// What a field of the type's own is called before the name that it is given.
const EXTRA: &str = "extra.";
/// The one field of the base of which the form can say something, its default.
const PORT: &str = "port";

/// Whether a field of a request is one of the form, none of which holds a secret.
#[must_use]
pub fn is_of_the_form(name: &str) -> bool {
    HEAD.contains(&name) || name.starts_with("fields.")
}

/// The form as it was sent. Rows keep their order; one of which nothing was sent is none.
#[must_use]
pub fn read(fields: &Fields) -> Typed {
    let text = |name: &str| fields.text(name).trim().to_owned();
    let row = |number: usize| {
        let part = |part: &str| text(&format!("fields.{number}.{part}"));
        // A text area ends its lines otherwise.
        let choices = part("choices").replace("\r\n", "\n");
        let is_sent = fields.get(&format!("fields.{number}.path")).is_some();
        is_sent.then(|| Row {
            path: part("path"),
            label: part("label"),
            kind: part("kind"),
            section: part("section"),
            required: part("required"),
            default: part("default"),
            placeholder: part("placeholder"),
            help: part("help"),
            choices,
        })
    };
    Typed {
        label: text("label"),
        summary: text("summary"),
        category: text("category"),
        extends: text("extends"),
        tags: text("tags"),
        docs: text("docs"),
        port: text("port"),
        glyph_text: text("glyph_text"),
        glyph_color: text("glyph_color"),
        url: text("url"),
        removed: fields.all("remove").map(ToOwned::to_owned).collect(),
        // One more than there may be, so that the rules see it.
        rows: (0..=FIELDS_MAX).filter_map(row).collect(),
    }
}

/// The id that was typed, or else one that is made of the label.
#[must_use]
pub fn id_or_proposed(typed: &str, written: &Written) -> String {
    let typed = typed.trim();
    if !typed.is_empty() {
        return typed.to_owned();
    }
    let label = match written {
        Written::Form(typed) => typed.label.clone(),
        Written::Toml { text, .. } => OwnDefinition::from_toml(text).map(|definition| definition.label).unwrap_or_default(),
    };
    let words = label.to_lowercase();
    let words: Vec<_> = words.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let id = words.join("_");
    id.trim_start_matches(|c: char| !c.is_ascii_lowercase()).chars().take(ID_MAX).collect()
}

/// What was typed as a definition in TOML.
///
/// # Errors
/// What is no value of its field, by the names of the form.
pub fn definition(typed: &Typed) -> Result<String, Vec<FieldError>> {
    let mut errors = Vec::new();
    let category = Category::ALL.into_iter().find(|category| category_value(*category) == typed.category);
    if category.is_none() && !typed.category.is_empty() {
        errors.push(not_offered("category"));
    }
    let mut fields = Vec::new();
    if !typed.port.is_empty() {
        match typed.port.parse() {
            Ok(port) => fields.push(usual_port(port)),
            Err(_) => errors.push(FieldError::new(PORT, "wrong_type", "must be a whole number")),
        }
    }
    fields.extend(typed.rows.iter().enumerate().map(|(number, row)| field(number, row, &mut errors)));
    let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let has_glyph = !typed.glyph_text.is_empty() || !typed.glyph_color.is_empty();
    let definition = OwnDefinition {
        extends: typed.extends.clone(),
        label: typed.label.clone(),
        summary: some(&typed.summary),
        category,
        tags: typed.tags.split([' ', ',', ';']).filter(|tag| !tag.is_empty()).map(ToOwned::to_owned).collect(),
        docs: some(&typed.docs),
        url: some(&typed.url),
        glyph: has_glyph.then(|| Glyph { text: typed.glyph_text.clone(), color: typed.glyph_color.clone() }),
        remove: typed.removed.iter().cloned().collect(),
        fields,
    };
    if errors.is_empty() { Ok(definition.to_toml()) } else { Err(errors) }
}

/// What is said of the base's port.
fn usual_port(port: i64) -> OwnField {
    OwnField { path: PORT.to_owned(), default: Some(FieldValue::Integer(port)), ..OwnField::default() }
}

fn not_offered(field: impl Into<String>) -> FieldError {
    FieldError::new(field, "not_a_choice", "must be one of those that are offered")
}

fn field(number: usize, row: &Row, errors: &mut Vec<FieldError>) -> OwnField {
    let at = |part: &str| format!("fields.{number}.{part}");
    let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let kind = KINDS.iter().find(|(_, value, _)| *value == row.kind).map(|(kind, ..)| *kind);
    let section = SECTIONS.iter().find(|(_, value, _)| *value == row.section).map(|(section, ..)| *section);
    if kind.is_none() {
        errors.push(not_offered(at("kind")));
    }
    if section.is_none() && !row.section.is_empty() {
        errors.push(not_offered(at("section")));
    }
    if !matches!(row.required.as_str(), "" | "yes") {
        errors.push(not_offered(at("required")));
    }
    let default = match kind {
        _ if row.default.is_empty() => None,
        Some(FieldKind::Integer | FieldKind::Port) => {
            let wrong = || FieldError::new(at("default"), "wrong_type", "must be a whole number");
            row.default.parse().map(FieldValue::Integer).map_err(|_| errors.push(wrong())).ok()
        }
        Some(FieldKind::Boolean) => {
            let wrong = || FieldError::new(at("default"), "wrong_type", "must be true or false");
            row.default.parse().map(FieldValue::Boolean).map_err(|_| errors.push(wrong())).ok()
        }
        _ => Some(FieldValue::Text(row.default.clone())),
    };
    // Those of a kind that has none are not shown.
    let choices = if kind == Some(FieldKind::Choice) { choices(&row.choices) } else { Vec::new() };
    OwnField {
        path: format!("{EXTRA}{}", row.path),
        label: some(&row.label),
        kind,
        section,
        required: (row.required == "yes").then_some(true),
        default,
        choices,
        help: some(&row.help),
        placeholder: some(&row.placeholder),
        ..OwnField::default()
    }
}

/// `value`, or `value = Label`, one on a line.
fn choices(text: &str) -> Vec<Choice> {
    let line = |line: &str| {
        let (value, label) = line.split_once('=').map_or((line, line), |(value, label)| (value.trim(), label.trim()));
        Choice { value: value.to_owned(), label: label.to_owned(), weak: false }
    };
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(line).collect()
}

/// Why a definition is shown as TOML.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alone {
    /// It is no definition.
    Unread,
    /// It says something of a field of the type that it extends.
    OfBase,
    /// It says more of a field than the form has room for.
    More,
}

impl Alone {
    /// In words, where it is not to be mended.
    #[must_use]
    pub fn words(self) -> Option<&'static str> {
        match self {
            Self::Unread => None,
            Self::OfBase => Some(
                "It says something of a field of the type that it is based on, which the form cannot show. So it is changed here.",
            ),
            Self::More => Some("It says more of a field than the form has room for, bounds say. So it is changed here."),
        }
    }
}

/// A definition as the form would hold it.
///
/// # Errors
/// Why it cannot.
pub fn of(text: &str, built_in: &Catalogue) -> Result<Typed, Alone> {
    let definition = OwnDefinition::from_toml(text).map_err(|_| Alone::Unread)?;
    let base = built_in.get(&definition.extends);
    let port = definition.fields.first().and_then(|field| match &field.default {
        Some(FieldValue::Integer(port)) if *field == usual_port(*port) => Some(*port),
        _ => None,
    });
    let rows = definition.fields.iter().skip(usize::from(port.is_some())).map(|field| {
        let is_of_base = base.is_some_and(|base| base.field(&field.path).is_some());
        if is_of_base { Err(Alone::OfBase) } else { row(field) }
    });
    let rows = rows.collect::<Result<_, _>>()?;
    let (glyph_text, glyph_color) = definition.glyph.map(|glyph| (glyph.text, glyph.color)).unwrap_or_default();
    Ok(Typed {
        label: definition.label,
        summary: definition.summary.unwrap_or_default(),
        category: definition.category.map(category_value).unwrap_or_default(),
        extends: definition.extends,
        tags: definition.tags.join(" "),
        docs: definition.docs.unwrap_or_default(),
        port: port.map(|port| port.to_string()).unwrap_or_default(),
        glyph_text,
        glyph_color,
        url: definition.url.unwrap_or_default(),
        removed: definition.remove.into_iter().collect::<BTreeSet<_>>(),
        rows,
    })
}

fn row(field: &OwnField) -> Result<Row, Alone> {
    let OwnField { path, label, kind, section, required, secret, endpoint, admin, default, choices, .. } = field;
    let OwnField { min, max, max_length, unit, help, placeholder, span, .. } = field;
    let (path, kind) = path.strip_prefix(EXTRA).zip(*kind).ok_or(Alone::More)?;
    let (_, kind_value, _) = KINDS.iter().find(|(offered, ..)| *offered == kind).ok_or(Alone::More)?;
    // What follows from the kind may be said.
    let follows = |said: &Option<bool>, is: bool| said.is_none_or(|said| said == is);
    let follows = follows(secret, kind.is_secret()) && follows(endpoint, !kind.is_secret()) && follows(admin, false);
    let is_more = min.is_some() || max.is_some() || max_length.is_some() || unit.is_some() || span.is_some();
    let line = |choice: &Choice| {
        let is_plain = |text: &str| text == text.trim() && !text.is_empty() && !text.contains(['\n', '\r']);
        let is_line = !choice.weak && !choice.value.contains('=') && is_plain(&choice.value) && is_plain(&choice.label);
        let line =
            if choice.value == choice.label { choice.value.clone() } else { format!("{} = {}", choice.value, choice.label) };
        is_line.then_some(line).ok_or(Alone::More)
    };
    let choices = choices.iter().map(line).collect::<Result<Vec<_>, _>>()?.join("\n");
    if !follows || is_more {
        return Err(Alone::More);
    }
    let usual = if kind.is_secret() { Section::Main } else { Section::Extra };
    let section = section.unwrap_or(usual);
    let section = SECTIONS.iter().find(|(offered, ..)| *offered == section).map(|(_, value, _)| *value).unwrap_or_default();
    Ok(Row {
        path: path.to_owned(),
        label: label.clone().unwrap_or_default(),
        kind: (*kind_value).to_owned(),
        section: section.to_owned(),
        required: if *required == Some(true) { "yes".to_owned() } else { String::new() },
        default: default.as_ref().map(ToString::to_string).unwrap_or_default(),
        placeholder: placeholder.clone().unwrap_or_default(),
        help: help.clone().unwrap_or_default(),
        choices,
    })
}

/// Whether a definition has comments, which are lost once the form is saved.
#[must_use]
pub fn has_comments(text: &str) -> bool {
    text.lines().any(|line| line.trim_start().starts_with('#'))
}

/// What the rules refuse, by the names of the form: of a field by its place, since two may have one name.
#[must_use]
pub fn named(errors: Vec<FieldError>, written: &Written) -> Vec<FieldError> {
    let Written::Form(typed) = written else { return errors };
    errors.into_iter().map(|error| FieldError { field: in_the_form(&error.field, typed), ..error }).collect()
}

fn in_the_form(member: &str, typed: &Typed) -> String {
    let of_row = |(number, row): (usize, &Row)| {
        // As the rules repeat it.
        let shown: String = format!("{EXTRA}{}", row.path).chars().filter(|c| !c.is_control()).take(64).collect();
        let rest = member.strip_prefix("fields.")?.strip_prefix(&shown)?;
        match rest.strip_prefix('.') {
            Some(part) => Some(format!("fields.{number}.{part}")),
            None => rest.is_empty().then(|| format!("fields.{number}.path")),
        }
    };
    match member {
        "glyph.text" => "glyph_text".to_owned(),
        "glyph.color" => "glyph_color".to_owned(),
        "fields.port" | "fields.port.path" | "fields.port.kind" | "fields.port.default" => PORT.to_owned(),
        // The last one, which is the one too many where two have one name.
        _ => typed.rows.iter().enumerate().rev().find_map(of_row).unwrap_or_else(|| member.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built_in() -> Catalogue {
        Catalogue::built_in().expect("sound")
    }

    const FORM: &str = "label=Exa+sol+8&summary=s&category=warehouses&extends=generic&tags=sql,+olap&url=exa%3A%2F%2F%7Bhost%7D&port=8563&remove=extra.extra\
                        &fields.0.path=encryption&fields.0.label=Encryption&fields.0.kind=choice&fields.0.section=extra&fields.0.default=yes\
                        &fields.0.choices=yes+%3D+On%0D%0Ano\
                        &fields.3.path=fetch&fields.3.label=Rows&fields.3.kind=integer&fields.3.section=main&fields.3.required=yes&fields.3.default=500";

    fn typed() -> Typed {
        read(&Fields::parse(FORM.as_bytes()))
    }

    #[test]
    fn what_the_form_holds_is_what_it_shows_of_its_definition() {
        let text = definition(&typed()).expect("a definition");
        for line in [
            "path = \"port\"\ndefault = 8563\n",
            "tags = [\"sql\", \"olap\"]",
            "path = \"extra.fetch\"",
            "default = 500",
            "{ value = \"no\", label = \"no\" }",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
        assert_eq!(of(&text, &built_in()).map(|read| Typed { tags: "sql, olap".into(), ..read }), Ok(typed()));
    }

    #[test]
    fn an_id_is_made_of_the_label_if_none_is_typed() {
        let written = Written::Form(Box::new(Typed { label: "8 Exa-Söl 8".into(), ..Typed::default() }));
        assert_eq!(id_or_proposed(" ", &written), "exa_s_l_8");
        assert_eq!(id_or_proposed(" own ", &written), "own");
        let text = "extends = \"generic\"\nlabel = \"Our DB\"\n".to_owned();
        assert_eq!(id_or_proposed("", &Written::Toml { text, alone: None }), "our_db");
    }

    #[test]
    fn what_the_form_cannot_show_is_shown_as_toml() {
        let of = |fields: &str| of(&format!("extends = \"postgres\"\nlabel = \"X\"\n{fields}"), &built_in());
        assert!(
            of("[[fields]]\npath = \"extra.a\"\nkind = \"text\"\nendpoint = true\nsecret = false").is_ok(),
            "that follows anyway"
        );
        for (fields, why) in [
            ("[[fields]]\npath = \"port\"\nhelp = \"x\"", Alone::OfBase),
            ("[[fields]]\npath = \"extra.connect_timeout\"\nhelp = \"x\"", Alone::OfBase),
            ("[[fields]]\npath = \"extra.a\"\nkind = \"integer\"\nmin = 1", Alone::More),
            ("[[fields]]\npath = \"extra.a\"\nkind = \"text\"\nadmin = true", Alone::More),
            ("[[fields]]\npath = \"extra.a\"\nkind = \"file\"", Alone::More),
            ("[[fields]]\npath = \"extra.a\"\nkind = \"choice\"\nchoices = [\"a=b\"]", Alone::More),
            ("url = 7", Alone::Unread),
        ] {
            assert_eq!(of(fields).err(), Some(why), "{fields}");
        }
    }

    #[test]
    fn what_is_no_value_is_refused_at_its_field() {
        let form =
            FORM.replace("default=500", "default=many").replace("kind=choice", "kind=nonsense").replace("=warehouses", "=x");
        let errors = definition(&read(&Fields::parse(form.as_bytes()))).expect_err("refused");
        let at: Vec<_> = errors.iter().map(|error| error.field.as_str()).collect();
        assert_eq!(at, ["category", "fields.0.kind", "fields.1.default"]);
    }

    #[test]
    fn what_the_rules_refuse_stands_at_the_field_of_the_form() {
        let twice = Row { path: "fetch".into(), ..Row::default() };
        let mut typed = typed();
        typed.rows.push(twice);
        let written = Written::Form(Box::new(typed));
        let at = |field: &str| named(vec![FieldError::new(field, "x", "x")], &written).remove(0).field;
        for (member, field) in [
            ("label", "label"),
            ("glyph.color", "glyph_color"),
            ("fields.port.default", "port"),
            ("fields.port.default", "port"),
            ("fields.extra.encryption.choices", "fields.0.choices"),
            ("fields.extra.fetch", "fields.2.path"),
            ("fields.extra.none.kind", "fields.extra.none.kind"),
            ("fields", "fields"),
        ] {
            assert_eq!(at(member), field);
        }
    }
}
