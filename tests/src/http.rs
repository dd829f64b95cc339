//! A small blocking HTTP client that sends what it is told, malformed requests included. What the API answers is held against its
//! description.

use std::{
    collections::BTreeMap,
    io::{self, ErrorKind, Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use serde_json::Value;

use crate::described;

/// Longest wait for one answer. Tests of connections have a deadline of 10 s on the server.
const PATIENCE: Duration = Duration::from_secs(30);

/// One request, over a connection of its own.
#[derive(Debug, Clone)]
pub struct Request {
    port: u16,
    pub(crate) method: String,
    pub(crate) target: Vec<u8>,
    headers: Vec<(String, String)>,
    pub(crate) body: Option<Vec<u8>>,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case; of one that stands there more than once, each value on a line.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Request {
    /// `target` goes out as it is: percent-encode what must be.
    pub fn new(port: u16, method: &str, target: impl AsRef<[u8]>) -> Self {
        let target = target.as_ref().to_vec();
        Self { port, method: method.to_owned(), target, headers: Vec::new(), body: None }
    }

    #[must_use]
    pub fn token(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    #[must_use]
    pub fn json(self, body: &Value) -> Self {
        self.body("application/json", body.to_string())
    }

    #[must_use]
    pub fn body(mut self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self.header("content-type", content_type)
    }

    /// What its body is declared as.
    pub(crate) fn media(&self) -> &str {
        let declared = self.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        declared.map_or("", |(_, media)| media.split(';').next().unwrap_or_default())
    }

    /// Sends it and waits for the answer.
    ///
    /// # Panics
    /// If there is no answer, or none that is HTTP, or one of the API that is not described.
    pub fn send(&self) -> Answer {
        self.try_send().unwrap_or_else(|error| panic!("{error} {self:?}"))
    }

    /// The same, to a server that may not be there yet.
    ///
    /// # Errors
    /// `InvalidData` if what came back is no HTTP; those of the socket.
    ///
    /// # Panics
    /// If the API answers what is not described.
    pub fn try_send(&self) -> io::Result<Answer> {
        let mut stream = self.try_begin()?;
        let mut bytes = Vec::new();
        match stream.read_to_end(&mut bytes) {
            Err(error) if error.kind() != ErrorKind::ConnectionReset => Err(error),
            _ => {
                let answer = Answer::read(&bytes).ok_or_else(|| {
                    io::Error::new(ErrorKind::InvalidData, format!("no HTTP came back: {:?}", String::from_utf8_lossy(&bytes)))
                })?;
                described::hold(self, &answer);
                Ok(answer)
            }
        }
    }

    /// Sends it and leaves the answer in the socket. Dropping that is how a client hangs up.
    ///
    /// # Panics
    /// If nobody takes it.
    pub fn begin(&self) -> TcpStream {
        self.try_begin().unwrap_or_else(|error| panic!("{error} {self:?}"))
    }

    #[expect(clippy::disallowed_methods, reason = "asks a server that this test started")]
    fn try_begin(&self) -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut head = format!("{} ", self.method).into_bytes();
        head.extend_from_slice(&self.target);
        head.extend_from_slice(b" HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n");
        for (name, value) in &self.headers {
            head.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        if let Some(body) = &self.body {
            head.extend_from_slice(format!("content-length: {}\r\n", body.len()).as_bytes());
        }
        head.extend_from_slice(b"\r\n");
        stream.write_all(&head)?;
        if let Some(body) = &self.body {
            // A server may refuse before it has read all of the body, and close.
            let _ = stream.write_all(body);
        }
        Ok(stream)
    }
}

impl Answer {
    fn read(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        let (head, body) = bytes.split_at(end + 4);
        let head = str::from_utf8(head).ok()?;
        let mut lines = head.lines();
        let status = lines.next()?.strip_prefix("HTTP/1.1 ")?.split(' ').next()?.parse().ok()?;
        let mut headers: BTreeMap<String, String> = BTreeMap::new();
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let all = headers.entry(name.to_ascii_lowercase()).or_default();
            if !all.is_empty() {
                all.push('\n');
            }
            all.push_str(value.trim());
        }
        let in_chunks = headers.get("transfer-encoding").is_some_and(|coding| coding == "chunked");
        let body = if in_chunks { joined(body)? } else { body.to_vec() };
        Some(Self { status, headers, body })
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// # Panics
    /// If the body is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {} {}", self.status, self.text()))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(String::as_str).unwrap_or_default()
    }

    /// The body of an answer that must have this status.
    ///
    /// # Panics
    /// If it has another.
    pub fn expect(&self, status: u16) -> &Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }

    /// A refusal with this status and code, in the form that every refusal has.
    ///
    /// # Panics
    /// If anything of that is not so.
    pub fn refused(&self, status: u16, code: &str) -> Value {
        self.expect(status);
        let problem = self.json();
        assert_eq!(self.header("content-type"), "application/problem+json", "{problem}");
        let member = |name: &str| problem.get(name).unwrap_or(&Value::Null);
        assert_eq!(member("code"), code, "{problem}");
        assert_eq!(member("status"), status, "{problem}");
        for name in ["type", "title", "detail", "hint"] {
            assert!(member(name).as_str().is_some_and(|text| !text.is_empty()), "{name} of {problem}");
        }
        problem
    }

    /// [`Answer::refused`] because of one field.
    ///
    /// # Panics
    /// If another one was refused, or none.
    pub fn refused_field(&self, code: &str, field: &str) -> Value {
        let problem = self.refused(422, code);
        let errors = problem.get("errors").and_then(Value::as_array).into_iter().flatten();
        let fields: Vec<_> = errors.filter_map(|error| error.get("field").and_then(Value::as_str)).collect();
        assert_eq!(fields, [field], "{problem}");
        problem
    }
}

/// What came in chunks, each behind its length (RFC 9112, section 7.1), up to the last one or to the end.
fn joined(mut chunks: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(end) = chunks.windows(2).position(|window| window == b"\r\n") {
        let length = usize::from_str_radix(str::from_utf8(chunks.get(..end)?).ok()?, 16).ok()?;
        let rest = chunks.get(end + 2..)?;
        if length == 0 {
            break;
        }
        body.extend_from_slice(rest.get(..length.min(rest.len()))?);
        chunks = rest.get(length + 2..).unwrap_or_default();
    }
    Some(body)
}
