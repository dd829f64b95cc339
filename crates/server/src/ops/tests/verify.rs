//! What the verifier of the audit finds though each row of it was written by this program.

use super::{Fixture, WORKSPACE, sample};
use crate::{
    audit::{chain, verify::verify},
    ops::{Caller, connections},
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
