//! A server of the product for a measurement: release build, default settings, a folder of its own.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use tempfile::TempDir;

use crate::Line;

/// A running program that is ended when dropped.
pub struct Running(Child);

impl Running {
    pub fn start(command: &mut Command) -> anyhow::Result<Self> {
        Ok(Self(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().context("start a program")?))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub struct Server {
    pub folder: TempDir,
    pub port: u16,
    pub running: Running,
}

/// The `dataflow` beside this program.
fn binary() -> anyhow::Result<PathBuf> {
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
        let folder = TempDir::new()?;
        shell(folder.path(), &["setup", "--email", "bench@example.org", "--password-stdin"], "a long enough password")?;
        let port = free_port()?;
        let running = serve(folder.path(), port)?;
        wait(port, "/readyz")?;
        Ok(Self { folder, port, running })
    }

    pub fn token(&self, role: &str, name: &str) -> anyhow::Result<String> {
        Ok(shell(self.folder.path(), &["token", "create", "--role", role, "--name", name], "")?.trim().to_owned())
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

fn serve(folder: &Path, port: u16) -> anyhow::Result<Running> {
    Running::start(
        Command::new(binary()?).args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--data"]).arg(folder.join("data")),
    )
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

/// One request on a connection of its own: status line, headers and body as text.
pub fn request(port: u16, head: &str, body: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect_timeout(&(Ipv4Addr::LOCALHOST, port).into(), Duration::from_secs(2))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(stream, "{head}\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

pub fn wait(port: u16, path: &str) -> anyhow::Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(20) {
        if request(port, &format!("GET {path} HTTP/1.1"), "").is_ok_and(|answer| answer.starts_with("HTTP/1.1 200")) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_micros(500));
    }
    bail!("nothing answered on port {port}")
}

/// Start to the first answer of a store with 14 connections, and the memory it rests at.
pub fn start_and_rest() -> anyhow::Result<Vec<Line>> {
    let server = Server::start()?;
    let editor = server.token("editor", "editor")?;
    for number in 0..14 {
        crate::credentials::create(&server, &editor, number)?;
    }
    let Server { folder, port, running } = server;
    drop(running);
    let mut times = Vec::new();
    let mut memory = 0.0;
    for _ in 0..5 {
        let begun = Instant::now();
        let running = serve(folder.path(), port)?;
        wait(port, "/readyz")?;
        times.push(begun.elapsed().as_secs_f64() * 1000.0);
        std::thread::sleep(Duration::from_millis(300));
        memory = resident(running.0.id())?;
    }
    let start = crate::load::median(times);
    Ok(vec![
        Line {
            what: "start to first answer, 14 connections",
            measured: start,
            unit: "ms",
            beside: "median of 5".to_owned(),
            ratio: None,
            promise: "< 50",
            holds: start < 50.0,
        },
        Line {
            what: "memory at rest",
            measured: memory,
            unit: "MiB",
            beside: "resident, after the last start".to_owned(),
            ratio: None,
            promise: "< 30",
            holds: memory < 30.0,
        },
    ])
}

/// Resident memory of a process in MiB (proc(5), `VmRSS`).
fn resident(process: u32) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib / 1024.0)
}
