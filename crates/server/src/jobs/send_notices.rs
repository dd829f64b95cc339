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
/// The same where more is due than one look tells.
const AT_ONCE: Duration = Duration::from_millis(10);

/// What is under way when it ends is dropped, with its process, and told later.
pub async fn run(app: Arc<App>, mut stop: Stop) {
    let mut flight = Flight::default();
    loop {
        let mut is_more = false;
        match look(&app, &mut flight).await {
            Ok(more) => is_more = more,
            Err(error) => {
                let cause = error.cause().map(|cause| format!("{cause:#}")).unwrap_or_default();
                let code = error.describe().1.as_str();
                tracing::warn!(error.code = code, error.cause = cause, "what is to be told could not be looked for");
            }
        }
        tokio::select! {
            () = flight.one_ended() => {}
            goes_on = stop.pause(if is_more { AT_ONCE } else { LOOK_EVERY }) => if !goes_on {
                return;
            },
        }
    }
}

/// Whether more of what ends is due than one look tells.
async fn look(app: &Arc<App>, flight: &mut Flight) -> Result<bool> {
    begin_due(app, flight).await?;
    ends::tell_due(app).await
}
