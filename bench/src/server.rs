//! A server of the product for a measurement: release build, default settings, a folder of its own.

use std::{
    io::Write as _,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::http::Client;

const EMAIL: &str = "bench@example.org";
const PASSWORD: &str = "a long enough password";
/// Where the connections of a workspace are.
pub const CONNECTIONS: &str = "/api/v1/workspaces/default/connections";

/// A running program that is ended when dropped.
pub struct Running(Child);

impl Running {
    pub fn start(command: &mut Command) -> anyhow::Result<Self> {
        Ok(Self(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().context("start a program")?))
    }

    /// Resident memory in MiB (proc(5), `VmRSS`).
    pub fn resident(&self) -> anyhow::Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kib / 1024.0)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A store in a folder of its own, and the server that runs on it.
pub struct Server {
    pub folder: TempDir,
    pub port: u16,
    pub running: Running,
}

/// The `dataflow` beside this program.
pub fn binary() -> anyhow::Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name("dataflow");
    ensure!(path.exists(), "{} is not built", path.display());
    Ok(path)
}

/// A port of loopback that was free a moment ago.
pub fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

impl Server {
    /// Sets a store up and serves it.
    pub fn start() -> anyhow::Result<Self> {
        Self::start_by(serve)
    }

    /// The same with something left out, which `main::comparison` calls `mode`.
    pub fn start_without(mode: &str) -> anyhow::Result<Self> {
        Self::start_by(|folder, port| {
            let mut command = Command::new(std::env::current_exe()?);
            Running::start(command.arg(mode).arg(folder.join("data")).arg(port.to_string()))
        })
    }

    fn start_by(serve: impl FnOnce(&Path, u16) -> anyhow::Result<Running>) -> anyhow::Result<Self> {
        let folder = TempDir::new()?;
        shell(folder.path(), &["setup", "--email", EMAIL, "--password-stdin"], PASSWORD)?;
        let port = free_port()?;
        let running = serve(folder.path(), port)?;
        wait(port, "/readyz")?;
        Ok(Self { folder, port, running })
    }

    /// Ends the server as `kill -9` does and starts it again on its store; how long until its first answer, in milliseconds.
    pub fn restart(&mut self) -> anyhow::Result<f64> {
        let ended = &mut self.running.0;
        ended.kill()?;
        ended.wait()?;
        let begun = Instant::now();
        self.running = serve(self.folder.path(), self.port)?;
        wait(self.port, "/readyz")?;
        Ok(begun.elapsed().as_secs_f64() * 1000.0)
    }

    pub fn token(&self, role: &str, name: &str) -> anyhow::Result<String> {
        Ok(shell(self.folder.path(), &["token", "create", "--role", role, "--name", name], "")?.trim().to_owned())
    }

    /// A token of another workspace, which it makes if there is none.
    pub fn token_in(&self, workspace: &str, name: &str) -> anyhow::Result<String> {
        let arguments = ["token", "create", "--workspace", workspace, "--role", "admin", "--name", name];
        Ok(shell(self.folder.path(), &arguments, "")?.trim().to_owned())
    }

    /// How many descriptors it has open, and how many processes it has started that are still there.
    pub fn held(&self) -> anyhow::Result<(usize, usize)> {
        let id = self.running.0.id().to_string();
        let mut children = 0;
        for process in std::fs::read_dir("/proc")?.flatten() {
            // What follows the name, which is in brackets, begins with the state and the parent (proc(5)).
            let stat = std::fs::read_to_string(process.path().join("stat")).unwrap_or_default();
            let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1));
            children += usize::from(parent == Some(id.as_str()));
        }
        Ok((std::fs::read_dir(format!("/proc/{id}/fd"))?.count(), children))
    }

    /// A client of the API with a token of `role`, of a name that no other has.
    pub fn client(&self, role: &str, name: &str) -> anyhow::Result<Client> {
        Client::with_token(self.port, &self.token(role, name)?)
    }

    /// A browser that is signed in to the Studio.
    pub fn browser(&self) -> anyhow::Result<Client> {
        Client::new(self.port, &[("Cookie", &self.session()?)])
    }

    /// The same that sends forms.
    pub fn form_sender(&self) -> anyhow::Result<Client> {
        let (session, origin) = (self.session()?, self.url());
        Client::new(
            self.port,
            &[("Cookie", &session), ("Origin", &origin), ("Content-Type", "application/x-www-form-urlencoded")],
        )
    }

    fn session(&self) -> anyhow::Result<String> {
        let origin = self.url();
        let form = format!("email={EMAIL}&password={}", PASSWORD.replace(' ', "+"));
        let mut visitor = Client::new(self.port, &[("Origin", &origin), ("Content-Type", "application/x-www-form-urlencoded")])?;
        let answer = visitor.send("POST", "/sign-in", &form)?;
        let cookie = answer.headers.into_iter().find(|(name, _)| name == "set-cookie").context("no session was begun")?.1;
        Ok(cookie.split(';').next().unwrap_or_default().to_owned())
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

/// Creates the connection `body` through the API.
pub fn create(client: &mut Client, body: &Value) -> anyhow::Result<()> {
    client.send("POST", CONNECTIONS, &body.to_string()).map(drop)
}

/// The connection `name_NUMBER`, to a place where nothing is.
pub fn sample(number: u32) -> Value {
    json!({
        "name": format!("name_{number}"), "type": "postgres", "host": "db.example.org", "database": "sales", "username": "analytics",
        "password": format!("not-a-secret-{number}"), "extra": {"application_name": "bench"}
    })
}

fn serve(folder: &Path, port: u16) -> anyhow::Result<Running> {
    let mut command = Command::new(binary()?);
    command.args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--data"]).arg(folder.join("data"));
    // The list of 100,000 is filled faster than anybody may, and more is tested.
    Running::start(command.args(["--limit", "changes=off", "--limit", "tests=off"]))
}

fn shell(folder: &Path, arguments: &[&str], stdin: &str) -> anyhow::Result<String> {
    let mut child = Command::new(binary()?)
        .args(arguments)
        .arg("--data")
        .arg(folder.join("data"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    child.stdin.take().context("a pipe")?.write_all(stdin.as_bytes())?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "dataflow {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Asks until there is an answer.
pub fn wait(port: u16, path: &str) -> anyhow::Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(20) {
        if Client::new(port, &[]).and_then(|mut client| client.get(path)).is_ok() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_micros(500));
    }
    bail!("nothing answered on port {port}")
}
