//! A running `dataflow serve`, with its first admin.

use std::{fs, path::PathBuf};

use serde_json::{Value, json};

use crate::{
    binary::dataflow_bin,
    folder::TempDir,
    http::Request,
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
    /// Of its environment.
    pub variables: Vec<(String, String)>,
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

    /// The id of its process.
    pub fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// A request of any path, with a token.
    pub fn request(&self, token: &str, method: &str, path: &str) -> Request {
        Request::new(self.port(), method, path).token(token)
    }

    /// Starts it again on the same data and port, after [`Process::stop`] or [`Process::kill`].
    pub fn restart(&mut self) {
        self.process.stop();
        self.process = serve(&self.folder, &self.port, &self.options);
        self.wait();
    }

    /// The same, with these in its environment from now on.
    pub fn restart_with(&mut self, variables: Vec<(String, String)>) {
        self.options.variables = variables;
        self.restart();
    }

    /// What it has printed, on both streams.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// The folder of the first node's audit segments.
    pub fn segments(&self) -> PathBuf {
        self.data().join("nodes/1/audit")
    }

    /// The events in the first node's segments, but for those that begin one.
    ///
    /// # Panics
    /// If a line is not of the form of one.
    pub fn uses(&self) -> Vec<Value> {
        let Ok(entries) = fs::read_dir(self.segments()) else { return Vec::new() };
        let mut files: Vec<_> = entries.map(|entry| entry.expect("own folder").path()).collect();
        files.sort();
        let lines = files.iter().flat_map(|file| {
            let text = fs::read_to_string(file).expect("a segment");
            text.lines().map(ToOwned::to_owned).collect::<Vec<_>>()
        });
        let events = lines.map(|line| {
            let (event, link) = line.split_once('\t').expect("an event and its link");
            assert!(link.len() == 64 && link.bytes().all(|byte| byte.is_ascii_hexdigit()), "{line}");
            serde_json::from_str::<Value>(event).expect("JSON")
        });
        events.filter(|event| event.get("action") != Some(&json!("segment.begin"))).collect()
    }

    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    fn wait(&mut self) {
        let port = self.port.number();
        self.process.wait_until("`dataflow serve`", |_| is_ready(port));
    }
}

/// A running server that nobody has set up.
#[derive(Debug)]
pub struct NewServer {
    link: String,
    // Ends before the folder that it writes to.
    _process: Process,
    port: Port,
    _folder: TempDir,
}

impl NewServer {
    /// Starts it on an empty folder, and waits until it has told how to set it up.
    ///
    /// # Panics
    /// With what the binary printed, if it does not get ready.
    pub fn start() -> Self {
        let (folder, port) = (TempDir::new(), Port::free());
        let mut process = serve(&folder, &port, &TestServerOptions::default());
        process.wait_until("`dataflow serve`", |process| process.log().contains("/link/"));
        let log = process.log();
        let link = log.split_whitespace().find(|word| word.contains("/link/")).expect("it was seen").to_owned();
        Self { link, _process: process, port, _folder: folder }
    }

    /// Its address, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port.number())
    }

    /// The one-time address at which somebody becomes its first admin.
    pub fn link(&self) -> &str {
        &self.link
    }
}

fn store(options: &TestServerOptions) -> Vec<String> {
    options.database_url.iter().flat_map(|url| ["--database-url".to_owned(), url.clone()]).collect()
}

fn serve(folder: &TempDir, port: &Port, options: &TestServerOptions) -> Process {
    let spawn = Spawn::new(dataflow_bin(), Stop::Terminate);
    let spawn = options.variables.iter().fold(spawn, |spawn, (name, value)| spawn.variable(name, value));
    spawn
        .args(["serve", "--data"])
        .arg(folder.join("data"))
        .args(["--listen".to_owned(), format!("127.0.0.1:{}", port.number())])
        .args(store(options))
        .args(&options.arguments)
        .start(&folder.join("log"))
}

fn is_ready(port: u16) -> bool {
    Request::new(port, "GET", "/readyz").try_send().is_ok_and(|answer| answer.status == 200)
}

#[cfg(test)]
mod tests {
    use super::{TestServer, TestServerOptions};

    #[test]
    fn a_server_starts_gives_tokens_and_survives_a_power_cut() {
        let mut server = TestServer::start(TestServerOptions::default());
        assert!(server.recovery_key().len() > 30);
        let token = server.token("default", "user", "fixture");
        let list = |server: &TestServer, token: &str| {
            server.request(token, "GET", "/api/v1/workspaces/default/connections").send().status
        };
        assert_eq!((list(&server, &token), list(&server, "none")), (200, 401));
        server.process().kill();
        server.restart();
        assert_eq!(list(&server, &token), 200);
    }
}
