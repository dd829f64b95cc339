//! Drops what this node cached when the store was changed by another node. A store that does not answer in time drops it too.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;

use super::Stop;
use crate::{app::App, store};

const EVERY: Duration = Duration::from_millis(500);
/// How long the store may take to tell its change clock. A token that another node revokes is refused here, or not answered, within this and
/// [`EVERY`].
const PATIENCE: Duration = Duration::from_secs(2);

pub async fn run(app: Arc<App>, mut stop: Stop) {
    let mut known = None;
    loop {
        let found = timeout(PATIENCE, app.store.tick_since(known)).await.ok().and_then(store::Result::ok);
        if !found.is_some_and(|(_, is_own)| is_own) {
            app.caches.forget_all();
        }
        known = found.map(|(tick, _)| tick);
        if !stop.pause(EVERY).await {
            return;
        }
    }
}
