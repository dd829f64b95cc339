//! MongoDB, Cassandra, ScyllaDB and Kafka, each against a fake.

use std::time::Duration;

use dataflow_model::{Cause, StepName, TestStatus};
use dataflow_tests::{
    connection::{Connection, Tested},
    fake_services::{PASSWORD, USER},
    fake_wires::{ANY, FORBIDDEN, FakeCassandra, FakeWires, OLD, Twist, cassandra, kafka, mongo, tried_by_others},
    scripted::{Peer, Scripted},
    wires::{AT_ONCE, Doors as _, OPEN, PLAIN},
};
use serde_json::json;

use crate::common::{Known, is_refused, is_unproven};

const MECHANISM: &str = "extra.sasl_mechanism";
const SCRAM: [&str; 2] = ["SCRAM-SHA-256", "SCRAM-SHA-512"];

fn to(connector: &'static str, server: &FakeWires, door: &str) -> Connection {
    Connection::new(connector, server.port(door))
}

#[track_caller]
fn detail(tested: &Tested, step: StepName) -> &str {
    let found = tested.steps.iter().find(|found| found.step == step).and_then(|step| step.detail.as_deref());
    found.unwrap_or_else(|| panic!("no detail: {:?}", tested.steps))
}

#[track_caller]
fn is_well(tested: &Tested) {
    assert_eq!(tested.outcome().status, TestStatus::Ok, "{:?}", tested.steps);
}

#[tokio::test]
async fn mongo_looks_at_passwords() {
    let server = mongo(Twist::None);
    let known = Known { connector: "mongo", server: &server, user: USER, says: "MongoDB 7.0.", begins_on_request: false };
    known.signs_in().await;
    known.has_tls_where_it_should().await;
    let to = |door: &str| to("mongo", &server, door).user(USER, PASSWORD);
    let right = to(PLAIN).test().await;
    assert_eq!(detail(&right, StepName::Read), "replica set rs0, primary");
    // It is told to nobody, so that it may go over any line.
    is_well(&to(PLAIN).set("host", "127.1").test().await);
    is_well(&to(AT_ONCE).set("host", "127.1").set("tls.mode", "require").test().await);
    for door in [PLAIN, AT_ONCE] {
        assert!(!server.door(door).has_heard(PASSWORD) && server.door(door).has_heard("SCRAM-SHA-256"));
    }

    let sales = to(PLAIN).set("database", "sales").test().await;
    is_well(&sales);
    assert_eq!(detail(&sales, StepName::OpenDatabase), "sales");
    let forbidden = to(PLAIN).set("database", FORBIDDEN).test().await;
    is_refused(&forbidden, Cause::NoRightToConnect, StepName::OpenDatabase, Some("database"));
    let elsewhere = to(PLAIN).set("extra.auth_source", "sales").test().await;
    is_refused(&elsewhere, Cause::CredentialsRefused, StepName::SignIn, Some("password"));
    let old = to(PLAIN).user(OLD, PASSWORD).test().await;
    is_refused(&old, Cause::ProtocolTooOld, StepName::SignIn, Some("username"));
    let odd = to(PLAIN).user(USER, "planted\u{7}bell").test().await;
    is_refused(&odd, Cause::InvalidSettings, StepName::SignIn, Some("password"));
}

#[tokio::test]
async fn who_has_no_username_is_proven_nothing() {
    let (mongo, cassandra, kafka) = (mongo(Twist::None), cassandra(FakeCassandra::Cassandra), kafka(Twist::None));
    for (connector, server) in [("mongo", &mongo), ("cassandra", &cassandra), ("kafka", &kafka)] {
        is_unproven(&to(connector, server, OPEN).test().await);
        let nobody = to(connector, server, PLAIN).test().await;
        is_refused(&nobody, Cause::CredentialsRefused, StepName::SignIn, Some("password"));
        let nameless = to(connector, server, PLAIN).secret("password", PASSWORD).test().await;
        assert_eq!(nameless.error(PASSWORD).field.as_deref(), Some("username"), "{nameless:?}");
    }
}

/// Who plays the server, and does not know the password, is not green; nor does he learn what it could be found out from.
#[tokio::test]
async fn a_server_has_to_prove_that_it_knows_the_password() {
    for (twist, cause) in [
        (Twist::Impostor, Cause::InsecureAuthenticationRefused),
        (Twist::Silent, Cause::InsecureAuthenticationRefused),
        (Twist::AnotherNonce, Cause::InsecureAuthenticationRefused),
        (Twist::Rounds(1), Cause::InsecureAuthenticationRefused),
        (Twist::Rounds(20_000_000), Cause::ServerError),
    ] {
        let (mongo, kafka) = (mongo(twist), kafka(twist));
        let of_kafka = SCRAM.map(|name| to("kafka", &kafka, PLAIN).set(MECHANISM, name));
        for connection in of_kafka.into_iter().chain([to("mongo", &mongo, PLAIN)]) {
            let tested = connection.user(USER, PASSWORD).test().await;
            is_refused(&tested, cause, StepName::SignIn, None);
            assert!(tested.duration < Duration::from_secs(2), "{twist:?}: {:?}", tested.duration);
        }
        let is_answered = matches!(twist, Twist::Impostor | Twist::Silent);
        for server in [&mongo, &kafka] {
            assert_eq!(server.door(PLAIN).has_heard(",p="), is_answered, "{twist:?}");
        }
    }
}

#[tokio::test]
async fn cassandra_looks_at_passwords() {
    let server = cassandra(FakeCassandra::Cassandra);
    let known = Known { connector: "cassandra", server: &server, user: USER, says: "Cassandra 4.1.", begins_on_request: false };
    known.holds().await;
    let with = |door: &str| to("cassandra", &server, door).user(USER, PASSWORD);
    let right = with(PLAIN).set("database", "sales").test().await;
    is_well(&right);
    assert_eq!(detail(&right, StepName::OpenDatabase), "sales");
    assert_eq!(detail(&right, StepName::Read), "cluster Test Cluster");
    for missing in ["Sales", "sa\"les"] {
        let missing = with(PLAIN).set("database", missing).test().await;
        is_refused(&missing, Cause::DatabaseMissing, StepName::OpenDatabase, Some("database"));
    }
    assert!(server.door(PLAIN).has_heard("USE \"sa\"\"les\""));
    let any = with(ANY).test().await;
    is_unproven(&any);
    assert_eq!(detail(&any, StepName::SignIn), "The server takes any other password, too");
    let open = with(OPEN).test().await;
    is_unproven(&open);
    assert_eq!(detail(&open, StepName::SignIn), "The server asks for no password");

    let scylla = cassandra(FakeCassandra::Scylla);
    let tested = to("cassandra", &scylla, PLAIN).user(USER, PASSWORD).test().await;
    is_well(&tested);
    assert_eq!(tested.outcome().server_version.as_deref(), Some("ScyllaDB 6.2.0"));
}

#[tokio::test]
async fn an_old_cassandra_is_told_as_that() {
    // Version 3 of the protocol, with a header of 9 bytes, and version 1, with one of 8.
    for answer in [&b"\x83\0\0\0\0\0\0\0\x0c\0\0\0\x0a\0\x06no way"[..], b"\x81\0\0\0\0\0\0\x0c\0\0\0\x0a\0\x06no way"] {
        let server = Scripted::start(move |peer| {
            peer.receive::<9>()?;
            peer.send(answer)?;
            peer.listen()
        });
        let tested = Connection::new("cassandra", server.port()).user(USER, PASSWORD).test().await;
        is_refused(&tested, Cause::ProtocolTooOld, StepName::SignIn, None);
        assert!(!server.has_heard(PASSWORD));
    }
}

#[tokio::test]
async fn kafka_looks_at_passwords() {
    let server = kafka(Twist::None);
    let known = Known { connector: "kafka", server: &server, user: USER, says: "", begins_on_request: false };
    known.holds().await;
    let with = |door: &str| to("kafka", &server, door).user(USER, PASSWORD);
    for name in SCRAM {
        let server = kafka(Twist::None);
        let with = |door: &str| to("kafka", &server, door).user(USER, PASSWORD).set(MECHANISM, name);
        let right = with(PLAIN).test().await;
        is_well(&right);
        let told = "cluster fake-cluster, 4 brokers; clients are sent to broker-1.internal:9092, broker-2.internal:9092, \
                    broker-3.internal:9092 and 1 more";
        assert_eq!(detail(&right, StepName::Read), told);
        is_well(&with(PLAIN).set("host", "127.1").test().await);
        is_well(&with(AT_ONCE).verified(server.authority()).test().await);
        for wrong in ["another-password", &format!("{PASSWORD}x"), ""] {
            let wrong = with(PLAIN).secret("password", wrong).test().await;
            is_refused(&wrong, Cause::CredentialsRefused, StepName::SignIn, Some("password"));
        }
        let stranger = with(PLAIN).user("somebody", PASSWORD).test().await;
        is_refused(&stranger, Cause::CredentialsRefused, StepName::SignIn, Some("password"));
        assert!(!server.door(PLAIN).has_heard(PASSWORD));
    }
    let another = with(PLAIN).set(MECHANISM, "SCRAM-SHA-1").test().await;
    is_refused(&another, Cause::InvalidSettings, StepName::SignIn, Some(MECHANISM));
    assert!(another.error(PASSWORD).hint.contains("PLAIN, SCRAM-SHA-256, SCRAM-SHA-512"), "{another:?}");
    is_unproven(&with(ANY).test().await);
    let open = with(OPEN).test().await;
    is_refused(&open, Cause::CredentialsRefused, StepName::SignIn, Some("password"));
    assert!(open.error(PASSWORD).message.contains("no password set"), "{open:?}");
}

#[tokio::test]
async fn who_says_nothing_is_not_waited_for_longer_than_the_connection_has_it() {
    let server = Scripted::start(Peer::listen);
    for connector in ["mongo", "cassandra", "kafka"] {
        let connection = Connection::new(connector, server.port()).user(USER, PASSWORD).number("extra.connect_timeout", 1);
        is_refused(&connection.test().await, Cause::TimedOut, StepName::SignIn, Some("extra.connect_timeout"));
    }
    assert!(!server.has_heard(PASSWORD));
}

/// So that a fake is no echo of how we read its specification.
#[test]
fn clients_of_others_take_the_fakes_for_the_real_ones() {
    let (mongo, cassandra, kafka) = (mongo(Twist::None), cassandra(FakeCassandra::Cassandra), kafka(Twist::None));
    tried_by_others(&json!({
        "mongo": mongo.port(PLAIN), "cassandra": cassandra.port(PLAIN), "kafka": kafka.port(PLAIN),
        "user": USER, "right": PASSWORD, "wrong": "another-password",
    }));
}
