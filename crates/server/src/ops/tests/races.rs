//! Writers that meet on PostgreSQL, where they do not queue, and wait there for a row that the test holds; nodes that learn of each other.

use std::sync::Arc;

use dataflow_model::report::{Learned, TestReport, TestStatus};

use super::{Fixture, Role, WORKSPACE, sample};
use crate::{
    jobs::follow_changes::notice,
    ops::{Caller, checks, connections, credentials, tokens},
    store,
};

#[tokio::test]
async fn of_two_tests_that_end_at_once_both_are_kept() {
    let fixture = Fixture::on_postgres().await;
    let (app, shell) = (&fixture.app, Caller::shell());
    connections::create(app, &shell, WORKSPACE, sample("sales")).await.expect("created");
    let workspace = app.workspace(WORKSPACE).await.expect("read").expect("there").id.to_string();
    let mut held = app.store.write().await.expect("open");
    assert!(store::hold_connection(&mut held, &workspace, "sales", "sales").await.expect("held"));
    for status in [TestStatus::Ok, TestStatus::Unproven] {
        let (_, keeper) = checks::plan_stored(app, &shell, WORKSPACE, "sales").await.expect("planned").into_parts();
        keeper.keep(app, &report(status));
    }
    app.until_waiting(2).await;
    drop(held);
    let both = async {
        loop {
            let row = connections::show(app, &shell, WORKSPACE, "sales").await.expect("there").row;
            if row.recent_checks.contains("ok") && row.recent_checks.contains("unproven") {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), both).await.expect("both are in the list of the last checks");
}

fn report(status: TestStatus) -> TestReport {
    TestReport {
        status,
        duration_ms: 1.0,
        server_version: None,
        checked_at: String::new(),
        from: "server".to_owned(),
        host: None,
        steps: Vec::new(),
        error: None,
        learned: Learned::default(),
    }
}

#[tokio::test]
async fn who_revokes_tokens_and_who_notes_their_use_do_not_stop_each_other() {
    let fixture = Fixture::on_postgres().await;
    let app = &fixture.app;
    // A token whose child has the smaller id: by its maker it comes later, by its id before.
    let (maker, child) = loop {
        let secret = fixture.token(&Caller::shell(), "maker", Role::User).await;
        let maker = fixture.by_token(&secret).await.expect("it lives");
        fixture.token(&maker, "child", Role::User).await;
        let all = tokens::list_all(app, &Caller::shell(), WORKSPACE).await.expect("listed");
        let id = |name: &str| {
            let live = all.iter().find(|token| token.row.name == name && token.row.revoked_at.is_none());
            live.expect("it lives").row.id.clone()
        };
        if id("child") < id("maker") {
            break (id("maker"), id("child"));
        }
        tokens::revoke(app, &Caller::shell(), WORKSPACE, &id("maker")).await.expect("revoked");
    };
    // As a flush does it, row by row.
    let mut flush = app.store.write().await.expect("open");
    store::touch_token(&mut flush, &child, 1).await.expect("nobody holds it");
    let revoking = tokio::spawn({
        let (app, maker) = (Arc::clone(app), maker.clone());
        async move { tokens::revoke(&app, &Caller::shell(), WORKSPACE, &maker).await }
    });
    app.until_waiting(1).await;
    store::touch_token(&mut flush, &maker, 1).await.expect("who revokes waits for the smaller id first");
    flush.commit_quietly().await.expect("committed");
    revoking.await.expect("no panic").expect("revoked");
}

/// A node that looked, read its keys, and only then dropped what it knew, dropped what it had just read, and answered revoked tokens as long
/// as its keys took it.
#[tokio::test]
async fn what_was_read_is_dropped_with_the_look_and_what_is_read_from_then_on_is_kept() {
    let fixture = Fixture::new().await;
    let app = &fixture.app;
    let shell = Caller::shell();
    connections::create(app, &shell, WORKSPACE, sample("sales")).await.expect("created");
    let key = (app.workspace(WORKSPACE).await.expect("read").expect("it is there").id, "sales".to_owned());
    let is_known = || app.caches.connections.get(&key).is_some();
    let read = async || {
        credentials::resolve(app, &shell, WORKSPACE, "sales", |_| false).await.expect("resolved");
        assert!(is_known());
    };
    read().await;
    let first = notice(app, None).await.expect("read");
    assert!(!is_known(), "what happened before this node looked is not known");
    read().await;
    let other = app.another_node().await;
    connections::create(&other, &shell, WORKSPACE, sample("next")).await.expect("created");
    let next = notice(app, Some(first)).await.expect("read");
    assert!(next > first && !is_known(), "another node changed something");
    read().await;
    connections::create(app, &shell, WORKSPACE, sample("own")).await.expect("created");
    assert!(notice(app, Some(next)).await.expect("read") > next);
    assert!(is_known(), "its own change dropped what it touched");
}
