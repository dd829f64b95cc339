//! The API's description, generated from the handlers.

use std::sync::Arc;

use dataflow_model::Code;
use utoipa::openapi::{
    ComponentsBuilder, InfoBuilder, OpenApi, OpenApiBuilder,
    security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{connections, credentials, people, tokens, types, workspaces};
use crate::app::App;

/// What stands above the routes: title, problem codes, how to sign in.
fn description() -> OpenApi {
    let codes: Vec<_> = Code::ALL.iter().map(|code| format!("`{code}`")).collect();
    let text = format!(
        "Named, secure configurations of databases and services.\n\nErrors are RFC 9457 problem documents; `code` is one of {}. \
         Bodies are JSON of at most 64 KiB. A change names the version that it changes in `If-Match`.",
        codes.join(", ")
    );
    let bearer = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
    OpenApiBuilder::new()
        .info(InfoBuilder::new().title("Dataflow Connections").version("1").description(Some(text)).build())
        .components(Some(ComponentsBuilder::new().security_scheme("bearer", bearer).build()))
        .security(Some([SecurityRequirement::new("bearer", Vec::<String>::new())]))
        .build()
}

/// The routes under `/api/v1`, with their description.
pub fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(description())
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
