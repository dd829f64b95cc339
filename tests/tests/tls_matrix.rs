//! Every shape of server certificate under every TLS mode, for each connector that speaks TLS: one verdict a row.

use dataflow_tests::{
    connection::Connection,
    mariadb::MariaDb,
    matrix::{MATRIX, MODES, Row},
    mysql::MySql,
    mysql_protocol::{MySqlOptions, Plugin},
    postgres::{Postgres, PostgresOptions},
    tls::{Authority, ServerTls},
};

const USER: &str = "anna";
const PASSWORD: &str = "only-for-tests";

/// The port of a server that has the row's certificate and the user; it listens until `check` is done.
type WithServer = fn(tls: Option<ServerTls>, check: &mut dyn FnMut(u16));

fn postgres(tls: Option<ServerTls>, check: &mut dyn FnMut(u16)) {
    let server = Postgres::start(&PostgresOptions { tls, ..PostgresOptions::default() });
    server.create_role(USER, PASSWORD);
    server.create_database(USER, USER);
    check(server.port());
}

fn mariadb(tls: Option<ServerTls>, check: &mut dyn FnMut(u16)) {
    let server = MariaDb::start(&MySqlOptions { tls, flags: Vec::new() });
    server.create_user(USER, "%", Plugin::NativePassword, PASSWORD);
    check(server.port());
}

fn mysql(tls: Option<ServerTls>, check: &mut dyn FnMut(u16)) {
    let server = MySql::start(&MySqlOptions { tls, flags: Vec::new() });
    server.create_user(USER, "%", Plugin::CachingSha2, PASSWORD);
    // Once it knows the password it takes a proof, also where TLS is not verified.
    server.sql_as(USER, PASSWORD, "SELECT 1");
    check(server.port());
}

fn check(connector: &'static str, with_server: WithServer) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let authority = Authority::new();
    let mut wrong = Vec::new();
    for row in MATRIX {
        let identity = row.server.map(|shape| authority.server(shape));
        let own = identity.as_ref().map(|identity| identity.certificates.clone()).unwrap_or_default();
        with_server(identity.map(ServerTls::new), &mut |port| {
            wrong.extend(runtime.block_on(verdicts(row, connector, port, row.trusted(&authority.pem(), &own))));
        });
    }
    assert!(wrong.is_empty(), "{connector} differs from the matrix:\n{}", wrong.join("\n"));
}

async fn verdicts(row: &Row, connector: &'static str, port: u16, trusted: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for (mode, expected) in MODES.into_iter().zip(row.verdicts) {
        let connection = Connection::new(connector, port).user(USER, PASSWORD).verified(trusted).set("tls.mode", mode);
        let found = connection.test().await.result.err();
        if found.as_ref().map(|error| error.code) != expected {
            wrong.push(format!("{row:?} under {mode}: {found:?}"));
        }
    }
    wrong
}

#[test]
fn postgres_agrees_with_the_matrix() {
    check("postgres", postgres);
}

#[test]
fn mariadb_agrees_with_the_matrix() {
    check("mysql", mariadb);
}

#[test]
fn mysql_agrees_with_the_matrix() {
    check("mysql", mysql);
}
