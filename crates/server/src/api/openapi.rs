//! The API's description, generated from the handlers.

mod bodies;
#[cfg(test)]
mod limits;
mod refusals;

use std::sync::Arc;

use axum::routing::get;
use dataflow_model::{ByAlias, Certainty, Code, Dependent, FieldError, Found, Impact, Repointing, Seen};
use utoipa::openapi::{
    ComponentsBuilder, InfoBuilder, ObjectBuilder, OpenApi, OpenApiBuilder, RefOr, Required, Type,
    path::{Parameter, ParameterBuilder, ParameterIn},
    security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    activity, aliases, checks, compare, connections, credentials, dependents, extract, groups, health, lint, notices, people,
    rotation_policies, rotations, scans, second_logins, settings, tokens, tombstones, types, users, versions, workspaces,
};
use crate::{app::App, error::Problem};

/// What stands above the routes: title, problem codes, how to sign in.
pub fn description() -> OpenApi {
    let codes: Vec<_> = Code::ALL.iter().map(|code| format!("`{code}`")).collect();
    let text = format!(
        "Named, secure configurations of databases and services.\n\nErrors are RFC 9457 problem documents; `code` is one of {}. \
         Bodies are JSON of at most 64 KiB. A change names the version that it changes in `If-Match`.\n\n\
         An address answers a method that is not described at it with 405 `method_not_allowed` and one that is not described at all with \
         404 `not_found`. `host_not_allowed` (421), `origin_not_allowed`, `second_look_required` and `setup_done` are answers of the Studio alone.",
        codes.join(", ")
    );
    let bearer = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
    let components = ComponentsBuilder::new()
        .schema_from::<Problem>()
        .schema_from::<FieldError>()
        .schema_from::<Impact>()
        .schema_from::<Dependent>()
        .schema_from::<Seen>()
        .schema_from::<ByAlias>()
        .schema_from::<Repointing>()
        .schema_from::<Found>()
        .schema_from::<Certainty>()
        .security_scheme("bearer", bearer)
        .response("MethodNotAllowed", refusals::method_not_allowed())
        .build();
    OpenApiBuilder::new()
        .info(InfoBuilder::new().title("Dataflow Connections").version("1").description(Some(text)).build())
        .components(Some(components))
        .security(Some([SecurityRequirement::new("bearer", Vec::<String>::new())]))
        .build()
}

/// Adds what stands at no handler, since many operations have it in common.
#[must_use]
pub fn complete(mut document: OpenApi) -> OpenApi {
    for item in document.paths.paths.values_mut() {
        let changes = [&mut item.put, &mut item.post, &mut item.patch, &mut item.delete];
        for operation in changes.into_iter().flatten() {
            operation.parameters.get_or_insert_default().push(idempotency_key());
            refusals::complete(operation, true);
        }
        item.get.iter_mut().for_each(|operation| refusals::complete(operation, false));
    }
    bodies::complete(&mut document);
    document
}

/// What every change may carry.
fn idempotency_key() -> RefOr<Parameter> {
    let text = "1 to 255 bytes of your choice. A request that is sent again with the same key within a day takes effect once, and is \
                answered with what there is now; the same key for another request is 409.";
    let key = ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).max_length(Some(extract::IDEMPOTENCY_KEY_MAX));
    let header = ParameterBuilder::new().name("Idempotency-Key").parameter_in(ParameterIn::Header).required(Required::False);
    RefOr::T(header.description(Some(text)).schema(Some(key.build())).build())
}

/// The routes, with their description. Each handler names its whole address: axum takes requests to a nest of routes apart and puts them
/// together anew.
pub fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(connections::list_connections, connections::create_connection))
        .routes(routes!(connections::show_connection, connections::edit_connection, connections::delete_connection))
        .routes(routes!(checks::test_unsaved_connection))
        .route(
            "/api/v1/workspaces/{workspace}/connections/test",
            get(connections::show_connection).patch(connections::edit_connection).delete(connections::delete_connection),
        )
        .routes(routes!(checks::test_connection))
        .routes(routes!(checks::list_checks, checks::report_check))
        .routes(routes!(compare::compare_workspaces))
        .routes(routes!(compare::copy_connection))
        .routes(routes!(credentials::resolve_credentials))
        .routes(routes!(rotations::rotate_password))
        .routes(routes!(rotations::give_up_rotation))
        .routes(routes!(second_logins::show_second_login, second_logins::put_second_login, second_logins::remove_second_login))
        .routes(routes!(second_logins::retire_login))
        .routes(routes!(
            rotation_policies::show_rotation_policy,
            rotation_policies::set_rotation_policy,
            rotation_policies::remove_rotation_policy
        ))
        .routes(routes!(health::list_health))
        .routes(routes!(health::list_health_schedules))
        .routes(routes!(health::show_health_schedule, health::put_health_schedule, health::remove_health_schedule))
        .routes(routes!(health::show_connection_health))
        .routes(routes!(notices::list_channels))
        .routes(routes!(notices::show_channel, notices::put_channel, notices::remove_channel))
        .routes(routes!(notices::test_channel))
        .routes(routes!(notices::list_ends))
        .routes(routes!(health::put_connection_schedule, health::remove_connection_schedule))
        .routes(routes!(lint::list_lint))
        .routes(routes!(lint::show_connection_lint))
        .routes(routes!(lint::list_lint_silences))
        .routes(routes!(lint::put_lint_silence, lint::lift_lint_silence))
        .routes(routes!(lint::put_connection_silence, lint::lift_connection_silence))
        .routes(routes!(dependents::list_dependents))
        .routes(routes!(aliases::list_aliases))
        .routes(routes!(aliases::remove_alias))
        .routes(routes!(aliases::rename_connection))
        .routes(routes!(aliases::show_repointing, aliases::repoint_connection))
        .routes(routes!(tombstones::restore_connection))
        .routes(routes!(tombstones::list_tombstones))
        .routes(routes!(scans::list_scans))
        .routes(routes!(scans::report_scan, scans::forget_scan))
        .routes(routes!(users::show_users, users::set_users))
        .routes(routes!(versions::list_versions))
        .routes(routes!(versions::show_version, versions::purge_version))
        .routes(routes!(versions::diff_versions))
        .routes(routes!(versions::restore_version))
        .routes(routes!(groups::list_groups))
        .routes(routes!(groups::put_group, groups::remove_group))
        .routes(routes!(tokens::list_tokens, tokens::create_token))
        .routes(routes!(tokens::revoke_token))
        .routes(routes!(people::list_members))
        .routes(routes!(people::put_member, people::remove_member))
        .routes(routes!(people::disable_person))
        .routes(routes!(people::enable_person))
        .routes(routes!(activity::list_activity))
        .routes(routes!(activity::export_activity))
        .routes(routes!(workspaces::list_workspaces))
        .routes(routes!(settings::show_settings))
        .routes(routes!(types::list_types))
        .routes(routes!(types::list_workspace_types))
        .routes(routes!(types::show_type, types::put_type, types::remove_type))
}
