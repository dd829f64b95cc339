//! Use counts are written sooner or later: an error and a flush that is dropped lose none.

use std::time::Duration;

use dataflow_model::{Workflow, WorkflowKind};
use tokio::time::timeout;

use super::{Fixture, WORKSPACE, sample};
use crate::{
    ops::{Caller, connections},
    store,
    uses::Use,
};

#[tokio::test]
async fn what_a_flush_did_not_write_the_next_one_does() {
    let fixture = Fixture::new().await;
    let app = &fixture.app;
    let made = connections::create(app, &Caller::shell(), WORKSPACE, sample("sales")).await.expect("created");
    let connection = made.row.id.parse().expect("an id");
    let workflow = Workflow { kind: WorkflowKind::Script, name: "nightly".to_owned(), run: None };
    let mut at = 0;
    let mut count = || {
        at += 1;
        app.uses.connection(&Use { connection, version: at, workflow: &workflow, used_by: "robot", at });
    };

    count();
    let held = app.store.write().await.expect("the store is free");
    timeout(Duration::from_millis(100), app.uses.flush(&app.store)).await.expect_err("it waits, and is dropped");
    drop(held);
    count();
    fixture.bend("ALTER TABLE uses RENAME TO away").await;
    app.uses.flush(&app.store).await.expect_err("there is no such table");
    fixture.bend("ALTER TABLE away RENAME TO uses").await;
    count();
    app.uses.flush(&app.store).await.expect("written");
    app.uses.flush(&app.store).await.expect("nothing is left to write");
    let rows = store::list_uses(&mut app.store.read().await.expect("open"), &made.row.id, 10).await.expect("read");
    let [row] = rows.as_slice() else { panic!("{rows:?}") };
    assert_eq!((row.uses, row.first_at, row.last_at, row.version), (3, 1, 3, 3));
}
