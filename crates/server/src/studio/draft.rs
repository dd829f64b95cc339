//! A submitted form as a draft, and back: what was typed is shown again beside its errors, except for secrets.

use std::collections::BTreeMap;

use dataflow_model::{Catalogue, ConnectionType, Draft, Field, FieldError, FieldInput, FieldKind, FieldPath, Secret, paste};

use super::{
    fields::Fields,
    view::form::{Heading, Keep, Kept, Source, Values},
};

/// Reads a submitted form. Values are checked by the type later; here is only decided what was meant.
#[must_use]
pub fn read(fields: &Fields, kind: &ConnectionType, catalogue: &Catalogue) -> Draft {
    let mut draft = Draft {
        name: Some(fields.text("name").trim().to_owned()),
        type_id: Some(kind.id.clone()),
        description: Some(fields.text("description").trim().to_owned()),
        tags: Some(fields.text("tags").split([' ', ',', ';']).filter(|tag| !tag.is_empty()).map(ToOwned::to_owned).collect()),
        ..Draft::default()
    };
    let mut pasted =
        fields.get("pasted").and_then(|text| paste::read(text.expose_secret(), catalogue).ok()).map(|found| found.fields);
    for field in &kind.fields {
        let path = field.path.as_str();
        let Some(typed) = fields.get(path) else { continue };
        let input = match (field.secret, fields.text(&format!("keep:{path}"))) {
            (true, "keep" | "carry") => FieldInput::Keep { set: true },
            (true, "clear") => FieldInput::Null,
            (true, "pasted") => match pasted.as_mut().and_then(|pasted| pasted.remove(path)) {
                Some(input) => input,
                None => refuse(&mut draft.errors, path, "is no longer in the pasted text; choose Replace and type it"),
            },
            (true, "set") if typed.is_empty() => {
                refuse(&mut draft.errors, path, "is needed; choose Set to keep the one that is stored")
            }
            _ => typed_input(field, typed),
        };
        draft.fields.insert(field.path.clone(), input);
    }
    draft
}

/// The person's own password, where he chose to keep a secret although it will be sent elsewhere; empty where the form asked for none.
#[must_use]
pub fn own_password(fields: &Fields, kind: &ConnectionType) -> Option<Secret> {
    let carries =
        kind.fields.iter().any(|field| field.secret && fields.text(&format!("keep:{}", field.path.as_str())) == "carry");
    let typed = || fields.get("own_password").map_or_else(|| Secret::new(String::new()), Secret::duplicate_secret);
    carries.then(typed)
}

fn refuse(errors: &mut Vec<FieldError>, path: &str, message: &str) -> FieldInput {
    errors.push(FieldError::new(path, "required", message));
    FieldInput::Keep { set: false }
}

fn typed_input(field: &Field, typed: &Secret) -> FieldInput {
    let text = typed.expose_secret();
    match field.kind {
        FieldKind::Port | FieldKind::Integer | FieldKind::Boolean | FieldKind::Choice if text.trim().is_empty() => {
            FieldInput::Null
        }
        FieldKind::Port | FieldKind::Integer => {
            text.trim().parse().map_or_else(|_| FieldInput::Text(typed.duplicate_secret()), FieldInput::Integer)
        }
        FieldKind::Boolean => match text {
            "true" => FieldInput::Boolean(true),
            "false" => FieldInput::Boolean(false),
            _ => FieldInput::Other,
        },
        FieldKind::Host | FieldKind::File | FieldKind::Connection => FieldInput::Text(Secret::new(text.trim().to_owned())),
        // Browsers end the lines of a text area with CR LF.
        FieldKind::Certificate | FieldKind::PrivateKey => FieldInput::Text(Secret::new(text.trim().replace("\r\n", "\n"))),
        FieldKind::Text | FieldKind::Choice | FieldKind::Password => FieldInput::Text(typed.duplicate_secret()),
    }
}

/// The heading as it was typed.
#[must_use]
pub fn heading(fields: &Fields) -> Heading {
    Heading {
        name: fields.text("name").to_owned(),
        description: fields.text("description").to_owned(),
        tags: fields.text("tags").to_owned(),
    }
}

/// Puts what was typed into the values of a form that is shown again. Of a secret only the choice beside it; that it is carried over is
/// an admin's choice alone.
pub fn show_again(values: &mut Values, kind: &ConnectionType, fields: &Fields) {
    values.with_defaults = false;
    for field in kind.fields.iter().filter(|field| fields.get(field.path.as_str()).is_some()) {
        let path = field.path.as_str();
        if !field.secret {
            values.public.insert(field.path.clone(), fields.text(path).to_owned());
            continue;
        }
        let chosen = match fields.text(&format!("keep:{path}")) {
            "carry" if values.is_admin => Kept::from(Source::Carried),
            "keep" | "carry" => Kept::from(Source::Stored),
            "pasted" => Kept::from(Source::Pasted),
            choice @ ("set" | "clear") => {
                let source = if fields.get("pasted").is_some() { Source::Pasted } else { Source::Stored };
                Kept { source, chosen: if choice == "set" { Keep::Replace } else { Keep::Clear } }
            }
            _ => continue,
        };
        values.kept.insert(field.path.clone(), chosen);
    }
}

/// Puts the fields of a pasted text into the values of a form; its secrets as “Pasted” where the browser keeps the text.
pub fn fill(values: &mut Values, kind: &ConnectionType, pasted: BTreeMap<FieldPath, FieldInput>, browser_keeps: bool) {
    for (path, input) in pasted {
        let Some(field) = kind.field(path.as_str()) else { continue };
        let text = match input {
            FieldInput::Text(text) if field.secret => {
                if browser_keeps && !text.is_empty() {
                    values.kept.insert(path, Kept::from(Source::Pasted));
                }
                continue;
            }
            FieldInput::Text(text) => text.expose_secret().to_owned(),
            FieldInput::Integer(number) => number.to_string(),
            FieldInput::Boolean(on) => on.to_string(),
            FieldInput::Null | FieldInput::Keep { .. } | FieldInput::Other => continue,
        };
        values.public.insert(path, text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(body: &str) -> Draft {
        let catalogue = Catalogue::built_in().expect("sound");
        read(&Fields::parse(body.as_bytes()), catalogue.get("postgres").expect("known"), &catalogue)
    }

    fn input(body: &str, path: &str) -> String {
        match draft(body).fields.remove(path) {
            Some(FieldInput::Text(text)) => format!("text {}", text.expose_secret()),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn each_kind_of_field_is_read_as_it_is_meant() {
        for (body, path, read) in [
            ("port=5432", "port", "Some(Integer(5432))"),
            ("port=+5432+", "port", "Some(Integer(5432))"),
            ("port=", "port", "Some(Null)"),
            ("port=abc", "port", "text abc"),
            ("host=+db+", "host", "text db"),
            ("username=+u+", "username", "text  u "),
            ("extra.read_only=true", "extra.read_only", "Some(Boolean(true))"),
            ("extra.read_only=", "extra.read_only", "Some(Null)"),
            ("tls.ca=-----a%0D%0Ab%0D%0A", "tls.ca", "text -----a\nb"),
            ("host=h", "port", "None"),
            ("password=a%26b+c", "password", "text a&b c"),
            ("password=ignored&keep:password=keep", "password", "Some(Keep { set: true })"),
            ("password=ignored&keep:password=clear", "password", "Some(Null)"),
            ("password=new&keep:password=set", "password", "text new"),
            ("password=&keep:password=pasted&pasted=postgres://u:p%2540@h/d", "password", "text p@"),
        ] {
            assert_eq!(input(body, path), read, "{body}");
        }
        assert_eq!(draft("tags=a,+b++c").tags, Some(vec!["a".into(), "b".into(), "c".into()]));
    }

    #[test]
    fn a_choice_that_cannot_be_kept_is_refused_at_its_field() {
        for body in
            ["password=&keep:password=set", "password=&keep:password=pasted&pasted=nonsense", "password=&keep:password=pasted"]
        {
            let errors = draft(body).errors;
            assert_eq!(errors.first().map(|error| error.field.as_str()), Some("password"), "{body}");
        }
    }

    #[test]
    fn a_secret_is_never_shown_again() {
        let catalogue = Catalogue::built_in().expect("sound");
        let kind = catalogue.get("postgres").expect("known");
        let mut values = Values::default();
        show_again(&mut values, kind, &Fields::parse(b"host=h&password=hunter2&keep:password=set&tls.key=hunter3"));
        assert_eq!(values.public.len(), 1);
        assert_eq!(values.kept.get("password").map(|kept| kept.chosen), Some(Keep::Replace));
        fill(&mut values, kind, BTreeMap::from([("password".into(), FieldInput::Text(Secret::new("hunter2".into())))]), true);
        assert!(!format!("{values:?}").contains("hunter"));
    }
}
