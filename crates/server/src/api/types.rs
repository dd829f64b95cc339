//! `GET /types`: the catalogue; and `/workspaces/{workspace}/types`, that of a workspace, to which its admins add types of its own.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use dataflow_model::{ConnectionType, Field, FieldKind, FieldValue};
use serde::{Deserialize, Serialize};

use super::{
    ListAnswer,
    conditions::{IfMatch, IfMatchOrNew},
    done,
    extract::{Authenticated, InWorkspace, OfType, TomlBody},
};
use crate::{
    app::App,
    clock::rfc3339,
    error::{Error, Result},
    ops::{
        idempotency::or_repeated,
        own_types::{self, OwnType},
    },
};

/// A connection type.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(example = json!({
    "id": "redshift", "label": "Amazon Redshift", "summary": "Amazon's data warehouse, over the PostgreSQL protocol", "category": "Warehouses",
    "tags": ["sql", "aws"], "base": "postgres", "airflow": "redshift", "sqlalchemy": "postgresql", "docs": "https://docs.aws.amazon.com/redshift/",
    "tested": {
        "by": "stand_in", "sentence": "Tested against PostgreSQL 15, whose protocol it speaks; not against Amazon Redshift itself.", "source": null
    },
    "own": false,
    "fields": [{
        "path": "port", "label": "Port", "kind": "port", "required": false, "secret": false, "endpoint": true, "admin": false, "computed": false, "default": 5439,
        "choices": [], "min": null, "max": null, "max_length": null, "help": null
    }]
}))]
pub struct TypeAnswer {
    #[schema(example = "postgres")]
    pub id: String,
    pub label: String,
    pub summary: String,
    /// As people read it.
    #[schema(example = "Search and NoSQL")]
    pub category: String,
    /// Words that people look for it by, beside its label and summary.
    pub tags: Vec<String>,
    /// The connector behind the type.
    pub base: String,
    /// Airflow's `conn_type`, or null; several types may share one.
    pub airflow: Option<String>,
    /// SQLAlchemy's dialect, or null.
    pub sqlalchemy: Option<String>,
    pub docs: String,
    pub tested: TestedAnswer,
    pub fields: Vec<FieldAnswer>,
    /// Whether it is one of the workspace's own.
    pub own: bool,
    /// Of the workspace's own, and absent of any other: what its admins wrote.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub defined: Option<DefinedAnswer>,
}

/// The definition of a type of a workspace's own.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(example = json!({
    "definition": "extends = \"generic\"\nlabel = \"Exasol\"\n", "version": 3, "extends": "generic",
    "url": {"drivername": "exa+websocket", "username": "{username}", "password": "{password}", "host": "{host}", "port": "{port}"},
    "saved_at": "2026-11-02T09:00:00Z", "saved_by": "ada@example.org", "connections": 2, "problem": null, "etag": "\"exasol.3\""
}))]
pub struct DefinedAnswer {
    /// In TOML, as it was saved.
    pub definition: String,
    pub version: i64,
    /// The built-in type whose form it has and whose connector tests it.
    pub extends: Option<String>,
    /// The parts of its URL with the names of fields in braces, or null.
    pub url: Option<serde_json::Value>,
    pub saved_at: String,
    pub saved_by: String,
    /// Live connections of it, as far as the caller sees them.
    pub connections: i64,
    /// Why no connection of it can be used until it is defined again, or null.
    pub problem: Option<String>,
    pub etag: String,
}

/// How honestly the test of a type was itself tested.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct TestedAnswer {
    /// `product`: against a real server of that product. `stand_in`: against a real server of another one, whose protocol it speaks. `fake`: against
    /// a fake that follows what is written of the protocol. `own`: a type of the workspace's own, by what was made for the type that it extends.
    #[schema(example = "stand_in")]
    pub by: &'static str,
    /// The same for people.
    pub sentence: String,
    /// What a fake follows, or null.
    pub source: Option<String>,
}

/// One field of a type.
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the catalogue, as its file has it")]
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct FieldAnswer {
    /// Where it stands in a connection: `host`, `tls.mode`, `extra.application_name`.
    pub path: String,
    pub label: String,
    #[schema(example = "text")]
    pub kind: String,
    pub required: bool,
    pub secret: bool,
    /// A change of it demands the secrets again.
    pub endpoint: bool,
    /// Set by admins only.
    pub admin: bool,
    /// Set by the server; what is sent for it is left aside.
    pub computed: bool,
    /// A boolean, an integer or a text.
    #[schema(value_type = Option<serde_json::Value>)]
    pub default: Option<FieldValue>,
    pub choices: Vec<String>,
    pub min: Option<i64>,
    pub max: Option<i64>,
    /// In characters.
    pub max_length: Option<usize>,
    pub help: Option<String>,
}

fn kind_name(kind: FieldKind) -> &'static str {
    match kind {
        FieldKind::Text => "text",
        FieldKind::Host => "host",
        FieldKind::Port => "port",
        FieldKind::Integer => "integer",
        FieldKind::Boolean => "boolean",
        FieldKind::Choice => "choice",
        FieldKind::Password => "password",
        FieldKind::Certificate => "certificate",
        FieldKind::PrivateKey => "private_key",
        FieldKind::File => "file",
        FieldKind::Connection => "connection",
    }
}

fn field(field: &Field) -> FieldAnswer {
    let is_text = !matches!(field.kind, FieldKind::Port | FieldKind::Integer | FieldKind::Boolean | FieldKind::Choice);
    FieldAnswer {
        path: field.path.as_str().to_owned(),
        label: field.label.clone(),
        kind: kind_name(field.kind).to_owned(),
        required: field.required,
        secret: field.secret,
        endpoint: field.endpoint,
        admin: field.admin,
        computed: field.computed,
        default: field.default.clone(),
        choices: field.choices.iter().map(|choice| choice.value.clone()).collect(),
        min: field.min,
        max: field.max,
        max_length: is_text.then(|| field.length_limit()),
        help: field.help.clone(),
    }
}

fn answer(kind: &ConnectionType) -> TypeAnswer {
    TypeAnswer {
        id: kind.id.clone(),
        label: kind.label.clone(),
        summary: kind.summary.clone(),
        category: kind.category.label().to_owned(),
        tags: kind.tags.clone(),
        base: kind.connector.clone(),
        airflow: kind.airflow.clone(),
        sqlalchemy: kind.dialect.clone(),
        docs: kind.docs.clone(),
        tested: TestedAnswer {
            by: kind.tested.by(),
            sentence: kind.tested_words(),
            source: kind.tested.source().map(ToOwned::to_owned),
        },
        fields: kind.fields.iter().map(field).collect(),
        own: kind.own.is_some(),
        defined: None,
    }
}

/// A type of a workspace's own; `kind` is what its definition comes to, if it can be read.
fn own_answer(own: OwnType, kind: Option<&ConnectionType>) -> TypeAnswer {
    let etag = own.etag();
    let OwnType { id, label, definition, version, saved_at, saved_by, connections, problem } = own;
    let url = kind.and_then(|kind| kind.url.as_ref()).and_then(|url| serde_json::to_value(url).ok());
    let extends = kind.and_then(|kind| kind.extends.clone());
    let (saved_at, saved_by) = (rfc3339(saved_at), saved_by);
    let defined = Some(DefinedAnswer { definition, version, extends, url, saved_at, saved_by, connections, problem, etag });
    match kind {
        Some(kind) => TypeAnswer { defined, ..answer(kind) },
        None => TypeAnswer {
            id,
            label,
            summary: String::new(),
            category: String::new(),
            tags: Vec::new(),
            base: String::new(),
            airflow: None,
            sqlalchemy: None,
            docs: String::new(),
            tested: TestedAnswer { by: "own", sentence: "It cannot be used: see its problem.".to_owned(), source: None },
            fields: Vec::new(),
            own: true,
            defined,
        },
    }
}

fn respond(own: OwnType, kind: Option<&ConnectionType>) -> Response {
    ([(header::ETAG, own.etag())], Json(own_answer(own, kind))).into_response()
}

/// Lists the connection types with their fields.
#[utoipa::path(get, path = "/api/v1/types", operation_id = "list_types", tag = "types", responses((status = 200, body = ListAnswer<TypeAnswer>)))]
pub async fn list_types(
    State(app): State<Arc<App>>,
    Authenticated(_caller): Authenticated,
) -> Result<Json<ListAnswer<TypeAnswer>>> {
    Ok(Json(ListAnswer { items: app.catalogue.all().into_iter().map(answer).collect(), next: None }))
}

/// Lists the connection types of a workspace with their fields: those that are built in, and its own.
#[utoipa::path(get, path = "/api/v1/workspaces/{workspace}/types", operation_id = "list_workspace_types", tag = "types",
    params(("workspace" = String, Path)), responses((status = 200, body = ListAnswer<TypeAnswer>), (status = 404)))]
pub async fn list_workspace_types(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    InWorkspace(workspace): InWorkspace,
) -> Result<Json<ListAnswer<TypeAnswer>>> {
    let own = own_types::list(&app, &caller, &workspace).await?;
    let catalogue = own_types::all(&app, &caller, &workspace).await?;
    let is_own = |kind: &&ConnectionType| own.iter().any(|own| own.id == kind.id);
    let mut items: Vec<_> = catalogue.all().into_iter().filter(|kind| !is_own(kind)).map(answer).collect();
    items.extend(own.into_iter().map(|own| {
        let kind = catalogue.get(&own.id).filter(|_| own.problem.is_none());
        own_answer(own, kind)
    }));
    Ok(Json(ListAnswer { items, next: None }))
}

/// Shows a connection type of a workspace; one of its own has an entity tag.
#[utoipa::path(get, path = "/api/v1/workspaces/{workspace}/types/{type}", operation_id = "show_type", tag = "types",
    params(("workspace" = String, Path), ("type" = String, Path)),
    responses((status = 200, body = TypeAnswer, headers(("ETag" = String))), (status = 404)))]
pub async fn show_type(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    OfType { workspace, id }: OfType,
) -> Result<Response> {
    let catalogue = own_types::all(&app, &caller, &workspace).await?;
    let kind = catalogue.get(&id);
    match own_types::show(&app, &caller, &workspace, &id).await {
        Ok(own) => {
            let kind = kind.filter(|_| own.problem.is_none());
            Ok(respond(own, kind))
        }
        Err(Error::NotFound(what)) => Ok(Json(answer(kind.ok_or(Error::NotFound(what))?)).into_response()),
        Err(other) => Err(other),
    }
}

/// The definition of a type.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"definition": "extends = \"generic\"\nlabel = \"Exasol\"\n"}))]
pub struct TypeBody {
    /// In TOML, at most 32 KiB: `docs/own-types.md` has what it may say.
    #[schema(max_length = 32768)]
    pub definition: String,
}

impl From<String> for TypeBody {
    fn from(definition: String) -> Self {
        Self { definition }
    }
}

/// Defines a connection type of this workspace's own (`If-None-Match: *`), or changes it (`If-Match`). The definition may be sent as it is, too, as
/// `application/toml`.
///
/// Connections of it go on as they are; their form and the next save go by the new definition, and clients learn of a new URL template with their
/// next request. It keeps its base while connections are of it, and no field that is set becomes a secret or stops being one.
#[utoipa::path(put, path = "/api/v1/workspaces/{workspace}/types/{type}", operation_id = "put_type", tag = "types",
    params(("workspace" = String, Path), ("type" = String, Path, description = "1 to 50 of a-z, 0-9 and _, the first a letter"),
        ("If-Match" = Option<String>, Header, description = "The type's ETag that was read, a list of such, or `*`"),
        ("If-None-Match" = Option<String>, Header, description = "`*` for a new type")),
    request_body(content((TypeBody = "application/json"), (String = "application/toml", example = "extends = \"generic\"\nlabel = \"Exasol\"\n"))),
    responses((status = 200, body = TypeAnswer, headers(("ETag" = String))), (status = 403), (status = 404),
        (status = 409, description = "type_in_use"), (status = 412), (status = 415), (status = 422), (status = 428)))]
pub async fn put_type(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    OfType { workspace, id }: OfType,
    condition: IfMatchOrNew,
    TomlBody(TypeBody { definition }): TomlBody<TypeBody>,
) -> Result<Response> {
    let precondition = match condition {
        IfMatchOrNew::New => own_types::none_yet(&id),
        IfMatchOrNew::If(precondition) => precondition,
    };
    let saved = own_types::save(&app, &caller, &workspace, &id, (&definition, &precondition)).await;
    let saved = match or_repeated(&app, &caller, saved).await {
        Err(Error::Repeated) => own_types::show(&app, &caller.without_key(), &workspace, &id).await?,
        saved => saved?,
    };
    let catalogue = own_types::all(&app, &caller.without_key(), &workspace).await?;
    let kind = catalogue.get(&id).filter(|_| saved.problem.is_none());
    Ok(respond(saved, kind))
}

/// Removes a connection type of this workspace's own, if no connection is of it nor could be brought back.
#[utoipa::path(delete, path = "/api/v1/workspaces/{workspace}/types/{type}", operation_id = "remove_type", tag = "types",
    params(("workspace" = String, Path), ("type" = String, Path),
        ("If-Match" = String, Header, description = "The type's ETag that was read, a list of such, or `*`")),
    responses((status = 204), (status = 403), (status = 404), (status = 409, description = "type_in_use"), (status = 412), (status = 428)))]
pub async fn remove_type(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    OfType { workspace, id }: OfType,
    IfMatch(precondition): IfMatch,
) -> Result<StatusCode> {
    let removed = own_types::remove_if(&app, &caller, &workspace, &id, &precondition).await;
    done(or_repeated(&app, &caller, removed).await)
}
