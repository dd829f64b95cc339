//! Every cause that the product promises to tell apart, for each protocol of the network: against a real server, and against a
//! scripted one where a real one cannot be made to. What else each protocol can answer stands in its own file.

use std::{collections::HashSet, net::Ipv4Addr, time::Duration};

use dataflow_model::{Cause, StepName};
use dataflow_tests::{
    connection::Connection,
    mariadb::MariaDb,
    mysql_protocol::{MySqlOptions, Plugin},
    port::ClosedPort,
    postgres::{Postgres, PostgresOptions},
    scripted::Scripted,
    tls::{Authority, Identity, ServerTls, Shape},
};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

const PASSWORD: &str = "planted-secret-51d0";

/// The broadcast address of loopback: on every Linux the kernel itself says that no route leads there, with or without a network.
const UNREACHABLE: &str = "127.255.255.255";

const PROMISED: [Cause; 16] = [
    Cause::NameNotFound,
    Cause::HostUnreachable,
    Cause::PortClosed,
    Cause::TimedOut,
    Cause::NotThatDatabase,
    Cause::TlsNotOffered,
    Cause::CertificateUntrusted,
    Cause::CertificateExpired,
    Cause::CertificateWrongHost,
    Cause::CredentialsRefused,
    Cause::AddressNotPermitted,
    Cause::DatabaseMissing,
    Cause::NoRightToConnect,
    Cause::TooManyConnections,
    Cause::ServerStarting,
    Cause::ProtocolTooOld,
];

/// The causes that were provoked through one connector.
struct Provoked {
    connector: &'static str,
    causes: HashSet<Cause>,
}

impl Provoked {
    fn new(connector: &'static str) -> Self {
        Self { connector, causes: HashSet::new() }
    }

    fn to(&self, port: u16) -> Connection {
        Connection::new(self.connector, port).user("anna", PASSWORD)
    }

    async fn expect(&mut self, connection: Connection, cause: Cause, step: StepName) {
        let tested = connection.test().await;
        let error = tested.error(PASSWORD);
        assert_eq!((error.code, tested.failed_step()), (cause, Some(step)), "{}: {error:?}", self.connector);
        assert!(!error.message.is_empty() && !error.hint.is_empty(), "{error:?}");
        self.causes.insert(cause);
    }

    /// What fails before a byte of the protocol is spoken.
    async fn on_the_way(&mut self) {
        // No label of a name has more than 63 bytes (RFC 1035, section 2.3.4): the resolver says so without asking the network.
        let nowhere = self.to(1).set("host", &format!("{}.invalid", "x".repeat(64)));
        self.expect(nowhere, Cause::NameNotFound, StepName::Resolve).await;
        self.expect(self.to(1).set("host", UNREACHABLE), Cause::HostUnreachable, StepName::Reach).await;
        let closed = ClosedPort::new();
        self.expect(self.to(closed.number()), Cause::PortClosed, StepName::Reach).await;
        let full = Full::start().await;
        self.expect(self.to(full.port).within(Duration::from_secs(1)), Cause::TimedOut, StepName::Reach).await;
        let ssh = says(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n");
        self.expect(self.to(ssh.port()), Cause::NotThatDatabase, StepName::SignIn).await;
    }

    /// A server that shows each certificate in turn (`show`, which says its port), and one at `plain` that offers no TLS.
    async fn in_tls(&mut self, authority: &Authority, plain: u16, mut show: impl FnMut(&Identity) -> u16) {
        let unsecured = self.to(plain).verified(&authority.pem());
        self.expect(unsecured, Cause::TlsNotOffered, StepName::Secure).await;
        for (shape, cause) in [
            (Shape::UnknownAuthority, Cause::CertificateUntrusted),
            (Shape::Expired, Cause::CertificateExpired),
            (Shape::WrongHost, Cause::CertificateWrongHost),
        ] {
            let port = show(&authority.server(shape));
            self.expect(self.to(port).verified(&authority.pem()), cause, StepName::Secure).await;
        }
    }

    #[track_caller]
    fn is_all(&self) {
        let missing: Vec<_> = PROMISED.iter().filter(|cause| !self.causes.contains(cause)).collect();
        assert!(missing.is_empty(), "{} is not tested for {missing:?}: provoke it here", self.connector);
    }
}

/// Says `words` to whoever comes, and listens.
fn says(words: &'static [u8]) -> Scripted {
    Scripted::start(move |peer| {
        peer.send(words)?;
        peer.listen()
    })
}

/// A listener whose queue is full, so that the kernel drops what comes, as a firewall would.
struct Full {
    port: u16,
    _listener: TcpListener,
    _queue: Vec<TcpStream>,
}

impl Full {
    #[expect(clippy::disallowed_methods, reason = "fills the queue of a listener that this test made")]
    async fn start() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a port");
        let listener = socket.listen(1).expect("it listens");
        let address = listener.local_addr().expect("it is bound");
        let mut queue = Vec::new();
        while let Ok(stream) = tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(address)).await {
            queue.push(stream.expect("it listens"));
            assert!(queue.len() < 100, "the queue has no end");
        }
        Self { port: address.port(), _listener: listener, _queue: queue }
    }
}

#[tokio::test]
async fn every_promised_cause_is_provoked_with_postgres() {
    let authority = Authority::new();
    let start = |tls| {
        let hba = vec!["host all outsider 127.0.0.1/32 reject".to_owned()];
        let server = Postgres::start(&PostgresOptions { tls, hba, ..PostgresOptions::default() });
        server.create_role("anna", PASSWORD);
        server.create_database("anna", "anna");
        server
    };
    let mut secured = start(Some(ServerTls::new(authority.server(Shape::Good))));
    let server = start(None);
    for name in ["private", "full"] {
        server.create_database(name, "postgres");
    }
    server.psql("REVOKE CONNECT ON DATABASE private FROM PUBLIC; ALTER DATABASE \"full\" CONNECTION LIMIT 0");

    let mut causes = Provoked::new("postgres");
    causes.on_the_way().await;
    let show = |identity: &Identity| {
        secured.replace_certificate(identity);
        secured.port()
    };
    causes.in_tls(&authority, server.port(), show).await;
    let port = server.port();
    for (connection, cause, step) in [
        (causes.to(port).user("anna", "another"), Cause::CredentialsRefused, StepName::SignIn),
        (causes.to(port).user("outsider", PASSWORD), Cause::AddressNotPermitted, StepName::SignIn),
        (causes.to(port).set("database", "nowhere"), Cause::DatabaseMissing, StepName::OpenDatabase),
        (causes.to(port).set("database", "private"), Cause::NoRightToConnect, StepName::OpenDatabase),
        (causes.to(port).set("database", "full"), Cause::TooManyConnections, StepName::OpenDatabase),
    ] {
        causes.expect(connection, cause, step).await;
    }
    let settings = vec![("hot_standby".to_owned(), "off".to_owned())];
    let starting = Postgres::start(&PostgresOptions { settings, recovers: true, ..PostgresOptions::default() });
    causes.expect(causes.to(starting.port()), Cause::ServerStarting, StepName::SignIn).await;
    // As PostgreSQL of before 7.4 says it.
    let old = says(b"EFATAL:  unsupported frontend protocol\n\0");
    causes.expect(causes.to(old.port()), Cause::ProtocolTooOld, StepName::SignIn).await;
    causes.is_all();
}

#[tokio::test]
async fn every_promised_cause_is_provoked_with_mysql() {
    let authority = Authority::new();
    let secured = MariaDb::start(&MySqlOptions { tls: Some(ServerTls::new(authority.server(Shape::Good))), flags: Vec::new() });
    let server = MariaDb::start(&MySqlOptions::default());

    let mut causes = Provoked::new("mysql");
    causes.on_the_way().await;
    let show = |identity: &Identity| {
        secured.replace_certificate(identity);
        secured.port()
    };
    causes.in_tls(&authority, server.port(), show).await;
    // No account is open to this address yet.
    server.sql("DELETE FROM mysql.global_priv WHERE Host <> 'localhost'; FLUSH PRIVILEGES");
    let port = server.port();
    causes.expect(causes.to(port), Cause::AddressNotPermitted, StepName::SignIn).await;
    server.create_user("anna", "%", Plugin::NativePassword, PASSWORD);
    server.create_user("limited", "%", Plugin::NativePassword, PASSWORD);
    server.sql("CREATE DATABASE closed; GRANT ALL ON `open%`.* TO anna; ALTER USER limited WITH MAX_CONNECTIONS_PER_HOUR 1");
    for (connection, cause, step) in [
        (causes.to(port).user("anna", "another"), Cause::CredentialsRefused, StepName::SignIn),
        (causes.to(port).set("database", "open_missing"), Cause::DatabaseMissing, StepName::OpenDatabase),
        (causes.to(port).set("database", "closed"), Cause::NoRightToConnect, StepName::OpenDatabase),
    ] {
        causes.expect(connection, cause, step).await;
    }
    causes.to(port).user("limited", PASSWORD).test().await.outcome();
    causes.expect(causes.to(port).user("limited", PASSWORD), Cause::TooManyConnections, StepName::SignIn).await;
    // 1053: the server is going down.
    let starting = says(b"\x0b\0\0\0\xff\x1d\x04#HY000no");
    causes.expect(causes.to(starting.port()), Cause::ServerStarting, StepName::SignIn).await;
    let old = says(b"\x10\0\0\0\x093.20.32a-log\0xx");
    causes.expect(causes.to(old.port()), Cause::ProtocolTooOld, StepName::SignIn).await;
    causes.is_all();
}
