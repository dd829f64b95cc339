//! Every shape of server certificate under every TLS mode, for each connector that speaks TLS: one verdict a row, which the
//! SDK's drivers are held to as well.

use dataflow_model::Cause;
use dataflow_tests::{
    connection::Connection,
    fake_services::{self, Door, FakeService},
    mariadb::MariaDb,
    matrix::matrix,
    mysql::MySql,
    mysql_protocol::{MySqlOptions, Plugin},
    postgres::{Postgres, PostgresOptions},
    tls::{Authority, Identity, ServerTls, Shape},
};

const USER: &str = fake_services::USER;
const PASSWORD: &str = fake_services::PASSWORD;

/// Tests a connection for each row and mode. `show` makes a server show a certificate, and says on which port; `plain` is the
/// port of one that offers no TLS.
async fn agrees(connector: &'static str, authority: &Authority, plain: u16, show: impl FnMut(&Identity) -> u16) {
    agrees_but(None, connector, authority, plain, show).await;
}

/// The same, but for what comes of no TLS at a port that speaks nothing else (`in_clear`): databases take both on one port.
async fn agrees_but(
    in_clear: Option<Cause>,
    connector: &'static str,
    authority: &Authority,
    plain: u16,
    mut show: impl FnMut(&Identity) -> u16,
) {
    let mut wrong = Vec::new();
    for row in matrix() {
        let identity = row.server.map(|shape| authority.server(shape));
        let port = identity.as_ref().map_or(plain, &mut show);
        let own = identity.map(|identity| identity.certificates).unwrap_or_default();
        for (mode, expected) in &row.verdicts {
            let trusted = authority.pem();
            let connection = Connection::new(connector, port).user(USER, PASSWORD).verified(row.trusted(&trusted, &own));
            let found = connection.set("tls.mode", mode).test().await.result.err();
            let is_other_port = row.server.is_some() && *mode == "disable";
            let expected = in_clear.filter(|_| is_other_port).or(*expected);
            if found.as_ref().map(|error| error.code) != expected {
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

/// One API stands for all that is asked over HTTP: they have one client.
#[tokio::test]
async fn http_agrees_with_the_matrix() {
    let serve = |identity| FakeService::start(identity, |asked| fake_services::vault(asked, Door::Guarded));
    let (plain, mut secured) = (serve(None), None);
    let show = |identity: &Identity| secured.insert(serve(Some(identity.clone()))).port();
    agrees_but(Some(Cause::InvalidSettings), "vault", &Authority::new(), plain.port(), show).await;
}
