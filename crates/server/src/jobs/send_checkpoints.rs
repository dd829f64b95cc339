//! Sends where the audit's chains stand off the machine, once a minute if they have moved.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::Stop;
use crate::{app::App, audit::checkpoint};

const EVERY: Duration = Duration::from_mins(1);
const FIRST: Duration = Duration::from_secs(2);

pub async fn run(app: Arc<App>, mut stop: Stop) {
    let Some(sink) = app.checkpoints.clone() else { return };
    let (mut sent, mut rest) = (BTreeMap::new(), FIRST);
    while stop.pause(rest).await {
        if let Err(error) = checkpoint::send(&app, &sink, &mut sent).await {
            tracing::error!(error.cause = format!("{error:#}"), "a checkpoint of the audit could not be sent");
        }
        rest = EVERY;
    }
}
