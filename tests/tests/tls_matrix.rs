//! Every shape of server certificate under every TLS mode, for each connector that speaks TLS: one verdict a row, which the
//! SDK's drivers are held to as well.

use dataflow_tests::{
    connection::Connection,
    mariadb::MariaDb,
    matrix::matrix,
    mysql::MySql,
    mysql_protocol::{MySqlOptions, Plugin},
    postgres::{Postgres, PostgresOptions},
    tls::{Authority, Identity, ServerTls, Shape},
};

const USER: &str = "anna";
const PASSWORD: &str = "only-for-tests";

/// Tests a connection for each row and mode. `show` makes a server show a certificate, and says on which port; `plain` is the
/// port of one that offers no TLS.
async fn agrees(connector: &'static str, authority: &Authority, plain: u16, mut show: impl FnMut(&Identity) -> u16) {
    let mut wrong = Vec::new();
    for row in matrix() {
        let identity = row.server.map(|shape| authority.server(shape));
        let port = identity.as_ref().map_or(plain, &mut show);
        let own = identity.map(|identity| identity.certificates).unwrap_or_default();
        for (mode, expected) in &row.verdicts {
            let trusted = authority.pem();
            let connection = Connection::new(connector, port).user(USER, PASSWORD).verified(row.trusted(&trusted, &own));
            let found = connection.set("tls.mode", mode).test().await.result.err();
            if found.as_ref().map(|error| error.code) != *expected {
                wrong.push(format!("{row:?} under {mode}: {found:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{connector} differs from the matrix:\n{}", wrong.join("\n"));
}

fn good(authority: &Authority) -> ServerTls {
    ServerTls::new(authority.server(Shape::Good))
}

#[tokio::test]
async fn postgres_agrees_with_the_matrix() {
    let start = |tls| {
        let server = Postgres::start(&PostgresOptions { tls, ..PostgresOptions::default() });
        server.create_role(USER, PASSWORD);
        server.create_database(USER, USER);
        server
    };
    let authority = Authority::new();
    let (mut secured, plain) = (start(Some(good(&authority))), start(None));
    let show = |identity: &Identity| {
        secured.replace_certificate(identity);
        secured.port()
    };
    agrees("postgres", &authority, plain.port(), show).await;
}

#[tokio::test]
async fn mariadb_agrees_with_the_matrix() {
    let start = |tls| {
        let server = MariaDb::start(&MySqlOptions { tls, flags: Vec::new() });
        server.create_user(USER, "%", Plugin::NativePassword, PASSWORD);
        server
    };
    let authority = Authority::new();
    let (secured, plain) = (start(Some(good(&authority))), start(None));
    let show = |identity: &Identity| {
        secured.replace_certificate(identity);
        secured.port()
    };
    agrees("mysql", &authority, plain.port(), show).await;
}

#[tokio::test]
async fn mysql_agrees_with_the_matrix() {
    let start = |tls| {
        let server = MySql::start(&MySqlOptions { tls, flags: Vec::new() });
        server.create_user(USER, "%", Plugin::CachingSha2, PASSWORD);
        // Once it knows the password it takes a proof, also where TLS is not verified.
        server.sql_as(USER, PASSWORD, "SELECT 1");
        server
    };
    let plain = start(None);
    let mut secured = None;
    let show = |identity: &Identity| secured.insert(start(Some(ServerTls::new(identity.clone())))).port();
    agrees("mysql", &Authority::new(), plain.port(), show).await;
}
