//! `GET /types`: the catalogue.

use std::sync::Arc;

use axum::{Json, extract::State};
use dataflow_model::{ConnectionType, Field, FieldKind, FieldValue};
use serde::Serialize;

use super::{ListAnswer, extract::Authenticated};
use crate::{app::App, error::Result};

/// A connection type.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(example = json!({
    "id": "redshift", "label": "Amazon Redshift", "summary": "Amazon's data warehouse, over the PostgreSQL protocol", "category": "Warehouses",
    "tags": ["sql", "aws"], "base": "postgres", "airflow": "redshift", "sqlalchemy": "postgresql", "docs": "https://docs.aws.amazon.com/redshift/",
    "tested": {
        "by": "stand_in", "sentence": "Tested against PostgreSQL 15, whose protocol it speaks; not against Amazon Redshift itself.", "source": null
    },
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
}

/// How honestly the test of a type was itself tested.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct TestedAnswer {
    /// `product`: against a real server of that product. `stand_in`: against a real server of another one, whose protocol it speaks. `fake`: against
    /// a fake that follows what is written of the protocol.
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
    }
}

/// Lists the connection types with their fields.
#[utoipa::path(get, path = "/api/v1/types", operation_id = "list_types", tag = "types", responses((status = 200, body = ListAnswer<TypeAnswer>)))]
pub async fn list_types(
    State(app): State<Arc<App>>,
    Authenticated(_caller): Authenticated,
) -> Result<Json<ListAnswer<TypeAnswer>>> {
    Ok(Json(ListAnswer { items: app.catalogue.all().into_iter().map(answer).collect(), next: None }))
}
