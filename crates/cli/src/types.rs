//! `dataflow types`: the catalogue of this binary.

use anyhow::Context;
use dataflow_model::{Catalogue, ConnectionType};
use serde_json::json;

use crate::{
    args::{Output, Types},
    output,
};

pub fn run(arguments: &Types) -> anyhow::Result<()> {
    let catalogue = Catalogue::built_in()?;
    match &arguments.id {
        None => list(&catalogue, arguments.output),
        Some(id) => {
            let kind =
                catalogue.get(id).with_context(|| format!("There is no connection type “{id}”. “dataflow types” lists them."))?;
            show(kind, arguments.output)
        }
    }
}

fn list(catalogue: &Catalogue, form: Output) -> anyhow::Result<()> {
    let all = catalogue.all();
    if form == Output::Json {
        let list: Vec<_> = all
            .iter()
            .map(|kind| {
                json!({"id": kind.id, "label": kind.label, "category": kind.category.label(), "tags": kind.tags, "airflow": kind.airflow,
                    "sqlalchemy": kind.dialect, "summary": kind.summary, "tested": kind.tested_words()})
            })
            .collect();
        return output::data(&serde_json::to_string_pretty(&list)?);
    }
    let row = |kind: &&ConnectionType| {
        let airflow = kind.airflow.clone().unwrap_or_default();
        vec![kind.id.clone(), kind.label.clone(), kind.category.label().to_owned(), airflow, kind.summary.clone()]
    };
    output::data(&output::table(&["id", "label", "category", "airflow", "summary"], all.iter().map(row).collect()))
}

fn show(kind: &ConnectionType, form: Output) -> anyhow::Result<()> {
    let flags = |field: &dataflow_model::Field| {
        let flags = [(field.required, "needed"), (field.secret, "secret"), (field.endpoint, "endpoint"), (field.admin, "admin")];
        flags.iter().filter(|(set, _)| *set).map(|(_, word)| *word).collect::<Vec<_>>()
    };
    if form == Output::Json {
        let fields: Vec<_> = kind
            .fields
            .iter()
            .map(|field| json!({"path": field.path.as_str(), "label": field.label, "flags": flags(field), "default": field.default, "help": field.help}))
            .collect();
        return output::data(&serde_json::to_string_pretty(
            &json!({"id": kind.id, "label": kind.label, "category": kind.category.label(), "tags": kind.tags, "airflow": kind.airflow,
                "sqlalchemy": kind.dialect, "docs": kind.docs, "tested": kind.tested_words(), "source": kind.tested.source(), "fields": fields}),
        )?);
    }
    let rows = kind
        .fields
        .iter()
        .map(|field| {
            let default = field.default.as_ref().map(ToString::to_string).unwrap_or_default();
            vec![
                field.path.as_str().to_owned(),
                field.label.clone(),
                flags(field).join(", "),
                default,
                field.help.clone().unwrap_or_default(),
            ]
        })
        .collect();
    // Beside the table, which programs read.
    let source = kind.tested.source().map(|source| format!(" See {source}.")).unwrap_or_default();
    output::say(&format!("{}: {}. {}\n{}{source}\n", kind.label, kind.summary, kind.docs, kind.tested_words()));
    output::data(&output::table(&["field", "label", "flags", "default", "help"], rows))
}
