//! The connector `mysql` against real servers: the MariaDB that is installed, and MySQL 9.

use std::{
    io::Read as _,
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use dataflow_model::{Cause, StepName, TestStatus};
use dataflow_tests::{
    connection::{Connection, Tested},
    mariadb::MariaDb,
    mysql::MySql,
    mysql_protocol::{MySqlOptions, Plugin},
    server::{TestServer, TestServerOptions},
    tls::{Authority, ServerTls, Shape},
};

const PASSWORD: &str = "planted 'secret\\ é";
/// For what a server does in a moment, on a machine that is busy.
const SOON: Duration = Duration::from_secs(30);

fn without_tls(flags: &[&str]) -> MySqlOptions {
    MySqlOptions { tls: None, flags: flags.iter().map(|flag| (*flag).to_owned()).collect() }
}

fn with_tls(authority: &Authority, flags: &[&str]) -> MySqlOptions {
    MySqlOptions { tls: Some(ServerTls::new(authority.server(Shape::Good))), ..without_tls(flags) }
}

#[track_caller]
fn refused(tested: &Tested, cause: Cause, field: Option<&str>, step: StepName) {
    let error = tested.error(PASSWORD);
    assert_eq!((error.code, error.field.as_deref(), tested.failed_step()), (cause, field, Some(step)), "{error:?}");
}

#[tokio::test]
async fn mariadb_is_signed_in_to_and_read_by_either_plugin() {
    let server = MariaDb::start(&without_tls(&[]));
    server.create_user("anna", "%", Plugin::NativePassword, PASSWORD);
    server.create_user("edda", "%", Plugin::Ed25519, PASSWORD);
    server.create_user("open", "%", Plugin::NativePassword, "");
    server.sql("CREATE DATABASE `sa les`; GRANT SELECT ON `sa les`.* TO anna, edda");
    for user in ["anna", "edda"] {
        let connection = Connection::new("mysql", server.port()).user(user, PASSWORD).set("database", "sa les");
        let tested = connection.test().await;
        let outcome = tested.outcome();
        assert_eq!(outcome.status, TestStatus::Ok);
        let version = outcome.server_version.as_deref().unwrap_or_default();
        assert_eq!(version, format!("MariaDB {}", MariaDb::version()));
        assert_eq!(tested.steps.iter().map(|step| step.step).collect::<Vec<_>>(), StepName::ALL);
    }
    Connection::new("mysql", server.port()).set("username", "open").test().await.outcome();
}

#[tokio::test]
async fn mysql_is_signed_in_to_in_full_over_verified_tls_and_by_proof_afterwards() {
    let authority = Authority::new();
    let server = MySql::start(&with_tls(&authority, &[]));
    server.create_user("anna", "%", Plugin::CachingSha2, PASSWORD);
    server.create_user("sheila", "%", Plugin::Sha256, PASSWORD);
    server.create_user("open", "%", Plugin::CachingSha2, "");
    let plain = |user: &str| Connection::new("mysql", server.port()).user(user, PASSWORD);

    // Nobody has signed in yet: the server wants the password itself, which an open connection does not get.
    let cold = plain("anna").test().await;
    refused(&cold, Cause::InsecureAuthenticationRefused, Some("tls.mode"), StepName::SignIn);
    assert!(cold.error(PASSWORD).hint.contains("RSA exchange"));
    let unverified = plain("anna").set("tls.mode", "require").test().await;
    refused(&unverified, Cause::InsecureAuthenticationRefused, Some("tls.mode"), StepName::SignIn);
    refused(&plain("sheila").test().await, Cause::InsecureAuthenticationRefused, Some("tls.mode"), StepName::SignIn);

    let full = plain("anna").verified(&authority.pem()).test().await;
    let version = full.outcome().server_version.as_deref().unwrap_or_default();
    assert!(version.starts_with("MySQL 9."), "{version}");
    plain("sheila").verified(&authority.pem()).test().await.outcome();

    // Now the server has the password in its cache, and a proof of it is enough.
    plain("anna").test().await.outcome();
    plain("anna").set("tls.mode", "require").test().await.outcome();
    // `sha256_password` has no cache.
    refused(&plain("sheila").test().await, Cause::InsecureAuthenticationRefused, Some("tls.mode"), StepName::SignIn);
    Connection::new("mysql", server.port()).set("username", "open").test().await.outcome();
}

#[tokio::test]
async fn an_admin_may_allow_the_password_under_the_servers_own_key() {
    let server = MySql::start(&without_tls(&[]));
    server.create_user("anna", "%", Plugin::CachingSha2, PASSWORD);
    server.create_user("sheila", "%", Plugin::Sha256, PASSWORD);
    for user in ["anna", "sheila"] {
        let allowed = Connection::new("mysql", server.port()).user(user, PASSWORD).set("extra.insecure_auth", "mysql_rsa");
        allowed.test().await.outcome();
    }
    server.create_user("long", "%", Plugin::CachingSha2, &"x".repeat(250));
    let long = Connection::new("mysql", server.port()).user("long", &"x".repeat(250)).set("extra.insecure_auth", "mysql_rsa");
    assert_eq!(long.test().await.error(&"x".repeat(250)).code, Cause::ServerError);
}

#[tokio::test]
async fn refusals_of_mariadb_are_told_apart() {
    let server = MariaDb::start(&without_tls(&[
        "--max-connections=10",
        "--disconnect-on-expired-password=ON",
        // For a sign-in, so that those who take every connection keep it.
        "--connect-timeout=600",
    ]));
    let connection = |user: &str| Connection::new("mysql", server.port()).user(user, PASSWORD);

    // No account at all is open to 127.0.0.1 yet.
    server.sql("DELETE FROM mysql.global_priv WHERE Host <> 'localhost'; FLUSH PRIVILEGES");
    refused(&connection("anna").test().await, Cause::AddressNotPermitted, None, StepName::SignIn);

    for user in ["anna", "locked", "expired"] {
        server.create_user(user, "%", Plugin::NativePassword, PASSWORD);
    }
    server.sql(
        "ALTER USER locked ACCOUNT LOCK; ALTER USER expired PASSWORD EXPIRE;
         CREATE DATABASE closed; GRANT ALL ON `open%`.* TO anna",
    );
    let wrong = connection("anna").secret("password", "planted but wrong").test().await;
    refused(&wrong, Cause::CredentialsRefused, Some("password"), StepName::SignIn);
    assert!(!format!("{wrong:?}").contains("planted but wrong"));
    assert!(wrong.error(PASSWORD).hint.contains("may not come from “127.0.0.1”"));
    refused(&connection("nobody").test().await, Cause::CredentialsRefused, Some("password"), StepName::SignIn);
    let none = Connection::new("mysql", server.port()).set("username", "anna").test().await;
    refused(&none, Cause::CredentialsRefused, Some("password"), StepName::SignIn);
    assert!(none.error(PASSWORD).message.contains("none is set"));
    refused(&connection("locked").test().await, Cause::CredentialsRefused, Some("username"), StepName::SignIn);
    refused(&connection("expired").test().await, Cause::CredentialsRefused, Some("password"), StepName::SignIn);

    let missing = connection("anna").set("database", "open_missing").test().await;
    refused(&missing, Cause::DatabaseMissing, Some("database"), StepName::OpenDatabase);
    let closed = connection("anna").set("database", "closed").test().await;
    refused(&closed, Cause::NoRightToConnect, Some("database"), StepName::OpenDatabase);

    for mode in ["require", "verify-full"] {
        let tested = connection("anna").set("tls.mode", mode).test().await;
        refused(&tested, Cause::TlsNotOffered, Some("tls.mode"), StepName::Secure);
    }

    // Ten connections that have not signed in take all that there are; MariaDB keeps one more for its administrator.
    let waiting = fill(server.port(), 11);
    refused(&connection("anna").test().await, Cause::TooManyConnections, None, StepName::SignIn);
    let tls = connection("anna").set("tls.mode", "require").test().await;
    refused(&tls, Cause::TooManyConnections, None, StepName::SignIn);
    drop(waiting);
}

/// So many connections that the server has greeted and counts. Those of tests before may still be counted, for a moment.
#[expect(clippy::disallowed_methods, reason = "takes the connections of a server that this test started")]
fn fill(port: u16, count: usize) -> Vec<TcpStream> {
    const GREETING: u8 = 10;
    let (begun, mut greeted) = (Instant::now(), Vec::new());
    while greeted.len() < count {
        assert!(begun.elapsed() < SOON, "only {} of {count} are greeted", greeted.len());
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
        stream.set_read_timeout(Some(SOON)).expect("own socket");
        // Length and number of the packet, then what it is: 255 for an error.
        let mut head = [0; 5];
        stream.read_exact(&mut head).expect("an answer");
        if head[4] == GREETING {
            greeted.push(stream);
        } else {
            thread::sleep(Duration::from_millis(20));
        }
    }
    greeted
}

#[tokio::test]
async fn refusals_of_mysql_are_told_apart() {
    let authority = Authority::new();
    let server = MySql::start(&with_tls(&authority, &["--require-secure-transport=ON"]));
    let connection = |user: &str| Connection::new("mysql", server.port()).user(user, PASSWORD).verified(&authority.pem());

    refused(&connection("anna").test().await, Cause::AddressNotPermitted, None, StepName::SignIn);
    for user in ["anna", "locked", "expired"] {
        server.create_user(user, "%", Plugin::CachingSha2, PASSWORD);
    }
    server.sql(
        "ALTER USER locked ACCOUNT LOCK; ALTER USER expired PASSWORD EXPIRE;
         CREATE DATABASE closed; GRANT ALL ON `open%`.* TO anna",
    );
    let wrong = connection("anna").secret("password", "planted but wrong").test().await;
    refused(&wrong, Cause::CredentialsRefused, Some("password"), StepName::SignIn);
    let none = connection("anna").secret("password", "").test().await;
    assert!(none.result.is_err_and(|error| error.message.contains("none is set")));
    refused(&connection("locked").test().await, Cause::CredentialsRefused, Some("username"), StepName::SignIn);
    refused(&connection("expired").test().await, Cause::CredentialsRefused, Some("password"), StepName::SignIn);
    let missing = connection("anna").set("database", "open_missing").test().await;
    refused(&missing, Cause::DatabaseMissing, Some("database"), StepName::OpenDatabase);
    let closed = connection("anna").set("database", "closed").test().await;
    refused(&closed, Cause::NoRightToConnect, Some("database"), StepName::OpenDatabase);

    let plain = connection("anna").set("tls.mode", "disable").test().await;
    refused(&plain, Cause::InvalidSettings, Some("tls.mode"), StepName::SignIn);

    server.sql("SET GLOBAL offline_mode = ON");
    refused(&connection("anna").test().await, Cause::ServerStarting, None, StepName::SignIn);
}

#[tokio::test]
async fn extra_settings_are_applied_and_a_bad_one_is_named() {
    let (maria, mysql) = (MariaDb::start(&without_tls(&[])), MySql::start(&without_tls(&[])));
    maria.create_user("anna", "%", Plugin::NativePassword, PASSWORD);
    mysql.create_user("anna", "%", Plugin::CachingSha2, PASSWORD);
    mysql.sql_as("anna", PASSWORD, "SELECT 1");
    for port in [maria.port(), mysql.port()] {
        let connection = || Connection::new("mysql", port).user("anna", PASSWORD);
        let good = connection()
            .set("extra.charset", "latin1")
            .set("extra.sql_mode", "ANSI_QUOTES,NO_BACKSLASH_ESCAPES")
            .set("extra.time_zone", "+02:00")
            .number("extra.connect_timeout", 5)
            .number("extra.read_timeout", 5);
        good.test().await.outcome();
        for (field, value) in
            [("extra.sql_mode", "NO_SUCH_MODE"), ("extra.time_zone", "Mars/Olympus' or 1"), ("extra.charset", "klingon")]
        {
            refused(&connection().set(field, value).test().await, Cause::InvalidSettings, Some(field), StepName::Read);
        }
    }
    maria.sql("SET GLOBAL general_log = ON, log_output = 'TABLE'");
    Connection::new("mysql", maria.port()).user("anna", PASSWORD).set("extra.time_zone", "+03:00").test().await.outcome();
    let log =
        || maria.sql("SELECT command_type, argument FROM mysql.general_log WHERE user_host LIKE 'anna%' ORDER BY event_time");
    // The farewell has no answer: it may be read after the test's end.
    let (begun, mut said) = (Instant::now(), log());
    while !said.contains("Quit") && begun.elapsed() < SOON {
        thread::sleep(Duration::from_millis(20));
        said = log();
    }
    assert!(said.contains("time_zone") && said.contains("SELECT 1") && said.contains("Quit"), "{said}");
}

#[tokio::test]
async fn a_client_certificate_is_shown_where_the_account_demands_one() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let tls = ServerTls { identity: authority.server(Shape::Good), client_authority: Some(clients.pem()) };
    let server = MariaDb::start(&MySqlOptions { tls: Some(tls), flags: Vec::new() });
    server.create_user("anna", "%", Plugin::NativePassword, PASSWORD);
    server.sql("ALTER USER anna REQUIRE SUBJECT '/CN=anna'");
    let connection = || Connection::new("mysql", server.port()).user("anna", PASSWORD).verified(&authority.pem());
    refused(&connection().test().await, Cause::CredentialsRefused, Some("password"), StepName::SignIn);

    let own = clients.client("anna");
    connection().set("tls.cert", &own.certificates).secret("tls.key", &own.key).test().await.outcome();
    let strange = Authority::new().client("anna");
    let tested = connection().set("tls.cert", &strange.certificates).secret("tls.key", &strange.key).test().await;
    let error = tested.error(PASSWORD);
    assert_eq!((error.code, error.field.as_deref()), (Cause::ClientCertificateRefused, Some("tls.cert")), "{error:?}");
    let unpaired = connection().set("tls.cert", &own.certificates).secret("tls.key", &strange.key).test().await;
    refused(&unpaired, Cause::InvalidSettings, Some("tls.key"), StepName::Secure);
}

#[test]
fn the_server_runs_the_test_in_its_child_process() {
    let authority = Authority::new();
    let (server, database) = (TestServer::start(TestServerOptions::default()), MySql::start(&with_tls(&authority, &[])));
    database.create_user("anna", "%", Plugin::CachingSha2, PASSWORD);
    database.grant("sales", "anna", "%");
    let token = server.token("default", "editor", "tests");
    let test = |password: &str| {
        let connection = serde_json::json!({
            "name": "sales", "type": "mysql", "host": "localhost", "port": database.port(), "database": "sales",
            "username": "anna", "password": password, "tls": {"mode": "verify-full", "ca": authority.pem()},
            "extra": {"sql_mode": "ANSI", "time_zone": "+01:00"},
        });
        let path = "/api/v1/workspaces/default/connections/test";
        let answer = server.request(&token, "POST", path).json(&connection).send();
        serde_json::from_slice::<dataflow_model::TestReport>(&answer.expect(200).body).expect("a report")
    };
    let good = test(PASSWORD);
    assert_eq!(good.status, TestStatus::Ok, "{good:?}");
    let bad = test("planted but wrong");
    assert_eq!(bad.error.map(|error| error.code), Some(Cause::CredentialsRefused));
    assert!(!server.log().contains("planted"));
}
