//! Services over HTTP of which a real server can be had.

use dataflow_model::{Catalogue, Cause, StepName, TestStatus};
use dataflow_tests::{
    connection::Connection,
    fake_services::{PASSWORD, USER},
    real_services::{GitHost, MOTO, PYPISERVER, RealService},
};

async fn looks_at_passwords(connector: &'static str, serve: fn(bool) -> RealService, fields: &[&[(&str, &str)]]) {
    let (guarded, open) = (serve(true), serve(false));
    for fields in fields {
        let to = |server: &RealService, password: &str| {
            let connection = Connection::new(connector, server.port()).user(USER, password);
            fields.iter().fold(connection, |connection, (path, value)| connection.set(path, value))
        };
        let right = to(&guarded, PASSWORD).test().await;
        assert_eq!(right.outcome().status, TestStatus::Ok, "{connector} {fields:?}: {:?}", right.steps);
        for wrong in ["another-password", ""] {
            let wrong = to(&guarded, wrong).test().await;
            let error = wrong.error(PASSWORD);
            assert_eq!((error.code, wrong.failed_step()), (Cause::CredentialsRefused, Some(StepName::SignIn)), "{error:?}");
        }
        for password in [PASSWORD, ""] {
            let unproven = to(&open, password).test().await;
            assert_eq!(unproven.outcome().status, TestStatus::Unproven, "{connector} {fields:?}: {:?}", unproven.steps);
        }
    }
}

#[tokio::test]
async fn a_container_registry_looks_at_passwords() {
    looks_at_passwords("docker_registry", RealService::registry, &[&[]]).await;
}

#[tokio::test]
async fn a_package_index_looks_at_passwords() {
    let index = ("extra.path", "/simple");
    looks_at_passwords("package_index", RealService::package_index, &[&[index], &[index, ("extra.project", "Sample_Project")]])
        .await;
    let server = RealService::package_index(true);
    let tested = Connection::new("package_index", server.port()).user(USER, PASSWORD).set("extra.path", "/nowhere").test().await;
    assert_eq!(tested.failed_step(), Some(StepName::SignIn), "{tested:?}");
}

/// Moto holds each signature against one that it makes itself, by the code of AWS's own client for Python.
#[tokio::test]
async fn signatures_are_those_that_another_one_makes() {
    let (server, key_id, secret) = RealService::moto();
    for (connector, fields) in [("aws", [].as_slice()), ("athena", &[]), ("s3", &[]), ("s3", &[("database", "sales")])] {
        let to = |secret: &str| {
            let connection =
                Connection::new(connector, server.port()).user(&key_id, secret).set("extra.region_name", "eu-west-1");
            fields.iter().fold(connection, |connection, (path, value)| connection.set(path, value))
        };
        let right = to(&secret).test().await;
        assert_eq!(right.outcome().status, TestStatus::Ok, "{connector} {fields:?}: {:?}", right.steps);
        for (wrong, field) in
            [(to("another-secret-of-the-key"), "password"), (to(&secret).set("username", "AKIAOTHER"), "username")]
        {
            let wrong = wrong.test().await;
            let error = wrong.error(&secret);
            let told = (error.code, wrong.failed_step(), error.field.as_deref());
            assert_eq!(told, (Cause::CredentialsRefused, Some(StepName::SignIn), Some(field)), "{connector}: {error:?}");
        }
    }
    let missing = Connection::new("s3", server.port()).user(&key_id, &secret).set("database", "nowhere").test().await;
    let error = missing.error(&secret);
    assert_eq!((error.code, missing.failed_step()), (Cause::DatabaseMissing, Some(StepName::OpenDatabase)), "{error:?}");
}

#[tokio::test]
async fn git_answers_for_a_repository() {
    for guarded in [true, false] {
        let host = GitHost::start(None, guarded);
        let to = |password: &str| Connection::new("git", host.port()).user(USER, password).set("extra.path", GitHost::PATH);
        let right = to(PASSWORD).test().await;
        let promised = if guarded { TestStatus::Ok } else { TestStatus::Unproven };
        assert_eq!(right.outcome().status, promised, "{:?}", right.steps);
        let missing = to(PASSWORD).set("extra.path", "/acme/nothing.git").test().await;
        assert_eq!(missing.error(PASSWORD).code, Cause::DatabaseMissing);
    }
}

#[test]
fn the_catalogue_names_the_versions_that_were_tested() {
    let catalogue = Catalogue::built_in().expect("sound");
    let moto = ["aws", "athena", "s3"].map(|id| (id, MOTO.to_owned()));
    let others = [("docker_registry", RealService::registry_version()), ("package_index", PYPISERVER.to_owned())];
    for (id, version) in others.into_iter().chain(moto) {
        let words = catalogue.get(id).expect("there").tested_words();
        let server = words.split([',', ';']).next().expect("a part").trim_end_matches('.');
        let told = server.rsplit(' ').next().expect("a word");
        assert!(!words.contains("fake") && version.starts_with(told), "{id}: “{words}”, and it is {version}");
    }
}
