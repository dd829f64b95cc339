//! Puts the samples of the metrics into their buckets.

use std::{sync::Arc, time::Duration};

use super::Stop;
use crate::app::App;

const EVERY: Duration = Duration::from_secs(5);

pub async fn run(app: Arc<App>, mut stop: Stop) {
    while stop.pause(EVERY).await {
        app.metrics.settle();
    }
}
