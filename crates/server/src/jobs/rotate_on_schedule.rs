//! Rotates passwords whose time has come, by the policies of their connections.

use std::{sync::Arc, time::Duration};

use super::Stop;
use crate::{app::App, ops::rotations};

/// How often it looks where no turn was taken.
const LOOK_EVERY: Duration = Duration::from_secs(5);

pub async fn run(app: Arc<App>, mut stop: Stop) {
    loop {
        let rest = match rotations::rotate_due(&app).await {
            Ok(0) => LOOK_EVERY,
            Ok(_) => Duration::ZERO,
            Err(error) => {
                let cause = error.cause().map(|cause| format!("{cause:#}")).unwrap_or_default();
                let code = error.describe().1.as_str();
                tracing::warn!(error.code = code, error.cause = cause, "passwords that are due could not be looked for");
                LOOK_EVERY
            }
        };
        if !stop.pause(rest).await {
            return;
        }
    }
}
