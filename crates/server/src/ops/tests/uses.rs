//! Uses are written sooner or later: an error and a flush that is dropped lose none.

use std::time::Duration;

use dataflow_model::{Workflow, WorkflowKind};
use tokio::time::timeout;

use super::{Fixture, WORKSPACE, sample};
use crate::{
    ops::{
        Caller, connections,
        dependents::{self, settle::SIGHTINGS_MAX},
        paging::Paging,
    },
    store::{self, SightingRow},
    uses::Use,
};

#[tokio::test]
async fn what_a_flush_did_not_write_the_next_one_does() {
    let fixture = Fixture::new().await;
    let app = &fixture.app;
    let made = connections::create(app, &Caller::shell(), WORKSPACE, sample("sales")).await.expect("created");
    let connection = made.row.id.parse().expect("an id");
    let workspace = made.row.workspace_id.parse().expect("an id");
    let workflow = Workflow { kind: WorkflowKind::Script, name: "nightly".to_owned(), run: None, host: Some("one".to_owned()) };
    let mut at = 0;
    let mut count = || {
        at += 1;
        app.uses.connection(&Use {
            workspace,
            name: "sales",
            connection,
            version: at,
            workflow: Some(&workflow),
            used_by: "robot",
            used_by_id: "token 1",
            failed: false,
            at,
        });
    };

    count();
    let held = app.store.write().await.expect("the store is free");
    timeout(Duration::from_millis(100), app.uses.flush(&app.store)).await.expect_err("it waits, and is dropped");
    drop(held);
    count();
    fixture.bend("ALTER TABLE sightings RENAME TO away").await;
    app.uses.flush(&app.store).await.expect_err("there is no such table");
    fixture.bend("ALTER TABLE away RENAME TO sightings").await;
    count();
    app.uses.flush(&app.store).await.expect("written");
    app.uses.flush(&app.store).await.expect("nothing is left to write");
    let found = dependents::list(app, &Caller::shell(), WORKSPACE, "sales", &Paging::default()).await.expect("read");
    let [one] = found.page.rows.as_slice() else { panic!("{found:?}") };
    let seen = one.seen.as_ref().expect("seen");
    assert_eq!((one.kind, one.name.as_str()), (Some(WorkflowKind::Script), "nightly"));
    assert_eq!((seen.uses, seen.version, seen.by.as_str(), seen.host.as_deref()), (3, Some(3), "robot", Some("one")));
    assert_eq!((seen.versions.as_slice(), seen.live), ([1, 2, 3].as_slice(), false));
    assert!(seen.first_at < seen.last_at, "{seen:?}");
}

/// Whoever looks while the job writes waits for it: what was used until then counts.
#[tokio::test]
async fn a_use_that_is_being_written_counts() {
    let fixture = Fixture::new().await;
    let app = &fixture.app;
    let row = connections::create(app, &Caller::shell(), WORKSPACE, sample("sales")).await.expect("created").row;
    app.uses.connection(&Use {
        workspace: row.workspace_id.parse().expect("an id"),
        name: "sales",
        connection: row.id.parse().expect("an id"),
        version: 1,
        workflow: None,
        used_by: "robot",
        used_by_id: "token 1",
        failed: false,
        at: 1,
    });
    let held = app.store.write().await.expect("the store is free");
    let job = app.uses.flush(&app.store);
    let shell = Caller::shell();
    let paging = Paging::default();
    let look = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        dependents::list(app, &shell, WORKSPACE, "sales", &paging).await
    };
    let free = async {
        tokio::time::sleep(Duration::from_millis(150)).await;
        drop(held);
    };
    let (written, found, ()) = tokio::join!(job, look, free);
    written.expect("written");
    assert_eq!(found.expect("read").impact.total, 1);
}

/// A workflow that a caller was seen with at a time.
fn sighting(workspace_id: &str, workflow: String, used_by_id: &str, at: i64) -> SightingRow {
    SightingRow {
        workspace_id: workspace_id.to_owned(),
        name_key: "sales".to_owned(),
        kind: "script".to_owned(),
        workflow,
        first_at: at,
        last_at: at,
        uses: 1,
        connection_id: String::new(),
        version: 1,
        used_by: used_by_id.to_owned(),
        used_by_id: used_by_id.to_owned(),
        host: None,
        failed_at: None,
        failed_version: None,
    }
}

#[tokio::test]
async fn who_makes_up_workflows_drives_out_his_own() {
    let fixture = Fixture::new().await;
    let app = &fixture.app;
    let row = connections::create(app, &Caller::shell(), WORKSPACE, sample("sales")).await.expect("created").row;
    let mut write = app.store.write().await.expect("open");
    let honest = (0..20).map(|number| sighting(&row.workspace_id, format!("honest {number}"), "honest", number));
    let made_up =
        (0..SIGHTINGS_MAX + 5).map(|number| sighting(&row.workspace_id, format!("made up {number}"), "eve", 1_000 + number));
    let rows: Vec<_> = honest.chain(made_up).collect();
    let sales = (row.workspace_id.clone(), "sales".to_owned());
    assert_eq!(store::record_sightings(&mut write, &rows).await.expect("written").into_iter().collect::<Vec<_>>(), [sales]);
    let again = [sighting(&row.workspace_id, "honest 3".into(), "honest", 99)];
    assert!(store::record_sightings(&mut write, &again).await.expect("written").is_empty(), "it was known");
    dependents::settle::settle(&mut write, &row.workspace_id, "sales").await.expect("counted");
    let name = (row.workspace_id.as_str(), "sales");
    let kept = store::all_sightings(&mut write, name).await.expect("read");
    let honest = kept.iter().filter(|(_, name)| name.starts_with("honest")).count();
    assert_eq!((i64::try_from(kept.len()), honest), (Ok(SIGHTINGS_MAX), 20), "the newcomer's oldest went");
    assert!(!kept.iter().any(|(_, name)| name == "made up 0") && kept.iter().any(|(_, name)| name == "made up 10004"));
    let counted = store::dependents(&mut write, name).await.expect("read");
    assert_eq!((counted.seen, counted.found), (SIGHTINGS_MAX, 0));
}
