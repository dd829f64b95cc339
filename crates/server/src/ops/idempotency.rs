//! A change that is sent twice takes effect once: its `Idempotency-Key` is a row of its transaction.

use super::{Caller, Who};
use crate::{
    app::App,
    clock::DAY,
    error::{Error, Result},
    store::{self, StoreError, Write},
    throttle::Kind,
};

/// How long a key is remembered.
pub const REMEMBERED: i64 = DAY;

/// A change's key and what was asked under it, both as keyed hashes: neither is kept in clear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// Over caller and key.
    pub hash: [u8; 32],
    /// Over method, address, precondition and body.
    pub request_hash: [u8; 32],
}

/// Whether this very request took effect before: then it is [`Error::Repeated`], whatever has changed since.
pub(super) async fn refuse_repeat(app: &App, caller: &Caller) -> Result<()> {
    match &caller.idempotency {
        None => Ok(()),
        // Boxed: it is rare, and its many states would be moved about with every request.
        Some(key) => Box::pin(compare(app, key)).await,
    }
}

async fn compare(app: &App, key: &IdempotencyKey) -> Result<()> {
    match store::key_request(&mut app.store.read().await?, &key.hash).await? {
        None => Ok(()),
        Some(earlier) if earlier == key.request_hash => Err(Error::Repeated),
        Some(_) => Err(Error::IdempotencyConflict),
    }
}

/// What a change came to, where the same change may have been under way at the same instant: whatever refused this one, if the other took
/// effect it is [`Error::Repeated`].
pub async fn or_repeated<T>(app: &App, caller: &Caller, came_to: Result<T>) -> Result<T> {
    if came_to.is_err() {
        refuse_repeat(app, caller).await?;
    }
    came_to
}

/// Begins the transaction of a caller's change. Of two that repeat each other at the same instant, one gets [`Error::Repeated`].
pub(super) async fn begin(app: &App, caller: &Caller) -> Result<Write> {
    if !matches!(caller.who, Who::Shell) {
        app.throttle.take(Kind::Changes, &*caller.identity(), app.clock.now())?;
    }
    let mut write = app.store.write().await?;
    if let Some(key) = &caller.idempotency {
        match store::insert_key(&mut write, &key.hash, &key.request_hash, app.clock.now()).await {
            Ok(()) => {}
            Err(StoreError::Unique(_)) => {
                drop(write);
                refuse_repeat(app, caller).await?;
                return Err(Error::IdempotencyConflict);
            }
            Err(other) => return Err(other.into()),
        }
    }
    Ok(write)
}
