//! What the purge job forgets, and what it leaves.

use dataflow_model::Secret;

use super::{Fixture, OWNER, PASSWORD, WORKSPACE, sample};
use crate::{
    clock::{DAY, SECOND},
    jobs::purge::{CHECKS_KEPT, EVERY, run_if_due},
    ops::{
        Caller,
        connections::{self, Precondition},
        idempotency::IdempotencyKey,
        links::{self, LinkKind},
        rotations::{
            policy::{self, Policy},
            second_login::planted,
        },
        sessions::{Device, SESSION_IDLE, sign_in},
        settings::{self, Retention},
        tombstones::{self, Removal},
    },
    store::{self, CheckRow, SettingRow, fetch},
};

async fn count(fixture: &Fixture, sql: &'static str) -> i64 {
    let mut read = fixture.app.store.read().await.expect("open");
    let count: (i64,) = fetch!(&mut read, fetch_one, (i64,), sql).expect("counted");
    count.0
}

const SESSIONS: &str = "SELECT count(*) FROM sessions";
const LINKS: &str = "SELECT count(*) FROM links";
const KEYS: &str = "SELECT count(*) FROM idempotency_keys";
const CHECKS: &str = "SELECT count(*) FROM checks";
const VERSIONS: &str = "SELECT count(*) FROM connection_versions";

#[tokio::test]
async fn it_runs_once_an_hour_whoever_asks() {
    let fixture = Fixture::new().await;
    assert!(run_if_due(&fixture.app).await.expect("purged"));
    assert!(!run_if_due(&fixture.app).await.expect("asked"));
    // The clock goes on by itself, too.
    fixture.app.clock.advance(EVERY - 600 * SECOND);
    assert!(!run_if_due(&fixture.app).await.expect("asked"));
    fixture.app.clock.advance(600 * SECOND);
    let both = tokio::join!(run_if_due(&fixture.app), run_if_due(&fixture.app));
    assert!(both.0.expect("asked") != both.1.expect("asked"), "one of two that ask at the same instant");
}

#[tokio::test]
async fn sessions_links_and_keys_go_when_they_have_expired() {
    let fixture = Fixture::new().await;
    let (app, shell) = (&fixture.app, Caller::shell());
    let password = Secret::new(PASSWORD.to_owned());
    sign_in(app, &Device::default(), OWNER, &password).await.expect("signed in");
    links::create_link(app, &shell, OWNER, LinkKind::SignIn).await.expect("a link");
    let key = IdempotencyKey { hash: [1; 32], request_hash: [2; 32] };
    let once = Caller { idempotency: Some(key), ..Caller::shell() };
    connections::create(app, &once, WORKSPACE, sample("sales")).await.expect("created");
    let all = async || [count(&fixture, SESSIONS).await, count(&fixture, LINKS).await, count(&fixture, KEYS).await];
    assert!(run_if_due(app).await.expect("purged"));
    assert_eq!(all().await, [1, 1, 1], "none has expired");
    app.clock.advance(SESSION_IDLE + EVERY);
    sign_in(app, &Device::default(), OWNER, &password).await.expect("signed in again");
    assert!(run_if_due(app).await.expect("purged"));
    assert_eq!(all().await, [1, 1, 1], "the idle session has");
    app.clock.advance(DAY);
    assert!(run_if_due(app).await.expect("purged"));
    assert_eq!(all().await, [0, 0, 0]);
    connections::show(app, &shell, WORKSPACE, "sales").await.expect("nothing else is touched");
}

#[tokio::test]
async fn the_newest_checks_of_a_connection_stay() {
    let fixture = Fixture::new().await;
    let (app, shell) = (&fixture.app, Caller::shell());
    let id = connections::create(app, &shell, WORKSPACE, sample("sales")).await.expect("created").row.id;
    let quiet = connections::create(app, &shell, WORKSPACE, sample("quiet")).await.expect("created").row.id;
    let checks = CHECKS_KEPT + 600;
    let mut write = app.store.write().await.expect("open");
    for (at, of) in (1..=checks).map(|at| (at, &id)).chain((1..=3).map(|at| (at, &quiet))) {
        let row = CheckRow {
            id: format!("{of} {at}"),
            connection_id: of.clone(),
            version: 1,
            status: "ok".to_owned(),
            report: "{}".to_owned(),
            checked_at: at,
            checked_by: "x".to_owned(),
            took_micros: None,
            from_client: false,
        };
        store::insert_check(&mut write, &row).await.expect("kept");
    }
    for connection in [&id, &quiet] {
        store::thin_checks(&mut write, connection, false, CHECKS_KEPT).await.expect("thinned");
        store::thin_checks(&mut write, connection, true, 1).await.expect("thinned");
    }
    write.commit().await.expect("committed");
    assert_eq!(count(&fixture, CHECKS).await, CHECKS_KEPT + 3);
    let oldest = "SELECT min(k.checked_at) FROM checks k JOIN connections c ON c.id = k.connection_id WHERE c.name = 'sales'";
    assert_eq!(count(&fixture, oldest).await, checks - CHECKS_KEPT + 1, "the newest stay");
}

/// A check of a connection, so many days ago.
async fn check(fixture: &Fixture, connection: &str, days_ago: i64) {
    let mut write = fixture.app.store.write().await.expect("open");
    let row = CheckRow {
        id: format!("{connection} {days_ago}"),
        connection_id: connection.to_owned(),
        version: 1,
        status: "ok".to_owned(),
        report: "{}".to_owned(),
        checked_at: fixture.app.clock.now() - days_ago * DAY,
        checked_by: "x".to_owned(),
        took_micros: None,
        from_client: false,
    };
    store::insert_check(&mut write, &row).await.expect("kept");
    write.commit().await.expect("committed");
}

#[tokio::test]
async fn history_goes_by_age_where_an_owner_says_so() {
    let fixture = Fixture::new().await;
    let (app, shell) = (&fixture.app, Caller::shell());
    let mut ids = Vec::new();
    for name in ["sales", "quiet", "gone"] {
        ids.push(connections::create(app, &shell, WORKSPACE, sample(name)).await.expect("created").row.id);
    }
    for (version, days) in [(2, 10), (3, 10), (4, 0)] {
        app.clock.advance(days * DAY);
        let text = format!("version {version}");
        fixture.describe("sales", &text).await;
    }
    fixture.describe("gone", "once more").await;
    tombstones::delete(app, &shell, WORKSPACE, "gone", Removal { precondition: Precondition::Any, ..Removal::default() })
        .await
        .expect("deleted");
    for days_ago in [1, 29, 31] {
        check(&fixture, &ids[0], days_ago).await;
    }
    let counted = async || (count(&fixture, CHECKS).await, count(&fixture, VERSIONS).await);
    let before = counted().await;
    assert!(run_if_due(app).await.expect("purged"));
    assert_eq!(counted().await, before, "age does not count unless somebody says so");

    let keep = async |check_days: i64, version_days: i64| {
        let retention = Retention { check_days: Some(check_days), version_days: Some(version_days), ..Retention::default() };
        settings::change(app, &shell, &Precondition::Any, retention).await.expect("saved");
        app.clock.advance(EVERY);
        assert!(run_if_due(app).await.expect("purged"));
    };
    keep(30, 5).await;
    // Of sales: 1 was replaced ten days ago, 2 and 3 just now. The others were made 20 days ago and have no older ones.
    assert_eq!(counted().await, (2, before.1 - 1));
    app.clock.advance(6 * DAY);
    keep(30, 5).await;
    assert_eq!(
        count(&fixture, "SELECT min(version) FROM connection_versions WHERE name = 'sales'").await,
        4,
        "the current one stays"
    );
    assert_eq!(count(&fixture, "SELECT count(*) FROM connection_versions WHERE name = 'gone'").await, 1, "so does a tombstone's");
    assert_eq!(connections::show(app, &shell, WORKSPACE, "sales").await.expect("whole").row.description, "version 4");
    connections::show(app, &shell, WORKSPACE, "quiet").await.expect("whole");

    // What is not an owner's word takes nothing.
    check(&fixture, &ids[1], 400).await;
    let mut write = app.store.write().await.expect("open");
    let row = store::setting(&mut write, "retention").await.expect("read").expect("there");
    let bent = SettingRow { value: row.value.replace("30", "1"), version: row.version + 1, ..row };
    assert!(store::put_setting(&mut write, &bent).await.expect("written"));
    write.commit().await.expect("committed");
    app.clock.advance(EVERY);
    let kept = count(&fixture, CHECKS).await;
    assert!(run_if_due(app).await.expect("purged"));
    assert_eq!(count(&fixture, CHECKS).await, kept);
}

/// What belongs to a connection goes once nobody can bring that back, and not before.
#[tokio::test]
async fn what_rotates_a_connection_goes_with_it() {
    let fixture = Fixture::new().await;
    let (app, shell) = (&fixture.app, Caller::shell());
    for name in ["sales", "gone"] {
        connections::create(app, &shell, WORKSPACE, sample(name)).await.expect("created");
        planted::plant(app, WORKSPACE, name, ("bert", None)).await;
        let every_month = Policy { every_days: Some(30), ..Policy::default() };
        policy::set(app, &shell, WORKSPACE, name, (every_month, &Precondition::Any)).await.expect("set");
    }
    tombstones::delete(app, &shell, WORKSPACE, "gone", Removal { precondition: Precondition::Any, ..Removal::default() })
        .await
        .expect("deleted");
    let counted = async || {
        (
            count(&fixture, "SELECT count(*) FROM second_logins").await,
            count(&fixture, "SELECT count(*) FROM rotation_policies").await,
        )
    };
    let days = Retention::default().restore_days.expect("30 days unless somebody says otherwise");
    app.clock.advance((days - 1) * DAY);
    assert!(run_if_due(app).await.expect("purged"));
    assert_eq!(counted().await, (2, 2));
    app.clock.advance(2 * DAY);
    assert!(run_if_due(app).await.expect("purged"));
    assert_eq!(counted().await, (1, 1));
}
