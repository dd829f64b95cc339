//! Tests that run by themselves: which schedule is for which connection, and who runs what is due. No process can be started here that speaks to a
//! database, so that each test that is begun says nothing of one.

use std::sync::Arc;

use super::{Fixture, Role, WORKSPACE, draft, sample};
use crate::{
    app::App,
    clock::{DAY, SECOND},
    error::Error,
    ops::{
        Caller, Roles,
        connections::{self, Change, Precondition},
        health::{
            self,
            run::{Flight, begin_due},
            schedule::{self, SCHEDULES_MAX, Schedule, Standing},
        },
        paging::Paging,
        tokens::{self, NewToken},
        tombstones::{self, Removal},
    },
    store,
};

fn every(seconds: i64) -> Schedule {
    Schedule { every_seconds: seconds, ..Schedule::default() }
}

async fn set(app: &App, scope: &str, seconds: i64) -> Standing {
    schedule::set(app, &Caller::shell(), WORKSPACE, scope, (every(seconds), &Precondition::Any)).await.expect("set")
}

async fn create(app: &App, name: &str, tags: &[&str]) {
    let shell = Caller::shell();
    let mut body =
        serde_json::json!({"name": name, "type": "postgres", "host": "db.example.org", "username": "u", "password": "planted"});
    body["tags"] = serde_json::json!(tags);
    connections::create(app, &shell, WORKSPACE, draft(&body)).await.expect("created");
}

async fn delete(app: &App, name: &str) {
    let removal = Removal { precondition: Precondition::Any, ..Removal::default() };
    tombstones::delete(app, &Caller::shell(), WORKSPACE, name, removal).await.expect("deleted");
}

/// By which schedule each connection is tested, by name.
async fn followed(app: &App) -> Vec<(String, String)> {
    let mut read = app.store.read().await.expect("open");
    let sql = "SELECT c.name, h.scope FROM health h JOIN connections c ON c.id = h.connection_id ORDER BY c.name";
    let rows = store::fetch!(&mut read, fetch_all, (String, String), sql).expect("read");
    let short = |scope: String| scope.strip_prefix(":connection:").map_or(scope.clone(), |_| "own".to_owned());
    rows.into_iter().map(|(name, scope)| (name, short(scope))).collect()
}

fn expected(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, scope)| ((*name).to_owned(), (*scope).to_owned())).collect()
}

async fn the_nearest_schedule_counts(fixture: Fixture) {
    let (app, shell) = (&fixture.app, Caller::shell());
    create(app, "a", &["finance"]).await;
    create(app, "b", &["Finance", "nightly"]).await;
    create(app, "c", &[]).await;
    assert_eq!(followed(app).await, []);
    set(app, "tag:nightly", 60).await;
    set(app, "all", 30).await;
    set(app, "tag:finance", 300).await;
    assert_eq!(followed(app).await, expected(&[("a", ":tag:finance"), ("b", ":tag:nightly"), ("c", ":all")]));
    set(app, "tag:nightly", 600).await;
    assert_eq!(followed(app).await, expected(&[("a", ":tag:finance"), ("b", ":tag:finance"), ("c", ":all")]));
    schedule::set_own(app, &shell, WORKSPACE, "b", (every(3_600), &Precondition::Any)).await.expect("set");
    assert_eq!(followed(app).await[1].1, "own", "however seldom that is");
    // What is made, tagged, deleted or brought back later is followed, too.
    create(app, "d", &["nightly"]).await;
    let tagged =
        Change { draft: draft(&serde_json::json!({"tags": ["nightly"]})), precondition: Precondition::Any, ..Change::default() };
    connections::edit(app, &shell, WORKSPACE, "c", tagged).await.expect("saved");
    delete(app, "a").await;
    assert_eq!(followed(app).await, expected(&[("b", "own"), ("c", ":tag:nightly"), ("d", ":tag:nightly")]));
    tombstones::restore(app, &shell, WORKSPACE, "a", &Precondition::Any).await.expect("brought back");
    schedule::remove(app, &shell, WORKSPACE, "tag:nightly", &Precondition::Any).await.expect("removed");
    schedule::remove_own(app, &shell, WORKSPACE, "b", &Precondition::Any).await.expect("removed");
    assert_eq!(followed(app).await, expected(&[("a", ":tag:finance"), ("b", ":tag:finance"), ("c", ":all"), ("d", ":all")]));
    schedule::remove(app, &shell, WORKSPACE, "all", &Precondition::Any).await.expect("removed");
    assert_eq!(followed(app).await, expected(&[("a", ":tag:finance"), ("b", ":tag:finance")]));
    let again = schedule::remove(app, &shell, WORKSPACE, "all", &Precondition::Any).await;
    assert!(matches!(again, Err(Error::NotFound(_))), "{again:?}");
}

/// Whatever order the two come in.
async fn what_is_made_beside_a_new_schedule_is_followed(fixture: Fixture) {
    let app = fixture.app.app();
    for round in 0..25 {
        let tag = format!("t{round}");
        let (here, there, name) = (app.clone(), app.clone(), format!("made{round}"));
        let (scope, tags) = (format!("tag:{tag}"), tag.clone());
        let sets = tokio::spawn(async move { set(&here, &scope, 60).await });
        let makes = tokio::spawn(async move { create(&there, &name, &[&tags]).await });
        sets.await.expect("no panic");
        makes.await.expect("no panic");
        assert!(followed(&app).await.contains(&(format!("made{round}"), format!(":tag:{tag}"))), "round {round}");
    }
}

/// Runs what is due until nothing is.
async fn run_all(app: Arc<App>) {
    let mut flight = Flight::default();
    loop {
        begin_due(&app, &mut flight).await.expect("looked");
        let quiet = std::time::Duration::from_secs(3);
        if tokio::time::timeout(quiet, flight.one_ended()).await.is_err() {
            return;
        }
    }
}

async fn count(app: &App, sql: &'static str) -> i64 {
    let mut read = app.store.read().await.expect("open");
    store::fetch!(&mut read, fetch_one, (i64,), sql).expect("counted").0
}

async fn of_two_nodes_each_test_is_run_by_one(fixture: Fixture) {
    let (app, other) = (&fixture.app, fixture.app.another_node().await);
    for number in 0..30 {
        create(app, &format!("sales{number}"), &[]).await;
    }
    set(app, "all", 3_600).await;
    fixture.bend("UPDATE health SET next_at = 0").await;
    tokio::join!(run_all(app.app()), run_all(other));
    assert_eq!(count(app, "SELECT count(*) FROM checks").await, 30);
    assert_eq!(count(app, "SELECT count(DISTINCT connection_id) FROM checks").await, 30);
    let now = app.clock.now();
    let mut read = app.store.read().await.expect("open");
    let nexts = store::fetch!(&mut read, fetch_all, (i64,), "SELECT next_at FROM health").expect("read");
    let after: Vec<_> = nexts.iter().map(|(at,)| (at - now) / SECOND).collect();
    assert!(after.iter().all(|after| (-30..=3_600).contains(after)), "{after:?}");
    assert!(after.iter().any(|after| *after < 1_800) && after.iter().any(|after| *after > 1_800), "they are spread: {after:?}");
    // No process speaks to a database here, so that nothing is known of any.
    assert_eq!(count(app, "SELECT count(*) FROM health WHERE state <> 'unknown' OR streak > 0").await, 0);
}

async fn in_quiet_hours_and_by_a_bent_schedule_nothing_is_tested(fixture: Fixture) {
    let (app, shell) = (&fixture.app, Caller::shell());
    create(app, "sales", &[]).await;
    let minute = app.clock.now().rem_euclid(DAY) / SECOND / 60;
    let quiet = Schedule { quiet: Some((minute, (minute + 10) % 1_440)), ..every(60) };
    let set = schedule::set(app, &shell, WORKSPACE, "all", (quiet, &Precondition::Any)).await.expect("set");
    fixture.bend("UPDATE health SET next_at = 0").await;
    run_all(app.app()).await;
    assert_eq!(count(app, "SELECT count(*) FROM checks").await, 0);
    let later = count(app, "SELECT next_at FROM health").await - app.clock.now();
    assert!((8 * 60..=11 * 60).contains(&(later / SECOND)), "{later}");

    fixture.bend("UPDATE health_schedules SET quiet_from = NULL, quiet_to = NULL").await;
    fixture.bend("UPDATE health SET next_at = 0").await;
    run_all(app.app()).await;
    assert_eq!(count(app, "SELECT count(*) FROM checks").await, 0);
    let shown = schedule::show(app, &shell, WORKSPACE, "all").await.expect("there");
    assert!(!shown.is_sound && shown.set.is_some() && shown.etag == set.etag, "{shown:?}");
    let shown = schedule::set(app, &shell, WORKSPACE, "all", (every(60), &Precondition::Any)).await.expect("set again");
    assert!(shown.is_sound);
    fixture.bend("UPDATE health SET next_at = 0").await;
    run_all(app.app()).await;
    assert_eq!(count(app, "SELECT count(*) FROM checks").await, 1);
}

async fn schedules_are_bounded_and_no_change_is_lost(fixture: Fixture) {
    let (app, shell) = (&fixture.app, Caller::shell());
    let first = set(app, "all", 60).await;
    let same = set(app, "all", 60).await;
    assert_eq!(first.etag, same.etag, "nothing was changed");
    let second = set(app, "all", 90).await;
    let stale = Precondition::Tags(vec![first.etag]);
    let refused = schedule::set(app, &shell, WORKSPACE, "all", (every(30), &stale)).await;
    assert!(matches!(refused, Err(Error::VersionConflict)), "{refused:?}");
    let none_yet = schedule::none_yet(&schedule::Scope::All);
    let refused = schedule::set(app, &shell, WORKSPACE, "all", (every(30), &none_yet)).await;
    assert!(matches!(refused, Err(Error::VersionConflict)), "there is one: {refused:?}");
    let fresh = Precondition::Tags(vec![second.etag]);
    schedule::set(app, &shell, WORKSPACE, "all", (every(30), &fresh)).await.expect("set");
    for number in 1..SCHEDULES_MAX {
        set(app, &format!("tag:t{number}"), 60).await;
    }
    let refused = schedule::set(app, &shell, WORKSPACE, "tag:more", (every(60), &Precondition::Any)).await;
    assert!(matches!(refused, Err(Error::Invalid(_))), "{refused:?}");
    set(app, "tag:t7", 90).await;
    create(app, "sales", &[]).await;
    schedule::set_own(app, &shell, WORKSPACE, "sales", (every(60), &Precondition::Any)).await.expect("its own counts for none");
    let paging = Paging { cursor: None, limit: Some(60) };
    let page = schedule::list(app, &shell, WORKSPACE, &paging).await.expect("listed");
    let rest = Paging { cursor: page.next, limit: Some(60) };
    let rest = schedule::list(app, &shell, WORKSPACE, &rest).await.expect("listed");
    assert_eq!((page.rows.len(), rest.rows.len(), rest.next), (60, 40, None));
}

on_both_engines! {
    the_nearest_schedule_counts as nearest_on_sqlite, nearest_on_postgres;
    what_is_made_beside_a_new_schedule_is_followed as beside_on_sqlite, beside_on_postgres;
    of_two_nodes_each_test_is_run_by_one as health_nodes_on_sqlite, health_nodes_on_postgres;
    in_quiet_hours_and_by_a_bent_schedule_nothing_is_tested as quiet_on_sqlite, quiet_on_postgres;
    schedules_are_bounded_and_no_change_is_lost as bounded_on_sqlite, bounded_on_postgres;
}

#[tokio::test]
async fn it_goes_on_whatever_becomes_of_who_set_it() {
    let fixture = Fixture::new().await;
    let app = &fixture.app;
    connections::create(app, &Caller::shell(), WORKSPACE, sample("sales")).await.expect("created");
    let editor = fixture.member("ada@example.org", &[Role::Editor]).await;
    let refused = schedule::set(app, &editor, WORKSPACE, "all", (every(60), &Precondition::Any)).await;
    assert!(matches!(refused, Err(Error::Forbidden(_))), "{refused:?}");
    schedule::set_own(app, &editor, WORKSPACE, "sales", (every(60), &Precondition::Any)).await.expect("set");
    crate::ops::people::remove_member(app, &Caller::shell(), WORKSPACE, "ada@example.org").await.expect("removed");
    fixture.bend("UPDATE health SET next_at = 0").await;
    run_all(app.app()).await;
    assert_eq!(count(app, "SELECT count(*) FROM checks WHERE checked_by = 'schedule'").await, 1);
    let shown = health::show(app, &Caller::shell(), WORKSPACE, "sales").await.expect("there");
    assert_eq!(shown.by.and_then(|by| by.set).map(|(_, by)| by).as_deref(), Some("ada@example.org"));
}

async fn nexts(app: &App) -> Vec<(String, i64)> {
    let mut read = app.store.read().await.expect("open");
    let sql = "SELECT c.name, h.next_at FROM health h JOIN connections c ON c.id = h.connection_id ORDER BY c.name";
    store::fetch!(&mut read, fetch_all, (String, i64), sql).expect("read")
}

async fn a_schedule_moves_nothing_that_it_is_not_for(fixture: Fixture) {
    let (app, shell) = (&fixture.app, Caller::shell());
    for (name, tags) in [("a", &["finance"][..]), ("b", &[]), ("c", &[]), ("d", &["nightly"])] {
        create(app, name, tags).await;
    }
    set(app, "all", 86_400).await;
    set(app, "tag:nightly", 7_200).await;
    schedule::set_own(app, &shell, WORKSPACE, "b", (every(604_800), &Precondition::Any)).await.expect("set");
    // The year 2100.
    let far = 4_102_444_800_000_000;
    fixture.bend("UPDATE health SET streak = 5, next_at = 4102444800000000").await;
    set(app, "tag:finance", 600).await;
    let after = nexts(app).await;
    assert!(after[0].1 <= app.clock.now() + 600 * SECOND, "it is tested by the new one soon: {after:?}");
    assert_eq!(after[1..].iter().map(|(_, at)| *at).collect::<Vec<_>>(), [far; 3], "nobody else is: {after:?}");
    schedule::remove(app, &shell, WORKSPACE, "tag:finance", &Precondition::Any).await.expect("removed");
    let after = nexts(app).await;
    assert_eq!(after[1..].iter().map(|(_, at)| *at).collect::<Vec<_>>(), [far; 3], "{after:?}");
    // One that tests more often from now on does not wait for the time of before.
    set(app, "tag:nightly", 300).await;
    let after = nexts(app).await;
    assert!(after[3].1 <= app.clock.now() + 300 * SECOND && after[2].1 == far, "{after:?}");
    // A connection that is edited keeps its time, too.
    let tagged =
        Change { draft: draft(&serde_json::json!({"tags": ["other"]})), precondition: Precondition::Any, ..Change::default() };
    connections::edit(app, &shell, WORKSPACE, "c", tagged).await.expect("saved");
    assert_eq!(nexts(app).await[2].1, far);
}

/// A narrowed token sees its own, in pages.
async fn who_is_narrowed_sees_his_own(fixture: Fixture) {
    let (app, shell) = (&fixture.app, Caller::shell());
    for name in ["a", "b", "c", "d"] {
        create(app, name, &[]).await;
    }
    set(app, "all", 3_600).await;
    create(app, "e", &[]).await;
    let names = vec!["b".to_owned(), "d".to_owned(), "e".to_owned()];
    let new =
        NewToken { name: "narrow".into(), roles: Roles::of(&[Role::Viewer]), expires_in_days: None, connections: Some(names) };
    let secret = tokens::create(app, &shell, WORKSPACE, new).await.expect("a token").0;
    let caller = fixture.by_token(&secret).await.expect("it lives");
    let one = Paging { cursor: None, limit: Some(1) };
    let first = health::list(app, &caller, WORKSPACE, None, &one).await.expect("listed");
    let second = Paging { cursor: first.next.clone(), limit: Some(1) };
    let second = health::list(app, &caller, WORKSPACE, None, &second).await.expect("listed");
    let seen: Vec<_> = first.rows.iter().chain(&second.rows).map(|listed| listed.row.name.as_str()).collect();
    assert_eq!((seen, second.next.is_some()), (vec!["b", "d"], true), "another one follows");
    let gauges = health::gauges::render(app, &caller).await.expect("rendered");
    assert!(gauges.contains("connection=\"b\"") && !gauges.contains("connection=\"a\""), "{gauges}");
}

on_both_engines! {
    a_schedule_moves_nothing_that_it_is_not_for as moves_on_sqlite, moves_on_postgres;
    who_is_narrowed_sees_his_own as narrowed_on_sqlite, narrowed_on_postgres;
}

/// Ranges of texts are those of bytes whatever language the database was made for.
#[tokio::test]
async fn every_text_of_postgresql_is_compared_by_its_bytes() {
    let fixture = Fixture::on_postgres().await;
    let mut read = fixture.app.store.read().await.expect("open");
    let sql = "SELECT table_name || '.' || column_name FROM information_schema.columns WHERE table_schema = current_schema() \
               AND data_type IN ('text', 'character varying') AND collation_name IS DISTINCT FROM 'C' AND table_name <> '_sqlx_migrations'";
    let others = store::fetch!(&mut read, fetch_all, (String,), sql).expect("read");
    // Of a time before this was looked at; nothing asks for a range of them.
    let known = ["sessions.address", "sessions.agent", "nodes.id"];
    let others: Vec<_> = others.into_iter().map(|(name,)| name).filter(|name| !known.contains(&name.as_str())).collect();
    assert_eq!(others, [""; 0]);
}
