//! Tests connections by the schedules that are for them.

use std::{sync::Arc, time::Duration};

use super::Stop;
use crate::{
    app::App,
    ops::health::run::{Flight, begin_due},
};

/// How often it looks for what is due.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What is under way when it ends is dropped, with its process.
pub async fn run(app: Arc<App>, mut stop: Stop) {
    let mut flight = Flight::default();
    loop {
        if let Err(error) = begin_due(&app, &mut flight).await {
            let cause = error.cause().map(|cause| format!("{cause:#}")).unwrap_or_default();
            let code = error.describe().1.as_str();
            tracing::warn!(error.code = code, error.cause = cause, "tests that are due could not be looked for");
            if !stop.pause(LOOK_EVERY).await {
                return;
            }
        }
        tokio::select! {
            was_run = flight.one_ended() => if !was_run && !stop.pause(LOOK_EVERY).await {
                return;
            },
            goes_on = stop.pause(LOOK_EVERY) => if !goes_on {
                return;
            },
        }
    }
}
