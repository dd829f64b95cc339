//! Second logins beside what else happens to their rows. No process can be started here that speaks to a database: whoever sets a password
//! learns nothing of what came of it.

use dataflow_model::{Workflow, WorkflowKind};

use super::{Fixture, Role, WORKSPACE, draft, sample};
use crate::{
    clock::SECOND,
    error::Error,
    ops::{
        Caller,
        connections::{self, Change, Precondition},
        credentials,
        dependents::{HELD, NOTED_AGAIN},
        history::{self, Restore},
        keys::{self, rotation::Rotation},
        rotations::{
            self, State,
            second_login::{self, Standing, planted},
        },
        second_look, workspaces,
    },
    store::{self, SecondLoginRow},
};

async fn row(fixture: &Fixture) -> Option<SecondLoginRow> {
    let mut read = fixture.app.store.read().await.expect("open");
    let rows = store::fetch!(&mut read, fetch_all, SecondLoginRow, "SELECT * FROM second_logins").expect("read");
    rows.into_iter().next()
}

/// `sales`, with a second login.
async fn with_second(fixture: &Fixture, retires_from: Option<i64>) {
    connections::create(&fixture.app, &Caller::shell(), WORKSPACE, sample("sales")).await.expect("created");
    planted::plant(&fixture.app, WORKSPACE, "sales", ("bert", retires_from)).await;
}

async fn edit(fixture: &Fixture, change: &serde_json::Value) -> crate::error::Result<()> {
    let change = Change { draft: draft(change), precondition: Precondition::Any, ..Default::default() };
    connections::edit(&fixture.app, &Caller::shell(), WORKSPACE, "sales", change).await.map(drop)
}

async fn its_passwords_are_sealed_anew_when_keys_rotate(fixture: Fixture) {
    let app = &fixture.app;
    with_second(&fixture, None).await;
    let rotated = rotations::rotate(app, &Caller::shell(), WORKSPACE, "sales", &Precondition::Any).await.expect("it began");
    assert_eq!(rotated.state, State::Unchanged, "the connection is what it was");
    let before = row(&fixture).await.expect("kept");
    let clear = planted::passwords(app, WORKSPACE, &before).await.expect("they open");
    assert_eq!((clear.0.as_str(), clear.1.as_ref().map(String::len)), ("planted for bert", Some(32)), "it may have been set");
    keys::rotate(app, &Caller::shell()).await.expect("begun");
    Rotation::to_the_end(app).await.expect("done");
    let after = row(&fixture).await.expect("kept");
    assert_eq!((before.key_version, after.key_version), (1, 2), "or the old key could not have been retired");
    assert_eq!(planted::passwords(app, WORKSPACE, &after).await.expect("they open under the new key"), clear);
    assert!(planted::passwords(app, WORKSPACE, &before).await.is_err(), "what was of before opens no more");
}

async fn of_two_rotations_at_once_one_is_told_of_the_other(fixture: Fixture) {
    let app = &fixture.app;
    with_second(&fixture, None).await;
    let shell = Caller::shell();
    let rotate = async || rotations::rotate(app, &shell, WORKSPACE, "sales", &Precondition::Any).await;
    let (one, two) = tokio::join!(rotate(), rotate());
    for came_to in [&one, &two] {
        let is_told = matches!(came_to, Err(Error::RotationUnderWay(_)));
        assert!(is_told || came_to.as_ref().is_ok_and(|rotated| rotated.state == State::Unchanged), "{came_to:?}");
    }
    assert!(one.is_ok() || two.is_ok());
    let row = row(&fixture).await.expect("kept");
    let (kept, _) = planted::passwords(app, WORKSPACE, &row).await.expect("they open");
    assert_eq!((kept.as_str(), row.leased_until), ("planted for bert", 0), "and nobody is at it any more");
}

/// An edit or a restore by which the connection signs in as its second login has the two change places; while that one's password is being
/// changed it is refused.
async fn a_change_that_switches_back_ends_the_retirement(fixture: Fixture) {
    let (app, shell) = (&fixture.app, Caller::shell());
    with_second(&fixture, None).await;
    // The password that is kept may be the only one that signs in: nothing that nobody tested takes its place.
    let refused = edit(&fixture, &serde_json::json!({"username": "bert", "password": "known"})).await;
    assert!(matches!(&refused, Err(Error::Invalid(errors)) if errors[0].code == "not_tested"), "{refused:?}");
    assert_eq!(row(&fixture).await.expect("kept").username, "bert");
    edit(&fixture, &serde_json::json!({"username": "bert", "password": "planted for bert"})).await.expect("saved");
    let kept = row(&fixture).await.expect("kept");
    assert_eq!((kept.username.as_str(), kept.retires_from), ("analytics", Some(2)));
    assert_eq!(planted::passwords(app, WORKSPACE, &kept).await.expect("it opens").0, "planted", "the password of before");

    let wanted = || Restore { version: 1, precondition: Precondition::Any, ..Default::default() };
    fixture.bend("UPDATE second_logins SET owner = 'another node', leased_until = 9000000000000000").await;
    // Who was at the one before is not at this one.
    let mut write = app.store.write().await.expect("open");
    assert!(!store::lease_second_login(&mut write, &kept.connection_id, "a dead node", 0).await.expect("asked"));
    drop(write);
    let refused = history::restore(app, &shell, WORKSPACE, "sales", wanted()).await;
    assert!(matches!(refused, Err(Error::RotationUnderWay(_))), "{refused:?}");
    let refused = second_login::remove(app, &shell, WORKSPACE, "sales", (true, &Precondition::Any)).await;
    assert!(matches!(refused, Err(Error::RotationUnderWay(_))), "{refused:?}");
    edit(&fixture, &serde_json::json!({"description": "y"})).await.expect("what clients connect with stays");
    fixture.bend("UPDATE second_logins SET leased_until = 0").await;
    history::restore(app, &shell, WORKSPACE, "sales", wanted()).await.expect("restored");
    let kept = row(&fixture).await.expect("kept");
    assert_eq!((kept.username.as_str(), kept.retires_from), ("bert", Some(4)));
    assert_eq!(planted::passwords(app, WORKSPACE, &kept).await.expect("it opens").0, "planted for bert");
    let moved = serde_json::json!({"username": "bert", "host": "other.example.org", "password": "typed"});
    assert!(matches!(edit(&fixture, &moved).await, Err(Error::Invalid(_))), "it would be forgotten");
    second_login::remove(app, &shell, WORKSPACE, "sales", (true, &Precondition::Any)).await.expect("removed");
    edit(&fixture, &moved).await.expect("saved");
}

/// Whoever was at it may have sent a password that the database takes a moment later: until then nothing takes its place.
async fn what_may_still_happen_is_waited_for(fixture: Fixture) {
    let (app, shell) = (&fixture.app, Caller::shell());
    with_second(&fixture, None).await;
    let rotated = rotations::rotate(app, &shell, WORKSPACE, "sales", &Precondition::Any).await.expect("it began");
    assert_eq!(rotated.state, State::Unchanged);
    let kept = row(&fixture).await.expect("kept");
    assert!(kept.candidate.is_some() && kept.leased_until == 0, "{kept:?}");
    let switch = serde_json::json!({"username": "bert", "password": "planted for bert"});
    let remove = async || second_login::remove(app, &shell, WORKSPACE, "sales", (true, &Precondition::Any)).await;
    let refused = edit(&fixture, &switch).await;
    assert!(matches!(refused, Err(Error::RotationUnderWay(_))), "{refused:?}");
    assert!(matches!(remove().await, Err(Error::RotationUnderWay(_))));
    // The same where his lease has run out.
    let long_ago = kept.tried_at.expect("tried") - 60 * SECOND;
    let lost = SecondLoginRow { tried_at: Some(long_ago), leased_until: app.clock.now() - SECOND, ..kept.clone() };
    let mut write = app.store.write().await.expect("open");
    store::put_second_login(&mut write, &lost).await.expect("kept");
    write.commit_quietly().await.expect("kept");
    assert!(matches!(edit(&fixture, &switch).await, Err(Error::RotationUnderWay(_))));
    app.clock.advance(20 * SECOND);
    let refused = edit(&fixture, &switch).await;
    assert!(matches!(refused, Err(Error::Invalid(_))), "nobody tested it: {refused:?}");
    remove().await.expect("removed");
}

/// While a switch is under way nothing else becomes of the connection: it would be lost.
async fn a_switch_is_not_disturbed(fixture: Fixture) {
    with_second(&fixture, None).await;
    fixture.bend("UPDATE second_logins SET owner = 'another node', leased_until = 9000000000000000").await;
    let refused = edit(&fixture, &serde_json::json!({"description": "new"})).await;
    assert!(matches!(refused, Err(Error::RotationUnderWay(_))), "{refused:?}");
    // A retirement is no matter of its versions.
    fixture.bend("UPDATE second_logins SET retires_from = 1").await;
    edit(&fixture, &serde_json::json!({"description": "new"})).await.expect("saved");
}

/// `sales`, which was switched over from the login of before by its second version.
async fn switched(fixture: &Fixture) {
    connections::create(&fixture.app, &Caller::shell(), WORKSPACE, sample("sales")).await.expect("created");
    edit(fixture, &serde_json::json!({"username": "carl", "password": "typed"})).await.expect("saved");
    planted::plant(&fixture.app, WORKSPACE, "sales", ("analytics", Some(2))).await;
}

/// Who is waited for, as told to somebody who may see all.
async fn lagging(fixture: &Fixture) -> String {
    let shown = second_login::show(&fixture.app, &Caller::shell(), WORKSPACE, "sales").await.expect("there");
    let told = |laggard: &dataflow_model::Laggard| format!("{}@{}", laggard.name, laggard.host.as_deref().unwrap_or("?"));
    let mut told: Vec<_> = shown.laggards.workflows.iter().map(told).collect();
    told.sort_unstable();
    told.join(" ")
}

/// Has the store say that a program was given a version of `sales` so many seconds ago.
async fn give(fixture: &Fixture, (kind, workflow, host): (&str, &str, &str), (version, ago): (i64, i64)) {
    let given_at = fixture.app.clock.now() - ago * SECOND;
    let mut write = fixture.app.store.write().await.expect("open");
    let sql = "INSERT INTO holders (workspace_id, connection_id, name_key, kind, workflow, host, used_by_id, version, used_by, given_at) \
               SELECT workspace_id, id, 'sales', $1, $2, $3, 'person eve', $4, 'eve', $5 FROM connections";
    store::execute!(&mut write, sql, kind, workflow, host, version, given_at).expect("given");
    write.commit_quietly().await.expect("kept");
}

/// Of two replicas of a workflow one may have moved and the other not.
async fn each_program_is_waited_for_by_itself(fixture: Fixture) {
    switched(&fixture).await;
    let replicas = [("app", "board", "one"), ("app", "board", "two")];
    let unknown = [("", "eve", ""), ("pipeline", "nightly", "")];
    for program in replicas.into_iter().chain(unknown) {
        give(&fixture, program, (1, 3_600)).await;
    }
    assert_eq!(lagging(&fixture).await, "board@one board@two eve@? nightly@?");
    for program in [replicas[0], unknown[0], unknown[1]] {
        give(&fixture, program, (2, 60)).await;
    }
    let told = lagging(&fixture).await;
    assert_eq!(told, "board@two eve@? nightly@?", "of who does not say who he is another one may hold it still");
    give(&fixture, replicas[1], (2, 30)).await;
    // A version of before that it was given by a node that did not know better.
    fixture.bend("UPDATE holders SET given_at = given_at + 3590000000 WHERE host = 'one' AND version = 1").await;
    assert_eq!(lagging(&fixture).await, "board@one eve@? nightly@?");
    fixture.app.clock.advance(HELD);
    assert_eq!(lagging(&fixture).await, "", "a day is waited for");
}

/// After a switch that was taken back nobody holds what nobody was given.
#[tokio::test]
async fn who_never_had_a_login_is_not_waited_for() {
    let fixture = Fixture::new().await;
    connections::create(&fixture.app, &Caller::shell(), WORKSPACE, sample("sales")).await.expect("created");
    edit(&fixture, &serde_json::json!({"username": "carl", "password": "typed"})).await.expect("saved");
    edit(&fixture, &serde_json::json!({"username": "analytics", "password": "typed"})).await.expect("saved");
    planted::plant(&fixture.app, WORKSPACE, "sales", ("carl", Some(3))).await;
    give(&fixture, ("app", "board", "one"), (1, 3_600)).await;
    give(&fixture, ("app", "board", "two"), (2, 60)).await;
    assert_eq!(lagging(&fixture).await, "board@two");
    fixture.bend("DELETE FROM connection_versions WHERE version = 1").await;
    assert_eq!(lagging(&fixture).await, "board@one board@two", "nobody knows what it was");
}

/// What is not noted, or forgotten again, is waited for all the same.
async fn who_is_not_noted_is_waited_for(fixture: Fixture) {
    const OTHERS: &str = "more programs than are noted one by one@?";
    let app = &fixture.app;
    switched(&fixture).await;
    for (host, ago) in [("one", 50), ("two", 40), ("three", 30), ("four", 20)] {
        give(&fixture, ("app", "board", host), (1, ago)).await;
    }
    let ids = async || {
        let mut read = app.store.read().await.expect("open");
        let ids = store::fetch!(&mut read, fetch_one, (String, String), "SELECT workspace_id, id FROM connections");
        ids.expect("there")
    };
    let (workspace, connection) = ids().await;
    let mut write = app.store.write().await.expect("open");
    store::forget_holders(&mut write, (&workspace, &connection), 2).await.expect("forgotten");
    write.commit_quietly().await.expect("kept");
    assert_eq!(lagging(&fixture).await, format!("board@four board@three board@two {OTHERS}"));
    let mut write = app.store.write().await.expect("open");
    store::forget_holders(&mut write, (&workspace, &connection), 10).await.expect("asked");
    write.commit_quietly().await.expect("kept");
    app.clock.advance(HELD - 30 * SECOND);
    assert_eq!(lagging(&fixture).await, "board@four", "those that were forgotten were given it longer ago");

    // More between two flushes than are counted of one caller.
    fixture.bend("DELETE FROM holders").await;
    fixture.bend("UPDATE second_logins SET retires_from = 9").await;
    for host in 0..300 {
        let host = Some(format!("host{host}"));
        let workflow = Workflow { kind: WorkflowKind::App, name: "board".into(), run: None, host };
        let caller = Caller { workflow: Some(workflow), ..Caller::shell() };
        credentials::resolve(app, &caller, WORKSPACE, "sales", |_| false).await.expect("resolved");
    }
    app.uses.flush(&app.store).await.expect("written");
    let mut read = app.store.read().await.expect("open");
    let counted = store::fetch!(
        &mut read,
        fetch_one,
        (i64, i64),
        "SELECT count(*), count(CASE WHEN name_key = '' THEN 1 END) FROM holders"
    );
    let counted = counted.expect("counted");
    assert!(counted.0 < 300 && counted.1 == 1, "{counted:?}");
}

/// A program that was given the same again is noted often enough to be waited for a day from its last use on, and is forgotten after that.
#[tokio::test]
async fn what_a_program_was_given_is_kept_for_a_day() {
    let fixture = Fixture::new().await;
    let app = &fixture.app;
    connections::create(app, &Caller::shell(), WORKSPACE, sample("sales")).await.expect("created");
    let given = async || {
        let mut read = app.store.read().await.expect("open");
        let sql = "SELECT host, version, given_at FROM holders ORDER BY host, version";
        store::fetch!(&mut read, fetch_all, (String, i64, i64), sql).expect("read")
    };
    let begun = app.clock.now();
    let use_on = async |host: Option<&str>| {
        let workflow = Workflow { kind: WorkflowKind::App, name: "board".into(), run: None, host: host.map(str::to_owned) };
        let caller = Caller { workflow: Some(workflow), ..Caller::shell() };
        credentials::resolve(app, &caller, WORKSPACE, "sales", |_| false).await.expect("resolved");
        app.uses.flush(&app.store).await.expect("written");
    };
    for host in ["one", "two"] {
        use_on(Some(host)).await;
    }
    edit(&fixture, &serde_json::json!({"password": "typed"})).await.expect("saved");
    app.clock.advance(SECOND);
    use_on(Some("one")).await;
    use_on(Some("two")).await;
    app.clock.advance(SECOND);
    use_on(Some("two")).await;
    let versions: Vec<_> = given().await.into_iter().map(|(host, version, _)| (host, version)).collect();
    assert_eq!(versions, [("one".to_owned(), 2), ("two".into(), 2)], "who was given another version holds that");
    app.clock.advance(NOTED_AGAIN);
    use_on(Some("two")).await;
    let last = given().await.into_iter().next_back().expect("there");
    assert!(last.2 >= begun + NOTED_AGAIN, "it was noted again: {last:?}");
    app.clock.advance(HELD - NOTED_AGAIN);
    assert!(crate::jobs::purge::run_if_due(app).await.expect("purged"));
    assert_eq!(given().await.len(), 1, "who used it within a day");
    app.clock.advance(HELD);
    assert!(crate::jobs::purge::run_if_due(app).await.expect("purged"));
    assert!(given().await.is_empty());
}

/// Who only has an open session in his hands cannot have the former login retired.
#[tokio::test]
async fn a_restore_that_switches_takes_a_second_look() {
    let fixture = Fixture::new().await;
    let app = &fixture.app;
    connections::create(app, &Caller::shell(), WORKSPACE, sample("sales")).await.expect("created");
    edit(&fixture, &serde_json::json!({"username": "bert", "password": "planted for bert"})).await.expect("saved");
    edit(&fixture, &serde_json::json!({"username": "carl", "password": "other"})).await.expect("saved");
    planted::plant(app, WORKSPACE, "sales", ("bert", None)).await;
    let editor = fixture.member("ada@example.org", &[Role::Editor]).await;
    let restore = async |version| {
        let wanted = Restore { version, precondition: Precondition::Any, ..Default::default() };
        history::restore(app, &editor, WORKSPACE, "sales", wanted).await.map(drop)
    };
    app.clock.advance(second_look::CONFIRMED_FOR + SECOND);
    assert!(matches!(restore(2).await, Err(Error::SecondLook)), "bert is the second login");
    assert_eq!(row(&fixture).await.expect("there").username, "bert");
    restore(1).await.expect("no switch takes none");
}

/// More than one transaction takes.
#[tokio::test]
async fn many_second_logins_are_sealed_anew() {
    let fixture = Fixture::new().await;
    let app = &fixture.app;
    for count in 0..205 {
        let name = format!("sales{count}");
        connections::create(app, &Caller::shell(), WORKSPACE, sample(&name)).await.expect("created");
        planted::plant(app, WORKSPACE, &name, ("bert", None)).await;
    }
    keys::rotate(app, &Caller::shell()).await.expect("begun");
    Rotation::to_the_end(app).await.expect("done");
    let mut read = app.store.read().await.expect("open");
    let counted =
        store::fetch!(&mut read, fetch_all, (i64, i64), "SELECT key_version, count(*) FROM second_logins GROUP BY key_version");
    assert_eq!(counted.expect("counted"), [(2, 205)]);
}

/// Nothing is retired while a program lags behind, nor where the connection signs in as that login by now.
async fn who_lags_behind_is_waited_for_and_what_serves_is_never_retired(fixture: Fixture) {
    let (app, shell) = (&fixture.app, Caller::shell());
    switched(&fixture).await;
    give(&fixture, ("notebook", "churn", "laptop"), (1, 0)).await;
    assert_eq!(second_login::look_after(app).await.expect("looked"), 1);
    let waits = row(&fixture).await.expect("kept");
    assert_eq!((waits.tries, waits.candidate.is_some()), (0, false), "it was not touched");
    assert!(waits.next_at >= app.clock.now() + 8 * SECOND);
    let refused = second_login::retire(app, &shell, WORKSPACE, "sales", (false, &Precondition::Any)).await;
    assert!(matches!(&refused, Err(Error::LoginNotRetired(login)) if login.laggards.total == 1), "{refused:?}");

    // Also where the name that it was given it by is no longer one of the connection's.
    fixture.bend("UPDATE holders SET name_key = 'former'").await;
    let refused = second_login::retire(app, &shell, WORKSPACE, "sales", (false, &Precondition::Any)).await;
    assert!(matches!(&refused, Err(Error::LoginNotRetired(login)) if login.laggards.total == 1), "{refused:?}");

    app.clock.advance(11 * SECOND);
    fixture.bend("UPDATE holders SET version = 2").await;
    assert_eq!(second_login::look_after(app).await.expect("looked"), 1);
    let tried = row(&fixture).await.expect("kept");
    assert_eq!((tried.tries, tried.candidate.is_some()), (1, true), "it may be set by now, so both are kept");
    let shown = second_login::show(app, &shell, WORKSPACE, "sales").await.expect("there");
    assert!(shown.standing == Standing::Retiring && shown.sentence().contains("The last time:"), "{shown:?}");
    assert_eq!(second_login::look_after(app).await.expect("looked"), 0, "not at once");

    // A backup may have such a row.
    planted::plant(app, WORKSPACE, "sales", ("carl", Some(2))).await;
    assert_eq!(second_login::look_after(app).await.expect("looked"), 1);
    assert!(row(&fixture).await.is_some_and(|row| row.candidate.is_none()), "what serves is left alone");
}

on_both_engines! {
    what_may_still_happen_is_waited_for as
        what_may_still_happen_is_waited_for_on_sqlite, what_may_still_happen_is_waited_for_on_postgres;
    a_switch_is_not_disturbed as a_switch_is_not_disturbed_on_sqlite, a_switch_is_not_disturbed_on_postgres;
    each_program_is_waited_for_by_itself as
        each_program_is_waited_for_by_itself_on_sqlite, each_program_is_waited_for_by_itself_on_postgres;
    who_is_not_noted_is_waited_for as who_is_not_noted_is_waited_for_on_sqlite, who_is_not_noted_is_waited_for_on_postgres;
    its_passwords_are_sealed_anew_when_keys_rotate as
        its_passwords_are_sealed_anew_when_keys_rotate_on_sqlite, its_passwords_are_sealed_anew_when_keys_rotate_on_postgres;
    of_two_rotations_at_once_one_is_told_of_the_other as
        of_two_rotations_at_once_one_is_told_of_the_other_on_sqlite, of_two_rotations_at_once_one_is_told_of_the_other_on_postgres;
    a_change_that_switches_back_ends_the_retirement as
        a_change_that_switches_back_ends_the_retirement_on_sqlite, a_change_that_switches_back_ends_the_retirement_on_postgres;
    who_lags_behind_is_waited_for_and_what_serves_is_never_retired as
        who_lags_behind_is_waited_for_on_sqlite, who_lags_behind_is_waited_for_on_postgres;
}

/// Whoever can write the store cannot have a login of his choice switched over to.
#[tokio::test]
async fn a_bent_row_is_used_by_nobody_and_can_be_removed() {
    let fixture = Fixture::new().await;
    let (app, shell) = (&fixture.app, Caller::shell());
    with_second(&fixture, None).await;
    fixture.bend("UPDATE second_logins SET username = 'mallory'").await;
    let refused = rotations::rotate(app, &shell, WORKSPACE, "sales", &Precondition::Any).await;
    assert!(matches!(refused, Err(Error::SecretUnreadable(_))), "{refused:?}");
    edit(&fixture, &serde_json::json!({"password": "typed"})).await.expect("it stands in nobody's way");
    second_login::remove(app, &shell, WORKSPACE, "sales", (true, &Precondition::Any)).await.expect("removed");
    assert!(row(&fixture).await.is_none());
}

#[tokio::test]
async fn the_end_of_a_workspace_is_the_end_of_its_second_logins() {
    let fixture = Fixture::new().await;
    let app = &fixture.app;
    workspaces::create(app, &Caller::shell(), "theirs").await.expect("made");
    with_second(&fixture, None).await;
    workspaces::delete(app, &Caller::shell(), WORKSPACE, &Precondition::Any).await.expect("deleted");
    assert!(row(&fixture).await.is_none());
}
