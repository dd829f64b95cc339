//! A client that hangs up in the middle of its change: all of it happened, or nothing.

use std::{future::poll_fn, pin::pin, task::Poll, time::Duration};

use serde_json::json;

use super::{Fixture, WORKSPACE, draft, sample};
use crate::{
    error::Error,
    ops::{
        Caller,
        connections::{self, Change, Precondition},
        credentials::resolve,
        idempotency::{IdempotencyKey, refuse_repeat},
    },
};

/// What `future` gives, unless it waits more than `times` times: then it is dropped, as a request's is when its client hangs up.
async fn dropped_after<F: Future>(times: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut waited = 0;
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending if waited == times => Poll::Ready(None),
        Poll::Pending => {
            waited += 1;
            Poll::Pending
        }
    })
    .await
}

/// The version that code gets.
async fn served(fixture: &Fixture) -> i64 {
    let resolved = resolve(&fixture.app, &Caller::shell(), WORKSPACE, "sales", |_| false).await.expect("it resolves");
    let body = resolved.body.expect("a body");
    let body: serde_json::Value = serde_json::from_str(body.expose_secret()).expect("JSON");
    body["version"].as_i64().expect("a version")
}

async fn saved(fixture: &Fixture) -> i64 {
    connections::show(&fixture.app, &Caller::shell(), WORKSPACE, "sales").await.expect("it is there").row.version
}

/// Edits, and hangs up after so many waits; whether it was answered, and whether it took effect.
async fn edit_and_leave(fixture: &Fixture, attempt: u64, waits: usize) -> (bool, bool) {
    let before = served(fixture).await;
    let mut hash = [0; 32];
    hash[..8].copy_from_slice(&attempt.to_be_bytes());
    let caller = Caller { idempotency: Some(IdempotencyKey { hash, request_hash: hash }), ..Caller::shell() };
    let change = Change {
        draft: draft(&json!({"description": format!("{attempt}")})),
        precondition: Precondition::Any,
        ..Default::default()
    };
    let edit = connections::edit(&fixture.app, &caller, WORKSPACE, "sales", change);
    let answered = dropped_after(waits, Box::pin(edit)).await.is_some();
    // The next writer waits until this one's fate is decided.
    drop(fixture.app.store.write().await.expect("the store is free"));
    let after = saved(fixture).await;
    let repeated = matches!(refuse_repeat(&fixture.app, &caller).await, Err(Error::Repeated));
    assert_eq!(repeated, after > before, "left after {waits} waits: the key is kept with the change");
    let follows = async {
        while served(fixture).await != after {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), follows).await.expect("code gets what is saved, without another change");
    (answered, after > before)
}

#[tokio::test]
async fn a_change_whose_client_leaves_happens_whole_or_not_at_all() {
    let fixture = Fixture::new().await;
    connections::create(&fixture.app, &Caller::shell(), WORKSPACE, sample("sales")).await.expect("created");
    let (mut nothing, mut whole, mut waits) = (0, 0, 0);
    // How often a change waits differs from run to run: sweep over it until both ends were seen.
    for attempt in 0..5_000 {
        match Box::pin(edit_and_leave(&fixture, attempt, waits)).await {
            (true, changed) => {
                assert!(changed, "it was answered");
                waits = 0;
                if nothing > 0 && whole > 2 {
                    return;
                }
            }
            (false, changed) => {
                waits += 1;
                *(if changed { &mut whole } else { &mut nothing }) += 1;
            }
        }
    }
    panic!("{nothing} times nothing, {whole} times all of it");
}
