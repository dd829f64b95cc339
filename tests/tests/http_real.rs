//! Services over HTTP of which a real server can be had.

use dataflow_model::{Catalogue, Cause, StepName, TestStatus};
use dataflow_tests::{
    connection::Connection,
    fake_services::{PASSWORD, USER},
    real_services::{PYPISERVER, RealService},
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

#[test]
fn the_catalogue_names_the_versions_that_were_tested() {
    let catalogue = Catalogue::built_in().expect("sound");
    for (id, version) in [("docker_registry", RealService::registry_version()), ("package_index", PYPISERVER.to_owned())] {
        let words = catalogue.get(id).expect("there").tested_words();
        let told = words.trim_end_matches('.').rsplit(' ').next().expect("a word");
        assert!(!words.contains("not against") && version.starts_with(told), "{id}: “{words}”, and it is {version}");
    }
}
