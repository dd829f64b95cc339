//! What goes on beside the end of a workspace: a rotation of the keys, and others who make something in it.

use std::sync::Arc;

use dataflow_vault::random_uuid;

use super::{MEMBER, THEIRS, count, count_use, delete, fill};
use crate::{
    error::Error,
    ops::{
        Caller, Role, Roles,
        connections::{self, Precondition},
        credentials, groups,
        keys::{
            self,
            rotation::{Rotation, Step},
        },
        people,
        tests::{Fixture, WORKSPACE, sample},
        tokens::{self, NewToken},
    },
    store,
};

/// Of a rotation's steps the one before which a workspace goes is another one each time.
async fn a_rotation_goes_on(fixture: &Fixture, every: usize) {
    let app = &fixture.app;
    fixture.sign_up(MEMBER, &[Role::User]).await;
    let kept = connections::create(app, &Caller::shell(), WORKSPACE, sample("sales")).await.expect("created");
    let (mut before_step, mut ended) = (0, false);
    while !ended {
        fill(fixture).await;
        keys::rotate(app, &Caller::shell()).await.expect("begun");
        let (mut rotation, mut steps) = (Rotation::default(), 0);
        loop {
            if steps == before_step {
                delete(app).await.unwrap_or_else(|error| panic!("before step {steps}: {error:?}"));
            }
            steps += 1;
            match rotation.step(app).await.expect("it goes on") {
                Step::Done => break,
                Step::More | Step::Waits => assert!(steps < 1_000, "it does not end"),
            }
        }
        if steps <= before_step {
            delete(app).await.expect("after its end");
            ended = true;
        }
        let status = keys::status(app, &Caller::shell()).await.expect("told");
        assert!(!status.rotating && status.rows_under_older_keys == 0, "before step {before_step}: {status:?}");
        assert_eq!(status.workspaces.len(), 1);
        let name = &kept.row.name;
        credentials::resolve(app, &Caller::shell(), WORKSPACE, name, |_| false).await.expect("what stays opens");
        before_step += every;
    }
    assert!(before_step > 5, "{before_step}");
}

#[tokio::test]
async fn a_rotation_goes_on_whenever_a_workspace_ends() {
    Box::pin(a_rotation_goes_on(&Fixture::new().await, 1)).await;
}

#[tokio::test]
async fn a_rotation_goes_on_whenever_a_workspace_ends_on_postgres() {
    Box::pin(a_rotation_goes_on(&Fixture::on_postgres().await, 3)).await;
}

/// Waits on PostgreSQL, where writers do not queue: what makes something in a workspace that is being deleted, and the other way round.
#[tokio::test]
async fn who_comes_late_finds_it_gone_and_who_was_first_is_waited_for() {
    let fixture = Fixture::on_postgres().await;
    let (app, shell) = (&fixture.app, Caller::shell());
    fixture.sign_up(MEMBER, &[Role::User]).await;
    let token = fill(&fixture).await;
    let robot = fixture.by_token(&token).await.expect("it lives");
    let row = connections::show(app, &shell, THEIRS, "sales").await.expect("there").row;

    // One who saves is first: the deletion waits, and then finds more than it was told of.
    let mut first = app.store.write().await.expect("open");
    assert!(store::hold_connection(&mut first, &row.workspace_id, "sales", "sales").await.expect("held"));
    let waits = tokio::spawn({
        let app = Arc::clone(app);
        async move { delete(&app).await }
    });
    app.until_waiting(1).await;
    let another =
        store::ConnectionRow { id: random_uuid().to_string(), name: "more".into(), name_key: "more".into(), ..row.clone() };
    store::insert_connection(&mut first, &another).await.expect("inserted");
    first.commit().await.expect("committed");
    assert!(matches!(waits.await.expect("no panic"), Err(Error::VersionConflict)));

    // The deletion is first: everybody else waits, and finds it gone.
    let mut deletes = app.store.write().await.expect("open");
    store::hold_workspaces(&mut deletes).await.expect("held");
    store::hold_whole_workspace(&mut deletes, &row.workspace_id).await.expect("held");
    assert!(store::delete_workspace(&mut deletes, &row.workspace_id).await.expect("deleted"));
    count_use(app, &row);
    let flush = tokio::spawn({
        let app = Arc::clone(app);
        async move { app.uses.flush(&app.store).await }
    });
    let late: Vec<_> = (0..5)
        .map(|number| {
            let (app, shell, robot) = (Arc::clone(app), Caller::shell(), robot.clone());
            tokio::spawn(async move {
                match number {
                    0 => connections::create(&app, &shell, THEIRS, sample("late")).await.map(drop),
                    1 => {
                        let change =
                            connections::Change { draft: sample("sales"), precondition: Precondition::Any, ..Default::default() };
                        connections::edit(&app, &shell, THEIRS, "sales", change).await.map(drop)
                    }
                    2 => {
                        let new = NewToken {
                            name: "late".into(),
                            roles: Roles::of(&[Role::User]),
                            expires_in_days: None,
                            connections: None,
                        };
                        tokens::create(&app, &robot, THEIRS, new).await.map(drop)
                    }
                    3 => people::put_member(&app, &shell, THEIRS, "late@example.org", Roles::of(&[Role::User])).await.map(drop),
                    _ => groups::put(&app, &shell, THEIRS, "late", &[]).await.map(drop),
                }
            })
        })
        .collect();
    // A use counts for nobody once its connection is gone; until then it waits as the others do.
    app.until_waiting(6).await;
    deletes.commit().await.expect("committed");
    for (number, late) in late.into_iter().enumerate() {
        let came_to = late.await.expect("no panic");
        let is_gone = matches!(came_to, Err(Error::NotFound(_) | Error::Unauthenticated));
        assert!(is_gone, "{number}: {came_to:?}");
    }
    let _ = flush.await.expect("no panic");
    app.uses.flush(&app.store).await.expect("it is not tried for ever");
    assert_eq!(count(app, "SELECT count(*) FROM sightings").await, 0);
    assert_eq!(count(app, "SELECT count(*) FROM people WHERE email = 'late@example.org'").await, 0);
}
