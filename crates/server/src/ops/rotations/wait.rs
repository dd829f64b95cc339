//! Clients whose password was refused while it is being rotated: they wait for the new one instead of failing.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    app::{App, Workspace},
    clock::SECOND,
    error::Result,
    ops::credentials::{Servable, load},
    store,
};

/// Less than the five seconds that a client gives a request, with time to connect again.
const WAIT: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The same where nobody is at it: so long it may take until somebody is.
const WAIT_FOR_SOMEBODY: Duration = Duration::from_secs(1);
/// What nobody is at is tried again for a client, but no more often than this.
const TRY_AGAIN: i64 = 5 * SECOND;

/// What `held` was replaced by, for a client whom the database refused with it: at once, or after as long as a rotation is under way.
pub async fn wait_for(app: &App, workspace: &Workspace, name: &str, held: &Servable) -> Result<Option<Arc<Servable>>> {
    let (id, begun) = (held.id.to_string(), Instant::now());
    let mut is_hastened = false;
    loop {
        let mut read = app.store.read().await?;
        let row = store::rotation(&mut read, &id).await?;
        let newest = store::connection_by_id(&mut read, &id).await?;
        drop(read);
        if newest.is_none_or(|row| row.version != held.version || row.deleted_at.is_some()) {
            return load(app, workspace, name).await.map(Some);
        }
        let now = app.clock.now();
        let limit = |row: &store::RotationRow| if row.leased_until > now { WAIT } else { WAIT_FOR_SOMEBODY };
        let Some(row) = row.filter(|row| begun.elapsed() < limit(row)) else { return Ok(None) };
        if row.leased_until <= now && !is_hastened {
            let mut write = app.store.write().await?;
            store::hasten_rotation(&mut write, &id, (now, now - TRY_AGAIN)).await?;
            write.commit_quietly().await?;
            app.settle_rotations.notify_one();
            is_hastened = true;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
