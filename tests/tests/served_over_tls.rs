//! `dataflow serve` with a certificate of its own, and the shell that trusts it.

use std::{
    fs,
    io::{ErrorKind, Read as _},
    net::TcpStream,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use dataflow_tests::{
    binary::dataflow_bin,
    folder::TempDir,
    port::Port,
    process::{Process, Spawn, Stop},
    server::{ADMIN_EMAIL, ADMIN_PASSWORD},
    shell::{Home, Ran, Shell, says},
    tls::{Authority, Identity, Shape},
};

/// A server whose certificate lies in two files, and the token of an admin.
struct Served {
    // Before the folder, so that it ends first.
    process: Process,
    port: Port,
    token: String,
    home: Home,
    folder: TempDir,
}

impl Served {
    fn start(identity: &Identity) -> Self {
        let (folder, port) = (TempDir::new(), Port::free());
        let data = folder.join("data");
        let shell =
            |words: &[&str], input: &str| Shell::new(words).arg("--data").arg(&data).input(input).run().stdout().to_owned();
        shell(&["setup", "--email", ADMIN_EMAIL, "--password-stdin"], ADMIN_PASSWORD);
        let token = shell(&["token", "create", "--role", "admin", "--name", "admin"], "");
        let [certificate, key] = folder.write_identity(identity);
        let log = folder.join("log");
        let mut process = Spawn::new(dataflow_bin(), Stop::Terminate)
            .args(["serve", "--listen", &format!("127.0.0.1:{}", port.number()), "--data"])
            .arg(&data)
            .arg("--tls-cert")
            .arg(certificate)
            .arg("--tls-key")
            .arg(key)
            .start(&log);
        process.wait_until("`dataflow serve` with TLS", |_| connect(&port).is_ok());
        Self { process, port, token, home: Home::default(), folder }
    }

    fn url(&self, host: &str) -> String {
        format!("https://{host}:{}", self.port.number())
    }

    /// A file with the certificates that the shell is to trust instead of the machine's.
    fn trusting(&self, name: &str, authority: &Authority) -> PathBuf {
        self.folder.write_private(name, &authority.pem())
    }

    fn shell(&self, words: &[&str], trusted: &PathBuf, input: &str) -> Ran {
        Shell::new(words).variable("HOME", self.home.path()).variable("SSL_CERT_FILE", trusted).input(input).run()
    }

    fn login(&self, host: &str, trusted: &PathBuf) -> Ran {
        self.shell(&["login", "--url", &self.url(host), "--token-stdin"], trusted, &self.token)
    }

    fn list(&self, trusted: &PathBuf) -> Ran {
        self.shell(&["connections", "list", "--output", "json"], trusted, "")
    }
}

#[expect(clippy::disallowed_methods, reason = "asks a server that this test started")]
fn connect(port: &Port) -> std::io::Result<TcpStream> {
    TcpStream::connect(("127.0.0.1", port.number()))
}

/// One line for a person, and no token was sent to whoever showed that certificate.
fn refused(ran: &Ran, parts: &[&str]) {
    says(ran, &[&["dataflow: The certificate of https://"], parts].concat());
    assert!(ran.stderr.lines().count() == 1 && ran.stderr.ends_with(".\n"), "{}", ran.stderr);
}

#[test]
fn the_shell_signs_in_where_it_trusts_the_certificate() {
    let authority = Authority::new();
    let served = Served::start(&authority.server(Shape::Intermediate));
    let trusted = served.trusting("authority.pem", &authority);
    for host in ["localhost", "127.0.0.1"] {
        served.login(host, &trusted).stdout();
        assert_eq!(served.list(&trusted).stdout(), "[]");
    }

    let untrusted = &["no authority that this machine trusts has issued it", "SSL_CERT_FILE"];
    let other = served.trusting("other.pem", &Authority::new());
    refused(&served.list(&other), untrusted);
    refused(&served.login("localhost", &other), untrusted);
    // The machine's own do not know it either.
    let of_the_machine = Shell::new(["connections", "list"]).variable("HOME", served.home.path()).run();
    refused(&of_the_machine, untrusted);
    let clear = format!("http://127.0.0.1:{}", served.port.number());
    says(&served.shell(&["login", "--url", &clear, "--token-stdin"], &trusted, &served.token), &[&clear, "does not answer"]);
}

#[test]
fn a_certificate_that_is_out_of_order_is_told_with_what_to_do() {
    let authority = Authority::new();
    for (shape, parts) in [
        (Shape::WrongHost, &["it is for another host", "Use the name that it was issued for"][..]),
        (Shape::Expired, &["it has expired", "Give the server a new one"]),
        (Shape::UnknownAuthority, &["no authority that this machine trusts", "SSL_CERT_FILE"]),
    ] {
        let served = Served::start(&authority.server(shape));
        let trusted = served.trusting("authority.pem", &authority);
        refused(&served.login("localhost", &trusted), parts);
    }
}

#[test]
fn a_renewed_certificate_is_served_without_a_restart() {
    let (first, second) = (Authority::new(), Authority::new());
    let served = Served::start(&first.server(Shape::Good));
    let (old, new) = (served.trusting("first.pem", &first), served.trusting("second.pem", &second));
    served.login("localhost", &old).stdout();
    refused(&served.list(&new), &["SSL_CERT_FILE"]);
    let id = served.process.id();
    served.folder.write_identity(&second.server(Shape::Good));
    // It looks every 2 s, and takes what two looks in a row have seen.
    let deadline = Instant::now() + Duration::from_mins(1);
    while !served.list(&new).succeeded {
        assert!(Instant::now() < deadline, "the new certificate is not served");
        thread::sleep(Duration::from_millis(200));
    }
    refused(&served.list(&old), &["SSL_CERT_FILE"]);
    assert_eq!(served.process.id(), id);

    // A pair that cannot be used leaves the one before.
    fs::write(served.folder.join("server.crt"), "no certificate").expect("own folder");
    let deadline = Instant::now() + Duration::from_mins(1);
    while !served.process.log().contains("The new TLS certificate is not used, the one before stays.") {
        assert!(Instant::now() < deadline, "{}", served.process.log());
        thread::sleep(Duration::from_millis(200));
    }
    assert!(served.list(&new).succeeded);
}

#[test]
fn a_handshake_that_never_ends_is_cut_off() {
    let served = Served::start(&Authority::new().server(Shape::Good));
    let began = Instant::now();
    let mut stream = connect(&served.port).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_mins(1))).expect("a socket");
    let end = stream.read(&mut [0; 16]);
    let ended = match &end {
        Ok(count) => *count == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    };
    // The deadline is 10 s.
    let took = began.elapsed();
    assert!(ended && (Duration::from_secs(9)..Duration::from_secs(40)).contains(&took), "{end:?} after {took:?}");
}
