//! Settles rotations of passwords that whoever began them did not end: this process before it was restarted, another node, or a database that
//! could not be reached.

use std::{sync::Arc, time::Duration};

use super::Stop;
use crate::{app::App, ops::rotations, store};

/// How often it looks. Who waits for one wakes it.
const LOOK_EVERY: Duration = Duration::from_secs(2);

pub async fn run(app: Arc<App>, mut stop: Stop) {
    if !app.store.is_shared() {
        let ended = async {
            let mut write = app.store.write().await?;
            store::end_leases(&mut write, app.started_at).await?;
            write.commit_quietly().await
        };
        if let Err(error) = ended.await {
            tracing::warn!(
                error.cause = format!("{:#}", anyhow::anyhow!(error)),
                "rotations of before wait for their lease to end"
            );
        }
    }
    loop {
        if let Err(error) = rotations::settle_due(&app).await {
            let cause = error.cause().map(|cause| format!("{cause:#}")).unwrap_or_default();
            tracing::warn!(error.code = error.describe().1.as_str(), error.cause = cause, "rotations could not be looked for");
        }
        let goes_on = tokio::select! {
            goes_on = stop.pause(LOOK_EVERY) => goes_on,
            () = app.settle_rotations.notified() => true,
        };
        if !goes_on {
            return;
        }
    }
}
