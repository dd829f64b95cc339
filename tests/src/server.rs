//! A running `dataflow serve`, with its first admin.

use std::{
    fmt::Write as _,
    io::{self, Read as _, Write as _},
    net::TcpStream,
    path::PathBuf,
    time::Duration,
};

use crate::{
    binary::dataflow_bin,
    folder::TempDir,
    port::Port,
    process::{Process, Spawn, Stop},
};

/// The first admin of every test server.
pub const ADMIN_EMAIL: &str = "admin@example.org";
/// The admin's password.
pub const ADMIN_PASSWORD: &str = "correct horse battery staple";

/// How the server differs from `dataflow serve --data FOLDER --listen 127.0.0.1:PORT`.
#[derive(Debug, Default, Clone)]
pub struct TestServerOptions {
    /// A PostgreSQL store instead of the SQLite file.
    pub database_url: Option<String>,
    /// More arguments of `dataflow serve`.
    pub arguments: Vec<String>,
}

/// A running server of the product.
#[derive(Debug)]
pub struct TestServer {
    process: Process,
    port: Port,
    folder: TempDir,
    options: TestServerOptions,
    recovery_key: String,
}

impl TestServer {
    /// Makes the store and its first admin, starts the server and waits until it is ready.
    ///
    /// # Panics
    /// With what the binary printed, if it does not get ready.
    pub fn start(options: TestServerOptions) -> Self {
        let (folder, port) = (TempDir::new(), Port::free());
        let mut setup =
            Spawn::new(dataflow_bin(), Stop::Kill).args(["setup", "--email", ADMIN_EMAIL, "--password-stdin", "--data"]);
        setup = setup.arg(folder.join("data")).args(store(&options));
        let recovery_key = setup.run_with_input(&format!("{ADMIN_PASSWORD}\n")).trim().to_owned();
        let process = serve(&folder, &port, &options);
        let mut server = Self { process, port, folder, options, recovery_key };
        server.wait();
        server
    }

    /// Its address, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port.number())
    }

    pub fn port(&self) -> u16 {
        self.port.number()
    }

    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// The recovery key that `dataflow setup` printed.
    pub fn recovery_key(&self) -> &str {
        &self.recovery_key
    }

    /// A new token, made beside the running server.
    pub fn token(&self, workspace: &str, role: &str, name: &str) -> String {
        let out = Spawn::new(dataflow_bin(), Stop::Kill)
            .args(["token", "create", "--workspace", workspace, "--role", role, "--name", name, "--data"])
            .arg(self.data())
            .args(store(&self.options))
            .run();
        out.trim().to_owned()
    }

    /// One request of the API, with a JSON body or none: status and body of the answer.
    ///
    /// # Panics
    /// If the server does not answer in full.
    pub fn call(&self, method: &str, path: &str, token: &str, body: &str) -> (u16, String) {
        let answer = call(self.port.number(), method, path, token, body);
        answer.unwrap_or_else(|error| panic!("{method} {path}: {error}\n{}", self.log()))
    }

    /// Starts it again on the same data and port, after [`Process::stop`] or [`Process::kill`].
    pub fn restart(&mut self) {
        self.process.stop();
        self.process = serve(&self.folder, &self.port, &self.options);
        self.wait();
    }

    /// What it has printed, on both streams.
    pub fn log(&self) -> String {
        self.process.log()
    }

    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    fn wait(&mut self) {
        let port = self.port.number();
        self.process.wait_until("`dataflow serve`", |_| is_ready(port));
    }
}

fn store(options: &TestServerOptions) -> Vec<String> {
    options.database_url.iter().flat_map(|url| ["--database-url".to_owned(), url.clone()]).collect()
}

fn serve(folder: &TempDir, port: &Port, options: &TestServerOptions) -> Process {
    Spawn::new(dataflow_bin(), Stop::Terminate)
        .args(["serve", "--data"])
        .arg(folder.join("data"))
        .args(["--listen".to_owned(), format!("127.0.0.1:{}", port.number())])
        .args(store(options))
        .args(&options.arguments)
        .start(&folder.join("log"))
}

fn is_ready(port: u16) -> bool {
    call(port, "GET", "/readyz", "", "").is_ok_and(|(status, _)| status == 200)
}

#[expect(clippy::disallowed_methods, reason = "asks a server that this test started")]
fn call(port: u16, method: &str, path: &str, token: &str, body: &str) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n");
    if !token.is_empty() {
        let _ = write!(head, "Authorization: Bearer {token}\r\n");
    }
    if !body.is_empty() {
        let _ = write!(head, "Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
    }
    stream.write_all(format!("{head}\r\n{body}").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::InvalidData)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
    Ok((status, body.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::{TestServer, TestServerOptions};

    #[test]
    fn a_server_starts_gives_tokens_and_survives_a_power_cut() {
        let mut server = TestServer::start(TestServerOptions::default());
        assert!(server.recovery_key().len() > 30);
        let token = server.token("default", "user", "fixture");
        let list = |server: &TestServer, token: &str| server.call("GET", "/api/v1/workspaces/default/connections", token, "").0;
        assert_eq!((list(&server, &token), list(&server, "")), (200, 401));
        server.process().kill();
        server.restart();
        assert_eq!(list(&server, &token), 200);
    }
}
