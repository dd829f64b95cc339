//! `/settings`: what holds for the whole server. Read here; changed by an owner, on the Studio's page Settings.

use std::sync::Arc;

use axum::{Json, extract::State};
use dataflow_connectors::{AddressLists, Cidr};
use serde::Serialize;

use super::extract::Authenticated;
use crate::{
    app::App,
    error::Result,
    ops::settings::{self, Retention},
};

/// What tests of connections may reach, and how long history is kept.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(example = json!({
    "addresses": {
        "configured": {"allow": [], "deny": ["10.9.0.0/16"]}, "set": {"allow": ["10.0.0.0/8"], "deny": []}, "loopback": false,
        "set_is_sound": true
    },
    "retention": {"check_days": 90, "version_days": null, "change_days": null, "read_days": 400, "restore_days": 30, "workflow_days": null, "is_sound": true}
}))]
pub struct SettingsAnswer {
    pub addresses: AddressesAnswer,
    pub retention: RetentionAnswer,
}

/// An address is dialled if both lists permit it. Cloud metadata, link-local, unspecified, multicast and broadcast addresses never are.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct AddressesAnswer {
    /// As the server was started.
    pub configured: ListsAnswer,
    /// As an owner set them.
    pub set: ListsAnswer,
    /// Whether the server's own loopback may be reached without being in `configured.allow`.
    pub loopback: bool,
    /// False if `set` was changed outside of this program: then no test runs until an owner saves it again.
    pub set_is_sound: bool,
}

/// Networks, as `10.0.0.0/8`.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ListsAnswer {
    /// If not empty, nothing else may be reached.
    pub allow: Vec<String>,
    /// Never reached, even if they are in `allow`.
    pub deny: Vec<String>,
}

/// Null: age does not count.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct RetentionAnswer {
    /// Days that a check is kept; beyond the newest 1,000 of its connection none is.
    pub check_days: Option<i64>,
    /// Days that a version is kept once another has replaced it.
    pub version_days: Option<i64>,
    /// Days that an event of a change is kept in the audit.
    pub change_days: Option<i64>,
    /// Days that an event of a read of credentials is kept in the audit.
    pub read_days: Option<i64>,
    /// Days within which a deleted connection can be brought back.
    pub restore_days: Option<i64>,
    /// Days that a workflow is kept as a dependent once it was last seen.
    pub workflow_days: Option<i64>,
    /// False if they were changed outside of this program: then nothing is forgotten for its age until an owner saves them again.
    pub is_sound: bool,
}

fn lists(lists: &AddressLists) -> ListsAnswer {
    let written = |list: &[Cidr]| list.iter().map(ToString::to_string).collect();
    ListsAnswer { allow: written(&lists.allow), deny: written(&lists.deny) }
}

/// Shows the settings of the whole server. For admins.
///
/// An owner changes them on the Studio's page Settings; no token may.
#[utoipa::path(get, path = "/api/v1/settings", operation_id = "show_settings", tag = "settings",
    responses((status = 200, body = SettingsAnswer), (status = 403)))]
pub async fn show_settings(State(app): State<Arc<App>>, Authenticated(caller): Authenticated) -> Result<Json<SettingsAnswer>> {
    let addresses = settings::show::<AddressLists>(&app, &caller).await?;
    let retention = settings::show::<Retention>(&app, &caller).await?;
    let configured = app.tests.configured();
    Ok(Json(SettingsAnswer {
        addresses: AddressesAnswer {
            configured: lists(&configured.configured),
            set: lists(&addresses.value),
            loopback: configured.allow_loopback,
            set_is_sound: addresses.is_sound,
        },
        retention: RetentionAnswer {
            check_days: retention.value.check_days,
            version_days: retention.value.version_days,
            change_days: retention.value.change_days,
            read_days: retention.value.read_days,
            restore_days: retention.value.restore_days,
            workflow_days: retention.value.workflow_days,
            is_sound: retention.is_sound,
        },
    }))
}
