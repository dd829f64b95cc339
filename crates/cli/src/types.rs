//! `dataflow types`: the catalogue of this binary, and with a server at hand what its workspace has besides.

use std::{
    fs,
    io::{self, Read as _},
    path::Path,
    sync::Arc,
};

use anyhow::{Context, bail};
use dataflow_client::{ApiRequest, Client, ClientConfig, Explicit};
use dataflow_model::{Catalogue, ConnectionType, own_type};
use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::{
    args::{Output, Types, TypesCommand},
    connections::{accepted, accepted_as, ask},
    health::text,
    output,
};

pub fn run(arguments: Types) -> anyhow::Result<()> {
    let Types { server, id, command } = arguments;
    let form = server.output;
    let explicit = Explicit { url: server.url, workspace: server.workspace, ..Explicit::default() };
    let client = ClientConfig::discover(&explicit).map(Client::new);
    match command {
        Some(TypesCommand::Set { id, file }) => set(&client?, &id, &file),
        Some(TypesCommand::Remove { id }) => remove(&client?, &id),
        Some(TypesCommand::Show { id, definition: true }) => definition(&client?, &id),
        Some(TypesCommand::Show { id, definition: false }) => show(&*one(client.ok().as_ref(), &id)?, form),
        None => match id {
            Some(id) => show(&*one(client.ok().as_ref(), &id)?, form),
            None => list(&all(client.ok().as_ref())?, form),
        },
    }
}

fn address(id: &str) -> String {
    format!("types/{}", utf8_percent_encode(id, NON_ALPHANUMERIC))
}

/// A type as the API tells of it, if it is of the workspace's own.
fn own(answer: &Value) -> anyhow::Result<Option<ConnectionType>> {
    let (id, definition) = (text(answer, "id"), answer.pointer("/defined/definition").and_then(Value::as_str));
    let Some(definition) = definition else { return Ok(None) };
    if let Some(problem) = answer.pointer("/defined/problem").and_then(Value::as_str) {
        bail!("The connection type “{id}” cannot be used until an admin defines it again: {problem}");
    }
    let kind = own_type::compile(&id, definition, &Catalogue::built_in()?).map_err(|errors| {
        let told: Vec<_> = errors.iter().map(|error| format!("{} {}", error.field, error.message)).collect();
        anyhow::anyhow!("This program cannot read the definition of “{id}”; use the server's version of it. {}", told.join("; "))
    })?;
    Ok(Some(kind))
}

/// What a client may know besides the built-in types: where there is no server, or it is away, those alone.
fn all(client: Option<&Client>) -> anyhow::Result<Catalogue> {
    let catalogue = Catalogue::built_in()?;
    let Some(client) = client else { return Ok(catalogue) };
    let asked = ask(client, &ApiRequest::new(Method::GET, "types")).and_then(|answer| accepted(&answer));
    let answer = match asked {
        Ok(answer) => answer,
        Err(error) => {
            output::say(&format!("Types of the workspace's own are left out: {error:#}"));
            return Ok(catalogue);
        }
    };
    let mut kinds = Vec::new();
    for item in answer.get("items").and_then(Value::as_array).into_iter().flatten() {
        match own(item) {
            Ok(kind) => kinds.extend(kind),
            Err(error) => output::say(&format!("{error:#}")),
        }
    }
    Ok(catalogue.with_own(kinds))
}

/// The type of an id: built in, or of the workspace's own.
fn one(client: Option<&Client>, id: &str) -> anyhow::Result<Arc<ConnectionType>> {
    if let Some(kind) = Catalogue::built_in()?.shared(id) {
        return Ok(kind);
    }
    match client {
        Some(client) => known(client, id),
        None => bail!("There is no connection type “{id}”. “dataflow types” lists them."),
    }
}

/// The type of an id, which the server is asked for where this program has none.
pub fn known(client: &Client, id: &str) -> anyhow::Result<Arc<ConnectionType>> {
    if let Some(kind) = Catalogue::built_in()?.shared(id) {
        return Ok(kind);
    }
    let answer = ask(client, &ApiRequest::new(Method::GET, &address(id)))?;
    if answer.status == 404 {
        bail!("There is no connection type “{id}”. “dataflow types” lists them.");
    }
    let kind = own(&accepted(&answer)?)?;
    let kind =
        kind.with_context(|| format!("This program does not know the connection type “{id}”. Use the server's version of it."))?;
    Ok(Arc::new(kind))
}

fn set(client: &Client, id: &str, file: &Path) -> anyhow::Result<()> {
    let mut definition = String::new();
    if file.as_os_str() == "-" {
        io::stdin().read_to_string(&mut definition).context("read the definition from standard input")?;
    } else {
        definition = fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    }
    let path = address(id);
    let before = ask(client, &ApiRequest::new(Method::GET, &path))?;
    if before.status != 404 {
        accepted(&before)?;
    }
    let body = serde_json::to_vec(&json!({"definition": definition}))?;
    let request = ApiRequest::new(Method::PUT, &path).json(&body);
    let request = match &before.etag {
        Some(etag) => request.header("If-Match", etag),
        None => request.header("If-None-Match", "*"),
    };
    let saved = accepted_as(&ask(client, &request)?, str::to_owned)?;
    let version = saved.pointer("/defined/version").and_then(Value::as_i64).unwrap_or_default();
    let is_same = before.etag.is_some() && saved.pointer("/defined/etag").and_then(Value::as_str) == before.etag.as_deref();
    let tested = saved.pointer("/tested/sentence").and_then(Value::as_str).unwrap_or_default();
    output::say(&if is_same {
        "It is so already. Nothing was changed.".to_owned()
    } else {
        format!("Saved “{}” as version {version}. {tested}", text(&saved, "label"))
    });
    Ok(())
}

fn remove(client: &Client, id: &str) -> anyhow::Result<()> {
    let path = address(id);
    let found = ask(client, &ApiRequest::new(Method::GET, &path))?;
    accepted(&found)?;
    let Some(etag) = &found.etag else { bail!("“{id}” is a built-in type, and stays.") };
    accepted(&ask(client, &ApiRequest::new(Method::DELETE, &path).header("If-Match", etag))?)?;
    output::say(&format!("The type “{id}” is removed."));
    Ok(())
}

fn definition(client: &Client, id: &str) -> anyhow::Result<()> {
    let answer = accepted(&ask(client, &ApiRequest::new(Method::GET, &address(id)))?)?;
    let definition = answer.pointer("/defined/definition").and_then(Value::as_str);
    output::data(
        definition.with_context(|| format!("“{id}” is a built-in type: no definition of this workspace's makes it."))?.trim_end(),
    )
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
