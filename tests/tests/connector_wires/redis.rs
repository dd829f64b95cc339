//! Redis.

use dataflow_model::{Cause, StepName, TestStatus};
use dataflow_tests::{
    connection::Connection,
    fake_services::{PASSWORD, USER},
    wires::{self, NOBODYS, OPEN, PLAIN, READER},
};

use crate::common::{Known, is_refused, is_unproven};

#[tokio::test]
async fn redis_looks_at_passwords() {
    let server = wires::redis();
    for user in [USER, ""] {
        let known = Known { connector: "redis", server: &server, user, says: "Redis 7.0.", begins_on_request: false };
        known.holds().await;
    }
    let to = |door: &str, user: &str, password: &str| Connection::new("redis", server.port(door)).user(user, password);

    // Who may not ask for the version has signed in and read.
    let reader = to(PLAIN, READER, PASSWORD).test().await;
    assert_eq!((reader.outcome().status, &reader.outcome().server_version), (TestStatus::Ok, &None), "{:?}", reader.steps);
    let barred = to(PLAIN, READER, PASSWORD).number("database", 1).test().await;
    is_refused(&barred, Cause::ReadRefused, StepName::OpenDatabase, None);

    // A user without a password takes any.
    for password in ["", PASSWORD, "another-password"] {
        is_unproven(&to(PLAIN, NOBODYS, password).test().await);
    }
    is_unproven(&to(OPEN, "", "").test().await);
    let refused = to(OPEN, "", PASSWORD).test().await;
    is_refused(&refused, Cause::CredentialsRefused, StepName::SignIn, Some("password"));
    assert!(refused.error(PASSWORD).message.contains("no password set"), "{refused:?}");

    let last = to(PLAIN, USER, PASSWORD).number("database", 3).test().await;
    let opened = last.steps.iter().find(|step| step.step == StepName::OpenDatabase).and_then(|step| step.detail.clone());
    assert_eq!((last.outcome().status, opened.as_deref()), (TestStatus::Ok, Some("3")));
    let beyond = to(PLAIN, USER, PASSWORD).number("database", 4).test().await;
    is_refused(&beyond, Cause::DatabaseMissing, StepName::OpenDatabase, Some("database"));
}
