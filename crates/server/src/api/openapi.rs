//! The API's description, generated from the handlers.

use dataflow_model::Code;
use utoipa::{
    Modify, OpenApi,
    openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use std::sync::Arc;

use super::{connections, credentials, people, tokens, types, workspaces};
use crate::app::App;

#[derive(OpenApi)]
#[openapi(
    info(title = "Dataflow Connections", description = "Named, secure configurations of databases and services."),
    components(schemas(connections::ConnectionRequest, connections::Object)),
    modifiers(&Bearer),
    security(("bearer" = []))
)]
struct Description;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        let codes: Vec<_> = Code::ALL.iter().map(|code| format!("`{code}`")).collect();
        api.info.description = Some(format!(
            "Named, secure configurations of databases and services.\n\nErrors are RFC 9457 problem documents; `code` is one of {}. \
             Bodies are JSON of at most 64 KiB. A change names the version that it changes in `If-Match`.",
            codes.join(", ")
        ));
        if let Some(components) = api.components.as_mut() {
            components.add_security_scheme("bearer", SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build()));
        }
    }
}

/// The routes under `/api/v1`, with their description.
pub fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(connections::list_connections, connections::create_connection))
        .routes(routes!(connections::show_connection, connections::edit_connection, connections::delete_connection))
        .routes(routes!(credentials::resolve_credentials))
        .routes(routes!(tokens::list_tokens, tokens::create_token))
        .routes(routes!(tokens::revoke_token))
        .routes(routes!(people::list_members))
        .routes(routes!(people::put_member, people::remove_member))
        .routes(routes!(workspaces::list_workspaces))
        .routes(routes!(types::list_types))
}
