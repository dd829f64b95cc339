//! Dependents: the workflows that were seen using a connection.

use super::{
    access::{Action, Caller, authorise_name},
    connections,
};
use crate::{
    app::App,
    error::Result,
    store::{self, UseRow},
};

/// Most workflows that are listed.
pub const DEPENDENTS_MAX: i64 = 1_000;

/// Who was seen using a connection, the latest first. What somebody uses at this moment shows within a second.
pub async fn list(app: &App, caller: &Caller, workspace: &str, name: &str) -> Result<Vec<UseRow>> {
    let workspace = authorise_name(app, caller, workspace, name, Action::SeeConnections).await?;
    let mut read = app.store.read().await?;
    let (row, _) = connections::current(app, &mut read, &workspace, name).await?;
    Ok(store::list_uses(&mut read, &row.id, DEPENDENTS_MAX).await?)
}
