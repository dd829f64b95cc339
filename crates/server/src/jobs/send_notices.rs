//! Tells people what became of connections.

use std::{sync::Arc, time::Duration};

use super::Stop;
use crate::{
    app::App,
    error::Result,
    ops::notices::{
        ends,
        send::{Flight, begin_due},
    },
};

/// How often it looks for what is due.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What is under way when it ends is dropped, with its process, and told later.
pub async fn run(app: Arc<App>, mut stop: Stop) {
    let mut flight = Flight::default();
    loop {
        if let Err(error) = look(&app, &mut flight).await {
            let cause = error.cause().map(|cause| format!("{cause:#}")).unwrap_or_default();
            let code = error.describe().1.as_str();
            tracing::warn!(error.code = code, error.cause = cause, "what is to be told could not be looked for");
        }
        tokio::select! {
            () = flight.one_ended() => {}
            goes_on = stop.pause(LOOK_EVERY) => if !goes_on {
                return;
            },
        }
    }
}

async fn look(app: &Arc<App>, flight: &mut Flight) -> Result<()> {
    while ends::tell_due(app).await? {}
    begin_due(app, flight).await
}
