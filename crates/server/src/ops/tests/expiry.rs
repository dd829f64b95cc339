//! What of the audit goes for its age, and that nothing else can go unseen.

use std::fs;

use dataflow_vault::random_uuid;

use super::{Fixture, WORKSPACE, sample};
use crate::{
    audit::{
        chain::{CHANGES, advance},
        checkpoint::Checkpoint,
        expiry,
        verify::{ChainReport, Report},
    },
    clock::DAY,
    fixture::TestApp,
    jobs::purge::{EVERY, run_if_due, tidy},
    ops::{
        Caller, activity,
        connections::{self, Precondition},
        credentials,
        settings::{self, Retention},
    },
    store::{self, CrashAt, fetch},
};

async fn count(app: &TestApp, sql: &'static str) -> i64 {
    let mut read = app.store.read().await.expect("open");
    let count: (i64,) = fetch!(&mut read, fetch_one, (i64,), sql).expect("counted");
    count.0
}

async fn verify(app: &TestApp, checkpoints: &[Checkpoint]) -> Report {
    activity::verify(app, &Caller::shell(), checkpoints).await.expect("walked")
}

fn changes(report: &Report) -> &ChainReport {
    report.chains.iter().find(|chain| chain.chain == CHANGES).expect("there")
}

fn reads(report: &Report) -> &ChainReport {
    report.chains.iter().find(|chain| chain.chain != CHANGES).expect("there")
}

/// What does not hold, in words.
fn problems(report: &Report) -> String {
    report.chains.iter().filter_map(|chain| chain.problem.clone()).collect::<Vec<_>>().join("; ")
}

const OLD: i64 = 60;
const NOW: i64 = 120;

/// Changes and reads of 120, of 60 and of no days ago, where 90 days are kept.
async fn aged(fixture: &Fixture) {
    let (app, shell) = (&fixture.app, Caller::shell());
    connections::create(app, &shell, WORKSPACE, sample("sales")).await.expect("created");
    let retention = Retention { change_days: Some(90), read_days: Some(90), ..Retention::default() };
    settings::change(app, &shell, &Precondition::Any, retention).await.expect("saved");
    for (text, days) in [("first", OLD), ("second", NOW - OLD), ("third", 0)] {
        fixture.describe("sales", text).await;
        for _ in 0..3 {
            credentials::resolve(app, &shell, WORKSPACE, "sales", |_| false).await.expect("it resolves");
        }
        advance(app).await.expect("linked");
        app.clock.advance(days * DAY);
    }
}

/// As the job does it, once.
async fn purge(app: &TestApp) {
    tidy(app, app.clock.now()).await.expect("tidied");
    advance(app).await.expect("linked");
    assert!(run_if_due(app).await.expect("purged"));
    advance(app).await.expect("linked");
}

fn files(app: &TestApp) -> Vec<String> {
    let files = fs::read_dir(app.use_log.folder()).expect("own folder").map(|file| file.expect("own folder").file_name());
    let mut files: Vec<_> = files.map(|name| name.to_string_lossy().into_owned()).collect();
    files.sort();
    files
}

async fn goes_and_the_rest_holds(fixture: Fixture) {
    aged(&fixture).await;
    let app = &fixture.app;
    let before = verify(app, &[]).await;
    assert!(before.holds() && changes(&before).expired == 0, "{before:?}");
    let known = activity::known(app, &Caller::shell(), WORKSPACE).await.expect("told");
    assert!(known.changes_since.is_none() && known.reads_since.is_none(), "{known:?}");
    let first = changes(&before).events;
    purge(app).await;

    let after = verify(app, &[]).await;
    assert!(after.holds(), "{after:?}");
    // All up to the edit that came first.
    let (kept, old) = (changes(&after), count(app, "SELECT base_seq FROM audit_chains WHERE name = 'changes'").await);
    assert_eq!((kept.expired, kept.seq), (old, i64::try_from(first).expect("few") + 2), "two events tell of it: {kept:?}");
    assert_eq!(count(app, "SELECT min(seq) FROM audit_events").await, old + 1);
    // A beginning and three reads of each of three segments.
    let reads = reads(&after);
    assert_eq!((reads.expired, reads.events, reads.seq), (4, 8, 12), "{reads:?}");
    assert!(kept.since.is_some() && reads.since.is_some(), "{kept:?} {reads:?}");
    assert_eq!(count(app, "SELECT CAST(sum(reads) AS BIGINT) FROM audit_reads").await, 6);
    assert_eq!(count(app, "SELECT count(*) FROM audit_events WHERE action = 'audit.expired' AND actor = 'server'").await, 2);
    let known = activity::known(app, &Caller::shell(), WORKSPACE).await.expect("told");
    assert!(known.changes_since.is_some() && known.reads_since >= known.changes_since, "{known:?}");
    // A backup that began before may read the file still.
    assert_eq!(files(app), ["000000000001.jsonl", "000000000005.jsonl", "000000000009.jsonl"]);
    app.clock.advance(EVERY);
    purge(app).await;
    assert_eq!(files(app), ["000000000005.jsonl", "000000000009.jsonl"]);
    let again = verify(app, &[]).await;
    assert!(again.holds() && changes(&again).seq == changes(&after).seq, "nothing more is to go: {again:?}");

    // It goes on after another start, and down to the last segment, which stays with a line that tells where it was.
    let app = fixture.app.again().await;
    app.clock.advance((NOW + 200) * DAY);
    purge(&app).await;
    app.clock.advance(EVERY);
    purge(&app).await;
    let last = verify(&app, &[]).await;
    assert!(last.holds(), "{last:?}");
    assert_eq!(files(&app), ["000000000013.jsonl"], "{last:?}");
    credentials::resolve(&app, &Caller::shell(), WORKSPACE, "sales", |_| false).await.expect("it resolves");
    let app = app.again().await;
    let last = verify(&app, &[]).await;
    assert!(last.holds() && last.chains.len() == 2 && self::reads(&last).seq == 14, "{last:?}");
    // A setting that is gone is not put in again, though the event that tells of it went for its age.
    without_settings(app).await;
}

async fn without_settings(app: TestApp) {
    let mut write = app.store.write().await.expect("open");
    store::execute!(&mut write, "DELETE FROM settings WHERE name = 'retention'").expect("deleted");
    write.commit().await.expect("committed");
    assert_eq!(count(&app, "SELECT count(*) FROM audit_events WHERE action = 'settings.change'").await, 0);
    let app = app.again().await;
    let shown = settings::show::<Retention>(&app, &Caller::shell()).await.expect("shown");
    assert!(!shown.is_sound, "{shown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_old_goes_and_the_rest_holds() {
    Box::pin(goes_and_the_rest_holds(Fixture::new().await)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_on_postgres() {
    Box::pin(goes_and_the_rest_holds(Fixture::on_postgres().await)).await;
}

/// The segments tell that there was one, though the event of it went for its age.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_taken_out_is_missed_once_its_beginning_is_old() {
    let fixture = Fixture::new().await;
    aged(&fixture).await;
    let app = &fixture.app;
    purge(app).await;
    app.clock.advance(EVERY);
    purge(app).await;
    assert_eq!(files(app).len(), 2);
    app.clock.advance(200 * DAY);
    let before = Some(expiry::before(app.clock.now(), 90));
    expiry::expire(app, before, None).await.expect("dropped");
    assert_eq!(count(app, "SELECT count(*) FROM audit_events WHERE action = 'audit.begin'").await, 0);
    assert!(verify(app, &[]).await.holds());
    fixture.bend("DELETE FROM audit_chains WHERE name <> 'changes'").await;
    let report = verify(app, &[]).await;
    assert!(problems(&report).contains("its row is gone"), "{report:?}");
}

/// A chain whose node is gone ends as a whole: where the store is shared with its lines.
#[tokio::test(flavor = "multi_thread")]
async fn a_chain_of_a_lost_node_goes_too() {
    for fixture in [Fixture::new().await, Fixture::on_postgres().await] {
        aged(&fixture).await;
        let folder = fixture.app.use_log.folder().to_owned();
        fs::rename(&folder, folder.with_extension("aside")).expect("own folder");
        let app = fixture.app.again().await;
        let report = verify(&app, &[]).await;
        assert_eq!(report.holds(), app.store.is_shared(), "{report:?}");
        app.clock.advance((NOW + 200) * DAY);
        purge(&app).await;
        let report = verify(&app, &[]).await;
        assert!(report.holds() && reads(&report).expired == 12 && reads(&report).seq == 12, "{report:?}");
        assert_eq!(count(&app, "SELECT count(*) FROM audit_lines").await, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_hold_stays_where_it_is_named() {
    for (bend, words) in [
        ("UPDATE audit_events SET object = 'other' WHERE seq = 2", "was changed"),
        // To have it dropped.
        ("UPDATE audit_events SET at = at - 100000000000000 WHERE seq = 6", "was changed"),
        ("DELETE FROM audit_events WHERE seq <= 2", "event 1 is missing: 0 is followed by event 3"),
        ("UPDATE audit_chains SET base_seq = 2 WHERE name = 'changes'", "was changed outside"),
        ("UPDATE audit_chains SET base_seq = 4 WHERE name <> 'changes'", "was changed outside"),
    ] {
        let fixture = Fixture::new().await;
        aged(&fixture).await;
        fixture.bend(bend).await;
        let app = &fixture.app;
        let kept = count(app, "SELECT count(*) FROM audit_events").await;
        tidy(app, app.clock.now())
            .await
            .or_else(|error| if words.contains("outside") { Ok(()) } else { Err(error) })
            .expect("tidied");
        assert!(run_if_due(app).await.expect("purged"));
        let report = verify(app, &[]).await;
        assert!(problems(&report).contains(words), "{bend}: {report:?}");
        let left = count(app, "SELECT count(*) FROM audit_events WHERE action <> 'audit.expired'").await;
        assert!(left == kept || bend.contains("<> 'changes'"), "{bend}: {left} of {kept}");
    }
    // The same of the files.
    let fixture = Fixture::new().await;
    aged(&fixture).await;
    fs::remove_file(fixture.app.use_log.folder().join("000000000001.jsonl")).expect("own folder");
    purge(&fixture.app).await;
    let report = verify(&fixture.app, &[]).await;
    assert!(problems(&report).contains("line 1 is missing: 0 is followed by 5"), "{report:?}");
    println!("promise: old audit events dropped by hand or with their base bent: 6 ways, all named");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_is_held_against_what_is_kept() {
    let fixture = Fixture::new().await;
    aged(&fixture).await;
    let app = &fixture.app;
    let whole = verify(app, &[]).await;
    purge(app).await;
    let row = store::chain(&mut app.store.read().await.expect("open"), CHANGES).await.expect("read").expect("there");
    let point = |seq: i64, link: &[u8]| Checkpoint {
        at: String::new(),
        instance: app.vault.instance().to_string(),
        chain: CHANGES.to_owned(),
        seq,
        link: hex::encode(link),
    };
    let older = verify(app, &[point(1, &[1; 32])]).await;
    assert!(older.holds() && changes(&older).older_checkpoint == Some(1) && changes(&older).checkpoint.is_none(), "{older:?}");
    let at_base = verify(app, &[point(row.base_seq, &row.base_link)]).await;
    assert!(at_base.holds() && changes(&at_base).checkpoint == Some(true), "{at_base:?}");
    let against = verify(app, &[point(row.base_seq, &[1; 32])]).await;
    assert!(problems(&against).contains("is not the one that the checkpoint"), "{against:?}");
    let link = hex::decode(&changes(&whole).link).expect("hex");
    let newer = verify(app, &[point(changes(&whole).seq, &link)]).await;
    assert!(newer.holds() && changes(&newer).checkpoint == Some(true), "{newer:?}");
    let beyond = verify(app, &[point(1_000, &link)]).await;
    assert!(problems(&beyond).contains("saw event 1000"), "{beyond:?}");
    let other = Checkpoint { chain: random_uuid().to_string(), ..point(1, &link) };
    assert!(problems(&verify(app, &[other]).await).contains("nothing is left of it"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_ends_at_any_commit_leaves_what_holds() {
    for at in [CrashAt::Before, CrashAt::After] {
        let fixture = Fixture::new().await;
        aged(&fixture).await;
        let (mut app, mut crashes) = (fixture.app, 0);
        let now = app.clock.now();
        let before = Some(expiry::before(now, 90));
        loop {
            app.store.crash.after(crashes, at);
            let ended = expiry::expire(&app, before, before).await.is_ok();
            let was_ahead = app.store.crash.is_ahead();
            app = app.again().await;
            let report = verify(&app, &[]).await;
            assert!(report.holds(), "crash {crashes}, {at:?} its commit: {report:?}");
            tidy(&app, now).await.expect("tidied");
            assert!(verify(&app, &[]).await.holds(), "once tidied");
            if ended && was_ahead {
                break;
            }
            crashes += 1;
        }
        assert!(crashes >= 1, "{crashes}");
        let report = verify(&app, &[]).await;
        assert!(changes(&report).expired > 0 && reads(&report).expired == 4, "{report:?}");
        println!(
            "promise: old audit events dropped: {crashes} crashes {at:?} their commit, each at another one: the rest verifies"
        );
    }
}
