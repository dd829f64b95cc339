//! What a field of the catalogue becomes in the form.

use dataflow_model::{ConnectionType, Field, FieldError, FieldKind, catalogue::Section};

use super::{Control, Input, Keep, Kept, Opt, Source, Values};

/// The controls of one section.
#[must_use]
pub fn controls(kind: &ConnectionType, section: Section, values: &Values, errors: &[FieldError]) -> Vec<Control> {
    kind.section(section)
        .filter(|field| !field.admin || values.is_admin || values.public.contains_key(&field.path))
        .map(|field| control(field, values, errors))
        .collect()
}

fn control(field: &Field, values: &Values, errors: &[FieldError]) -> Control {
    let path = field.path.as_str();
    let default = field.default.as_ref().filter(|_| values.with_defaults).map(ToString::to_string);
    let value = values.public.get(path).cloned().or(default).unwrap_or_default();
    let error = errors.iter().find(|error| error.field == path).map(|error| error.message.clone());
    // A secret that was refused is to be typed: its field stands open.
    let kept = values.kept.get(path).map(|kept| if error.is_some() { Kept { chosen: Keep::Replace, ..*kept } } else { *kept });
    let input = if field.admin && !values.is_admin {
        Input::Fixed { value: field.choices.iter().find(|choice| choice.value == value).map_or(value, |c| c.label.clone()) }
    } else {
        input(field, value, kept, &values.hops)
    };
    Control {
        path: path.to_owned(),
        id: format!("field-{}", path.replace(['.', '_'], "-")),
        label: field.label.clone(),
        help: field.help.clone(),
        placeholder: field.placeholder.clone().unwrap_or_default(),
        error,
        span: if kept.is_some_and(|kept| kept.source == Source::Carried) { 6 } else { field.span },
        required: field.required,
        endpoint: field.endpoint,
        input,
    }
}

fn input(field: &Field, value: String, kept: Option<Kept>, hops: &[String]) -> Input {
    let max = field.length_limit();
    match field.kind {
        FieldKind::Password => Input::Secret { kept, is_area: false, max },
        FieldKind::PrivateKey => Input::Secret { kept, is_area: true, max },
        FieldKind::Certificate => Input::Area { value, max },
        FieldKind::Port | FieldKind::Integer => {
            Input::Line { value, max: 20, is_number: true, unit: field.unit.clone(), is_code: false, of: Vec::new() }
        }
        FieldKind::Text | FieldKind::Host | FieldKind::File => {
            let is_code = matches!(field.kind, FieldKind::Host | FieldKind::File);
            Input::Line { value, max, is_number: false, unit: field.unit.clone(), is_code, of: Vec::new() }
        }
        FieldKind::Connection => Input::Line { value, max, is_number: false, unit: None, is_code: true, of: hops.to_vec() },
        FieldKind::Boolean => Input::Select {
            options: ["", "true", "false"]
                .map(|option| Opt {
                    value: option.to_owned(),
                    label: match option {
                        "true" => "On",
                        "false" => "Off",
                        _ => "Not set",
                    }
                    .to_owned(),
                    weak: false,
                    on: option == value,
                })
                .into(),
            on_loopback: None,
            has_weak: false,
        },
        FieldKind::Choice => {
            let unset = Opt { value: String::new(), label: "Not set".to_owned(), weak: false, on: value.is_empty() };
            let choices = field.choices.iter().map(|choice| Opt {
                value: choice.value.clone(),
                label: if choice.weak { format!("{} (weak)", choice.label) } else { choice.label.clone() },
                weak: choice.weak,
                on: choice.value == value,
            });
            let has_default = field.default.is_some();
            Input::Select {
                options: Some(unset).filter(|_| !has_default).into_iter().chain(choices).collect(),
                on_loopback: field.default_on_loopback.as_ref().map(ToString::to_string),
                has_weak: field.choices.iter().any(|choice| choice.weak),
            }
        }
    }
}
