//! HTTP as scripted servers speak it: one request, one answer, and the end.

use std::io::{self, Write as _};

use crate::scripted::Peer;

/// What a client asked.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    pub method: String,
    pub target: String,
    head: String,
    pub body: Vec<u8>,
}

impl Asked {
    /// A header's value; empty if it is not there.
    pub fn header(&self, name: &str) -> &str {
        let line = self.head.lines().find(|line| line.to_ascii_lowercase().starts_with(&format!("{name}:")));
        line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim()).unwrap_or_default()
    }
}

/// The next request. What does not begin like one is refused at once, as servers do.
pub fn read_request(peer: &mut Peer) -> io::Result<Asked> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.extend(peer.receive::<1>()?);
        if !head.first().is_some_and(u8::is_ascii_uppercase) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "no request begins like this"));
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let mut words = head.split(' ').map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let asked = Asked { method, target, head, body: Vec::new() };
    let mut body = vec![0; asked.header("content-length").parse().unwrap_or_default()];
    peer.fill(&mut body)?;
    Ok(Asked { body, ..asked })
}

/// Answers it with JSON, or what says to be.
pub fn send_answer(peer: &mut Peer, status: &str, headers: &[(&str, &str)], text: &str) -> io::Result<()> {
    let mut out = Vec::new();
    write!(
        out,
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n",
        text.len()
    )?;
    for (name, value) in headers {
        write!(out, "{name}: {value}\r\n")?;
    }
    write!(out, "\r\n{text}")?;
    peer.send(&out)
}
