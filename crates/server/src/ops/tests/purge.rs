//! What the purge job forgets, and what it leaves.

use dataflow_model::{Secret, Workflow, WorkflowKind};

use super::{Fixture, OWNER, PASSWORD, WORKSPACE, sample};
use crate::{
    clock::{DAY, SECOND},
    jobs::purge::{CHECKS_KEPT, EVERY, run_if_due},
    ops::{
        Caller, connections,
        dependents::DEPENDENTS_MAX,
        idempotency::IdempotencyKey,
        links::{self, LinkKind},
        sessions::{Device, SESSION_IDLE, sign_in},
    },
    store::{self, CheckRow, fetch},
    uses::Use,
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
const USES: &str = "SELECT count(*) FROM uses";

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
async fn the_newest_checks_and_the_last_uses_of_a_connection_stay() {
    let fixture = Fixture::new().await;
    let (app, shell) = (&fixture.app, Caller::shell());
    let id = connections::create(app, &shell, WORKSPACE, sample("sales")).await.expect("created").row.id;
    let quiet = connections::create(app, &shell, WORKSPACE, sample("quiet")).await.expect("created").row.id;
    // More than one batch too many.
    let (checks, uses) = (CHECKS_KEPT + 600, DEPENDENTS_MAX + 600);
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
        };
        store::insert_check(&mut write, &row).await.expect("kept");
    }
    write.commit().await.expect("committed");
    for at in 1..=uses {
        let workflow = Workflow { kind: WorkflowKind::Script, name: format!("script {at}"), run: None };
        let connection = id.parse().expect("an id");
        app.uses.connection(&Use { connection, version: 1, workflow: &workflow, used_by: "x", at });
    }
    app.uses.flush(&app.store).await.expect("written");
    assert_eq!((count(&fixture, CHECKS).await, count(&fixture, USES).await), (checks + 3, uses));

    assert!(run_if_due(app).await.expect("purged"));
    assert_eq!((count(&fixture, CHECKS).await, count(&fixture, USES).await), (CHECKS_KEPT + 3, DEPENDENTS_MAX));
    let oldest = "SELECT min(k.checked_at) FROM checks k JOIN connections c ON c.id = k.connection_id WHERE c.name = 'sales'";
    assert_eq!(count(&fixture, oldest).await, checks - CHECKS_KEPT + 1, "the newest stay");
    assert_eq!(count(&fixture, "SELECT min(last_at) FROM uses").await, uses - DEPENDENTS_MAX + 1);
}
