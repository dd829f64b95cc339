//! Versions that are gone: purged, not kept any more, or bent so that they can only be purged. And how quick a long list is.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{
    super::{Fixture, WORKSPACE, ended_workspaces::holds, sample},
    ELSEWHERE, edit, numbers, resolve, restore, stored, three,
};
use crate::{
    clock::DAY,
    error::Error,
    jobs::purge::run_if_due,
    ops::{
        Caller,
        connections::{self, Precondition},
        history,
        paging::Paging,
        rows::Sealed as _,
        settings::{self, Retention},
    },
    store::{self, CheckRow, VersionRow},
};

/// Reads of a bent row say so, and hold up nothing else; it can be taken away.
#[tokio::test]
async fn a_bent_version_is_marked_refused_and_can_be_purged() {
    let fixture = Fixture::new().await;
    let shell = Caller::shell();
    three(&fixture).await;
    fixture.bend("UPDATE connection_versions SET fields = replace(fields, '5432', '5433') WHERE version = 1").await;
    let list = history::list(&fixture.app, &shell, WORKSPACE, "sales", &Paging::largest(None)).await.expect("listed").rows;
    let told: Vec<_> = list.iter().map(|entry| (entry.version, entry.is_altered, entry.since)).collect();
    assert_eq!(told, [(3, false, Some(2)), (2, false, None), (1, true, None)]);
    assert!(list.last().is_some_and(|entry| entry.changes.is_empty()));
    let refused = restore(&fixture, &shell, 1).await;
    assert!(matches!(refused, Err(Error::SecretUnreadable(_))), "{refused:?}");
    history::purge(&fixture.app, &shell, WORKSPACE, "sales", (1, Precondition::Any)).await.expect("purged");
    assert_eq!(numbers(&fixture).await, [3, 2]);
}

async fn a_purged_version_is_gone_and_what_tests_said_stays(fixture: Fixture) {
    let (app, shell) = (&fixture.app, Caller::shell());
    let current = three(&fixture).await;
    let check = CheckRow {
        id: "a check".to_owned(),
        connection_id: current.row.id.clone(),
        version: 1,
        status: "ok".to_owned(),
        report: "{}".to_owned(),
        checked_at: 1,
        checked_by: "x".to_owned(),
        took_micros: None,
        from_client: false,
    };
    let mut write = app.store.write().await.expect("open");
    store::insert_check(&mut write, &check).await.expect("kept");
    write.commit().await.expect("committed");
    let purge = async |number, precondition| history::purge(app, &shell, WORKSPACE, "sales", (number, precondition)).await;
    for (number, precondition, code) in [
        (1, Precondition::Missing, 428),
        (1, Precondition::Tags(vec![current.etag()]), 412),
        (3, Precondition::Any, 403),
        (4, Precondition::Any, 404),
        (0, Precondition::Any, 404),
    ] {
        let refused = purge(number, precondition).await.expect_err("it is refused");
        assert_eq!(refused.describe().0.as_u16(), code, "{number}: {refused:?}");
    }
    assert_eq!(numbers(&fixture).await, [3, 2, 1]);
    let shown = history::show(app, &shell, WORKSPACE, "sales", 2).await.expect("shown");
    assert_eq!(shown.secrets_also_in, [3], "the newer one kept its password");
    let shown = history::show(app, &shell, WORKSPACE, "sales", 1).await.expect("shown");
    assert!(shown.secrets_also_in.is_empty(), "{shown:?}");
    purge(1, Precondition::Tags(vec![shown.etag()])).await.expect("purged");
    assert_eq!(numbers(&fixture).await, [3, 2]);
    let gone = [purge(1, Precondition::Any).await.err(), restore(&fixture, &shell, 1).await.err()];
    assert!(gone.iter().all(|error| matches!(error, Some(Error::NotFound("version")))), "{gone:?}");
    let mut read = app.store.read().await.expect("open");
    let sql = "SELECT (SELECT count(*) FROM checks WHERE version = 1), \
               (SELECT count(*) FROM audit_events WHERE action = 'connection.purge_version' AND detail LIKE '{\"version\":1,%')";
    let (checks, events): (i64, i64) = store::fetch!(&mut read, fetch_one, (i64, i64), sql).expect("counted");
    assert_eq!((checks, events), (1, 1));
    drop(read);
    // Over the gap the next is held against the one before it.
    purge(2, Precondition::Any).await.expect("purged");
    let diff = history::diff(app, &shell, WORKSPACE, "sales", (None, 3)).await.expect("told");
    assert_eq!(diff.from, None);
    assert!(diff.changes.len() > 5 && diff.changes_clients, "all that is set: {diff:?}");
    assert_eq!(resolve(&fixture).await.expect("it serves").0["password"], "second");
}

#[tokio::test]
async fn a_purged_version_is_gone_and_what_tests_said_stays_on_sqlite() {
    Box::pin(a_purged_version_is_gone_and_what_tests_said_stays(Fixture::new().await)).await;
}

#[tokio::test]
async fn a_purged_version_is_gone_and_what_tests_said_stays_on_postgres() {
    Box::pin(a_purged_version_is_gone_and_what_tests_said_stays(Fixture::on_postgres().await)).await;
}

#[tokio::test]
async fn no_file_of_the_embedded_store_holds_a_purged_secret() {
    let fixture = Fixture::new().await;
    let app = &fixture.app;
    let current = three(&fixture).await;
    // Longer than a page of the store, too.
    edit(&fixture, &Caller::shell(), &json!({"password": "x".repeat(4_000)})).await.expect("saved");
    edit(&fixture, &Caller::shell(), &json!({"password": "last"})).await.expect("saved");
    let mut needles = Vec::new();
    for number in [1, 4] {
        let secrets = stored(&fixture, &current, number).await.secrets;
        needles.push(secrets.as_bytes()[secrets.len() / 2..][..24].to_vec());
    }
    assert!(needles.iter().all(|needle| holds(&app.data_folder, needle)), "they are there before");
    for number in [1, 4] {
        history::purge(app, &Caller::shell(), WORKSPACE, "sales", (number, Precondition::Any)).await.expect("purged");
    }
    let found = needles.iter().filter(|needle| holds(&app.data_folder, needle)).count();
    assert_eq!(found, 0);
    println!("promise: purged versions, SQLite: {} secrets: {found} in the files of the store", needles.len());
}

#[tokio::test]
async fn what_is_not_kept_any_more_leaves_a_gap() {
    let fixture = Fixture::new().await;
    let (app, shell) = (&fixture.app, Caller::shell());
    three(&fixture).await;
    app.clock.advance(10 * DAY);
    edit(&fixture, &shell, &json!({"description": "Later"})).await.expect("saved");
    let retention = Retention { version_days: Some(5), ..Retention::default() };
    settings::change(app, &shell, &Precondition::Any, retention).await.expect("saved");
    assert!(run_if_due(app).await.expect("purged"));
    assert_eq!(numbers(&fixture).await, [4, 3]);
    let refused = restore(&fixture, &shell, 1).await;
    assert!(matches!(refused, Err(Error::NotFound("version"))), "{refused:?}");
    assert_eq!(restore(&fixture, &shell, 3).await.expect("kept").row.version, 5);
}

/// Not through HTTP, whose test client takes as long again.
async fn a_page_of_a_thousand_versions_is_quick(fixture: Fixture, engine: &str) {
    const COUNT: i64 = 1_000;
    let (app, shell) = (&fixture.app, Caller::shell());
    connections::create(app, &shell, WORKSPACE, sample("sales")).await.expect("created");
    let current = edit(&fixture, &shell, &json!({"host": ELSEWHERE, "password": "second"})).await.expect("saved");
    let (odd, even) = (stored(&fixture, &current, 1).await, stored(&fixture, &current, 2).await);
    let mut write = app.store.write().await.expect("open");
    for version in 3..=COUNT {
        let like = if version % 2 == 1 { &odd } else { &even };
        let row = VersionRow { version, ..like.clone() }.sealed(&app.vault);
        store::insert_version(&mut write, &row).await.expect("inserted");
    }
    store::execute!(&mut write, "UPDATE connections SET version = $1", COUNT).expect("written");
    let row = store::connection_by_id(&mut write, &current.row.id).await.expect("read").expect("there").sealed(&app.vault);
    store::execute!(&mut write, "UPDATE connections SET mac = $1", &row.mac).expect("written");
    write.commit().await.expect("committed");
    let (mut times, mut paging) = (Vec::new(), Paging::default());
    let mut seen = Vec::new();
    loop {
        let began = Instant::now();
        let page = history::list(app, &shell, WORKSPACE, "sales", &paging).await.expect("listed");
        times.push(began.elapsed());
        assert!(page.rows.iter().all(|entry| entry.version == 1 || entry.changes.len() == 2), "host and password");
        seen.extend(page.rows.iter().map(|entry| entry.version));
        let Some(next) = page.next else { break };
        paging = Paging { cursor: Some(next), limit: None };
    }
    assert_eq!(seen, (1..=COUNT).rev().collect::<Vec<_>>());
    times.sort_unstable();
    let p50 = times[times.len() / 2];
    println!("promise: versions, {engine}: pages of 50 of {COUNT} versions: p50 {:.1} ms", p50.as_secs_f64() * 1_000.0);
    // Unoptimised, and beside other tests.
    let most = if cfg!(debug_assertions) { 40 } else { 5 };
    assert!(times[0] < Duration::from_millis(most), "{times:?}");
}

#[tokio::test]
async fn a_page_of_a_thousand_versions_is_quick_on_sqlite() {
    Box::pin(a_page_of_a_thousand_versions_is_quick(Fixture::new().await, "SQLite")).await;
}

#[tokio::test]
async fn a_page_of_a_thousand_versions_is_quick_on_postgres() {
    Box::pin(a_page_of_a_thousand_versions_is_quick(Fixture::on_postgres().await, "PostgreSQL")).await;
}
