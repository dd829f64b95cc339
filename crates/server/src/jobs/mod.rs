//! What a server does by itself, one file per job. A job that fails says so in the log and tries again; no request waits for one.

mod chain_audit;
mod check_health;
mod flush_uses;
pub(crate) mod follow_changes;
mod mark_passwords;
pub mod purge;
mod retire_logins;
mod rotate_keys;
mod rotate_on_schedule;
mod send_checkpoints;
mod send_notices;
mod settle_metrics;
mod settle_rotations;

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::app::App;

/// How long it is before a job that panicked begins again. What one of them guards must not be unguarded for longer than the freshness time.
const RESTART: Duration = Duration::from_secs(1);
/// How long jobs are waited for at the end.
const PATIENCE: Duration = Duration::from_secs(12);

/// Every job of a node.
pub struct Jobs {
    /// Dropped when they are to end.
    running_on: watch::Sender<()>,
    all: JoinSet<()>,
}

/// Starts every job of a node.
pub fn start(app: &Arc<App>) -> Jobs {
    let mut jobs = Jobs { running_on: watch::channel(()).0, all: JoinSet::new() };
    jobs.start("chain_audit", app, chain_audit::run);
    jobs.start("check_health", app, check_health::run);
    jobs.start("flush_uses", app, flush_uses::run);
    jobs.start("follow_changes", app, follow_changes::run);
    jobs.start("mark_passwords", app, mark_passwords::run);
    jobs.start("purge", app, purge::run);
    jobs.start("retire_logins", app, retire_logins::run);
    jobs.start("rotate_keys", app, rotate_keys::run);
    jobs.start("rotate_on_schedule", app, rotate_on_schedule::run);
    jobs.start("send_checkpoints", app, send_checkpoints::run);
    jobs.start("send_notices", app, send_notices::run);
    jobs.start("settle_metrics", app, settle_metrics::run);
    jobs.start("settle_rotations", app, settle_rotations::run);
    jobs
}

impl Jobs {
    fn start<F>(&mut self, name: &'static str, app: &Arc<App>, job: impl Fn(Arc<App>, Stop) -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (app, stop) = (app.clone(), Stop(self.running_on.subscribe()));
        self.all.spawn(supervise(name, stop.clone(), move || job(app.clone(), stop.clone())));
    }

    /// Lets each job end what it is at; one that takes too long is cut off.
    pub async fn end(self) {
        let Self { running_on, mut all } = self;
        drop(running_on);
        let ended = timeout(PATIENCE, async { while all.join_next().await.is_some() {} }).await;
        if ended.is_err() {
            tracing::warn!(jobs.left = all.len(), "some jobs did not end in time");
            all.shutdown().await;
        }
    }
}

/// Runs a job until it ends by itself; one that panics begins again.
async fn supervise<F: Future<Output = ()>>(name: &'static str, mut stop: Stop, job: impl Fn() -> F) {
    while AssertUnwindSafe(job()).catch_unwind().await.is_err() {
        tracing::error!(job.name = name, "a job panicked; it begins again in {} s", RESTART.as_secs());
        if !stop.pause(RESTART).await {
            return;
        }
    }
}

/// What a job rests by, and learns by that it is to end.
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<()>);

impl Stop {
    /// Waits so long; `false`, and at once, when the job is to end.
    pub async fn pause(&mut self, length: Duration) -> bool {
        tokio::select! {
            _ = self.0.changed() => false,
            () = sleep(length) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_job_that_panics_begins_again_and_one_that_is_told_to_ends() {
        let (running_on, stop) = watch::channel(());
        let runs = Arc::new(AtomicU32::new(0));
        let (counted, rests) = (runs.clone(), Stop(stop.clone()));
        let job = move || {
            let run = counted.fetch_add(1, Ordering::SeqCst);
            let mut rests = rests.clone();
            async move {
                assert!(run > 0, "planned");
                while rests.pause(Duration::from_mins(1)).await {}
            }
        };
        let supervised = tokio::spawn(supervise("test", Stop(stop), job));
        let again = async {
            while runs.load(Ordering::SeqCst) < 2 {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(Duration::from_secs(30), again).await.expect("it begins again");
        drop(running_on);
        timeout(Duration::from_secs(30), supervised).await.expect("it ends").expect("no panic leaves it");
    }
}
