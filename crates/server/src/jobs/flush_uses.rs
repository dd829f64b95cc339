//! Writes the use counts of the last second.

use std::{sync::Arc, time::Duration};

use anyhow::anyhow;

use super::Stop;
use crate::app::App;

const EVERY: Duration = Duration::from_secs(1);

pub async fn run(app: Arc<App>, mut stop: Stop) {
    while stop.pause(EVERY).await {
        if let Err(error) = app.uses.flush(&app.store).await {
            tracing::warn!(
                error.cause = format!("{:#}", anyhow!(error)),
                "use counts could not be written; they are kept for the next try"
            );
        }
    }
}
