//! Brokers of messages.

use std::net::{Ipv4Addr, TcpListener};

use dataflow_model::{Cause, StepName, TestStatus};
use dataflow_tests::{
    connection::Connection,
    fake_services::{PASSWORD, USER},
    wires::{self, OPEN, PLAIN},
};

use crate::common::{Known, is_refused, is_unproven};

#[tokio::test]
async fn mqtt_looks_at_passwords() {
    let server = wires::mosquitto();
    let known = Known { connector: "mqtt", server: &server, user: USER, says: "", begins_on_request: false };
    known.holds().await;
    let to = |door: &str, user: &str, password: &str| Connection::new("mqtt", server.port(door)).user(user, password);
    // It takes everybody, under whatever name.
    for (user, password) in [("", ""), (USER, PASSWORD), (USER, "another-password")] {
        is_unproven(&to(OPEN, user, password).test().await);
    }
    let nobody = to(PLAIN, "", "").test().await;
    is_refused(&nobody, Cause::CredentialsRefused, StepName::SignIn, Some("password"));
    let nameless = to(PLAIN, "", PASSWORD).test().await;
    is_refused(&nameless, Cause::InvalidSettings, StepName::SignIn, Some("username"));
}

#[tokio::test]
async fn nats_looks_at_passwords() {
    let server = wires::nats();
    let known = Known { connector: "nats", server: &server, user: USER, says: "NATS 2.9.", begins_on_request: false };
    known.holds().await;
    let to = |door: &str, user: &str, password: &str| Connection::new("nats", server.port(door)).user(user, password);
    for (user, password) in [("", ""), (USER, PASSWORD), ("", PASSWORD)] {
        is_unproven(&to(OPEN, user, password).test().await);
    }
    let token = to("token", "", PASSWORD).test().await;
    assert_eq!(token.outcome().status, TestStatus::Ok, "{:?}", token.steps);
    for wrong in ["another-token", ""] {
        let refused = to("token", "", wrong).test().await;
        is_refused(&refused, Cause::CredentialsRefused, StepName::SignIn, Some("password"));
    }
    let demanded = to(wires::ON_REQUEST, USER, PASSWORD).test().await;
    is_refused(&demanded, Cause::InvalidSettings, StepName::SignIn, Some("tls.mode"));
}

#[tokio::test]
async fn rabbitmq_looks_at_passwords() {
    let server = wires::rabbitmq();
    let known = Known { connector: "rabbitmq", server: &server, user: USER, says: "RabbitMQ 3.10.", begins_on_request: false };
    known.holds().await;
    let to = |host: &str| Connection::new("rabbitmq", server.port(PLAIN)).user(USER, PASSWORD).set("database", host);
    assert_eq!(to("/").test().await.outcome().status, TestStatus::Ok);
    let guest = to("/").user("guest", "another-password").test().await;
    is_refused(&guest, Cause::CredentialsRefused, StepName::SignIn, Some("password"));
    assert!(guest.error(PASSWORD).hint.contains("loopback_users"), "{guest:?}");
    is_refused(&to("sales").test().await, Cause::NoRightToConnect, StepName::OpenDatabase, Some("database"));
    is_refused(&to("nowhere").test().await, Cause::DatabaseMissing, StepName::OpenDatabase, Some("database"));
    // It is more than one program, and none of them goes on.
    let port = server.port(PLAIN);
    drop(server);
    assert!(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok(), "the broker is still there");
}
