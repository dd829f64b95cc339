//! Brings the audit's chains up to now, within a second of each event.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::Stop;
use crate::{app::App, audit::chain};

const EVERY: Duration = Duration::from_millis(500);
/// How long it is before the store is asked though nothing happened here: for events of a node that was lost, and of a commit whose answer was.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// How long it is before one that failed is tried again: what is wrong is logged each time.
const AGAIN: Duration = Duration::from_secs(10);

pub async fn run(app: Arc<App>, mut stop: Stop) {
    let (mut rest, mut looked) = (EVERY, None::<Instant>);
    while stop.pause(rest).await {
        rest = EVERY;
        if !chain::is_behind(&app) && looked.is_some_and(|looked| looked.elapsed() < LOOK_EVERY) {
            continue;
        }
        looked = Some(Instant::now());
        if let Err(error) = chain::advance(&app).await {
            tracing::error!(error.cause = format!("{error:#}"), "the audit's chains could not be brought up to now");
            rest = AGAIN;
        }
    }
}
