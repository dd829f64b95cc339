//! The whole URL map on one page.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    middleware,
    response::IntoResponse,
    routing::get,
};
use tower_http::{catch_panic::CatchPanicLayer, set_header::SetResponseHeaderLayer};
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use crate::{
    api::{self, extract::authenticate},
    app::App,
    error::Error,
    store, studio,
};

/// The API under its prefix, and its description.
pub fn api() -> (Router<Arc<App>>, OpenApi) {
    let described = OpenApiRouter::with_openapi(api::openapi::description()).nest("/api/v1", api::openapi::routes());
    let (routes, document) = described.split_for_parts();
    (routes, api::openapi::complete(document))
}

/// Every address that the server answers.
pub fn router(app: Arc<App>) -> Router {
    let (api, description) = api();
    Router::new()
        .merge(api.layer(middleware::from_fn_with_state(app.clone(), authenticate)))
        .merge(studio::routes())
        .route("/api/v1/openapi.json", get(async move || Json(description)))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .fallback(studio::nowhere)
        .method_not_allowed_fallback(async || Error::MethodNotAllowed)
        .layer(SetResponseHeaderLayer::if_not_present(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")))
        .layer(CatchPanicLayer::custom(|_: Box<dyn std::any::Any + Send>| {
            Error::Internal(anyhow::anyhow!("a handler panicked")).into_response()
        }))
        .with_state(app)
}

/// 200 once the store answers; 503 with a problem document while it does not.
async fn ready(State(app): State<Arc<App>>) -> Result<(StatusCode, &'static str), Error> {
    store::tick(&mut app.store.read().await?).await?;
    Ok((StatusCode::OK, "ready\n"))
}
