//! LDAP.

use dataflow_model::{Cause, StepName, TestStatus};
use dataflow_tests::{
    connection::Connection,
    fake_services::PASSWORD,
    wires::{self, ADMIN, BASE, PLAIN},
};

use crate::common::{Known, is_refused, is_unproven, speaks_first};

#[tokio::test]
async fn ldap_looks_at_passwords() {
    let server = wires::openldap();
    let known = Known { connector: "ldap", server: &server, user: ADMIN, says: "", begins_on_request: true };
    known.holds().await;
    let to = |user: &str, password: &str| Connection::new("ldap", server.port(PLAIN)).user(user, password);
    is_unproven(&to("", "").test().await);
    let nameless = to("", PASSWORD).test().await;
    is_refused(&nameless, Cause::InvalidSettings, StepName::SignIn, Some("username"));
    let unknown = to("cn=bob,dc=example,dc=org", PASSWORD).test().await;
    is_refused(&unknown, Cause::CredentialsRefused, StepName::SignIn, Some("password"));
    let bent = to("anna", PASSWORD).test().await;
    is_refused(&bent, Cause::InvalidSettings, StepName::SignIn, Some("username"));

    let there = to(ADMIN, PASSWORD).set("database", BASE).test().await;
    assert_eq!(there.outcome().status, TestStatus::Ok, "{:?}", there.steps);
    let missing = to(ADMIN, PASSWORD).set("database", "dc=nowhere,dc=example,dc=org").test().await;
    is_refused(&missing, Cause::DatabaseMissing, StepName::OpenDatabase, Some("database"));
}

/// Some directories say nothing else of an entry that may not be seen.
#[tokio::test]
async fn an_entry_that_is_not_shown_is_not_opened() {
    // BindResponse and SearchResultDone, both with success.
    let server =
        speaks_first(b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\0\x04\0\x04\0\x30\x0c\x02\x01\x02\x65\x07\x0a\x01\0\x04\0\x04\0");
    let tested = Connection::new("ldap", server.port()).user(ADMIN, PASSWORD).set("database", BASE).test().await;
    is_refused(&tested, Cause::NoRightToConnect, StepName::OpenDatabase, Some("database"));
}
