//! Drops what this node cached when the store was changed by another node, and takes new keys. A store that does not answer in time drops
//! it too. On a shared store it tells the others that this node lives, and up to where it knows the store.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::timeout;

use super::Stop;
use crate::{
    app::App,
    error::Result,
    ops::keys,
    store::{self},
};

const EVERY: Duration = Duration::from_millis(500);
/// How long the store may take to tell its change clock. A token that another node revokes is refused here, or not answered, within this and
/// [`EVERY`].
const PATIENCE: Duration = Duration::from_secs(2);
/// How often this node tells that it lives. While a rotation waits for it, it tells at once.
pub const BEAT_EVERY: Duration = Duration::from_secs(2);

/// The same while a rotation waits for this node.
const EVERY_IN_ROTATION: Duration = Duration::from_millis(100);

/// What a look at the store found.
struct Found {
    tick: i64,
    /// The tick up to which this node has the keys, too.
    keys: Option<i64>,
}

pub async fn run(app: Arc<App>, mut stop: Stop) {
    let (mut known, mut keys, mut told) = (None, None, None::<(i64, Instant)>);
    let mut past = Past::default();
    loop {
        let found = timeout(PATIENCE, look(&app, (known, keys))).await.ok().and_then(Result::ok);
        if found.is_none() {
            app.caches.forget_all();
        }
        known = found.as_ref().map(|found| found.tick);
        keys = found.and_then(|found| found.keys);
        let is_rotating = app.vault.root_versions().is_rotating();
        if let Some(tick) = keys.filter(|_| app.store.is_shared()) {
            let past = if is_rotating { past.up_to(&app, tick) } else { Some(tick) };
            let tick = past.or(told.map(|(tick, _)| tick)).unwrap_or_default();
            let is_due = told.is_none_or(|(told, at)| at.elapsed() >= BEAT_EVERY || (told < tick && is_rotating));
            if is_due && timeout(PATIENCE, beat(&app, tick)).await.is_ok_and(|told| told.is_ok()) {
                told = Some((tick, Instant::now()));
            }
        }
        let every = if is_rotating && app.store.is_shared() { EVERY_IN_ROTATION } else { EVERY };
        if !stop.pause(every).await {
            return;
        }
    }
}

/// Up to which tick nothing is under way on this node that began before it was known.
#[derive(Debug, Default)]
struct Past {
    up_to: Option<i64>,
    next: Option<(i64, u64)>,
}

impl Past {
    fn up_to(&mut self, app: &App, tick: i64) -> Option<i64> {
        if let Some((reached, _)) = self.next.take_if(|(_, turn)| app.under_way.is_past(*turn)) {
            self.up_to = Some(reached);
        }
        if self.next.is_none() && self.up_to != Some(tick) {
            self.next = Some((tick, app.under_way.turn()));
        }
        self.up_to
    }
}

/// Asks for the change clock; if another node moved it, nothing that was read before is answered again. It drops that at once: what is loaded
/// from here on is of this tick or later, and a node that is still busy with its keys would refuse nobody's revoked token.
pub async fn notice(app: &App, known: Option<i64>) -> Result<i64> {
    let (tick, is_own) = app.store.tick_since(known).await?;
    if !is_own {
        app.caches.forget_all();
    }
    Ok(tick)
}

async fn look(app: &App, (known, keys): (Option<i64>, Option<i64>)) -> Result<Found> {
    let tick = notice(app, known).await?;
    let keys = if keys == Some(tick) {
        keys
    } else {
        // Without the keys of now this node tells no one that it knows the store as it is; the rotation waits for it.
        match keys::adopt(app).await {
            Ok(()) => Some(tick),
            Err(error) => {
                let cause = error.cause().map(|cause| format!("{cause:#}")).unwrap_or_default();
                tracing::error!(error.cause = cause, "this node cannot take the keys of the store");
                keys
            }
        }
    };
    Ok(Found { tick, keys })
}

/// Tells the other nodes of a shared store that this one knows it as it is at this tick.
pub async fn beat(app: &App, tick: i64) -> store::Result<()> {
    let mut write = app.store.write().await?;
    store::beat(&mut write, &app.node, tick, app.vault.opened_with().map_or(0, i64::from)).await?;
    write.commit_quietly().await
}
