//! Retires logins that connections no longer sign in as, and settles what whoever was at one did not end.

use std::{sync::Arc, time::Duration};

use super::Stop;
use crate::{app::App, ops::rotations::second_login};

/// How often it looks for what is due.
const LOOK_EVERY: Duration = Duration::from_secs(2);

pub async fn run(app: Arc<App>, mut stop: Stop) {
    loop {
        if let Err(error) = second_login::look_after(&app).await {
            let cause = error.cause().map(|cause| format!("{cause:#}")).unwrap_or_default();
            tracing::warn!(
                error.code = error.describe().1.as_str(),
                error.cause = cause,
                "second logins could not be looked for"
            );
        }
        if !stop.pause(LOOK_EVERY).await {
            return;
        }
    }
}
