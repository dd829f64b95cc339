//! Brings the audit's chains up to now, within a second of each event.

use std::{sync::Arc, time::Duration};

use super::Stop;
use crate::{app::App, audit::chain};

const EVERY: Duration = Duration::from_millis(500);
/// How long it is before one that failed is tried again: what is wrong is logged each time.
const AGAIN: Duration = Duration::from_secs(10);

pub async fn run(app: Arc<App>, mut stop: Stop) {
    let mut rest = EVERY;
    while stop.pause(rest).await {
        rest = EVERY;
        if let Err(error) = chain::advance(&app).await {
            tracing::error!(error.cause = format!("{error:#}"), "the audit's chains could not be brought up to now");
            rest = AGAIN;
        }
    }
}
