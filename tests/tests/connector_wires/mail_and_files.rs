//! Mail, and files.

use dataflow_model::{Catalogue, Cause, StepName};
use dataflow_tests::{
    connection::Connection,
    fake_services::{PASSWORD, USER},
    wires::{self, AIOSMTPD, OPEN, PLAIN, PYFTPDLIB},
};

use crate::common::{Known, is_refused, is_unproven};

#[tokio::test]
async fn smtp_looks_at_passwords() {
    let server = wires::aiosmtpd();
    let known = Known { connector: "smtp", server: &server, user: USER, says: "", begins_on_request: false };
    known.holds().await;
    let to = |door: &str, user: &str, password: &str| Connection::new("smtp", server.port(door)).user(user, password);
    for door in [PLAIN, OPEN] {
        is_unproven(&to(door, "", "").test().await);
    }
    let none = to(OPEN, USER, PASSWORD).test().await;
    is_refused(&none, Cause::InvalidSettings, StepName::SignIn, Some("tls.mode"));
    let nameless = to(PLAIN, "", PASSWORD).test().await;
    is_refused(&nameless, Cause::InvalidSettings, StepName::SignIn, Some("username"));
}

#[tokio::test]
async fn imap_looks_at_passwords() {
    let server = wires::dovecot();
    let known = Known { connector: "imap", server: &server, user: USER, says: "Dovecot", begins_on_request: true };
    known.holds().await;
}

#[tokio::test]
async fn ftp_looks_at_passwords() {
    let server = wires::pyftpdlib();
    let known = Known { connector: "ftp", server: &server, user: USER, says: "pyftpdlib 2.2", begins_on_request: false };
    known.holds().await;
    let to = |door: &str, user: &str, password: &str| Connection::new("ftp", server.port(door)).user(user, password);
    for (user, password) in [("", ""), ("anonymous", ""), ("anonymous", PASSWORD)] {
        is_unproven(&to(OPEN, user, password).test().await);
    }
    let unknown = to(OPEN, USER, PASSWORD).test().await;
    is_refused(&unknown, Cause::CredentialsRefused, StepName::SignIn, Some("password"));
    let demanded = to(wires::ON_REQUEST, USER, PASSWORD).test().await;
    is_refused(&demanded, Cause::InvalidSettings, StepName::SignIn, Some("tls.mode"));
}

#[test]
fn the_catalogue_names_the_versions_that_were_tested() {
    let catalogue = Catalogue::built_in().expect("sound");
    for (id, version) in [("smtp", AIOSMTPD.to_owned()), ("ftp", PYFTPDLIB.to_owned())].into_iter().chain(wires::versions()) {
        let words = catalogue.get(id).expect("there").tested_words();
        let told = words.trim_end_matches('.').rsplit(' ').next().expect("a word");
        assert!(!words.contains("not against") && version.starts_with(told), "{id}: “{words}”, and it is {version}");
    }
}
