//! A client for measurements: one connection that stays open while it is used, one request at a time.

use std::{
    fmt::Write as _,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, TcpStream},
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};

/// How long a connection may have been idle: servers let go of one that nobody uses.
const IDLE: Duration = Duration::from_secs(1);

pub struct Client {
    port: u16,
    stream: BufReader<TcpStream>,
    used: Instant,
    /// Lines that every request has, with their line ends: host, token or cookie.
    headers: String,
}

pub struct Answer {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

#[expect(clippy::disallowed_methods, reason = "asks a server that this benchmark started")]
fn connected(port: u16) -> anyhow::Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect_timeout(&(Ipv4Addr::LOCALHOST, port).into(), Duration::from_secs(2))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.set_nodelay(true)?;
    Ok(BufReader::new(stream))
}

impl Client {
    pub fn new(port: u16, headers: &[(&str, &str)]) -> anyhow::Result<Self> {
        let mut lines = format!("Host: 127.0.0.1:{port}\r\n");
        for (name, value) in headers {
            let _ = write!(lines, "{name}: {value}\r\n");
        }
        Ok(Self { port, stream: connected(port)?, used: Instant::now(), headers: lines })
    }

    pub fn with_token(port: u16, token: &str) -> anyhow::Result<Self> {
        Self::new(port, &[("Authorization", &format!("Bearer {token}"))])
    }

    pub fn get(&mut self, path: &str) -> anyhow::Result<Answer> {
        self.send("GET", path, "")
    }

    /// `json` is the body, empty: none. An answer that is no success is an error.
    pub fn send(&mut self, method: &str, path: &str, json: &str) -> anyhow::Result<Answer> {
        let kind = if json.is_empty() { "" } else { "Content-Type: application/json\r\n" };
        let answer = self.exchange(&format!(
            "{method} {path} HTTP/1.1\r\n{}{kind}Content-Length: {}\r\n\r\n{json}",
            self.headers,
            json.len()
        ))?;
        let Answer { status, body, .. } = &answer;
        ensure!((200..400).contains(status), "{method} {path} answered {status}: {}", String::from_utf8_lossy(body));
        Ok(answer)
    }

    fn exchange(&mut self, request: &str) -> anyhow::Result<Answer> {
        if self.used.elapsed() > IDLE {
            self.stream = connected(self.port)?;
        }
        self.stream.get_mut().write_all(request.as_bytes())?;
        let status = self.line()?.split(' ').nth(1).context("an answer has a status")?.parse()?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let mut body = vec![0; length.map(|(_, length)| length.parse()).transpose()?.unwrap_or_default()];
        if headers.iter().any(|(name, _)| name == "transfer-encoding") {
            bail!("an answer in chunks is not expected");
        }
        self.stream.read_exact(&mut body)?;
        self.used = Instant::now();
        Ok(Answer { status, headers, body })
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        ensure!(self.stream.read_line(&mut line)? > 0, "the server closed the connection");
        line.truncate(line.trim_end().len());
        Ok(line)
    }
}
