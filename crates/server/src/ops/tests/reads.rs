//! The index of reads: what was counted as it was appended, and what is read from the segments again, add up to the same.

use dataflow_model::{Workflow, WorkflowKind};

use super::{Fixture, WORKSPACE, sample};
use crate::{
    audit::{UseEvent, chain::advance},
    ops::{Caller, connections, credentials},
    store::{CrashAt, fetch},
};

const SUMS: &str = "SELECT CAST(sum(reads) AS BIGINT), count(*) FROM audit_reads";

async fn sums(fixture: &Fixture) -> (i64, i64) {
    let mut read = fixture.app.store.read().await.expect("open");
    fetch!(&mut read, fetch_one, (i64, i64), SUMS).expect("counted")
}

async fn read(fixture: &Fixture, times: usize) {
    for _ in 0..times {
        credentials::resolve(&fixture.app, &Caller::shell(), WORKSPACE, "sales", |_| false).await.expect("it resolves");
    }
}

#[tokio::test]
async fn no_read_is_counted_twice_or_not_at_all() {
    let mut fixture = Fixture::new().await;
    connections::create(&fixture.app, &Caller::shell(), WORKSPACE, sample("sales")).await.expect("created");
    read(&fixture, 3).await;
    advance(&fixture.app).await.expect("indexed");
    read(&fixture, 2).await;
    advance(&fixture.app).await.expect("indexed");
    assert_eq!(sums(&fixture).await.0, 5);

    // What was taken and could not be written is read from the segment.
    read(&fixture, 4).await;
    fixture.app.store.crash.after(0, CrashAt::Before);
    advance(&fixture.app).await.expect_err("the store fails");
    read(&fixture, 1).await;
    advance(&fixture.app).await.expect("indexed");
    assert_eq!(sums(&fixture).await.0, 10);

    // So is what a process that ended has not written.
    read(&fixture, 6).await;
    fixture.app = fixture.app.again().await;
    read(&fixture, 1).await;
    advance(&fixture.app).await.expect("indexed");
    assert_eq!(sums(&fixture).await.0, 17);
    let before = sums(&fixture).await.1;

    // And what was more than is kept in memory.
    let workspace_id = fixture.app.workspace(WORKSPACE).await.expect("read").expect("there").id;
    let append = async |number: usize| {
        let run = Workflow::new(WorkflowKind::Script, "daily");
        let actor = number.to_string();
        let event = UseEvent {
            at: fixture.app.clock.now(),
            action: "credentials.read",
            workspace: WORKSPACE,
            workspace_id,
            connection: "sales",
            version: 1,
            actor: &actor,
            actor_id: &actor,
            address: Some(std::net::Ipv4Addr::LOCALHOST.into()),
            workflow: Some(&run),
        };
        fixture.app.use_log.append(&fixture.app.vault, &event).await.expect("appended");
    };
    for number in 0..2_500 {
        append(number).await;
    }
    advance(&fixture.app).await.expect("indexed");
    append(0).await;
    advance(&fixture.app).await.expect("indexed");
    assert_eq!(sums(&fixture).await, (17 + 2_501, before + 2_500));
}
