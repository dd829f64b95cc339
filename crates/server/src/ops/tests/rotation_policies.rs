//! Policies of rotations, and turns that come by the clock. No process can be started here that speaks to a database, so that each rotation
//! that is begun stays unsettled.

use std::{collections::BTreeSet, sync::Arc};

use super::{Fixture, OWNER, Role, WORKSPACE, draft, sample};
use crate::{
    app::App,
    clock::{DAY, SECOND},
    error::Error,
    ops::{
        Caller,
        connections::{self, Change, Precondition},
        rotations::{
            self,
            policy::{self, Policy, Standing},
            rules::Rules,
        },
        tombstones::{self, Removal},
    },
    store::{self, RotationPolicyRow},
};

const HOUR: i64 = 3_600 * SECOND;
/// Within which each connection has its own moment.
const SPREAD: i64 = 600 * SECOND;

fn every(days: i64) -> Policy {
    Policy { every_days: Some(days), ..Policy::default() }
}

async fn set(app: &App, name: &str, policy: Policy) -> Standing {
    policy::set(app, &Caller::shell(), WORKSPACE, name, (policy, &Precondition::Any)).await.expect("set")
}

async fn create(app: &App, name: &str) {
    connections::create(app, &Caller::shell(), WORKSPACE, sample(name)).await.expect("created");
}

async fn row(app: &App, name: &str) -> RotationPolicyRow {
    let mut read = app.store.read().await.expect("open");
    let sql = "SELECT p.* FROM rotation_policies p JOIN connections c ON c.id = p.connection_id WHERE c.name = $1";
    store::fetch!(&mut read, fetch_one, RotationPolicyRow, sql, name).expect("there")
}

/// Actor, object and detail of the events of an action, oldest first.
async fn events(app: &App, action: &str) -> Vec<(String, String, String)> {
    let mut read = app.store.read().await.expect("open");
    let sql = "SELECT actor, object, detail FROM audit_events WHERE action = $1 ORDER BY nth";
    store::fetch!(&mut read, fetch_all, (String, String, String), sql, action).expect("read")
}

async fn count(app: &App, table: &'static str) -> i64 {
    let mut read = app.store.read().await.expect("open");
    let sql = format!("SELECT count(*) FROM {table}");
    let (count,): (i64,) = store::fetch!(&mut read, fetch_one, (i64,), sqlx::AssertSqlSafe(sql.clone())).expect("counted");
    count
}

/// Goes on to a moment.
fn go_to(app: &App, at: i64) {
    app.clock.advance(at - app.clock.now() + SECOND);
}

async fn of_two_nodes_one_begins(fixture: Fixture) {
    let (app, other) = (&fixture.app, fixture.app.another_node().await);
    let names: Vec<_> = (0..12).map(|number| format!("sales{number}")).collect();
    for name in &names {
        create(app, name).await;
        set(app, name, every(1)).await;
    }
    assert_eq!(rotations::rotate_due(app).await.expect("looked"), 0, "not yet");
    app.clock.advance(DAY + SPREAD);
    other.clock.advance(DAY + SPREAD);
    let all = |node: Arc<App>| async move {
        let mut looks = 0;
        while rotations::rotate_due(&node).await.expect("looked") > 0 {
            looks += 1;
        }
        looks
    };
    let (here, there) = tokio::join!(tokio::spawn(all(app.app())), tokio::spawn(all(other)));
    assert!(here.expect("no panic") + there.expect("no panic") >= 4, "three at a time");
    let begun: Vec<_> = events(app, "connection.rotate").await.into_iter().map(|(_, object, _)| object).collect();
    assert_eq!(begun.len(), names.len(), "each once: {begun:?}");
    assert_eq!(begun.into_iter().collect::<BTreeSet<_>>(), names.into_iter().collect());
    assert_eq!(events(app, "connection.rotation_failed").await, [], "nobody came second");
}

/// Both have read the same row.
async fn of_two_that_reach_for_a_turn_one_has_it(fixture: Fixture) {
    let (app, other) = (fixture.app.app(), fixture.app.another_node().await);
    create(&app, "sales").await;
    set(&app, "sales", every(1)).await;
    for round in 0..20 {
        let before = row(&app, "sales").await;
        let take = |node: Arc<App>| {
            let (taken, due) = (RotationPolicyRow { next_at: before.next_at.map(|at| at + 1), ..before.clone() }, before.next_at);
            tokio::spawn(async move {
                let mut write = node.store.write().await.expect("open");
                let is_taken = store::move_rotation_turn(&mut write, &taken, due).await.expect("asked");
                write.commit_quietly().await.expect("committed");
                is_taken
            })
        };
        let (here, there) = tokio::join!(take(app.clone()), take(other.clone()));
        assert!(here.expect("no panic") ^ there.expect("no panic"), "one of them, in round {round}");
    }
}

async fn a_turn_that_was_missed_is_taken_and_one_that_fails_is_tried_again(fixture: Fixture) {
    let app = &fixture.app;
    create(app, "sales").await;
    let policy = Policy { every_days: Some(30), at_hour: Some(3), ..Policy::default() };
    let due = set(app, "sales", policy.clone()).await.next_at.expect("planned");
    // As if nothing had run at that hour.
    go_to(app, due + 5 * HOUR);
    let mut tries = Vec::new();
    for _ in 0..25 {
        assert_eq!(rotations::rotate_due(app).await.expect("looked"), 1);
        assert_eq!(rotations::rotate_due(app).await.expect("looked"), 0, "not at once again");
        let row = row(app, "sales").await;
        tries.push((row.next_at.expect("again") - row.tried_at.expect("tried")) / SECOND);
        go_to(app, row.next_at.expect("again"));
    }
    let next_turn = tries.pop().expect("the last");
    assert_eq!(tries, [vec![900], vec![3_600; 23]].concat());
    assert!(next_turn > 25 * 86_400, "given up until the next turn: {next_turn}");
    let shown = policy::show(app, &Caller::shell(), WORKSPACE, "sales").await.expect("there");
    let (_, failure) = shown.failed.expect("it is told");
    assert!(failure.message.contains("began to rotate the password"), "the first is not settled: {failure:?}");
    assert_eq!(events(app, "connection.rotate").await.len(), 1);
    assert_eq!(events(app, "connection.rotation_failed").await.len(), 0, "what began is not over");
}

async fn what_rotates_has_a_name_of_its_own(fixture: Fixture) {
    let app = &fixture.app;
    create(app, "sales").await;
    let owner = fixture.person(&fixture.owner().await).await.expect("signed in");
    policy::set(app, &owner, WORKSPACE, "sales", (every(7), &Precondition::Any)).await.expect("set");
    let shown = connections::show(app, &Caller::shell(), WORKSPACE, "sales").await.expect("there");
    go_to(app, shown.rotation_policy.and_then(|policy| policy.next_at).expect("it is told"));
    assert_eq!(rotations::rotate_due(app).await.expect("looked"), 1);
    let begun = events(app, "connection.rotate").await;
    let by = format!("schedule (set by {OWNER})");
    assert!(matches!(begun.as_slice(), [(actor, object, _)] if *actor == by && object == "sales"), "{begun:?}");
    let shown = connections::show(app, &Caller::shell(), WORKSPACE, "sales").await.expect("there");
    assert!(shown.rotation.is_some_and(|rotation| rotation.begun_by == by));
}

async fn a_refusal_is_told_once_in_a_turn(fixture: Fixture) {
    let app = &fixture.app;
    create(app, "sales").await;
    set(app, "sales", every(1)).await;
    let none =
        Change { draft: draft(&serde_json::json!({"password": null})), precondition: Precondition::Any, ..Default::default() };
    connections::edit(app, &Caller::shell(), WORKSPACE, "sales", none).await.expect("saved");
    for _ in 0..3 {
        go_to(app, row(app, "sales").await.next_at.expect("planned"));
        assert_eq!(rotations::rotate_due(app).await.expect("looked"), 1);
    }
    let told = events(app, "connection.rotation_failed").await;
    assert!(matches!(told.as_slice(), [(_, _, detail)] if detail.contains("\"cause\":\"invalid_fields\"")), "{told:?}");
    let shown = policy::show(app, &Caller::shell(), WORKSPACE, "sales").await.expect("there");
    let (_, failure) = shown.failed.expect("it is told");
    assert_eq!(failure.message, "The password is not set, so there is none to rotate.");

    // Somebody sets one: a new turn begins, in which nothing has stood in the way.
    let typed =
        Change { draft: draft(&serde_json::json!({"password": "typed"})), precondition: Precondition::Any, ..Default::default() };
    connections::edit(app, &Caller::shell(), WORKSPACE, "sales", typed).await.expect("saved");
    let row = row(app, "sales").await;
    assert!((-SECOND..SPREAD).contains(&(row.next_at.expect("planned") - app.clock.now() - DAY)), "{row:?}");
    assert_eq!((row.tries, row.tried_at, row.problem), (0, None, None));
}

async fn a_deleted_connection_is_left_alone_until_it_comes_back(fixture: Fixture) {
    let app = &fixture.app;
    create(app, "sales").await;
    set(app, "sales", every(1)).await;
    let removal = Removal { precondition: Precondition::Any, ..Removal::default() };
    tombstones::delete(app, &Caller::shell(), WORKSPACE, "sales", removal).await.expect("deleted");
    create(app, "sales").await;
    app.clock.advance(3 * DAY);
    assert_eq!(rotations::rotate_due(app).await.expect("looked"), 0, "it is deleted, and the new one has no policy");
    let removal = Removal { precondition: Precondition::Any, ..Removal::default() };
    tombstones::delete(app, &Caller::shell(), WORKSPACE, "sales", removal).await.expect("deleted");
    fixture.bend("UPDATE connections SET name = 'other', name_key = 'other' WHERE id NOT IN (SELECT connection_id FROM rotation_policies)").await;
    tombstones::restore(app, &Caller::shell(), WORKSPACE, "sales", &Precondition::Any).await.expect("brought back");
    assert_eq!(rotations::rotate_due(app).await.expect("looked"), 1);
    assert_eq!(events(app, "connection.rotate").await.len(), 1);
}

async fn by_a_bent_policy_no_password_is_made(fixture: Fixture) {
    let (app, shell) = (&fixture.app, Caller::shell());
    create(app, "sales").await;
    set(app, "sales", every(1)).await;
    fixture.bend("UPDATE rotation_policies SET length = 16, next_at = 0").await;
    assert_eq!(rotations::rotate_due(app).await.expect("looked"), 1);
    assert_eq!(rotations::rotate_due(app).await.expect("looked"), 0, "it is put off");
    let by_hand = rotations::rotate(app, &shell, WORKSPACE, "sales", &Precondition::Any).await;
    assert!(matches!(by_hand, Err(Error::SecretUnreadable(_))), "{by_hand:?}");
    assert_eq!(count(app, "rotations").await, 0);
    let shown = policy::show(app, &shell, WORKSPACE, "sales").await.expect("there");
    assert_eq!((shown.is_sound, shown.policy, shown.next_at), (false, Policy::default(), None));
    assert!(set(app, "sales", every(1)).await.is_sound, "set again");
    rotations::rotate(app, &shell, WORKSPACE, "sales", &Precondition::Any).await.expect("begun");
}

async fn what_is_set_holds_from_when_the_password_came(fixture: Fixture) {
    let app = &fixture.app;
    create(app, "sales").await;
    let created = app.clock.now();
    app.clock.advance(10 * DAY);
    let edit =
        Change { draft: draft(&serde_json::json!({"description": "x"})), precondition: Precondition::Any, ..Default::default() };
    connections::edit(app, &Caller::shell(), WORKSPACE, "sales", edit).await.expect("saved");
    let planned = set(app, "sales", every(30)).await;
    let next_at = planned.next_at.expect("planned");
    assert!((-SECOND..SPREAD).contains(&(next_at - created - 30 * DAY)), "from when it came, and not from now");
    let same = set(app, "sales", every(30)).await;
    assert_eq!((same.etag, same.next_at), (planned.etag.clone(), Some(next_at)), "nothing was changed");
    let rules = Rules { length: 64, symbols: "~".into() };
    let longer = set(app, "sales", Policy { rules: rules.clone(), ..every(30) }).await;
    assert_eq!((longer.next_at, &longer.policy.rules), (Some(next_at), &rules), "only the passwords are others");
    assert_ne!(longer.etag, planned.etag);
    let overdue = set(app, "sales", Policy { at_hour: Some(3), ..every(5) }).await.next_at.expect("planned");
    assert!((0..DAY + SPREAD).contains(&(overdue - app.clock.now())), "at the next three o'clock");
    assert!((0..SPREAD).contains(&(overdue.rem_euclid(DAY) - 3 * HOUR)), "{overdue}");
    let told = events(app, "connection.rotation_policy_set").await;
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told[2].2.contains("\"every_days\":5") && told[2].2.contains("\"at_hour\":3"), "{told:?}");

    let stale = Precondition::Tags(vec![planned.etag]);
    let refused = policy::remove(app, &Caller::shell(), WORKSPACE, "sales", &stale).await;
    assert!(matches!(refused, Err(Error::VersionConflict)), "{refused:?}");
    policy::remove(app, &Caller::shell(), WORKSPACE, "sales", &Precondition::Any).await.expect("removed");
    let refused = policy::remove(app, &Caller::shell(), WORKSPACE, "sales", &Precondition::Any).await;
    assert!(matches!(refused, Err(Error::NotFound(_))), "{refused:?}");
    let shown = policy::show(app, &Caller::shell(), WORKSPACE, "sales").await.expect("there");
    assert_eq!((shown.set, shown.policy), (None, Policy::default()));
}

on_both_engines! {
    of_two_nodes_one_begins as two_nodes_on_sqlite, two_nodes_on_postgres;
    of_two_that_reach_for_a_turn_one_has_it as reach_on_sqlite, reach_on_postgres;
    a_turn_that_was_missed_is_taken_and_one_that_fails_is_tried_again as missed_on_sqlite, missed_on_postgres;
    what_rotates_has_a_name_of_its_own as name_on_sqlite, name_on_postgres;
    a_refusal_is_told_once_in_a_turn as refusal_on_sqlite, refusal_on_postgres;
    a_deleted_connection_is_left_alone_until_it_comes_back as deleted_on_sqlite, deleted_on_postgres;
    by_a_bent_policy_no_password_is_made as bent_on_sqlite, bent_on_postgres;
    what_is_set_holds_from_when_the_password_came as set_on_sqlite, set_on_postgres;
}

#[tokio::test]
async fn it_goes_on_whatever_becomes_of_who_set_it() {
    let fixture = Fixture::new().await;
    let app = &fixture.app;
    create(app, "sales").await;
    let editor = fixture.member("ada@example.org", &[Role::Editor]).await;
    policy::set(app, &editor, WORKSPACE, "sales", (every(1), &Precondition::Any)).await.expect("set");
    crate::ops::people::remove_member(app, &Caller::shell(), WORKSPACE, "ada@example.org").await.expect("removed");
    go_to(app, row(app, "sales").await.next_at.expect("planned"));
    assert_eq!(rotations::rotate_due(app).await.expect("looked"), 1);
    assert_eq!(events(app, "connection.rotate").await[0].0, "schedule (set by ada@example.org)");
}
