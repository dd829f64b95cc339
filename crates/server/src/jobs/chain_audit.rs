//! Brings the audit's chains up to now: that of changes within a second of each, the index of reads within some more.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::Stop;
use crate::{app::App, audit::chain, ops::sign_in_failures};

const EVERY: Duration = Duration::from_millis(500);
/// How long it is between two writes of the index, where the store is this node's alone. Reads are chained as they are appended, and who looks at the index has it brought up to
/// now first; so that it may take so little of the processor that not one of a hundred reads waits for it.
const INDEX_EVERY: Duration = Duration::from_secs(2);
/// How long it is before the store is asked though nothing happened here: for events of a node that was lost, and of a commit whose answer was.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// How long it is before one that failed is tried again: what is wrong is logged each time.
const AGAIN: Duration = Duration::from_secs(10);

pub async fn run(app: Arc<App>, mut stop: Stop) {
    let (mut rest, mut looked, mut indexed) = (EVERY, None::<Instant>, None::<Instant>);
    // What a node that is lost has not told the others, they cannot verify.
    let index_every = if app.store.is_shared() { EVERY } else { INDEX_EVERY };
    while stop.pause(rest).await {
        rest = EVERY;
        if let Err(error) = sign_in_failures::tell(&app, false).await {
            let cause = error.cause().map(|cause| format!("{cause:#}")).unwrap_or_default();
            tracing::warn!(error.cause = cause, "failed sign-ins are not in the audit yet");
        }
        let is_due = |last: Option<Instant>, every| last.is_none_or(|last| last.elapsed() >= every);
        let (looks, counts) = (is_due(looked, LOOK_EVERY), is_due(indexed, index_every));
        let mut advanced = Ok(());
        if chain::has_unchained(&app) || looks {
            looked = Some(Instant::now());
            advanced = chain::advance_changes(&app).await;
        }
        if advanced.is_ok() && (looks || counts && !app.use_log.is_indexed()) {
            indexed = Some(Instant::now());
            advanced = chain::advance_reads(&app).await;
        }
        if let Err(error) = advanced {
            tracing::error!(error.cause = format!("{error:#}"), "the audit's chains could not be brought up to now");
            rest = AGAIN;
        }
    }
}
