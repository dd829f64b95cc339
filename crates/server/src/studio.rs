//! The Studio: HTML in, one `ops` call, HTML out. One file per page; what a page shows is made in `view`.

mod access;
mod answer;
pub mod assets;
mod connection;
mod delete;
mod draft;
mod entry;
mod fields;
mod form;
mod gallery;
mod list;
mod origin;
mod session;
mod shell;
mod test;
mod tokens;
pub mod view;
mod workspaces;

use std::sync::Arc;

use axum::{
    Router,
    middleware::from_fn,
    routing::{get, post},
};

use crate::app::App;

/// Every address of the Studio. Changes are refused unless they come from a page of this server.
pub fn routes() -> Router<Arc<App>> {
    let workspace = Router::new()
        .route("/connections", get(list::show))
        .route("/connections/{name}", get(connection::show))
        .route("/connections/{name}/edit", get(form::show_edit).post(form::save))
        .route("/connections/{name}/try", post(test::edited))
        .route("/connections/{name}/test", post(test::stored))
        .route("/connections/{name}/duplicate", get(form::show_duplicate))
        .route("/connections/{name}/delete", get(delete::ask).post(delete::delete))
        .route("/new", get(gallery::show))
        .route("/paste", post(gallery::paste))
        .route("/new/{type}", get(form::show_new).post(form::create))
        .route("/new/{type}/test", post(test::new))
        .route("/tokens", get(tokens::show).post(tokens::create))
        .route("/tokens/{id}/revoke", post(tokens::revoke))
        .route("/access", get(access::show).post(access::put))
        .route("/access/remove", post(access::remove));
    Router::new()
        .nest("/w/{workspace}", workspace)
        .route("/", get(entry::home))
        .route("/sign-in", get(entry::ask).post(entry::sign_in))
        .route("/sign-out", post(entry::sign_out))
        .route("/link", post(entry::follow))
        .route("/link/{code}", get(entry::look))
        .route("/workspaces", get(workspaces::show).post(workspaces::create))
        .layer(from_fn(origin::same_origin))
        .route("/assets/{file}", get(assets::serve))
}
