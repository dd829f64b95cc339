//! Carries a rotation of the keys on, whoever began it: a shell, or a node that is gone.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::Stop;
use crate::{
    app::App,
    clock::SECOND,
    error::Result,
    ops::keys::rotation::{Rotation, Step},
    store,
};

/// How often it looks whether there is one; a look into this node's memory.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Between two steps, for those who want to save meanwhile.
const BETWEEN: Duration = Duration::from_millis(5);
const WAIT: Duration = Duration::from_millis(50);
const AGAIN: Duration = Duration::from_secs(2);
/// How long one of the nodes of a shared store has the turn, in microseconds, and how much of it it uses. Two that have it at once, since
/// their clocks differ, do each other no harm; they do the same work.
const TURN: i64 = 6 * SECOND;
const USED: Duration = Duration::from_millis(5_500);

pub async fn run(app: Arc<App>, mut stop: Stop) {
    let mut rotation = Rotation::default();
    let mut turn = None;
    loop {
        let pause = if app.vault.root_versions().is_rotating() {
            match step_in_turn(&app, &mut rotation, &mut turn).await {
                Ok(Step::Done) => LOOK_EVERY,
                Ok(Step::More) => BETWEEN,
                Ok(Step::Waits) => WAIT,
                Err(error) => {
                    let cause = error.cause().map(|cause| format!("{cause:#}")).unwrap_or_default();
                    tracing::warn!(
                        error.code = error.describe().1.as_str(),
                        error.cause = cause,
                        "a step of the rotation of keys failed; it is tried again"
                    );
                    AGAIN
                }
            }
        } else {
            LOOK_EVERY
        };
        if !stop.pause(pause).await {
            return;
        }
    }
}

async fn step_in_turn(app: &App, rotation: &mut Rotation, turn: &mut Option<Instant>) -> Result<Step> {
    if app.store.is_shared() && turn.is_none_or(|began| began.elapsed() >= USED) {
        let now = app.clock.now();
        let mut write = app.store.write().await?;
        let is_taken = store::take_turn(&mut write, "rotate_keys", now, now - TURN).await?;
        write.commit_quietly().await?;
        if !is_taken {
            return Ok(Step::Waits);
        }
        *turn = Some(Instant::now());
    }
    rotation.step(app).await
}
