//! The Studio: HTML in, one `ops` call, HTML out. One file per page; what a page shows is made in `view`.

mod access;
mod account;
mod activity;
mod answer;
pub mod assets;
mod channels;
mod compare;
mod connection;
mod delete;
mod deleted;
mod dependents;
mod draft;
mod entry;
mod fields;
mod form;
mod gallery;
mod groups;
mod health;
mod history;
mod lint;
mod list;
mod names;
mod origin;
mod own_types;
mod paging;
mod program;
mod provider;
mod rotate;
mod rotation_policy;
mod second_login;
mod second_look;
mod session;
mod settings;
mod shell;
mod test;
#[cfg(test)]
mod tests;
mod tokens;
mod users;
pub mod view;
mod workspaces;

use std::sync::Arc;

use axum::{
    Router,
    middleware::from_fn,
    routing::{get, post},
};

pub use answer::nowhere;

use crate::app::App;

/// Every address of the Studio. Changes are refused unless they come from a page of this server.
pub fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/w/{workspace}/connections", get(list::show))
        .route("/w/{workspace}/connections/{name}", get(connection::show))
        .route("/w/{workspace}/connections/{name}/edit", get(form::show_edit).post(form::save))
        .route("/w/{workspace}/connections/{name}/try", post(test::edited))
        .route("/w/{workspace}/connections/{name}/test", post(test::stored))
        .route("/w/{workspace}/connections/{name}/duplicate", get(form::show_duplicate))
        .route("/w/{workspace}/connections/{name}/delete", get(delete::ask).post(delete::delete))
        .route("/w/{workspace}/connections/{name}/rename", get(names::ask_rename).post(names::rename))
        .route("/w/{workspace}/connections/{name}/repoint", get(names::ask_repoint).post(names::repoint))
        .route("/w/{workspace}/connections/{name}/aliases/{alias}/remove", get(names::ask_removal).post(names::remove))
        .route("/w/{workspace}/connections/{name}/rotate", get(rotate::ask).post(rotate::rotate))
        .route("/w/{workspace}/connections/{name}/second-login", get(second_login::show).post(second_login::give))
        .route("/w/{workspace}/connections/{name}/second-login/remove", post(second_login::remove))
        .route("/w/{workspace}/connections/{name}/second-login/retire", post(second_login::retire))
        .route("/w/{workspace}/connections/{name}/rotation-policy", get(rotation_policy::show).post(rotation_policy::set))
        .route("/w/{workspace}/connections/{name}/health-schedule", get(health::show_own).post(health::set_own))
        .route("/w/{workspace}/health", get(health::show))
        .route("/w/{workspace}/health/schedule", get(health::show_schedule).post(health::set_schedule))
        .route("/w/{workspace}/health/channel", get(channels::show).post(channels::set))
        .route("/w/{workspace}/health/channel/try", post(channels::try_out))
        .route("/w/{workspace}/connections/{name}/lint/{rule}", get(lint::ask_own).post(lint::set_own))
        .route("/w/{workspace}/lint", get(lint::show))
        .route("/w/{workspace}/lint/{rule}", get(lint::ask).post(lint::set))
        .route("/w/{workspace}/connections/{name}/dependents", get(dependents::show))
        .route("/w/{workspace}/connections/{name}/users", get(users::show).post(users::set))
        .route("/w/{workspace}/compare", get(compare::show))
        .route("/w/{workspace}/connections/{name}/copy", get(compare::ask).post(compare::copy))
        .route("/w/{workspace}/deleted", get(deleted::show).post(deleted::restore))
        .route("/w/{workspace}/connections/{name}/versions", get(history::show))
        .route("/w/{workspace}/connections/{name}/versions/{version}/restore", get(history::ask).post(history::restore))
        .route("/w/{workspace}/connections/{name}/versions/{version}/purge", get(history::ask_purge).post(history::purge))
        .route("/w/{workspace}/new", get(gallery::show))
        .route("/w/{workspace}/paste", post(gallery::paste))
        .route("/w/{workspace}/new/{type}", get(form::show_new).post(form::create))
        .route("/w/{workspace}/new/{type}/test", post(test::new))
        .route("/w/{workspace}/types", get(own_types::list))
        .route("/w/{workspace}/types/new", get(own_types::new).post(own_types::create))
        .route("/w/{workspace}/types/{own_type}/edit", get(own_types::edit).post(own_types::save))
        .route("/w/{workspace}/types/{own_type}/remove", get(own_types::ask_removal).post(own_types::remove))
        .route("/w/{workspace}/tokens", get(tokens::show).post(tokens::create))
        .route("/w/{workspace}/tokens/{id}/revoke", post(tokens::revoke))
        .route("/w/{workspace}/access", get(access::show).post(access::put))
        .route("/w/{workspace}/access/remove", post(access::remove))
        .route("/w/{workspace}/access/disable", post(access::set_disabled::<true>))
        .route("/w/{workspace}/access/enable", post(access::set_disabled::<false>))
        .route("/w/{workspace}/access/link", post(access::link))
        .route("/w/{workspace}/groups", get(groups::show).post(groups::put))
        .route("/w/{workspace}/groups/remove", post(groups::remove))
        .route("/w/{workspace}/activity", get(activity::show))
        .route("/w/{workspace}/activity/export", get(activity::export))
        .route("/", get(entry::home))
        .route("/sign-in", get(entry::ask).post(entry::sign_in))
        .route("/sign-in/provider", get(provider::begin))
        .route("/sign-in/again", get(provider::again))
        .route("/sign-in/callback", get(provider::finish))
        .route("/sign-out", post(entry::sign_out))
        .route("/link", post(entry::follow))
        .route("/link/{code}", get(entry::look))
        .route("/account", get(account::show).post(account::change_password))
        .route("/account/link", post(provider::link))
        .route("/account/unlink", post(provider::unlink))
        .route("/account/end", post(account::end))
        .route("/account/end-others", post(account::end_others))
        .route("/workspaces", get(workspaces::show).post(workspaces::create))
        .route("/workspaces/{workspace}/delete", get(workspaces::ask).post(workspaces::delete))
        .route("/settings", get(settings::show))
        .route("/settings/addresses", post(settings::set_addresses))
        .route("/settings/retention", post(settings::set_retention))
        .layer(from_fn(origin::same_origin))
        .route("/assets/{file}", get(assets::serve))
}
