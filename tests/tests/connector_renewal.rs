//! A new password for a login, set by the connectors on real servers: which is in force afterwards, and what the server's log has of it.

use std::{
    thread,
    time::{Duration, Instant},
};

use dataflow_model::{Cause, StepName, TestStatus};
use dataflow_tests::{
    connection::{Connection, Tested},
    mariadb::MariaDb,
    mysql::MySql,
    mysql_protocol::{MySqlOptions, Plugin},
    postgres::{Postgres, PostgresOptions},
    relay::{Relay, Verdict, at_the_change},
    tls::{Authority, ServerTls, Shape},
};

const OLD: &str = "planted 'secret\\ é";
const NEW: &str = "Aq9-planted_NewSecret0123456789x";

/// Sets it, signs in with it, and no longer with the old one.
async fn renewed(connection: impl Fn(&str) -> Connection) {
    let mut login = connection(OLD);
    let renewal = login.renew(NEW).await;
    assert_eq!(renewal.outcome().status, TestStatus::Ok);
    assert_eq!(renewal.steps.iter().map(|step| step.step).collect::<Vec<_>>(), StepName::RENEWAL);
    connection(NEW).test().await.outcome();
    assert_eq!(connection(OLD).test().await.error(NEW).code, Cause::CredentialsRefused);
    let mut back = connection(NEW);
    back.renew(OLD).await.outcome();
    connection(OLD).test().await.outcome();
}

/// Whatever was refused changed nothing.
#[track_caller]
fn not_set<'t>(renewal: &'t Tested, words: &str) -> &'t str {
    let code = renewal.error(NEW).code;
    assert!(matches!(code, Cause::PasswordNotSet | Cause::PasswordRefused), "{code:?}");
    not_set_for(code, renewal, words)
}

#[track_caller]
fn not_set_for<'t>(cause: Cause, renewal: &'t Tested, words: &str) -> &'t str {
    let error = renewal.error(NEW);
    assert_eq!((error.code, renewal.failed_step()), (cause, Some(StepName::SetPassword)), "{error:?}");
    assert!(error.message.contains(words) && !error.hint.is_empty(), "{error:?}");
    &error.message
}

fn postgres(port: u16, user: &str, password: &str) -> Connection {
    Connection::new("postgres", port).user(user, password).set("database", "postgres")
}

#[tokio::test]
async fn postgresql_takes_a_verifier_however_the_login_is_set_up() {
    let options = PostgresOptions {
        hba: ["host all older 127.0.0.1/32 md5", "host all open 127.0.0.1/32 trust"].map(str::to_owned).into(),
        settings: vec![("log_statement".to_owned(), "'all'".to_owned())],
        ..PostgresOptions::default()
    };
    let server = Postgres::start(&options);
    for user in ["anna", "o'brien", "older", "open"] {
        server.create_role(user, OLD);
    }
    server
        .psql("CREATE ROLE team; GRANT team TO anna; ALTER ROLE anna SET role = team; ALTER ROLE \"o'brien\" CONNECTION LIMIT 1");
    renewed(|password| postgres(server.port(), "anna", password).set("extra.search_path", "nowhere")).await;
    renewed(|password| postgres(server.port(), "o'brien", password).on("extra.read_only")).await;
    renewed(|password| postgres(server.port(), "older", password)).await;
    let log = server.log();
    assert!(!log.contains(NEW) && log.contains("ALTER ROLE SESSION_USER PASSWORD 'SCRAM-SHA-256$4096:"), "{log}");

    not_set(&postgres(server.port(), "open", OLD).renew(NEW).await, "asked for no password");
    // So spelled it might be another machine, and the line is open.
    not_set(&postgres(server.port(), "anna", OLD).set("host", "127.1").renew(NEW).await, "not verified");
    let wrong = postgres(server.port(), "anna", "wrong one").renew(NEW).await;
    assert_eq!((wrong.error(NEW).code, wrong.failed_step()), (Cause::CredentialsRefused, Some(StepName::SignIn)));
    postgres(server.port(), "anna", OLD).test().await.outcome();
}

/// It gives its clients session numbers of its own.
#[tokio::test]
async fn behind_a_pooler_nothing_is_changed() {
    let server = Postgres::start(&PostgresOptions::default());
    server.create_role("anna", OLD);
    let pooler = Relay::to(server.port(), |passing| {
        if let Some(at) = passing.bytes.windows(5).position(|window| window == b"K\0\0\0\x0c").filter(|_| !passing.to_server) {
            passing.bytes[at + 8] ^= 1;
        }
        Verdict::Pass
    });
    not_set(&postgres(pooler.port(), "anna", OLD).renew(NEW).await, "pooler or proxy");

    let maria = MariaDb::start(&MySqlOptions::default());
    maria.create_user("anna", "%", Plugin::NativePassword, OLD);
    let proxy = Relay::to(maria.port(), |passing| {
        // Behind the length, the protocol's number and the version's end stands the connection's.
        let end = passing.bytes.iter().skip(5).position(|byte| *byte == 0).map(|end| end + 6);
        if let Some(number) = end.filter(|_| !passing.to_server && passing.bytes.get(4) == Some(&10)) {
            passing.bytes[number] ^= 1;
        }
        Verdict::Pass
    });
    not_set(&Connection::new("mysql", proxy.port()).user("anna", OLD).renew(NEW).await, "pooler or proxy");
    postgres(server.port(), "anna", OLD).test().await.outcome();
    Connection::new("mysql", maria.port()).user("anna", OLD).test().await.outcome();
}

/// Whoever asked stood still meanwhile, and somebody else may be at it: the session is open, and the statement is not sent.
#[tokio::test]
async fn who_comes_too_late_changes_nothing() {
    let server = Postgres::start(&PostgresOptions::default());
    server.create_role("anna", OLD);
    let late = postgres(server.port(), "anna", OLD).too_late().renew(NEW).await;
    not_set_for(Cause::PasswordNotSetInTime, &late, "too long to come to the change");
    postgres(server.port(), "anna", OLD).test().await.outcome();

    let maria = MariaDb::start(&MySqlOptions::default());
    maria.create_user("anna", "%", Plugin::NativePassword, OLD);
    let late = Connection::new("mysql", maria.port()).user("anna", OLD).too_late().renew(NEW).await;
    not_set_for(Cause::PasswordNotSetInTime, &late, "too long to come to the change");
    Connection::new("mysql", maria.port()).user("anna", OLD).test().await.outcome();
}

/// The line broke after the session had begun, and heals once whoever asked is long gone: what arrives then is not done.
#[tokio::test]
async fn what_arrives_late_is_not_done() {
    let (server, maria) = (Postgres::start(&PostgresOptions::default()), MariaDb::start(&MySqlOptions::default()));
    server.create_role("anna", OLD);
    maria.create_user("anna", "%", Plugin::NativePassword, OLD);
    let relays =
        [Relay::to(server.port(), at_the_change(0, Verdict::Wait)), Relay::to(maria.port(), at_the_change(0, Verdict::Wait))];
    let [first, second] = [relays[0].port(), relays[1].port()];
    let renewals = async {
        let (mut pg, mut my) = (postgres(first, "anna", OLD), Connection::new("mysql", second).user("anna", OLD));
        tokio::join!(pg.renew(NEW), my.renew(NEW))
    };
    let heals = tokio::task::spawn_blocking(move || {
        for relay in &relays {
            relay.wait();
        }
        thread::sleep(Duration::from_secs(6));
        for relay in &relays {
            relay.go_on();
        }
        relays
    });
    let ((pg, my), _relays) = tokio::join!(renewals, heals);
    for renewal in [&pg, &my] {
        let code = renewal.error(NEW).code;
        assert!(!code.is_password_unchanged(), "who asked cannot know it: {code:?}");
    }
    postgres(server.port(), "anna", OLD).test().await.outcome();
    Connection::new("mysql", maria.port()).user("anna", OLD).test().await.outcome();
}

/// Whatever holds what the server has to write for longer than it is waited for.
#[tokio::test]
async fn what_is_in_the_way_is_not_waited_for() {
    let (server, maria) = (Postgres::start(&PostgresOptions::default()), MariaDb::start(&MySqlOptions::default()));
    server.create_role("anna", OLD);
    for user in ["anna", "bert"] {
        maria.create_user(user, "%", Plugin::NativePassword, OLD);
    }
    let held = thread::spawn({
        let (server, maria) = (server, maria);
        move || {
            thread::scope(|scope| {
                scope.spawn(|| server.psql("BEGIN; ALTER ROLE anna CONNECTION LIMIT 7; SELECT pg_sleep(9); ROLLBACK"));
                scope.spawn(|| maria.sql("FLUSH TABLES WITH READ LOCK; SELECT SLEEP(9)"));
                thread::sleep(Duration::from_secs(1));
                let runtime = tokio::runtime::Runtime::new().expect("a runtime");
                runtime.block_on(async {
                    let (mut pg, mut my) =
                        (postgres(server.port(), "anna", OLD), Connection::new("mysql", maria.port()).user("anna", OLD));
                    let begun = Instant::now();
                    let (pg, my) = tokio::join!(pg.renew(NEW), my.renew(NEW));
                    assert!(begun.elapsed() < Duration::from_secs(7), "{:?}", begun.elapsed());
                    for renewal in [&pg, &my] {
                        not_set_for(Cause::PasswordNotSetInTime, renewal, "within four seconds");
                    }
                });
            });
            (server, maria)
        }
    });
    let (server, maria) = tokio::task::spawn_blocking(|| held.join().expect("no panic")).await.expect("no panic");
    postgres(server.port(), "anna", OLD).test().await.outcome();
    Connection::new("mysql", maria.port()).user("anna", OLD).test().await.outcome();
}

/// A commit waits for a standby that is away as long as it is, and nobody sees meanwhile what it is about: not this one.
#[tokio::test]
async fn no_standby_is_waited_for() {
    let server = Postgres::start(&PostgresOptions::default());
    server.create_role("anna", OLD);
    server.psql("ALTER SYSTEM SET synchronous_standby_names = 'gone'");
    server.psql("SELECT pg_reload_conf()");
    while server.psql("SHOW synchronous_standby_names") != "gone" {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let begun = Instant::now();
    renewed(|password| postgres(server.port(), "anna", password)).await;
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
}

/// Whoever signs in with the new password finds a closed door; the session that set it is still there.
#[tokio::test]
async fn what_nobody_can_sign_in_with_is_set_back() {
    let server = Postgres::start(&PostgresOptions::default());
    server.create_role("anna", OLD);
    let end = |passing: dataflow_tests::relay::Passing<'_>| if passing.connection == 0 { Verdict::Pass } else { Verdict::End };
    let relay = Relay::to(server.port(), end);
    let renewal = postgres(relay.port(), "anna", OLD).renew(NEW).await;
    not_set(&renewal, "let nobody in with it, so the old one was set again");
    postgres(server.port(), "anna", OLD).test().await.outcome();

    let maria = MariaDb::start(&MySqlOptions::default());
    maria.create_user("anna", "%", Plugin::NativePassword, OLD);
    let relay = Relay::to(maria.port(), end);
    not_set(&Connection::new("mysql", relay.port()).user("anna", OLD).renew(NEW).await, "the old one was set again");
    Connection::new("mysql", maria.port()).user("anna", OLD).test().await.outcome();
}

#[tokio::test]
async fn mariadb_takes_a_hash_where_it_can() {
    let flags = vec!["--general-log=1".to_owned(), "--log-output=TABLE".to_owned()];
    let server = MariaDb::start(&MySqlOptions { tls: None, flags });
    server.create_user("anna", "%", Plugin::NativePassword, OLD);
    server.create_user("o'brien", "%", Plugin::NativePassword, OLD);
    server.create_user("edda", "%", Plugin::Ed25519, OLD);
    let port = server.port();
    let login = |user: &'static str| move |password: &str| Connection::new("mysql", port).user(user, password);
    for user in ["anna", "o'brien"] {
        renewed(login(user)).await;
    }
    let logged = server.sql("SELECT argument FROM mysql.general_log");
    assert!(logged.contains("SET PASSWORD") && !logged.contains(NEW), "{logged}");
    renewed(login("edda")).await;

    not_set(&login("anna")(OLD).set("host", "127.1").renew(NEW).await, "not verified");
    server.sql("INSTALL SONAME 'simple_password_check'");
    // It takes no hash, since it checks what it is given.
    login("anna")(OLD).renew(NEW).await.outcome();
    server.sql("SET GLOBAL simple_password_check_minimal_length = 100");
    not_set(&login("edda")(OLD).renew(NEW).await, "policy");
    server.sql("UNINSTALL SONAME 'simple_password_check'; SET GLOBAL read_only = ON");
    not_set(&login("edda")(OLD).renew(NEW).await, "read-only");
    login("anna")(NEW).test().await.outcome();
    login("edda")(OLD).test().await.outcome();
}

#[tokio::test]
async fn mysql_is_asked_as_its_rules_demand() {
    let authority = Authority::new();
    let tls = Some(ServerTls::new(authority.server(Shape::Good)));
    let flags = vec!["--general-log=1".to_owned(), "--log-output=TABLE".to_owned()];
    let server = MySql::start(&MySqlOptions { tls, flags });
    server.create_user("anna", "%", Plugin::CachingSha2, OLD);
    server.create_user("sheila", "%", Plugin::Sha256, OLD);
    server.create_user("careful", "%", Plugin::CachingSha2, OLD);
    server.sql("ALTER USER careful PASSWORD REQUIRE CURRENT");
    let plain = |user: &str, password: &str| Connection::new("mysql", server.port()).user(user, password);
    for user in ["anna", "sheila", "careful"] {
        renewed(|password| plain(user, password).verified(&authority.pem())).await;
    }
    let logged = server.sql("SELECT CONVERT(argument USING utf8mb4) FROM mysql.general_log");
    assert!(logged.contains("ALTER USER") && !logged.contains(NEW), "{logged}");
    // The server has its password in the cache, and would not have the next one.
    plain("anna", OLD).test().await.outcome();
    not_set(&plain("anna", OLD).renew(NEW).await, "first time");

    server.sql("INSTALL COMPONENT 'file://component_validate_password'; SET GLOBAL validate_password.length = 100");
    not_set(&plain("anna", OLD).verified(&authority.pem()).renew(NEW).await, "policy");
    server.sql("UNINSTALL COMPONENT 'file://component_validate_password'; SET GLOBAL super_read_only = ON");
    not_set(&plain("anna", OLD).verified(&authority.pem()).renew(NEW).await, "read-only");
    plain("anna", OLD).test().await.outcome();
}
