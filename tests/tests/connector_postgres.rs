//! The connector `postgres` against a real server, of the newest version that is installed.

use dataflow_model::{Cause, StepName, StepStatus, TestStatus};
use dataflow_tests::{
    connection::{Connection, Tested},
    postgres::{self, Postgres, PostgresOptions, identifier, literal},
    tls::{Authority, ServerTls, Shape},
};

const PASSWORD: &str = "planted 'secret\\ é";

fn start(hba: &[&str]) -> Postgres {
    start_with(&PostgresOptions { hba: hba.iter().map(|line| (*line).to_owned()).collect(), ..PostgresOptions::default() })
}

fn start_with(options: &PostgresOptions) -> Postgres {
    let server = Postgres::start(options);
    server.create_role("anna", PASSWORD);
    server.create_database("anna", "anna");
    server
}

fn anna(server: &Postgres) -> Connection {
    Connection::new("postgres", server.port()).user("anna", PASSWORD)
}

#[track_caller]
fn refused(tested: &Tested, cause: Cause, field: Option<&str>, step: StepName) {
    let error = tested.error(PASSWORD);
    assert_eq!((error.code, error.field.as_deref(), tested.failed_step()), (cause, field, Some(step)), "{error:?}");
}

#[tokio::test]
async fn a_password_is_proven_the_database_opened_and_a_row_read() {
    let server = start(&[]);
    server.create_database("sa les", "anna");
    for connection in [anna(&server), anna(&server).set("database", "sa les")] {
        let tested = connection.test().await;
        let outcome = tested.outcome();
        assert_eq!(outcome.status, TestStatus::Ok);
        let version = outcome.server_version.as_deref().unwrap_or_default();
        assert_eq!(version, format!("PostgreSQL {}", postgres::version()));
        assert_eq!(tested.steps.iter().map(|step| step.step).collect::<Vec<_>>(), StepName::ALL);
        let skipped: Vec<_> = tested.steps.iter().filter(|step| step.status == StepStatus::Skipped).collect();
        assert!(matches!(skipped.as_slice(), [secure] if secure.step == StepName::Secure), "{skipped:?}");
    }
}

#[tokio::test]
async fn over_tls_the_password_is_bound_to_the_channel() {
    let authority = Authority::new();
    let tls = ServerTls::new(authority.server(Shape::Good));
    let server = start_with(&PostgresOptions { tls: Some(tls), ..PostgresOptions::default() });
    let tested = anna(&server).verified(&authority.pem()).test().await;
    tested.outcome();
    let secured = tested.steps.iter().find(|step| step.step == StepName::Secure).and_then(|step| step.detail.as_deref());
    assert_eq!(secured, Some("TLS 1.3"));
}

#[tokio::test]
async fn every_byte_of_a_password_arrives() {
    let server = start(&[]);
    let punctuation: String = (' '..='~').collect();
    for (number, password) in [punctuation, "%41 é漢🦀".to_owned(), "x".repeat(1_000), "ﬁ\u{a0}ª".to_owned()].iter().enumerate()
    {
        let name = format!("user {number}");
        server.create_role(&name, password);
        let connection = Connection::new("postgres", server.port()).user(&name, password).set("database", "postgres");
        connection.test().await.outcome();
        let wrong = Connection::new("postgres", server.port()).user(&name, &format!("{password}!")).set("database", "postgres");
        assert_eq!(wrong.test().await.error(password).code, Cause::CredentialsRefused);
    }
}

#[tokio::test]
async fn a_refused_sign_in_is_named() {
    let server = start(&["host all outsider 127.0.0.1/32 reject", "hostnossl all secured 127.0.0.1/32 reject"]);
    let wrong = || Connection::new("postgres", server.port()).set("database", "anna");
    for user in ["outsider", "secured"] {
        server.create_role(user, PASSWORD);
    }
    server.psql(&format!("CREATE ROLE nobody_at_all NOLOGIN PASSWORD {}", literal(PASSWORD)));
    let credentials = (Cause::CredentialsRefused, Some("password"), StepName::SignIn);
    let no_address = (Cause::AddressNotPermitted, Some("tls.mode"), StepName::SignIn);
    for (user, password, (cause, field, step)) in [
        ("anna", "another", credentials),
        // The server does not tell a wrong name from a wrong password.
        ("anne", PASSWORD, credentials),
        ("outsider", PASSWORD, no_address),
        ("secured", PASSWORD, no_address),
        ("nobody_at_all", PASSWORD, (Cause::CredentialsRefused, Some("username"), StepName::OpenDatabase)),
    ] {
        refused(&wrong().user(user, password).test().await, cause, field, step);
    }
    refused(&wrong().set("username", "anna").test().await, Cause::CredentialsRefused, Some("password"), StepName::SignIn);
}

#[tokio::test]
async fn a_database_that_does_not_open_is_named() {
    let server = start(&[]);
    for name in ["private", "full"] {
        server.create_database(name, "postgres");
    }
    server.psql("REVOKE CONNECT ON DATABASE private FROM PUBLIC; ALTER DATABASE \"full\" CONNECTION LIMIT 0");
    server.create_role("limited", PASSWORD);
    server.psql("ALTER ROLE limited CONNECTION LIMIT 0");
    let open = StepName::OpenDatabase;
    refused(&anna(&server).set("database", "nowhere").test().await, Cause::DatabaseMissing, Some("database"), open);
    refused(&anna(&server).set("database", "private").test().await, Cause::NoRightToConnect, Some("username"), open);
    refused(&anna(&server).set("database", "full").test().await, Cause::TooManyConnections, None, open);
    let limited = Connection::new("postgres", server.port()).user("limited", PASSWORD).set("database", "postgres");
    refused(&limited.test().await, Cause::TooManyConnections, None, open);
}

#[tokio::test]
async fn settings_are_made_and_a_wrong_one_is_named() {
    let settings = vec![("log_connections".to_owned(), "on".to_owned())];
    let server = start_with(&PostgresOptions { settings, ..PostgresOptions::default() });
    let all = anna(&server)
        .set("extra.application_name", r"night \ run")
        .set("extra.search_path", "\"a b\", public")
        .set("extra.timezone", "Europe/Berlin")
        .number("extra.statement_timeout", 5_000);
    all.test().await.outcome();
    assert!(server.log().contains(r"user=anna database=anna application_name=night \ run"), "{}", server.log());
    anna(&server).test().await.outcome();
    assert!(server.log().contains("application_name=dataflow"), "the name where none is given, as in the SDK");
    for (field, value) in [("extra.timezone", "Mars/Olympus"), ("extra.search_path", "a,,b")] {
        let tested = anna(&server).set(field, value).test().await;
        refused(&tested, Cause::InvalidSettings, Some(field), StepName::OpenDatabase);
    }
}

#[tokio::test]
async fn weaker_sign_in_needs_verified_tls_or_leave() {
    let authority = Authority::new();
    let hba = [("hashed", "md5"), ("clear", "password")].map(|(user, method)| format!("host all {user} 127.0.0.1/32 {method}"));
    let server = start_with(&PostgresOptions {
        tls: Some(ServerTls::new(authority.server(Shape::Good))),
        hba: hba.into(),
        ..PostgresOptions::default()
    });
    for (user, leave, other) in [("hashed", "md5", "password"), ("clear", "password", "md5")] {
        server.psql(&format!(
            "SET password_encryption = 'md5'; CREATE ROLE {} LOGIN PASSWORD {}",
            identifier(user),
            literal(PASSWORD)
        ));
        let connection = || Connection::new("postgres", server.port()).user(user, PASSWORD).set("database", "postgres");
        for mode in ["disable", "require"] {
            let plain = connection().set("tls.mode", mode);
            refused(&plain.test().await, Cause::InsecureAuthenticationRefused, Some("tls.mode"), StepName::SignIn);
            let wrong_leave = plain.set("extra.insecure_auth", other);
            refused(&wrong_leave.test().await, Cause::InsecureAuthenticationRefused, Some("tls.mode"), StepName::SignIn);
            wrong_leave.set("extra.insecure_auth", leave).test().await.outcome();
        }
        connection().verified(&authority.pem()).test().await.outcome();
    }
}

#[tokio::test]
async fn a_server_that_trusts_everybody_proves_no_password() {
    let server = start(&["host all anna 127.0.0.1/32 trust"]);
    assert_eq!(anna(&server).test().await.outcome().status, TestStatus::Unproven);
    let without = Connection::new("postgres", server.port()).set("username", "anna");
    assert_eq!(without.test().await.outcome().status, TestStatus::Ok);
    let stranger = Connection::new("postgres", server.port()).set("username", "anna").set("database", "nowhere");
    refused(&stranger.test().await, Cause::DatabaseMissing, Some("database"), StepName::OpenDatabase);
}

#[tokio::test]
async fn a_client_certificate_signs_in() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let tls = ServerTls { client_authority: Some(clients.pem()), ..ServerTls::new(authority.server(Shape::Good)) };
    let hba = vec!["hostssl all anna 127.0.0.1/32 cert".to_owned()];
    let server = start_with(&PostgresOptions { tls: Some(tls), hba, ..PostgresOptions::default() });
    let connection = || Connection::new("postgres", server.port()).set("username", "anna").verified(&authority.pem());
    let with = |issuer: &Authority, user: &str| {
        let identity = issuer.client(user);
        connection().set("tls.cert", &identity.certificates).secret("tls.key", &identity.key)
    };
    assert_eq!(with(&clients, "anna").test().await.outcome().status, TestStatus::Ok);
    for bad in [connection(), with(&clients, "otto"), with(&Authority::new(), "anna")] {
        refused(&bad.test().await, Cause::ClientCertificateRefused, Some("tls.cert"), StepName::SignIn);
    }
}
