//! Notes of which connections it is not known yet with what others they have their password in common: those of a store that this build opens for
//! the first time, of one that was restored, and what a node of an older build saved.

use std::{sync::Arc, time::Duration};

use super::Stop;
use crate::{app::App, ops::lint::shared};

/// How often it looks; whatever this build saves needs no look.
const LOOK_EVERY: Duration = Duration::from_mins(10);

pub async fn run(app: Arc<App>, mut stop: Stop) {
    loop {
        if let Err(error) = shared::note_all(&app).await {
            let cause = error.cause().map(|cause| format!("{cause:#}")).unwrap_or_default();
            tracing::warn!(
                error.code = error.describe().1.as_str(),
                error.cause = cause,
                "which connections have the same password could not be noted"
            );
        }
        if !stop.pause(LOOK_EVERY).await {
            return;
        }
    }
}
