//! Every service that is asked over HTTP, by one table: what a right password, a wrong one and none come to, what TLS has to say, and what
//! is told of something else that answers there.

use std::sync::OnceLock;

use dataflow_connectors::registry;
use dataflow_model::{Catalogue, Cause, StepName, StepStatus, TestStatus};
use dataflow_tests::{
    connection::{Connection, Tested},
    fake_services::{self as fakes, Answers, Door, FakeService, PASSWORD, Reply, USER},
    scripted::Scripted,
    tls::{Authority, Shape},
};

/// One service, and one of its ways to sign in.
struct Case {
    connector: &'static str,
    /// What is set beside host, port and sign-in.
    fields: &'static [(&'static str, &'static str)],
    answer: Answers,
    version: Option<&'static str>,
    /// What a test with a password comes to where nobody looks at it; a cause if such a server refuses any.
    unguarded: Result<(), Cause>,
    /// It answers without a sign-in, and not as one that is asked for it.
    without: Result<(), Cause>,
}

const CASE: Case = Case {
    connector: "",
    fields: &[],
    answer: fakes::api,
    version: None,
    unguarded: Ok(()),
    without: Err(Cause::CredentialsRefused),
};

fn cases() -> Vec<Case> {
    vec![
        Case { connector: "http", fields: &[("extra.path", "v1/"), ("extra.test_path", "me"), ("extra.auth", "basic")], ..CASE },
        Case { connector: "http", fields: &[("extra.test_path", "/v1/me"), ("extra.auth", "bearer")], ..CASE },
        Case { connector: "http", fields: &[("extra.test_path", "/v1/me"), ("extra.auth", "header")], ..CASE },
        Case {
            connector: "clickhouse",
            fields: &[("database", "sales")],
            answer: fakes::clickhouse,
            version: Some("ClickHouse 26.3.1.896"),
            ..CASE
        },
        Case { connector: "elasticsearch", answer: fakes::elasticsearch, version: Some("Elasticsearch 8.19.2"), ..CASE },
        Case {
            connector: "elasticsearch",
            fields: &[("extra.auth", "api_key"), ("database", "orders")],
            answer: fakes::elasticsearch,
            version: Some("Elasticsearch 8.19.2"),
            ..CASE
        },
        Case {
            connector: "opensearch",
            fields: &[("database", "orders")],
            answer: fakes::opensearch,
            version: Some("OpenSearch 3.5.0"),
            ..CASE
        },
        Case {
            connector: "trino",
            fields: &[("database", "hive"), ("extra.schema", "web")],
            answer: fakes::trino,
            version: Some("Trino 476"),
            unguarded: Err(Cause::CredentialsRefused),
            ..CASE
        },
        Case {
            connector: "trino",
            fields: &[("extra.auth", "bearer")],
            answer: fakes::trino,
            version: Some("Trino 476"),
            unguarded: Err(Cause::CredentialsRefused),
            ..CASE
        },
        Case {
            connector: "presto",
            fields: &[("database", "hive")],
            answer: fakes::presto,
            version: Some("Presto 0.294-7c5a25c"),
            unguarded: Err(Cause::CredentialsRefused),
            ..CASE
        },
        Case {
            connector: "influxdb",
            fields: &[("database", "metrics"), ("extra.organization", "acme")],
            answer: fakes::influxdb,
            version: Some("InfluxDB 2.7.11"),
            ..CASE
        },
        Case { connector: "schema_registry", answer: fakes::schema_registry, version: Some("Schema Registry 8.1.0-ccs"), ..CASE },
        Case { connector: "vault", answer: fakes::vault, version: Some("Vault 1.20.4"), ..CASE },
        Case {
            connector: "vault",
            fields: &[("extra.auth", "approle")],
            answer: fakes::vault,
            version: Some("Vault 1.20.4"),
            ..CASE
        },
        Case { connector: "docker_registry", answer: fakes::docker_registry, ..CASE },
        Case { connector: "package_index", fields: &[("extra.path", "/simple")], answer: fakes::package_index, ..CASE },
        Case {
            connector: "package_index",
            fields: &[("extra.path", "/simple"), ("extra.project", "Sample_Project")],
            answer: fakes::package_index,
            ..CASE
        },
        Case { connector: "druid", answer: fakes::druid, version: Some("Druid 34.0.0"), ..CASE },
        Case {
            connector: "databricks",
            fields: &[("extra.http_path", "/sql/1.0/warehouses/abc123")],
            answer: fakes::databricks,
            ..CASE
        },
    ]
}

fn authority() -> &'static Authority {
    static AUTHORITY: OnceLock<Authority> = OnceLock::new();
    AUTHORITY.get_or_init(Authority::new)
}

impl Case {
    fn serve(&self, door: Door, shape: Shape) -> FakeService {
        let answer = self.answer;
        FakeService::start(Some(authority().server(shape)), move |asked| answer(asked, door))
    }

    /// Without a password, over verified TLS.
    fn connection(&self, port: u16) -> Connection {
        let connection = Connection::new(self.connector, port).verified(&authority().pem()).set("username", USER);
        self.fields.iter().fold(connection, |connection, (path, value)| connection.set(path, value))
    }

    fn told(&self) -> String {
        format!("{} with {:?}", self.connector, self.fields)
    }

    #[track_caller]
    fn is_refused(&self, tested: &Tested, cause: Cause, step: StepName) {
        let error = tested.error(PASSWORD);
        assert_eq!((error.code, tested.failed_step()), (cause, Some(step)), "{}: {error:?}\n{:?}", self.told(), tested.steps);
        assert!(!error.hint.is_empty(), "{error:?}");
    }
}

fn sign_in(tested: &Tested) -> (StepStatus, Option<&str>) {
    let step = tested.steps.iter().find(|step| step.step == StepName::SignIn).expect("every test has it");
    (step.status, step.detail.as_deref())
}

#[tokio::test]
async fn the_right_password_is_proven() {
    for case in cases() {
        let server = case.serve(Door::Guarded, Shape::Good);
        let tested = case.connection(server.port()).secret("password", PASSWORD).test().await;
        let outcome = tested.outcome();
        assert_eq!(outcome.status, TestStatus::Ok, "{}: {:?}", case.told(), tested.steps);
        assert_eq!(outcome.server_version.as_deref(), case.version, "{}", case.told());
        assert_eq!(sign_in(&tested), (StepStatus::Ok, None), "{}", case.told());
        assert!(!format!("{tested:?}").contains(PASSWORD), "{}: {tested:?}", case.told());
        assert!(!server.has_heard("GET /https") && !server.has_heard("elsewhere.example.org HTTP"), "{}", case.told());
    }
}

#[tokio::test]
async fn a_wrong_password_never_passes() {
    for case in cases() {
        let server = case.serve(Door::Guarded, Shape::Good);
        let wrong = "planted-secret-of-a-service-and-more";
        let tested = case.connection(server.port()).secret("password", wrong).test().await;
        case.is_refused(&tested, Cause::CredentialsRefused, StepName::SignIn);
        assert!(!format!("{tested:?}").contains(wrong), "{}: {tested:?}", case.told());
        assert_eq!(tested.error(wrong).field.as_deref(), Some("password"), "{}", case.told());
    }
}

#[tokio::test]
async fn a_password_that_nobody_looks_at_is_not_proven() {
    for case in cases() {
        let server = case.serve(Door::Open, Shape::Good);
        let tested = case.connection(server.port()).secret("password", PASSWORD).test().await;
        match case.unguarded {
            Ok(()) => {
                assert_eq!(tested.outcome().status, TestStatus::Unproven, "{}: {:?}", case.told(), tested.steps);
                let said = Some("The server answers the same without the password");
                assert_eq!(sign_in(&tested), (StepStatus::Ok, said), "{}", case.told());
            }
            Err(cause) => case.is_refused(&tested, cause, StepName::SignIn),
        }
    }
}

#[tokio::test]
async fn without_a_password_nothing_is_proven() {
    for case in cases() {
        let server = case.serve(Door::Open, Shape::Good);
        let tested = case.connection(server.port()).test().await;
        assert_eq!(tested.outcome().status, TestStatus::Unproven, "{}: {:?}", case.told(), tested.steps);
        assert_eq!(sign_in(&tested), (StepStatus::Skipped, Some("No sign-in is set")), "{}", case.told());
        let server = case.serve(Door::Guarded, Shape::Good);
        let tested = case.connection(server.port()).test().await;
        match case.without {
            Ok(()) => assert_eq!(tested.outcome().status, TestStatus::Unproven, "{}", case.told()),
            Err(cause) => case.is_refused(&tested, cause, StepName::SignIn),
        }
    }
}

#[tokio::test]
async fn a_certificate_is_held_against_the_host() {
    for case in cases() {
        for (shape, cause) in
            [(Shape::WrongHost, Cause::CertificateWrongHost), (Shape::UnknownAuthority, Cause::CertificateUntrusted)]
        {
            let server = case.serve(Door::Guarded, shape);
            let tested = case.connection(server.port()).secret("password", PASSWORD).test().await;
            case.is_refused(&tested, cause, StepName::Secure);
            assert!(!server.has_heard(PASSWORD), "{}", case.told());
        }
    }
}

#[tokio::test]
async fn something_else_that_answers_is_named() {
    let ssh = Scripted::start(|peer| {
        peer.send(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n")?;
        peer.listen()
    });
    let page =
        || FakeService::start(None, |_| Reply::new(200, "<!DOCTYPE html><h1>It works!</h1>").with("content-type", "text/html"));
    let search = FakeService::start(None, |asked| fakes::elasticsearch(asked, Door::Open));
    let secured = FakeService::start(Some(authority().server(Shape::Good)), |asked| fakes::api(asked, Door::Guarded));
    for case in cases() {
        let plain = |port| case.connection(port).set("host", "127.0.0.1").set("tls.mode", "disable").secret("password", PASSWORD);
        let tested = plain(ssh.port()).test().await;
        case.is_refused(&tested, Cause::NotThatDatabase, StepName::SignIn);
        let message = &tested.error(PASSWORD).message;
        assert!(message.starts_with("An SSH server answers there") && !message.contains("Debian"), "{message}");
        let tested = case.connection(ssh.port()).secret("password", PASSWORD).test().await;
        case.is_refused(&tested, Cause::NotThatDatabase, StepName::Secure);
        assert!(tested.error(PASSWORD).message.starts_with("An SSH server"), "{:?}", tested.error(PASSWORD));
        // HTTP without TLS where TLS is wanted, and the other way round.
        let page = page();
        let tested = case.connection(page.port()).secret("password", PASSWORD).test().await;
        case.is_refused(&tested, Cause::TlsNotOffered, StepName::Secure);
        assert!(!page.has_heard(PASSWORD), "{}", case.told());
        let tested = plain(secured.port()).test().await;
        case.is_refused(&tested, Cause::InvalidSettings, StepName::SignIn);
        assert_eq!(tested.error(PASSWORD).field.as_deref(), Some("tls.mode"), "{}", case.told());
        if case.connector == "http" {
            continue;
        }
        let tested = plain(page.port()).test().await;
        case.is_refused(&tested, Cause::NotThatDatabase, StepName::SignIn);
        assert!(tested.error(PASSWORD).message.contains("web page"), "{}: {:?}", case.told(), tested.error(PASSWORD));
        if case.connector != "elasticsearch" {
            let tested = plain(search.port()).test().await;
            let message = &tested.error(PASSWORD).message;
            assert_eq!(tested.failed_step(), Some(StepName::SignIn), "{}: {message}", case.told());
        }
    }
    let tested = Connection::new("opensearch", search.port()).user(USER, PASSWORD).test().await;
    assert!(tested.error(PASSWORD).message.starts_with("Elasticsearch answers there, not OpenSearch"), "{:?}", tested.result);
}

/// Whoever listens on the way hears no password, unless an admin has allowed it.
#[tokio::test]
async fn no_password_goes_where_it_can_be_read() {
    for case in cases().into_iter().filter(|case| !matches!(case.connector, "trino" | "presto")) {
        let answer = case.answer;
        let server = FakeService::start(None, move |asked| answer(asked, Door::Guarded));
        // An address of this machine that does not say so by its words.
        let elsewhere =
            || case.connection(server.port()).set("host", "127.1").set("tls.mode", "disable").secret("password", PASSWORD);
        let tested = elsewhere().test().await;
        case.is_refused(&tested, Cause::InsecureAuthenticationRefused, StepName::SignIn);
        assert!(!server.has_heard("GET ") && !server.has_heard("POST "), "{}", case.told());
        let tested = elsewhere().set("extra.insecure_auth", "password").test().await;
        assert_eq!(tested.outcome().status, TestStatus::Ok, "{}", case.told());
    }
}

/// A connection type of a service that no row of the table is about would be tested by nothing.
#[test]
fn every_service_has_a_row() {
    let catalogue = Catalogue::built_in().expect("sound");
    let others = ["mysql", "postgres", "sqlite", "webhook"];
    let known: Vec<_> = cases().iter().map(|case| case.connector).collect();
    for kind in catalogue.all() {
        let connector = kind.connector.as_str();
        let is_http = kind.fields.iter().any(|field| field.path.as_str() == "extra.insecure_auth" && field.choices.len() == 1);
        assert!(known.contains(&connector) || others.contains(&connector) || !is_http, "{}: give it a row here", kind.id);
        assert!(registry::connector(connector).is_some(), "{}", kind.id);
    }
}
