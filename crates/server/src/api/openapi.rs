//! The API's description, generated from the handlers.

use std::sync::Arc;

use axum::routing::get;
use dataflow_model::Code;
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, InfoBuilder, ObjectBuilder, OpenApi, OpenApiBuilder, Ref, RefOr, Required, Response,
    ResponseBuilder, Type,
    path::{Parameter, ParameterBuilder, ParameterIn},
    security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{checks, connections, credentials, people, tokens, types, workspaces};
use crate::app::App;

/// What stands above the routes: title, problem codes, how to sign in.
pub fn description() -> OpenApi {
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

/// What every operation has in common, besides what stands at its handler: the refusals that any request can meet, and the media type
/// of problem documents.
#[must_use]
pub fn complete(mut document: OpenApi) -> OpenApi {
    let common = [
        ("400", "`malformed_request`"),
        ("500", "`internal`, `secret_unreadable`"),
        ("503", "`unavailable`; try again after the seconds of `Retry-After`"),
    ];
    for item in document.paths.paths.values_mut() {
        let changes = [&mut item.put, &mut item.post, &mut item.patch, &mut item.delete];
        for operation in changes.into_iter().flatten() {
            operation.parameters.get_or_insert_default().push(idempotency_key());
            operation.responses.responses.entry("409".to_owned()).or_insert_with(|| problem("`idempotency_conflict`"));
        }
        let operations = [&mut item.get, &mut item.put, &mut item.post, &mut item.patch, &mut item.delete];
        for responses in operations.into_iter().flatten().map(|operation| &mut operation.responses.responses) {
            for (status, text) in common {
                responses.entry(status.to_owned()).or_insert_with(|| problem(text));
            }
            for response in
                responses.iter_mut().filter(|(status, _)| status.starts_with(['4', '5'])).map(|(_, response)| response)
            {
                if let RefOr::T(response) = response
                    && let Some(content) = response.content.swap_remove("application/json")
                {
                    response.content.insert("application/problem+json".to_owned(), content);
                }
            }
        }
    }
    document
}

/// What every change may carry.
fn idempotency_key() -> RefOr<Parameter> {
    let text = "1 to 255 bytes of your choice. A request that is sent again with the same key within a day takes effect once, and is \
                answered with what there is now; the same key for another request is 409.";
    let string = ObjectBuilder::new().schema_type(Type::String).build();
    let header = ParameterBuilder::new().name("Idempotency-Key").parameter_in(ParameterIn::Header).required(Required::False);
    RefOr::T(header.description(Some(text)).schema(Some(string)).build())
}

fn problem(text: &str) -> RefOr<Response> {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    RefOr::T(ResponseBuilder::new().description(text).content("application/json", content).build())
}

/// The routes under `/api/v1`, with their description.
pub fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(connections::list_connections, connections::create_connection))
        .routes(routes!(connections::show_connection, connections::edit_connection, connections::delete_connection))
        .routes(routes!(checks::test_unsaved_connection))
        .route(
            "/workspaces/{workspace}/connections/test",
            get(connections::show_connection).patch(connections::edit_connection).delete(connections::delete_connection),
        )
        .routes(routes!(checks::test_connection))
        .routes(routes!(checks::list_checks))
        .routes(routes!(credentials::resolve_credentials))
        .routes(routes!(tokens::list_tokens, tokens::create_token))
        .routes(routes!(tokens::revoke_token))
        .routes(routes!(people::list_members))
        .routes(routes!(people::put_member, people::remove_member))
        .routes(routes!(workspaces::list_workspaces))
        .routes(routes!(types::list_types))
}
