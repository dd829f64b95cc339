//! For every type of the catalogue: the right password passes as far as the type promises, and a wrong one never does.
//!
//! A type is asked of the server that stands under its own id in [`CASES`], or under that of the type that it extends. One without a server
//! fails the test, and so does one that says that it is tested against something else than what stands here.

#![expect(clippy::indexing_slicing, reason = "reports are read by name; what is absent is null and fails the test")]

use std::{any::Any, path::Path, process::Command};

use dataflow_model::{Catalogue, ConnectionType, catalogue::Tested};
use dataflow_tests::{
    duckdb,
    fake_oracle::{FakeOracle, OracleOptions, SERVICE},
    fake_services::{self as fakes, Answers, Door, FakeService, PASSWORD, ServiceCase, USER, service_case},
    fake_sql_server::{DATABASE, Encryption, FakeSqlServer},
    fake_wires::{self, FakeCassandra, FakeWires, Twist},
    folder::TempDir,
    http::Answer,
    mariadb::MariaDb,
    mysql::MySql,
    mysql_protocol::{MySqlOptions, Plugin},
    postgres::{Postgres, PostgresOptions},
    real_services::{GitHost, RealService},
    server::{TestServer, TestServerOptions},
    tls::{Authority, ServerTls, Shape},
    wires::{self, Doors as _, Wires},
};
use serde_json::{Value, json};

/// A server, and what the type promises of it.
struct Case {
    /// What makes a connection that works, less its type and what [`Case::secret`] signs in with.
    fields: Value,
    /// The field whose value proves who signs in; `None` for a type that has no such thing.
    secret: Option<&'static str>,
    /// The right one, and one that is as well formed and wrong.
    right: String,
    wrong: String,
    /// The verdict with the right secret: `ok`, or `unproven` where nothing there checks it.
    promised: &'static str,
    server: Server,
    /// It lives as long as it is asked.
    _server: Box<dyn Any>,
}

impl Case {
    /// One that signs in by [`PASSWORD`], and is sure.
    fn of(fields: Value, server: Server, running: Box<dyn Any>) -> Self {
        let (right, wrong) = (PASSWORD.to_owned(), format!("{PASSWORD}-not"));
        Self { fields, secret: Some("password"), right, wrong, promised: "ok", server, _server: running }
    }
}

/// What stands there. Of a real server its name, a blank and the beginning of its version, as `tested` of the type has it.
enum Server {
    /// One that says so of itself.
    Real(&'static str),
    /// One that tells no version.
    Silent(&'static str),
    Fake,
}

/// Given the folder for files.
type Start = fn(&Path) -> Case;

/// By id of a type. A new type of a known protocol needs no line.
const CASES: &[(&str, Start)] = &[
    ("mariadb", mariadb),
    ("mysql", mysql),
    ("postgres", postgres),
    ("sqlite", sqlite),
    ("duckdb", duck),
    ("fs", local_path),
    ("athena", |_| moto(&[])),
    ("aws", |_| moto(&[])),
    ("azure", |_| service("azure")),
    ("clickhouse", |_| service("clickhouse")),
    ("databricks", |_| service("databricks")),
    ("docker_registry", |_| real(RealService::registry(true), "Distribution 2.8", &[])),
    ("druid", |_| service("druid")),
    ("elasticsearch", |_| service("elasticsearch")),
    ("gcpbigquery", |_| service("gcpbigquery")),
    ("gcs", |_| service("gcs")),
    ("generic", |_| unproven(of_no_service())),
    ("git", |_| git()),
    ("google_cloud_platform", |_| service("google_cloud_platform")),
    ("http", |_| service("http")),
    ("influxdb", |_| service("influxdb")),
    ("kubernetes", |_| service("kubernetes")),
    ("neo4j", |_| service("neo4j")),
    ("opensearch", |_| service("opensearch")),
    ("package_index", |_| real(RealService::package_index(true), "pypiserver 2.4", &[("extra.path", "/simple")])),
    ("ftp", |_| wired(wires::pyftpdlib(), Server::Real("pyftpdlib 2.2"), USER)),
    ("imap", |_| wired(wires::dovecot(), Server::Silent("Dovecot 2.3"), USER)),
    ("cassandra", |_| faked(fake_wires::cassandra(FakeCassandra::Cassandra))),
    ("kafka", |_| faked(fake_wires::kafka(Twist::None))),
    ("ldap", |_| wired(wires::openldap(), Server::Silent("OpenLDAP 2.5"), wires::ADMIN)),
    ("mongo", |_| faked(fake_wires::mongo(Twist::None))),
    ("mqtt", |_| wired(wires::mosquitto(), Server::Silent("Mosquitto 2.0"), USER)),
    ("mssql", |_| sql_server()),
    ("nats", |_| wired(wires::nats(), Server::Real("NATS 2.9"), USER)),
    ("rabbitmq", |_| wired(wires::rabbitmq(), Server::Real("RabbitMQ 3.10"), USER)),
    ("redis", |_| wired(wires::redis(), Server::Real("Redis 7.0"), USER)),
    ("sftp", |_| ssh()),
    ("ssh", |_| ssh()),
    ("http_proxy", |_| wired(wires::tinyproxy(), Server::Silent("Tinyproxy 1.11"), USER)),
    ("smtp", |_| wired(wires::aiosmtpd(), Server::Silent("aiosmtpd 1.4"), USER)),
    ("socks_proxy", |_| wired(wires::microsocks(), Server::Silent("microsocks 1.0"), USER)),
    ("oracle", |_| oracle()),
    ("presto", |_| service("presto")),
    ("s3", |_| moto(&[("database", "sales")])),
    ("schema_registry", |_| service("schema_registry")),
    ("slack", |_| service("slack")),
    ("slackwebhook", |_| unproven(webhook())),
    ("snowflake", |_| service("snowflake")),
    ("trino", |_| service("trino")),
    ("vault", |_| service("vault")),
    ("wasb", |_| service("wasb")),
    ("webhook", |_| unproven(webhook())),
];

/// The fake of a service over HTTP, inside verified TLS.
fn service(id: &str) -> Case {
    let ServiceCase { answer, fields, sign_in, exchanges_at, .. } = service_case(id);
    let case = fake(answer, fields);
    let at = |path: &str| format!("https://localhost:{}{path}", case.fields["port"]);
    let exchange = exchanges_at.map(|path| ("extra.oauth_url", at(path)));
    let authority = case.fields["tls"]["ca"].as_str().expect("PEM").to_owned();
    let more: Vec<_> = exchange.into_iter().flat_map(|exchange| [exchange, ("extra.oauth_ca", authority.clone())]).collect();
    let more: Vec<_> = more.iter().map(|(path, value)| (*path, value.as_str())).collect();
    let fields = with(case.fields.clone(), &more);
    Case { fields, secret: Some(sign_in.field), right: (sign_in.right)(), wrong: (sign_in.wrong)(), ..case }
}

fn fake(answer: Answers, fields: &[(&str, &str)]) -> Case {
    let authority = Authority::new();
    let fake = FakeService::start(Some(authority.server(Shape::Good)), move |asked| answer(asked, Door::Guarded));
    let tls = json!({"mode": "verify-full", "ca": authority.pem()});
    let body = json!({"host": "localhost", "port": fake.port(), "tls": tls});
    Case::of(with(body, fields), Server::Fake, Box::new(fake))
}

fn webhook() -> Case {
    fake(fakes::api, &[("extra.path", "/services/T0")])
}

/// What is reached and asked nothing.
fn of_no_service() -> Case {
    fake(fakes::api, &[("username", USER)])
}

/// What answers as AWS does, with a key of its own.
fn moto(fields: &[(&str, &str)]) -> Case {
    let (server, key_id, secret) = RealService::moto();
    let case = real(server, "moto 5.2", fields);
    let fields = with(case.fields.clone(), &[("username", &key_id)]);
    Case { fields, wrong: secret.to_lowercase(), right: secret, ..case }
}

fn git() -> Case {
    let authority = Authority::new();
    let server = GitHost::start(Some(authority.server(Shape::Good)), true);
    let tls = json!({"mode": "verify-full", "ca": authority.pem()});
    let body =
        json!({"host": "localhost", "port": server.port(), "tls": tls, "username": USER, "extra": {"path": GitHost::PATH}});
    Case::of(body, Server::Silent("git 2"), Box::new(server))
}

/// A real one, on this machine and in clear.
fn real(service: RealService, says: &'static str, fields: &[(&str, &str)]) -> Case {
    let body = with(json!({"host": "127.0.0.1", "port": service.port(), "username": USER}), fields);
    Case::of(body, Server::Silent(says), Box::new(service))
}

/// One that speaks a protocol of its own, on this machine and in clear.
fn wired(service: Wires, server: Server, user: &str) -> Case {
    let fields = json!({"host": "127.0.0.1", "port": service.port(wires::PLAIN), "username": user});
    Case::of(fields, server, Box::new(service))
}

/// The fake of one that speaks a protocol of its own, on this machine and in clear.
fn faked(service: FakeWires) -> Case {
    let fields = json!({"host": "127.0.0.1", "port": service.port(wires::PLAIN), "username": USER});
    Case::of(fields, Server::Fake, Box::new(service))
}

/// With its host key.
fn ssh() -> Case {
    let service = wires::asyncssh();
    let host_key = service.file("host.pub");
    let case = wired(service, Server::Silent("asyncssh 2.24"), USER);
    Case { fields: with(case.fields, &[("extra.host_key", host_key.trim())]), ..case }
}

/// The fake of SQL Server, which demands TLS.
fn sql_server() -> Case {
    let authority = Authority::new();
    let fake = FakeSqlServer::start(Encryption::Required(authority.server(Shape::Good)));
    let fields = with(verified(&authority, fake.port()), &[("database", DATABASE)]);
    Case::of(fields, Server::Fake, Box::new(fake))
}

/// The fake of Oracle, inside TLS.
fn oracle() -> Case {
    let authority = Authority::new();
    let identity = Some(authority.server(Shape::Good));
    let fake = FakeOracle::start(OracleOptions { identity, ..OracleOptions::default() });
    let fields = with(verified(&authority, fake.port()), &[("database", SERVICE)]);
    Case::of(fields, Server::Fake, Box::new(fake))
}

fn unproven(case: Case) -> Case {
    Case { promised: "unproven", ..case }
}

fn with(mut body: Value, fields: &[(&str, &str)]) -> Value {
    for (path, value) in fields {
        match path.split_once('.') {
            Some((group, name)) => body[group][name] = json!(value),
            None => body[*path] = json!(value),
        }
    }
    body
}

/// Verified TLS, which every service offers or demands.
fn verified(authority: &Authority, port: u16) -> Value {
    let tls = json!({"mode": "verify-full", "ca": authority.pem()});
    json!({"host": "localhost", "port": port, "username": USER, "database": USER, "tls": tls})
}

fn postgres(_: &Path) -> Case {
    let authority = Authority::new();
    let tls = Some(ServerTls::new(authority.server(Shape::Good)));
    let server = Postgres::start(&PostgresOptions { tls, ..PostgresOptions::default() });
    server.create_role(USER, PASSWORD);
    server.create_database(USER, USER);
    let fields = verified(&authority, server.port());
    Case::of(fields, Server::Real("PostgreSQL 15"), Box::new(server))
}

fn mysql(_: &Path) -> Case {
    let authority = Authority::new();
    let tls = Some(ServerTls::new(authority.server(Shape::Good)));
    let server = MySql::start(&MySqlOptions { tls, ..MySqlOptions::default() });
    server.create_user(USER, "%", Plugin::CachingSha2, PASSWORD);
    server.grant(USER, USER, "%");
    let fields = verified(&authority, server.port());
    Case::of(fields, Server::Real("MySQL 9"), Box::new(server))
}

fn mariadb(_: &Path) -> Case {
    let authority = Authority::new();
    let tls = Some(ServerTls::new(authority.server(Shape::Good)));
    let server = MariaDb::start(&MySqlOptions { tls, ..MySqlOptions::default() });
    server.create_user(USER, "%", Plugin::NativePassword, PASSWORD);
    server.grant(USER, USER, "%");
    let fields = verified(&authority, server.port());
    Case::of(fields, Server::Real("MariaDB 10.11"), Box::new(server))
}

/// A file in the folder for them.
fn sqlite(files: &Path) -> Case {
    let made = Command::new("sqlite3").arg(files.join("shop.db")).arg("CREATE TABLE item (name)").output();
    assert!(made.expect("sqlite3 runs; `make deps`").status.success());
    Case { secret: None, ..Case::of(json!({"database": "shop.db"}), Server::Real("SQLite 3"), Box::new(())) }
}

fn duck(files: &Path) -> Case {
    duckdb::make(files);
    Case { secret: None, ..Case::of(json!({"database": "usual.duckdb"}), Server::Real("DuckDB 2.0"), Box::new(())) }
}

fn local_path(_: &Path) -> Case {
    Case { secret: None, ..Case::of(json!({}), Server::Silent("Linux"), Box::new(())) }
}

#[test]
fn a_wrong_password_never_passes_for_any_type() {
    let folder = TempDir::new();
    let arguments = vec!["--sqlite-folder".to_owned(), folder.path().display().to_string()];
    let server = TestServer::start(TestServerOptions { arguments, ..TestServerOptions::default() });
    let catalogue = Catalogue::built_in().expect("sound");
    let is_asked_of = |id: &str, kind: &ConnectionType| {
        let has_own = CASES.iter().any(|(own, _)| *own == kind.id);
        kind.id == id || (!has_own && kind.extends.as_deref() == Some(id))
    };
    let token = server.token("default", "editor", "editor");
    let test = |body: &Value| server.request(&token, "POST", "/api/v1/workspaces/default/connections/test").json(body).send();
    let (mut types, mut refused) = (0, 0);
    for (id, start) in CASES {
        let case = start(folder.path());
        for kind in catalogue.all().into_iter().filter(|kind| is_asked_of(id, kind)) {
            refused += ask(&test, kind, &case);
            types += 1;
        }
    }
    let left_out = catalogue.all().into_iter().filter(|kind| !CASES.iter().any(|(id, _)| is_asked_of(id, kind)));
    let left_out: Vec<_> = left_out.map(|kind| kind.id.as_str()).collect();
    assert!(left_out.is_empty(), "{left_out:?} have no server to be asked of: add one to CASES");
    println!("promise: a wrong password, for {types} types: {refused} refused, 0 passed");
}

/// How many wrong secrets were refused.
fn ask(test: &dyn Fn(&Value) -> Answer, kind: &ConnectionType, case: &Case) -> usize {
    let test = |secret: Option<&str>| {
        let mut body = case.fields.clone();
        body["type"] = json!(kind.id);
        match (case.secret.map(|path| path.split_once('.').unwrap_or((path, ""))), secret) {
            (Some((path, "")), Some(secret)) => body[path] = json!(secret),
            (Some((group, path)), Some(secret)) => body[group][path] = json!(secret),
            _ => {}
        }
        test(&body)
    };
    let right = test(Some(&case.right)).expect(200).json();
    assert_eq!(right["status"], case.promised, "{}: {right:#}", kind.id);
    is_what_it_says(kind, case, right["server_version"].as_str().unwrap_or_default());
    if case.secret.is_none() {
        assert!(!kind.fields.iter().any(|field| field.secret), "{}: it has a secret, and its case has none", kind.id);
        return 0;
    }
    let (longer, louder) = (format!("{}x", case.right), case.right.to_uppercase());
    let shorter = case.right.split_at(case.right.len() - 1).0;
    let mut tried = vec![None, Some("another"), Some(&case.wrong)];
    // What is told apart by the protocol alone is tried with the type that others extend.
    if kind.extends.is_none() {
        tried.extend([longer.as_str(), louder.as_str(), shorter].map(Some));
    }
    for secret in &tried {
        let answer = test(*secret);
        // Where the form demands one, or one of another form, it is refused before anybody is asked.
        if secret.is_none_or(|secret| secret != case.wrong) && answer.status == 422 {
            continue;
        }
        let report = answer.expect(200).json();
        // Where nothing checks the right one, a wrong one may do as well; but neither is green.
        let is_told = if case.promised == "ok" { report["status"] == "failed" } else { report["status"] != "ok" };
        assert!(is_told, "{} with {secret:?}: {report:#}", kind.id);
    }
    tried.len()
}

/// A type's page says what it is tested against; that is what stood here.
fn is_what_it_says(kind: &ConnectionType, case: &Case, version: &str) {
    let (server, says) = match (&kind.tested, &case.server) {
        (Tested::Fake(_), Server::Fake) => return,
        (Tested::Product(server) | Tested::StandIn(server), Server::Real(says) | Server::Silent(says)) => (server, *says),
        (other, _) => panic!("{}: {other:?}", kind.id),
    };
    let mut told: Vec<_> = server.versions.iter().map(|version| format!("{} {version}", server.name)).collect();
    if told.is_empty() {
        told.push(server.name.clone());
    }
    assert_eq!(told, [says], "{}: `tested` of its file", kind.id);
    if matches!(case.server, Server::Silent(_)) {
        return;
    }
    let is_it =
        |told: &String| version.strip_prefix(told.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', ' ']));
    assert!(told.iter().any(is_it), "{}: it is tested against “{version}”, and says {told:?}", kind.id);
}
