//! Every service that is asked over HTTP, by one table: what a right password, a wrong one and none come to, what TLS has to say, and what
//! is told of something else that answers there.

use std::sync::OnceLock;

use dataflow_connectors::registry;
use dataflow_model::{Catalogue, Cause, StepName, StepStatus, TestStatus};
use dataflow_tests::{
    connection::{Connection, Tested},
    fake_services::{self as fakes, Door, FakeService, PASSWORD, Reply, ServiceCase, USER, service_cases},
    scripted::Scripted,
    tls::{Authority, Shape},
};

fn authority() -> &'static Authority {
    static AUTHORITY: OnceLock<Authority> = OnceLock::new();
    AUTHORITY.get_or_init(Authority::new)
}

fn serve(case: &ServiceCase, door: Door, shape: Shape) -> FakeService {
    let answer = case.answer;
    FakeService::start(Some(authority().server(shape)), move |asked| answer(asked, door))
}

/// Without a password, over verified TLS.
fn connection(case: &ServiceCase, port: u16) -> Connection {
    case.connection(authority(), port)
}

/// With the right one.
fn right(case: &ServiceCase, connection: Connection) -> Connection {
    connection.secret(case.sign_in.field, &(case.sign_in.right)())
}

#[track_caller]
fn is_refused(case: &ServiceCase, tested: &Tested, code: Cause, step: StepName) {
    let error = tested.error(&(case.sign_in.right)());
    assert_eq!((error.code, tested.failed_step()), (code, Some(step)), "{}: {error:?}\n{:?}", case.told(), tested.steps);
    assert!(!error.hint.is_empty(), "{error:?}");
}

fn sign_in(tested: &Tested) -> (StepStatus, Option<&str>) {
    let step = tested.steps.iter().find(|step| step.step == StepName::SignIn).expect("every test has it");
    (step.status, step.detail.as_deref())
}

#[tokio::test]
async fn the_right_password_is_proven() {
    for case in service_cases() {
        let server = serve(&case, Door::Guarded, Shape::Good);
        let tested = right(&case, connection(&case, server.port())).test().await;
        let outcome = tested.outcome();
        assert_eq!(outcome.status, TestStatus::Ok, "{}: {:?}", case.told(), tested.steps);
        assert_eq!(outcome.server_version.as_deref(), case.version, "{}", case.told());
        assert_eq!(sign_in(&tested), (StepStatus::Ok, None), "{}", case.told());
        assert!(!format!("{tested:?}").contains(&(case.sign_in.right)()), "{}: {tested:?}", case.told());
        assert!(!server.has_heard("GET /https") && !server.has_heard("elsewhere.example.org HTTP"), "{}", case.told());
    }
}

#[tokio::test]
async fn a_wrong_password_never_passes() {
    for case in service_cases() {
        let server = serve(&case, Door::Guarded, Shape::Good);
        let wrong = (case.sign_in.wrong)();
        let tested = connection(&case, server.port()).secret(case.sign_in.field, &wrong).test().await;
        is_refused(&case, &tested, Cause::CredentialsRefused, StepName::SignIn);
        assert!(!format!("{tested:?}").contains(&wrong), "{}: {tested:?}", case.told());
        assert_eq!(tested.error(&wrong).field.as_deref(), Some(case.sign_in.field), "{}", case.told());
    }
}

#[tokio::test]
async fn a_password_that_nobody_looks_at_is_not_proven() {
    for case in service_cases() {
        let server = serve(&case, Door::Open, Shape::Good);
        let tested = right(&case, connection(&case, server.port())).test().await;
        match case.unguarded {
            Ok(()) => {
                assert_eq!(tested.outcome().status, TestStatus::Unproven, "{}: {:?}", case.told(), tested.steps);
                let said = Some("The server answers the same without the password");
                assert_eq!(sign_in(&tested), (StepStatus::Ok, said), "{}", case.told());
            }
            Err(cause) => is_refused(&case, &tested, cause, StepName::SignIn),
        }
    }
}

#[tokio::test]
async fn without_a_password_nothing_is_proven() {
    for case in service_cases() {
        let server = serve(&case, Door::Open, Shape::Good);
        let tested = connection(&case, server.port()).test().await;
        assert_eq!(tested.outcome().status, TestStatus::Unproven, "{}: {:?}", case.told(), tested.steps);
        assert_eq!(sign_in(&tested), (StepStatus::Skipped, Some("No sign-in is set")), "{}", case.told());
        let server = serve(&case, Door::Guarded, Shape::Good);
        let tested = connection(&case, server.port()).test().await;
        match case.without {
            Ok(()) => assert_eq!(tested.outcome().status, TestStatus::Unproven, "{}", case.told()),
            Err(cause) => is_refused(&case, &tested, cause, StepName::SignIn),
        }
    }
}

#[tokio::test]
async fn a_certificate_is_held_against_the_host() {
    for case in service_cases() {
        for (shape, cause) in
            [(Shape::WrongHost, Cause::CertificateWrongHost), (Shape::UnknownAuthority, Cause::CertificateUntrusted)]
        {
            let server = serve(&case, Door::Guarded, shape);
            let tested = right(&case, connection(&case, server.port())).test().await;
            is_refused(&case, &tested, cause, StepName::Secure);
            assert!(!server.has_heard("HTTP/1.1"), "{}", case.told());
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
    for case in service_cases() {
        let plain = |port| right(&case, case.plain(authority(), "127.0.0.1", port));
        let tested = plain(ssh.port()).test().await;
        is_refused(&case, &tested, Cause::NotThatDatabase, StepName::SignIn);
        let message = &tested.error(PASSWORD).message;
        assert!(message.starts_with("An SSH server answers there") && !message.contains("Debian"), "{message}");
        let tested = right(&case, connection(&case, ssh.port())).test().await;
        is_refused(&case, &tested, Cause::NotThatDatabase, StepName::Secure);
        assert!(tested.error(PASSWORD).message.starts_with("An SSH server"), "{:?}", tested.error(PASSWORD));
        // HTTP without TLS where TLS is wanted, and the other way round.
        let page = page();
        let tested = right(&case, connection(&case, page.port())).test().await;
        is_refused(&case, &tested, Cause::TlsNotOffered, StepName::Secure);
        assert!(!page.has_heard(PASSWORD), "{}", case.told());
        let tested = plain(secured.port()).test().await;
        is_refused(&case, &tested, Cause::InvalidSettings, StepName::SignIn);
        assert_eq!(tested.error(PASSWORD).field.as_deref(), Some("tls.mode"), "{}", case.told());
        if case.id == "http" {
            continue;
        }
        let tested = plain(page.port()).test().await;
        is_refused(&case, &tested, Cause::NotThatDatabase, StepName::SignIn);
        assert!(tested.error(PASSWORD).message.contains("web page"), "{}: {:?}", case.told(), tested.error(PASSWORD));
        if case.id != "elasticsearch" {
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
    for case in service_cases().into_iter().filter(|case| !matches!(case.id, "trino" | "presto")) {
        let answer = case.answer;
        let server = FakeService::start(None, move |asked| answer(asked, Door::Guarded));
        // An address of this machine that does not say so by its words.
        let elsewhere = || right(&case, case.plain(authority(), "127.1", server.port()));
        let tested = elsewhere().test().await;
        is_refused(&case, &tested, Cause::InsecureAuthenticationRefused, StepName::SignIn);
        assert!(!server.has_heard("GET ") && !server.has_heard("POST "), "{}", case.told());
        let tested = elsewhere().set("extra.insecure_auth", "password").test().await;
        assert_eq!(tested.outcome().status, TestStatus::Ok, "{}", case.told());
    }
}

/// A connection type of a service that no row of the table is about would be tested by nothing.
#[test]
fn every_service_has_a_row() {
    let catalogue = Catalogue::built_in().expect("sound");
    let others = ["generic", "mysql", "postgres", "sqlite", "webhook"];
    // They extend `http` for its fields, and speak over sockets: `connector_wires` has them.
    let wires = [
        "cassandra",
        "ftp",
        "http_proxy",
        "imap",
        "kafka",
        "ldap",
        "mongo",
        "mqtt",
        "mssql",
        "nats",
        "oracle",
        "rabbitmq",
        "redis",
        "sftp",
        "smtp",
        "socks_proxy",
        "ssh",
    ];
    let known: Vec<_> = service_cases().iter().map(|case| case.id).collect();
    for kind in catalogue.all() {
        let connector = kind.connector.as_str();
        let is_http = kind.fields.iter().any(|field| field.path.as_str() == "extra.insecure_auth" && field.choices.len() == 1);
        assert!(
            known.contains(&connector) || others.contains(&connector) || wires.contains(&connector) || !is_http,
            "{}: give it a row here",
            kind.id
        );
        assert!(registry::connector(connector).is_some(), "{}", kind.id);
    }
}
