//! What the verifier of the audit finds though each row of it was written by this program.

use super::{Fixture, WORKSPACE, sample};
use crate::{
    audit::{
        chain,
        verify::{Report, verify},
    },
    fixture::TestApp,
    ops::{Caller, activity, connections, credentials},
    store::fetch,
};

#[tokio::test(flavor = "multi_thread")]
async fn of_two_pasts_the_end_of_one_does_not_fit_the_other() {
    let fixture = Fixture::new().await;
    let app = &fixture.app;
    let go_on = async |name: &str| {
        connections::create(app, &Caller::shell(), WORKSPACE, sample(name)).await.expect("created");
        chain::advance(app).await.expect("chained");
    };
    let bend = async |statements: &[&'static str]| {
        for sql in statements {
            fixture.bend(sql).await;
        }
    };
    go_on("both").await;
    bend(&["CREATE TABLE both_events AS SELECT * FROM audit_events", "CREATE TABLE both_chains AS SELECT * FROM audit_chains"])
        .await;
    go_on("one").await;
    bend(&[
        "CREATE TABLE one_chains AS SELECT * FROM audit_chains",
        "DELETE FROM audit_events",
        "INSERT INTO audit_events SELECT * FROM both_events",
        "DELETE FROM audit_chains",
        "INSERT INTO audit_chains SELECT * FROM both_chains",
    ])
    .await;
    go_on("other").await;
    let report = verify(app, &[]).await.expect("walked");
    assert!(report.holds(), "in itself each is sound: {report:?}");
    bend(&["DELETE FROM audit_chains", "INSERT INTO audit_chains SELECT * FROM one_chains"]).await;
    let report = verify(app, &[]).await.expect("walked");
    let problem = report.chains.first().and_then(|chain| chain.problem.clone()).unwrap_or_default();
    assert!(problem.contains("is not the one that the store has seen"), "{report:?}");
}

async fn number(app: &TestApp, sql: &'static str) -> i64 {
    let (number,): (i64,) = fetch!(&mut app.store.read().await.expect("open"), fetch_one, (i64,), sql).expect("read");
    number
}

/// Without the row the chain of this node's reads would begin anew, and count each of them once more.
async fn a_row_of_reads_is_missed(fixture: Fixture) {
    let (app, shell) = (&fixture.app, Caller::shell());
    connections::create(app, &shell, WORKSPACE, sample("sales")).await.expect("created");
    for _ in 0..3 {
        credentials::resolve(app, &shell, WORKSPACE, "sales", |_| false).await.expect("it resolves");
        chain::advance(app).await.expect("counted");
    }
    let told = "SELECT count(*) FROM audit_events WHERE action = 'audit.begin' AND actor = 'server'";
    assert_eq!(number(app, told).await, 1, "its beginning is told once");
    let read = async || activity::verify(app, &shell, &[]).await.expect("walked");
    assert!(read().await.holds());
    fixture.bend("DELETE FROM audit_chains WHERE name <> 'changes'").await;
    let gone = |report: &Report| {
        let mine = report.chains.iter().filter(|chain| chain.chain == app.use_log.chain());
        let problems: Vec<_> = mine.filter_map(|chain| chain.problem.clone()).collect();
        problems.len() == 1 && problems.iter().all(|problem| problem.contains("its row is gone from the store"))
    };
    let report = read().await;
    assert!(gone(&report), "{report:?}");
    credentials::resolve(app, &shell, WORKSPACE, "sales", |_| false).await.expect("it resolves");
    chain::advance(app).await.expect_err("it is not begun anew");
    assert!(gone(&read().await));
    assert_eq!(number(app, "SELECT CAST(sum(reads) AS BIGINT) FROM audit_reads").await, 3, "and nothing is counted twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_row_of_a_nodes_reads_is_missed() {
    Box::pin(a_row_of_reads_is_missed(Fixture::new().await)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_on_postgres() {
    Box::pin(a_row_of_reads_is_missed(Fixture::on_postgres().await)).await;
}

/// Reads of several connections, days, versions and workflows, of which one caller makes up more than are counted apart.
async fn counts_are_held_against_the_lines(fixture: Fixture) {
    let (app, shell) = (&fixture.app, Caller::shell());
    for name in ["sales", "stock"] {
        connections::create(app, &shell, WORKSPACE, sample(name)).await.expect("created");
    }
    for day in 0..3 {
        for turn in 0..4 {
            let name = if turn == 3 { "stock" } else { "sales" };
            credentials::resolve(app, &shell, WORKSPACE, name, |_| false).await.expect("it resolves");
        }
        if day == 1 {
            fixture.describe("sales", "x").await;
            for number in 0..600 {
                let name = format!("made-up-{number}");
                let workflow = dataflow_model::Workflow::parse(&format!("kind=script; name=\"{name}\"")).expect("a workflow");
                let caller = Caller { workflow: Some(workflow), ..Caller::shell() };
                credentials::resolve(app, &caller, WORKSPACE, "sales", |_| false).await.expect("it resolves");
            }
        }
        chain::advance(app).await.expect("counted");
        app.clock.advance(crate::clock::DAY);
    }
    let read = async || activity::verify(app, &shell, &[]).await.expect("walked");
    assert_eq!(read().await.counts, None);
    fixture.bend("CREATE TABLE kept AS SELECT * FROM audit_reads").await;
    let mut ways = 0;
    for (way, words) in [
        (
            "UPDATE audit_reads SET reads = reads + 1 WHERE id = (SELECT id FROM audit_reads ORDER BY at, id LIMIT 1)",
            "are counted, and the chains have",
        ),
        (
            "UPDATE audit_reads SET reads = 1 WHERE at = (SELECT max(at) FROM audit_reads WHERE connection = 'sales')",
            "1 are counted, and the chains have 3",
        ),
        ("DELETE FROM audit_reads WHERE connection = 'stock'", "credentials.read of “stock” by shell"),
        ("DELETE FROM audit_reads WHERE workflow = 'made-up-7'", "credentials.read of “sales” by shell"),
        ("UPDATE audit_reads SET connection = 'other' WHERE connection = 'stock'", "and the chains have"),
        ("UPDATE audit_reads SET actor_id = 'token 7'", "and the chains have"),
        ("UPDATE audit_reads SET at = at + 60000000 WHERE connection = 'stock'", "and the chains have"),
        ("DELETE FROM audit_reads", "0 are counted"),
        (
            "INSERT INTO audit_reads SELECT 'new', workspace_id, connection, version, action, actor, actor_id, '', '', at - 86400000000, last_at, 1, NULL, NULL FROM kept ORDER BY at LIMIT 1",
            "1 are counted, and the chains have 0",
        ),
    ] {
        fixture.bend(way).await;
        let report = read().await;
        let told = report.counts.clone().unwrap_or_default();
        assert!(told.contains(words) && !report.holds(), "{way} is to be “{words}”: {report:?}");
        fixture.bend("DELETE FROM audit_reads").await;
        fixture.bend("INSERT INTO audit_reads SELECT * FROM kept").await;
        assert!(read().await.holds(), "{way}");
        ways += 1;
    }
    println!("promise: counts of reads: {ways} ways to bend, remove or add one: all named");
    // Who said it is no part of a total, and nor is which workflow of many had a count of its own.
    fixture.bend("UPDATE audit_reads SET workflow = 'another' WHERE workflow = 'made-up-7'").await;
    assert!(read().await.holds());
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_of_reads_are_held_against_the_lines_on_sqlite() {
    Box::pin(counts_are_held_against_the_lines(Fixture::new().await)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_of_reads_are_held_against_the_lines_on_postgres() {
    Box::pin(counts_are_held_against_the_lines(Fixture::on_postgres().await)).await;
}
